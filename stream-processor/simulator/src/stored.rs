//! Whether the tables hold what the topics hold: the sums of everything that was committed, as one single batch would
//! have stored them, in base tables and in the targets of their views.

use crate::cluster::Cluster;
use crate::tables::{Kept, Rows, Tables};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use stream_processor::processor::shard::Output;
use stream_processor::store::alone::{BatchId, Lane, Record, Sequences, Topic};

/// Blocks by table.
type ByTable = BTreeMap<&'static str, Vec<Kept>>;

/// A hash over the tables, if they are right.
pub fn judge(lanes: &[Lane], cluster: &Cluster, tables: &Tables) -> Result<u64, String> {
    let expected = one_batch(lanes, cluster);
    for (table, blocks) in &expected {
        let (found, expected) = (Content::of(table, tables.blocks(table)), Content::of(table, blocks));
        if let Some(difference) = found.difference_from(&expected) {
            return Err(format!("{table}: {difference}"));
        }
    }
    let mut hasher = DefaultHasher::new();
    for (base, targets) in tables.targets() {
        let blocks: BTreeSet<&Kept> = tables.blocks(base).iter().collect();
        blocks.hash(&mut hasher);
        for target in targets {
            let found = tables.blocks(target);
            let distinct: BTreeSet<&Kept> = found.iter().collect();
            if distinct != blocks || found.len() != blocks.len() {
                let (base_has, has) = (blocks.len(), found.len());
                return Err(format!(
                    "{target} has {has} blocks, {} distinct, {base} has {base_has}",
                    distinct.len()
                ));
            }
        }
    }
    Ok(hasher.finish())
}

/// Everything that was committed, as the blocks of one batch a lane.
fn one_batch(lanes: &[Lane], cluster: &Cluster) -> ByTable {
    let mut tables = ByTable::new();
    for lane in lanes {
        let mut content = lane.source.content(Sequences::default(), true);
        for partition in &lane.partitions {
            for (offset, timestamp_ms, value) in committed(lane.source, cluster, partition.unsigned_abs()) {
                content.add(Record { partition: *partition, offset, timestamp_ms, value });
            }
        }
        for block in content.finish(BatchId { generation: 0, lane: lane.number, batch: 1 }) {
            let kept = Kept { token: block.token, rows: block.rows, bytes: block.bytes };
            tables.entry(block.table.name).or_default().push(kept);
        }
    }
    tables
}

fn committed(topic: Topic, cluster: &Cluster, partition: u32) -> Vec<(i64, i64, &[u8])> {
    let output = match topic {
        Topic::Deltas => Output::Deltas,
        Topic::Flows => Output::Traces,
        Topic::Spans => {
            let records = cluster.spans[partition as usize].iter().zip(0..);
            return records
                .map(|((at_us, value), offset)| (offset, at_us / 1000, value.as_slice()))
                .collect();
        }
    };
    let seen = cluster.committed((output, partition), 0);
    seen.filter_map(|(offset, _, value)| Some((offset, 0, value?))).collect()
}

/// What blocks amount to.
#[derive(PartialEq, Eq)]
enum Content {
    /// Rows with equal keys add up. By key and column.
    Sums(BTreeMap<(Vec<u8>, usize), i64>),
    /// Rows stand for themselves: their number, their length, and the sum of all bytes.
    Rows(usize, usize, u64),
}

impl Content {
    fn of(table: &str, blocks: &[Kept]) -> Self {
        let Some(layout) = Layout::of(table) else {
            let bytes = || blocks.iter().flat_map(|block| block.bytes.iter());
            let rows = blocks.iter().map(|block| block.rows).sum();
            return Self::Rows(rows, bytes().count(), bytes().map(|byte| u64::from(*byte)).sum());
        };
        let mut sums = BTreeMap::new();
        for block in blocks {
            layout.add(&block.bytes, &mut sums);
        }
        sums.retain(|_, sum| *sum != 0);
        Self::Sums(sums)
    }

    fn difference_from(&self, expected: &Self) -> Option<String> {
        match (self, expected) {
            _ if self == expected => None,
            (Self::Sums(found), Self::Sums(expected)) => {
                let keys: BTreeSet<_> = found.keys().chain(expected.keys()).collect();
                let (key, column) = keys.into_iter().find(|key| found.get(key) != expected.get(key))?;
                let at = (key.clone(), *column);
                let key = String::from_utf8_lossy(key).into_owned();
                Some(format!("{key:?} #{column} is {:?}, not {:?}", found.get(&at), expected.get(&at)))
            }
            (Self::Rows(found, ..), Self::Rows(expected, ..)) => {
                Some(format!("{found} rows, not {expected}, or others"))
            }
            _ => Some("the table has another layout".to_owned()),
        }
    }
}

/// Columns of a table of sums: a window and names, counts, histograms, and what tells the batch.
struct Layout {
    names: usize,
    counts: usize,
    histograms: usize,
    tail_bytes: usize,
}

/// A histogram has fewer buckets than this; the column of its sum comes behind them.
const HISTOGRAM: usize = 1 << 16;

impl Layout {
    fn of(table: &str) -> Option<Self> {
        let (names, counts, histograms, tail_bytes) = match table {
            "edges_1s" => (11, 9, 3, 10),
            "services_1s" => (7, 4, 3, 10),
            "operations_1s" => (2, 4, 1, 10),
            "endpoints_1m" => (6, 3, 1, 0),
            _ => return None,
        };
        Some(Self { names, counts, histograms, tail_bytes })
    }

    fn add(&self, bytes: &[u8], sums: &mut BTreeMap<(Vec<u8>, usize), i64>) {
        let mut rows = Rows(bytes);
        while !rows.0.is_empty() {
            let mut key = rows.take(4).to_vec();
            for _ in 0..self.names {
                key.extend_from_slice(rows.text());
                key.push(b'|');
            }
            let mut count = |column: usize, rows: &mut Rows<'_>| {
                *sums.entry((key.clone(), column)).or_default() += rows.number::<8>().cast_signed();
            };
            for column in 0..self.counts {
                count(column, &mut rows);
            }
            for histogram in 1..=self.histograms {
                let buckets: Vec<usize> = (0..rows.length()).map(|_| rows.number::<2>() as usize).collect();
                rows.length();
                buckets.iter().for_each(|bucket| count(histogram * 2 * HISTOGRAM + bucket, &mut rows));
                count(histogram * 2 * HISTOGRAM + HISTOGRAM, &mut rows);
            }
            rows.take(self.tail_bytes);
        }
    }
}
