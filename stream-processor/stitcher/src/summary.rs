//! The summary of one flow, from its marks.

use crate::delta::{Name, Node, NodeKind};
use crate::digest;
use crate::flow::{FlowEdge, FlowGraph, FlowNode, FlowStatus, FlowTrace};
use crate::flow_facts::Said;
use crate::names::{EMPTY, Names, NodeId, UNKNOWN};
use crate::resolve::{Body, EdgeMark, Mark, Resolved, Role, ServiceMark};
use crate::rollup::Under;
use crate::settings::Settings;
use crate::span::TraceId;
use crate::trace::{Gist, Life, Trace};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Environment and operation of a flow that says neither.
pub(crate) const NOTHING: Under = Under { environment: EMPTY, operation: UNKNOWN };

impl Gist {
    /// What a trace says as a whole, from what it counts. `nodes` is room to write in.
    pub fn of(resolved: &Resolved, marks: &[Mark], names: &mut Names, nodes: &mut Vec<NodeId>) -> Self {
        let mut gist = Self {
            root: resolved.root,
            status: resolved.status,
            start_us: resolved.start_us,
            end_us: resolved.end_us,
            environment: resolved.environment.unwrap_or(EMPTY),
            root_name: resolved.root_name,
            last_service: resolved.last_service,
            cycles: resolved.cycles,
            digest: digest::of_marks(marks),
            ..Self::default()
        };
        nodes.clear();
        for mark in marks {
            match &mark.body {
                Body::Edge(edge) => {
                    nodes.extend([edge.client, edge.server]);
                    // The call that reached the root is the flow's own status.
                    if mark.at != (resolved.root, Role::Callee) {
                        gist.add(edge);
                    }
                }
                Body::Service(service) => nodes.push(service.node),
                Body::Endpoint { .. } | Body::Flow { .. } => {}
            }
        }
        nodes.sort_unstable();
        nodes.dedup();
        nodes.retain(|node| names.node(*node).kind == NodeKind::Service);
        gist.services = Some(names.services_id(nodes));
        gist
    }

    fn add(&mut self, edge: &EdgeMark) {
        self.errors += u32::from(edge.verdict.error);
        self.client_errors += u32::from(edge.verdict.client_error);
        self.retries += u32::from(edge.retry);
        self.timeouts += u32::from(edge.verdict.timeout);
        self.rejected += u32::from(edge.verdict.rejected);
    }
}

/// Whether the summary of a flow shows its graph.
pub(crate) fn shows_graph(id: TraceId, trace: &Trace, settings: &Settings) -> bool {
    let root = &trace.records[trace.gist.root as usize];
    trace.gist.status != FlowStatus::Success
        || root.duration_us.cast_signed() >= settings.slow_us
        || sample_of(id) < settings.graph_sample_milli
}

pub(crate) fn summarise(id: TraceId, trace: &Trace, names: &Names, graph: Option<FlowGraph>) -> FlowTrace {
    let gist = &trace.gist;
    let root = &trace.records[gist.root as usize];
    let shape = names.shape(root.shape());
    let root_node = names.node(names.source(shape.source).node);
    let under = trace.told.map_or(NOTHING, |told| told.under);
    let (complete, truncated) = match trace.life {
        Life::Open => (false, false),
        Life::Closed { complete, truncated, .. } => (complete, truncated),
    };
    let flow = trace.flow.as_ref();
    let services = gist.services.map(|services| names.services(services));
    let said = |text: Option<&Said>| text.map_or_else(|| names.name(EMPTY), Said::text);
    FlowTrace {
        trace_id: id,
        revision: trace.revision,
        environment: names.name(under.environment),
        operation: names.name(under.operation),
        status: gist.status,
        start_us: gist.start_us,
        duration_us: root.duration_us.cast_signed(),
        tail_us: (gist.end_us - root.end_us()).max(0),
        spans: trace.records.len() as u32,
        errors: gist.errors,
        client_errors: gist.client_errors,
        retries: gist.retries,
        timeouts: gist.timeouts,
        rejected: gist.rejected,
        services: services.map_or_else(|| Arc::from([]), |services| services.names.clone()),
        service_nodes: services.map_or_else(|| Arc::from([]), |services| services.nodes.clone()),
        root_service: root_node.name.clone(),
        root_namespace: root_node.namespace.clone(),
        root_name: names.name(gist.root_name),
        ui_event: said(flow.map(|flow| &flow.ui_event)),
        session_id: said(flow.map(|flow| &flow.session_id)),
        user_hash: flow.map_or_else(String::new, |flow| flow.user_hash.as_string()),
        weight_milli: shape.weight_milli,
        complete,
        truncated,
        graph,
    }
}

/// A number below 1,000 that depends on the trace id alone.
pub(crate) fn sample_of(id: TraceId) -> u32 {
    let mixed = (id.0 as u64 ^ (id.0 >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 32) % 1_000) as u32
}

/// The flow graph of one flow, from what it counts.
pub(crate) fn graph(marks: &[Mark], names: &Names) -> FlowGraph {
    let edges =
        || marks.iter().filter_map(|mark| if let Body::Edge(edge) = &mark.body { Some(edge) } else { None });
    let mut nodes: BTreeMap<Arc<Node>, FlowNode> = BTreeMap::new();
    for edge in edges() {
        blank(&mut nodes, names.node(edge.client));
        seen_in(blank(&mut nodes, names.node(edge.server)), &names.name(edge.version));
    }
    for mark in marks {
        let Body::Service(ServiceMark { node, version, error, latency_us, self_us, critical_us, .. }) =
            mark.body
        else {
            continue;
        };
        let node = blank(&mut nodes, names.node(node));
        seen_in(node, &names.name(version));
        node.requests += 1;
        node.errors += u32::from(error);
        node.duration_us += of(latency_us);
        node.self_us += of(self_us);
        node.critical_us += of(critical_us);
    }
    let places: BTreeMap<Arc<Node>, u32> = nodes.keys().cloned().zip(0..).collect();
    let mut between: BTreeMap<(u32, u32), FlowEdge> = BTreeMap::new();
    for edge in edges() {
        let (client, server) = (places[names.node(edge.client)], places[names.node(edge.server)]);
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
