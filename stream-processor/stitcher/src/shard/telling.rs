//! What is said about a trace: its contribution to the graph, its events, its summary.

use super::Shard;
use crate::delta::{Name, Node};
use crate::digest;
use crate::flow::{FlowEvent, FlowEventKind, FlowStatus, FlowTrace};
use crate::names::{EMPTY, NameId, UNKNOWN};
use crate::resolve::{Mark, Resolved, Role};
use crate::rollup::Under;
use crate::span::TraceId;
use crate::summary::{graph, shows_graph, summarise};
use crate::trace::{Gist, Overflow, Slot, Told, Trace};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::mem;

/// Traces up to this size are resolved at every commit that sees new spans of them; larger ones when they have
/// grown by an eighth, or after [`LARGE_TRACE_WAIT_US`], so that one huge trace can't take all the time.
const LARGE_TRACE: usize = 2_000;
const LARGE_TRACE_WAIT_US: i64 = 5_000_000;

impl Shard {
    pub(super) fn resolve_dirty(&mut self) {
        let mut postponed = Vec::new();
        for id in mem::take(&mut self.dirty) {
            let Some(slot) = self.traces.find(id).filter(|slot| self.traces[*slot].dirty) else { continue };
            let trace = &self.traces[slot];
            let grown = trace.records.len() - trace.resolved_spans;
            let waited = self.clock_us.saturating_sub(trace.resolved_us) >= LARGE_TRACE_WAIT_US;
            // A successor takes it for told from the moment on at which it waits for a name no longer.
            let speaks_first = trace.name_waived && trace.told.is_none();
            let is_large = trace.records.len() > LARGE_TRACE && grown * 8 < trace.records.len();
            if is_large && !waited && !speaks_first {
                postponed.push(id);
                continue;
            }
            self.resolve_one(id, slot);
        }
        self.dirty = postponed;
    }

    /// The last word about every trace, however large.
    pub(super) fn resolve_postponed(&mut self) {
        for id in mem::take(&mut self.dirty) {
            if let Some(slot) = self.traces.find(id).filter(|slot| self.traces[*slot].dirty) {
                self.resolve_one(id, slot);
            }
        }
    }

    pub(super) fn resolve_one(&mut self, id: TraceId, slot: Slot) {
        self.update(slot);
        let trace = &mut self.traces[slot];
        if !trace.is_open() {
            return self.revise(id, slot, true);
        }
        if trace.sampled {
            let first = !mem::replace(&mut trace.started, true);
            let kind = if first { FlowEventKind::Start } else { FlowEventKind::Update };
            let event = self.event(id, slot, kind);
            self.events.push(event);
        }
    }

    /// Brings what the trace contributed up to what its spans say now. What it counts is left in the workspace.
    pub(super) fn update(&mut self, slot: Slot) {
        let stream_us = self.settings.limits.stream_us;
        let trace = &mut self.traces[slot];
        trace.dirty = false;
        (trace.resolved_spans, trace.resolved_us) = (trace.records.len(), self.clock_us);
        let settled = !trace.is_open();
        let resolved =
            self.workspace.resolve_trace(trace, trace.records.len(), settled, &self.names, stream_us);
        trace.missing = resolved.missing;
        trace.gist = Gist::of(&resolved, &self.workspace.marks, &mut self.names, &mut self.nodes);
        let Some(asked) = self.asked(slot, &resolved) else { return };
        let under = match self.traces[slot].inherited {
            Some(inherited) => inherited,
            None => self.caps.admit_flow(asked, &self.names),
        };
        self.tell(slot, under, settled, under == asked);
    }

    /// What it asks to count under; `None` while it waits for a name. Names that find no room are still in it.
    pub(super) fn asked(&mut self, slot: Slot, resolved: &Resolved) -> Option<Under> {
        let default_environment = self.names.text(&self.settings.default_environment);
        let trace = &self.traces[slot];
        let unnamed = (!trace.is_open() || trace.name_waived).then_some(UNKNOWN);
        let operation = resolved.explicit.or(resolved.fallback).or(unnamed)?;
        let environment = resolved.environment.unwrap_or(default_environment);
        Some(trace.inherited.unwrap_or(Under { environment, operation }))
    }

    /// Counts the difference between what the trace had told and what is in the workspace now.
    fn tell(&mut self, slot: Slot, under: Under, settled: bool, is_admitted: bool) {
        let Self { traces, names, caps, rollup, workspace, before, to_save, settings, .. } = self;
        let trace = &mut traces[slot];
        let old = trace.told;
        let mut said = Said { overflow: trace.overflow.take(), ..Said::default() };
        match old {
            None => workspace.marks.iter().for_each(|mark| {
                let replaced = rollup.add(mark, under, caps, names);
                said.note(mark, replaced);
            }),
            Some(old) => {
                let (many, stream_us) = (old.spans as usize, settings.limits.stream_us);
                before.resolve_trace(trace, many, old.settled, names, stream_us);
                changes(before.sorted(), workspace.sorted(), |was, is| {
                    let replaced = was.map_or(0, |mark| said.replaced_before(mark));
                    if old.under == under && was == is && replaced == 0 {
                        return;
                    }
                    if let Some(mark) = was {
                        rollup.take_back(mark, old.under, replaced, names);
                        said.taken_back += 1;
                    }
                    if let Some(mark) = is {
                        let replaced = rollup.add(mark, under, caps, names);
                        said.note(mark, replaced);
                    }
                });
            }
        }
        trace.told = Some(Told { under, spans: trace.records.len() as u32, settled });
        let (had_overflow, mut replaced) = (said.overflow.is_some(), said.replaced);
        replaced.sort_unstable();
        let fits = replaced.is_empty() && is_admitted;
        trace.overflow = (!fits).then(|| Box::new(Overflow { under, replaced }));
        if had_overflow || trace.overflow.is_some() {
            to_save.extend(traces.id_at(slot));
        }
        self.count("corrections", said.taken_back);
        if let Some(id) = self.traces.id_at(slot) {
            self.digest_trace(id, slot);
        }
    }

    /// After anything about what it has said, or about its life, has changed.
    pub(super) fn digest_trace(&mut self, id: TraceId, slot: Slot) {
        let trace = &mut self.traces[slot];
        if trace.told.is_none() {
            return;
        }
        let before = trace.digest;
        trace.digest = digest::of_trace(id, trace, &self.names);
        self.digest = self.digest.wrapping_sub(before).wrapping_add(trace.digest);
    }

    /// A new revision of the flow's summary, if it says anything new. `is_resolved`: what it counts is in the workspace.
    pub(super) fn revise(&mut self, id: TraceId, slot: Slot, is_resolved: bool) {
        let trace = &mut self.traces[slot];
        // It would say the same again.
        let is_known = trace.revision > 0 && trace.summarised as usize == trace.records.len();
        if is_known || trace.inherited.is_some() {
            return;
        }
        (trace.revision, trace.summarised) = (trace.revision + 1, trace.records.len() as u32);
        let graph = shows_graph(id, trace, &self.settings).then(|| {
            if !is_resolved {
                let (many, stream_us) = (trace.records.len(), self.settings.limits.stream_us);
                self.workspace.resolve_trace(trace, many, true, &self.names, stream_us);
            }
            graph(&self.workspace.marks, &self.names)
        });
        let summary = summarise(id, trace, &self.names, graph);
        if trace.revision > 1 {
            self.journaled.revised.push((id, trace.revision));
        }
        self.summaries.push(summary);
        self.save_again(id);
    }

    pub(super) fn complete_event(&mut self, id: TraceId, slot: Slot) {
        let trace = &self.traces[slot];
        if trace.sampled || trace.gist.status != FlowStatus::Success {
            let summary = self.summaries.last().filter(|summary| summary.trace_id == id).cloned();
            let event = self.event(id, slot, FlowEventKind::Complete);
            self.events.push(FlowEvent {
                progress: 100,
                summary: summary.map(|summary| FlowTrace { graph: None, ..summary }),
                ..event
            });
        }
    }

    pub(super) fn event(&self, id: TraceId, slot: Slot, kind: FlowEventKind) -> FlowEvent {
        let Trace { records, gist, told, sample_milli, missing, .. } = &self.traces[slot];
        let spans = records.len() as u32;
        let unnamed = Under { environment: gist.environment, operation: EMPTY };
        let under = told.map_or(unnamed, |told| told.under);
        let name = |id: NameId| self.names.name(id);
        let current = gist.last_service.map(|node| self.names.node(node));
        let of_current =
            |part: fn(&Node) -> &Name| current.map_or_else(|| name(EMPTY), |node| part(node).clone());
        FlowEvent {
            kind,
            trace_id: id,
            clock_us: self.clock_us,
            environment: name(under.environment),
            operation: name(under.operation),
            current_service: of_current(|node| &node.name),
            current_namespace: of_current(|node| &node.namespace),
            current_cluster: of_current(|node| &node.cluster),
            elapsed_us: (gist.end_us - gist.start_us).max(0),
            sample_milli: *sample_milli,
            status: gist.status,
            spans,
            progress: ((spans.saturating_sub(missing.answers)) * 100 / spans.max(1)).min(99),
            summary: None,
        }
    }
}

/// What comes of telling a difference.
#[derive(Default)]
struct Said {
    /// What had gone under `__other__` before.
    overflow: Option<Box<Overflow>>,
    /// What does now.
    replaced: Vec<((u32, Role), u32)>,
    taken_back: u64,
}

impl Said {
    fn note(&mut self, mark: &Mark, replaced: u32) {
        if replaced != 0 {
            self.replaced.push((mark.at, replaced));
        }
    }

    fn replaced_before(&self, mark: &Mark) -> u32 {
        self.overflow.as_ref().map_or(0, |overflow| overflow.replaced_of(mark.at))
    }
}

/// Pairs of what was counted and what counts now; both are sorted by `at`.
fn changes(before: &[Mark], after: &[Mark], mut each: impl FnMut(Option<&Mark>, Option<&Mark>)) {
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.at.cmp(&b.at),
        };
        match order {
            Ordering::Less => each(old.next(), None),
            Ordering::Greater => each(None, new.next()),
            Ordering::Equal => each(old.next(), new.next()),
        }
    }
}
