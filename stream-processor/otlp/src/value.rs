//! Attributes with protobuf's rules applied.

use crate::malformed::Malformed;
use crate::message::{
    AnyValue, AnyValueField, ArrayValue, ArrayValueField, KeyValue, KeyValueField, KeyValueList,
    KeyValueListField, Typed,
};
use crate::wire::Text;

/// What an attribute holds: of the fields that exclude each other the last one.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "named as in the definition")]
pub enum Value<'a> {
    #[default]
    None,
    String(Text<'a>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(Items<'a>),
    Map(Entries<'a>),
    Bytes(&'a [u8]),
    /// A string by its index in a table that messages of traces don't have.
    StringStrindex(i32),
}

/// What most attributes hold.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "named as in the definition")]
pub enum Usual<'a> {
    String(Text<'a>),
    Int(i64),
}

impl<'a> KeyValue<'a> {
    /// The key and the value, which is checked to its bottom but for texts.
    ///
    /// # Errors
    /// If anything in it is malformed, or nested deeper than [`MAX_NESTING`](crate::MAX_NESTING).
    pub fn read(self) -> Result<(Text<'a>, Value<'a>), Malformed> {
        match self.usual() {
            Some((key, Usual::String(text))) => Ok((key, Value::String(text))),
            Some((key, Usual::Int(number))) => Ok((key, Value::Int(number))),
            None => self.read_whole(),
        }
    }

    fn read_whole(mut self) -> Result<(Text<'a>, Value<'a>), Malformed> {
        let (mut key, mut value) = (Text::default(), Value::None);
        while let Some(field) = self.next() {
            match field? {
                KeyValueField::Key(text) => key = text,
                KeyValueField::Value(more) => value = value.merged(more, self)?,
                KeyValueField::KeyStrindex(_) => {}
            }
        }
        Ok((key, value))
    }

    /// The key and the value of an attribute as encoders write most of them: a short key, then a short text or a small
    /// number. `None`: of another form, to be [read](Self::read).
    #[inline(always)]
    pub fn usual(self) -> Option<(Text<'a>, Usual<'a>)> {
        let [0x0a, key_length @ 0..=0x7f, rest @ ..] = self.0.rest else { return None };
        let (key, [0x12, length @ 0..=0x7f, value @ ..]) = rest.split_at_checked(usize::from(*key_length))?
        else {
            return None;
        };
        if value.len() != usize::from(*length) {
            return None;
        }
        let value = match value {
            [0x0a, length, text @ ..] if text.len() == usize::from(*length) => Usual::String(Text(text)),
            [0x18, number @ 0..=0x7f] => Usual::Int(i64::from(*number)),
            [0x18, low @ 0x80..=0xff, high @ 0..=0x7f] => {
                Usual::Int(i64::from(low & 0x7f) | i64::from(*high) << 7)
            }
            _ => return None,
        };
        Some((Text(key), value))
    }
}

impl<'a> AnyValue<'a> {
    /// The value, checked to its bottom but for texts.
    ///
    /// # Errors
    /// If anything in it is malformed, or nested deeper than [`MAX_NESTING`](crate::MAX_NESTING).
    #[inline]
    pub fn read(self) -> Result<Value<'a>, Malformed> {
        Value::None.merged(self, KeyValue::default())
    }
}

impl<'a> Value<'a> {
    /// This value after another one for the same attribute, of which `pair` has still to be read.
    #[inline(always)]
    fn merged(mut self, mut more: AnyValue<'a>, pair: KeyValue<'a>) -> Result<Self, Malformed> {
        while let Some(field) = more.next() {
            self = match field? {
                AnyValueField::String(text) => Self::String(text),
                AnyValueField::Bool(value) => Self::Bool(value),
                AnyValueField::Int(value) => Self::Int(value),
                AnyValueField::Double(value) => Self::Double(value),
                AnyValueField::Array(list) => {
                    Typed::check(list, 1)?;
                    match self {
                        // Its items go on to these.
                        Self::Array(_) => self,
                        _ => Self::Array(Items { list, value: more, pair }),
                    }
                }
                AnyValueField::Map(list) => {
                    Typed::check(list, 1)?;
                    match self {
                        Self::Map(_) => self,
                        _ => Self::Map(Entries { list, value: more, pair }),
                    }
                }
                AnyValueField::Bytes(bytes) => Self::Bytes(bytes),
                AnyValueField::StringStrindex(index) => Self::StringStrindex(index),
            };
        }
        Ok(self)
    }
}

/// Defines the parts of a list that may be continued in the rest of its value, and of the attribute.
macro_rules! parts {
    ($(#[$doc:meta])* $parts:ident: $list:ident, $list_field:path, $value_field:path, $part:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $parts<'a> {
            list: $list<'a>,
            value: AnyValue<'a>,
            pair: KeyValue<'a>,
        }

        impl<'a> Iterator for $parts<'a> {
            type Item = Result<$part, Malformed>;

            fn next(&mut self) -> Option<Self::Item> {
                loop {
                    if let Some(part) = self.list.next() {
                        return Some(part.map(|$list_field(part)| part));
                    }
                    match self.value.next() {
                        Some(Ok($value_field(list))) => self.list = list,
                        Some(Ok(_)) => {}
                        Some(Err(malformed)) => return Some(Err(malformed)),
                        None => match self.pair.next()? {
                            Ok(KeyValueField::Value(value)) => self.value = value,
                            Ok(_) => {}
                            Err(malformed) => return Some(Err(malformed)),
                        },
                    }
                }
            }
        }
    };
}

parts! {
    /// The items of a list.
    Items: ArrayValue, ArrayValueField::Value, AnyValueField::Array, AnyValue<'a>
}

parts! {
    /// The entries of a map.
    Entries: KeyValueList, KeyValueListField::Value, AnyValueField::Map, KeyValue<'a>
}
