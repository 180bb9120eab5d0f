//! Protobuf, written straight into a record's value: of what every flow, counter and close says, nothing is copied twice.
//! As proto3 asks, zeros and empty texts are left out.

/// A message being written, or some of its fields.
#[derive(Default)]
pub struct Wire {
    bytes: Vec<u8>,
}

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;

impl Wire {
    /// An empty message with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// The message.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes back what was written behind `at`.
    pub fn split_off(&mut self, at: usize) -> Self {
        Self { bytes: self.bytes.split_off(at) }
    }

    /// Fields written elsewhere.
    pub fn append(&mut self, fields: &Self) -> &mut Self {
        self.bytes.extend_from_slice(&fields.bytes);
        self
    }

    /// `uint32`, `uint64`, an enum's number, or a `bool` as 0 or 1.
    pub fn uint(&mut self, field: u32, value: impl Into<u64>) -> &mut Self {
        let value = value.into();
        if value == 0 { self } else { self.varint_of(field, value) }
    }

    /// `int64`.
    pub fn int(&mut self, field: u32, value: i64) -> &mut Self {
        self.uint(field, value.cast_unsigned())
    }

    /// `sint64`.
    pub fn sint(&mut self, field: u32, value: i64) -> &mut Self {
        self.uint(field, zigzag(value))
    }

    /// `optional int64`: 0 is not left out.
    pub fn optional_int(&mut self, field: u32, value: Option<i64>) -> &mut Self {
        match value {
            Some(value) => self.varint_of(field, value.cast_unsigned()),
            None => self,
        }
    }

    /// `fixed64`.
    pub fn fixed(&mut self, field: u32, value: u64) -> &mut Self {
        if value != 0 {
            self.varint(u64::from(field << 3 | FIXED64));
            self.bytes.extend_from_slice(&value.to_le_bytes());
        }
        self
    }

    /// `string`.
    pub fn text(&mut self, field: u32, text: &str) -> &mut Self {
        if text.is_empty() { self } else { self.element(field, text.as_bytes()) }
    }

    /// `bytes` that are never empty, or one of a repeated field.
    pub fn element(&mut self, field: u32, bytes: &[u8]) -> &mut Self {
        self.varint(u64::from(field << 3 | LENGTH));
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// `bytes`, in pieces.
    pub fn pieces<const N: usize>(
        &mut self,
        field: u32,
        pieces: impl ExactSizeIterator<Item = [u8; N]>,
    ) -> &mut Self {
        let many = pieces.len() * N;
        if many > 0 {
            self.varint(u64::from(field << 3 | LENGTH));
            self.varint(many as u64);
            pieces.for_each(|piece| self.bytes.extend_from_slice(&piece));
        }
        self
    }

    /// A packed `repeated uint32`, `uint64` or, by [`zigzag`], `sint64`.
    pub fn packed(&mut self, field: u32, values: impl ExactSizeIterator<Item = u64>) -> &mut Self {
        if values.len() == 0 {
            return self;
        }
        self.message(field, |wire| values.for_each(|value| wire.varint(value)))
    }

    /// A message within this one.
    pub fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) -> &mut Self {
        self.varint(u64::from(field << 3 | LENGTH));
        let at = self.bytes.len();
        // Most lengths take one byte: a longer one moves what was written behind it.
        self.bytes.push(0);
        write(self);
        let length = self.bytes.len() - at - 1;
        match u8::try_from(length) {
            Ok(length @ 0..0x80) => self.bytes[at] = length,
            _ => {
                let mut long = Self::default();
                long.varint(length as u64);
                self.bytes.splice(at..=at, long.bytes);
            }
        }
        self
    }

    fn varint_of(&mut self, field: u32, value: u64) -> &mut Self {
        self.varint(u64::from(field << 3 | VARINT));
        self.varint(value);
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

/// How `sint64` is written: small numbers take few bytes, below zero too.
pub fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}
