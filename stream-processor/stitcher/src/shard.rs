//! The state machine of one partition: records in, commits out, log time in between.

mod check;
mod closing;
mod intake;
mod replay;
mod saving;
mod telling;

pub use replay::{Mismatch, Replay};

use crate::caps::Caps;
use crate::commit::{Close, Commit, Entombed, Journaled, StateChange};
use crate::flow::{FlowEvent, FlowTrace};
use crate::memory::Memory;
use crate::names::{Names, NodeId};
use crate::operation;
use crate::record::{Link, Record};
use crate::resolve::Workspace;
use crate::rollup::Rollup;
use crate::sampler::Sampler;
use crate::schedule::{Queue, Timers};
use crate::settings::Settings;
use crate::shape::shape_of;
use crate::span::{Span, TraceId};
use crate::trace::Traces;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::mem;

const HOUR_US: i64 = 3_600_000_000;

/// Records that go back further than this were stamped by a clock that has been put right.
const CLOCK_CORRECTED_US: i64 = 60_000_000;

/// The single owner of one partition's state.
///
/// Its state is the traces in memory with what they have said so far, the names and fingerprints of those that were
/// forgotten, the names admitted in this hour, and log time; the digest of a commit stands for it. A successor gets it
/// from a [`Replay`].
pub struct Shard {
    settings: Settings,
    clock_us: i64,
    last_timestamp_us: Option<i64>,
    last_record_us: i64,
    next_offset: i64,
    traces: Traces,
    /// Open traces by age, every trace by when it wants to be looked at, and those that aren't wholly in `flow_state` by
    /// where a successor has to begin to read.
    open: Queue,
    open_traces: usize,
    timers: Timers,
    unsaved: Queue,
    dirty: Vec<TraceId>,
    /// Traces with more spans than one may have: closed after this record.
    overgrown: Vec<TraceId>,
    open_spans: usize,
    memory: Memory,
    names: Names,
    /// An hour is over: names go that nobody needs any more.
    sweep_is_due: bool,
    caps: Caps,
    sampler: Sampler,
    rollup: Rollup,
    workspace: Workspace,
    /// What a trace had counted before.
    before: Workspace,
    nodes: Vec<NodeId>,
    said: Vec<u8>,
    events: Vec<FlowEvent>,
    summaries: Vec<FlowTrace>,
    /// What the next commit journals: the lists in it are filled as things happen.
    journaled: Journaled,
    state: Vec<StateChange>,
    /// Traces that must be in `flow_state` after the next commit, whatever their age.
    to_save: BTreeSet<TraceId>,
    /// Numbers the records of admitted names in this hour.
    names_saved: u32,
    /// Spans seen since the last commit.
    spans: u64,
    /// Spans applied, and commits made or known of.
    applied: u64,
    commits: u64,
    /// An order-independent sum over spans, traces and what was said about them, tombs and admitted names.
    digest: u64,
    counters: BTreeMap<&'static str, u64>,
}

impl Shard {
    /// An empty shard at the beginning of its log.
    pub fn new(settings: Settings) -> Self {
        Self {
            clock_us: 0,
            last_timestamp_us: None,
            last_record_us: i64::MIN,
            next_offset: 0,
            traces: Traces::default(),
            open: Queue::default(),
            open_traces: 0,
            timers: Timers::default(),
            unsaved: Queue::default(),
            dirty: Vec::new(),
            overgrown: Vec::new(),
            open_spans: 0,
            memory: Memory::new(&settings.limits),
            names: Names::new(settings.limits.name_bytes),
            sweep_is_due: false,
            caps: Caps::new(&settings.limits),
            sampler: Sampler::new(settings.events_per_second),
            rollup: Rollup::default(),
            workspace: Workspace::default(),
            before: Workspace::default(),
            nodes: Vec::new(),
            said: Vec::new(),
            events: Vec::new(),
            summaries: Vec::new(),
            journaled: Journaled::default(),
            state: Vec::new(),
            to_save: BTreeSet::new(),
            names_saved: 0,
            spans: 0,
            applied: 0,
            commits: 0,
            digest: 0,
            counters: BTreeMap::new(),
            settings,
        }
    }

    /// An empty shard where an earlier one ended, whose traces are given up: log time goes on.
    pub fn begin_at(settings: Settings, last: &Journaled) -> Self {
        let (clock_us, last_timestamp_us) = (last.clock_us, last.timestamp_us);
        Self { clock_us, last_timestamp_us, next_offset: last.next_offset, ..Self::new(settings) }
    }

    /// There are no records before this offset that were not applied.
    pub fn skip_to(&mut self, next_offset: i64) {
        self.next_offset = next_offset;
    }

    /// The next record of the partition: log time moves on by what passed since the one before, and everything
    /// due happens. While timestamps jitter back log time stands still; a wrong clock can't freeze the shard.
    pub fn begin_record(&mut self, offset: i64, timestamp_us: i64) {
        self.keep_limits();
        if let Some(now_us) = self.time_of_record(timestamp_us) {
            self.run_until(now_us);
        }
        self.next_offset = offset + 1;
    }

    /// Nothing unread is left, and it was `now_us` when that was known for certain. A commit has to follow before the
    /// next record: what time this was is nowhere in the log.
    pub fn end_of_log(&mut self, now_us: i64) {
        self.keep_limits();
        if let Some(now_us) = self.time_at(now_us) {
            self.run_until(now_us);
        }
    }

    fn time_of_record(&mut self, timestamp_us: i64) -> Option<i64> {
        // Time goes on from where a wrong clock was put right: it must not stand still until it was right after all.
        if timestamp_us < self.last_record_us.saturating_sub(CLOCK_CORRECTED_US) {
            self.last_timestamp_us = Some(timestamp_us);
        }
        self.last_record_us = timestamp_us;
        self.time_at(timestamp_us)
    }

    /// Log time at this timestamp, if it moves.
    fn time_at(&mut self, timestamp_us: i64) -> Option<i64> {
        let passed = self.last_timestamp_us.map_or(timestamp_us, |last| timestamp_us - last);
        // Only a later timestamp is remembered: jitter must not move the clock twice.
        (passed > 0 || self.last_timestamp_us.is_none()).then(|| {
            self.last_timestamp_us = Some(timestamp_us);
            self.clock_us + passed.max(0)
        })
    }

    fn run_until(&mut self, now_us: i64) {
        while let Some((due_us, id)) = self.timers.pop_until(now_us) {
            self.move_clock(due_us.max(self.clock_us));
            self.look_at(id, due_us);
        }
        self.move_clock(now_us);
    }

    fn move_clock(&mut self, now_us: i64) {
        if now_us / HOUR_US != self.clock_us / HOUR_US {
            self.caps.start_anew();
            self.rollup.start_anew();
            self.drop_saved_names();
            self.sweep_is_due = true;
        }
        self.clock_us = now_us;
    }

    /// A span of the record that was begun last.
    pub fn apply(&mut self, span: &Span<'_>) {
        self.spans += 1;
        let id = span.trace_id;
        if id.0 == 0 || span.span_id.0 == 0 {
            return self.count(if id.0 == 0 { "zero_trace_id" } else { "zero_span_id" }, 1);
        }
        self.applied += 1;
        let slot = self.traces.find(id);
        self.note_if_late(id, slot);
        if self.was_counted(span, slot) {
            return;
        }
        self.count_repairs(span);
        self.keep(span, slot);
    }

    /// The span as it is kept.
    fn record(&mut self, span: &Span<'_>) -> Record {
        let shape = shape_of(span, &mut self.names, &mut self.said);
        let mut record = Record::new(span, shape, &self.settings.limits, self.clock_us);
        if record.parent_id == record.span_id && !record.answers() {
            record.parent_id = 0;
        }
        record
    }

    /// Closes every trace: the end of a file.
    pub fn settle_all(&mut self) {
        self.keep_limits();
        while self.settle_oldest() {}
        self.resolve_postponed();
    }

    /// Closes the oldest open trace, if there is one.
    pub fn settle_oldest(&mut self) -> bool {
        let oldest = self.oldest_open();
        oldest.inspect(|id| self.close(*id, false)).is_some()
    }

    /// Everything since the last commit. Only between records: a commit never cuts one in two.
    pub fn commit(&mut self) -> Commit {
        self.keep_limits();
        self.resolve_dirty();
        let (cut, overflowed) = (mem::take(&mut self.names.cut), mem::take(&mut self.caps.overflowed));
        let spans = mem::take(&mut self.spans);
        self.count("spans", spans);
        self.count("names_cut", cut);
        self.count("overflowed", overflowed);
        self.save();
        let journaled = self.journaled();
        self.commits += 1;
        let deltas = self.rollup.take(&self.names);
        self.tidy();
        Commit {
            journaled,
            state: mem::take(&mut self.state),
            deltas,
            events: mem::take(&mut self.events),
            traces: mem::take(&mut self.summaries),
            counters: mem::take(&mut self.counters),
        }
    }

    /// Lets go of what nobody needs any more. Nothing that came since the last commit is waiting.
    fn tidy(&mut self) {
        let traces = &self.traces;
        self.open.tidy(self.open_traces, |offset, id| is_open_since(traces, offset, id));
        self.unsaved.tidy(traces.len(), |offset, id| is_unsaved_since(traces, offset, id));
        self.memory.tidy(traces);
        if mem::take(&mut self.sweep_is_due) || self.names.has_doubled() {
            self.names.begin_sweep();
            self.traces.iter().for_each(|(_, trace)| trace.keep_names(&mut self.names));
            self.names.end_sweep();
        }
    }

    fn oldest_open(&mut self) -> Option<TraceId> {
        let traces = &self.traces;
        self.open.first(|offset, id| is_open_since(traces, offset, id)).map(|(_, id)| id)
    }

    /// The first offset that holds a span which is not in `flow_state`, and whose it is.
    fn first_unsaved(&mut self) -> Option<(i64, TraceId)> {
        let traces = &self.traces;
        self.unsaved.first(|offset, id| is_unsaved_since(traces, offset, id))
    }

    fn journaled(&mut self) -> Journaled {
        let low_watermark = self.first_unsaved().map_or(self.next_offset, |(offset, _)| offset);
        let grown = |id: &TraceId| {
            let trace = self.traces.get(*id).filter(|trace| trace.dirty)?;
            Some((*id, trace.resolved_spans as u32))
        };
        Journaled {
            next_offset: self.next_offset,
            clock_us: self.clock_us,
            timestamp_us: self.last_timestamp_us,
            low_watermark,
            commits_back: self.memory.oldest_commit().map_or(0, |oldest| self.commits - oldest),
            postponed: self.dirty.iter().filter_map(grown).collect(),
            digest: self.digest(),
            ..mem::take(&mut self.journaled)
        }
    }

    fn digest(&self) -> u64 {
        self.digest.wrapping_add(self.memory.digest).wrapping_add(self.caps.digest)
    }

    /// Spans that were refused before they got here.
    pub fn count_rejected(&mut self, reason: &'static str, many: u64) {
        self.count(reason, many);
    }

    fn count(&mut self, name: &'static str, many: u64) {
        if many > 0 {
            *self.counters.entry(name).or_default() += many;
        }
    }

    /// A commit now would say something about flows.
    pub fn has_output(&self) -> bool {
        !self.dirty.is_empty()
            || self.rollup.rows() > 0
            || !self.events.is_empty()
            || !self.summaries.is_empty()
            || !self.journaled.closes.is_empty()
    }

    /// Roughly how many bytes a commit now would write: good enough to end a commit before it grows too large.
    pub fn output_bytes(&self) -> usize {
        const ROW: usize = 100;
        const SUMMARY: usize = 500;
        const EVENT: usize = 400;
        const CLOSE: usize = 60;
        self.rollup.rows() * ROW
            + self.summaries.len() * SUMMARY
            + self.events.len() * EVENT
            + self.journaled.closes.len() * CLOSE
    }

    /// Spans of traces that are not closed.
    pub fn open_spans(&self) -> usize {
        self.open_spans
    }

    /// Traces that are not closed.
    pub fn open_traces(&self) -> usize {
        self.open_traces
    }

    /// Spans kept of closed traces.
    pub fn remembered_spans(&self) -> usize {
        self.memory.spans()
    }

    /// How long after a trace's close its duplicates are certainly recognised, µs.
    pub fn duplicate_reach_us(&self) -> i64 {
        let full = self.settings.waits.remember_us;
        self.memory.complete_since().map_or(full, |since_us| (self.clock_us - since_us).clamp(0, full))
    }

    /// Log time, µs since the epoch; 0 before the first record.
    pub fn clock_us(&self) -> i64 {
        self.clock_us
    }
}

fn is_open_since(traces: &Traces, offset: i64, id: TraceId) -> bool {
    traces.get(id).is_some_and(|trace| trace.is_open() && trace.first_offset == offset)
}

fn is_unsaved_since(traces: &Traces, offset: i64, id: TraceId) -> bool {
    let unsaved = traces.get(id).and_then(|trace| trace.unsaved);
    unsaved.is_some_and(|unsaved| unsaved.offset == offset)
}

/// The name that flows of health checks get: counted, but outside headline numbers.
pub const PROBE_OPERATION: &str = operation::PROBE;
