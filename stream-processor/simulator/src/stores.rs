//! Stores at work: processes that die, hang and take lanes from each other, one step after the other.

use crate::cluster::Cluster;
use crate::faults::Step;
use crate::lane::{JOURNALS, Room, Way};
use crate::stored;
use crate::world::Shared;
use prometheus_client::registry::Registry;
use std::cell::{Cell, RefCell};
use std::time::Duration;
use stream_processor::store::alone::{Failure, Lane, Metrics, Rules, Worker, lanes, taken_from};

const SECOND_US: i64 = 1_000_000;
/// Processes with role store.
pub const STORES: usize = 2;
/// Most steps of a lane in a row.
const IN_A_ROW: usize = 12;
/// Stores that have taken a lane from each other more often than this in a row, each because it had been fenced, would
/// do it for ever.
const MOST_TAKES: u32 = 4;

/// What stores go by, and what outlives none of them.
pub struct Stage {
    lanes: Vec<Lane>,
    rules: Vec<Rules>,
    metrics: Metrics,
    again: Cell<bool>,
}

impl Stage {
    /// For topics of so many partitions.
    pub fn new(partitions: u32) -> Self {
        let partitions = partitions.cast_signed();
        let rules = |process| Rules {
            owner: format!("store-{process}"),
            schema: schemas::migrations::newest(),
            raw_deltas: true,
            accept_gap: false,
            batch_rows: 40,
            batch_bytes: 1 << 20,
            batch_time: Duration::from_secs(1),
        };
        Self {
            lanes: lanes(partitions, partitions, partitions),
            rules: (0..STORES).map(rules).collect(),
            metrics: Metrics::register(&mut Registry::default()),
            again: Cell::new(false),
        }
    }

    /// Every process's way for every lane.
    pub fn ways<'w>(&'w self, shared: &'w RefCell<Shared>, room: &'w RefCell<Room>) -> Vec<Way<'w>> {
        let again = &self.again;
        let of = |process| self.lanes.iter().map(move |lane| Way { shared, room, process, lane, again });
        (0..STORES).flat_map(of).collect()
    }

    /// A hash over the tables, if they are right.
    pub fn judge(&self, cluster: &Cluster, room: &Room) -> Result<u64, String> {
        stored::judge(&self.lanes, cluster, &room.tables)
    }
}

/// The consumer group of the stores, and what each process does.
pub struct Stores<'w> {
    room: &'w RefCell<Room>,
    seats: Vec<Seat<'w>>,
    lanes: usize,
    /// The owning process by partition of `store_journal`.
    owners: [usize; JOURNALS as usize],
    /// When which process hears that a partition isn't its own any more.
    revocations: Vec<(i64, usize, usize)>,
    ignores_group: bool,
}

/// One process's place for one lane.
struct Seat<'w> {
    way: &'w Way<'w>,
    stage: &'w Stage,
    worker: Option<Worker<'w, Way<'w>>>,
    /// The process believes that the lane is its own.
    owned: bool,
    /// It waits until the group confirms that.
    fenced: bool,
}

impl<'w> Stores<'w> {
    /// The first process has everything.
    pub fn new(stage: &'w Stage, room: &'w RefCell<Room>, ways: &'w [Way<'w>]) -> Self {
        let seat =
            |way: &'w Way<'w>| Seat { way, stage, worker: None, owned: way.process == 0, fenced: false };
        Self {
            room,
            seats: ways.iter().map(seat).collect(),
            lanes: stage.lanes.len(),
            owners: [0; JOURNALS as usize],
            revocations: Vec::new(),
            ignores_group: room.borrow().is_duel(),
        }
    }

    /// One lane of one process does something; in quiet times each does.
    ///
    /// # Errors
    /// Why the run is wrong.
    pub fn step(&mut self, now_us: i64, storm: bool) -> Result<(), String> {
        {
            let Room { journal, fates, .. } = &mut *self.room.borrow_mut();
            (fates.now_us, fates.storm) = (now_us, storm);
            journal.pass_time(now_us);
        }
        self.bury_the_dead();
        if storm {
            self.disturb(now_us);
        }
        let due: Vec<_> = self.revocations.extract_if(.., |(at_us, ..)| *at_us <= now_us).collect();
        due.into_iter().for_each(|(_, journal, process)| self.revoke(journal, process));
        let chosen = self.room.borrow_mut().fates.below(self.seats.len());
        for seat in if storm { chosen..chosen + 1 } else { 0..self.seats.len() } {
            let seat = &mut self.seats[seat];
            let is_confirmed = self.ignores_group || self.owners[seat.journal()] == seat.way.process;
            seat.turn(is_confirmed)?;
        }
        self.bury_the_dead();
        self.room.borrow().verdict()
    }

    /// Lanes change hands, or a process is killed.
    fn disturb(&mut self, now_us: i64) {
        let (dice, journal, process) = {
            let fates = &mut self.room.borrow_mut().fates;
            (fates.below(1_000), fates.below(self.owners.len()), fates.below(STORES))
        };
        match dice {
            0..=4 => self.hand_over(journal, process, now_us),
            5 => self.room.borrow_mut().fates.kill(process),
            _ => {}
        }
    }

    /// The old owner stops at once, or hears of it only later and goes on until then.
    fn hand_over(&mut self, journal: usize, process: usize, now_us: i64) {
        let before = std::mem::replace(&mut self.owners[journal], process);
        if before == process {
            return;
        }
        let delay_us = {
            let fates = &mut self.room.borrow_mut().fates;
            if fates.below(2) == 0 { 0 } else { fates.some_time_us(60 * SECOND_US) }
        };
        if delay_us == 0 {
            self.revoke(journal, before);
        } else {
            self.revocations.push((now_us + delay_us, journal, before));
        }
        self.revocations.retain(|(_, revoked, from)| (*revoked, *from) != (journal, process));
        for seat in self.seats.iter_mut().filter(|seat| seat.is_of(journal, process)) {
            (seat.owned, seat.fenced) = (true, false);
        }
    }

    fn revoke(&mut self, journal: usize, process: usize) {
        for seat in self.seats.iter_mut().filter(|seat| seat.is_of(journal, process)) {
            seat.owned = false;
            if let Some(mut worker) = seat.worker.take() {
                // Whatever becomes of the batch: the journal tells.
                let _ = worker.finish();
            }
        }
    }

    /// Whatever a killed process knew is gone. It is told anew what is its own.
    fn bury_the_dead(&mut self) {
        for process in 0..STORES {
            if self.room.borrow_mut().fates.has_died(process) {
                self.revocations.retain(|(.., from)| *from != process);
                for seat in &mut self.seats[process * self.lanes..(process + 1) * self.lanes] {
                    let owned = self.owners[seat.journal()] == process;
                    (seat.worker, seat.owned, seat.fenced) = (None, owned, false);
                }
            }
        }
    }
}

impl Seat<'_> {
    fn journal(&self) -> usize {
        self.way.lane.journal(JOURNALS) as usize
    }

    fn is_of(&self, journal: usize, process: usize) -> bool {
        self.journal() == journal && self.way.process == process
    }

    /// Starts, or goes on, until there is nothing to do.
    fn turn(&mut self, is_confirmed: bool) -> Result<(), String> {
        if !self.owned || (self.fenced && !is_confirmed) {
            return Ok(());
        }
        for _ in 0..IN_A_ROW {
            let busy = {
                let Room { fates, busy, .. } = &mut *self.way.room.borrow_mut();
                let process = self.way.process;
                if !fates.is_dead(process) && self.worker.is_some() && fates.happens(Step::StoreHangs) {
                    fates.hang(process);
                }
                if fates.is_dead(process) {
                    return Ok(());
                }
                *busy
            };
            match self.step() {
                Ok(()) if self.way.room.borrow().busy == busy => return Ok(()),
                Ok(()) => {}
                Err(Failure::Retry(_) | Failure::Stopped) => {
                    self.worker = None;
                    return Ok(());
                }
                Err(Failure::Fenced(why) | Failure::Taken(why)) => {
                    self.worker = None;
                    self.fenced = true;
                    let owner = &self.stage.rules[self.way.process].owner;
                    return match taken_from(owner, self.way, why) {
                        Failure::Refused(why) => Err(why),
                        _ => Ok(()),
                    };
                }
                Err(Failure::Refused(why)) => return Err(format!("a lane was refused: {why}")),
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Failure> {
        let Self { way, stage, worker, fenced, .. } = self;
        match worker {
            None => {
                way.room.borrow_mut().takes(way.lane.number, way.process, std::mem::take(fenced));
                stage.again.set(false);
                *worker = Some(Worker::start(*way, way.lane, &stage.rules[way.process], &stage.metrics)?);
                Ok(())
            }
            Some(worker) => {
                stage.again.set(worker.has_begun());
                worker.step()
            }
        }
    }
}

impl Room {
    /// Whether nothing was wrong so far.
    fn verdict(&self) -> Result<(), String> {
        if let Some(why) = self.wrong.as_ref().or(self.tables.broken.as_ref()) {
            return Err(why.clone());
        }
        match self.takes.iter().find(|(_, (_, takes))| *takes > MOST_TAKES) {
            Some((lane, (_, takes))) => {
                Err(format!("fenced stores took lane {lane} from each other {takes} times in a row"))
            }
            None => Ok(()),
        }
    }
}
