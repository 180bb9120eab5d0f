//! Attribute values, borrowed from the message.

use crate::Undecodable;
use crate::wire::{Field, fields};

/// Values may be lists of lists; nobody needs more, and every reader of them recurses.
pub const MAX_NESTING: u32 = 32;

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

impl<'a> Value<'a> {
    /// Reads an `AnyValue`. Text that is not UTF-8 ends where it goes wrong; `repaired` is then set.
    pub(crate) fn read(message: &'a [u8], repaired: &mut bool) -> Result<Self, Undecodable> {
        let mut value = Self::None;
        for field in fields(message) {
            value = match field? {
                (1, text) => Self::Text(text_of(text.bytes()?, repaired)),
                (2, field) => Self::Bool(field.varint()? != 0),
                (3, field) => Self::Int(field.varint()?.cast_signed()),
                (4, field) => Self::Double(f64::from_bits(field.fixed64()?)),
                (5, list) => Self::first_text(list.bytes()?, repaired)?,
                (6 | 7, _) => Self::None,
                _ => value,
            };
        }
        Ok(value)
    }

    fn first_text(list: &'a [u8], repaired: &mut bool) -> Result<Self, Undecodable> {
        for field in fields(list) {
            if let (1, Field::Bytes(item)) = field? {
                for part in fields(item) {
                    if let (1, Field::Bytes(text)) = part? {
                        return Ok(Self::Text(text_of(text, repaired)));
                    }
                }
            }
        }
        Ok(Self::None)
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
    pub(crate) fn reads(&self, wanted: &str) -> bool {
        match self {
            Self::Text(text) => text.eq_ignore_ascii_case(wanted),
            Self::Int(value) => wanted.parse() == Ok(*value),
            Self::Bool(value) => wanted.parse() == Ok(*value),
            Self::Double(_) | Self::None => false,
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
pub(crate) fn text_of<'a>(bytes: &'a [u8], repaired: &mut bool) -> &'a str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            *repaired = true;
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
        }
    }
}

/// Refuses an `AnyValue` that is nested too deeply. Recursion ends at the limit.
pub(crate) fn check_nesting(message: &[u8], depth: u32) -> Result<(), Undecodable> {
    if depth > MAX_NESTING {
        return Err(Undecodable::Nesting);
    }
    for field in fields(message) {
        match field? {
            (5, list) => {
                for item in fields(list.bytes()?) {
                    if let (1, Field::Bytes(value)) = item? {
                        check_nesting(value, depth + 1)?;
                    }
                }
            }
            (6, map) => {
                for item in fields(map.bytes()?) {
                    if let (1, Field::Bytes(pair)) = item? {
                        check_pair(pair, depth + 1)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Refuses a `KeyValue` whose value, at `depth`, is nested too deeply.
pub(crate) fn check_pair(pair: &[u8], depth: u32) -> Result<(), Undecodable> {
    for field in fields(pair) {
        if let (2, Field::Bytes(value)) = field? {
            check_nesting(value, depth)?;
        }
    }
    Ok(())
}
