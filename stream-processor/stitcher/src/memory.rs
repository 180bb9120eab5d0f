//! What is remembered of closed traces: their spans while there is room, then 32 bits a span, then nothing.

use crate::commit::Entombed;
use crate::delta::Name;
use crate::digest;
use crate::schedule::Queue;
use crate::settings::Limits;
use crate::span::{Kind, TraceId};
use crate::trace::{Traces, fingerprint};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

/// Bounds the spans and fingerprints of closed traces; the spans themselves stay with their traces.
pub(crate) struct Memory {
    most_spans: usize,
    most_prints: usize,
    spans: usize,
    prints: usize,
    /// Closed traces by when they closed. Complete ones are forgotten before those that a late span could change.
    complete: Queue,
    incomplete: Queue,
    traces: usize,
    tombs: HashMap<TraceId, Tomb, FxBuildHasher>,
    /// Tombs by when they were made, which their numbers tell.
    tomb_order: BTreeMap<u64, TraceId>,
    tombs_made: u64,
    /// When the newest trace closed whose fingerprints had to go before their time.
    lost_us: Option<i64>,
    /// Of the tombs, see [`crate::digest`].
    pub digest: u64,
}

/// A trace of which only the name and the fingerprints are left.
struct Tomb {
    environment: Name,
    operation: Name,
    prints: Arc<[u32]>,
    number: u64,
    /// The commit that journaled it, as the shard counts them.
    commit: u64,
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
            complete: Queue::default(),
            incomplete: Queue::default(),
            traces: 0,
            tombs: HashMap::default(),
            tomb_order: BTreeMap::new(),
            tombs_made: 0,
            lost_us: None,
            digest: 0,
        }
    }

    pub fn spans(&self) -> usize {
        self.spans
    }

    pub fn closed(&mut self, id: TraceId, since_us: i64, spans: usize, complete: bool) {
        self.spans += spans;
        self.traces += 1;
        if complete { &mut self.complete } else { &mut self.incomplete }.push(since_us, id);
    }

    pub fn remember(&mut self, spans: usize) {
        self.spans += spans;
    }

    /// A closed trace is gone.
    pub fn forget(&mut self, spans: usize) {
        self.spans -= spans;
        self.traces -= 1;
    }

    /// The next trace to forget, while there are too many spans.
    pub fn over_limit(&mut self, traces: &Traces) -> Option<TraceId> {
        if self.spans <= self.most_spans {
            return None;
        }
        let complete = self.complete.first(is_closed(traces, true));
        complete.or_else(|| self.incomplete.first(is_closed(traces, false))).map(|(_, id)| id)
    }

    /// Lets go of what isn't true any more.
    pub fn tidy(&mut self, traces: &Traces) {
        self.complete.tidy(self.traces, is_closed(traces, true));
        self.incomplete.tidy(self.traces, is_closed(traces, false));
    }

    /// After closed traces came in another order.
    pub fn sort(&mut self) {
        self.complete.sort();
        self.incomplete.sort();
    }

    pub fn entomb(&mut self, entombed: &Entombed, commit: u64) {
        let Entombed { trace_id: id, since_us, until_us, .. } = *entombed;
        self.prints += entombed.prints.len();
        match self.tombs.get_mut(&id) {
            Some(tomb) => {
                self.digest = self.digest.wrapping_sub(tomb.digest(id));
                tomb.until_us = until_us;
                let mut prints = [&*tomb.prints, &*entombed.prints].concat();
                prints.sort_unstable();
                tomb.prints = prints.into();
                self.digest = self.digest.wrapping_add(tomb.digest(id));
            }
            None => {
                let (environment, operation) = (entombed.environment.clone(), entombed.operation.clone());
                let prints = entombed.prints.clone();
                let number = self.tombs_made;
                let tomb = Tomb { environment, operation, prints, number, commit, since_us, until_us };
                self.tombs_made += 1;
                self.digest = self.digest.wrapping_add(tomb.digest(id));
                self.tomb_order.insert(number, id);
                self.tombs.insert(id, tomb);
            }
        }
    }

    /// Buries the oldest tombs while there are too many fingerprints. Returns which.
    pub fn evict(&mut self) -> Vec<TraceId> {
        let mut evicted = Vec::new();
        while self.prints > self.most_prints
            && let Some(oldest) = self.oldest()
        {
            self.lose(oldest);
            evicted.push(oldest);
        }
        evicted
    }

    /// Buries a tomb before its time.
    pub fn lose(&mut self, id: TraceId) {
        self.lost_us = self.lost_us.max(self.tombs.get(&id).map(|tomb| tomb.since_us));
        self.bury(id);
    }

    /// The commit that journaled the oldest tomb.
    pub fn oldest_commit(&self) -> Option<u64> {
        self.tombs.get(&self.oldest()?).map(|tomb| tomb.commit)
    }

    fn oldest(&self) -> Option<TraceId> {
        self.tomb_order.first_key_value().map(|(_, id)| *id)
    }

    pub fn bury_when_due(&mut self, id: TraceId, now_us: i64) {
        if self.tombs.get(&id).is_some_and(|tomb| tomb.until_us <= now_us) {
            self.bury(id);
        }
    }

    pub fn bury(&mut self, id: TraceId) {
        if let Some(tomb) = self.tombs.remove(&id) {
            self.prints -= tomb.prints.len();
            self.digest = self.digest.wrapping_sub(tomb.digest(id));
            self.tomb_order.remove(&tomb.number);
        }
    }

    /// Only a name and fingerprints are left of this trace.
    pub fn has_tomb(&self, id: TraceId) -> bool {
        self.tombs.contains_key(&id)
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

fn is_closed(traces: &Traces, complete: bool) -> impl Fn(i64, TraceId) -> bool + '_ {
    move |since_us, id| traces.get(id).and_then(|trace| trace.closed()) == Some((since_us, complete))
}

impl Tomb {
    fn digest(&self, id: TraceId) -> u64 {
        digest::of(&(id, &self.environment, &self.operation, self.since_us, self.until_us, &self.prints))
    }
}
