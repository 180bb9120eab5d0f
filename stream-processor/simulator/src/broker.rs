//! The simulated cluster as the shard of one process sees it. Any call may be the last one of its process, or lose its
//! reply.

use crate::cluster::{Fenced, Place, Planted};
use crate::faults::Step;
use crate::world::Shared;
use std::cell::RefCell;
use std::ops::Range;
use std::time::Duration;
use stream_processor::processor::broker::{
    Broker, Entry, Input, Ledger, Records, Spans, Transactor, Watermarks,
};
use stream_processor::processor::shard::{Failure, Output};

/// A process's way to one partition.
pub struct Way<'w> {
    pub shared: &'w RefCell<Shared>,
    pub process: usize,
    pub shard: u32,
}

/// A producer of the shard.
pub struct Producer<'w> {
    shared: &'w RefCell<Shared>,
    process: usize,
    shard: u32,
    epoch: u32,
}

/// A reader of the shard's spans, or of one of its ledgers.
pub struct Reader<'w> {
    shared: &'w RefCell<Shared>,
    process: usize,
    shard: u32,
    ledger: Option<Place>,
    next: i64,
    at_end: bool,
}

fn fenced(_: Fenced) -> Failure {
    Failure::Fenced("a newer producer has the transactions".to_owned())
}

fn place(shard: u32, ledger: Ledger) -> Place {
    match ledger {
        Ledger::Journal => (Output::Journal, shard),
        Ledger::State => (Output::State, shard),
        Ledger::Deltas => (Output::Deltas, shard),
    }
}

impl<'w> Broker for Way<'w> {
    type Input = Reader<'w>;
    type Transactor = Producer<'w>;

    fn transactor(&self) -> Result<Producer<'w>, Failure> {
        let mut shared = self.shared.borrow_mut();
        shared.may_die(self.process, Step::InitBeforeFencing)?;
        let epoch = shared.cluster.init(self.shard);
        shared.may_die(self.process, Step::InitAfterFencing)?;
        Ok(Producer { shared: self.shared, process: self.process, shard: self.shard, epoch })
    }

    fn input(&self) -> Result<Reader<'w>, Failure> {
        let Self { shared, process, shard } = *self;
        Ok(Reader { shared, process, shard, ledger: None, next: 0, at_end: false })
    }

    fn tail(&self, ledger: Ledger) -> Result<Reader<'w>, Failure> {
        Ok(Reader { ledger: Some(place(self.shard, ledger)), ..self.input()? })
    }

    fn watermarks(&self, topic: Ledger) -> Result<Watermarks, Failure> {
        let mut shared = self.shared.borrow_mut();
        let step = if topic == Ledger::Journal { Step::JournalEnd } else { Step::StateEnd };
        shared.may_die(self.process, step)?;
        let place = place(self.shard, topic);
        let high = match shared.cluster.planted {
            Some(Planted::ReadToLastStableOffset) => shared.cluster.last_stable(place),
            _ => shared.cluster.high(place),
        };
        Ok(Watermarks { low: 0, high })
    }

    fn read(
        &self,
        topic: Ledger,
        offsets: Range<i64>,
        each: &mut dyn FnMut(Entry<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut shared = self.shared.borrow_mut();
        let step = if topic == Ledger::Journal { Step::JournalRead } else { Step::StateRead };
        shared.may_die(self.process, step)?;
        let place = place(self.shard, topic);
        if shared.cluster.last_stable(place) < offsets.end {
            return Err(Failure::Retry("an open transaction hides the end".to_owned()));
        }
        for (offset, key, value) in shared.cluster.committed(place, offsets.start) {
            if offset < offsets.end {
                each(Entry { offset, key, value })?;
            }
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.shared.borrow().is_dead(self.process)
    }

    fn elapsed(&self) -> Duration {
        self.shared.borrow().elapsed()
    }

    fn now_us(&self) -> i64 {
        self.shared.borrow().now_us
    }
}

impl Reader<'_> {
    /// The next record, with its offset and its time, unless the process dies of it.
    fn next_record(&self) -> Result<Option<(i64, i64, Vec<u8>)>, Failure> {
        let mut shared = self.shared.borrow_mut();
        let step = match self.ledger {
            Some(_) => Step::JournalFollow,
            None if shared.is_live(self.process, self.shard) => Step::Live,
            None => Step::LogReadAgain,
        };
        shared.may_die(self.process, step)?;
        if let Some(place) = self.ledger {
            let next = shared.cluster.next_committed(place, self.next);
            return Ok(next.map(|(offset, _, value)| (offset, 0, value.unwrap_or_default().to_vec())));
        }
        let found = shared.cluster.spans[self.shard as usize].get(self.next as usize).cloned();
        let wall = shared.cluster.planted == Some(Planted::WallClock);
        Ok(found.map(|(at_us, value)| (self.next, if wall { shared.now_us } else { at_us }, value)))
    }
}

impl Input for Reader<'_> {
    fn watermarks(&mut self) -> Result<Watermarks, Failure> {
        let mut shared = self.shared.borrow_mut();
        shared.may_die(self.process, Step::LogEnd)?;
        Ok(Watermarks { low: 0, high: shared.cluster.spans[self.shard as usize].len() as i64 })
    }

    fn read_from(&mut self, offset: i64) -> Result<(), Failure> {
        (self.next, self.at_end) = (offset, false);
        Ok(())
    }

    fn poll(&mut self, each: &mut dyn FnMut(Spans<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
        let Some((offset, appended_us, value)) = self.next_record()? else {
            self.at_end = true;
            return Ok(());
        };
        each(Spans { offset, appended_us, value: &value })?;
        (self.next, self.at_end) = (offset + 1, false);
        Ok(())
    }

    /// Records of the log come in stretches of up to three.
    fn has_next(&self) -> bool {
        let log = &self.shared.borrow().cluster.spans[self.shard as usize];
        self.ledger.is_none() && self.next % 3 != 0 && (self.next as usize) < log.len()
    }

    fn next(&self) -> i64 {
        self.next
    }

    fn at_end(&self) -> bool {
        self.at_end
    }
}

impl Transactor for Producer<'_> {
    fn commit(&self, records: Records) -> Result<(), Failure> {
        let mut shared = self.shared.borrow_mut();
        let now_us = shared.now_us;
        shared.may_die(self.process, Step::BeforeTransaction)?;
        let id = shared.cluster.begin(self.shard, self.epoch, now_us).map_err(fenced)?;
        for record in records.iter() {
            shared.may_die(self.process, Step::WithinTransaction)?;
            shared.cluster.append(id, record).map_err(fenced)?;
        }
        shared.may_die(self.process, Step::BeforeCommit)?;
        if shared.happens(Step::CommitLost) {
            return Err(Failure::Retry("the commit got lost".to_owned()));
        }
        if shared.happens(Step::CommitDelayed) {
            let at_us = now_us + shared.some_time_us(15_000_000);
            shared.cluster.commit_later(id, at_us);
            return Err(Failure::Retry("the commit takes too long".to_owned()));
        }
        shared.cluster.commit(id).map_err(fenced)?;
        if shared.happens(Step::ReplyLost) {
            return Err(Failure::Retry("the reply got lost".to_owned()));
        }
        shared.may_die(self.process, Step::AfterCommit)
    }
}
