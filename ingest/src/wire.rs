//! Protobuf's wire format, read in place: fields as slices of the message, nothing copied, nothing allocated.
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its number in the message's definition.
    pub number: u32,
    /// What it holds.
    pub value: Value<'a>,
    /// The whole field, key included: what a forwarder copies.
    pub raw: &'a [u8],
}

/// What a field holds, by wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Integers, enums, booleans.
    Varint(u64),
    /// `fixed64`, `double`.
    Fixed64,
    /// `fixed32`.
    Fixed32,
    /// Strings, bytes, messages.
    Bytes(&'a [u8]),
}

/// Why bytes are no protobuf message of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The message ends inside a field.
    #[error("the message ends inside a field")]
    Truncated,
    /// A varint is longer than 64 bits.
    #[error("a varint is longer than 64 bits")]
    Varint,
    /// A key with field number 0, a number out of range or an unknown wire type.
    #[error("a field key is invalid")]
    Key,
    /// Groups, which OTLP has never used and which would allow unbounded nesting.
    #[error("groups are not part of OTLP")]
    Group,
    /// A known field has another wire type than its definition.
    #[error("field {field} of {message} has the wrong wire type")]
    WireType {
        /// The message's name.
        message: &'static str,
        /// The field's number.
        field: u32,
    },
    /// A trace or span id is neither empty nor of its fixed length.
    #[error("field {field} of {message} is an id of {length} bytes")]
    IdLength {
        /// The message's name.
        message: &'static str,
        /// The field's number.
        field: u32,
        /// The length found.
        length: usize,
    },
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// An attribute's value is nested too deeply.
    #[error("a value is nested deeper than {}", crate::shape::MAX_NESTING)]
    Nesting,
}

/// The fields of a message in their order on the wire. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Fields of `message`.
    pub fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    #[inline]
    fn read(&mut self) -> Result<Field<'a>, Malformed> {
        let start = self.rest;
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed::Key)?;
        let number = key >> 3;
        if number == 0 {
            return Err(Malformed::Key);
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed64)?,
            2 => self.length_delimited()?,
            5 => self.take(4).map(|_| Value::Fixed32)?,
            3 | 4 => return Err(Malformed::Group),
            _ => return Err(Malformed::Key),
        };
        Ok(Field { number, value, raw: &start[..start.len() - self.rest.len()] })
    }

    #[inline]
    fn length_delimited(&mut self) -> Result<Value<'a>, Malformed> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Truncated)?;
        self.take(length).map(Value::Bytes)
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Nearly all keys and lengths are one or two bytes.
    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        match self.rest {
            [byte @ 0..=0x7f, rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            [low, high @ 0..=0x7f, rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (position, byte) in self.rest.iter().enumerate() {
            // The tenth byte holds the 64th bit and nothing else.
            if position == 9 && *byte > 1 {
                return Err(Malformed::Varint);
            }
            value |= u64::from(byte & 0x7f) << (7 * position);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[position + 1..];
                return Ok(value);
            }
        }
        Err(Malformed::Truncated)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Bytes of `length` as a varint.
pub fn varint_len(length: usize) -> usize {
    prost::encoding::encoded_len_varint(length as u64)
}

/// Writes the key and length of a length-delimited field.
pub fn put_length_delimited(out: &mut Vec<u8>, field: u32, length: usize) {
    prost::encoding::encode_key(field, prost::encoding::WireType::LengthDelimited, out);
    prost::encoding::encode_varint(length as u64, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<Field<'_>>, Malformed> {
        Fields::of(bytes).collect()
    }

    #[test]
    fn every_wire_type_is_read_with_its_raw_bytes() {
        let message = [0x08, 0x96, 0x01, 0x12, 2, 7, 8, 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8];
        let fields = read(&message).unwrap();
        let values: Vec<_> = fields.iter().map(|field| (field.number, field.value)).collect();
        assert_eq!(
            values,
            [(1, Value::Varint(150)), (2, Value::Bytes(&[7, 8])), (3, Value::Fixed32), (4, Value::Fixed64)]
        );
        assert_eq!(fields.iter().flat_map(|field| field.raw).copied().collect::<Vec<_>>(), message);
    }

    #[test]
    fn broken_messages_are_named() {
        let overlong = [&[0x08][..], &[0xff; 9], &[0x02]].concat();
        for (bytes, malformed) in [
            (&[0x08][..], Malformed::Truncated),
            (&[0x12, 5, 1], Malformed::Truncated),
            (&[0x12, 0xff, 0xff, 0xff, 0xff, 0x0f], Malformed::Truncated),
            (&[0x09, 1], Malformed::Truncated),
            (&overlong, Malformed::Varint),
            (&[0x02, 0], Malformed::Key),
            (&[0x0e, 0], Malformed::Key),
            (&[0x0b, 0x0c], Malformed::Group),
        ] {
            assert_eq!(read(bytes), Err(malformed), "{bytes:x?}");
        }
    }
}
