//! Attribute values, borrowed from the message.

use otlp::{Items, Text};

/// An attribute's value. Of a list only the first text counts: captured headers are lists of one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Value<'a> {
    /// Not said, or of a type no fact has.
    #[default]
    None,
    Text(&'a str),
    Int(i64),
    Double(f64),
    Bool(bool),
}

/// A text that a value is compared with, and the number or truth that it reads as.
pub(crate) struct Wanted {
    text: String,
    int: Option<i64>,
    bool: Option<bool>,
}

impl Wanted {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), int: text.parse().ok(), bool: text.parse().ok() }
    }
}

impl<'a> Value<'a> {
    /// What a fact can take of it. Text that is not UTF-8 ends where it goes wrong; `repaired` is then set.
    #[inline]
    pub(crate) fn of(value: otlp::Value<'a>, repaired: &mut bool) -> Self {
        match value {
            otlp::Value::String(text) => Self::Text(text_of(text, repaired)),
            otlp::Value::Bool(value) => Self::Bool(value),
            otlp::Value::Int(value) => Self::Int(value),
            otlp::Value::Double(value) => Self::Double(value),
            otlp::Value::Array(items) => Self::first_text(items, repaired),
            otlp::Value::None
            | otlp::Value::Map(_)
            | otlp::Value::Bytes(_)
            | otlp::Value::StringStrindex(_) => Self::None,
        }
    }

    fn first_text(items: Items<'a>, repaired: &mut bool) -> Self {
        for item in items.flatten() {
            if let Ok(otlp::Value::String(text)) = item.read() {
                return Self::Text(text_of(text, repaired));
            }
        }
        Self::None
    }

    #[inline]
    pub(crate) fn text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number, also when written as text.
    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Double(value) if value.fract() == 0.0 && value.abs() < 9e15 => Some(*value as i64),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    pub(crate) fn double(&self) -> Option<f64> {
        match self {
            Self::Double(value) => Some(*value),
            Self::Int(value) => Some(*value as f64),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// Whether the value, written out, is this text; case doesn't matter.
    pub(crate) fn reads(&self, wanted: &Wanted) -> bool {
        match self {
            Self::Text(text) => text.eq_ignore_ascii_case(&wanted.text),
            Self::Int(value) => wanted.int == Some(*value),
            Self::Bool(value) => wanted.bool == Some(*value),
            Self::Double(_) | Self::None => false,
        }
    }

    /// Whether the value is this truth, or reads so.
    pub(crate) fn is(&self, truth: bool) -> bool {
        match self {
            Self::Bool(value) => *value == truth,
            Self::Text(text) => text.eq_ignore_ascii_case(if truth { "true" } else { "false" }),
            Self::Int(_) | Self::Double(_) | Self::None => false,
        }
    }

    /// The value written out, where it isn't text already.
    pub(crate) fn number_text(&self) -> Option<String> {
        match self {
            Self::Int(value) => Some(value.to_string()),
            Self::Double(value) => Some(value.to_string()),
            Self::Bool(value) => Some(value.to_string()),
            Self::Text(_) | Self::None => None,
        }
    }

    /// Stable bits of the value, for request keys.
    pub(crate) fn hash(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Text(text) => crate::content::hash(text.as_bytes()),
            Self::Int(value) => crate::content::hash(&value.to_le_bytes()),
            Self::Double(value) => crate::content::hash(&value.to_bits().to_le_bytes()),
            Self::Bool(value) => crate::content::hash(&[u8::from(*value)]),
        }
    }
}

/// The longest valid beginning of a text: SDKs that limit lengths cut in the middle of a character.
#[inline]
pub(crate) fn text_of<'a>(text: Text<'a>, repaired: &mut bool) -> &'a str {
    match std::str::from_utf8(text.bytes()) {
        Ok(text) => text,
        Err(error) => {
            *repaired = true;
            std::str::from_utf8(&text.bytes()[..error.valid_up_to()]).unwrap_or_default()
        }
    }
}
