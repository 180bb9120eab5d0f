//! Adds a commit's deltas up to one graph.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use reader::Read;
use stitcher::Commit;
use stitcher::delta::{EdgeCounts, Name, Node as DeltaNode, NodeKind, OperationCounts, ServiceCounts};

use super::latency::Latency;

/// A flow graph of files.
pub(super) struct Graph {
    /// Whether edges and nodes are told apart by operation.
    pub(super) by_operation: bool,
    pub(super) edges: BTreeMap<EdgeId, Edge>,
    pub(super) nodes: BTreeMap<NodeId, NodeSums>,
    pub(super) operations: BTreeMap<Name, Operation>,
    pub(super) flows: i64,
    pub(super) read: Read,
    pub(super) duplicates: u64,
}

/// A node, under an operation if the graph is split by it (else `""`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId {
    pub(super) operation: Name,
    pub(super) namespace: Name,
    pub(super) name: Name,
    pub(super) kind: NodeKind,
}

/// An edge.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EdgeId {
    pub(super) client: NodeId,
    pub(super) server: NodeId,
}

/// A count in thousandths of adjusted calls.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Milli(pub(super) i128);

/// Sums of an edge.
#[derive(Default)]
pub(super) struct Edge {
    pub(super) calls: Milli,
    pub(super) raw_calls: i64,
    pub(super) errors: Milli,
    pub(super) client_errors: Milli,
    pub(super) retries: Milli,
    pub(super) timeouts: Milli,
    pub(super) rejected: Milli,
    pub(super) paired: Milli,
    pub(super) callee_latency: Latency,
    pub(super) caller_latency: Latency,
}

/// Sums of a node.
#[derive(Default)]
pub(super) struct NodeSums {
    pub(super) requests: Milli,
    pub(super) errors: Milli,
    pub(super) latency: Latency,
    pub(super) self_time: Latency,
}

/// Sums of an operation.
#[derive(Default)]
pub(super) struct Operation {
    pub(super) flows: Milli,
    pub(super) errors: Milli,
    pub(super) latency: Latency,
}

impl Graph {
    pub(super) fn new(by_operation: bool, commit: &Commit, read: Read) -> Self {
        let duplicates = ["duplicate_exact", "duplicate_conflict"];
        let mut graph = Self {
            by_operation,
            edges: BTreeMap::new(),
            nodes: BTreeMap::new(),
            operations: BTreeMap::new(),
            flows: 0,
            read,
            duplicates: duplicates.iter().filter_map(|name| commit.counters.get(name)).sum(),
        };
        let deltas = &commit.deltas;
        for (key, counts) in &deltas.edges {
            let [client, server] = [&key.client, &key.server].map(|node| graph.id(&key.operation, node));
            graph.edges.entry(EdgeId { client, server }).or_default().add(counts, key.weight_milli);
        }
        for (key, counts) in &deltas.services {
            let id = graph.id(&key.operation, &key.node);
            graph.nodes.entry(id).or_default().add(counts, key.weight_milli);
        }
        for (key, counts) in &deltas.operations {
            graph.flows += counts.flows;
            graph.operations.entry(key.operation.clone()).or_default().add(counts, key.weight_milli);
        }
        graph.edges.retain(|_, edge| edge.raw_calls != 0);
        graph.add_silent_nodes();
        graph
    }

    fn id(&self, operation: &Name, node: &DeltaNode) -> NodeId {
        NodeId {
            operation: if self.by_operation { operation.clone() } else { Name::from("") },
            namespace: node.namespace.clone(),
            name: node.name.clone(),
            kind: node.kind,
        }
    }

    /// Users, databases, topics and others emit no spans: what is known of them stands on the edges to them.
    fn add_silent_nodes(&mut self) {
        let heard: BTreeSet<NodeId> = self.nodes.keys().cloned().collect();
        for (id, edge) in &self.edges {
            if !heard.contains(&id.client) {
                self.nodes.entry(id.client.clone()).or_default();
            }
            if !heard.contains(&id.server) {
                let node = self.nodes.entry(id.server.clone()).or_default();
                node.requests += edge.calls;
                node.errors += edge.errors;
                node.latency.merge(edge.latency());
            }
        }
    }
}

impl Edge {
    fn add(&mut self, counts: &EdgeCounts, weight: u32) {
        self.raw_calls += counts.calls;
        self.calls += Milli::of(counts.calls, weight);
        self.errors += Milli::of(counts.errors, weight);
        self.client_errors += Milli::of(counts.client_errors, weight);
        self.retries += Milli::of(counts.retries, weight);
        self.timeouts += Milli::of(counts.timeouts, weight);
        self.rejected += Milli::of(counts.rejected, weight);
        self.paired += Milli::of(counts.paired, weight);
        self.callee_latency.add(&counts.callee_latency, weight);
        self.caller_latency.add(&counts.caller_latency, weight);
    }

    /// Share of its calls seen from both sides.
    pub(super) fn confidence(&self) -> f64 {
        if self.calls.0 == 0 { 0.0 } else { self.paired.0 as f64 / self.calls.0 as f64 }
    }

    /// As the callee measured it, else as the caller did.
    pub(super) fn latency(&self) -> &Latency {
        if self.callee_latency.is_empty() { &self.caller_latency } else { &self.callee_latency }
    }
}

impl NodeSums {
    fn add(&mut self, counts: &ServiceCounts, weight: u32) {
        self.requests += Milli::of(counts.requests, weight);
        self.errors += Milli::of(counts.errors, weight);
        self.latency.add(&counts.latency, weight);
        self.self_time.add(&counts.self_time, weight);
    }
}

impl Operation {
    fn add(&mut self, counts: &OperationCounts, weight: u32) {
        self.flows += Milli::of(counts.flows, weight);
        self.errors += Milli::of(counts.errors, weight);
        self.latency.add(&counts.duration, weight);
    }
}

impl Milli {
    fn of(count: i64, weight_milli: u32) -> Self {
        Self(i128::from(count) * i128::from(weight_milli))
    }
}

impl AddAssign for Milli {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl std::fmt::Display for Milli {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 % 1_000 {
            0 => f.pad(&(self.0 / 1_000).to_string()),
            _ => f.pad(&format!("{:.1}", self.0 as f64 / 1_000.0)),
        }
    }
}

impl NodeId {
    /// Name for people: `shop/payment`, and what it is unless it is a service.
    pub(super) fn label(&self) -> String {
        let mut label = match &*self.namespace {
            "" => self.name.to_string(),
            namespace => format!("{namespace}/{}", self.name),
        };
        if self.kind != NodeKind::Service && self.kind.as_str() != &*self.name {
            label.push_str(&format!(" ({})", self.kind.as_str()));
        }
        label
    }
}
