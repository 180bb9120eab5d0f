use super::*;
use crate::builder::GraphBuilder;
use crate::counts::{EdgeCounts, ServiceCounts};
use crate::series::Additive;
use std::sync::Arc;

const RULES: StatusRules = StatusRules { degraded: 0.05, down: 0.5, least_requests: 10 };

fn node(name: &str, kind: Kind) -> Arc<Node> {
    Arc::new(Node { cluster: String::new(), namespace: String::new(), name: name.into(), kind })
}

fn calls(calls: i64, errors: i64) -> EdgeCounts {
    EdgeCounts { calls: calls * 1_000, errors: errors * 1_000, raw_calls: calls, ..EdgeCounts::default() }
}

fn latency(values: i64) -> Histogram {
    Histogram::from_buckets([(100, values)], 100 * values).0
}

#[test]
fn callees_without_spans_are_known_by_the_calls_to_them() {
    let mut builder = GraphBuilder::default();
    let (auth, database) = (node("auth", Kind::Service), node("postgresql", Kind::Database));
    let edge = builder.within("prod").edge(&auth, &database);
    edge.counts.add(&calls(20, 2));
    edge.caller.add(&latency(20));
    builder
        .within("prod")
        .service(&auth)
        .counts
        .add(&ServiceCounts { requests: 7_000, ..ServiceCounts::default() });
    let graph = Graph::of(&builder.join(), 10.0, &RULES);
    let [auth, database] = &graph.nodes[..] else { panic!("{graph:?}") };
    assert_eq!((auth.metrics.request_count, auth.status), (Count(7_000), Status::Healthy));
    assert_eq!((database.metrics.request_count, database.status), (Count(20_000), Status::Degraded));
    assert_eq!((graph.edges[0].rate, graph.edges[0].latency_side), (2.0, Some("caller")));
    assert_eq!((graph.edges[0].error_rate, graph.edges[0].latency.p95_latency), (0.1, Some(0.1)));
}

#[test]
fn a_caller_without_spans_is_known_by_the_calls_it_makes() {
    let mut builder = GraphBuilder::default();
    builder
        .within("prod")
        .edge(&node("user", Kind::User), &node("web", Kind::Service))
        .counts
        .add(&calls(3, 3));
    let graph = Graph::of(&builder.join(), 1.0, &RULES);
    assert_eq!(
        graph.nodes.iter().map(|node| node.metrics.request_count).collect::<Vec<_>>(),
        [Count(3_000); 2]
    );
    assert_eq!(graph.nodes[0].status, Status::Healthy, "three requests are too few to judge by");
}

#[test]
fn what_a_correction_took_back_is_gone() {
    let mut builder = GraphBuilder::default();
    let (web, auth) = (node("web", Kind::Service), node("auth", Kind::Service));
    builder.within("prod").edge(&web, &auth).counts.add(&calls(1, 0));
    builder.within("prod").edge(&web, &auth).counts.add(&calls(-1, 0));
    assert_eq!(Graph::of(&builder.join(), 1.0, &RULES), Graph::default());
}

#[test]
fn fields_are_named_as_the_api_promises() {
    let mut builder = GraphBuilder::default();
    builder
        .within("prod")
        .edge(&node("web", Kind::Service), &node("auth", Kind::Service))
        .counts
        .add(&calls(4, 1));
    let json = serde_json::to_value(Graph::of(&builder.join(), 2.0, &RULES)).unwrap();
    let edge = &json["edges"][0];
    assert_eq!((edge["from"].as_str(), edge["to"].as_str()), (Some("web"), Some("auth")));
    assert_eq!(
        (edge["callCount"].as_i64(), edge["errorRate"].as_f64(), edge["rate"].as_f64()),
        (Some(4), Some(0.25), Some(2.0))
    );
    for field in [
        "retryCount",
        "timeouts",
        "rejected",
        "avgLatency",
        "p50Latency",
        "p95Latency",
        "p99Latency",
        "confidence",
    ] {
        assert!(edge.get(field).is_some(), "{field} is missing in {edge}");
    }
    let metrics = &json["nodes"][0]["metrics"];
    for field in ["requestCount", "errorCount", "avgLatency", "p95Latency"] {
        assert!(metrics.get(field).is_some(), "{field} is missing in {metrics}");
    }
}

#[test]
fn around_keeps_a_service_and_its_neighbours() {
    let mut builder = GraphBuilder::default();
    let (web, auth, database) =
        (node("web", Kind::Service), node("auth", Kind::Service), node("db", Kind::Database));
    builder.within("prod").edge(&web, &auth).counts.add(&calls(1, 0));
    builder.within("prod").edge(&auth, &database).counts.add(&calls(1, 0));
    let totals = builder.join().around(|node| node.name == "web");
    let graph = Graph::of(&totals, 1.0, &RULES);
    assert_eq!(graph.nodes.iter().map(|node| node.id.as_str()).collect::<Vec<_>>(), ["auth", "web"]);
}
