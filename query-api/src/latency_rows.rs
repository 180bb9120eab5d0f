//! Rows of a heatmap: ranges of latency that whole buckets of the histograms fall into, so that counts are exact.

use crate::histogram::Histogram;
use stitcher::histogram::range_of;

/// Rows of a heatmap at most: as many as a chart can show apart.
pub const MOST_ROWS: usize = 24;
/// Rows of a doubling of the latency, at most.
const FINEST: u64 = 4;
/// Everything faster is one row: below, whole µs would be the rows.
const FIRST_US: u64 = 8;

/// Ranges of latency, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencyRows {
    /// First µs of each row.
    starts_us: Vec<u64>,
    /// The µs after the last row.
    end_us: u64,
}

impl LatencyRows {
    /// The finest rows, at most [`MOST_ROWS`], that hold everything in a histogram. None for an empty one.
    pub fn of(all: &Histogram) -> Self {
        let filled = || all.buckets().iter().filter(|(_, count)| *count != 0);
        let (Some((first, _)), Some((last, _))) = (filled().next(), filled().next_back()) else {
            return Self { starts_us: Vec::new(), end_us: 0 };
        };
        let (low_us, (last_us, width_us)) = (range_of(*first).0, range_of(*last));
        let high_us = last_us + width_us - 1;
        let finest = [FINEST, 2, 1].into_iter().map(|parts| Self::with(parts, 1, low_us, high_us));
        // A histogram has 40 doublings in all, so two of them a row are always few enough.
        finest
            .chain([Self::with(1, 2, low_us, high_us)])
            .find(|rows| rows.starts_us.len() <= MOST_ROWS)
            .unwrap_or_else(|| Self::with(1, 2, low_us, high_us))
    }

    /// Rows of `parts` a doubling, or of several `doublings`, from the one with the lowest latency to the one with the
    /// highest.
    fn with(parts: u64, doublings: usize, low_us: u64, high_us: u64) -> Self {
        let octaves = (FIRST_US.ilog2()..=41).step_by(doublings).map(|octave| 1_u64 << octave);
        let all = octaves.flat_map(|start_us| (0..parts).map(move |part| start_us + start_us * part / parts));
        let all: Vec<u64> = std::iter::once(0).chain(all).collect();
        let first = all.partition_point(|start_us| *start_us <= low_us).saturating_sub(1);
        let end = all.partition_point(|start_us| *start_us <= high_us);
        Self {
            starts_us: all[first..end].to_vec(),
            end_us: all.get(end).copied().unwrap_or_else(|| high_us.saturating_add(1)),
        }
    }

    /// First µs of each row, and the one after it.
    pub fn ranges_us(&self) -> impl Iterator<Item = (u64, u64)> {
        let ends = self.starts_us.iter().skip(1).copied().chain([self.end_us]);
        self.starts_us.iter().copied().zip(ends)
    }

    /// What each row has of a histogram, in thousandths.
    pub fn counts(&self, histogram: &Histogram) -> Vec<i64> {
        let mut counts = vec![0; self.starts_us.len()];
        for (bucket, count) in histogram.buckets() {
            let at = self.starts_us.partition_point(|start_us| *start_us <= range_of(*bucket).0);
            if let Some(row) = at.checked_sub(1).and_then(|at| counts.get_mut(at)) {
                *row += count;
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stitcher::histogram::{LAST_BUCKET, bucket_of};

    fn of(values_us: &[u64]) -> Histogram {
        let mut buckets: Vec<_> =
            values_us.iter().map(|value| (u32::from(bucket_of(*value)), 1_000)).collect();
        buckets.sort_unstable();
        Histogram::from_buckets(buckets, 0).0
    }

    #[test]
    fn rows_are_few_and_hold_everything() {
        for values in [&[100, 200][..], &[0], &[1, 1 << 39], &[90_000, 100_000, 2_000_000], &[7, 8, 9]] {
            let histogram = of(values);
            let rows = LatencyRows::of(&histogram);
            let counts = rows.counts(&histogram);
            assert!((1..=MOST_ROWS).contains(&counts.len()), "{values:?}: {}", counts.len());
            assert_eq!(counts.iter().sum::<i64>(), histogram.count(), "{values:?}");
            assert!(counts[0] > 0 && *counts.last().unwrap() > 0, "{values:?}: no empty row at an end");
        }
        assert_eq!(LatencyRows::of(&Histogram::default()).ranges_us().count(), 0);
    }

    #[test]
    fn no_bucket_lies_in_two_rows() {
        let rows = LatencyRows::with(FINEST, 1, 0, 1 << 40);
        for bucket in 0..=LAST_BUCKET {
            let (from_us, width_us) = range_of(bucket);
            let holds = |row: &(u64, u64)| row.0 <= from_us && from_us + width_us <= row.1;
            assert!(rows.ranges_us().any(|row| holds(&row)), "bucket {bucket}: {width_us} from {from_us}");
        }
    }

    #[test]
    fn a_row_has_what_lies_in_it() {
        let histogram = of(&[100, 100, 210]);
        let rows = LatencyRows::of(&histogram);
        let found: Vec<_> = rows.ranges_us().zip(rows.counts(&histogram)).filter(|(_, n)| *n > 0).collect();
        assert_eq!(found, [((96, 112), 2_000), ((192, 224), 1_000)]);
    }
}
