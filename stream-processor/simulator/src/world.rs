//! The scheduler: time, processes that work, die, hang and take shards from each other, one step after the other.

use crate::broker::{Reader, Way};
use crate::cluster::{Cluster, Planted};
use crate::faults::{Coverage, Step};
use crate::input::{Input, START_US};
use crate::lane::Room;
use crate::oracle::Outcome;
use crate::stores::{STORES, Stage, Stores};
use prometheus_client::registry::Registry;
use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::cell::RefCell;
use std::time::Duration;
use stitcher::Settings;
use stream_processor::processor::shard::{
    Copy, Driver, Failure, Kept, ProcessorMetrics, Progress, Recovery, Rules, Told,
};

const SECOND_US: i64 = 1_000_000;
const PROCESSES: usize = 3;
/// One of them keeps none.
const WITHOUT_COPIES: usize = 2;
/// What a copy reads in its turn.
const COPY_STEPS: usize = 4;
/// After the last record: everything closes, is remembered for 15 minutes and forgotten.
const TAIL_US: i64 = 1_700 * SECOND_US;
/// … and the stores take what was committed last.
const STORES_TAIL_US: i64 = 30 * SECOND_US;
/// Until then processes are killed now and then, while traces are forgotten.
const KILLED_UNTIL_US: i64 = 1_300 * SECOND_US;
/// The storm goes on for a while after the last record.
const STORM_TAIL_US: i64 = 60 * SECOND_US;

/// What a process and the cluster have in common: nothing in it outlives a run.
pub struct Shared {
    /// The brokers.
    pub cluster: Cluster,
    /// Virtual time, µs since the epoch.
    pub now_us: i64,
    random: ChaCha8Rng,
    /// Things go wrong.
    storm: bool,
    /// Until when each process is dead, or doesn't run.
    dead_until: Vec<i64>,
    just_died: Vec<bool>,
    live: Vec<Vec<bool>>,
    coverage: Coverage,
    crashes: u32,
    takeovers: u64,
}

impl Shared {
    /// A process may die in this step; a dead one does nothing more.
    pub fn may_die(&mut self, process: usize, step: Step) -> Result<(), Failure> {
        if !self.is_dead(process) && self.is_hit(step) {
            self.kill(process);
        }
        if self.is_dead(process) { Err(Failure::Retry("the process is dead".to_owned())) } else { Ok(()) }
    }

    /// A reply or request gets lost.
    pub fn happens(&mut self, step: Step) -> bool {
        self.is_hit(step)
    }

    fn is_hit(&mut self, step: Step) -> bool {
        let chance = match step {
            Step::JournalFollow => 0.000_5,
            Step::Live | Step::LogReadAgain => 0.001,
            Step::WithinTransaction => 0.003,
            Step::CommitLost | Step::CommitDelayed | Step::ReplyLost => 0.02,
            Step::BeforeTransaction | Step::BeforeCommit | Step::AfterCommit => 0.008,
            _ => 0.02,
        };
        let is_hit = self.storm && self.random.random_bool(chance);
        if is_hit {
            self.coverage.hit(step);
        }
        is_hit
    }

    fn kill(&mut self, process: usize) {
        self.crashes += 1;
        self.dead_until[process] = self.now_us + self.some_time_us(20 * SECOND_US);
        self.just_died[process] = true;
    }

    /// It was killed and has not been started again.
    pub fn is_dead(&self, process: usize) -> bool {
        self.just_died[process] || self.dead_until[process] > self.now_us
    }

    /// The driver of this process reads what is new.
    pub fn is_live(&self, process: usize, shard: u32) -> bool {
        self.live[process][shard as usize]
    }

    /// A random time.
    pub fn some_time_us(&mut self, most_us: i64) -> i64 {
        self.random.random_range(1..=most_us)
    }

    /// Virtual time since the start.
    pub fn elapsed(&self) -> Duration {
        Duration::from_micros((self.now_us - START_US).unsigned_abs())
    }
}

/// One run.
pub struct World<'i> {
    shared: RefCell<Shared>,
    room: RefCell<Room>,
    input: &'i Input,
    is_stormy: bool,
    planted: Option<Planted>,
}

impl<'i> World<'i> {
    /// One process, and nothing goes wrong.
    pub fn calm(seed: u64, input: &'i Input) -> Self {
        Self::new(seed, input, false, None)
    }

    /// Everything goes wrong that can.
    pub fn stormy(seed: u64, input: &'i Input, planted: Option<Planted>) -> Self {
        Self::new(seed, input, true, planted)
    }

    fn new(seed: u64, input: &'i Input, is_stormy: bool, planted: Option<Planted>) -> Self {
        let shards = input.partitions as usize;
        let shared = Shared {
            cluster: Cluster::new(input.partitions, planted),
            now_us: START_US,
            random: ChaCha8Rng::seed_from_u64(seed ^ 0x5eed),
            storm: is_stormy,
            dead_until: vec![i64::MIN; PROCESSES],
            just_died: vec![false; PROCESSES],
            live: vec![vec![false; shards]; PROCESSES],
            coverage: Coverage::default(),
            crashes: 0,
            takeovers: 0,
        };
        let room = RefCell::new(Room::new(seed, STORES, planted));
        Self { shared: RefCell::new(shared), room, input, is_stormy, planted }
    }

    /// Coverage, crashes, and starts from a copy.
    pub fn told(&self) -> (Coverage, u32, u64) {
        let (shared, room) = (self.shared.borrow(), self.room.borrow());
        let mut coverage = shared.coverage.clone();
        coverage.add(&room.fates.coverage);
        (coverage, shared.crashes + room.fates.crashes, shared.takeovers)
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// Why the run is wrong by itself: a refused start, a hole, a shard that doesn't get on.
    pub fn run(&mut self) -> Result<Outcome, String> {
        let shards = self.input.partitions;
        let metrics = ProcessorMetrics::register(&mut Registry::default());
        let progress = Progress::default();
        let rules: Vec<Rules> = (0..shards).map(|shard| self.rules(shard)).collect();
        let told: Vec<Told<'_>> = (0..shards.cast_signed())
            .map(|shard| Told { metrics: &metrics, shard: metrics.shard(shard), progress: &progress })
            .collect();
        let seats = (0..PROCESSES).flat_map(|process| (0..shards).map(move |shard| (process, shard)));
        let ways: Vec<Way<'_>> =
            seats.map(|(process, shard)| Way { shared: &self.shared, process, shard }).collect();
        let seats = ways.iter().map(|way| {
            let (rules, told) = (&rules[way.shard as usize], &told[way.shard as usize]);
            Seat { way, rules, told, driver: None, kept: Kept::default(), owned: false, fenced: false }
        });
        let owners = vec![0; shards as usize];
        let group = Group { shared: &self.shared, seats: seats.collect(), owners, revocations: Vec::new() };
        let has_stores = self.is_stormy && self.planted.is_none_or(Planted::is_of_store);
        let stage = Stage::new(shards);
        let ways_of_stores = stage.ways(&self.shared, &self.room);
        let mut stores = has_stores.then(|| Stores::new(&stage, &self.room, &ways_of_stores));
        self.drive(group, &mut stores)?;
        for told in &told {
            let (takeovers, wrong) = told.shard.copies();
            self.shared.borrow_mut().takeovers += takeovers;
            if wrong > 0 {
                return Err(format!("{wrong} copies were not what their shard was"));
            }
        }
        let mut outcome = Outcome::of(&self.shared.borrow().cluster, self.input)?;
        if has_stores {
            outcome.stored = stage.judge(&self.shared.borrow().cluster, &self.room.borrow())?;
        }
        Ok(outcome)
    }

    fn rules(&self, shard: u32) -> Rules {
        let mut settings = Settings { shard, ..Settings::default() };
        settings.limits.replayed_spans = self.input.replayed_spans;
        settings.limits.remembered_spans = self.input.remembered_spans;
        settings.limits.fingerprints = self.input.fingerprints;
        let mut rules = Rules::new("otlp_spans".to_owned(), settings);
        rules
            .quarantine
            .extend(self.input.quarantine.filter(|(at, _)| *at == shard).map(|(_, offset)| offset));
        rules
    }

    fn drive(&self, mut group: Group<'_>, stores: &mut Option<Stores<'_>>) -> Result<(), String> {
        let last_us = self.input.records.last().map_or(START_US, |record| record.at_us);
        let mut arrived = 0;
        (0..self.input.partitions as usize).for_each(|shard| group.assign(shard, 0));
        loop {
            let now_us = self.pass_time(last_us, &mut arrived);
            if let Some(stores) = stores {
                stores.step(now_us, self.shared.borrow().storm)?;
            }
            // The stores take what the shards have committed last.
            if now_us > last_us + TAIL_US + STORES_TAIL_US {
                return Ok(());
            }
            if now_us > last_us + TAIL_US {
                continue;
            }
            if self.shared.borrow().storm {
                group.disturb();
            } else if self.is_stormy && now_us < last_us + KILLED_UNTIL_US {
                self.kill_rarely();
            }
            group.step()?;
        }
    }

    /// Whoever starts now has to do with traces of which nothing is left.
    fn kill_rarely(&self) {
        let mut shared = self.shared.borrow_mut();
        if shared.random.random_bool(0.01) {
            let process = shared.random.random_range(0..PROCESSES);
            shared.kill(process);
        }
    }

    /// Time goes on, records arrive, and what the brokers have to do is done.
    fn pass_time(&self, last_us: i64, arrived: &mut usize) -> i64 {
        let mut shared = self.shared.borrow_mut();
        let busy = shared.now_us < last_us + STORM_TAIL_US;
        let most_us = if busy { SECOND_US / 10 } else { 2 * SECOND_US };
        shared.now_us += if self.is_stormy { shared.some_time_us(most_us) } else { most_us / 2 };
        shared.storm = self.is_stormy && busy;
        let now_us = shared.now_us;
        while let Some(record) = self.input.records.get(*arrived).filter(|record| record.at_us <= now_us) {
            shared.cluster.spans[record.partition as usize].push((record.at_us, record.value.clone()));
            *arrived += 1;
        }
        shared.cluster.pass_time(now_us);
        now_us
    }
}

/// One process's place for one shard.
struct Seat<'w> {
    way: &'w Way<'w>,
    rules: &'w Rules,
    told: &'w Told<'w>,
    driver: Option<Driver<'w, Way<'w>>>,
    /// What the next start goes on with.
    kept: Kept<Reader<'w>>,
    /// The process believes that the shard is its own.
    owned: bool,
    /// Somebody else had its transactions: it waits until the group confirms that the shard is its own.
    fenced: bool,
}

/// The consumer group: who owns what, and who has heard of it.
struct Group<'w> {
    shared: &'w RefCell<Shared>,
    seats: Vec<Seat<'w>>,
    /// The owning process by shard.
    owners: Vec<usize>,
    /// Owners that have not heard yet that they aren't any more.
    revocations: Vec<(i64, usize)>,
}

impl Group<'_> {
    fn seat(&self, process: usize, shard: usize) -> usize {
        process * self.owners.len() + shard
    }

    fn assign(&mut self, shard: usize, process: usize) {
        self.owners[shard] = process;
        let seat = self.seat(process, shard);
        self.seats[seat].owned = true;
        self.seats[seat].fenced = false;
        self.revocations.retain(|(_, revoked)| *revoked != seat);
    }

    /// A shard changes hands, a process hangs or is killed.
    fn disturb(&mut self) {
        let (dice, process, shard, now_us) = {
            let mut shared = self.shared.borrow_mut();
            let (process, shard) =
                (shared.random.random_range(0..PROCESSES), shared.random.random_range(0..self.owners.len()));
            (shared.random.random_range(0..1_000), process, shard, shared.now_us)
        };
        match dice {
            0..=4 => self.hand_over(shard, process, now_us),
            5 => self.shared.borrow_mut().kill(process),
            // It does nothing for longer than a session lasts, and wakes as if nothing had happened.
            6 => {
                let mut shared = self.shared.borrow_mut();
                if !shared.is_dead(process) {
                    shared.dead_until[process] = now_us + 40 * SECOND_US;
                }
            }
            _ => {}
        }
    }

    /// The old owner stops at once, or hears of it only later and goes on until then.
    fn hand_over(&mut self, shard: usize, process: usize, now_us: i64) {
        let before = self.owners[shard];
        if before == process {
            return;
        }
        let seat = self.seat(before, shard);
        let delay_us = {
            let mut shared = self.shared.borrow_mut();
            if shared.random.random_bool(0.5) { 0 } else { shared.some_time_us(30 * SECOND_US) }
        };
        if delay_us == 0 {
            self.revoke(seat);
        } else {
            self.revocations.push((now_us + delay_us, seat));
        }
        self.assign(shard, process);
    }

    fn revoke(&mut self, seat: usize) {
        let seat = &mut self.seats[seat];
        seat.owned = false;
        if let Some(mut driver) = seat.driver.take() {
            // Whatever becomes of its last commit: the journal tells.
            let _ = driver.finish();
            seat.kept.work = Some(driver.into_work());
        }
        seat.is_live(false);
    }

    /// One process does one thing.
    fn step(&mut self) -> Result<(), String> {
        self.bury_the_dead();
        let (now_us, chosen) = {
            let mut shared = self.shared.borrow_mut();
            (shared.now_us, shared.random.random_range(0..self.seats.len()))
        };
        let due: Vec<usize> =
            self.revocations.iter().filter(|(at_us, _)| *at_us <= now_us).map(|(_, seat)| *seat).collect();
        self.revocations.retain(|(at_us, _)| *at_us > now_us);
        due.into_iter().for_each(|seat| self.revoke(seat));
        // In quiet times everybody gets a turn.
        let seats = if self.shared.borrow().storm { chosen..chosen + 1 } else { 0..self.seats.len() };
        for seat in seats {
            let is_confirmed = self.owners[seat % self.owners.len()] == seat / self.owners.len();
            self.seats[seat].turn(is_confirmed)?;
        }
        self.bury_the_dead();
        Ok(())
    }

    /// Whatever a killed process knew is gone.
    fn bury_the_dead(&mut self) {
        for process in 0..PROCESSES {
            if std::mem::take(&mut self.shared.borrow_mut().just_died[process]) {
                for shard in 0..self.owners.len() {
                    let seat = self.seat(process, shard);
                    let is_owner = self.owners[shard] == process;
                    let seat = &mut self.seats[seat];
                    (seat.driver, seat.kept, seat.owned, seat.fenced) =
                        (None, Kept::default(), is_owner, false);
                    seat.is_live(false);
                }
            }
        }
    }
}

impl Seat<'_> {
    fn is_live(&self, live: bool) {
        self.way.shared.borrow_mut().live[self.way.process][self.way.shard as usize] = live;
    }

    /// Somebody else has the shard: some processes keep a copy.
    fn copy(&mut self) {
        if self.way.process == WITHOUT_COPIES || self.way.shared.borrow().is_dead(self.way.process) {
            return;
        }
        let followed = match &mut self.kept.copy {
            Some(copy) => (0..COPY_STEPS).try_for_each(|_| copy.step(self.rules)),
            None => {
                let begun = Copy::begin(&Recovery { broker: self.way, rules: self.rules });
                begun.map(|copy| self.kept.copy = Some(copy))
            }
        };
        if followed.is_err() {
            self.kept.copy = None;
        }
    }

    /// Starts, or goes on.
    fn turn(&mut self, is_confirmed: bool) -> Result<(), String> {
        if !self.owned {
            self.copy();
        }
        if !self.owned || (self.fenced && !is_confirmed) || self.way.shared.borrow().is_dead(self.way.process)
        {
            return Ok(());
        }
        let failed = match &mut self.driver {
            None => {
                self.fenced = false;
                match Driver::start(self.way, self.rules, self.told, &mut self.kept) {
                    Ok(driver) => {
                        self.driver = Some(driver);
                        self.is_live(true);
                        return Ok(());
                    }
                    Err(failure) => failure,
                }
            }
            Some(driver) => match driver.step() {
                Ok(()) => {
                    return match driver.mistake() {
                        None => Ok(()),
                        Some(mistake) => Err(format!("shard {}: {mistake}", self.way.shard)),
                    };
                }
                Err(failure) => {
                    self.kept.work = self.driver.take().map(Driver::into_work);
                    self.is_live(false);
                    failure
                }
            },
        };
        match failed {
            Failure::Retry(_) => Ok(()),
            Failure::Fenced(_) => {
                self.fenced = true;
                Ok(())
            }
            Failure::Refused(why) => Err(format!("a start was refused: {why}")),
        }
    }
}
