//! A cloud console at work: users log in, create machines, attach volumes. Pure: the same seed and rate tell the
//! same flows, to the microsecond and the id, and every flow says what a perfect observer would count.
//!
//! No clock, no I/O: times are microseconds since the run's start.

mod answer;
mod attributes;
mod cast;
pub mod places;
mod scene;
mod span;
mod stories;

#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use attributes::{Attributes, Value};
pub use cast::{Actor, Emitter, Environment, Wire};
pub use scene::Flow;
pub use span::{Event, Kind, Span, Status};

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use scene::Tale;
use std::collections::VecDeque;

/// Share of flows of which one service's spans are held back.
const LATE_SHARE: f64 = 0.04;
/// Late enough to miss the close of a complete trace (6 s of silence).
const LATE_US: std::ops::Range<i64> = 7_000_000..9_000_000;
/// Late enough to miss the close of every trace (30 s of silence).
const VERY_LATE_US: std::ops::Range<i64> = 41_500_000..43_000_000;

/// Endless flows in order of their start.
pub struct Workload {
    rng: ChaCha8Rng,
    rate: f64,
    now_us: i64,
    told: VecDeque<Flow>,
}

impl Workload {
    /// Flows of `seed`, `rate` of them a second on average.
    pub fn new(seed: u64, rate: f64) -> Self {
        assert!(rate > 0.0, "a workload without flows has no truth to tell");
        Self { rng: ChaCha8Rng::seed_from_u64(seed), rate, now_us: 0, told: VecDeque::new() }
    }

    /// Tells the next visit and everything it sets off in traces of their own.
    fn tell(&mut self) {
        let gap_s = -self.rng.random::<f64>().max(f64::MIN_POSITIVE).ln() / self.rate;
        self.now_us += (gap_s * 1e6) as i64;
        let environment =
            if self.rng.random_bool(0.8) { Environment::Production } else { Environment::Staging };
        let story = self.rng.random_range(0..100);
        let mut tale = Tale::new(&mut self.rng, environment, self.now_us);
        match story {
            0..35 => stories::login(&mut tale),
            35..57 => stories::create_vm(&mut tale),
            57..70 => stories::attach_volume(&mut tale),
            70..82 => stories::delete_vm(&mut tale),
            82..94 => stories::update_config(&mut tale),
            _ => stories::health_probe(&mut tale),
        }
        let flows = tale.end();
        for mut flow in flows {
            flow.told_us = self.now_us;
            self.hold_back(&mut flow);
            self.told.push_back(flow);
        }
    }

    /// Makes one service of some flows report long after the others did.
    fn hold_back(&mut self, flow: &mut Flow) {
        if !self.rng.random_bool(LATE_SHARE) {
            return;
        }
        let straggler = flow.spans[self.rng.random_range(0..flow.spans.len())].emitter;
        let range = if self.rng.random_bool(0.5) { LATE_US } else { VERY_LATE_US };
        let held_until_us = flow.end_us() + self.rng.random_range(range);
        for span in flow.spans.iter_mut().filter(|span| span.emitter == straggler) {
            span.due_us = held_until_us;
        }
    }
}

impl Iterator for Workload {
    type Item = Flow;

    fn next(&mut self) -> Option<Flow> {
        if self.told.is_empty() {
            self.tell();
        }
        self.told.pop_front()
    }
}
