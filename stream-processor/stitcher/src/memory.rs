//! What is remembered of closed traces: their spans while there is room, then 32 bits a span, then nothing.

use crate::delta::Name;
use crate::settings::Limits;
use crate::span::{Kind, TraceId};
use crate::trace::fingerprint;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

/// Bounds the spans and fingerprints of closed traces; the spans themselves stay with their traces.
pub(crate) struct Memory {
    most_spans: usize,
    most_prints: usize,
    spans: usize,
    prints: usize,
    /// Closed traces, oldest first. Complete ones are forgotten before those that a late span could change.
    complete: VecDeque<TraceId>,
    incomplete: VecDeque<TraceId>,
    tombs: HashMap<TraceId, Tomb, FxBuildHasher>,
    tomb_order: VecDeque<TraceId>,
    /// When the newest trace closed whose fingerprints had to go before their time.
    lost_us: Option<i64>,
}

/// A trace of which only the name and the fingerprints are left.
struct Tomb {
    environment: Name,
    operation: Name,
    prints: Vec<u32>,
    /// When its trace closed.
    since_us: i64,
    /// When it is let go. A timer that an earlier tomb of this trace left behind may ring before.
    until_us: i64,
}

impl Memory {
    pub fn new(limits: &Limits) -> Self {
        Self {
            most_spans: limits.remembered_spans,
            most_prints: limits.fingerprints,
            spans: 0,
            prints: 0,
            complete: VecDeque::new(),
            incomplete: VecDeque::new(),
            tombs: HashMap::default(),
            tomb_order: VecDeque::new(),
            lost_us: None,
        }
    }

    pub fn spans(&self) -> usize {
        self.spans
    }

    pub fn closed(&mut self, id: TraceId, spans: usize, complete: bool) {
        self.spans += spans;
        if complete { self.complete.push_back(id) } else { self.incomplete.push_back(id) }
    }

    pub fn remember(&mut self, spans: usize) {
        self.spans += spans;
    }

    /// A closed trace is gone. `alive` says which others are not.
    pub fn forget(&mut self, spans: usize, alive: impl Fn(&TraceId) -> bool) {
        self.spans -= spans;
        for order in [&mut self.complete, &mut self.incomplete] {
            while order.front().is_some_and(|id| !alive(id)) {
                order.pop_front();
            }
        }
    }

    /// The next trace to forget, while there are too many spans. It may be gone already.
    pub fn over_limit(&mut self) -> Option<TraceId> {
        if self.spans <= self.most_spans {
            return None;
        }
        self.complete.pop_front().or_else(|| self.incomplete.pop_front())
    }

    pub fn entomb(
        &mut self,
        id: TraceId,
        (since_us, until_us): (i64, i64),
        (environment, operation): (Name, Name),
        prints: Vec<u32>,
    ) {
        self.prints += prints.len();
        match self.tombs.get_mut(&id) {
            Some(tomb) => {
                tomb.until_us = until_us;
                tomb.prints.extend(prints);
                tomb.prints.sort_unstable();
            }
            None => {
                self.tombs.insert(id, Tomb { environment, operation, prints, since_us, until_us });
                self.tomb_order.push_back(id);
            }
        }
        while self.prints > self.most_prints {
            match self.tomb_order.front().copied() {
                Some(oldest) => {
                    self.lost_us = self.lost_us.max(self.tombs.get(&oldest).map(|tomb| tomb.since_us));
                    self.bury(oldest);
                }
                None => return,
            }
        }
    }

    pub fn bury_when_due(&mut self, id: TraceId, now_us: i64) {
        if self.tombs.get(&id).is_some_and(|tomb| tomb.until_us <= now_us) {
            self.bury(id);
        }
    }

    pub fn bury(&mut self, id: TraceId) {
        if let Some(tomb) = self.tombs.remove(&id) {
            self.prints -= tomb.prints.len();
        }
        while self.tomb_order.front().is_some_and(|id| !self.tombs.contains_key(id)) {
            self.tomb_order.pop_front();
        }
    }

    pub fn has_print(&self, id: TraceId, span_id: u64, kind: Kind) -> bool {
        let tomb = self.tombs.get(&id);
        tomb.is_some_and(|tomb| tomb.prints.binary_search(&fingerprint(span_id, kind)).is_ok())
    }

    /// Duplicates of traces that closed since then are recognised; `None`: of all that are remembered at all.
    pub fn complete_since(&self) -> Option<i64> {
        self.lost_us
    }

    /// Environment and operation of a trace whose spans are forgotten.
    pub fn forgotten(&self, id: TraceId) -> Option<(Name, Name)> {
        self.tombs.get(&id).map(|tomb| (tomb.environment.clone(), tomb.operation.clone()))
    }
}
