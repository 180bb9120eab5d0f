//! What a lane's records become: one implementation for each of the three source topics.

use super::block::{BatchId, Block};
use super::sequence::{Hole, Sequences};

/// One record of a source topic.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Source partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in milliseconds; the broker's clock for `otlp_spans`.
    pub timestamp_ms: i64,
    /// The message.
    pub value: &'a [u8],
}

/// What was odd about the records of a batch: counted, never a reason to stop.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Oddities {
    /// Messages that could not be decoded.
    pub undecodable: u64,
    /// Spans that are not stored, by reason.
    pub dropped: std::collections::BTreeMap<&'static str, u64>,
}

/// The rows of one batch in the making. Equal records give equal blocks, whatever order the partitions came in:
/// a repeated batch must be the same bytes.
pub trait Content {
    /// Whether a record follows the one before it in its partition, where the source has commits.
    fn check(&self, _record: Record<'_>) -> Result<(), Hole> {
        Ok(())
    }
    /// Adds a record.
    fn add(&mut self, record: Record<'_>);
    /// Rows so far, or a good guess.
    fn rows(&self) -> usize;
    /// What has been odd so far.
    fn oddities(&self) -> &Oddities;
    /// Each shard's last commit after this batch, where the source has commits.
    fn sequences(&self) -> Sequences {
        Sequences::default()
    }
    /// The inserts of this batch, in the order in which they must be sent.
    fn finish(self: Box<Self>, id: BatchId) -> Vec<Block>;
}
