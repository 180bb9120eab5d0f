//! A trace's contribution to the graph, as a pure function of its spans: the same spans give the same marks in
//! whatever order they came. What a shard emits is the difference between two such answers.

use crate::calls::{Call, Calls};
use crate::flow::FlowStatus;
use crate::histogram::MAX_US;
use crate::names::{EMPTY, NameId, Names, NodeId};
use crate::operation;
use crate::retries::Retries;
use crate::shape::Verdict;
use crate::trace::Trace;
use crate::tree::{NONE, Tree, blank};
use crate::view::{Looks, Spans, View};
use alloc::vec::Vec;
use analysis::Interval;

/// One thing that is counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mark {
    /// Which span says so, and in which role: the same pair means the same thing in the next answer.
    pub at: (u32, Role),
    pub window_s: u32,
    pub weight_milli: u32,
    pub body: Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    Callee,
    Caller,
    Served,
    Virtual,
    Endpoint,
    Flow,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Body {
    Edge(EdgeMark),
    Service(ServiceMark),
    Endpoint { node: NodeId, version: NameId, entry: NameId, error: bool, latency_us: Option<u64> },
    Flow { status: FlowStatus, duration_us: Option<u64> },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct EdgeMark {
    pub client: NodeId,
    pub server: NodeId,
    pub version: NameId,
    pub verdict: Verdict,
    pub retry: bool,
    pub paired: bool,
    pub messages: u32,
    pub callee_us: Option<u64>,
    pub caller_us: Option<u64>,
    pub wait_us: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ServiceMark {
    pub node: NodeId,
    pub version: NameId,
    pub error: bool,
    pub client_error: bool,
    pub latency_us: Option<u64>,
    pub self_us: Option<u64>,
    pub critical_us: Option<u64>,
}

/// What a trace says at one moment, its marks aside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolved {
    pub explicit: Option<NameId>,
    pub fallback: Option<NameId>,
    pub environment: Option<NameId>,
    pub root_name: NameId,
    pub root: u32,
    pub status: FlowStatus,
    pub start_us: i64,
    pub end_us: i64,
    pub last_service: Option<NodeId>,
    pub cycles: u32,
    pub missing: Missing,
}

/// Room to resolve one trace after the other in.
#[derive(Default)]
pub(crate) struct Workspace {
    tree: Tree,
    looks: Looks,
    calls: Calls,
    retries: Retries,
    times: Times,
    /// What the trace that was resolved last counts.
    pub marks: Vec<Mark>,
}

/// What may still come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    /// CLIENT spans without an answer.
    pub answers: u32,
    /// Spans whose parent is not here, or no root at all.
    pub parents: bool,
}

impl Missing {
    /// Nothing is: what the trace says now it says when it closes.
    pub fn is_nothing(&self) -> bool {
        self.answers == 0 && !self.parents
    }
}

impl Workspace {
    /// The marks, sorted by `at`.
    pub fn sorted(&mut self) -> &[Mark] {
        self.marks.sort_unstable_by_key(|mark| mark.at);
        &self.marks
    }

    /// What the first `many` spans of a trace say. The marks are left here; late spans of a trace that was forgotten are
    /// no flow of their own.
    pub fn resolve_trace(
        &mut self,
        trace: &Trace,
        many: usize,
        settled: bool,
        names: &Names,
        stream_us: u64,
    ) -> Resolved {
        let resolved = self.resolve(trace.spans(many, names, stream_us), settled);
        if trace.inherited.is_some() {
            self.marks.retain(|mark| mark.at.1 != Role::Flow);
        }
        resolved
    }

    fn resolve(&mut self, spans: Spans<'_>, settled: bool) -> Resolved {
        let records = spans.records;
        self.tree.build(records);
        let view = View::new(spans, &self.tree, &mut self.looks);
        self.calls.find(&view, settled);
        self.retries.mark(&view, &mut self.calls.calls);
        let found = &self.calls;
        let seen_root = operation::root(&view);
        let root = seen_root.or_else(|| operation::stand_in(&view, &found.entry)).unwrap_or(0);
        let parents = seen_root.is_none() || self.tree.lost.contains(&true);
        let missing = Missing { answers: found.unanswered, parents };
        // What is whole needs no second look when it closes.
        let measured = settled || missing.is_nothing();
        if measured {
            self.times.measure(&view, &found.entry, root);
        }
        let times = measured.then_some(&self.times);
        self.marks.clear();
        edge_marks(&view, found, &mut self.marks);
        service_marks(&view, found, times, &mut self.marks);
        let knows_root = seen_root.is_some() || settled;
        if knows_root {
            self.marks.push(flow_mark(&view, root));
        }
        let last = (0..).zip(records).max_by_key(|(_, record)| (record.end_us(), record.place()));
        Resolved {
            explicit: operation::explicit(&view),
            fallback: if knows_root { operation::fallback(&view, &found.entry) } else { None },
            environment: operation::environment(&view),
            root_name: operation::root_name(&view),
            root,
            status: status_of(spans.shape(root).verdict),
            start_us: operation::start_us(&view, root),
            end_us: last.map_or(0, |(_, record)| record.end_us()),
            last_service: last.and_then(|(i, _)| view.node(i)),
            cycles: self.tree.cycles,
            missing,
        }
    }
}

pub(crate) fn status_of(verdict: Verdict) -> FlowStatus {
    match verdict {
        Verdict { timeout: true, .. } => FlowStatus::Timeout,
        Verdict { error: true, .. } => FlowStatus::Error,
        _ => FlowStatus::Success,
    }
}

fn flow_mark(view: &View<'_>, root: u32) -> Mark {
    let shape = view.spans.shape(root);
    Mark {
        at: (root, Role::Flow),
        window_s: view.records[root as usize].window_s,
        weight_milli: shape.weight_milli,
        body: Body::Flow { status: status_of(shape.verdict), duration_us: view.spans.latency_us(root) },
    }
}

fn edge_marks(view: &View<'_>, found: &Calls, marks: &mut Vec<Mark>) {
    for call in &found.calls {
        let [client, server] = [call.client, call.server].map(|side| (side != NONE).then_some(side));
        let Some(ended) = server.or(client) else { continue };
        let weights = [client, server].map(|side| side.map(|i| view.spans.shape(i).weight_milli));
        let weight_milli = weights.into_iter().flatten().min().unwrap_or(1_000);
        let alike = weights.into_iter().flatten().all(|weight| weight == weight_milli);
        let role = if server.is_some() { Role::Callee } else { Role::Caller };
        marks.push(Mark {
            at: (ended, role),
            window_s: view.records[ended as usize].window_s,
            weight_milli,
            body: Body::Edge(EdgeMark {
                client: call.caller,
                server: call.callee,
                version: server.and_then(|i| view.owner(i)).map_or(EMPTY, |owner| owner.version),
                verdict: call.verdict,
                retry: call.retry,
                paired: call.paired && alike,
                messages: call.messages,
                callee_us: server.filter(|_| call.callee_measured).and_then(|i| view.spans.latency_us(i)),
                caller_us: caller_latency(view, call),
                wait_us: call.wait_us,
            }),
        });
    }
}

/// A stream's length is no latency, on whichever side it was seen.
fn caller_latency(view: &View<'_>, call: &Call) -> Option<u64> {
    let is_stream = call.server != NONE && view.spans.is_stream(call.server);
    let is_measured = call.client != NONE && call.caller_measured && !is_stream;
    if is_measured { view.spans.latency_us(call.client) } else { None }
}

fn service_marks(view: &View<'_>, found: &Calls, times: Option<&Times>, marks: &mut Vec<Mark>) {
    for i in (0..view.records.len() as u32).filter(|i| found.entry[*i as usize]) {
        let Some(owner) = view.owner(i) else { continue };
        let (record, shape) = (&view.records[i as usize], view.spans.shape(i));
        // A CLIENT entry span's status and length are its outgoing call's.
        let measured = found.measures_itself(i);
        let verdict = if measured { shape.verdict } else { Verdict::default() };
        let latency_us = view.spans.latency_us(i).filter(|_| measured);
        let (node, version) = (owner.node, owner.version);
        let mark = |role, body| Mark {
            at: (i, role),
            window_s: record.window_s,
            weight_milli: shape.weight_milli,
            body,
        };
        let service = ServiceMark {
            node,
            version,
            error: verdict.error,
            client_error: verdict.client_error,
            latency_us,
            self_us: times.map(|times| times.own[i as usize]),
            critical_us: times.map(|times| times.critical[i as usize]),
        };
        marks.push(mark(Role::Served, Body::Service(service)));
        if let (Some(entry), true) = (shape.entry, record.answers() && !owner.is_client) {
            let body = Body::Endpoint { node, version, entry, error: verdict.error, latency_us };
            marks.push(mark(Role::Endpoint, body));
        }
    }
    virtual_marks(view, found, times, marks);
}

/// Databases, topics and hosts have no spans of their own: their callers speak for them.
fn virtual_marks(view: &View<'_>, found: &Calls, times: Option<&Times>, marks: &mut Vec<Mark>) {
    // A rejected call never reached them.
    let outgoing = found
        .calls
        .iter()
        .filter(|call| call.server == NONE && call.client != NONE && !call.verdict.rejected);
    for call in outgoing {
        marks.push(Mark {
            at: (call.client, Role::Virtual),
            window_s: view.records[call.client as usize].window_s,
            weight_milli: view.spans.shape(call.client).weight_milli,
            body: Body::Service(ServiceMark {
                node: call.callee,
                version: EMPTY,
                error: call.verdict.error,
                client_error: call.verdict.client_error,
                latency_us: caller_latency(view, call),
                self_us: None,
                critical_us: times.map(|times| times.of_span.critical[call.client as usize]),
            }),
        });
    }
}

/// Self time and time on the critical path, gathered by request: measured when nothing is missing, else when the trace
/// closes.
#[derive(Default)]
struct Times {
    /// Self time of all spans of the request but its outgoing calls, by entry span.
    own: Vec<u64>,
    /// Time the request's own spans, its outgoing calls excepted, held up the flow, by entry span.
    critical: Vec<u64>,
    /// Of each single span.
    of_span: analysis::Times,
    intervals: Vec<Interval>,
    request: Vec<u32>,
}

impl Times {
    fn measure(&mut self, view: &View<'_>, entry: &[bool], root: u32) {
        let many = view.records.len();
        self.intervals.clear();
        self.intervals.extend((0..many).map(|i| {
            let (record, parent) = (&view.records[i], view.tree.parent[i]);
            Interval {
                start_us: record.start_us,
                end_us: record.end_us(),
                parent: (parent != NONE).then_some(parent),
                awaited: !view.spans.takes(i as u32),
            }
        }));
        self.of_span.measure(&self.intervals, root, |i| view.records[i as usize].place());
        blank(&mut self.own, many, 0);
        blank(&mut self.critical, many, 0);
        blank(&mut self.request, many, NONE);
        for i in view.tree.order.iter().map(|i| *i as usize) {
            let parent = view.tree.parent[i];
            self.request[i] =
                if entry[i] || parent == NONE { i as u32 } else { self.request[parent as usize] };
            if !view.records[i].calls_out() || entry[i] {
                // Bad clocks can make spans of centuries: many of them don't fit into any number.
                let own = &mut self.own[self.request[i] as usize];
                *own = own.saturating_add(self.of_span.own[i]).min(MAX_US);
                self.critical[self.request[i] as usize] += self.of_span.critical[i];
            }
        }
    }
}
