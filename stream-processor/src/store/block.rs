//! What one insert sends: rows of one table and one table partition, under one token.

use super::row_binary::RowBinary;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Most rows of one insert: below ClickHouse's `max_insert_block_size`, so that an insert is one block.
const BLOCK_ROWS: usize = 500_000;
/// Most bytes of one insert.
const BLOCK_BYTES: usize = 128 << 20;
/// What is compressed and sent at a time.
const PIECE_BYTES: usize = 1 << 20;

/// A table and its columns, in the order in which rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Unqualified name.
    pub name: &'static str,
    /// Column list of the INSERT.
    pub columns: &'static str,
    /// Length of a table partition in seconds: a block never spans two.
    pub partition_s: i64,
}

/// Which batch this is, and under which life of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchId {
    /// Tells this life of the journal from an earlier one, whose tokens ClickHouse still remembers.
    pub generation: u64,
    /// Number of the lane.
    pub lane: u16,
    /// Number of the batch in its lane.
    pub batch: u64,
}

/// The rows of one insert, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Where they go.
    pub table: Table,
    /// What makes a repetition of this insert harmless.
    pub token: String,
    /// How many rows.
    pub rows: usize,
    /// The rows in RowBinary.
    pub bytes: Bytes,
}

impl Block {
    /// The rows in pieces that a connection takes well.
    pub fn pieces(&self) -> impl Iterator<Item = Bytes> {
        let cuts = (0..self.bytes.len()).step_by(PIECE_BYTES);
        cuts.map(|start| self.bytes.slice(start..self.bytes.len().min(start + PIECE_BYTES)))
    }
}

/// Collects rows of one table, split by table partition and size.
#[derive(Debug)]
pub struct BlockWriter {
    table: Table,
    partitions: BTreeMap<i64, Vec<Chunk>>,
    rows: usize,
}

#[derive(Debug, Default)]
struct Chunk {
    rows: usize,
    encoded: RowBinary,
}

impl BlockWriter {
    /// A writer without rows.
    pub fn new(table: Table) -> Self {
        Self { table, partitions: BTreeMap::new(), rows: 0 }
    }

    /// Rows written so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The buffer to which the caller appends exactly one row that belongs to the table partition of `time_s`.
    pub fn row(&mut self, time_s: i64) -> &mut RowBinary {
        self.rows += 1;
        let chunks = self.partitions.entry(time_s.div_euclid(self.table.partition_s)).or_default();
        if chunks.last().is_none_or(Chunk::is_full) {
            chunks.push(Chunk::default());
        }
        let last = chunks.len() - 1;
        chunks[last].rows += 1;
        &mut chunks[last].encoded
    }

    /// The blocks, in a fixed order.
    pub fn finish(self, id: BatchId) -> Vec<Block> {
        let table = self.table;
        let numbered = self.partitions.into_iter().flat_map(|(partition, chunks)| {
            chunks.into_iter().enumerate().map(move |(number, chunk)| (partition, number, chunk))
        });
        numbered
            .map(|(partition, number, chunk)| Block {
                table,
                token: token(table, id, partition * table.partition_s, number),
                rows: chunk.rows,
                bytes: chunk.encoded.into_bytes().into(),
            })
            .collect()
    }
}

impl Chunk {
    fn is_full(&self) -> bool {
        self.rows >= BLOCK_ROWS || self.encoded.bytes().len() >= BLOCK_BYTES
    }
}

/// `<table>/<generation>/<lane>/<batch>/<start of the table partition>/<chunk>`.
fn token(table: Table, id: BatchId, partition_start_s: i64, chunk: usize) -> String {
    format!("{}/{}/{}/{}/{partition_start_s}/{chunk}", table.name, id.generation, id.lane, id.batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table = Table { name: "t", columns: "x", partition_s: 100 };
    const ID: BatchId = BatchId { generation: 7, lane: 1, batch: 3 };

    #[test]
    fn a_block_holds_one_table_partition() {
        let mut writer = BlockWriter::new(TABLE);
        for time in [250, 99, 201] {
            writer.row(time).u8(time as u8);
        }
        assert_eq!(writer.rows(), 3);
        let blocks = writer.finish(ID);
        let summary: Vec<_> =
            blocks.iter().map(|block| (block.token.as_str(), block.rows, &block.bytes[..])).collect();
        assert_eq!(summary, [("t/7/1/3/0/0", 1, &[99][..]), ("t/7/1/3/200/0", 2, &[250, 201][..])]);
    }

    #[test]
    fn a_full_block_is_followed_by_another() {
        let mut writer = BlockWriter::new(TABLE);
        for _ in 0..=BLOCK_ROWS {
            writer.row(5).u8(1);
        }
        let blocks = writer.finish(ID);
        let summary: Vec<_> = blocks.iter().map(|block| (block.token.as_str(), block.rows)).collect();
        assert_eq!(summary, [("t/7/1/3/0/0", BLOCK_ROWS), ("t/7/1/3/0/1", 1)]);
    }
}
