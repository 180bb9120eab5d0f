//! The records of one batch while they are collected, and the row that tells readers about it.

use super::block::{BatchId, Block, BlockWriter, Table};
use super::content::{Content, Record};
use super::journal::Range;
use super::lane::Lane;
use super::sequence::Sequences;

pub(super) const STORE_PROGRESS: Table = Table {
    name: "store_progress",
    columns: "lane, batch, topic, partition, next_offset, seq, part, parts, clock",
    // Not partitioned.
    partition_s: 1,
};

/// Records read but not journaled yet.
pub struct Batch {
    /// Their rows in the making.
    pub content: Box<dyn Content>,
    /// Every partition of the lane, with what was read of it.
    pub ranges: Vec<Range>,
    /// Size of the messages.
    pub bytes: usize,
}

impl Batch {
    /// An empty batch behind `ranges`.
    pub fn new(lane: &Lane, sequences: Sequences, ranges: Vec<Range>, raw_deltas: bool) -> Self {
        Self { content: lane.source.content(sequences, raw_deltas), ranges, bytes: 0 }
    }

    /// Adds a record and moves its partition's range.
    pub fn add(&mut self, record: Record<'_>) {
        self.content.add(record);
        self.bytes += record.value.len();
        if let Some(range) = self.ranges.iter_mut().find(|range| range.partition == record.partition) {
            range.next = record.offset + 1;
        }
    }

    /// Whether nothing has been read.
    pub fn is_empty(&self) -> bool {
        self.ranges.iter().all(|range| range.next == range.first)
    }
}

/// Tells readers of ClickHouse how far the tables are. Sent last: whoever sees it sees the whole batch.
pub fn progress_block(id: BatchId, lane: &Lane, ranges: &[Range], sequences: &Sequences) -> Vec<Block> {
    let mut writer = BlockWriter::new(STORE_PROGRESS);
    for range in ranges {
        let row = writer.row(0);
        row.u16(id.lane);
        row.u64(id.batch);
        row.text(lane.source.topic());
        row.u32(range.partition.unsigned_abs());
        row.i64(range.next);
        let last = sequences.last(range.partition).unwrap_or_default();
        row.u64(last.seq);
        row.u32(last.part);
        row.u32(last.parts);
        row.i64(last.clock_us);
    }
    writer.finish(id)
}
