//! Protobuf's wire format. Source: <https://protobuf.dev/programming-guides/encoding/>.

use crate::MAX_NESTING;
use crate::malformed::{Malformed, Why};

pub(crate) const VARINT: u64 = 0;
pub(crate) const FIXED64: u64 = 1;
pub(crate) const BYTES: u64 = 2;
const GROUP: u64 = 3;
const GROUP_END: u64 = 4;
pub(crate) const FIXED32: u64 = 5;

/// A text of the message, which may turn out to be none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text<'a>(pub(crate) &'a [u8]);

impl<'a> Text<'a> {
    /// Its bytes, whatever they are.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// The text.
    ///
    /// # Errors
    /// If it is not UTF-8.
    #[inline]
    pub fn str(self) -> Result<&'a str, Malformed> {
        core::str::from_utf8(self.0).map_err(|wrong| Malformed::new(Why::Text, &self.0[wrong.valid_up_to()..]))
    }
}

/// A `fixed32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits32(pub u32);

/// What is left of a message. After an error nothing is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wire<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Wire<'a> {
    /// The key of the next field: number × 8 + wire type, not checked yet.
    #[inline(always)]
    pub(crate) fn key(&mut self) -> Result<u64, Malformed> {
        self.varint()
    }

    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        match self.rest {
            [byte @ 0..=0x7f, rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            // Lengths of up to 16 kB.
            [low, high @ 0..=0x7f, rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    #[cold]
    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (index, byte) in self.rest.iter().enumerate() {
            // The tenth byte holds the 64th bit and nothing else.
            if index == 9 && *byte > 1 {
                return Err(self.fail(Why::Varint));
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(self.fail(Why::Truncated))
    }

    #[inline(always)]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.varint()?;
        // Where `usize` is smaller, such a length is beyond any message all the same.
        match self.rest.split_at_checked(usize::try_from(length).unwrap_or(usize::MAX)) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.fail(Why::Truncated)),
        }
    }

    #[inline(always)]
    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(self.fail(Why::Truncated)),
        }
    }

    /// Reads the value that follows `key`.
    fn untyped(&mut self, key: u64) -> Result<Untyped<'a>, Malformed> {
        match key & 7 {
            _ if !(1 << 3..1 << 32).contains(&key) => Err(self.fail(Why::Key)),
            VARINT => self.varint().map(Untyped::Varint),
            FIXED64 => self.fixed().map(u64::from_le_bytes).map(Untyped::Fixed64),
            BYTES => self.bytes().map(Untyped::Bytes),
            GROUP => self.skip_group(key >> 3, 1).map(|()| Untyped::Group),
            GROUP_END => Err(self.fail(Why::Group)),
            FIXED32 => self.fixed().map(u32::from_le_bytes).map(Untyped::Fixed32),
            _ => Err(self.fail(Why::Key)),
        }
    }

    /// Passes over what follows `key`, which is no field of the message; `known`: it has the number of one.
    #[cold]
    pub(crate) fn skip(&mut self, key: u64, known: bool) -> Result<(), Malformed> {
        if known {
            return Err(self.fail(Why::WireType));
        }
        self.untyped(key).map(|_| ())
    }

    #[cold]
    fn skip_group(&mut self, number: u64, depth: u32) -> Result<(), Malformed> {
        if depth > MAX_NESTING {
            return Err(self.fail(Why::Nesting));
        }
        loop {
            let key = self.key()?;
            match key & 7 {
                GROUP_END if key >> 3 == number => return Ok(()),
                GROUP if (1 << 3..1 << 32).contains(&key) => self.skip_group(key >> 3, depth + 1)?,
                _ => self.untyped(key).map(|_| ())?,
            }
        }
    }

    #[cold]
    fn fail(&mut self, why: Why) -> Malformed {
        let malformed = Malformed::new(why, self.rest);
        self.rest = &[];
        malformed
    }
}

/// The fields of any message, in their order on the wire. Ends after the first error.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(Wire<'a>);

/// One field of any message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its number in the message's definition.
    pub number: u32,
    /// What it holds.
    pub value: Untyped<'a>,
    /// The whole field, key included: what a forwarder copies.
    pub raw: &'a [u8],
}

/// What a field holds, by wire type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untyped<'a> {
    /// Integers, booleans, enums.
    Varint(u64),
    /// `fixed64`, `double`.
    Fixed64(u64),
    /// Text, bytes, messages.
    Bytes(&'a [u8]),
    /// A group, passed over.
    Group,
    /// `fixed32`, `float`.
    Fixed32(u32),
}

impl<'a> Fields<'a> {
    /// The fields of `message`.
    pub fn of(message: &'a [u8]) -> Self {
        Self(Wire { rest: message })
    }

    fn read(&mut self) -> Result<Field<'a>, Malformed> {
        let start = self.0.rest;
        let key = self.0.key()?;
        let value = self.0.untyped(key)?;
        Ok(Field { number: (key >> 3) as u32, value, raw: &start[..start.len() - self.0.rest.len()] })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.rest.is_empty() { None } else { Some(self.read()) }
    }
}
