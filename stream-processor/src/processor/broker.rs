//! What a shard needs of Kafka and of time, as traits: `kafka` is the real one, the simulator has another, so that the
//! same driver, commit and recovery run on both.

use super::encode::Record;
use super::failure::Failure;
pub use crate::partition::Watermarks;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The records of a transaction. They are kept by the shard too, until it knows that they are committed.
pub type Records = Arc<[Record]>;

/// Kafka as one shard sees it, and the clocks.
pub trait Broker {
    /// Reads the shard's partition of `otlp_spans`.
    type Input: Input;
    /// Writes the shard's transactions.
    type Transactor: Transactor;

    /// Starts a producer and fences every earlier one of this shard: what those had begun is aborted.
    ///
    /// # Errors
    /// Kafka doesn't answer.
    fn transactor(&self) -> Result<Self::Transactor, Failure>;

    /// A reader of the shard's spans, not reading yet.
    ///
    /// # Errors
    /// It can't be made.
    fn input(&self) -> Result<Self::Input, Failure>;

    /// A reader of what is committed in a ledger, as it comes, not reading yet. Its times mean nothing.
    ///
    /// # Errors
    /// It can't be made.
    fn tail(&self, ledger: Ledger) -> Result<Self::Input, Failure>;

    /// Where the shard's partition of a topic begins and ends. To be asked after earlier producers were fenced:
    /// nothing of them can land behind that end.
    ///
    /// # Errors
    /// Kafka doesn't answer.
    fn watermarks(&self, topic: Ledger) -> Result<Watermarks, Failure>;

    /// Every committed record of these offsets.
    ///
    /// # Errors
    /// Kafka falls silent, or `each` fails.
    fn read(
        &self,
        topic: Ledger,
        offsets: Range<i64>,
        each: &mut dyn FnMut(Entry<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure>;

    /// Somebody wants the shard to stop.
    fn is_stopped(&self) -> bool;

    /// Time since some moment; it never goes back.
    fn elapsed(&self) -> Duration;

    /// µs since the epoch.
    fn now_us(&self) -> i64;
}

/// What a shard reads beside spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ledger {
    /// `flow_journal`
    Journal,
    /// `flow_state`
    State,
    /// `flow_deltas`: only to see whether there are any.
    Deltas,
}

/// A committed record of a [`Ledger`].
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Where it stands.
    pub offset: i64,
    /// Empty without one.
    pub key: &'a [u8],
    /// `None` deletes the key.
    pub value: Option<&'a [u8]>,
}

/// A shard's partition of `otlp_spans`, or of a ledger.
pub trait Input {
    /// Where the log begins and ends, as the partition's leader says.
    ///
    /// # Errors
    /// Kafka doesn't answer.
    fn watermarks(&mut self) -> Result<Watermarks, Failure>;

    /// Reads from `offset` on.
    ///
    /// # Errors
    /// It can't.
    fn read_from(&mut self, offset: i64) -> Result<(), Failure>;

    /// Hands over the next record, if one comes soon. It counts as passed when `each` succeeds.
    ///
    /// # Errors
    /// The partition can't be read, or `each` fails.
    fn poll(&mut self, each: &mut dyn FnMut(Spans<'_>) -> Result<(), Failure>) -> Result<(), Failure>;

    /// The next record is here already: `poll` doesn't wait for it.
    fn has_next(&self) -> bool;

    /// The first offset that is not passed yet.
    fn next(&self) -> i64;

    /// The end of the log was seen, and no record since.
    fn at_end(&self) -> bool;
}

/// A record of [`Input`].
#[derive(Debug, Clone, Copy)]
pub struct Spans<'a> {
    /// Where it stands.
    pub offset: i64,
    /// The broker's clock when it appended the record, µs since the epoch: the only time a shard's clock goes by.
    pub appended_us: i64,
    /// `TracesData`, if it is any.
    pub value: &'a [u8],
}

/// A producer whose transactions are a shard's commits.
pub trait Transactor {
    /// Writes the records in one transaction.
    ///
    /// # Errors
    /// [`Failure::Retry`] means that its outcome is unknown: the journal tells, read after another producer was
    /// started. [`Failure::Fenced`] means that somebody else has one.
    fn commit(&self, records: Records) -> Result<(), Failure>;
}
