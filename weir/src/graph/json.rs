//! A graph as one JSON document: the contract that programs rely on. Fields are printed in this order.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Number, Value as Json};

use super::fold::{Edge, EdgeId, Graph, Milli, NodeId, NodeSums, Operation};
use super::latency::Latency;

/// Prints the document, on one line.
pub(super) fn print(graph: &Graph, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Document::of(graph))?;
    writeln!(out)
}

#[derive(Serialize)]
struct Document<'g> {
    edges: Vec<JsonEdge<'g>>,
    nodes: Vec<JsonNode<'g>>,
    operations: Vec<JsonOperation<'g>>,
    flows: i64,
    spans: u64,
    duplicates: u64,
    rejected: &'g BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct JsonEdge<'g> {
    /// With `--by operation` everything says which operation it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'g str>,
    client: &'g str,
    client_kind: &'static str,
    client_namespace: &'g str,
    server: &'g str,
    server_kind: &'static str,
    server_namespace: &'g str,
    calls: Json,
    raw_calls: i64,
    errors: Json,
    client_errors: Json,
    retries: Json,
    timeouts: Json,
    rejected: Json,
    confidence: f64,
    callee_latency_us: JsonLatency,
    caller_latency_us: JsonLatency,
}

#[derive(Serialize)]
struct JsonNode<'g> {
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'g str>,
    name: &'g str,
    kind: &'static str,
    namespace: &'g str,
    requests: Json,
    errors: Json,
    latency_us: JsonLatency,
    self_us: JsonLatency,
}

#[derive(Serialize)]
struct JsonOperation<'g> {
    name: &'g str,
    flows: Json,
    errors: Json,
    latency_us: JsonLatency,
}

#[derive(Serialize)]
struct JsonLatency {
    count: Json,
    mean: u64,
    p50: u64,
    p90: u64,
    p95: u64,
    p99: u64,
    max: u64,
}

impl<'g> Document<'g> {
    fn of(graph: &'g Graph) -> Self {
        let operation = |id: &'g NodeId| graph.by_operation.then_some(&*id.operation);
        Self {
            edges: graph
                .edges
                .iter()
                .map(|(id, edge)| JsonEdge::of(operation(&id.client), id, edge))
                .collect(),
            nodes: graph.nodes.iter().map(|(id, node)| JsonNode::of(operation(id), id, node)).collect(),
            operations: graph.operations.iter().map(|(name, sums)| JsonOperation::of(name, sums)).collect(),
            flows: graph.flows,
            spans: graph.read.spans,
            duplicates: graph.duplicates,
            rejected: &graph.read.rejected,
        }
    }
}

impl<'g> JsonEdge<'g> {
    fn of(operation: Option<&'g str>, id: &'g EdgeId, edge: &Edge) -> Self {
        Self {
            operation,
            client: &id.client.name,
            client_kind: id.client.kind.as_str(),
            client_namespace: &id.client.namespace,
            server: &id.server.name,
            server_kind: id.server.kind.as_str(),
            server_namespace: &id.server.namespace,
            calls: number(edge.calls),
            raw_calls: edge.raw_calls,
            errors: number(edge.errors),
            client_errors: number(edge.client_errors),
            retries: number(edge.retries),
            timeouts: number(edge.timeouts),
            rejected: number(edge.rejected),
            confidence: edge.confidence(),
            callee_latency_us: JsonLatency::of(&edge.callee_latency),
            caller_latency_us: JsonLatency::of(&edge.caller_latency),
        }
    }
}

impl<'g> JsonNode<'g> {
    fn of(operation: Option<&'g str>, id: &'g NodeId, node: &NodeSums) -> Self {
        Self {
            operation,
            name: &id.name,
            kind: id.kind.as_str(),
            namespace: &id.namespace,
            requests: number(node.requests),
            errors: number(node.errors),
            latency_us: JsonLatency::of(&node.latency),
            self_us: JsonLatency::of(&node.self_time),
        }
    }
}

impl<'g> JsonOperation<'g> {
    fn of(name: &'g str, sums: &Operation) -> Self {
        let (flows, errors) = (number(sums.flows), number(sums.errors));
        Self { name, flows, errors, latency_us: JsonLatency::of(&sums.latency) }
    }
}

impl JsonLatency {
    fn of(latency: &Latency) -> Self {
        Self {
            count: number(latency.count()),
            mean: latency.mean_us(),
            p50: latency.percentile_us(50),
            p90: latency.percentile_us(90),
            p95: latency.percentile_us(95),
            p99: latency.percentile_us(99),
            max: latency.max_us(),
        }
    }
}

/// Thousandths as a number; whole ones without a decimal point.
fn number(count: Milli) -> Json {
    match (count.0 % 1_000, i64::try_from(count.0 / 1_000)) {
        (0, Ok(whole)) => Json::from(whole),
        _ => Number::from_f64(count.0 as f64 / 1_000.0).map_or(Json::Null, Json::Number),
    }
}
