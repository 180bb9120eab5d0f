//! How often a caller may ask: a bucket of tokens for each, in a table of bounded size.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Callers that are told apart. Whoever comes when all places are taken shares one bucket with the others.
const CALLERS: usize = 10_000;
/// Requests that may come at once, in seconds of the rate: a page asks for many things when it opens.
const BURST_S: f64 = 4.0;

/// Who has a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Caller {
    /// Known by name.
    Named(Arc<str>),
    /// Known by address only. IPv6 gives everybody 2^64 of them, so their network counts.
    From(IpAddr),
    /// One of too many.
    Other,
}

/// All buckets.
#[derive(Debug)]
pub struct Rates {
    /// Requests a second; 0: any number.
    per_second: f64,
    buckets: Mutex<HashMap<Caller, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Caller {
    /// By address.
    pub fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::From(address.into()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::From(std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
        }
    }
}

impl Rates {
    /// So many a second for each; 0: any number.
    pub fn new(per_second: u32) -> Self {
        Self { per_second: per_second.into(), buckets: Mutex::default() }
    }

    /// Takes one request of a caller's; else how long it should wait.
    ///
    /// # Errors
    /// It asks too often.
    pub fn take(&self, caller: Caller, now: Instant) -> Result<(), Duration> {
        if self.per_second == 0.0 {
            return Ok(());
        }
        // Requests run on many threads, and what is done under the lock is arithmetic.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let caller = self.place(&mut buckets, caller, now);
        let full = Bucket { left: self.per_second * BURST_S, at: now };
        let bucket = buckets.entry(caller).or_insert(full);
        *bucket = Bucket { left: self.filled(bucket, now), at: now };
        if bucket.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.left) / self.per_second));
        }
        bucket.left -= 1.0;
        Ok(())
    }

    /// Makes room by forgetting whose bucket is full again: they are as if they had never asked.
    fn place(&self, buckets: &mut HashMap<Caller, Bucket>, caller: Caller, now: Instant) -> Caller {
        if buckets.len() < CALLERS || buckets.contains_key(&caller) {
            return caller;
        }
        let burst = self.per_second * BURST_S;
        buckets.retain(|_, bucket| self.filled(bucket, now) < burst);
        if buckets.len() < CALLERS { caller } else { Caller::Other }
    }

    fn filled(&self, bucket: &Bucket, now: Instant) -> f64 {
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.left + since * self.per_second).min(self.per_second * BURST_S)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(rates: &Rates, caller: &Caller, now: Instant) -> usize {
        (0..1_000).take_while(|_| rates.take(caller.clone(), now).is_ok()).count()
    }

    #[test]
    fn a_burst_then_the_rate_and_each_for_itself() {
        let (rates, now) = (Rates::new(10), Instant::now());
        let [alice, bob] = ["alice", "bob"].map(|name| Caller::Named(name.into()));
        assert_eq!(taken(&rates, &alice, now), 40);
        let wait = rates.take(alice.clone(), now).unwrap_err();
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        assert_eq!(taken(&rates, &bob, now), 40);
        assert_eq!(taken(&rates, &alice, now + Duration::from_secs(1)), 10);
        assert_eq!(taken(&rates, &alice, now + Duration::from_secs(1_000)), 40);
    }

    #[test]
    fn the_table_is_bounded_and_strangers_share_what_is_left() {
        let (rates, now) = (Rates::new(10), Instant::now());
        for nth in 0..2 * u32::try_from(CALLERS).unwrap() {
            let _ = rates.take(Caller::from(std::net::Ipv4Addr::from(nth).into()), now);
        }
        assert_eq!(rates.buckets.lock().unwrap().len(), CALLERS + 1);
        assert_eq!(taken(&rates, &Caller::from([255, 0, 0, 1].into()), now), 0, "the shared bucket is empty");
        let later = now + Duration::from_secs(10);
        assert_eq!(taken(&rates, &Caller::from([255, 0, 0, 1].into()), later), 40);
        assert_eq!(rates.buckets.lock().unwrap().len(), 1, "full buckets are forgotten");
    }

    #[test]
    fn addresses_of_one_network_are_one_caller() {
        let caller = |address: &str| Caller::from(address.parse().unwrap());
        assert_eq!(caller("2001:db8::1"), caller("2001:db8::ffff:2"));
        assert_ne!(caller("2001:db8::1"), caller("2001:db8:0:1::1"));
        assert_eq!(caller("::ffff:10.0.0.1"), caller("10.0.0.1"));
        assert_ne!(caller("10.0.0.1"), caller("10.0.0.2"));
    }

    #[test]
    fn zero_means_any_number() {
        assert_eq!(taken(&Rates::new(0), &Caller::Other, Instant::now()), 1_000);
    }
}
