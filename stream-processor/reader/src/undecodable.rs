//! Why a message could not be read.

use otlp::{Malformed, Why};

/// A message that can't be read as a whole. `reason` is the name under which it is counted and kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// The bytes end in the middle of something.
    #[error("the message is cut off")]
    Truncated,
    /// Not protobuf, or protobuf of another schema.
    #[error("the bytes are no OTLP message")]
    Malformed,
    /// A value is nested deeper than 32.
    #[error("a value is nested deeper than {}", crate::MAX_NESTING)]
    Nesting,
    /// An id is neither empty nor of its length.
    #[error("a trace id must have 16 bytes and a span id 8")]
    BadIdLength,
    /// Text that is not UTF-8.
    #[error("a text is not UTF-8")]
    InvalidUtf8,
    /// Protobuf that goes wrong at this byte of the message.
    #[error("{why}: byte {offset}")]
    At {
        /// What is wrong.
        why: Why,
        /// Offset of what can't be read.
        offset: usize,
    },
    /// Not JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// JSON whose fields don't have OTLP's types.
    #[error("{field} is not {expected}")]
    BadField {
        /// The field.
        field: &'static str,
        /// What it should have been.
        expected: &'static str,
    },
}

impl Undecodable {
    /// A short stable name for counters and dead letters.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::Nesting => "nesting",
            Self::BadIdLength => "bad_id_length",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::At { why, .. } => reason_of(*why),
            Self::NotJson(_) => "not_json",
            Self::BadField { .. } => "bad_field",
        }
    }

    /// What is wrong with `message`.
    pub(crate) fn at(malformed: Malformed, message: &[u8]) -> Self {
        Self::At { why: malformed.why(), offset: malformed.offset_in(message).unwrap_or_default() }
    }
}

/// The name under which a malformed message, resource or span is counted.
pub(crate) fn reason_of(why: Why) -> &'static str {
    match why {
        Why::Truncated => Undecodable::Truncated.reason(),
        Why::Nesting => Undecodable::Nesting.reason(),
        Why::Text => Undecodable::InvalidUtf8.reason(),
        Why::Varint | Why::Key | Why::Group | Why::WireType => Undecodable::Malformed.reason(),
    }
}
