//! A Kafka as far as shards can tell it from a real one: logs with offsets, transactions whose markers take offsets
//! too, epochs that fence, a last stable offset, and commits whose requests or replies get lost or come late.

use std::cell::Cell;
use std::collections::BTreeMap;
use stream_processor::processor::shard::{Output, Record};

/// How long a transaction may stay open.
const TRANSACTION_TIMEOUT_US: i64 = 10_000_000;

/// How far what `read_committed` readers are told of a transaction's end lags behind it (KAFKA-10167).
const STABLE_LAG_US: i64 = 400_000;

/// A mistake built in on purpose, to see that it is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// Closes are not journaled: the successor decides them anew.
    ClosesRecomputed,
    /// Records with spans of closed traces are not journaled.
    LateNotJournaled,
    /// The journal is read to the last stable offset, before the predecessor was fenced.
    ReadToLastStableOffset,
    /// A new producer doesn't fence the old one.
    NoFencing,
    /// Log time is the reader's wall clock.
    WallClock,
    /// L is P: nothing is read again.
    WrongLowWatermark,
    /// What was saved is not deleted.
    StateNotDeleted,
    /// Records that were passed over are not journaled.
    SkipNotJournaled,
    /// A block's token doesn't reach the target of a materialised view.
    TokenMissingOnView,
    /// A begun batch is journaled with other ranges than it was made of.
    OtherRanges,
    /// A store that takes a lane doesn't fence the one before.
    StoreNotFencing,
    /// A fenced store takes its lane again without asking the group.
    StoresFenceEachOther,
    /// The row that promises a batch comes before its rows.
    ProgressFirst,
    /// A batch is journaled as done when it begins.
    DoneFirst,
}

impl Planted {
    /// Whether it is a mistake of the store: then shards make none, and the other way round.
    pub fn is_of_store(self) -> bool {
        matches!(
            self,
            Self::TokenMissingOnView
                | Self::OtherRanges
                | Self::StoreNotFencing
                | Self::StoresFenceEachOther
                | Self::ProgressFirst
                | Self::DoneFirst
        )
    }
}

/// A topic and one of its partitions.
pub type Place = (Output, u32);

/// Offset, key and value of a record.
pub type Seen<'a> = (i64, &'a [u8], Option<&'a [u8]>);

/// Transactions by number.
type TransactionId = usize;

/// Everything the brokers hold.
#[derive(Default)]
pub struct Cluster {
    /// `otlp_spans`, by partition: when each record was appended, and its value.
    pub spans: Vec<Vec<(i64, Vec<u8>)>>,
    logs: BTreeMap<Place, Log>,
    transactions: Vec<Transaction>,
    /// Those that are neither committed nor aborted.
    open: Vec<TransactionId>,
    /// By shard.
    producers: BTreeMap<u32, Producer>,
    now_us: i64,
    /// Commits on their way.
    delayed: Vec<(i64, TransactionId, u32)>,
    /// A planted mistake.
    pub planted: Option<Planted>,
}

#[derive(Default)]
struct Log {
    slots: Vec<Slot>,
    /// So much of it is stable: saves looking from the beginning each time.
    stable: Cell<usize>,
}

enum Slot {
    Record { key: Vec<u8>, value: Option<Vec<u8>>, transaction: TransactionId },
    Marker,
}

struct Transaction {
    shard: u32,
    epoch: u32,
    began_us: i64,
    ended_us: i64,
    state: State,
    /// Where it has written.
    places: Vec<Place>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Open,
    Committed,
    Aborted,
}

#[derive(Default)]
struct Producer {
    epoch: u32,
    open: Option<TransactionId>,
}

/// A producer with a newer epoch exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fenced;

impl Cluster {
    /// A cluster whose topics have so many partitions.
    pub fn new(partitions: u32, planted: Option<Planted>) -> Self {
        Self { spans: (0..partitions).map(|_| Vec::new()).collect(), planted, ..Self::default() }
    }

    /// A new producer of this shard: it aborts what the one before had open, and fences it.
    pub fn init(&mut self, shard: u32) -> u32 {
        let producer = self.producers.entry(shard).or_default();
        if self.planted != Some(Planted::NoFencing) {
            producer.epoch += 1;
        }
        let (epoch, open) = (producer.epoch, producer.open.take());
        if let Some(open) = open {
            self.end(open, State::Aborted);
        }
        epoch
    }

    /// Begins a transaction.
    pub fn begin(&mut self, shard: u32, epoch: u32, now_us: i64) -> Result<TransactionId, Fenced> {
        self.check(shard, epoch)?;
        self.transactions.push(Transaction {
            shard,
            epoch,
            began_us: now_us,
            ended_us: i64::MAX,
            state: State::Open,
            places: Vec::new(),
        });
        let id = self.transactions.len() - 1;
        self.open.push(id);
        if let Some(producer) = self.producers.get_mut(&shard) {
            producer.open = Some(id);
        }
        Ok(id)
    }

    fn check(&self, shard: u32, epoch: u32) -> Result<(), Fenced> {
        let is_newest = self.producers.get(&shard).is_some_and(|producer| producer.epoch == epoch);
        if is_newest { Ok(()) } else { Err(Fenced) }
    }

    /// Appends a record of an open transaction.
    pub fn append(&mut self, id: TransactionId, record: &Record) -> Result<(), Fenced> {
        let shard = self.transactions[id].shard;
        let place = (record.output, if record.output == Output::DeadLetters { 0 } else { shard });
        let key = record.key.clone().unwrap_or_default().into_bytes();
        let mut value = record.value.clone();
        if self.planted == Some(Planted::StateNotDeleted) && record.output == Output::State && value.is_none()
        {
            return Ok(());
        }
        if record.output == Output::Journal {
            value = value.map(|value| self.spoil(&value));
        }
        self.put(id, place, key, value)
    }

    /// The same, anywhere.
    pub fn put(
        &mut self,
        id: TransactionId,
        place: Place,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    ) -> Result<(), Fenced> {
        let transaction = &mut self.transactions[id];
        let (shard, epoch) = (transaction.shard, transaction.epoch);
        if transaction.state != State::Open {
            return Err(Fenced);
        }
        if !transaction.places.contains(&place) {
            transaction.places.push(place);
        }
        self.check(shard, epoch)?;
        self.logs.entry(place).or_default().slots.push(Slot::Record { key, value, transaction: id });
        Ok(())
    }

    /// Leaves out of the journal what a planted mistake would.
    fn spoil(&self, value: &[u8]) -> Vec<u8> {
        use prost::Message;
        let Some(planted) = self.planted else { return value.to_vec() };
        let Ok(mut commit) = schemas::v1::ShardCommit::decode(value) else { return value.to_vec() };
        match planted {
            Planted::ClosesRecomputed => commit.closes.clear(),
            Planted::LateNotJournaled => commit.late.clear(),
            Planted::SkipNotJournaled => commit.skipped.clear(),
            Planted::WrongLowWatermark => commit.low_watermark = commit.next_offset,
            _ => {}
        }
        commit.encode_to_vec()
    }

    /// Commits a transaction, if it is still open.
    pub fn commit(&mut self, id: TransactionId) -> Result<(), Fenced> {
        let Transaction { shard, epoch, state, .. } = self.transactions[id];
        self.check(shard, epoch)?;
        match state {
            State::Open => {
                self.end(id, State::Committed);
                Ok(())
            }
            // A commit that arrives twice is told what it was told before.
            State::Committed => Ok(()),
            State::Aborted => Err(Fenced),
        }
    }

    /// The request to commit is still on its way.
    pub fn commit_later(&mut self, id: TransactionId, at_us: i64) {
        let epoch = self.transactions[id].epoch;
        self.delayed.push((at_us, id, epoch));
    }

    fn end(&mut self, id: TransactionId, state: State) {
        let transaction = &mut self.transactions[id];
        (transaction.state, transaction.ended_us) = (state, self.now_us);
        self.open.retain(|open| *open != id);
        let (shard, places) = (transaction.shard, transaction.places.clone());
        for place in places {
            self.logs.entry(place).or_default().slots.push(Slot::Marker);
        }
        if let Some(producer) = self.producers.get_mut(&shard)
            && producer.open == Some(id)
        {
            producer.open = None;
        }
    }

    /// Requests arrive that were on their way, and transactions end that were open for too long.
    pub fn pass_time(&mut self, now_us: i64) {
        self.now_us = now_us;
        let due: Vec<_> = self.delayed.iter().filter(|(at_us, ..)| *at_us <= now_us).copied().collect();
        self.delayed.retain(|(at_us, ..)| *at_us > now_us);
        for (_, id, _) in due {
            // Fenced meanwhile, or ended: then it comes too late.
            let _ = self.commit(id);
        }
        let is_over = |id: &TransactionId| self.transactions[*id].began_us + TRANSACTION_TIMEOUT_US < now_us;
        let over: Vec<_> = self.open.iter().copied().filter(is_over).collect();
        over.into_iter().for_each(|id| self.end(id, State::Aborted));
    }

    /// The offset after the last.
    pub fn high(&self, place: Place) -> i64 {
        self.logs.get(&place).map_or(0, |log| log.slots.len() as i64)
    }

    /// The first offset of a transaction that is open as far as readers are told, else the end.
    pub fn last_stable(&self, place: Place) -> i64 {
        let Some(log) = self.logs.get(&place) else { return 0 };
        let told_us = self.now_us - STABLE_LAG_US;
        let is_open = |slot: &Slot| match slot {
            Slot::Record { transaction, .. } => self.transactions[*transaction].ended_us > told_us,
            Slot::Marker => false,
        };
        let stable = log.stable.get();
        let further = log.slots[stable..].iter().position(is_open).unwrap_or(log.slots.len() - stable);
        log.stable.set(stable + further);
        (stable + further) as i64
    }

    /// The first committed record from an offset on, as far as readers are told.
    pub fn next_committed(&self, place: Place, from: i64) -> Option<Seen<'_>> {
        let stable = self.last_stable(place);
        self.committed(place, from).next().filter(|(offset, ..)| *offset < stable)
    }

    /// Committed records from an offset on.
    pub fn committed(&self, place: Place, from: i64) -> impl DoubleEndedIterator<Item = Seen<'_>> {
        let slots = self.logs.get(&place).map_or(&[][..], |log| &log.slots);
        slots.iter().enumerate().skip(from.max(0) as usize).filter_map(|(offset, slot)| match slot {
            Slot::Record { key, value, transaction }
                if self.transactions[*transaction].state == State::Committed =>
            {
                Some((offset as i64, key.as_slice(), value.as_deref()))
            }
            _ => None,
        })
    }
}
