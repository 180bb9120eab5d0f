//! The simulated servers as a lane of one store sees them. Any call may be the last one of its process, or lose its
//! reply.

use crate::cluster::{Cluster, Fenced, Place, Planted};
use crate::fates::Fates;
use crate::faults::Step;
use crate::tables::Tables;
use crate::world::Shared;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;
use stream_processor::processor::shard::Output;
use stream_processor::store::alone::{
    Block, Entry, Failure, Lane, Range as Offsets, Record, Servers, Source, Stored, Topic, Watermarks, Writer,
};

/// Partitions of `store_journal`: two lanes share one, so that one's transaction hides the other's entries.
pub const JOURNALS: i32 = 2;
/// An insert whose reply is lost is repeated so often before the lane starts again.
const TRIES: u32 = 3;

/// What stores have in common: nothing in it outlives a run.
pub struct Room {
    /// The brokers, as far as `store_journal` goes.
    pub journal: Cluster,
    /// ClickHouse.
    pub tables: Tables,
    /// Crashes and accidents.
    pub fates: Fates,
    /// How often something was read, written or inserted.
    pub busy: u64,
    /// By lane: who took it last, and how often in a row it was taken by somebody who had been fenced by another one.
    pub takes: BTreeMap<u16, (usize, u32)>,
    /// Why the run is wrong, if a store has said so.
    pub wrong: Option<String>,
    planted: Option<Planted>,
}

impl Room {
    /// For so many processes.
    pub fn new(seed: u64, processes: usize, planted: Option<Planted>) -> Self {
        let not_fencing = (planted == Some(Planted::StoreNotFencing)).then_some(Planted::NoFencing);
        Self {
            journal: Cluster::new(0, not_fencing),
            tables: Tables::new(planted),
            fates: Fates::new(seed, processes),
            busy: 0,
            takes: BTreeMap::new(),
            wrong: None,
            planted,
        }
    }

    /// Whether fenced stores don't ask the group.
    pub fn is_duel(&self) -> bool {
        self.planted == Some(Planted::StoresFenceEachOther)
    }

    /// A process takes a lane.
    pub fn takes(&mut self, lane: u16, process: usize, was_fenced: bool) {
        let (last, takes) = self.takes.entry(lane).or_insert((process, 0));
        if !was_fenced {
            *takes = 0;
        } else if *last != process {
            *takes += 1;
        }
        *last = process;
    }

    fn may_die(&mut self, process: usize, step: Step) -> Result<(), Failure> {
        if self.fates.strikes(process, step) {
            return Err(Failure::Retry("the process is dead".to_owned()));
        }
        Ok(())
    }

    /// What a mistake would have written instead.
    fn spoil(&mut self, entry: &Entry) -> Entry {
        let mut entry = entry.clone();
        let begins = !entry.done;
        match self.planted {
            Some(Planted::OtherRanges) if begins => {
                if let Some(range) = entry.ranges.iter_mut().find(|range| range.next > range.first) {
                    range.next -= 1;
                }
            }
            Some(Planted::DoneFirst) => entry.done = true,
            Some(Planted::ProgressFirst) if begins => self.tables.promise_early(&entry),
            _ => {}
        }
        entry
    }
}

/// A process's way to the servers, for one lane.
#[derive(Clone, Copy)]
pub struct Way<'w> {
    /// The shards' world.
    pub shared: &'w RefCell<Shared>,
    /// The stores'.
    pub room: &'w RefCell<Room>,
    /// Who.
    pub process: usize,
    /// Of which lane.
    pub lane: &'w Lane,
    /// It reads a begun batch again.
    pub again: &'w Cell<bool>,
}

impl Way<'_> {
    fn journal(&self) -> Place {
        (Output::Journal, self.lane.journal(JOURNALS).unsigned_abs())
    }
}

/// A writer of the lane's journal.
pub struct Producer<'w> {
    way: Way<'w>,
    epoch: u32,
    /// It has written that the lane is taken.
    has_taken: Cell<bool>,
}

/// A reader of the lane's partitions.
pub struct Reader<'w> {
    way: Way<'w>,
    /// The next offset by partition.
    next: BTreeMap<i32, i64>,
}

fn fenced(_: Fenced) -> Failure {
    Failure::Fenced("a newer writer has the lane".to_owned())
}

impl<'w> Servers for Way<'w> {
    type Writer = Producer<'w>;
    type Source = Reader<'w>;

    fn writer(&self) -> Result<Producer<'w>, Failure> {
        let mut room = self.room.borrow_mut();
        room.may_die(self.process, Step::StoreInitBeforeFencing)?;
        let epoch = room.journal.init(self.lane.number.into());
        room.may_die(self.process, Step::StoreInitAfterFencing)?;
        Ok(Producer { way: *self, epoch, has_taken: Cell::new(false) })
    }

    fn journal_ends(&self) -> Result<Watermarks, Failure> {
        let mut room = self.room.borrow_mut();
        room.may_die(self.process, Step::StoreJournalEnd)?;
        Ok(Watermarks { low: 0, high: room.journal.high(self.journal()) })
    }

    fn last_in_journal(&self, offsets: Range<i64>) -> Result<Option<Vec<u8>>, Failure> {
        let mut room = self.room.borrow_mut();
        room.may_die(self.process, Step::StoreJournalRead)?;
        if room.journal.last_stable(self.journal()) < offsets.end {
            return Err(Failure::Retry("an open transaction hides the end".to_owned()));
        }
        let key = self.lane.number.to_string();
        let seen = room.journal.committed(self.journal(), offsets.start);
        let ours = seen.rev().find(|(_, found, _)| *found == key.as_bytes());
        Ok(ours.and_then(|(.., value)| value.map(<[u8]>::to_vec)))
    }

    fn source(&self) -> Result<Reader<'w>, Failure> {
        Ok(Reader { way: *self, next: BTreeMap::new() })
    }

    fn stored(&self) -> Result<Stored, Failure> {
        let mut room = self.room.borrow_mut();
        room.may_die(self.process, Step::StoreProgressRead)?;
        Ok(room.tables.stored(self.lane.number))
    }

    fn insert(&self, block: &Block) -> Result<(), Failure> {
        let room = &mut *self.room.borrow_mut();
        let is_progress = block.table.name == "store_progress";
        let step = if is_progress { Step::StoreBeforeProgress } else { Step::StoreBeforeInsert };
        room.may_die(self.process, step)?;
        for _ in 0..TRIES {
            if room.fates.is_away() {
                return Err(Failure::Retry("ClickHouse is away".to_owned()));
            }
            room.busy += 1;
            let Room { tables, fates, .. } = room;
            let whole = tables.insert(block, || fates.happens(Step::StoreInsertCutBeforeView));
            if whole && !fates.happens(Step::StoreInsertReplyLost) {
                return room.may_die(self.process, Step::StoreAfterInsert);
            }
        }
        Err(Failure::Retry("ClickHouse doesn't answer".to_owned()))
    }

    fn report(&self, works: bool, why: &str) {
        if !works {
            self.room.borrow_mut().wrong = Some(why.to_owned());
        }
    }

    fn is_stopped(&self) -> bool {
        false
    }

    fn elapsed(&self) -> Duration {
        self.shared.borrow().elapsed()
    }

    fn now_s(&self) -> u64 {
        self.shared.borrow().now_us.unsigned_abs() / 1_000_000
    }
}

impl Writer for Producer<'_> {
    fn write(&self, entry: &Entry) -> Result<(), Failure> {
        let room = &mut *self.way.room.borrow_mut();
        let (process, lane) = (self.way.process, self.way.lane.number);
        room.may_die(process, Step::StoreBeforeEntry)?;
        if room.fates.happens(Step::StoreFencedByKafka) {
            room.journal.init(lane.into());
        }
        let now_us = room.fates.now_us;
        let id = room.journal.begin(lane.into(), self.epoch, now_us).map_err(fenced)?;
        room.may_die(process, Step::StoreWithinEntry)?;
        let value = serde_json::to_vec(&room.spoil(entry)).expect("an entry is JSON");
        let key = lane.to_string().into_bytes();
        room.journal.put(id, self.way.journal(), key, Some(value)).map_err(fenced)?;
        room.may_die(process, Step::StoreBeforeCommit)?;
        if room.fates.happens(Step::StoreCommitLost) {
            return Err(Failure::Retry("the commit got lost".to_owned()));
        }
        if room.fates.happens(Step::StoreCommitDelayed) {
            let at_us = now_us + room.fates.some_time_us(15_000_000);
            room.journal.commit_later(id, at_us);
            return Err(Failure::Retry("the commit takes too long".to_owned()));
        }
        room.journal.commit(id).map_err(fenced)?;
        room.busy += 1;
        if room.fates.happens(Step::StoreReplyLost) {
            return Err(Failure::Retry("the reply got lost".to_owned()));
        }
        let step = match (self.has_taken.replace(true), entry.done) {
            (false, _) => Step::StoreAfterTaken,
            (true, false) => Step::StoreAfterBegun,
            (true, true) => Step::StoreAfterDone,
        };
        room.may_die(process, step)
    }
}

impl Reader<'_> {
    /// The record at this offset or the next one behind it.
    fn record(&self, partition: i32, from: i64) -> Option<(i64, i64, Vec<u8>)> {
        let cluster = &self.way.shared.borrow().cluster;
        let partition = partition.unsigned_abs();
        let output = match self.way.lane.source {
            Topic::Deltas => Output::Deltas,
            Topic::Flows => Output::Traces,
            Topic::Spans => {
                let (at_us, value) = cluster.spans[partition as usize].get(from as usize)?;
                return Some((from, at_us / 1000, value.clone()));
            }
        };
        let (offset, _, value) = cluster.next_committed((output, partition), from)?;
        Some((offset, 0, value?.to_vec()))
    }
}

impl Source for Reader<'_> {
    fn read_from(&mut self, ranges: &[Offsets]) -> Result<(), Failure> {
        self.next = ranges.iter().map(|range| (range.partition, range.first)).collect();
        Ok(())
    }

    fn leave(&mut self, partition: i32) -> Result<(), Failure> {
        self.next.remove(&partition);
        Ok(())
    }

    /// Partitions come in any order, as they do from a broker.
    fn poll(&mut self, _: Duration, each: &mut dyn FnMut(Record<'_>)) -> Result<(), Failure> {
        let step = if self.way.again.get() { Step::StoreLogReadAgain } else { Step::StoreLogRead };
        let first = {
            let mut room = self.way.room.borrow_mut();
            room.may_die(self.way.process, step)?;
            room.fates.below(self.next.len().max(1))
        };
        let order: Vec<(i32, i64)> = self.next.iter().map(|(partition, next)| (*partition, *next)).collect();
        let turned = order.iter().cycle().skip(first).take(order.len());
        for (partition, next) in turned {
            if let Some((offset, timestamp_ms, value)) = self.record(*partition, *next) {
                self.way.room.borrow_mut().busy += 1;
                self.next.insert(*partition, offset + 1);
                each(Record { partition: *partition, offset, timestamp_ms, value: &value });
                break;
            }
        }
        Ok(())
    }

    fn watermarks(&self, partition: i32) -> Result<Watermarks, Failure> {
        self.way.room.borrow_mut().may_die(self.way.process, Step::StoreLogEnd)?;
        let cluster = &self.way.shared.borrow().cluster;
        let partition = partition.unsigned_abs();
        let high = match self.way.lane.source {
            Topic::Deltas => cluster.last_stable((Output::Deltas, partition)),
            Topic::Flows => cluster.last_stable((Output::Traces, partition)),
            Topic::Spans => cluster.spans[partition as usize].len() as i64,
        };
        Ok(Watermarks { low: 0, high })
    }

    fn position(&self, _: i32) -> Option<i64> {
        None
    }
}
