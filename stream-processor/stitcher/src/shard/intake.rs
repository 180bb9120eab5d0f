//! What happens to a span on its way into a trace.

use super::{Entombed, Link, Shard};
use crate::digest;
use crate::flow_facts::FlowFacts;
use crate::record::{self, Record};
use crate::rollup::Under;
use crate::span::{Span, TraceId};
use crate::summary::sample_of;
use crate::trace::{Known, Life, Slot, Trace, Unsaved};
use crate::user::hashed;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

impl Shard {
    /// A successor that reads this record again may know nothing of its trace any more.
    pub(super) fn note_if_late(&mut self, id: TraceId, slot: Option<Slot>) {
        let is_late = match slot {
            Some(slot) => !self.traces[slot].is_open(),
            None => self.memory.has_tomb(id),
        };
        let late = (id, self.next_offset - 1);
        if is_late && self.journaled.late.last() != Some(&late) {
            self.journaled.late.push(late);
        }
    }

    pub(super) fn was_counted(&mut self, span: &Span<'_>, slot: Option<Slot>) -> bool {
        let content = (span.content ^ (span.content >> 32)) as u32;
        let here = slot.map(|slot| &self.traces[slot]);
        let known = here.map_or(Known::No, |trace| trace.knows(span.span_id.0, span.kind, content));
        // Only a trace of late spans has fingerprints beside spans.
        let may_have_print = known == Known::No && here.is_none_or(|trace| trace.inherited.is_some());
        let known = match may_have_print && self.memory.has_print(span.trace_id, span.span_id.0, span.kind) {
            true => Known::Exactly,
            false => known,
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

    /// A span that is new, of a trace that may be.
    pub(super) fn keep(&mut self, span: &Span<'_>, slot: Option<Slot>) {
        let id = span.trace_id;
        let slot = match slot {
            Some(slot) => slot,
            None => self.begin_trace(id),
        };
        let trace = &mut self.traces[slot];
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
        self.push_span(span, slot);
        if open {
            self.open_spans += 1;
        } else {
            self.memory.remember(1);
            self.count("late_span", 1);
        }
    }

    /// Adds what the span says to its trace.
    pub(super) fn push_span(&mut self, span: &Span<'_>, slot: Slot) {
        let record = self.record(span);
        // Of a form there are only spans that say nothing else, and its facts are rarely near at hand.
        if span.form == 0 {
            let (user_hash, place) =
                (hashed(&self.settings.user_hash_key, span.facts.user_id), record.place());
            let trace = &mut self.traces[slot];
            trace.links.extend(Link::of(span, trace.records.len() as u32));
            if FlowFacts::is_in(span, &user_hash) {
                let facts = trace.flow.get_or_insert_with(Box::default);
                facts.hear(span, place, &user_hash, self.settings.limits.name_bytes);
            }
        }
        self.push(span.trace_id, slot, record);
    }

    pub(super) fn push(&mut self, id: TraceId, slot: Slot, record: Record) {
        let trace = &mut self.traces[slot];
        let digest = digest::of_span(id, &record);
        trace.spans_digest = trace.spans_digest.wrapping_add(digest);
        self.digest = self.digest.wrapping_add(digest);
        trace.push(record);
        if trace.unsaved.is_none() {
            let offset = self.next_offset - 1;
            trace.unsaved = Some(Unsaved { offset, at_us: self.clock_us, applied: self.applied });
            self.unsaved.push(offset, id);
        }
    }

    fn begin_trace(&mut self, id: TraceId) -> Slot {
        match self.memory.forgotten(id) {
            Some((environment, operation)) => {
                let under = Under {
                    environment: self.names.text(&environment),
                    operation: self.names.text(&operation),
                };
                self.begin_late_trace(id, under)
            }
            None => self.begin_flow(id),
        }
    }

    fn begin_flow(&mut self, id: TraceId) -> Slot {
        let waits = &self.settings.waits;
        let mut trace = Trace::new(self.next_offset - 1, self.clock_us);
        trace.timer_us = self.clock_us + waits.complete_us.min(waits.name_us);
        trace.sampled = self.sampler.takes(self.clock_us, sample_of(id));
        trace.sample_milli = self.sampler.share_milli();
        if trace.sampled {
            self.journaled.published.push((id, trace.sample_milli));
        }
        self.open.push(trace.first_offset, id);
        self.open_traces += 1;
        self.timers.insert((trace.timer_us, id));
        self.traces.insert(id, trace)
    }

    /// The rest of this trace is only fingerprints now: its late spans count under its name, not as a flow. Both are
    /// remembered equally long.
    fn begin_late_trace(&mut self, id: TraceId, under: Under) -> Slot {
        let (position, since_us) = (self.next_offset, self.clock_us);
        let until_us = since_us + self.settings.waits.remember_us;
        let mut trace = Trace::new(position - 1, since_us);
        trace.inherited = Some(under);
        trace.life = Life::Closed { since_us, complete: false, truncated: false };
        trace.timer_us = until_us;
        let slot = self.traces.insert(id, trace);
        self.memory.closed(id, since_us, 0, false);
        let (environment, operation) = (self.names.name(under.environment), self.names.name(under.operation));
        let (prints, evicted) = (Arc::from([]), Vec::new());
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
        slot
    }
}
