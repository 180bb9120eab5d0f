//! How many bytes the requests in progress may hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a request costs beside its body: its task, headers, stream and tickets.
pub const REQUEST_BYTES: usize = 16 << 10;

/// The budget that all requests share. Nobody waits for it: who gets nothing is told to come back.
#[derive(Debug, Clone)]
pub struct Pressure {
    limit: usize,
    // Requests live on many tasks, and a charge is given back wherever its last holder is dropped.
    used: Arc<AtomicUsize>,
}

/// Why there are no bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overload {
    /// Other requests hold them.
    Now,
    /// The request alone needs more than the whole budget.
    Always,
}

/// The bytes one request holds, given back when dropped.
#[derive(Debug)]
pub struct Charge {
    pressure: Pressure,
    bytes: usize,
}

impl Pressure {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, used: Arc::default() }
    }

    /// A new request.
    ///
    /// # Errors
    /// The budget is used up.
    pub fn enter(&self) -> Result<Charge, Overload> {
        let mut charge = Charge { pressure: self.clone(), bytes: 0 };
        charge.cover(0)?;
        Ok(charge)
    }

    /// Bytes held now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Charge {
    /// Makes this the charge of a request that holds `bytes` now, more or fewer than before.
    ///
    /// # Errors
    /// They are not there; the charge stays as it was.
    pub fn cover(&mut self, bytes: usize) -> Result<(), Overload> {
        let wanted = bytes + REQUEST_BYTES;
        let limit = self.pressure.limit;
        if wanted > limit {
            return Err(Overload::Always);
        }
        let others_and_wanted = |used: usize| used - self.bytes + wanted;
        let fits = |used| Some(others_and_wanted(used)).filter(|sum| wanted <= self.bytes || *sum <= limit);
        self.pressure
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map_err(|_| Overload::Now)?;
        self.bytes = wanted;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.pressure.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_grow_shrink_and_are_given_back() {
        let pressure = Pressure::new(10 * REQUEST_BYTES);
        let mut first = pressure.enter().unwrap();
        first.cover(6 * REQUEST_BYTES).unwrap();
        let mut second = pressure.enter().unwrap();
        assert_eq!(second.cover(2 * REQUEST_BYTES + 1), Err(Overload::Now));
        assert_eq!(pressure.used(), 8 * REQUEST_BYTES, "a refused charge stays as it was");
        second.cover(2 * REQUEST_BYTES).unwrap();
        assert_eq!(pressure.enter().unwrap_err(), Overload::Now);
        first.cover(0).unwrap();
        drop(second);
        assert_eq!(pressure.used(), REQUEST_BYTES);
        drop(first);
        assert_eq!(pressure.used(), 0);
    }

    #[test]
    fn what_can_never_fit_is_told_apart() {
        let pressure = Pressure::new(10 * REQUEST_BYTES);
        let mut charge = pressure.enter().unwrap();
        assert_eq!(charge.cover(10 * REQUEST_BYTES), Err(Overload::Always));
        assert_eq!(charge.cover(9 * REQUEST_BYTES), Ok(()));
    }
}
