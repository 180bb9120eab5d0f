//! Which stores are dead, and what goes wrong next: drawn from a seed of their own, so that the shards of a run fare as
//! they would without stores.

use crate::faults::{Coverage, Step};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SECOND_US: i64 = 1_000_000;

/// The stores' luck.
pub struct Fates {
    random: ChaCha8Rng,
    /// Things go wrong.
    pub storm: bool,
    /// Virtual time, µs since the epoch.
    pub now_us: i64,
    /// Until when each process is dead, or doesn't run.
    dead_until: Vec<i64>,
    just_died: Vec<bool>,
    /// How often each process was started.
    pub lives: Vec<u32>,
    /// ClickHouse doesn't answer until then.
    away_until: i64,
    /// What was interrupted.
    pub coverage: Coverage,
    /// Processes killed.
    pub crashes: u32,
}

impl Fates {
    /// Of so many processes.
    pub fn new(seed: u64, processes: usize) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(seed ^ 0x0057_07e5),
            storm: false,
            now_us: i64::MIN,
            dead_until: vec![i64::MIN; processes],
            just_died: vec![false; processes],
            lives: vec![1; processes],
            away_until: i64::MIN,
            coverage: Coverage::default(),
            crashes: 0,
        }
    }

    /// Whether a process dies in this step, or is dead already.
    pub fn strikes(&mut self, process: usize, step: Step) -> bool {
        if !self.is_dead(process) && self.happens(step) {
            self.kill(process);
        }
        self.is_dead(process)
    }

    /// Whether this goes wrong now.
    pub fn happens(&mut self, step: Step) -> bool {
        let chance = match step {
            Step::StoreLogRead => 0.002,
            Step::StoreInsertCutBeforeView | Step::StoreInsertReplyLost => 0.02,
            Step::StoreBeforeInsert | Step::StoreAfterInsert => 0.005,
            Step::ClickHouseAway => 0.001,
            Step::StoreHangs => 0.0005,
            _ => 0.01,
        };
        let happens = self.storm && self.random.random_bool(chance);
        if happens {
            self.coverage.hit(step);
        }
        happens
    }

    /// It will be started again after a while.
    pub fn kill(&mut self, process: usize) {
        self.crashes += 1;
        self.lives[process] += 1;
        self.dead_until[process] = self.now_us + self.some_time_us(20 * SECOND_US);
        self.just_died[process] = true;
    }

    /// It does nothing for longer than a session and a transaction last, and wakes as if nothing had happened.
    pub fn hang(&mut self, process: usize) {
        if !self.is_dead(process) {
            self.dead_until[process] = self.now_us + 40 * SECOND_US;
        }
    }

    /// It was killed or hangs.
    pub fn is_dead(&self, process: usize) -> bool {
        self.just_died[process] || self.dead_until[process] > self.now_us
    }

    /// Whether it was killed since the last time it was asked.
    pub fn has_died(&mut self, process: usize) -> bool {
        std::mem::take(&mut self.just_died[process])
    }

    /// Whether ClickHouse doesn't answer.
    pub fn is_away(&mut self) -> bool {
        if self.away_until <= self.now_us && self.happens(Step::ClickHouseAway) {
            self.away_until = self.now_us + self.some_time_us(60 * SECOND_US);
        }
        self.storm && self.away_until > self.now_us
    }

    /// A random time.
    pub fn some_time_us(&mut self, most_us: i64) -> i64 {
        self.random.random_range(1..=most_us)
    }

    /// A random number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end)
    }
}
