//! The state machine of one partition: records in, commits out, log time in between.

use crate::caps::Caps;
use crate::delta::{Deltas, Name, Rollup};
use crate::flow::{FlowEvent, FlowEventKind, FlowStatus, FlowTrace};
use crate::memory::Memory;
use crate::names::Names;
use crate::operation;
use crate::record::{self, Record};
use crate::resolve::{Resolved, Role, resolve};
use crate::sampler::Sampler;
use crate::settings::Settings;
use crate::span::{Span, TraceId};
use crate::summary::{sample_of, summarise};
use crate::trace::{Known, Life, Trace};
use crate::user::hashed;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::mem;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

/// Traces up to this size are resolved at every commit that sees new spans of them; larger ones when they have
/// grown by an eighth, or after [`LARGE_TRACE_WAIT_US`], so that one huge trace can't take all the time.
const LARGE_TRACE: usize = 2_000;
const LARGE_TRACE_WAIT_US: i64 = 5_000_000;
const HOUR_US: i64 = 3_600_000_000;

/// The single owner of one partition's state.
pub struct Shard {
    settings: Settings,
    clock_us: i64,
    last_timestamp_us: Option<i64>,
    next_offset: i64,
    traces: HashMap<TraceId, Trace, FxBuildHasher>,
    /// Open traces by age, and every trace by when it wants to be looked at.
    open: BTreeSet<(i64, TraceId)>,
    timers: BTreeSet<(i64, TraceId)>,
    dirty: Vec<TraceId>,
    open_spans: usize,
    memory: Memory,
    names: Names,
    caps: Caps,
    sampler: Sampler,
    rollup: Rollup,
    events: Vec<FlowEvent>,
    summaries: Vec<FlowTrace>,
    closes: Vec<Close>,
    counters: BTreeMap<&'static str, u64>,
}

/// The decision that a trace is finished; it happens once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// Which trace.
    pub trace_id: TraceId,
    /// The next offset to apply at that moment.
    pub position: i64,
    /// Operation it closed under.
    pub operation: Name,
    /// Environment it closed under.
    pub environment: Name,
}

/// Everything since the last commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Log time.
    pub clock_us: i64,
    /// P: first offset not applied yet.
    pub next_offset: i64,
    /// L: first offset of the oldest open trace, else P.
    pub low_watermark: i64,
    /// Changes to flow graphs.
    pub deltas: Deltas,
    /// What happened to flows.
    pub events: Vec<FlowEvent>,
    /// Summaries of closed flows.
    pub traces: Vec<FlowTrace>,
    /// Traces closed.
    pub closes: Vec<Close>,
    /// What was counted beside the graph, by name: duplicates, repairs, drops, corrections.
    pub counters: BTreeMap<&'static str, u64>,
}

impl Shard {
    /// An empty shard at the beginning of its log.
    pub fn new(settings: Settings) -> Self {
        Self {
            clock_us: 0,
            last_timestamp_us: None,
            next_offset: 0,
            traces: HashMap::default(),
            open: BTreeSet::new(),
            timers: BTreeSet::new(),
            dirty: Vec::new(),
            open_spans: 0,
            memory: Memory::new(&settings.limits),
            names: Names::new(settings.limits.name_bytes),
            caps: Caps::new(&settings.limits),
            sampler: Sampler::new(settings.events_per_second),
            rollup: Rollup::default(),
            events: Vec::new(),
            summaries: Vec::new(),
            closes: Vec::new(),
            counters: BTreeMap::new(),
            settings,
        }
    }

    /// The next record of the partition: log time moves on by what passed since the one before, and everything
    /// due happens. A clock that jumps back stands still; it can't freeze the shard.
    pub fn begin_record(&mut self, offset: i64, timestamp_us: i64) {
        self.pass_time(timestamp_us);
        self.next_offset = offset + 1;
    }

    /// Nothing unread is left, and it was `now_us` when that was known for certain.
    pub fn end_of_log(&mut self, now_us: i64) {
        self.pass_time(now_us);
    }

    fn pass_time(&mut self, timestamp_us: i64) {
        let passed = self.last_timestamp_us.map_or(timestamp_us, |last| timestamp_us - last);
        // Only a later timestamp is remembered: one that jumps back and forth must not move the clock twice.
        if passed > 0 || self.last_timestamp_us.is_none() {
            self.last_timestamp_us = Some(timestamp_us);
            self.run_until(self.clock_us + passed.max(0));
        }
    }

    fn run_until(&mut self, now_us: i64) {
        while let Some((due_us, id)) = self.timers.first().copied().filter(|(due_us, _)| *due_us <= now_us) {
            self.timers.remove(&(due_us, id));
            self.move_clock(due_us.max(self.clock_us));
            self.look_at(id);
        }
        self.move_clock(now_us);
    }

    fn move_clock(&mut self, now_us: i64) {
        if now_us / HOUR_US != self.clock_us / HOUR_US {
            self.caps.start_anew();
            self.names.sweep();
        }
        self.clock_us = now_us;
    }

    /// A span of the record that was begun last.
    pub fn apply(&mut self, span: &Span<'_>) {
        self.count("spans", 1);
        let id = span.trace_id;
        if id.0 == 0 || span.span_id.0 == 0 {
            return self.count(if id.0 == 0 { "zero_trace_id" } else { "zero_span_id" }, 1);
        }
        if self.was_counted(span) {
            return;
        }
        self.count_repairs(span);
        let user_hash = hashed(&self.settings.user_hash_key, span.facts.user_id);
        let mut record = Record::new(span, &mut self.names, &self.settings.limits, user_hash, self.clock_us);
        if record.parent_id == record.span_id && !record.answers() {
            record.parent_id = 0;
        }
        self.keep(id, record);
    }

    fn was_counted(&mut self, span: &Span<'_>) -> bool {
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

    fn count_repairs(&mut self, span: &Span<'_>) {
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

    fn keep(&mut self, id: TraceId, record: Record) {
        if !self.traces.contains_key(&id) {
            self.begin_trace(id);
        }
        let Some(trace) = self.traces.get_mut(&id) else { return };
        if trace.records.len() >= self.settings.limits.spans_per_trace {
            let open = trace.is_open();
            self.count("span_over_trace_limit", 1);
            if open {
                self.close(id, true);
            }
            return;
        }
        trace.push(record);
        trace.last_us = self.clock_us;
        let open = trace.is_open();
        if !mem::replace(&mut trace.dirty, true) {
            self.dirty.push(id);
        }
        if open {
            self.open_spans += 1;
            self.settle_oldest();
        } else {
            self.memory.remember(1);
            self.count("late_span", 1);
            self.forget_oldest();
        }
    }

    fn begin_trace(&mut self, id: TraceId) {
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

    /// The oldest traces make room for new ones.
    fn settle_oldest(&mut self) {
        while self.open_spans > self.settings.limits.open_spans {
            let Some((_, id)) = self.open.first().copied() else { return };
            self.count("settled_early", 1);
            self.close(id, true);
        }
    }

    fn forget_oldest(&mut self) {
        while let Some(id) = self.memory.over_limit() {
            let Some(trace) = self.traces.get(&id).filter(|trace| !trace.is_open()) else { continue };
            let spans = trace.records.len();
            let under = trace.inherited.clone().or_else(|| trace.emitted.under.clone());
            let prints = trace.fingerprints();
            if trace.dirty {
                self.update(id);
            }
            let (environment, operation) =
                under.unwrap_or((self.names.empty.clone(), self.names.unknown.clone()));
            self.drop_trace(id);
            self.memory.forget(spans);
            self.memory.entomb(id, environment, operation, prints);
            let forget_us = self.clock_us + self.settings.waits.remember_us;
            self.timers.insert((forget_us, id));
        }
    }

    fn drop_trace(&mut self, id: TraceId) {
        if let Some(trace) = self.traces.remove(&id) {
            self.timers.remove(&(trace.timer_us, id));
        }
    }

    /// A trace's timer ran out.
    fn look_at(&mut self, id: TraceId) {
        let Some(trace) = self.traces.get(&id) else {
            return self.memory.bury(id);
        };
        match trace.life {
            Life::Closed { since_us, .. } if self.clock_us >= since_us + self.settings.waits.remember_us => {
                if trace.dirty {
                    self.update(id);
                }
                let spans = self.traces.get(&id).map_or(0, |trace| trace.records.len());
                self.memory.forget(spans);
                self.drop_trace(id);
            }
            Life::Closed { since_us, .. } => self.set_timer(id, since_us + self.settings.waits.remember_us),
            Life::Open => self.look_at_open(id),
        }
    }

    fn look_at_open(&mut self, id: TraceId) {
        let waits = self.settings.waits.clone();
        let Some(trace) = self.traces.get_mut(&id) else { return };
        let (first_us, last_us) = (trace.first_us, trace.last_us);
        if self.clock_us >= first_us + waits.name_us && !mem::replace(&mut trace.name_waived, true) {
            let unnamed = trace.emitted.under.is_none();
            if unnamed && !mem::replace(&mut trace.dirty, true) {
                self.dirty.push(id);
            }
        }
        if self.clock_us >= first_us + waits.longest_us {
            return self.close(id, true);
        }
        let mut next_us = last_us + waits.complete_us;
        if self.clock_us >= next_us {
            let missing = self.missing_now(id);
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
    fn missing_now(&mut self, id: TraceId) -> (bool, bool) {
        if self.traces.get(&id).is_some_and(|trace| trace.dirty) {
            self.update(id);
            // It stays in the list of dirty traces: its events are due at the commit.
            if let Some(trace) = self.traces.get_mut(&id) {
                trace.dirty = true;
            }
        }
        let missing = self.traces.get(&id).map(|trace| trace.missing).unwrap_or_default();
        (missing.answers > 0, missing.parents)
    }

    fn set_timer(&mut self, id: TraceId, at_us: i64) {
        let Some(trace) = self.traces.get_mut(&id) else { return };
        self.timers.remove(&(trace.timer_us, id));
        trace.timer_us = at_us;
        self.timers.insert((at_us, id));
    }

    /// It is finished: whatever is unresolved becomes virtual.
    fn close(&mut self, id: TraceId, truncated: bool) {
        let Some(trace) = self.traces.get_mut(&id).filter(|trace| trace.is_open()) else { return };
        self.open.remove(&(trace.first_offset, id));
        trace.life = Life::Closed { since_us: self.clock_us, complete: false, truncated };
        let Some(mut resolved) = self.update(id) else { return };
        let remember_us = self.clock_us + self.settings.waits.remember_us;
        self.set_timer(id, remember_us);
        let Some(trace) = self.traces.get_mut(&id) else { return };
        let complete = trace.missing.answers == 0 && !trace.missing.parents;
        trace.life = Life::Closed { since_us: self.clock_us, complete, truncated };
        let spans = trace.records.len();
        let (environment, operation) =
            trace.emitted.under.clone().unwrap_or((self.names.empty.clone(), self.names.unknown.clone()));
        self.closes.push(Close { trace_id: id, position: self.next_offset, operation, environment });
        self.open_spans -= spans;
        self.memory.closed(id, spans, complete);
        self.count("closed", 1);
        if !complete {
            self.count("closed_incomplete", 1);
        }
        if truncated {
            self.count("closed_truncated", 1);
        }
        if resolved.cycles > 0 {
            self.count("cycle", u64::from(mem::take(&mut resolved.cycles)));
        }
        self.revise(id, &resolved);
        self.complete_event(id, &resolved);
        self.forget_oldest();
    }

    /// Brings what the trace contributed up to what its spans say now.
    fn update(&mut self, id: TraceId) -> Option<Resolved> {
        let trace = self.traces.get_mut(&id)?;
        trace.dirty = false;
        trace.resolved_spans = trace.records.len();
        trace.resolved_us = self.clock_us;
        let settled = !trace.is_open();
        let mut resolved = resolve(&trace.records, &mut self.names, settled);
        trace.missing = resolved.missing;
        let name = resolved.explicit.clone().or_else(|| resolved.fallback.clone());
        let unnamed = || (settled || trace.name_waived).then(|| self.names.unknown.clone());
        let Some(operation) = name.or_else(unnamed) else { return Some(resolved) };
        let environment = resolved.environment.clone();
        let environment = environment.unwrap_or_else(|| self.names.text(&self.settings.default_environment));
        let mut marks = mem::take(&mut resolved.marks);
        let under = match &trace.inherited {
            Some(inherited) => {
                marks.retain(|mark| mark.at.1 != Role::Flow);
                inherited.clone()
            }
            None => self.caps.admit_flow(environment, operation, &self.names),
        };
        for mark in &mut marks {
            self.caps.admit_mark(mark, &under.0, &under.1, &mut self.names);
        }
        let taken_back = trace.emitted.replace(under, marks, &mut self.rollup);
        self.count("corrections", taken_back);
        Some(resolved)
    }

    /// A new revision of the flow's summary, if it says anything new.
    fn revise(&mut self, id: TraceId, resolved: &Resolved) {
        let Some(trace) = self.traces.get_mut(&id).filter(|trace| trace.inherited.is_none()) else { return };
        let mut summary = summarise(id, trace, resolved, &self.names, &self.settings);
        let hash = content_of(&summary);
        if hash != trace.summary_hash || trace.revision == 0 {
            trace.summary_hash = hash;
            trace.revision += 1;
            summary.revision = trace.revision;
            self.summaries.push(summary);
        }
    }

    fn complete_event(&mut self, id: TraceId, resolved: &Resolved) {
        let Some(trace) = self.traces.get(&id) else { return };
        if trace.sampled || resolved.status != FlowStatus::Success {
            let summary = self.summaries.last().filter(|summary| summary.trace_id == id).cloned();
            let event = self.event(id, FlowEventKind::Complete, resolved);
            self.events.extend(event.map(|event| FlowEvent {
                progress: 100,
                summary: summary.map(|summary| FlowTrace { graph: None, ..summary }),
                ..event
            }));
        }
    }

    fn event(&self, id: TraceId, kind: FlowEventKind, resolved: &Resolved) -> Option<FlowEvent> {
        let trace = self.traces.get(&id)?;
        let spans = trace.records.len() as u32;
        let (environment, operation) = match &trace.emitted.under {
            Some(under) => under.clone(),
            None => (
                resolved.environment.clone().unwrap_or_else(|| self.names.empty.clone()),
                self.names.empty.clone(),
            ),
        };
        Some(FlowEvent {
            kind,
            trace_id: id,
            clock_us: self.clock_us,
            environment,
            operation,
            current_service: resolved.last_service.clone().unwrap_or_else(|| self.names.empty.clone()),
            elapsed_us: (resolved.end_us - resolved.start_us).max(0),
            sample_milli: trace.sample_milli,
            status: resolved.status,
            spans,
            progress: ((spans.saturating_sub(resolved.missing.answers)) * 100 / spans.max(1)).min(99),
            summary: None,
        })
    }

    /// Closes every trace: the end of a file, or a drain.
    pub fn settle_all(&mut self) {
        while let Some((_, id)) = self.open.first().copied() {
            self.close(id, false);
        }
    }

    /// Everything since the last commit. Only between records: a commit never cuts one in two.
    pub fn commit(&mut self) -> Commit {
        self.resolve_dirty();
        let (cut, overflowed) = (mem::take(&mut self.names.cut), mem::take(&mut self.caps.overflowed));
        self.count("names_cut", cut);
        self.count("overflowed", overflowed);
        Commit {
            clock_us: self.clock_us,
            next_offset: self.next_offset,
            low_watermark: self.open.first().map_or(self.next_offset, |(offset, _)| *offset),
            deltas: self.rollup.take(),
            events: mem::take(&mut self.events),
            traces: mem::take(&mut self.summaries),
            closes: mem::take(&mut self.closes),
            counters: mem::take(&mut self.counters),
        }
    }

    fn resolve_dirty(&mut self) {
        let mut postponed = Vec::new();
        for id in mem::take(&mut self.dirty) {
            let Some(trace) = self.traces.get(&id).filter(|trace| trace.dirty) else { continue };
            let grown = trace.records.len() - trace.resolved_spans;
            let waited = self.clock_us.saturating_sub(trace.resolved_us) >= LARGE_TRACE_WAIT_US;
            if trace.records.len() > LARGE_TRACE && grown * 8 < trace.records.len() && !waited {
                postponed.push(id);
                continue;
            }
            self.resolve_one(id);
        }
        self.dirty = postponed;
    }

    fn resolve_one(&mut self, id: TraceId) {
        let Some(resolved) = self.update(id) else { return };
        let Some(trace) = self.traces.get_mut(&id) else { return };
        if !trace.is_open() {
            return self.revise(id, &resolved);
        }
        if trace.sampled {
            let first = !mem::replace(&mut trace.started, true);
            let kind = if first { FlowEventKind::Start } else { FlowEventKind::Update };
            let event = self.event(id, kind, &resolved);
            self.events.extend(event);
        }
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
            || !self.rollup.is_empty()
            || !self.events.is_empty()
            || !self.summaries.is_empty()
            || !self.closes.is_empty()
    }

    /// Spans of traces that are not closed.
    pub fn open_spans(&self) -> usize {
        self.open_spans
    }

    /// Traces that are not closed.
    pub fn open_traces(&self) -> usize {
        self.open.len()
    }

    /// Spans kept of closed traces.
    pub fn remembered_spans(&self) -> usize {
        self.memory.spans()
    }

    /// Log time, µs since the epoch; 0 before the first record.
    pub fn clock_us(&self) -> i64 {
        self.clock_us
    }
}

/// Whether two summaries say the same, revision aside.
fn content_of(summary: &FlowTrace) -> u64 {
    FxBuildHasher.hash_one(FlowTrace { revision: 0, ..summary.clone() })
}

/// The name that flows of health checks get: counted, but outside headline numbers.
pub const PROBE_OPERATION: &str = operation::PROBE;
