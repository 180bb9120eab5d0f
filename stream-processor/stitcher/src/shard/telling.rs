//! What is said about a trace: its contribution to the graph, its events, its summary.

use super::Shard;
use crate::delta::Name;
use crate::digest;
use crate::flow::{FlowEvent, FlowEventKind, FlowStatus, FlowTrace};
use crate::resolve::{Mark, Resolved, Role, resolve};
use crate::span::TraceId;
use crate::summary::summarise;
use crate::trace::Overflow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::mem;
use rustc_hash::FxBuildHasher;

/// Traces up to this size are resolved at every commit that sees new spans of them; larger ones when they have
/// grown by an eighth, or after [`LARGE_TRACE_WAIT_US`], so that one huge trace can't take all the time.
const LARGE_TRACE: usize = 2_000;
const LARGE_TRACE_WAIT_US: i64 = 5_000_000;

impl Shard {
    pub(super) fn resolve_dirty(&mut self) {
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

    /// The last word about every trace, however large.
    pub(super) fn resolve_postponed(&mut self) {
        for id in mem::take(&mut self.dirty) {
            if self.traces.get(&id).is_some_and(|trace| trace.dirty) {
                self.resolve_one(id);
            }
        }
    }

    pub(super) fn resolve_one(&mut self, id: TraceId) {
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

    /// Brings what the trace contributed up to what its spans say now.
    pub(super) fn update(&mut self, id: TraceId) -> Option<Resolved> {
        let trace = self.traces.get_mut(&id)?;
        trace.dirty = false;
        trace.resolved_spans = trace.records.len();
        trace.resolved_us = self.clock_us;
        let settled = !trace.is_open();
        let mut resolved = resolve(&trace.records, &mut self.names, settled);
        trace.missing = resolved.missing;
        let Some((asked, mut marks)) = self.contribution(id, &mut resolved) else { return Some(resolved) };
        let trace = self.traces.get_mut(&id)?;
        let under = match &trace.inherited {
            Some(inherited) => inherited.clone(),
            None => self.caps.admit_flow(asked.0.clone(), asked.1.clone(), &self.names),
        };
        let mut replaced = Vec::new();
        for mark in &mut marks {
            let bits = self.caps.admit_mark(mark, &under.0, &under.1, &mut self.names);
            if bits != 0 {
                replaced.push((mark.at, bits));
            }
        }
        let fits = replaced.is_empty() && (under == asked || trace.inherited.is_some());
        let overflow = (!fits).then(|| Box::new(Overflow { under: under.clone(), replaced }));
        if overflow.is_some() || trace.overflow.is_some() {
            self.to_save.insert(id);
        }
        trace.overflow = overflow;
        let taken_back = trace.emitted.replace(under, marks, &mut self.rollup);
        self.count("corrections", taken_back);
        self.digest_trace(id);
        Some(resolved)
    }

    /// Environment and operation it counts under, and what it counts; `None` while it waits for a name. Names that
    /// find no room are still in it.
    pub(super) fn contribution(
        &mut self,
        id: TraceId,
        resolved: &mut Resolved,
    ) -> Option<((Name, Name), Vec<Mark>)> {
        let default_environment = self.names.text(&self.settings.default_environment);
        let trace = self.traces.get(&id)?;
        let name = resolved.explicit.clone().or_else(|| resolved.fallback.clone());
        let unnamed = || (!trace.is_open() || trace.name_waived).then(|| self.names.unknown.clone());
        let operation = name.or_else(unnamed)?;
        let environment = resolved.environment.clone().unwrap_or(default_environment);
        let mut marks = mem::take(&mut resolved.marks);
        if trace.inherited.is_some() {
            marks.retain(|mark| mark.at.1 != Role::Flow);
        }
        Some(((environment, operation), marks))
    }

    /// After anything about what it has said, or about its life, has changed.
    pub(super) fn digest_trace(&mut self, id: TraceId) {
        let Some(trace) = self.traces.get_mut(&id).filter(|trace| trace.emitted.under.is_some()) else {
            return;
        };
        let before = mem::replace(&mut trace.digest, 0);
        trace.digest = digest::of_trace(id, trace);
        self.digest = self.digest.wrapping_sub(before).wrapping_add(trace.digest);
    }

    /// A new revision of the flow's summary, if it says anything new.
    pub(super) fn revise(&mut self, id: TraceId, resolved: &Resolved) {
        let Some(trace) = self.traces.get_mut(&id).filter(|trace| trace.inherited.is_none()) else { return };
        let mut summary = summarise(id, trace, resolved, &self.names, &self.settings);
        let hash = content_of(&summary);
        if hash != trace.summary_hash || trace.revision == 0 {
            trace.summary_hash = hash;
            trace.revision += 1;
            summary.revision = trace.revision;
            if trace.revision > 1 {
                self.journaled.revised.push((id, trace.revision));
            }
            self.summaries.push(summary);
            self.save_again(id);
        }
    }

    pub(super) fn complete_event(&mut self, id: TraceId, resolved: &Resolved) {
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

    pub(super) fn event(&self, id: TraceId, kind: FlowEventKind, resolved: &Resolved) -> Option<FlowEvent> {
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
}

/// Whether two summaries say the same, revision aside.
pub(super) fn content_of(summary: &FlowTrace) -> u64 {
    FxBuildHasher.hash_one(FlowTrace { revision: 0, ..summary.clone() })
}
