//! The graph that is worked out from a flow's raw spans is the one that was stored when it closed: traces of other
//! people and of the demo workload go through a whole Weir, and every stored graph is asked for both ways.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod river;

use clickhouse::Row;
use loadtest::workload::Workload;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use river::{River, data, read, renamed, shifted, traces};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Cluster, namespace, name and kind of a node.
type Node = [String; 4];

/// Counts and times of a graph that both ways know. Times are µs.
#[derive(Debug, Default, PartialEq)]
struct Graph {
    /// Version, requests and errors; of nodes that answered requests.
    nodes: BTreeMap<Node, Option<(String, i64, i64)>>,
    node_times_us: BTreeMap<Node, [i64; 3]>,
    /// Calls, errors, client errors, retries, timeouts and rejections.
    edges: BTreeMap<(Node, Node), [i64; 6]>,
    edge_times_us: BTreeMap<(Node, Node), i64>,
}

#[derive(Row, Deserialize)]
struct NodeRow {
    trace_id: String,
    node: (String, String, String, String),
    version: String,
    counts: (u32, u32),
    times_us: (i64, i64, i64),
}

#[derive(Row, Deserialize)]
struct EdgeRow {
    trace_id: String,
    client: (String, String, String, String),
    server: (String, String, String, String),
    counts: (u32, u32, u32, u32, u32, u32),
    time_us: i64,
}

const NODES: &str = "SELECT trace_id, (n.1, n.2, n.3, n.4) AS node, n.5 AS version, (n.6, n.7) AS counts, \
    (n.8, n.9, n.10) AS times_us FROM flow_graphs FINAL ARRAY JOIN nodes AS n WHERE trace_id IN {traces:Array(String)}";
const EDGES: &str = "SELECT trace_id, (nodes[e.1].1, nodes[e.1].2, nodes[e.1].3, nodes[e.1].4) AS client, \
    (nodes[e.2].1, nodes[e.2].2, nodes[e.2].3, nodes[e.2].4) AS server, (e.3, e.4, e.5, e.6, e.7, e.8) AS counts, \
    e.9 AS time_us FROM flow_graphs FINAL ARRAY JOIN edges AS e WHERE trace_id IN {traces:Array(String)}";

async fn stored_graphs(river: &River, traces: &[String]) -> BTreeMap<String, Graph> {
    let mut graphs: BTreeMap<String, Graph> = BTreeMap::new();
    let node = |(cluster, namespace, name, kind)| [cluster, namespace, name, kind];
    for row in river.rows::<NodeRow>(NODES, traces).await {
        let (graph, (requests, errors)) = (graphs.entry(row.trace_id).or_default(), row.counts);
        let key = node(row.node);
        let served = (requests > 0).then(|| (row.version, requests.into(), errors.into()));
        if served.is_some() {
            graph.node_times_us.insert(key.clone(), row.times_us.into());
        }
        graph.nodes.insert(key, served);
    }
    for row in river.rows::<EdgeRow>(EDGES, traces).await {
        let graph = graphs.get_mut(&row.trace_id).unwrap();
        let key = (node(row.client), node(row.server));
        graph.edges.insert(key.clone(), <[u32; 6]>::from(row.counts).map(i64::from));
        graph.edge_times_us.insert(key, row.time_us);
    }
    graphs
}

/// A graph as the API answers it; which nodes answered requests is the stored graph's to say.
fn answered(answer: &Value, stored: &Graph) -> Graph {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut graph = Graph::default();
    let mut ids = BTreeMap::new();
    for node in answer["graph"]["nodes"].as_array().unwrap() {
        let service = &node["service"];
        let key = [&service["cluster"], &service["namespace"], &service["name"], &node["kind"]].map(text);
        ids.insert(text(&node["id"]), key.clone());
        let metrics = &node["metrics"];
        let requests = metrics["requestCount"].as_i64().unwrap();
        let served = matches!(stored.nodes.get(&key), Some(Some(_)));
        if served {
            let times = [&metrics["avgLatency"], &metrics["avgSelfTime"], &metrics["avgCriticalPath"]];
            graph.node_times_us.insert(key.clone(), times.map(|average| sum_us(average, requests)));
        }
        let counts = (text(&service["version"]), requests, metrics["errorCount"].as_i64().unwrap());
        graph.nodes.insert(key, served.then_some(counts));
    }
    for edge in answer["graph"]["edges"].as_array().unwrap() {
        let key = (ids[&text(&edge["from"])].clone(), ids[&text(&edge["to"])].clone());
        let counts = ["callCount", "errorCount", "clientErrors", "retryCount", "timeouts", "rejected"]
            .map(|field| edge[field].as_i64().unwrap());
        graph.edge_times_us.insert(key.clone(), sum_us(&edge["avgLatency"], counts[0]));
        graph.edges.insert(key, counts);
    }
    graph
}

/// A name in it is shown as the service it means.
fn has_joined(answer: &Value) -> bool {
    answer["graph"]["nodes"].as_array().unwrap().iter().any(|node| node["joined"] != Value::Array(Vec::new()))
}

fn who_calls_whom(answer: &Value) -> Vec<[Value; 3]> {
    let edges = answer["graph"]["edges"].as_array().unwrap().iter();
    edges.map(|edge| ["from", "to", "callCount"].map(|field| edge[field].clone())).collect()
}

/// Averages have three decimals of a millisecond.
fn sum_us(average_ms: &Value, many: i64) -> i64 {
    (average_ms.as_f64().unwrap_or_default() * 1_000.0 * many as f64).round() as i64
}

/// Fails where two graphs differ. Averages are rounded: by less than a µs a call.
fn compare(name: &str, found: &Graph, stored: &Graph, answer: &Value) {
    assert_eq!((&found.nodes, &found.edges), (&stored.nodes, &stored.edges), "{name}: {answer:#}");
    let near = |found_us: i64, stored_us: i64, many: i64| found_us.abs_diff(stored_us) <= many.unsigned_abs();
    for (node, stored_us) in &stored.node_times_us {
        let (found_us, requests) = (found.node_times_us[node], stored.nodes[node].as_ref().unwrap().1);
        let equal = found_us.iter().zip(stored_us).all(|(found, stored)| near(*found, *stored, requests));
        assert!(equal, "{name}, {node:?}: {found_us:?} and {stored_us:?} µs");
    }
    for (edge, stored_us) in &stored.edge_times_us {
        let (found_us, calls) = (found.edge_times_us[edge], stored.edges[edge][0]);
        assert!(near(found_us, *stored_us, calls), "{name}, {edge:?}: {found_us} and {stored_us} µs");
    }
}

#[derive(Row, Deserialize, Debug)]
struct FlowRow {
    trace_id: String,
    environment: String,
    operation: String,
    status: String,
    start_us: i64,
    duration_us: i64,
    spans: u32,
    errors: u32,
    complete: bool,
}

const FLOWS: &str = "SELECT trace_id, toString(environment) AS environment, toString(operation) AS operation, \
    toString(status) AS status, toUnixTimestamp64Micro(start) AS start_us, duration_us, spans, errors, complete \
    FROM traces FINAL WHERE trace_id IN {traces:Array(String)}";

fn compare_summary(answer: &Value, flow: &FlowRow) {
    let metadata = &answer["metadata"];
    for (field, wanted) in [
        ("environment", Value::from(flow.environment.as_str())),
        ("operationName", flow.operation.as_str().into()),
        ("status", flow.status.as_str().into()),
        ("startTime", flow.start_us.into()),
        ("totalDuration", flow.duration_us.into()),
        ("totalSpans", flow.spans.into()),
        ("errorCount", flow.errors.into()),
        ("complete", flow.complete.into()),
        ("truncated", false.into()),
    ] {
        assert_eq!(metadata[field], wanted, "{field} of {answer:#}\n{flow:?}");
    }
    assert_eq!(
        (&answer["operationName"], &answer["environment"]),
        (&metadata["operationName"], &metadata["environment"])
    );
}

/// Slow enough for their graphs to be stored.
const SLOW: Duration = Duration::from_millis(1_200);

fn other_peoples_traces() -> Option<Vec<TracesData>> {
    let mut documents = read(&data("hotrod/jaeger-span-2023-01-24.json")?);
    renamed(&mut documents, 1);
    let cases = std::fs::read_to_string(data("edge_cases.ndjson")?).unwrap();
    for (number, line) in (100..).zip(cases.lines()) {
        let case: Value = serde_json::from_str(line).unwrap();
        let requests = case["otlp"].as_array().unwrap();
        let decode = |request: &Value| reader::decode_otlp_json(request.to_string().as_bytes()).unwrap();
        let mut requests: Vec<TracesData> = requests.iter().map(decode).collect();
        renamed(&mut requests, number);
        documents.extend(requests);
    }
    Some(documents)
}

fn workload() -> Vec<TracesData> {
    let mut documents = Vec::new();
    for flow in Workload::new(7, 20.0).take(80) {
        for span in flow.spans {
            let request =
                loadtest::otlp::request(&span.emitter, std::slice::from_ref(&span), 1_790_000_000_000_000);
            documents.push(TracesData { resource_spans: request.resource_spans });
        }
    }
    renamed(&mut documents, 2);
    documents
}

async fn sent_twice_in_part(river: &River, documents: &[TracesData]) {
    for (number, document) in documents.iter().enumerate() {
        river.send(document).await;
        if number % 3 == 0 {
            river.send(document).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn computed_and_stored_graphs_are_equal() {
    let (Some(river), Some(mut documents)) = (River::new(), other_peoples_traces()) else { return };
    documents.extend(workload());
    shifted(&mut documents, SLOW);
    sent_twice_in_part(&river, &documents).await;
    let ids = traces(&documents);
    let closed = "SELECT count() FROM traces FINAL WHERE trace_id IN {traces:Array(String)}";
    river.until_stored(&documents).await;
    river.until(closed, &ids, ids.len() as u64).await;

    let stored = stored_graphs(&river, &ids).await;
    let flows = river.rows::<FlowRow>(FLOWS, &ids).await;
    let (mut graphs, mut edges, mut joined) = (0, 0, BTreeMap::new());
    for flow in &flows {
        let path = format!("/api/v1/flows/{}", flow.trace_id);
        let (status, answer) = river.get(&path).await;
        assert_eq!((status, &answer["metadata"]["source"]), (200, &"spans".into()), "{answer:#}");
        compare_summary(&answer, flow);
        let Some(stored) = stored.get(&flow.trace_id) else { continue };
        // The tables keep names as they were said.
        if has_joined(&answer) {
            joined.insert(flow.trace_id.clone(), who_calls_whom(&answer));
            continue;
        }
        graphs += 1;
        edges += stored.edges.len();
        compare(&flow.trace_id, &answered(&answer, stored), stored, &answer);
    }
    println!(
        "{graphs} stored graphs of {} flows, {edges} edges, {} with joined names",
        flows.len(),
        joined.len()
    );
    assert!(graphs * 10 >= flows.len() * 9, "{graphs} graphs of {} flows are too few", flows.len());

    let with_graph: Vec<String> = stored.keys().cloned().collect();
    river.forget_spans(&with_graph).await;
    for (id, stored) in &stored {
        let (status, answer) = river.get(&format!("/api/v1/flows/{id}")).await;
        assert_eq!((status, &answer["metadata"]["source"]), (200, &"stored".into()), "{answer:#}");
        match joined.get(id) {
            Some(computed) => assert_eq!(who_calls_whom(&answer), *computed, "names join the same way"),
            None => compare(id, &answered(&answer, stored), stored, &answer),
        }
        compare_summary(&answer, flows.iter().find(|flow| flow.trace_id == *id).unwrap());
    }
}

/// One quick flow of two spans, under so many ids that some are not among the sampled ones.
fn quick_flows() -> Vec<TracesData> {
    let request = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"web"}}]},
        "scopeSpans":[{"spans":[
        {"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"0000000000000001","name":"GET /a","kind":2,
         "startTimeUnixNano":"1735689600000000000","endTimeUnixNano":"1735689600005000000"},
        {"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"0000000000000002","parentSpanId":"0000000000000001",
         "name":"GET","kind":3,"startTimeUnixNano":"1735689600001000000","endTimeUnixNano":"1735689600002000000",
         "attributes":[{"key":"peer.service","value":{"stringValue":"pay"}}]}]}]}]}"#;
    let made = |number: u64| {
        let mut documents = [reader::decode_otlp_json(request.as_bytes()).unwrap()];
        renamed(&mut documents, 1_000 + number);
        shifted(&mut documents, Duration::ZERO);
        let [document] = documents;
        document
    };
    (0..8).map(made).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_is_told() {
    let Some(river) = River::new() else { return };
    let documents = quick_flows();
    for document in &documents {
        river.send(document).await;
    }
    let ids = traces(&documents);
    river.until_stored(&documents).await;
    // Nothing waits for the flow to close: its graph is there as soon as its spans are.
    let path = |id: &String| format!("/api/v1/flows/{id}");
    let young = river.get(&path(&ids[0])).await.1;
    assert_eq!(
        (&young["metadata"]["totalSpans"], &young["graph"]["edges"][0]["callCount"]),
        (&2.into(), &1.into()),
        "{young:#}"
    );

    let closed = "SELECT count() FROM traces FINAL WHERE trace_id IN {traces:Array(String)}";
    river.until(closed, &ids, ids.len() as u64).await;
    let stored = stored_graphs(&river, &ids).await;
    let id = ids.iter().find(|id| !stored.contains_key(*id)).unwrap();
    river.delete("otel_traces", "SpanKind = 'Client'", std::slice::from_ref(id)).await;
    let (_, part) = river.get(&path(id)).await;
    let metadata = &part["metadata"];
    assert_eq!(
        (&metadata["source"], &metadata["truncated"], &metadata["totalSpans"]),
        (&"spans".into(), &true.into(), &1.into())
    );

    river.forget_spans(std::slice::from_ref(id)).await;
    let (status, summary) = river.get(&path(id)).await;
    assert_eq!(
        (status, &summary["graph"], &summary["flowId"]),
        (200, &Value::Null, &id.as_str().into()),
        "{summary:#}"
    );
    let metadata = &summary["metadata"];
    assert_eq!((&metadata["source"], &metadata["totalSpans"]), (&"stored".into(), &2.into()));
    assert_eq!(metadata["operationName"], "GET /a");

    let (status, missing) = river.get("/api/v1/flows/abc").await;
    assert_eq!((status, &missing["code"]), (404, &"not_found".into()));
    let (status, refused) = river.get("/api/v1/flows/xyz").await;
    assert_eq!((status, &refused["code"]), (400, &"bad_request".into()));
}
