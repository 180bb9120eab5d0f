use core::fmt;

/// Why bytes are no OTLP message, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    why: Why,
    /// Of the byte that begins what can't be read: the walkers know no more of a message than what is left of it.
    address: usize,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A message ends inside a field.
    Truncated,
    /// An integer is longer than 64 bits.
    Varint,
    /// A field number of 0 or beyond 2^29, or an unknown wire type.
    Key,
    /// A group ends that hasn't begun, or doesn't end.
    Group,
    /// A field has another wire type than its definition.
    WireType,
    /// A value or group is nested deeper than [`MAX_NESTING`](crate::MAX_NESTING).
    Nesting,
    /// A text is not UTF-8.
    Text,
}

impl Malformed {
    #[cold]
    pub(crate) fn new(why: Why, rest: &[u8]) -> Self {
        Self { why, address: rest.as_ptr().addr() }
    }

    /// What is wrong.
    pub fn why(&self) -> Why {
        self.why
    }

    /// Offset in `message` of what can't be read; `None` if this isn't the message.
    pub fn offset_in(&self, message: &[u8]) -> Option<usize> {
        self.address.checked_sub(message.as_ptr().addr()).filter(|offset| *offset <= message.len())
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the message ends inside a field",
            Self::Varint => "an integer is longer than 64 bits",
            Self::Key => "a field's key is invalid",
            Self::Group => "a group has no beginning or no end",
            Self::WireType => "a field has the wrong wire type",
            Self::Nesting => "a value is nested deeper than 32",
            Self::Text => "a text is not UTF-8",
        })
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl core::error::Error for Malformed {}
