//! Protobuf, written straight into a record's value: of what every flow says, nothing is copied twice. As proto3 asks, zeros
//! and empty texts are left out.

/// One message being written.
#[derive(Default)]
pub struct Wire {
    bytes: Vec<u8>,
}

const VARINT: u32 = 0;
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

    /// `uint32`, `uint64`, an enum's number, or a `bool` as 0 or 1.
    pub fn uint(&mut self, field: u32, value: impl Into<u64>) -> &mut Self {
        let value = value.into();
        if value != 0 {
            self.varint(u64::from(field << 3 | VARINT));
            self.varint(value);
        }
        self
    }

    /// `int64`.
    pub fn int(&mut self, field: u32, value: i64) -> &mut Self {
        self.uint(field, value.cast_unsigned())
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

    /// A message within this one.
    pub fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::default();
        write(&mut inner);
        self.element(field, &inner.bytes)
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}
