//! The summary of one flow, from its marks.

use crate::delta::{Name, Node, NodeKind};
use crate::flow::{FlowEdge, FlowGraph, FlowNode, FlowStatus, FlowTrace};
use crate::names::Names;
use crate::record::{FlowFacts, Record};
use crate::resolve::{Body, EdgeMark, Mark, Resolved, Role, ServiceMark};
use crate::settings::Settings;
use crate::span::TraceId;
use crate::trace::{Life, Trace};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

pub(crate) fn summarise(
    id: TraceId,
    trace: &Trace,
    resolved: &Resolved,
    names: &Names,
    settings: &Settings,
) -> FlowTrace {
    let root = &trace.records[resolved.root as usize];
    let (environment, operation) = trace.emitted.under.clone().unwrap_or_else(|| names.nothing());
    let duration_us = root.duration_us.cast_signed();
    let (complete, truncated) = match trace.life {
        Life::Open => (false, false),
        Life::Closed { complete, truncated, .. } => (complete, truncated),
    };
    let mut summary = FlowTrace {
        trace_id: id,
        revision: trace.revision,
        environment,
        operation,
        status: resolved.status,
        start_us: resolved.start_us,
        duration_us,
        tail_us: (resolved.end_us - root.end_us()).max(0),
        spans: trace.records.len() as u32,
        errors: 0,
        client_errors: 0,
        retries: 0,
        timeouts: 0,
        rejected: 0,
        services: services(trace),
        root_service: root.source.node.name.clone(),
        root_namespace: root.source.node.namespace.clone(),
        root_name: flow_text(trace, names, |flow| &flow.root_name),
        ui_event: flow_text(trace, names, |flow| &flow.ui_event),
        session_id: flow_text(trace, names, |flow| &flow.session_id),
        user_hash: user_hash(&trace.records),
        weight_milli: root.weight_milli,
        complete,
        truncated,
        graph: None,
    };
    for edge in edges_below(trace, resolved.root) {
        summary.errors += u32::from(edge.verdict.error);
        summary.client_errors += u32::from(edge.verdict.client_error);
        summary.retries += u32::from(edge.retry);
        summary.timeouts += u32::from(edge.verdict.timeout);
        summary.rejected += u32::from(edge.verdict.rejected);
    }
    let sampled = sample_of(id) < settings.graph_sample_milli;
    if summary.status != FlowStatus::Success || duration_us >= settings.slow_us || sampled {
        summary.graph = Some(graph(trace));
    }
    summary
}

/// A number below 1,000 that depends on the trace id alone.
pub(crate) fn sample_of(id: TraceId) -> u32 {
    let mixed = (id.0 as u64 ^ (id.0 >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 32) % 1_000) as u32
}

fn edges(trace: &Trace) -> impl Iterator<Item = &EdgeMark> {
    trace.emitted.marks.iter().filter_map(edge_of)
}

/// Every call but the one that reached the root: that one is the flow's own status.
fn edges_below(trace: &Trace, root: u32) -> impl Iterator<Item = &EdgeMark> {
    trace.emitted.marks.iter().filter(move |mark| mark.at != (root, Role::Callee)).filter_map(edge_of)
}

fn edge_of(mark: &Mark) -> Option<&EdgeMark> {
    match &mark.body {
        Body::Edge(edge) => Some(edge),
        _ => None,
    }
}

fn served(trace: &Trace) -> impl Iterator<Item = &ServiceMark> {
    trace.emitted.marks.iter().filter_map(|mark| match &mark.body {
        Body::Service(service) => Some(service),
        _ => None,
    })
}

fn services(trace: &Trace) -> Vec<Name> {
    let ends = edges(trace).flat_map(|edge| [&edge.client, &edge.server]);
    let nodes = ends.chain(served(trace).map(|service| &service.node));
    let names: BTreeSet<&Name> =
        nodes.filter(|node| node.kind == NodeKind::Service).map(|node| &node.name).collect();
    names.into_iter().cloned().collect()
}

/// The first non-empty answer, by start and span id.
fn flow_text(trace: &Trace, names: &Names, of: impl Fn(&FlowFacts) -> &Name) -> Name {
    let said = trace.records.iter().filter_map(|record| {
        let text = of(record.flow.as_ref()?);
        (!text.is_empty()).then_some((record.place(), text))
    });
    said.min_by_key(|(place, _)| *place).map_or_else(|| names.empty.clone(), |(_, text)| text.clone())
}

fn user_hash(records: &[Record]) -> String {
    let said = records.iter().filter_map(|record| {
        let flow = record.flow.as_ref()?;
        (!flow.user_hash.is_empty()).then_some((record.place(), &flow.user_hash))
    });
    said.min_by_key(|(place, _)| *place).map_or_else(String::new, |(_, hash)| hash.clone())
}

fn graph(trace: &Trace) -> FlowGraph {
    let mut nodes: BTreeMap<Arc<Node>, FlowNode> = BTreeMap::new();
    for edge in edges(trace) {
        blank(&mut nodes, &edge.client);
        seen_in(blank(&mut nodes, &edge.server), &edge.version);
    }
    for service in served(trace) {
        let node = blank(&mut nodes, &service.node);
        seen_in(node, &service.version);
        node.requests += 1;
        node.errors += u32::from(service.error);
        node.duration_us += of(service.latency_us);
        node.self_us += of(service.self_us);
        node.critical_us += of(service.critical_us);
    }
    let places: BTreeMap<Arc<Node>, u32> = nodes.keys().cloned().zip(0..).collect();
    let mut between: BTreeMap<(u32, u32), FlowEdge> = BTreeMap::new();
    for edge in edges(trace) {
        let (client, server) = (places[&edge.client], places[&edge.server]);
        let sum =
            between.entry((client, server)).or_insert(FlowEdge { client, server, ..FlowEdge::default() });
        sum.calls += 1;
        sum.errors += u32::from(edge.verdict.error);
        sum.client_errors += u32::from(edge.verdict.client_error);
        sum.retries += u32::from(edge.retry);
        sum.timeouts += u32::from(edge.verdict.timeout);
        sum.rejected += u32::from(edge.verdict.rejected);
        sum.duration_us += of(edge.callee_us.or(edge.caller_us));
    }
    FlowGraph { nodes: nodes.into_values().collect(), edges: between.into_values().collect() }
}

/// Of several versions the greatest in the order of text is shown: which of them came last is a matter of arrival.
fn seen_in(node: &mut FlowNode, version: &Name) {
    if *version > node.version {
        node.version = version.clone();
    }
}

fn of(time_us: Option<u64>) -> i64 {
    time_us.unwrap_or(0).cast_signed()
}

fn blank<'a>(nodes: &'a mut BTreeMap<Arc<Node>, FlowNode>, node: &Arc<Node>) -> &'a mut FlowNode {
    nodes.entry(node.clone()).or_insert_with(|| FlowNode {
        node: node.clone(),
        version: Arc::from(""),
        requests: 0,
        errors: 0,
        duration_us: 0,
        self_us: 0,
        critical_us: 0,
    })
}
