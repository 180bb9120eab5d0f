//! What happens to a span on its way into a trace.

use super::{Entombed, Shard};
use crate::delta::Name;
use crate::digest;
use crate::record::{self, Record};
use crate::span::{Span, TraceId};
use crate::summary::sample_of;
use crate::trace::{Known, Life, Trace, Unsaved};
use alloc::vec::Vec;
use core::mem;

impl Shard {
    /// A successor that reads this record again may know nothing of its trace any more.
    pub(super) fn note_if_late(&mut self, id: TraceId) {
        let is_late = match self.traces.get(&id) {
            Some(trace) => !trace.is_open(),
            None => self.memory.has_tomb(id),
        };
        let late = (id, self.next_offset - 1);
        if is_late && self.journaled.late.last() != Some(&late) {
            self.journaled.late.push(late);
        }
    }

    pub(super) fn was_counted(&mut self, span: &Span<'_>) -> bool {
        let content = (span.content ^ (span.content >> 32)) as u32;
        let here =
            self.traces.get(&span.trace_id).map(|trace| trace.knows(span.span_id.0, span.kind, content));
        let known = match here {
            None | Some(Known::No) if self.memory.has_print(span.trace_id, span.span_id.0, span.kind) => {
                Known::Exactly
            }
            other => other.unwrap_or(Known::No),
        };
        match known {
            Known::No => return false,
            Known::Exactly => self.count("duplicate_exact", 1),
            Known::Differently => self.count("duplicate_conflict", 1),
        }
        true
    }

    pub(super) fn count_repairs(&mut self, span: &Span<'_>) {
        let end_us = (span.end_ns.max(span.start_ns) / 1_000).cast_signed();
        let is_self_parent = span.parent_id == Some(span.span_id);
        let repairs = [
            ("negative_duration", span.end_ns < span.start_ns),
            ("time_clamped", !record::is_plausible(end_us, self.clock_us, &self.settings.limits)),
            ("self_parent", is_self_parent),
        ];
        for (name, _) in repairs.into_iter().filter(|(_, happened)| *happened) {
            self.count(name, 1);
        }
    }

    pub(super) fn keep(&mut self, id: TraceId, record: Record) {
        if !self.traces.contains_key(&id) {
            self.begin_trace(id);
        }
        let Some(trace) = self.traces.get_mut(&id) else { return };
        if trace.records.len() >= self.settings.limits.spans_per_trace {
            if trace.is_open() {
                self.overgrown.push(id);
            }
            return self.count("span_over_trace_limit", 1);
        }
        trace.last_us = self.clock_us;
        let open = trace.is_open();
        // What it inherits is nowhere in the log, and its fingerprints may be gone before it is.
        if trace.inherited.is_some() {
            self.to_save.insert(id);
        }
        if !mem::replace(&mut trace.dirty, true) {
            self.dirty.push(id);
        }
        self.push(id, record);
        if open {
            self.open_spans += 1;
        } else {
            self.memory.remember(1);
            self.count("late_span", 1);
        }
    }

    pub(super) fn push(&mut self, id: TraceId, record: Record) {
        let Some(trace) = self.traces.get_mut(&id) else { return };
        self.digest = self.digest.wrapping_add(digest::of_span(id, &record));
        trace.push(record);
        if trace.unsaved.is_none() {
            let offset = self.next_offset - 1;
            trace.unsaved = Some(Unsaved { offset, at_us: self.clock_us, applied: self.applied });
            self.unsaved.insert((offset, id));
        }
    }

    fn begin_trace(&mut self, id: TraceId) {
        match self.memory.forgotten(id) {
            Some(under) => self.begin_late_trace(id, under),
            None => self.begin_flow(id),
        }
    }

    fn begin_flow(&mut self, id: TraceId) {
        let waits = &self.settings.waits;
        let mut trace = Trace::new(self.next_offset - 1, self.clock_us);
        trace.timer_us = self.clock_us + waits.complete_us.min(waits.name_us);
        trace.sampled = self.sampler.takes(self.clock_us, sample_of(id));
        trace.sample_milli = self.sampler.share_milli();
        if trace.sampled {
            self.journaled.published.push((id, trace.sample_milli));
        }
        self.open.insert((trace.first_offset, id));
        self.timers.insert((trace.timer_us, id));
        self.traces.insert(id, trace);
    }

    /// The rest of this trace is only fingerprints now: its late spans count under its name, not as a flow. Both are
    /// remembered equally long.
    fn begin_late_trace(&mut self, id: TraceId, (environment, operation): (Name, Name)) {
        let (position, since_us) = (self.next_offset, self.clock_us);
        let until_us = since_us + self.settings.waits.remember_us;
        let mut trace = Trace::new(position - 1, since_us);
        trace.inherited = Some((environment.clone(), operation.clone()));
        trace.life = Life::Closed { since_us, complete: false, truncated: false };
        trace.timer_us = until_us;
        self.traces.insert(id, trace);
        self.memory.closed(id, since_us, 0, false);
        let (prints, evicted) = (Vec::new(), Vec::new());
        let trace_id = id;
        self.entomb(Entombed {
            trace_id,
            position,
            environment,
            operation,
            since_us,
            until_us,
            prints,
            evicted,
        });
        self.count("late_after_forgetting", 1);
    }
}
