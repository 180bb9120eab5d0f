//! What must be true of a shard between records. Slow: for tests and simulators.

use super::Shard;
use crate::digest;

impl Shard {
    /// What is wrong with it, if anything is: counts, orders and the digest are kept up to date as things come and go,
    /// and here worked out anew.
    pub fn mistake(&self) -> Option<&'static str> {
        let traces = || self.traces.iter();
        let spans = |is_open: bool| -> usize {
            let meant = traces().filter(|(_, trace)| trace.is_open() == is_open);
            meant.map(|(_, trace)| trace.records.len()).sum()
        };
        let digest = traces().fold(0_u64, |sum, (id, trace)| {
            let spans = trace.records.iter().map(|record| digest::of_span(id, record));
            spans.fold(sum.wrapping_add(trace.digest), u64::wrapping_add)
        });
        let open = traces().filter(|(_, trace)| trace.is_open()).count();
        let rules = [
            (self.open_spans == spans(true), "open spans are miscounted"),
            (self.memory.spans() == spans(false), "spans of closed traces are miscounted"),
            (self.open_traces == open, "open traces are miscounted"),
            (
                traces().all(|(id, trace)| self.timers.contains((trace.timer_us, id))),
                "a trace is never looked at",
            ),
            (
                traces().all(|(id, trace)| {
                    trace.unsaved.is_none_or(|unsaved| self.unsaved.contains(unsaved.offset, id))
                }),
                "a trace that is not saved is not in the order of those",
            ),
            (
                traces().all(|(_, trace)| trace.saved.spans as usize <= trace.records.len()),
                "more is saved than there is",
            ),
            (self.digest == digest, "the digest is not that of the state"),
        ];
        rules.into_iter().find_map(|(is_kept, rule)| (!is_kept).then_some(rule))
    }
}
