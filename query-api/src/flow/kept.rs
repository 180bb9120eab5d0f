//! What the store has kept of a flow: the summary of every flow, the graph of failed, slow and sampled ones.

use super::summary::{Summary, status_of};
use crate::App;
use crate::access::Allowed;
use crate::builder::{Environment, GraphBuilder};
use crate::counts::{EdgeCounts, ServiceCounts};
use crate::error::ApiError;
use crate::graph::{Graph, Latency, StatusRules};
use crate::histogram::Histogram;
use crate::node::{Kind, Node};
use crate::number::Count;
use crate::series::Additive;
use crate::stored::Stored;
use clickhouse::Row;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use stitcher::histogram::bucket_of;

/// Counts in answers are thousandths.
const ONCE: i64 = 1_000;

/// Summary and graph of one flow.
#[derive(Debug)]
pub struct Kept {
    flow: FlowRow,
    graph: Option<GraphRow>,
}

#[derive(Debug, Row, Deserialize)]
struct FlowRow {
    trace_id: String,
    environment: String,
    operation: String,
    ui_event: String,
    status: String,
    start_us: i64,
    duration_us: i64,
    spans: u32,
    errors: u32,
    complete: bool,
    truncated: bool,
    root_namespace: String,
}

#[derive(Debug, Row, Deserialize)]
struct GraphRow {
    trace_id: String,
    nodes: Vec<NodeRow>,
    edges: Vec<EdgeRow>,
}

/// Cluster, namespace, name, kind and version; requests and errors; times in all, by themselves and on the critical
/// path, µs.
type NodeRow = (String, String, String, String, String, u32, u32, i64, i64, i64);

/// Positions of client and server among the nodes, from 1; calls, errors, client errors, retries, timeouts and
/// rejections; time, µs.
type EdgeRow = (u32, u32, u32, u32, u32, u32, u32, u32, i64);

// FINAL keeps one revision a day: a flow whose start moved over midnight has two.
const FLOWS: &str = "SELECT trace_id, toString(environment) AS environment, toString(operation) AS operation, \
    toString(ui_event) AS ui_event, toString(status) AS status, toUnixTimestamp64Micro(start) AS start_us, \
    duration_us, spans, errors, complete, truncated, toString(root_namespace) AS root_namespace \
    FROM traces FINAL WHERE trace_id IN {ids:Array(String)} ORDER BY revision DESC LIMIT 1 BY trace_id";

// Without the tuples' names: the client's parser of types knows none. By days: a graph's start is its revision's, and
// that of a flow's newest one is at most a day from it.
const GRAPHS: &str = "SELECT trace_id, \
    CAST(nodes, 'Array(Tuple(String, String, String, String, String, UInt32, UInt32, Int64, Int64, Int64))') AS nodes, \
    CAST(edges, 'Array(Tuple(UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, Int64))') AS edges \
    FROM flow_graphs PREWHERE trace_id IN {ids:Array(String)} \
    WHERE start >= fromUnixTimestamp64Micro({from:Int64}) - INTERVAL 25 HOUR \
    AND start <= fromUnixTimestamp64Micro({to:Int64}) + INTERVAL 25 HOUR \
    ORDER BY trace_id, revision DESC LIMIT 1 BY trace_id";

/// What is kept of a flow, if anything.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn read(stored: &Stored, trace_id: &str) -> Result<Option<Kept>, ApiError> {
    Ok(read_many(stored, &[trace_id.to_owned()]).await?.remove(trace_id))
}

/// What is kept of these flows, by their ids.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn read_many(stored: &Stored, ids: &[String]) -> Result<HashMap<String, Kept>, ApiError> {
    let flows = stored.ask(FLOWS).param("ids", ids).fetch_all::<FlowRow>().await;
    let flows = flows.map_err(|error| ApiError::store_unavailable(&error))?;
    let listed: Vec<(&str, i64)> = flows.iter().map(|flow| (flow.trace_id.as_str(), flow.start_us)).collect();
    let mut graphs = graph_rows(stored, &listed).await?;
    let kept = flows
        .into_iter()
        .map(|flow| (flow.trace_id.clone(), Kept { graph: graphs.remove(&flow.trace_id), flow }));
    Ok(kept.collect())
}

/// The stored graphs of flows with these ids that start at these µs.
async fn graph_rows(stored: &Stored, flows: &[(&str, i64)]) -> Result<HashMap<String, GraphRow>, ApiError> {
    let starts = || flows.iter().map(|(_, start_us)| *start_us);
    let Some((from_us, to_us)) = starts().min().zip(starts().max()) else { return Ok(HashMap::new()) };
    let ids: Vec<&str> = flows.iter().map(|(id, _)| *id).collect();
    let query = stored.ask(GRAPHS).param("ids", ids).param("from", from_us).param("to", to_us);
    let rows = query.fetch_all::<GraphRow>().await.map_err(|error| ApiError::store_unavailable(&error))?;
    Ok(rows.into_iter().map(|row| (row.trace_id.clone(), row)).collect())
}

impl Kept {
    /// Environment it closed under.
    pub fn environment(&self) -> &str {
        &self.flow.environment
    }

    /// Whether the caller may know of it.
    pub fn is_allowed(&self, allowed: &Allowed) -> bool {
        allowed.environment(&self.flow.environment) && allowed.namespace(&self.flow.root_namespace)
    }

    /// Spans it had.
    pub fn spans(&self) -> u32 {
        self.flow.spans
    }

    /// Whether it is one of those whose graph is stored.
    pub fn has_graph(&self) -> bool {
        self.graph.is_some()
    }

    /// The flow as a whole.
    pub fn summary(&self) -> Summary {
        Summary {
            environment: self.flow.environment.clone(),
            operation: self.flow.operation.clone(),
            ui_event: self.flow.ui_event.clone(),
            status: status_of(&self.flow.status),
            start_us: self.flow.start_us,
            duration_us: self.flow.duration_us,
            spans: self.flow.spans,
            errors: self.flow.errors,
            complete: self.flow.complete,
            truncated: self.flow.truncated,
        }
    }

    /// The graph, if it is stored.
    pub fn graph(&self, rules: &StatusRules) -> Option<Graph> {
        let row = self.graph.as_ref()?;
        Some(row.graph(&self.flow.environment, self.flow.duration_us, rules))
    }
}

/// A flow of a list, whose graph may be stored.
#[derive(Debug, Clone, Copy)]
pub struct Listed<'a> {
    /// The trace id, 32 hex digits.
    pub flow_id: &'a str,
    /// Environment it closed under.
    pub environment: &'a str,
    /// µs since the epoch.
    pub start_us: i64,
    /// The root span's own.
    pub duration_us: i64,
}

/// The stored graphs of flows, by id; one query, however many flows.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn stored_graphs(app: &App, flows: &[Listed<'_>]) -> Result<HashMap<String, Graph>, ApiError> {
    let _turn = app.stored.turn().await;
    let listed: Vec<(&str, i64)> = flows.iter().map(|flow| (flow.flow_id, flow.start_us)).collect();
    let mut rows = graph_rows(&app.stored, &listed).await?;
    let rules = StatusRules { least_requests: 0, ..app.rules };
    let graph = |flow: &Listed<'_>| {
        let row = rows.remove(flow.flow_id)?;
        Some((flow.flow_id.to_owned(), row.graph(flow.environment, flow.duration_us, &rules)))
    };
    Ok(flows.iter().filter_map(graph).collect())
}

impl GraphRow {
    /// As answers show it; the flow took `duration_us`.
    fn graph(&self, environment: &str, duration_us: i64, rules: &StatusRules) -> Graph {
        let row = self;
        let nodes: Vec<Arc<Node>> = row.nodes.iter().map(node).collect();
        let mut builder = GraphBuilder::default();
        let part = builder.within(environment);
        for (row, node) in row.nodes.iter().zip(&nodes) {
            add_service(part, node, row);
        }
        for row in &row.edges {
            let at = |position: u32| nodes.get((position as usize).checked_sub(1)?);
            if let (Some(client), Some(server)) = (at(row.0), at(row.1)) {
                add_edge(part, (client, server), row);
            }
        }
        let mut graph = Graph::of(&builder.join(), duration_us as f64 / 1e6, rules);
        leave_out_unknown(&mut graph);
        graph
    }
}

fn node((cluster, namespace, name, kind, ..): &NodeRow) -> Arc<Node> {
    let (cluster, namespace, name) = (cluster.clone(), namespace.clone(), name.clone());
    Arc::new(Node { cluster, namespace, name, kind: Kind::of_text(kind) })
}

/// Whoever answered no request is known by the calls.
fn add_service(part: &mut Environment, node: &Arc<Node>, row: &NodeRow) {
    let (_, _, _, _, version, requests, errors, duration_us, self_us, critical_us) = row;
    if *requests == 0 {
        return;
    }
    let totals = part.service(node);
    totals.counts.add(&ServiceCounts {
        requests: i64::from(*requests) * ONCE,
        errors: i64::from(*errors) * ONCE,
        client_errors: 0,
        raw_requests: i64::from(*requests),
    });
    totals.latency = latency(*requests, *duration_us);
    totals.self_time = even(*requests, *self_us);
    totals.critical_path = even(*requests, *critical_us);
    totals.versions.insert(version.as_str().into());
}

fn add_edge(part: &mut Environment, (client, server): (&Arc<Node>, &Arc<Node>), row: &EdgeRow) {
    let (_, _, calls, errors, client_errors, retries, timeouts, rejected, duration_us) = *row;
    let totals = part.edge(client, server);
    totals.counts.add(&EdgeCounts {
        calls: i64::from(calls) * ONCE,
        errors: i64::from(errors) * ONCE,
        client_errors: i64::from(client_errors) * ONCE,
        retries: i64::from(retries) * ONCE,
        timeouts: i64::from(timeouts) * ONCE,
        rejected: i64::from(rejected) * ONCE,
        raw_calls: i64::from(calls),
        ..EdgeCounts::default()
    });
    // What a breaker kept back took no time.
    totals.callee = latency(calls.saturating_sub(rejected), duration_us);
}

/// Streams have no latency, and it is them that a sum of nothing stands for.
fn latency(values: u32, sum_us: i64) -> Histogram {
    if sum_us == 0 { Histogram::default() } else { even(values, sum_us) }
}

/// A sum of so many values. Where they lay isn't known, so that only their mean and, of a single one, its place in the
/// histogram are good for something.
fn even(values: u32, sum_us: i64) -> Histogram {
    let mean_us = u64::try_from(sum_us / i64::from(values.max(1))).unwrap_or_default();
    let bucket = (u32::from(bucket_of(mean_us)), i64::from(values) * ONCE);
    Histogram::from_buckets([bucket], sum_us.saturating_mul(ONCE)).0
}

/// Takes out what the builder can't know to be unknown.
fn leave_out_unknown(graph: &mut Graph) {
    for node in &mut graph.nodes {
        node.metrics.client_errors = None;
        without_percentiles(node.metrics.request_count, &mut node.metrics.latency);
    }
    for edge in &mut graph.edges {
        (edge.messages, edge.confidence, edge.latency_side) = (None, None, None);
        without_percentiles(Count(edge.call_count.0 - edge.rejected.0), &mut edge.latency);
    }
}

fn without_percentiles(values: Count, latency: &mut Latency) {
    if values != Count(ONCE) {
        *latency = Latency { avg_latency: latency.avg_latency, ..Latency::default() };
    }
}

#[cfg(test)]
pub mod made {
    //! Kept flows for tests.

    use super::{EdgeRow, FlowRow, GraphRow, Kept, NodeRow};

    /// A flow of so many spans whose graph is stored, and is empty.
    pub fn with_graph(spans: u32) -> Kept {
        of(spans, vec![], vec![])
    }

    /// A flow of so many spans without a graph.
    pub fn without_graph(spans: u32) -> Kept {
        Kept { graph: None, ..with_graph(spans) }
    }

    pub(super) fn of(spans: u32, nodes: Vec<NodeRow>, edges: Vec<EdgeRow>) -> Kept {
        let flow = FlowRow {
            trace_id: String::new(),
            environment: "production".into(),
            operation: "login".into(),
            ui_event: String::new(),
            status: "timeout".into(),
            start_us: 1,
            duration_us: 2_000_000,
            spans,
            errors: 1,
            complete: true,
            truncated: false,
            root_namespace: String::new(),
        };
        Kept { flow, graph: Some(GraphRow { trace_id: String::new(), nodes, edges }) }
    }
}

#[cfg(test)]
mod tests {
    use super::made::{of, without_graph};
    use super::*;

    const RULES: StatusRules = StatusRules { degraded: 0.05, down: 0.5, least_requests: 0 };

    fn node_row(name: &str, kind: &str, requests: u32, duration_us: i64) -> NodeRow {
        let text = str::to_owned;
        (text(""), text("shop"), text(name), text(kind), text("1.2"), requests, 0, duration_us, 700, 0)
    }

    #[test]
    fn a_stored_graph_says_what_it_holds_and_no_more() {
        let nodes = vec![node_row("auth", "service", 2, 9_000), node_row("web", "service", 1, 20_000)];
        let graph = of(4, nodes, vec![(2, 1, 2, 1, 0, 1, 1, 0, 9_000)]).graph(&RULES).unwrap();
        let [auth, web] = &graph.nodes[..] else { panic!("{graph:#?}") };
        assert_eq!((auth.metrics.request_count, auth.metrics.latency.avg_latency), (Count(2_000), Some(4.5)));
        assert_eq!((auth.metrics.latency.p95_latency, auth.metrics.client_errors), (None, None));
        // The middle of the bucket of 20 ms, as it would be from spans.
        assert_eq!((web.metrics.latency.p95_latency, web.metrics.rate), (Some(20.032), 0.5));
        assert_eq!((web.metrics.avg_self_time, web.metrics.avg_critical_path), (Some(0.7), Some(0.0)));
        let edge = &graph.edges[0];
        assert_eq!((edge.from.as_str(), edge.to.as_str()), ("shop/web", "shop/auth"));
        let counts = [edge.call_count, edge.error_count, edge.retry_count, edge.timeouts, edge.rejected];
        assert_eq!(counts.map(|count| count.0), [2_000, 1_000, 1_000, 1_000, 0]);
        assert_eq!((edge.latency.avg_latency, edge.latency.p50_latency), (Some(4.5), None));
        assert_eq!((edge.confidence, edge.messages, edge.latency_side), (None, None, None));
        // Of three calls one was kept back by a breaker.
        let graph = of(4, vec![node_row("auth", "service", 2, 9_000)], vec![(1, 1, 3, 1, 0, 0, 0, 1, 9_000)]);
        let edge = &graph.graph(&RULES).unwrap().edges[0];
        assert_eq!((edge.call_count.0, edge.latency.avg_latency), (3_000, Some(4.5)));
    }

    #[test]
    fn virtual_nodes_are_known_by_the_calls_to_them_and_streams_have_no_latency() {
        let nodes = vec![node_row("web", "service", 1, 20_000), node_row("redis", "database", 0, 0)];
        let graph = of(4, nodes, vec![(1, 2, 3, 0, 0, 0, 0, 0, 0)]).graph(&RULES).unwrap();
        let redis = &graph.nodes[0];
        assert_eq!((redis.kind, redis.metrics.request_count), (Kind::Database, Count(3_000)));
        assert_eq!((redis.metrics.latency, graph.edges[0].latency), (Latency::default(), Latency::default()));
    }

    #[test]
    fn edges_to_nowhere_are_left_out() {
        let nodes = vec![node_row("web", "service", 1, 20_000)];
        let edges = vec![(1, 2, 1, 0, 0, 0, 0, 0, 0), (0, 1, 1, 0, 0, 0, 0, 0, 0)];
        assert!(of(4, nodes, edges).graph(&RULES).unwrap().edges.is_empty());
    }

    #[test]
    fn a_flow_without_a_graph_still_has_its_summary() {
        let kept = without_graph(4);
        assert!(!kept.has_graph() && kept.graph(&RULES).is_none());
        assert_eq!((kept.summary().status, kept.summary().spans), ("timeout", 4));
    }
}
