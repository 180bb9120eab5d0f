//! ClickHouse's RowBinary format: values one after another, little-endian, nothing in between.
//!
//! Rows are encoded once, into the bytes that are sent, so that a repeated insert is the same block.

use std::io::Write as _;

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
        let begin = self.0.len();
        self.0.resize(begin + value.len() * 2, 0);
        for (digits, byte) in self.0[begin..].chunks_exact_mut(2).zip(value) {
            digits.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }

    /// A `String` of decimal digits.
    pub fn decimal(&mut self, value: i64) {
        // Of at most 20 bytes, so its length is one byte.
        let at = self.0.len();
        self.0.push(0);
        let _ = write!(self.0, "{value}");
        self.0[at] = (self.0.len() - at - 1) as u8;
    }

    /// Number of elements of the `Array` or `Map` whose elements follow, as LEB128.
    pub fn length(&mut self, mut length: usize) {
        while length >= 0x80 {
            self.0.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        self.0.push(length as u8);
    }

    /// What was encoded before.
    pub fn copy(&mut self, encoded: &[u8]) {
        self.0.extend_from_slice(encoded);
    }

    /// Forgets everything but the memory it took.
    pub fn clear(&mut self) {
        self.0.clear();
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
        assert_eq!(encoded(|row| row.decimal(i64::MIN)), *b"\x14-9223372036854775808");
    }
}
