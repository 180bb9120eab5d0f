//! The numbers of one series, as changes and as sums that never fall.

use crate::histogram::Histogram;
use stitcher::histogram::range_of;

/// Upper bounds of the latency buckets, µs: those of Tempo's span metrics, and one below them. Each is the bound of an HDR
/// bucket too, so no value is counted on the wrong side. A value counts below a bound that it equals to the µs.
pub const BOUNDS_US: [u64; 15] = {
    let mut bounds = [1_000; 15];
    let mut at = 1;
    while at < bounds.len() {
        bounds[at] = bounds[at - 1] * 2;
        at += 1;
    }
    bounds
};

/// Buckets of a latency, the last one without a bound.
pub const BUCKETS: usize = BOUNDS_US.len() + 1;

/// The bucket that the values of an HDR bucket belong to.
fn place(hdr_bucket: u16) -> usize {
    let (lower, width) = range_of(hdr_bucket);
    BOUNDS_US.partition_point(|bound| *bound < lower + width)
}

/// The bucket of a value.
pub fn place_of(value_us: u64) -> usize {
    BOUNDS_US.partition_point(|bound| *bound <= value_us)
}

/// Counts by bucket in thousandths, and the sum of the values in thousandths of µs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency<T> {
    /// Not cumulative.
    pub buckets: [T; BUCKETS],
    /// Of all values.
    pub sum: T,
}

/// The numbers of a series; counts in thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers<T> {
    /// All calls of an edge; of an entry point, the requests that did not fail: a counter of its own, because the
    /// difference of two that never fall may fall.
    pub total: T,
    /// Calls or requests that failed.
    pub failed: T,
    /// How long the callee took.
    pub server: Latency<T>,
    /// How long the caller waited.
    pub client: Latency<T>,
}

/// What a commit changes.
pub type Net = Numbers<i64>;
/// What Prometheus sees.
pub type Sums = Numbers<Monotone>;

/// A sum of signed changes that never falls. What a correction takes back is owed: the next additions pay it off before
/// they count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Monotone {
    value: i64,
    owed: i64,
}

impl Monotone {
    /// Adds a change.
    pub fn add(&mut self, net: i64) {
        let balance = net.saturating_sub(self.owed);
        self.value = self.value.saturating_add(balance.max(0));
        // What was counted before this sum began can't be taken back from it.
        self.owed = balance.min(0).saturating_neg().min(self.value);
    }
}

impl Latency<i64> {
    /// Adds the values of a histogram.
    pub fn add(&mut self, histogram: &Histogram) {
        for &(bucket, count) in histogram.buckets() {
            let sum = &mut self.buckets[place(bucket)];
            *sum = sum.saturating_add(count);
        }
        self.sum = self.sum.saturating_add(histogram.sum_milli_us());
    }
}

impl Net {
    /// Adds what others changed.
    pub fn add(&mut self, other: &Self) {
        self.each(other, |sum, change| *sum = sum.saturating_add(*change));
    }

    /// Whether nothing has changed.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl Sums {
    /// Adds a change.
    pub fn add(&mut self, net: &Net) {
        self.each(net, |sum, change| sum.add(*change));
    }

    /// The numbers to show.
    pub fn shown(&self) -> Net {
        let mut shown = Net::default();
        shown.each(self, |shown, sum| *shown = sum.value);
        shown
    }
}

impl<T> Numbers<T> {
    fn each<U>(&mut self, other: &Numbers<U>, change: impl Fn(&mut T, &U)) {
        change(&mut self.total, &other.total);
        change(&mut self.failed, &other.failed);
        for (ours, theirs) in [(&mut self.server, &other.server), (&mut self.client, &other.client)] {
            ours.buckets.iter_mut().zip(&theirs.buckets).for_each(|(ours, theirs)| change(ours, theirs));
            change(&mut ours.sum, &theirs.sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stitcher::histogram::bucket_of;

    fn shown(changes: &[i64]) -> Vec<i64> {
        let mut sum = Monotone::default();
        changes
            .iter()
            .map(|change| {
                sum.add(*change);
                sum.value
            })
            .collect()
    }

    #[test]
    fn what_is_taken_back_is_paid_off_before_anything_counts() {
        assert_eq!(shown(&[5, -2, 1, 1, 1]), [5, 5, 5, 5, 6]);
        assert_eq!(shown(&[5, -2, -2, 10]), [5, 5, 5, 11]);
        assert_eq!(shown(&[-7, 2]), [0, 2], "a correction of what somebody else has counted");
        assert_eq!(shown(&[3, -9, 4]), [3, 3, 4], "no more than all of it is owed");
        assert_eq!(shown(&[i64::MAX, i64::MAX, i64::MIN]), [i64::MAX; 3]);
    }

    #[test]
    fn every_bound_is_one_of_the_exact_histogram_too() {
        for (at, bound) in BOUNDS_US.into_iter().enumerate() {
            assert_eq!(range_of(bucket_of(bound)).0, bound);
            assert_eq!((place(bucket_of(bound - 1)), place(bucket_of(bound))), (at, at + 1));
            assert_eq!((place_of(bound - 1), place_of(bound)), (at, at + 1));
        }
        assert_eq!((place(0), place(4_351)), (0, BUCKETS - 1));
    }

    #[test]
    fn buckets_and_sum_follow_the_histogram() {
        let mut latency = Latency::<i64>::default();
        let buckets = [(bucket_of(400), 2_000), (bucket_of(3_000), 1_000), (bucket_of(40_000_000), -500)];
        latency.add(&Histogram::from_buckets(buckets.map(|(bucket, count)| (bucket.into(), count)), 77).0);
        let found: Vec<_> = latency.buckets.iter().enumerate().filter(|(_, count)| **count != 0).collect();
        assert_eq!(found, [(0, &2_000), (2, &1_000), (15, &-500)]);
        assert_eq!(latency.sum, 77);
    }
}
