//! Deltas of one batch added up: rows with the same key and second become one row.

use super::block::BlockWriter;
use super::names::Names;
use super::row_binary::RowBinary;
use rustc_hash::FxBuildHasher;
use schemas::v1;
use std::collections::HashMap;

/// The rollups' histograms and counts are in thousandths: an unsampled call weighs this much.
pub const UNSAMPLED: u32 = 1000;

/// A row's histogram is brought into order when it has this many entries: several times what distinct buckets
/// there are, so that it stays rare, and a bound of its memory.
const COMPACT_AT: usize = 16_384;

/// One family of rollup rows: `D` dimensions, `C` adjusted counts, `H` histograms.
#[derive(Debug)]
pub struct Rollup<const D: usize, const C: usize, const H: usize> {
    rows: HashMap<(u32, [u32; D]), Sums<C, H>, FxBuildHasher>,
}

/// One delta, ready to be added. Counts are unweighted.
#[derive(Debug)]
pub struct Change<'a, const D: usize, const C: usize, const H: usize> {
    /// Second (or start of the minute) of event time.
    pub window_s: u32,
    /// Numbers in the batch's [`Names`].
    pub dimensions: [u32; D],
    /// Adjusted count of each call, in thousandths.
    pub weight_milli: u32,
    /// Calls, errors and so on.
    pub counts: [i64; C],
    /// Durations.
    pub histograms: [Option<&'a v1::Histogram>; H],
}

#[derive(Debug)]
struct Sums<const C: usize, const H: usize> {
    /// Thousandths.
    counts: [i64; C],
    /// The first count, unweighted.
    raw: i64,
    histograms: [Latencies; H],
}

#[derive(Debug, Default, Clone)]
struct Latencies {
    /// Bucket and thousandths, in the order of arrival until the row is written.
    buckets: Vec<(u16, i64)>,
    /// Thousandths of a microsecond.
    sum: i64,
}

impl<const D: usize, const C: usize, const H: usize> Default for Rollup<D, C, H> {
    fn default() -> Self {
        Self { rows: HashMap::default() }
    }
}

impl<const C: usize, const H: usize> Default for Sums<C, H> {
    fn default() -> Self {
        Self { counts: [0; C], raw: 0, histograms: std::array::from_fn(|_| Latencies::default()) }
    }
}

impl<const D: usize, const C: usize, const H: usize> Rollup<D, C, H> {
    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Adds a delta to its row. Saturates, so that nonsense in a message can't stop the store.
    pub fn add(&mut self, change: &Change<'_, D, C, H>) {
        // An absent number reads as 0, and a call that weighs nothing makes no sense.
        let weight = i64::from(if change.weight_milli == 0 { UNSAMPLED } else { change.weight_milli });
        let row = self.rows.entry((change.window_s, change.dimensions)).or_default();
        for (sum, count) in row.counts.iter_mut().zip(change.counts) {
            *sum = sum.saturating_add(count.saturating_mul(weight));
        }
        row.raw = row.raw.saturating_add(change.counts.first().copied().unwrap_or(0));
        for (latencies, histogram) in row.histograms.iter_mut().zip(change.histograms) {
            if let Some(histogram) = histogram {
                latencies.add(histogram, weight);
            }
        }
    }

    /// Writes the rows in the order of their keys' text, whatever the order of arrival was. `tail` is appended to
    /// every row.
    pub fn write(self, writer: &mut BlockWriter, names: &Names, places: &[u32], tail: &RowBinary) {
        let mut sorted: Vec<_> = self.rows.into_iter().collect();
        sorted.sort_unstable_by_key(|((window, dimensions), _)| {
            (*window, dimensions.map(|name| places[name as usize]))
        });
        for ((window, dimensions), sums) in sorted {
            let row = writer.row(i64::from(window));
            row.u32(window);
            dimensions.iter().for_each(|name| row.text(names.text(*name)));
            sums.write(row);
            row.copy(tail.bytes());
        }
    }
}

impl<const C: usize, const H: usize> Sums<C, H> {
    fn write(self, row: &mut RowBinary) {
        self.counts.iter().for_each(|count| row.i64(*count));
        row.i64(self.raw);
        for latencies in self.histograms {
            latencies.write(row);
        }
    }
}

impl Latencies {
    fn add(&mut self, histogram: &v1::Histogram, weight: i64) {
        self.sum = self.sum.saturating_add(histogram.sum_us.saturating_mul(weight));
        for (bucket, count) in histogram.bucket.iter().zip(&histogram.count) {
            let bucket = u16::try_from(*bucket).unwrap_or(u16::MAX);
            self.buckets.push((bucket, count.saturating_mul(weight)));
        }
        if self.buckets.len() > COMPACT_AT {
            self.compact();
        }
    }

    /// One entry a bucket, ascending, none of them zero.
    fn compact(&mut self) {
        self.buckets.sort_unstable();
        self.buckets.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = kept.1.saturating_add(next.1);
            }
            same
        });
        self.buckets.retain(|(_, count)| *count != 0);
    }

    fn write(mut self, row: &mut RowBinary) {
        self.compact();
        row.length(self.buckets.len());
        self.buckets.iter().for_each(|(bucket, _)| row.u16(*bucket));
        row.length(self.buckets.len());
        self.buckets.iter().for_each(|(_, count)| row.i64(*count));
        row.i64(self.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::super::block::Table;
    use super::*;

    const TABLE: Table = Table { name: "t", columns: "", partition_s: 3600 };

    fn change<'a>(
        name: u32,
        weight_milli: u32,
        calls: i64,
        histogram: Option<&'a v1::Histogram>,
    ) -> Change<'a, 1, 1, 1> {
        Change { window_s: 60, dimensions: [name], weight_milli, counts: [calls], histograms: [histogram] }
    }

    fn encoded(rollup: Rollup<1, 1, 1>, names: &Names) -> Vec<u8> {
        let mut writer = BlockWriter::new(TABLE);
        rollup.write(&mut writer, names, &names.places(), &RowBinary::default());
        let id = super::super::block::BatchId { generation: 1, lane: 0, batch: 1 };
        writer.finish(id).into_iter().flat_map(|block| block.bytes).collect()
    }

    #[test]
    fn weights_are_exact_in_thousandths() {
        let mut names = Names::default();
        let name = names.number("a");
        let histogram = v1::Histogram { bucket: vec![9, 3], count: vec![1, 1], sum_us: 12 };
        let mut rollup = Rollup::default();
        rollup.add(&change(name, 1000, 2, Some(&histogram)));
        rollup.add(&change(name, 1500, 2, Some(&histogram)));
        rollup.add(&change(
            name,
            1500,
            -2,
            Some(&v1::Histogram { bucket: vec![9], count: vec![-1], sum_us: -9 }),
        ));
        assert_eq!(rollup.rows(), 1);
        let mut expected = RowBinary::default();
        expected.u32(60);
        expected.text("a");
        expected.i64(2000);
        expected.i64(2);
        expected.length(2);
        [3, 9].into_iter().for_each(|bucket| expected.u16(bucket));
        expected.length(2);
        [2500, 1000].into_iter().for_each(|count| expected.i64(count));
        expected.i64(16_500);
        assert_eq!(encoded(rollup, &names), expected.into_bytes());
    }

    #[test]
    fn rows_are_the_same_bytes_in_any_order_of_arrival() {
        let rows = |order: [&str; 3]| {
            let mut names = Names::default();
            let mut rollup = Rollup::default();
            for text in order {
                let name = names.number(text);
                rollup.add(&change(name, 0, 1, None));
            }
            encoded(rollup, &names)
        };
        assert_eq!(rows(["b", "a", "c"]), rows(["c", "b", "a"]));
    }

    #[test]
    fn numbers_that_cannot_be_saturate() {
        let mut names = Names::default();
        let name = names.number("a");
        let mut rollup = Rollup::default();
        let odd = v1::Histogram { bucket: vec![70_000], count: vec![i64::MAX], sum_us: i64::MIN };
        rollup.add(&change(name, 5000, i64::MAX, Some(&odd)));
        rollup.add(&change(name, 5000, i64::MAX, Some(&odd)));
        assert!(!encoded(rollup, &names).is_empty());
    }
}
