//! Graphs of real traces, against answers that other people's code gave for them.
#![allow(clippy::unwrap_used)] // a test stops where it is wrong

mod support;

use std::collections::BTreeMap;
use std::io::Read as _;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use support::{Graph, assert_percentiles, data, documents, ends, expected_percentiles, json};

/// TraceWeaver (Apache-2.0): DeathStarBench's hotel reservation, with skewed clocks, and a chain of Node services
/// whose span ids are unique only inside a trace.
#[test]
fn traceweaver_edges_counts_and_percentiles() {
    let Some(expected) = data("traceweaver/expected/edges_and_latency.json") else { return };
    let expected = json(&expected);
    for name in ["hotel_load100", "node_load100"] {
        let (documents, report) = documents(&data(&format!("traceweaver/{name}.ndjson.gz")).unwrap());
        assert_eq!((report.bad_lines, report.rejected.len()), (0, 0), "{name}");
        let graph = Graph::of(&documents);
        let expected = &expected["results"][name];
        assert_eq!(graph.read.spans, expected["spans"].as_u64().unwrap(), "{name}");
        assert_eq!(graph.flows, 1_000, "{name}");
        let mut edges = BTreeMap::new();
        for edge in expected["edges_parent_child"].as_array().unwrap() {
            let (client, server) = ends(edge);
            let latency = graph.edge(&client, &server).callee_latency;
            let what = format!("{name}: {client} -> {server}");
            let duration = &edge["child_duration_us"];
            assert_percentiles(&what, &latency, &expected_percentiles(&duration["nearest_rank"], 1.0));
            assert_eq!(latency.sum_us, duration["sum"].as_i64().unwrap(), "{what}");
            edges.insert(
                (client, server),
                (edge["callCount"].as_i64().unwrap(), edge["errorCount"].as_i64().unwrap()),
            );
        }
        assert_eq!(graph.known_edges(), edges, "{name}");
    }
}

/// Nezha (MIT): Train Ticket under injected faults, without kinds, with re-delivered spans.
#[test]
fn nezha_edges_counts_and_percentiles_after_duplicate_removal() {
    let Some(expected) = data("nezha/expected/edges_and_latency.json") else { return };
    let expected = &json(&expected)["results"]["trainticket_2023-01-29"];
    let graph = Graph::of(&nezha());
    assert_eq!(graph.read.spans, expected["rows"].as_u64().unwrap());
    let distinct = graph.read.spans - graph.counters.get("duplicate_exact").copied().unwrap_or_default();
    assert_eq!(distinct, expected["distinct_spans"].as_u64().unwrap());
    assert_eq!(graph.counters.get("duplicate_conflict"), None);
    assert_eq!(graph.flows, expected["traces"].as_i64().unwrap());
    let mut edges = BTreeMap::new();
    for edge in expected["edges"].as_array().unwrap() {
        let (client, server) = ends(edge);
        let latency = graph.edge(&client, &server).callee_latency;
        let percentiles = expected_percentiles(&edge["child_duration_ns"]["nearest_rank_disc"], 0.001);
        assert_percentiles(&format!("{client} -> {server}"), &latency, &percentiles);
        edges.insert((client, server), (edge["callCount"].as_i64().unwrap(), 0));
    }
    assert_eq!(graph.known_edges(), edges);
}

/// Its CSV as OTLP: the service is the pod's name without the two parts that Kubernetes appends.
fn nezha() -> Vec<TracesData> {
    let path = data("nezha/trainticket_2023-01-29.csv.gz").unwrap();
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let mut documents: Vec<TracesData> = Vec::new();
    let mut batch = String::new();
    for row in csv::Reader::from_reader(text.as_bytes()).records() {
        let row = row.unwrap();
        if batch != row[0] {
            batch = row[0].to_owned();
            documents.push(TracesData::default());
        }
        let service = row[4].rsplitn(3, '-').nth(2).unwrap();
        let span = Span {
            trace_id: bytes(&row[1]),
            span_id: bytes(&row[2]),
            parent_span_id: if &row[3] == "root" { Vec::new() } else { bytes(&row[3]) },
            name: row[5].to_owned(),
            start_time_unix_nano: row[6].parse().unwrap(),
            end_time_unix_nano: row[7].parse().unwrap(),
            ..Span::default()
        };
        documents.last_mut().unwrap().resource_spans.push(of_service(service, span));
    }
    documents
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn of_service(name: &str, span: Span) -> ResourceSpans {
    let value = Some(AnyValue { value: Some(Value::StringValue(name.to_owned())) });
    let name = KeyValue { key: "service.name".to_owned(), value, ..KeyValue::default() };
    ResourceSpans {
        resource: Some(Resource { attributes: vec![name], ..Resource::default() }),
        scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

/// HotROD (Apache-2.0), as Jaeger stores it in Elasticsearch: redis times out 18 times and is asked again.
#[test]
fn hotrod_edges_errors_and_retries() {
    let Some(path) = data("hotrod/jaeger-span-2023-01-24.json") else { return };
    let expected = &json(&data("hotrod/expected_edges.json").unwrap())["hotrod"];
    let (documents, report) = documents(&path);
    assert_eq!((report.bad_lines, report.rejected.len()), (0, 0));
    let graph = Graph::of(&documents);
    assert_eq!(graph.read.spans, expected["spans"].as_u64().unwrap());
    assert_eq!(graph.flows, expected["traces"].as_i64().unwrap());
    for edge in expected["edges_from_spans"].as_array().unwrap() {
        let (client, server) = ends(edge);
        let got = graph.edge(&client, &server);
        let counts = (got.calls, got.errors);
        let expected = (edge["callCount"].as_i64().unwrap(), edge["errorEither"].as_i64().unwrap());
        assert_eq!(counts, expected, "{client} -> {server}");
    }
    let redis = graph.edge("driver", "redis");
    assert_eq!((redis.calls, redis.errors, redis.retries), (95, 18, 18));
}
