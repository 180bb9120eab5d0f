//! ClickHouse's RowBinary format: values one after another, little-endian, nothing in between.
//!
//! Rows are encoded once, into the bytes that are sent, so that a repeated insert is the same block.

/// A growing buffer of rows.
#[derive(Debug, Default, Clone)]
pub struct RowBinary(Vec<u8>);

impl RowBinary {
    /// The encoded bytes so far.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The encoded bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// `UInt8`, `Bool`.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// `UInt16`.
    pub fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// `UInt32`, `DateTime`.
    pub fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// `UInt64`.
    pub fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// `Int64`, `DateTime64`, `Decimal(18, 3)` in thousandths.
    pub fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// `String`, `LowCardinality(String)`.
    pub fn text(&mut self, value: &str) {
        self.length(value.len());
        self.0.extend_from_slice(value.as_bytes());
    }

    /// A `String` of lower-case hexadecimal digits.
    pub fn hex(&mut self, value: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.length(value.len() * 2);
        for byte in value {
            self.0.push(DIGITS[usize::from(byte >> 4)]);
            self.0.push(DIGITS[usize::from(byte & 15)]);
        }
    }

    /// Number of elements of the `Array` or `Map` whose elements follow, as LEB128.
    pub fn length(&mut self, mut length: usize) {
        while length >= 0x80 {
            self.0.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        self.0.push(length as u8);
    }

    /// What was encoded before, for a value that many rows share.
    pub fn copy(&mut self, encoded: &RowBinary) {
        self.0.extend_from_slice(&encoded.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(write: impl FnOnce(&mut RowBinary)) -> Vec<u8> {
        let mut row = RowBinary::default();
        write(&mut row);
        row.into_bytes()
    }

    #[test]
    fn numbers_are_little_endian() {
        assert_eq!(encoded(|row| row.u16(0x0102)), [2, 1]);
        assert_eq!(encoded(|row| row.i64(-2)), [0xfe, 255, 255, 255, 255, 255, 255, 255]);
    }

    #[test]
    fn text_is_led_by_its_length_as_leb128() {
        assert_eq!(encoded(|row| row.text("ab")), [2, b'a', b'b']);
        assert_eq!(encoded(|row| row.length(300)), [0xac, 2]);
        assert_eq!(encoded(|row| row.length(0x80)), [0x80, 1]);
        assert_eq!(encoded(|row| row.hex(&[0xa0, 0x0f])), *b"\x04a00f");
    }
}
