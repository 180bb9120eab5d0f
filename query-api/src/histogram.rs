//! Latency histograms as they travel in deltas and tables: sparse HDR buckets, 2 significant digits, unit 1 µs.
//! Merging is addition, so a percentile never depends on how the numbers were rolled up.

use crate::series::Additive;
use stitcher::histogram::{LAST_BUCKET, middle_of};

/// Where a histogram has so many times fewer buckets, looking each of them up is faster than going through all.
const FEW: usize = 16;

/// Signed bucket counts in ascending order of bucket, and the exact sum. Both are in thousandths, adjusted for
/// sampling as in the tables: an unsampled value counts 1000, so that mixed sampling rates add up exactly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: Vec<(u16, i64)>,
    sum_milli_us: i64,
}

impl Histogram {
    /// From buckets with counts and the sum, all in thousandths. Buckets that can't exist are left out; the number of
    /// those comes back beside the histogram.
    pub fn from_buckets(buckets: impl IntoIterator<Item = (u32, i64)>, sum_milli_us: i64) -> (Self, u64) {
        let mut histogram = Self { buckets: Vec::new(), sum_milli_us };
        let mut impossible = 0;
        for (bucket, count) in buckets {
            match u16::try_from(bucket) {
                Ok(bucket) if bucket <= LAST_BUCKET => histogram.add_bucket(bucket, count),
                _ => impossible += 1,
            }
        }
        (histogram, impossible)
    }

    /// Buckets in ascending order with their counts in thousandths.
    pub fn buckets(&self) -> &[(u16, i64)] {
        &self.buckets
    }

    /// The sum of the values, in thousandths of µs.
    pub fn sum_milli_us(&self) -> i64 {
        self.sum_milli_us
    }

    /// Values recorded, in thousandths.
    pub fn count(&self) -> i64 {
        self.buckets.iter().fold(0, |sum: i64, (_, count)| sum.wrapping_add(*count))
    }

    /// Mean in µs; `None` without values.
    pub fn mean_us(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum_milli_us as f64 / count as f64)
    }

    /// The middle of the bucket that holds the value of nearest rank ⌈q·n⌉; `None` without values.
    pub fn quantile_us(&self, q: f64) -> Option<u64> {
        self.quantiles_us([q]).map(|[quantile]| quantile)
    }

    /// Several of them, in ascending order of q, in one pass.
    pub fn quantiles_us<const N: usize>(&self, qs: [f64; N]) -> Option<[u64; N]> {
        let count = self.count();
        if count <= 0 {
            return None;
        }
        let (mut buckets, mut below, mut last) = (self.buckets.iter(), 0_i64, 0);
        let quantiles = qs.map(|q| {
            // Whole numbers throughout, as the SQL function hdrQuantile does it: float rounding can't move a rank.
            let millionths = i128::from((q.clamp(0.0, 1.0) * 1e6).round() as i64);
            let rank = ((i128::from(count) * millionths + 999_999) / 1_000_000).max(1);
            let rank = i64::try_from(rank).unwrap_or(i64::MAX);
            while below < rank {
                let &(bucket, count) = buckets.next()?;
                (below, last) = (below.wrapping_add(count), bucket);
            }
            Some(middle_of(last))
        });
        quantiles.iter().all(Option::is_some).then(|| quantiles.map(Option::unwrap_or_default))
    }

    fn add_bucket(&mut self, bucket: u16, count: i64) {
        // Writers list buckets in ascending order, so the end is where most of them belong.
        match self.buckets.last() {
            Some(&(last, _)) if last >= bucket => {}
            _ => return self.buckets.push((bucket, count)),
        }
        match self.buckets.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => self.buckets[at].1 = self.buckets[at].1.wrapping_add(count),
            Err(at) => self.buckets.insert(at, (bucket, count)),
        }
    }

    /// Changes the counts by those of other buckets, which are in ascending order too. Wrapping, as counts are.
    fn merge(&mut self, others: &[(u16, i64)], change: fn(i64, i64) -> i64) {
        if self.buckets.is_empty() {
            self.buckets.extend(others.iter().map(|&(bucket, count)| (bucket, change(0, count))));
            return;
        }
        if others.len() * FEW < self.buckets.len() {
            others.iter().for_each(|&(bucket, count)| self.add_bucket(bucket, change(0, count)));
            return;
        }
        let mut ours = self.buckets.len();
        self.buckets.resize(ours + self.missing(others), (0, 0));
        // From the end, so that nothing is overwritten before it has moved.
        let mut place = self.buckets.len();
        let mut others = others.iter().rev().copied().peekable();
        while let Some(&(bucket, count)) = others.peek() {
            place -= 1;
            let our = ours.checked_sub(1).map(|last| self.buckets[last]);
            self.buckets[place] = match our {
                Some((our, our_count)) if our >= bucket => {
                    ours -= 1;
                    let same = others.next_if(|_| our == bucket);
                    (our, same.map_or(our_count, |(_, count)| change(our_count, count)))
                }
                _ => {
                    others.next();
                    (bucket, change(0, count))
                }
            };
        }
    }

    /// How many of these buckets are not here.
    fn missing(&self, others: &[(u16, i64)]) -> usize {
        let mut ours = self.buckets.iter().map(|(bucket, _)| *bucket).peekable();
        let is_missing = |(bucket, _): &&(u16, i64)| {
            while ours.next_if(|our| our < bucket).is_some() {}
            ours.peek() != Some(bucket)
        };
        others.iter().filter(is_missing).count()
    }
}

/// Adds up buckets that come in any order and many times, for one histogram after the other: it has a place for every
/// bucket there is, so nothing has to be sorted.
#[derive(Debug)]
pub struct Buckets {
    counts: Vec<i64>,
    /// The lowest and the highest bucket that was added to.
    ends: (usize, usize),
}

/// No bucket was added to.
const NO_ENDS: (usize, usize) = (usize::MAX, 0);

impl Default for Buckets {
    fn default() -> Self {
        Self { counts: vec![0; usize::from(LAST_BUCKET) + 1], ends: NO_ENDS }
    }
}

impl Buckets {
    /// Adds a count in thousandths. A bucket that can't exist is left out.
    pub fn add(&mut self, bucket: u16, count: i64) {
        let at = usize::from(bucket);
        if let Some(sum) = self.counts.get_mut(at) {
            *sum = sum.wrapping_add(count);
            self.ends = (self.ends.0.min(at), self.ends.1.max(at));
        }
    }

    /// The histogram of what was added since the last one. The sum is in thousandths of µs.
    pub fn take(&mut self, sum_milli_us: i64) -> Histogram {
        let (first, last) = std::mem::replace(&mut self.ends, NO_ENDS);
        let used = self.counts.get_mut(first..=last).unwrap_or_default();
        let mut buckets = Vec::with_capacity(used.iter().filter(|count| **count != 0).count());
        for (count, bucket) in used.iter_mut().zip(first..) {
            if *count != 0 {
                buckets.push((bucket as u16, std::mem::take(count)));
            }
        }
        Histogram { buckets, sum_milli_us }
    }
}

impl Additive for Histogram {
    fn add(&mut self, other: &Self) {
        self.merge(&other.buckets, i64::wrapping_add);
        self.sum_milli_us = self.sum_milli_us.wrapping_add(other.sum_milli_us);
    }

    fn take(&mut self, other: &Self) {
        self.merge(&other.buckets, i64::wrapping_sub);
        self.buckets.retain(|(_, count)| *count != 0);
        self.sum_milli_us = self.sum_milli_us.wrapping_sub(other.sum_milli_us);
    }

    fn is_zero(&self) -> bool {
        self.sum_milli_us == 0 && self.buckets.iter().all(|(_, count)| *count == 0)
    }

    fn heap_bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<(u16, i64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket_of(value_us: u64) -> u32 {
        stitcher::histogram::bucket_of(value_us).into()
    }

    fn of(values: &[u64]) -> Histogram {
        let mut all = Histogram::default();
        for &value in values {
            all.add(&Histogram::from_buckets([(bucket_of(value), 1)], value as i64).0);
        }
        all
    }

    #[test]
    fn small_values_are_exact_and_large_ones_within_one_percent() {
        for value in [0, 1, 255, 256, 257, 1_000, 84_321, 5_000_000, (1 << 40) - 1] {
            let read = of(&[value]).quantile_us(0.5).unwrap();
            let off = read.abs_diff(value) as f64;
            assert!(off <= value as f64 * 0.01, "{value} read as {read}");
        }
    }

    #[test]
    fn quantiles_are_nearest_rank() {
        let ten = of(&[10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
        let read = [0.0, 0.5, 0.51, 0.95, 1.0].map(|q| ten.quantile_us(q).unwrap());
        assert_eq!(read, [10, 50, 60, 100, 100]);
        assert_eq!(ten.mean_us(), Some(55.0));
    }

    #[test]
    fn merging_parts_equals_recording_at_once_in_any_order() {
        let (left, right) = (of(&[5, 700, 90_000]), of(&[6, 700, 1]));
        let (mut one, mut other) = (left.clone(), right.clone());
        one.add(&right);
        other.add(&left);
        assert_eq!(one, other);
        assert_eq!(one, of(&[1, 5, 6, 700, 700, 90_000]));
    }

    #[test]
    fn a_correction_takes_a_value_away_again() {
        let mut histogram = of(&[100, 900]);
        histogram.add(&Histogram::from_buckets([(bucket_of(900), -1)], -900).0);
        assert_eq!(
            (histogram.count(), histogram.quantile_us(0.99), histogram.mean_us()),
            (1, Some(100), Some(100.0))
        );
        histogram.add(&Histogram::from_buckets([(100, -1)], -100).0);
        assert!(histogram.is_zero());
        assert_eq!((histogram.quantile_us(0.5), histogram.mean_us()), (None, None));
    }

    #[test]
    fn buckets_in_any_order_are_the_same_histogram() {
        let mut buckets = Buckets::default();
        let parts = [
            (900, 2),
            (7, 1),
            (900, -1),
            (LAST_BUCKET, 4),
            (LAST_BUCKET + 1, 5),
            (8, 3),
            (9, 1),
            (7, 1),
            (9, -1),
        ];
        parts.iter().for_each(|(bucket, count)| buckets.add(*bucket, *count));
        let ordered = [(7, 2), (8, 3), (900, 1), (LAST_BUCKET.into(), 4)];
        assert_eq!(buckets.take(42), Histogram::from_buckets(ordered, 42).0);
        assert_eq!(buckets.take(0), Histogram::default(), "nothing is left");
    }

    #[test]
    fn impossible_buckets_are_counted_and_left_out() {
        let (histogram, impossible) = Histogram::from_buckets([(7, 2), (4352, 1), (70_000, 1)], 14);
        assert_eq!((histogram.count(), impossible), (2, 2));
    }
}
