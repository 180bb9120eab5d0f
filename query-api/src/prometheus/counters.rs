//! From commits to series: what is counted once, and from when on.

use super::labels::{EdgeLabels, EndpointLabels};
use super::nets::Nets;
use super::table::Table;
use super::topics::Topics;
use crate::change::Commit;
use crate::live::shards::Verdict;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Series of edges, and of entry points. A scrape of so many is 70 MB of text before compression.
const MOST_EDGES: usize = 5_000;
const MOST_ENDPOINTS: usize = 5_000;

/// A lock, because one thread adds to it while scrapes read; each holds it for one record or one copy.
pub type SharedCounters = Arc<Mutex<Counters>>;

/// Reads the lock even after a panic of another holder, as [`crate::live::feed::locked`] does.
pub fn locked(counters: &Mutex<Counters>) -> MutexGuard<'_, Counters> {
    counters.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything that is counted for Prometheus. It counts what is committed while this process runs: what was committed
/// before has been counted by another one, and Prometheus takes a lower value for a new beginning.
#[derive(Debug)]
pub struct Counters {
    /// Calls between nodes.
    pub edges: Table<EdgeLabels>,
    /// Requests of entry points.
    pub endpoints: Table<EndpointLabels>,
    /// By partition of `flow_deltas`.
    positions: BTreeMap<i32, Position>,
    /// Of commits whose last part has not come yet, by partition.
    begun: BTreeMap<i32, Nets>,
    topics: Topics,
    left_out: u64,
}

#[derive(Debug, Clone, Copy)]
struct Position {
    /// The record that was not taken yet.
    next: i64,
    /// Whether the end of the log has been reached: what came before it is history.
    counts: bool,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            edges: Table::new(MOST_EDGES),
            endpoints: Table::new(MOST_ENDPOINTS),
            positions: BTreeMap::new(),
            begun: BTreeMap::new(),
            topics: Topics::default(),
            left_out: 0,
        }
    }
}

impl Counters {
    /// A partition will be read from this offset on. Whoever has read further before goes on there.
    pub fn begin(&mut self, partition: i32, offset: i64) {
        self.positions.entry(partition).or_insert(Position { next: offset, counts: false });
    }

    /// Offsets mean something else now: the topic was made anew.
    pub fn begin_anew(&mut self) {
        self.positions.clear();
        self.begun.clear();
    }

    /// A partition has been read to its end.
    pub fn at_end(&mut self, partition: i32) {
        if let Some(position) = self.positions.get_mut(&partition) {
            position.counts = true;
        }
    }

    /// Takes one record, unless it was taken before: at this offset by us, or elsewhere in the log as live state says it. A
    /// commit is added as a whole, with its last part.
    pub fn take(&mut self, commit: &Commit, verdict: Verdict, (partition, offset): (i32, i64), now_s: i64) {
        let Some(position) = self.positions.get_mut(&partition) else { return };
        if offset < position.next {
            return;
        }
        position.next = offset + 1;
        let counts = position.counts;
        self.topics.learn(commit);
        if !counts || verdict == Verdict::Repeated {
            return;
        }
        let mut nets = self.begun.remove(&partition).unwrap_or_default();
        if commit.part == 0 {
            // Not empty only where the end of the commit before is missing.
            self.add(std::mem::take(&mut nets), now_s);
        }
        nets.add(commit);
        if commit.part + 1 < commit.parts {
            self.begun.insert(partition, nets);
        } else {
            self.add(nets, now_s);
        }
    }

    /// Lets go of series that have not changed for long.
    pub fn forget(&mut self, now_s: i64) {
        self.edges.forget(now_s);
        self.endpoints.forget(now_s);
    }

    /// Changes of series for which there was no room.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn add(&mut self, nets: Nets, now_s: i64) {
        let edges = nets.edges.into_iter().map(|(labels, net)| self.edges.add(labels, &net, now_s));
        let refused = edges.filter(|admitted| !admitted).count();
        let endpoints = nets.endpoints.into_iter().map(|(mut labels, net)| {
            labels.span_kind = self.topics.span_kind(&labels.entry);
            self.endpoints.add(labels, &net, now_s)
        });
        self.left_out += (refused + endpoints.filter(|admitted| !admitted).count()) as u64;
    }
}

#[cfg(test)]
#[path = "counters_tests.rs"]
mod tests;
