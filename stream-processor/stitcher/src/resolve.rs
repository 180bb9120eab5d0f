//! A trace's contribution to the graph, as a pure function of its spans: the same spans give the same marks in
//! whatever order they came. What a shard emits is the difference between two such answers.

use crate::calls::{self, Call, Calls};
use crate::delta::{Name, Node, NodeKind};
use crate::flow::FlowStatus;
use crate::histogram::MAX_US;
use crate::names::Names;
use crate::operation;
use crate::record::{Record, Verdict};
use crate::retries;
use crate::tree::{NONE, Tree};
use crate::view::View;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use analysis::Interval;

/// One thing that is counted.
#[derive(Clone, Debug, PartialEq)]
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

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Edge(EdgeMark),
    Service(ServiceMark),
    Endpoint { node: Arc<Node>, version: Name, entry: Name, error: bool, latency_us: Option<u64> },
    Flow { status: FlowStatus, duration_us: Option<u64> },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EdgeMark {
    pub client: Arc<Node>,
    pub server: Arc<Node>,
    pub version: Name,
    pub verdict: Verdict,
    pub retry: bool,
    pub paired: bool,
    pub messages: u32,
    pub callee_us: Option<u64>,
    pub caller_us: Option<u64>,
    pub wait_us: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServiceMark {
    pub node: Arc<Node>,
    pub version: Name,
    pub error: bool,
    pub client_error: bool,
    pub latency_us: Option<u64>,
    pub self_us: Option<u64>,
    pub critical_us: Option<u64>,
}

/// Everything a trace says at one moment.
pub(crate) struct Resolved {
    pub marks: Vec<Mark>,
    pub explicit: Option<Name>,
    pub fallback: Option<Name>,
    pub environment: Option<Name>,
    pub root: u32,
    pub status: FlowStatus,
    pub start_us: i64,
    pub end_us: i64,
    pub last_service: Option<Name>,
    pub cycles: u32,
    pub missing: Missing,
}

/// What may still come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    /// CLIENT spans without an answer.
    pub answers: u32,
    /// Spans whose parent is not here, or no root at all.
    pub parents: bool,
}

pub(crate) fn resolve(records: &[Record], names: &mut Names, settled: bool) -> Resolved {
    let tree = Tree::new(records);
    let view = View::new(records, &tree);
    let mut found = calls::find(&view, names, settled);
    retries::mark(&view, &mut found.calls);
    let seen_root = operation::root(&view);
    let root = seen_root.or_else(|| operation::stand_in(&view, &found.entry)).unwrap_or(0);
    let flow = &records[root as usize];
    let times = settled.then(|| Times::new(&view, &found.entry, root));
    let mut marks = Vec::new();
    edge_marks(&view, &found, &mut marks);
    service_marks(&view, &found, times.as_ref(), names, &mut marks);
    if seen_root.is_some() || settled {
        marks.push(flow_mark(flow, root));
    }
    marks.sort_unstable_by_key(|mark| mark.at);
    let last = records.iter().enumerate().max_by_key(|(_, record)| (record.end_us(), record.place()));
    Resolved {
        marks,
        explicit: operation::explicit(&view),
        fallback: (seen_root.is_some() || settled)
            .then(|| operation::fallback(&view, &found.entry))
            .flatten(),
        environment: operation::environment(&view),
        root,
        status: status_of(flow.verdict),
        start_us: operation::start_us(&view, root),
        end_us: last.map_or(0, |(_, record)| record.end_us()),
        last_service: last.and_then(|(i, _)| view.owner[i].as_ref()).map(|owner| owner.node.name.clone()),
        cycles: tree.cycles,
        missing: Missing {
            answers: found.unanswered,
            parents: seen_root.is_none() || tree.lost.contains(&true),
        },
    }
}

pub(crate) fn status_of(verdict: Verdict) -> FlowStatus {
    match verdict {
        Verdict { timeout: true, .. } => FlowStatus::Timeout,
        Verdict { error: true, .. } => FlowStatus::Error,
        _ => FlowStatus::Success,
    }
}

fn flow_mark(flow: &Record, root: u32) -> Mark {
    Mark {
        at: (root, Role::Flow),
        window_s: flow.window_s,
        weight_milli: flow.weight_milli,
        body: Body::Flow { status: status_of(flow.verdict), duration_us: flow.latency_us() },
    }
}

fn edge_marks(view: &View<'_>, found: &Calls, marks: &mut Vec<Mark>) {
    for call in &found.calls {
        let client = (call.client != NONE).then(|| &view.records[call.client as usize]);
        let server = (call.server != NONE).then(|| &view.records[call.server as usize]);
        let Some(ended) = server.or(client) else { continue };
        let weights = [client, server].map(|side| side.map(|record| record.weight_milli));
        let weight_milli = weights.into_iter().flatten().min().unwrap_or(1_000);
        let alike = weights.into_iter().flatten().all(|weight| weight == weight_milli);
        let at = if server.is_some() { (call.server, Role::Callee) } else { (call.client, Role::Caller) };
        marks.push(Mark {
            at,
            window_s: ended.window_s,
            weight_milli,
            body: Body::Edge(EdgeMark {
                client: call.caller.clone(),
                server: call.callee.clone(),
                version: version_of(view, call.server).unwrap_or_else(|| Arc::from("")),
                verdict: call.verdict,
                retry: call.retry,
                paired: call.paired && alike,
                messages: call.messages,
                callee_us: server.filter(|_| call.callee_measured).and_then(Record::latency_us),
                caller_us: caller_latency(call, client, server),
                wait_us: call.wait_us,
            }),
        });
    }
}

/// A stream's length is no latency, on whichever side it was seen.
fn caller_latency(call: &Call, client: Option<&Record>, server: Option<&Record>) -> Option<u64> {
    let streams = server.is_some_and(|server| server.marks.stream);
    client.filter(|_| call.caller_measured && !streams).and_then(Record::latency_us)
}

fn version_of(view: &View<'_>, i: u32) -> Option<Name> {
    view.owner.get(i as usize)?.as_ref().map(|owner| owner.version.clone())
}

fn service_marks(
    view: &View<'_>,
    found: &Calls,
    times: Option<&Times>,
    names: &Names,
    marks: &mut Vec<Mark>,
) {
    for (i, record) in view.records.iter().enumerate().filter(|(i, _)| found.entry[*i]) {
        let Some(owner) = &view.owner[i] else { continue };
        // A CLIENT entry span's status and length are its outgoing call's.
        let measured = found.measures_itself(i as u32);
        let verdict = if measured { record.verdict } else { Verdict::default() };
        let latency_us = record.latency_us().filter(|_| measured);
        let place = |role| (i as u32, role);
        marks.push(Mark {
            at: place(Role::Served),
            window_s: record.window_s,
            weight_milli: record.weight_milli,
            body: Body::Service(ServiceMark {
                node: owner.node.clone(),
                version: owner.version.clone(),
                error: verdict.error,
                client_error: verdict.client_error,
                latency_us,
                self_us: times.map(|times| times.own[i]),
                critical_us: times.map(|times| times.critical[i]),
            }),
        });
        if let (Some(entry), true) = (&record.entry, record.answers() && owner.node.kind == NodeKind::Service)
        {
            marks.push(Mark {
                at: place(Role::Endpoint),
                window_s: record.window_s,
                weight_milli: record.weight_milli,
                body: Body::Endpoint {
                    node: owner.node.clone(),
                    version: owner.version.clone(),
                    entry: entry.clone(),
                    error: verdict.error,
                    latency_us,
                },
            });
        }
    }
    virtual_marks(view, found, times, names, marks);
}

/// Databases, topics and hosts have no spans of their own: their callers speak for them.
fn virtual_marks(
    view: &View<'_>,
    found: &Calls,
    times: Option<&Times>,
    names: &Names,
    marks: &mut Vec<Mark>,
) {
    // A rejected call never reached them.
    let outgoing = found
        .calls
        .iter()
        .filter(|call| call.server == NONE && call.client != NONE && !call.verdict.rejected);
    for call in outgoing {
        let client = &view.records[call.client as usize];
        marks.push(Mark {
            at: (call.client, Role::Virtual),
            window_s: client.window_s,
            weight_milli: client.weight_milli,
            body: Body::Service(ServiceMark {
                node: call.callee.clone(),
                version: names.empty.clone(),
                error: call.verdict.error,
                client_error: call.verdict.client_error,
                latency_us: caller_latency(call, Some(client), None),
                self_us: None,
                critical_us: times.map(|times| times.of_span[call.client as usize]),
            }),
        });
    }
}

/// Self time and time on the critical path, gathered by request: measured when the trace closes.
struct Times {
    /// Self time of all spans of the request but its outgoing calls, by entry span.
    own: Vec<u64>,
    /// Time the request's own spans, its outgoing calls excepted, held up the flow, by entry span.
    critical: Vec<u64>,
    /// Time on the critical path of each single span.
    of_span: Vec<u64>,
}

impl Times {
    fn new(view: &View<'_>, entry: &[bool], root: u32) -> Self {
        let intervals: Vec<Interval> = view
            .records
            .iter()
            .zip(&view.tree.parent)
            .map(|(record, parent)| Interval {
                start_us: record.start_us,
                end_us: record.end_us(),
                parent: (*parent != NONE).then_some(*parent),
                awaited: !record.takes(),
            })
            .collect();
        let selves = analysis::self_times(&intervals);
        let rank = |i: u32| view.records[i as usize].place();
        let of_span = analysis::critical_times_by(&intervals, root, rank);
        let many = view.records.len();
        let mut times = Self { own: vec![0; many], critical: vec![0; many], of_span };
        let mut request = vec![NONE; many];
        for i in view.tree.order.iter().map(|i| *i as usize) {
            let parent = view.tree.parent[i];
            request[i] = if entry[i] || parent == NONE { i as u32 } else { request[parent as usize] };
            if !view.records[i].calls_out() || entry[i] {
                // Bad clocks can make spans of centuries: many of them don't fit into any number.
                let own = &mut times.own[request[i] as usize];
                *own = own.saturating_add(selves[i]).min(MAX_US);
                times.critical[request[i] as usize] += times.of_span[i];
            }
        }
        times
    }
}
