//! Role `store` between a real Kafka and a real ClickHouse: nothing is lost, nothing counts twice.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

mod store_support;

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData, span};
use prost::Message as _;
use schemas::v1;
use store_support::{Database, Running, Topics, deltas, newest_entry, now_s};

fn flow(id: u8, revision: u32) -> Vec<u8> {
    let flow = v1::FlowTrace {
        trace_id: vec![id; 16],
        revision,
        environment: "prod".into(),
        operation: "login".into(),
        status: v1::FlowStatus::Timeout.into(),
        start_us: i64::from(now_s()) * 1_000_000,
        duration_us: 1234,
        services: vec!["auth".into(), "gateway".into()],
        service_nodes: vec![v1::FlowService {
            cluster: "eu".into(),
            namespace: "shop".into(),
            name: "auth".into(),
        }],
        weight_milli: 2500,
        complete: true,
        graph: Some(v1::FlowGraph {
            nodes: vec![
                v1::FlowNode {
                    name: "gateway".into(),
                    kind: v1::NodeKind::Service.into(),
                    ..Default::default()
                },
                v1::FlowNode {
                    name: "auth".into(),
                    kind: v1::NodeKind::Service.into(),
                    ..Default::default()
                },
            ],
            edges: vec![v1::FlowEdge { client: 0, server: 1, calls: 3, errors: 1, ..Default::default() }],
        }),
        ..Default::default()
    };
    flow.encode_to_vec()
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn spans(id: u8) -> Vec<u8> {
    let start = u64::from(now_s()) * 1_000_000_000 + 5;
    let message = TracesData {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![
                    attribute("service.name", Value::StringValue("gateway".into())),
                    attribute("deployment.environment.name", Value::StringValue("prod".into())),
                    attribute("process.pid", Value::IntValue(42)),
                ],
                ..Default::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "http".into(),
                    version: "1.2".into(),
                    ..Default::default()
                }),
                spans: vec![Span {
                    trace_id: vec![id; 16],
                    span_id: vec![id; 8],
                    trace_state: "ot=th:8".into(),
                    name: "GET /login".into(),
                    kind: span::SpanKind::Server.into(),
                    start_time_unix_nano: start,
                    end_time_unix_nano: start + 1500,
                    attributes: vec![attribute("http.response.status_code", Value::IntValue(503))],
                    events: vec![span::Event {
                        time_unix_nano: start + 7,
                        name: "exception".into(),
                        attributes: vec![attribute("exception.escaped", Value::BoolValue(false))],
                        ..Default::default()
                    }],
                    links: vec![span::Link {
                        trace_id: vec![9; 16],
                        span_id: vec![8; 8],
                        trace_state: "a=b".into(),
                        attributes: vec![attribute("k", Value::DoubleValue(0.5))],
                        ..Default::default()
                    }],
                    status: Some(Status { code: 2, message: "broken".into() }),
                    flags: 0x101,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    message.encode_to_vec()
}

const CALLS: &str =
    "SELECT sum(calls), sum(raw_calls), sum(errors), sumMap(callee_latency), sum(callee_sum_us) FROM ";

#[tokio::test(flavor = "multi_thread")]
async fn deltas_are_in_every_tier_once_over_restarts() {
    let (Some(database), Some(topics)) = (Database::new("deltas"), Topics::new("deltas").await) else {
        return;
    };
    let window = now_s() - 30;
    let store = Running::start(&database, &topics);
    topics.send("flow_deltas", 0, &deltas(0, 1, window, 3, 1000)).await;
    topics.send("flow_deltas", 1, &deltas(1, 1, window, 2, 1000)).await;
    store.wait_ready().await;
    database.ask_until("SELECT sum(calls) FROM edges_1s", &["5"]).await;
    store.stop().await;

    // While the store is away: sampled calls of yesterday, which the 1 s tables keep no more, and a correction.
    topics.send("flow_deltas", 0, &deltas(0, 2, window - 86_400, 2, 1500)).await;
    topics.send("flow_deltas", 0, &deltas(0, 3, window, -1, 1000)).await;
    let store = Running::start(&database, &topics);
    database
        .ask_until(
            &format!("{CALLS} edges_1s WHERE window > now() - 3600"),
            &["4\t4\t3\t([100],[4000])\t400"],
        )
        .await;
    for tier in ["1m", "10m", "1h"] {
        database.ask_until(&format!("{CALLS} edges_{tier}"), &["7\t6\t4.5\t([100],[7000])\t700"]).await;
        database
            .ask_until(
                &format!("SELECT sum(requests), sumMap(self_time) FROM services_{tier}"),
                &["7\t([100],[7000])"],
            )
            .await;
        database
            .ask_until(&format!("SELECT sum(flows), sum(raw_flows) FROM operations_{tier}"), &["7\t6"])
            .await;
    }
    for tier in ["1m", "10m", "1h"] {
        database
            .ask_until(
                &format!("SELECT entry, sum(requests) FROM endpoints_{tier} GROUP BY entry"),
                &["GET /login\t7"],
            )
            .await;
    }
    let names = "SELECT DISTINCT environment, operation, client, client_kind, server, server_kind, version, lane FROM edges_1s";
    assert_eq!(database.ask(names).await, ["prod\tlogin\tuser\tuser\tgateway\tservice\tv1\t0"]);
    store.stop().await;
    let progress = "SELECT partition, max(next_offset), argMax((next_offset, seq, part, parts, clock), batch)
                    FROM store_progress WHERE topic = 'flow_deltas' GROUP BY partition ORDER BY partition";
    let clock = "'1970-01-01 00:00:07.000000'";
    let expected = [format!("0\t3\t(3,3,0,1,{clock})"), format!("1\t1\t(1,1,0,1,{clock})")];
    assert_eq!(database.ask(progress).await, expected);
    database.drop().await;
    topics.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_with_a_missing_commit_is_stopped_and_the_others_go_on() {
    let Some(database) = Database::new("holes") else { return };
    let Some(topics) = Topics::new("holes").await else { return };
    let window = now_s() - 30;
    for (shard, seq, calls) in [(0, 1, 1), (1, 1, 10), (0, 3, 100), (1, 2, 1_000)] {
        topics.send("flow_deltas", shard as i32, &deltas(shard, seq, window, calls, 1_000)).await;
    }
    let running = Running::start(&database, &topics);
    let sum = "SELECT sum(calls) FROM edges_1m";
    database.ask_until(sum, &["1011"]).await;
    running.says("shard 0 is stopped").await;
    topics.send("flow_deltas", 0, &deltas(0, 4, window, 10_000, 1_000)).await;
    topics.send("flow_deltas", 1, &deltas(1, 3, window, 100_000, 1_000)).await;
    database.ask_until(sum, &["101011"]).await;
    running.stop().await;
    database.drop().await;
    topics.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn single_changes_are_kept_where_that_is_wanted() {
    let Some(database) = Database::new("raw") else { return };
    let Some(topics) = Topics::new("raw").await else { return };
    let window = now_s() - 30;
    for (seq, calls) in [(1, 2), (2, -1)] {
        topics.send("flow_deltas", 0, &deltas(0, seq, window, calls, 1_000)).await;
    }
    let running = Running::start_with(&database, &topics, |options| options.raw_deltas = true);
    let changes = "SELECT shard, seq, part, server, calls FROM edge_deltas ORDER BY seq";
    database.ask_until(changes, &["0\t1\t0\tgateway\t2", "0\t2\t0\tgateway\t-1"]).await;
    for table in ["service_deltas", "operation_deltas", "endpoint_deltas"] {
        database.ask_until(&format!("SELECT count() FROM {table}"), &["2"]).await;
    }
    database.ask_until("SELECT sum(calls) FROM edges_1s", &["1"]).await;
    running.stop().await;
    database.drop().await;
    topics.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_was_begun_and_inserted_is_sent_again_without_counting_twice() {
    let (Some(database), Some(topics)) = (Database::new("again"), Topics::new("again").await) else { return };
    let window = now_s() - 30;
    for seq in 1..=3 {
        topics.send("flow_deltas", 0, &deltas(0, seq, window, 3, 1000)).await;
        topics.send("flow_deltas", 1, &deltas(1, seq, window + 1, 2, 1000)).await;
    }
    topics.send("flow_traces", 0, &flow(1, 1)).await;
    topics.send("otlp_spans", 1, &spans(1)).await;
    let store = Running::start(&database, &topics);
    database.ask_until("SELECT sum(calls) FROM edges_1h", &["15"]).await;
    database.ask_until("SELECT count() FROM otel_traces", &["1"]).await;
    database.ask_until("SELECT count() FROM traces", &["1"]).await;
    store.stop().await;

    // As if the store had died between the last insert and the entry that says so.
    for lane in [0_u16, 1, 3] {
        let mut entry = newest_entry(&topics, lane);
        assert_eq!(entry["done"], true, "{entry}");
        entry["done"] = false.into();
        entry["sequences"] = serde_json::json!({});
        let value = entry.to_string();
        topics.send_keyed("store_journal", i32::from(lane) % 2, &lane.to_string(), value.as_bytes()).await;
    }
    let store = Running::start(&database, &topics);
    topics.send("flow_deltas", 0, &deltas(0, 4, window, 1, 1000)).await;
    topics.send("otlp_spans", 1, &spans(2)).await;
    topics.send("flow_traces", 0, &flow(2, 1)).await;
    for tier in ["1s", "1m", "10m", "1h"] {
        database.ask_until(&format!("SELECT sum(calls) FROM edges_{tier}"), &["16"]).await;
    }
    database.ask_until("SELECT count() FROM otel_traces", &["2"]).await;
    database.ask_until("SELECT count() FROM otel_traces_trace_id_ts", &["2"]).await;
    database.ask_until("SELECT count() FROM traces", &["2"]).await;
    store.stop().await;
    for lane in [0_u16, 1, 3] {
        assert_eq!(newest_entry(&topics, lane)["done"], true);
    }
    database.drop().await;
    topics.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn summaries_and_graphs_are_replaced_by_later_revisions() {
    let (Some(database), Some(topics)) = (Database::new("flows"), Topics::new("flows").await) else { return };
    let store = Running::start(&database, &topics);
    topics.send("flow_traces", 1, &flow(0xab, 1)).await;
    topics.send("flow_traces", 1, &flow(0xab, 2)).await;
    topics.send("flow_traces", 1, b"\xff\xff garbage").await;
    let summary = "SELECT trace_id, revision, operation, status, duration_us, services, service_nodes, weight, complete FROM traces FINAL";
    let id = "ab".repeat(16);
    let expected =
        format!("{id}\t2\tlogin\ttimeout\t1234\t['auth','gateway']\t[('eu','shop','auth')]\t2.5\ttrue");
    database.ask_until(summary, &[&expected]).await;
    let graph = "SELECT nodes[e.client].name, nodes[e.server].name, e.calls, e.errors FROM flow_graphs FINAL ARRAY JOIN edges AS e";
    database.ask_until(graph, &["gateway\tauth\t3\t1"]).await;
    store.stop().await;
    database.drop().await;
    topics.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_spans_are_mapped_as_the_exporter_maps_them() {
    let (Some(database), Some(topics)) = (Database::new("raw"), Topics::new("raw").await) else { return };
    let store = Running::start(&database, &topics);
    topics.send("otlp_spans", 0, b"\xff\xff garbage").await;
    topics.send("otlp_spans", 0, &spans(0x1f)).await;
    let query = "SELECT TraceId, SpanId, ParentSpanId, TraceState, SpanName, SpanKind, ServiceName, ResourceAttributes,
        ScopeName, ScopeVersion, SpanAttributes, Duration, StatusCode, StatusMessage, Events.Name, Events.Attributes,
        Links.TraceId, Links.SpanId, Links.TraceState, Links.Attributes, Flags, Environment,
        toUnixTimestamp64Nano(Timestamp) % 1000, toUnixTimestamp64Nano(Events.Timestamp[1]) % 1000 FROM otel_traces";
    let expected = [
        "1f".repeat(16),
        "1f".repeat(8),
        String::new(),
        "ot=th:8".to_owned(),
        "GET /login".to_owned(),
        "Server".to_owned(),
        "gateway".to_owned(),
        "{'service.name':'gateway','deployment.environment.name':'prod','process.pid':'42'}".to_owned(),
        "http".to_owned(),
        "1.2".to_owned(),
        "{'http.response.status_code':'503'}".to_owned(),
        "1500".to_owned(),
        "Error".to_owned(),
        "broken".to_owned(),
        "['exception']".to_owned(),
        "[{'exception.escaped':'false'}]".to_owned(),
        format!("['{}']", "09".repeat(16)),
        format!("['{}']", "08".repeat(8)),
        "['a=b']".to_owned(),
        "[{'k':'0.5'}]".to_owned(),
        "257".to_owned(),
        "prod".to_owned(),
        "5".to_owned(),
        "12".to_owned(),
    ];
    database.ask_until(query, &[&expected.join("\t")]).await;
    store.stop().await;
    database.drop().await;
    topics.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_than_the_journal_tells_of_is_refused() {
    let (Some(first), Some(topics)) = (Database::new("first"), Topics::new("other").await) else { return };
    let Some(other) = Database::new("other") else { return };
    topics.send("flow_deltas", 0, &deltas(0, 1, now_s() - 30, 3, 1000)).await;
    let store = Running::start(&first, &topics);
    first.ask_until("SELECT sum(calls) FROM edges_1s", &["3"]).await;
    store.stop().await;
    let store = Running::start(&other, &topics);
    store.says("store_journal says that 1 batches of flow_deltas are stored, ClickHouse has 0").await;
    store.stop().await;
    first.drop().await;
    other.drop().await;
    topics.drop().await;
}
