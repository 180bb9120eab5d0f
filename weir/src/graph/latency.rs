//! Latencies of weighted calls.

use std::collections::BTreeMap;

use stitcher::histogram::{Histogram, middle_of};

use super::fold::Milli;

/// A histogram whose counts are thousandths of adjusted calls.
#[derive(Default, Clone)]
pub(super) struct Latency {
    buckets: BTreeMap<u16, i128>,
    sum_milli_us: i128,
}

impl Latency {
    pub(super) fn add(&mut self, histogram: &Histogram, weight_milli: u32) {
        for (bucket, count) in &histogram.buckets {
            *self.buckets.entry(*bucket).or_default() += i128::from(*count) * i128::from(weight_milli);
        }
        self.sum_milli_us += i128::from(histogram.sum_us) * i128::from(weight_milli);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.buckets {
            *self.buckets.entry(*bucket).or_default() += count;
        }
        self.sum_milli_us += other.sum_milli_us;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count().0 <= 0
    }

    pub(super) fn count(&self) -> Milli {
        Milli(self.buckets.values().sum())
    }

    pub(super) fn mean_us(&self) -> u64 {
        let mean = self.sum_milli_us.checked_div(self.count().0).unwrap_or_default();
        u64::try_from(mean).unwrap_or_default()
    }

    /// Nearest rank, in µs: the middle of the bucket that holds the ⌈per cent·n⌉th value.
    pub(super) fn percentile_us(&self, per_cent: u8) -> u64 {
        let wanted = self.count().0 * i128::from(per_cent);
        let mut seen = 0;
        for (bucket, count) in &self.buckets {
            seen += count;
            if seen * 100 >= wanted && seen > 0 {
                return middle_of(*bucket);
            }
        }
        0
    }

    pub(super) fn max_us(&self) -> u64 {
        self.buckets.iter().rev().find(|(_, count)| **count > 0).map_or(0, |(bucket, _)| middle_of(*bucket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks_whatever_the_weight() {
        let mut histogram = Histogram::default();
        (1..=100).for_each(|value| histogram.record(value, 1));
        for weight in [1_000, 2_500] {
            let mut latency = Latency::default();
            latency.add(&histogram, weight);
            let percentiles = [50, 90, 99, 100].map(|per_cent| latency.percentile_us(per_cent));
            assert_eq!((percentiles, latency.max_us(), latency.mean_us()), ([50, 90, 99, 100], 100, 50));
        }
    }

    #[test]
    fn nothing_has_no_latency() {
        assert_eq!((Latency::default().percentile_us(99), Latency::default().mean_us()), (0, 0));
    }
}
