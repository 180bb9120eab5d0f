//! What happens to a span on its way into a trace.

use super::Shard;
use crate::record::{self, Record};
use crate::span::{Span, TraceId};
use crate::summary::sample_of;
use crate::trace::{Known, Life, Trace};
use core::mem;

impl Shard {
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
        trace.push(record);
        trace.last_us = self.clock_us;
        let open = trace.is_open();
        if !mem::replace(&mut trace.dirty, true) {
            self.dirty.push(id);
        }
        if open {
            self.open_spans += 1;
        } else {
            self.memory.remember(1);
            self.count("late_span", 1);
            self.forget_oldest();
        }
    }

    pub(super) fn begin_trace(&mut self, id: TraceId) {
        let mut trace = Trace::new(self.next_offset - 1, self.clock_us);
        if let Some((environment, operation)) = self.memory.forgotten(id) {
            // The rest of this trace is only fingerprints now: its late spans count under its name, not as a flow.
            trace.inherited = Some((environment, operation));
            trace.life = Life::Closed { since_us: self.clock_us, complete: false, truncated: false };
            trace.timer_us = self.clock_us + self.settings.waits.remember_us;
            self.memory.closed(id, 0, false);
            self.count("late_after_forgetting", 1);
        } else {
            trace.sampled = self.sampler.takes(self.clock_us, sample_of(id));
            trace.sample_milli = self.sampler.share_milli();
            trace.timer_us = self.clock_us + self.settings.waits.complete_us.min(self.settings.waits.name_us);
            self.open.insert((trace.first_offset, id));
        }
        self.timers.insert((trace.timer_us, id));
        self.traces.insert(id, trace);
    }
}
