//! Protobuf's wire format, borrowed: fields of one message, one after the other, nothing copied.

use crate::Undecodable;

/// One field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Field<'a> {
    /// Integers, booleans, enums.
    Varint(u64),
    /// `fixed64`, `double`.
    Fixed64(u64),
    /// Text, bytes, messages.
    Bytes(&'a [u8]),
    /// `fixed32`, `float`.
    Fixed32(u32),
}

/// The fields of a message. Ends after the first error.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

/// The fields of `message`.
pub(crate) fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Field<'a>), Undecodable>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    #[inline]
    fn field(&mut self) -> Result<(u32, Field<'a>), Undecodable> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Undecodable::Malformed)?;
        if number == 0 {
            return Err(Undecodable::Malformed);
        }
        let value = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Undecodable::Truncated)?;
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(Undecodable::Malformed),
        };
        Ok((number, value))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Undecodable> {
        if let [byte @ 0..=0x7f, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Undecodable> {
        let mut value = 0_u64;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                if index == 9 && *byte > 1 {
                    return Err(Undecodable::Malformed);
                }
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { Undecodable::Truncated } else { Undecodable::Malformed })
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Undecodable> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Undecodable::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Undecodable> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Undecodable::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }
}

impl<'a> Field<'a> {
    /// Its bytes; anything else was written by another schema.
    #[inline]
    pub(crate) fn bytes(self) -> Result<&'a [u8], Undecodable> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Undecodable::Malformed),
        }
    }

    /// Its integer.
    #[inline]
    pub(crate) fn varint(self) -> Result<u64, Undecodable> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(Undecodable::Malformed),
        }
    }

    /// Its eight bytes.
    #[inline]
    pub(crate) fn fixed64(self) -> Result<u64, Undecodable> {
        match self {
            Self::Fixed64(value) => Ok(value),
            _ => Err(Undecodable::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_order() {
        let message =
            [0x08, 0x96, 0x01, 0x12, 0x02, b'h', b'i', 0x1d, 1, 0, 0, 0, 0x21, 2, 0, 0, 0, 0, 0, 0, 0];
        let read: Vec<_> = fields(&message).map(Result::unwrap).collect();
        let wanted = [
            (1, Field::Varint(150)),
            (2, Field::Bytes(b"hi")),
            (3, Field::Fixed32(1)),
            (4, Field::Fixed64(2)),
        ];
        assert_eq!(read, wanted);
    }

    #[test]
    fn what_is_cut_or_wrong_is_said_once() {
        let cases: [(&[u8], Undecodable); 6] = [
            (&[0x08], Undecodable::Truncated),
            (&[0x12, 0x05, 1], Undecodable::Truncated),
            (&[0x08, 0xff], Undecodable::Truncated),
            (&[0x00, 0x00], Undecodable::Malformed),
            (&[0x0b], Undecodable::Malformed),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], Undecodable::Malformed),
        ];
        for (message, error) in cases {
            let mut read = fields(message);
            assert_eq!(read.next(), Some(Err(error)), "{message:x?}");
            assert_eq!(read.next(), None);
        }
    }
}
