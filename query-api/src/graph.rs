//! A flow graph as answers and frames show it: counts and percentiles over one range of time.

use crate::flow::Place;
use crate::histogram::Histogram;
use crate::node::{Kind, Node};
use crate::number::{Count, ms, rate, share};
use crate::totals::{EdgeTotals, ServiceTotals, Totals};
use serde::Serialize;
use utoipa::ToSchema;

/// Nodes and edges in the order of their ids.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Graph {
    /// Everybody who calls or is called.
    pub nodes: Vec<NodeAnswer>,
    /// Who calls whom.
    pub edges: Vec<EdgeAnswer>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NodeAnswer {
    /// Unique in the graph, see [`Node`].
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// Name and place.
    pub service: ServiceInfo,
    /// Its numbers.
    pub metrics: NodeMetrics,
    /// By the rules of [`StatusRules`].
    pub status: Status,
    /// Ids of the nodes that joined this service, see [`crate::join`].
    pub joined: Vec<String>,
}

/// Name and place of a node.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ServiceInfo {
    pub name: String,
    pub namespace: String,
    pub cluster: String,
    /// The newest of `versions` in the order of text; "" if none is known.
    pub version: String,
    pub versions: Vec<String>,
    /// Where it ran; known of a single flow only, and only where its spans are.
    #[serde(flatten)]
    #[schema(value_type = Place)]
    pub place: Option<Place>,
}

/// Requests that a service counted itself; for the others, the calls to them, or else those they made.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct NodeMetrics {
    pub request_count: Count,
    pub error_count: Count,
    /// null where a stored graph has left it out.
    pub client_errors: Option<Count>,
    pub raw_request_count: i64,
    pub error_rate: f64,
    /// Requests a second.
    pub rate: f64,
    #[serde(flatten)]
    pub latency: Latency,
    /// Milliseconds not spent waiting for callees.
    pub avg_self_time: Option<f64>,
    /// Milliseconds a request held up its whole flow.
    pub avg_critical_path: Option<f64>,
}

/// How well a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Fewer errors than the other two.
    Healthy,
    /// A noticeable share of errors.
    Degraded,
    /// Most requests fail.
    Down,
}

/// When a node counts as degraded or down.
#[derive(Debug, Clone, Copy)]
pub struct StatusRules {
    /// Share of errors from which a node is degraded.
    pub degraded: f64,
    /// Share of errors from which a node is down.
    pub down: f64,
    /// Requests below which no share of errors means anything.
    pub least_requests: i64,
}

/// One edge.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct EdgeAnswer {
    /// Id of the caller's node.
    pub from: String,
    /// Id of the callee's node.
    pub to: String,
    /// Attempts; logical calls are `callCount − retryCount`.
    pub call_count: Count,
    pub error_count: Count,
    pub client_errors: Count,
    pub retry_count: Count,
    pub timeouts: Count,
    pub rejected: Count,
    /// Messages carried, for topics; null where a stored graph has left it out.
    pub messages: Option<Count>,
    pub raw_call_count: i64,
    pub error_rate: f64,
    /// Calls a second.
    pub rate: f64,
    /// Share of the calls that were seen from both sides; null where a stored graph has left it out.
    pub confidence: Option<f64>,
    #[serde(flatten)]
    pub latency: Latency,
    /// `callee` or `caller`: who measured the latency; the caller does where the callee emits no spans.
    pub latency_side: Option<&'static str>,
    /// As the caller measured it, network and queueing included.
    pub caller_avg_latency: Option<f64>,
    pub caller_p95_latency: Option<f64>,
    /// Milliseconds between producer and consumer of a message, approximate: two clocks.
    pub avg_wait: Option<f64>,
}

/// Milliseconds with decimals; null without measurements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct Latency {
    pub avg_latency: Option<f64>,
    pub p50_latency: Option<f64>,
    pub p95_latency: Option<f64>,
    pub p99_latency: Option<f64>,
}

impl Latency {
    /// Read from buckets, never from other percentiles.
    pub fn of(histogram: &Histogram) -> Self {
        let quantiles = histogram.quantiles_us([0.5, 0.95, 0.99]).map(|all| all.map(|us| ms(us as f64)));
        let at = |number: usize| quantiles.map(|quantiles| quantiles[number]);
        Self {
            avg_latency: histogram.mean_us().map(ms),
            p50_latency: at(0),
            p95_latency: at(1),
            p99_latency: at(2),
        }
    }
}

impl NodeMetrics {
    /// The numbers of a range that is `seconds` long.
    pub fn of(totals: &ServiceTotals, seconds: f64) -> Self {
        let counts = &totals.counts;
        Self {
            request_count: Count(counts.requests),
            error_count: Count(counts.errors),
            client_errors: Some(Count(counts.client_errors)),
            raw_request_count: counts.raw_requests,
            error_rate: share(counts.errors, counts.requests),
            rate: rate(counts.requests, seconds),
            latency: Latency::of(&totals.latency),
            avg_self_time: totals.self_time.mean_us().map(ms),
            avg_critical_path: totals.critical_path.mean_us().map(ms),
        }
    }
}

impl Graph {
    /// The graph of a range that is `seconds` long.
    pub fn of(totals: &Totals, seconds: f64, rules: &StatusRules) -> Self {
        let nodes = totals.nodes();
        let nodes = nodes.iter().map(|(node, requests)| {
            let joined = totals.joined.get(*node).into_iter().flatten().map(ToString::to_string).collect();
            NodeAnswer { joined, ..node_answer(node, requests, seconds, rules) }
        });
        let mut nodes: Vec<NodeAnswer> = nodes.collect();
        let edges = totals
            .edges
            .iter()
            .map(|((client, server), totals)| edge_answer(client, server, totals, seconds));
        let mut edges: Vec<EdgeAnswer> = edges.collect();
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
        edges.sort_by(|a, b| (&a.from, &a.to).cmp(&(&b.from, &b.to)));
        Self { nodes, edges }
    }
}

impl StatusRules {
    /// How well a node does that had these requests.
    pub fn status(&self, totals: &ServiceTotals) -> Status {
        let errors = share(totals.counts.errors, totals.counts.requests);
        if totals.counts.requests < self.least_requests * 1_000 || errors < self.degraded {
            Status::Healthy
        } else if errors < self.down {
            Status::Degraded
        } else {
            Status::Down
        }
    }
}

/// A node as answers show it.
pub fn node_answer(node: &Node, totals: &ServiceTotals, seconds: f64, rules: &StatusRules) -> NodeAnswer {
    let versions: Vec<String> =
        totals.versions.iter().filter(|version| !version.is_empty()).map(ToString::to_string).collect();
    NodeAnswer {
        id: node.to_string(),
        kind: node.kind,
        service: ServiceInfo {
            name: node.name.clone(),
            namespace: node.namespace.clone(),
            cluster: node.cluster.clone(),
            version: versions.last().cloned().unwrap_or_default(),
            versions,
            place: None,
        },
        metrics: NodeMetrics::of(totals, seconds),
        status: rules.status(totals),
        joined: Vec::new(),
    }
}

/// An edge as answers show it.
pub fn edge_answer(client: &Node, server: &Node, totals: &EdgeTotals, seconds: f64) -> EdgeAnswer {
    let counts = &totals.counts;
    let (latency, latency_side) = totals.latency();
    EdgeAnswer {
        from: client.to_string(),
        to: server.to_string(),
        call_count: Count(counts.calls),
        error_count: Count(counts.errors),
        client_errors: Count(counts.client_errors),
        retry_count: Count(counts.retries),
        timeouts: Count(counts.timeouts),
        rejected: Count(counts.rejected),
        messages: Some(Count(counts.messages)),
        raw_call_count: counts.raw_calls,
        error_rate: share(counts.errors, counts.calls),
        rate: rate(counts.calls, seconds),
        confidence: Some(share(counts.paired, counts.calls)),
        latency: Latency::of(latency),
        latency_side,
        caller_avg_latency: totals.caller.mean_us().map(ms),
        caller_p95_latency: totals.caller.quantile_us(0.95).map(|us| ms(us as f64)),
        avg_wait: totals.wait.mean_us().map(ms),
    }
}

#[cfg(test)]
mod tests;
