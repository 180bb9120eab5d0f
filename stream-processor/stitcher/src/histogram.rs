//! Sparse HDR histograms: 2 significant digits, unit 1 µs (the bucket arithmetic of HdrHistogram, Gil Tene).
//!
//! Values below 256 have a bucket each; above, every power of two is cut into 128 equal buckets, so a bucket is
//! never wider than 1/128 of its value. Adding histograms is adding counts: percentiles of any union are exact
//! to the bucket, however the parts were rolled up.

use alloc::vec::Vec;

/// Larger values count as this one: 2^40 µs, twelve days.
pub const MAX_US: u64 = (1 << 40) - 1;

/// Bucket of [`MAX_US`]: larger indexes can only come from a broken writer.
pub const LAST_BUCKET: u16 = 32 * 128 + 255;

/// Bucket of a value in µs.
pub fn bucket_of(value_us: u64) -> u16 {
    let value = value_us.min(MAX_US);
    if value < 256 {
        return value as u16;
    }
    let exponent = 63 - value.leading_zeros() - 7;
    (exponent * 128) as u16 + (value >> exponent) as u16
}

/// Smallest value of a bucket and the bucket's width, µs.
pub fn range_of(bucket: u16) -> (u64, u64) {
    if bucket < 256 {
        return (u64::from(bucket), 1);
    }
    let exponent = u32::from(bucket / 128) - 1;
    ((u64::from(bucket % 128) + 128) << exponent, 1 << exponent)
}

/// The value a bucket stands for: its middle, µs.
pub fn middle_of(bucket: u16) -> u64 {
    let (lower, width) = range_of(bucket);
    lower + width / 2
}

/// Signed counts by bucket, ascending, no zeros; and the exact sum of the values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// (bucket, count), ascending by bucket.
    pub buckets: Vec<(u16, i64)>,
    /// Sum of all values, µs.
    pub sum_us: i64,
}

impl Histogram {
    /// Number of values.
    pub fn count(&self) -> i64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// No counts at all.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty() && self.sum_us == 0
    }

    /// Adds one value, or with `sign` −1 takes it back.
    pub fn record(&mut self, value_us: u64, sign: i64) {
        self.add_bucket(bucket_of(value_us), sign);
        self.sum_us += sign * value_us.min(MAX_US) as i64;
    }

    /// Adds another histogram `times` over (a sampling weight, or −1).
    pub fn merge(&mut self, other: &Self, times: i64) {
        for (bucket, count) in &other.buckets {
            self.add_bucket(*bucket, count * times);
        }
        self.sum_us += other.sum_us * times;
    }

    pub(crate) fn add_bucket(&mut self, bucket: u16, count: i64) {
        match self.buckets.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => {
                self.buckets[at].1 += count;
                if self.buckets[at].1 == 0 {
                    self.buckets.remove(at);
                }
            }
            Err(at) if count != 0 => self.buckets.insert(at, (bucket, count)),
            Err(_) => {}
        }
    }

    /// Nearest-rank quantile, `0.0 ..= 1.0`, in µs; 0 when empty.
    pub fn quantile(&self, q: f64) -> u64 {
        let total = self.count();
        if total <= 0 {
            return 0;
        }
        // `ceil` is not in core: the smallest rank whose share reaches q.
        let exact = q * total as f64;
        let floor = exact as i64;
        let rank = if floor as f64 >= exact - 1e-9 { floor } else { floor + 1 }.clamp(1, total);
        let mut seen = 0;
        for (bucket, count) in &self.buckets {
            seen += count;
            if seen >= rank {
                return middle_of(*bucket);
            }
        }
        self.max()
    }

    /// Middle of the highest bucket, µs.
    pub fn max(&self) -> u64 {
        self.buckets.last().map_or(0, |(bucket, _)| middle_of(*bucket))
    }

    /// Exact mean, µs, rounded down; 0 when empty.
    pub fn mean(&self) -> i64 {
        match self.count() {
            count if count > 0 => self.sum_us / count,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_the_hdr_histogram_crate() {
        let mut reference = hdrhistogram::Histogram::<u64>::new_with_bounds(1, MAX_US, 2).unwrap();
        for value in (0..4_000).chain((2..40).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 3])) {
            let (lower, width) = range_of(bucket_of(value));
            assert_eq!(lower, reference.lowest_equivalent(value), "lower bound of {value}");
            assert_eq!(lower + width - 1, reference.highest_equivalent(value), "upper bound of {value}");
            reference.record(value).unwrap();
        }
    }

    #[test]
    fn buckets_are_contiguous_and_ascend() {
        assert_eq!(bucket_of(MAX_US), LAST_BUCKET);
        for bucket in 0..LAST_BUCKET {
            let (lower, width) = range_of(bucket);
            assert_eq!(range_of(bucket + 1).0, lower + width);
            assert_eq!(bucket_of(lower), bucket);
        }
    }

    #[test]
    fn quantile_is_the_nearest_rank_within_a_bucket() {
        let mut histogram = Histogram::default();
        (1..=100).for_each(|value| histogram.record(value * 1_000, 1));
        for (q, expected) in
            [(0.0, 1_000.0), (0.5, 50_000.0), (0.95, 95_000.0), (0.99, 99_000.0), (1.0, 100_000.0)]
        {
            let error = (histogram.quantile(q) as f64 - expected).abs() / expected;
            assert!(error < 0.004, "q {q}: {} is {error} off", histogram.quantile(q));
        }
    }

    #[test]
    fn taking_a_value_back_leaves_nothing() {
        let mut histogram = Histogram::default();
        histogram.record(77_777, 1);
        histogram.record(77_777, -1);
        assert!(histogram.is_empty());
        assert_eq!(histogram.quantile(0.5), 0);
    }
}
