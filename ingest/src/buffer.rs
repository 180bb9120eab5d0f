//! Bytes that grow under a limit and are charged before they are allocated.

use crate::pressure::Charge;
use crate::refusal::Refusal;
use bytes::Bytes;

/// What is announced gets room at once up to here.
const ANNOUNCED_BYTES: usize = 64 << 10;

/// Grows by doubling, so that a sender who announces much and sends little holds little.
#[derive(Debug)]
pub struct Buffer<'c> {
    bytes: Vec<u8>,
    /// Least room once there is any.
    first: usize,
    /// What the request holds besides.
    beside: usize,
    limit: usize,
    charge: &'c mut Charge,
}

impl<'c> Buffer<'c> {
    /// An empty buffer of at most `limit` bytes, in a request that holds `beside` bytes already.
    pub fn beside(beside: usize, limit: usize, charge: &'c mut Charge) -> Self {
        Self { bytes: Vec::new(), first: 0, beside, limit, charge }
    }

    /// With room for so many bytes from the first on, where they aren't many.
    pub fn expecting(self, bytes: usize) -> Self {
        Self { first: bytes.min(ANNOUNCED_BYTES), ..self }
    }

    /// Whether nothing is in it yet.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends.
    ///
    /// # Errors
    /// More than the limit, or no memory.
    pub fn extend(&mut self, data: &[u8]) -> Result<(), Refusal> {
        let needed = self.bytes.len() + data.len();
        if needed > self.limit {
            return Err(Refusal::TooLarge { limit: self.limit });
        }
        if needed > self.bytes.capacity() {
            let capacity = needed.max(2 * self.bytes.capacity()).max(self.first).min(self.limit);
            // While the bytes move both places exist.
            self.cover(self.bytes.capacity() + capacity)?;
            self.bytes.reserve_exact(capacity - self.bytes.len());
            self.cover(capacity)?;
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// Charges `data`, which will be held in place of this buffer.
    ///
    /// # Errors
    /// No memory.
    pub fn replace_by(&mut self, data: &Bytes) -> Result<(), Refusal> {
        self.cover(data.len())
    }

    /// What was gathered; the charge goes on.
    pub fn into_bytes(self) -> Bytes {
        self.bytes.into()
    }

    fn cover(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.charge.cover(self.beside + bytes).map_err(|overload| Refusal::overload(overload, self.limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pressure::{Pressure, REQUEST_BYTES};

    #[test]
    fn growth_is_charged_first_and_ends_at_the_limit() {
        let pressure = Pressure::new(REQUEST_BYTES + 1000);
        let mut charge = pressure.enter().unwrap();
        let mut buffer = Buffer::beside(100, 600, &mut charge);
        buffer.extend(&[1; 300]).unwrap();
        assert_eq!(buffer.extend(&[1; 301]), Err(Refusal::TooLarge { limit: 600 }));
        // 100 beside, 300 old and 600 new bytes while they move.
        buffer.extend(&[1; 1]).unwrap();
        assert_eq!(buffer.into_bytes().len(), 301);
        assert_eq!(pressure.used(), REQUEST_BYTES + 700);
    }

    #[test]
    fn without_memory_nothing_is_allocated() {
        let pressure = Pressure::new(2 * REQUEST_BYTES + 500);
        let _other = pressure.enter().unwrap();
        let mut charge = pressure.enter().unwrap();
        let mut buffer = Buffer::beside(0, 1000, &mut charge);
        assert_eq!(buffer.extend(&[1; 501]), Err(Refusal::Busy));
        assert!(buffer.is_empty());
    }
}
