//! When a trace is finished, and how long it is remembered (DESIGN 4.6).

use super::{Close, Entombed, Shard};
use crate::delta::Name;
use crate::span::TraceId;
use crate::summary::NOTHING;
use crate::trace::{Life, Slot, Trace};
use alloc::vec::Vec;
use core::mem;

impl Shard {
    /// Limits take effect between records only: neither a close nor forgetting ever falls inside one.
    pub(super) fn keep_limits(&mut self) {
        self.forget_oldest();
        for id in mem::take(&mut self.overgrown) {
            self.close(id, true);
        }
        while self.open_spans > self.settings.limits.open_spans {
            let Some(id) = self.oldest_open() else { return };
            self.count("settled_early", 1);
            self.close(id, true);
        }
    }

    pub(super) fn forget_oldest(&mut self) {
        while let Some(id) = self.memory.over_limit(&self.traces) {
            let Some(trace) = self.forget(id) else { return };
            let Life::Closed { since_us, .. } = trace.life else { return };
            let (environment, operation) = self.told_under(&trace);
            let entombed = Entombed {
                trace_id: id,
                position: self.next_offset,
                environment,
                operation,
                since_us,
                until_us: self.clock_us + self.settings.waits.remember_us,
                prints: trace.fingerprints(),
                evicted: Vec::new(),
            };
            self.entomb(entombed);
        }
    }

    /// Environment and operation that it counts under.
    fn told_under(&self, trace: &Trace) -> (Name, Name) {
        let under = trace.told.map_or(NOTHING, |told| told.under);
        (self.names.name(under.environment), self.names.name(under.operation))
    }

    pub(super) fn entomb(&mut self, mut entombed: Entombed) {
        self.timers.insert((entombed.until_us, entombed.trace_id));
        self.memory.entomb(&entombed, self.commits);
        entombed.evicted = self.memory.evict();
        self.journaled.entombed.push(entombed);
    }

    /// Lets go of a closed trace, after a last word about spans that came since the last commit.
    pub(super) fn forget(&mut self, id: TraceId) -> Option<Trace> {
        let slot = self.traces.find(id)?;
        if self.traces[slot].dirty {
            self.resolve_one(id, slot);
        }
        let trace = self.remove(id)?;
        self.drop_saved(id, &trace);
        if trace.closed().is_some() {
            self.memory.forget(trace.records.len());
        }
        Some(trace)
    }

    pub(super) fn remove(&mut self, id: TraceId) -> Option<Trace> {
        let trace = self.traces.remove(id)?;
        self.digest = self.digest.wrapping_sub(trace.digest).wrapping_sub(trace.spans_digest);
        Some(trace)
    }

    /// A trace's timer ran out.
    pub(super) fn look_at(&mut self, id: TraceId, due_us: i64) {
        let Some(trace) = self.traces.get(id) else {
            return self.memory.bury_when_due(id, self.clock_us);
        };
        match trace.life {
            // It wants to be looked at later, or that was an earlier trace's timer.
            _ if trace.timer_us != due_us => {}
            Life::Closed { since_us, .. } if self.clock_us >= since_us + self.settings.waits.remember_us => {
                self.forget(id);
                self.memory.bury(id);
            }
            Life::Closed { since_us, .. } => self.set_timer(id, since_us + self.settings.waits.remember_us),
            Life::Open => self.look_at_open(id),
        }
    }

    pub(super) fn look_at_open(&mut self, id: TraceId) {
        let waits = self.settings.waits.clone();
        let Some(slot) = self.traces.find(id) else { return };
        let trace = &mut self.traces[slot];
        let (first_us, last_us) = (trace.first_us, trace.last_us);
        if self.clock_us >= first_us + waits.name_us && !mem::replace(&mut trace.name_waived, true) {
            let unnamed = trace.told.is_none();
            if unnamed && !mem::replace(&mut trace.dirty, true) {
                self.dirty.push(id);
            }
        }
        if self.clock_us >= first_us + waits.longest_us {
            return self.close(id, true);
        }
        let mut next_us = last_us + waits.complete_us;
        if self.clock_us >= next_us {
            let missing = self.missing_now(slot);
            next_us = last_us
                + match missing {
                    (_, true) => waits.unseen_us,
                    (true, false) => waits.unanswered_us,
                    (false, false) => waits.complete_us,
                };
            if self.clock_us >= next_us {
                return self.close(id, false);
            }
        }
        let name_us = first_us + waits.name_us;
        if self.clock_us < name_us {
            next_us = next_us.min(name_us);
        }
        self.set_timer(id, next_us.min(first_us + waits.longest_us));
    }

    /// (answers missing, parents or root missing) after everything that is here.
    pub(super) fn missing_now(&mut self, slot: Slot) -> (bool, bool) {
        if self.traces[slot].dirty {
            self.update(slot);
            // It stays in the list of dirty traces: its events are due at the commit.
            self.traces[slot].dirty = true;
        }
        let missing = self.traces[slot].missing;
        (missing.answers > 0, missing.parents)
    }

    pub(super) fn set_timer(&mut self, id: TraceId, at_us: i64) {
        let Some(slot) = self.traces.find(id) else { return };
        if mem::replace(&mut self.traces[slot].timer_us, at_us) != at_us {
            self.timers.insert((at_us, id));
        }
    }

    /// It is finished: whatever is unresolved becomes virtual.
    pub(super) fn close(&mut self, id: TraceId, truncated: bool) {
        let Some(slot) = self.traces.find(id) else { return };
        let trace = &mut self.traces[slot];
        if !trace.is_open() {
            return;
        }
        self.open_traces -= 1;
        let is_final = trace.is_final();
        trace.life = Life::Closed { since_us: self.clock_us, complete: false, truncated };
        if !is_final {
            self.update(slot);
        }
        let remember_us = self.clock_us + self.settings.waits.remember_us;
        self.set_timer(id, remember_us);
        let (position, since_us) = (self.next_offset, self.clock_us);
        let trace = &mut self.traces[slot];
        let complete = trace.missing.is_nothing();
        trace.life = Life::Closed { since_us, complete, truncated };
        // It is kept for long, and seldom grows any more. Not shrunk where it stands: what that leaves is of no use.
        trace.records = trace.records.clone();
        let (spans, cycles) = (trace.records.len(), trace.gist.cycles);
        let (environment, operation) = self.told_under(&self.traces[slot]);
        let close = Close { trace_id: id, position, since_us, complete, truncated, operation, environment };
        self.journaled.closes.push(close);
        self.open_spans -= spans;
        self.memory.closed(id, since_us, spans, complete);
        self.digest_trace(id, slot);
        self.count("closed", 1);
        self.count("closed_incomplete", u64::from(!complete));
        self.count("closed_truncated", u64::from(truncated));
        self.count("cycle", u64::from(cycles));
        self.revise(id, slot, !is_final);
        self.complete_event(id, slot);
        self.save_again(id);
        self.forget_oldest();
    }
}
