//! What a lane needs of Kafka, of ClickHouse and of time, as traits: `real` has the real ones, the simulator has
//! others, so that the same worker runs on both.

use super::block::Block;
use super::content::Record;
use super::failure::Failure;
use super::journal::{Entry, Range};
pub use crate::partition::Watermarks;
use std::collections::BTreeMap;
use std::time::Duration;

/// Both servers as one lane sees them, and the clocks.
pub trait Servers {
    /// Writes the lane's journal.
    type Writer: Writer;
    /// Reads the lane's partitions.
    type Source: Source;

    /// Starts a writer and fences every earlier one of this lane: what those had begun to write is aborted.
    ///
    /// # Errors
    /// Kafka doesn't answer.
    fn writer(&self) -> Result<Self::Writer, Failure>;

    /// Where the lane's partition of `store_journal` begins and ends, open transactions included. Asked for after
    /// earlier writers were fenced, nothing of them can land behind that end.
    ///
    /// # Errors
    /// Kafka doesn't answer.
    fn journal_ends(&self) -> Result<Watermarks, Failure>;

    /// The value of the lane's last committed record within these offsets of its journal.
    ///
    /// # Errors
    /// Kafka falls silent.
    fn last_in_journal(&self, offsets: std::ops::Range<i64>) -> Result<Option<Vec<u8>>, Failure>;

    /// A reader of the lane's partitions that reads nothing yet.
    ///
    /// # Errors
    /// It can't be made.
    fn source(&self) -> Result<Self::Source, Failure>;

    /// What ClickHouse has of the lane.
    ///
    /// # Errors
    /// It doesn't answer.
    fn stored(&self) -> Result<Stored, Failure>;

    /// Sends a block until ClickHouse has it.
    ///
    /// # Errors
    /// The lane has to stop before that.
    fn insert(&self, block: &Block) -> Result<(), Failure>;

    /// Tells watchers whether the lane works, and why not.
    fn report(&self, works: bool, why: &str);

    /// Somebody wants the lane to stop.
    fn is_stopped(&self) -> bool;

    /// Time since some moment; it never goes back.
    fn elapsed(&self) -> Duration;

    /// Seconds since the epoch.
    fn now_s(&self) -> u64;
}

/// The only writer of a lane's journal, until it is fenced.
pub trait Writer {
    /// Writes an entry in a transaction of its own.
    ///
    /// # Errors
    /// [`Failure::Retry`] means that the outcome is unknown: the journal tells, read after another writer was started.
    /// [`Failure::Fenced`] means that this writer can write no more.
    fn write(&self, entry: &Entry) -> Result<(), Failure>;
}

/// A lane's partitions.
pub trait Source {
    /// Reads every given partition from its range's `first` on; nothing else any more.
    ///
    /// # Errors
    /// It can't.
    fn read_from(&mut self, ranges: &[Range]) -> Result<(), Failure>;

    /// Reads no more of this partition; the others go on.
    ///
    /// # Errors
    /// It can't.
    fn leave(&mut self, partition: i32) -> Result<(), Failure>;

    /// Hands the next record over, if one comes in time.
    ///
    /// # Errors
    /// The partitions can't be read any more.
    fn poll(&mut self, within: Duration, each: &mut dyn FnMut(Record<'_>)) -> Result<(), Failure>;

    /// What the log of a partition holds.
    ///
    /// # Errors
    /// Kafka doesn't answer.
    fn watermarks(&self, partition: i32) -> Result<Watermarks, Failure>;

    /// The offset behind everything that was handed over or skipped: transaction markers take offsets too.
    fn position(&self, partition: i32) -> Option<i64>;
}

/// What `store_progress` says of a lane.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// The newest batch that is there whole, 0 if there is none.
    pub batch: u64,
    /// The first offset behind it, by source partition.
    pub next: BTreeMap<i32, i64>,
}
