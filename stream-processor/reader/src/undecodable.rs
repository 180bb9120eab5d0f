//! Why a message could not be read.

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
            Self::NotJson(_) => "not_json",
            Self::BadField { .. } => "bad_field",
        }
    }
}
