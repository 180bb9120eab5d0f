//! A flow's graph from its spans, by the same stitcher that made the stored ones.

use super::place::Places;
use super::summary::Summary;
use crate::builder::GraphBuilder;
use crate::counts::{EdgeCounts, ServiceCounts};
use crate::graph::{Graph, StatusRules};
use crate::histogram::Histogram;
use crate::node::{Kind, Node};
use crate::series::Additive;
use crate::spans::SpanRow;
use reader::{Semconv, read_stored};
use std::sync::Arc;
use stitcher::{Deltas, Settings, Shard, delta};

/// Counts in answers are thousandths. A flow counts itself once, whatever share of its kind was sampled.
const ONCE: i64 = 1_000;

/// Summary and graph of the flow that these spans are, as if it closed now; `environment` is that of spans that name
/// none. `None` without a span that can be read.
pub fn flow(
    semconv: &Semconv,
    rows: &[SpanRow],
    environment: &str,
    rules: &StatusRules,
) -> Option<(Summary, Graph)> {
    let mut shard =
        Shard::new(Settings { default_environment: environment.to_owned(), ..Settings::default() });
    let mut places = Places::default();
    // The shard's time is that of the flow: no span is too old or too far ahead to be believed.
    shard.begin_record(0, rows.iter().map(SpanRow::end_us).max().unwrap_or_default());
    for row in rows {
        read_stored(semconv, &row.stored(), &mut |span| {
            shard.apply(span);
            places.add(span, row);
        });
    }
    shard.settle_all();
    let commit = shard.commit();
    let summary = Summary::of(commit.traces.last()?);
    let totals = builder(&commit.deltas).join();
    let mut graph = Graph::of(&totals, summary.duration_us as f64 / 1e6, rules);
    places.tell(&mut graph);
    Some((summary, graph))
}

fn builder(deltas: &Deltas) -> GraphBuilder {
    let mut builder = GraphBuilder::default();
    for (key, counts) in &deltas.edges {
        let part = builder.within(key.environment.clone());
        let totals = part.edge(&node(&key.client), &node(&key.server));
        totals.counts.add(&edge_counts(counts));
        totals.callee.add(&histogram(&counts.callee_latency));
        totals.caller.add(&histogram(&counts.caller_latency));
        totals.wait.add(&histogram(&counts.wait));
    }
    for (key, counts) in &deltas.services {
        let totals = builder.within(key.environment.clone()).service(&node(&key.node));
        totals.counts.add(&service_counts(counts));
        totals.latency.add(&histogram(&counts.latency));
        totals.self_time.add(&histogram(&counts.self_time));
        totals.critical_path.add(&histogram(&counts.critical_path));
        totals.versions.insert(key.version.as_ref().into());
    }
    builder
}

fn node(node: &delta::Node) -> Arc<Node> {
    Arc::new(Node {
        cluster: node.cluster.to_string(),
        namespace: node.namespace.to_string(),
        name: node.name.to_string(),
        kind: Kind::of_text(node.kind.as_str()),
    })
}

fn edge_counts(counts: &delta::EdgeCounts) -> EdgeCounts {
    EdgeCounts {
        calls: counts.calls * ONCE,
        errors: counts.errors * ONCE,
        client_errors: counts.client_errors * ONCE,
        retries: counts.retries * ONCE,
        timeouts: counts.timeouts * ONCE,
        rejected: counts.rejected * ONCE,
        messages: counts.messages * ONCE,
        paired: counts.paired * ONCE,
        raw_calls: counts.calls,
    }
}

fn service_counts(counts: &delta::ServiceCounts) -> ServiceCounts {
    ServiceCounts {
        requests: counts.requests * ONCE,
        errors: counts.errors * ONCE,
        client_errors: counts.client_errors * ONCE,
        raw_requests: counts.requests,
    }
}

fn histogram(histogram: &stitcher::histogram::Histogram) -> Histogram {
    let buckets = histogram.buckets.iter().map(|(bucket, count)| (u32::from(*bucket), count * ONCE));
    Histogram::from_buckets(buckets, histogram.sum_us.saturating_mul(ONCE)).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{EdgeAnswer, NodeAnswer, Status};
    use crate::number::Count;
    use crate::spans::made::{pairs, row};

    const RULES: StatusRules = StatusRules { degraded: 0.05, down: 0.5, least_requests: 0 };

    fn span(
        id: &str,
        parent: &str,
        kind: &str,
        resource: &[(&str, &str)],
        attributes: &[(&str, &str)],
    ) -> SpanRow {
        SpanRow {
            parent_span_id: parent.into(),
            resource: pairs(resource),
            attributes: pairs(attributes),
            ..row(id, kind, 1_000_000)
        }
    }

    const WEB: &[(&str, &str)] = &[
        ("service.name", "web"),
        ("k8s.namespace.name", "shop"),
        ("k8s.pod.name", "web-2"),
        ("k8s.deployment.name", "web"),
        ("service.version", "1.2"),
    ];
    const AUTH: &[(&str, &str)] = &[("service.name", "auth")];

    fn login() -> Vec<SpanRow> {
        vec![
            span("01", "", "Server", WEB, &[("weir.operation", "login"), ("app.ui.event", "login_button")]),
            span("02", "01", "Client", WEB, &[("http.response.status_code", "503")]),
            span("03", "02", "Server", AUTH, &[("http.response.status_code", "503")]),
            span("04", "03", "Client", AUTH, &[("db.system.name", "redis"), ("db.namespace", "0")]),
        ]
    }

    fn compute(rows: &[SpanRow]) -> (Summary, Graph) {
        flow(&Semconv::embedded(), rows, "staging", &RULES).unwrap()
    }

    fn node<'a>(graph: &'a Graph, id: &str) -> &'a NodeAnswer {
        graph.nodes.iter().find(|node| node.id == id).unwrap_or_else(|| panic!("{id} is not in {graph:#?}"))
    }

    fn edge<'a>(graph: &'a Graph, from: &str, to: &str) -> &'a EdgeAnswer {
        let found = graph.edges.iter().find(|edge| (edge.from.as_str(), edge.to.as_str()) == (from, to));
        found.unwrap_or_else(|| panic!("{from} → {to} is not in {graph:#?}"))
    }

    #[test]
    fn a_flow_shows_who_called_whom_and_where_it_failed() {
        let (summary, graph) = compute(&login());
        assert_eq!((summary.operation.as_str(), summary.ui_event.as_str()), ("login", "login_button"));
        assert_eq!(
            (summary.status, summary.errors, summary.spans, summary.complete),
            ("success", 1, 4, true)
        );
        assert_eq!((summary.start_us, summary.duration_us), (1_000_000, 5_000));
        let ids: Vec<&str> = graph.nodes.iter().map(|node| node.id.as_str()).collect();
        assert_eq!(ids, ["auth", "database:redis%2F0", "shop/web", "user:user"]);
        let failed = edge(&graph, "shop/web", "auth");
        assert_eq!(
            (failed.call_count, failed.error_count, failed.error_rate),
            (Count(1_000), Count(1_000), 1.0)
        );
        assert_eq!((failed.raw_call_count, failed.confidence), (1, Some(1.0)));
        assert_eq!((failed.latency.avg_latency, failed.latency_side), (Some(5.0), Some("callee")));
        assert_eq!(edge(&graph, "auth", "database:redis%2F0").latency_side, Some("caller"));
        assert_eq!(
            (node(&graph, "auth").status, node(&graph, "shop/web").status),
            (Status::Down, Status::Healthy)
        );
    }

    #[test]
    fn services_tell_where_they_ran_and_others_don_t() {
        let mut rows = login();
        rows.push(SpanRow {
            resource: pairs(&[("service.name", "auth"), ("host.name", "b")]),
            ..rows[2].clone()
        });
        rows[4].span_id = "05".into();
        let mut other = rows[4].clone();
        (other.span_id, other.resource) =
            ("06".into(), pairs(&[("service.name", "auth"), ("host.name", "a")]));
        rows.push(other);
        let graph = compute(&rows).1;
        let web = &node(&graph, "shop/web").service;
        assert_eq!((web.name.as_str(), web.namespace.as_str(), web.version.as_str()), ("web", "shop", "1.2"));
        let json = serde_json::to_value(web).unwrap();
        assert_eq!((&json["pod"], &json["deployment"]), (&"web-2".into(), &"web".into()), "{json}");
        let json = serde_json::to_value(&node(&graph, "auth").service).unwrap();
        assert_eq!((&json["pod"], &json["pods"]), (&"a".into(), &vec!["a", "b"].into()), "{json}");
        assert_eq!(node(&graph, "user:user").service.place, None);
    }

    #[test]
    fn spans_that_name_no_environment_have_the_one_the_flow_closed_under() {
        assert_eq!(compute(&login()).0.environment, "staging");
        let mut rows = login();
        rows[0].resource.push(("deployment.environment.name".into(), "production".into()));
        assert_eq!(compute(&rows).0.environment, "production");
    }

    #[test]
    fn spans_delivered_twice_and_in_any_order_count_once() {
        let once = compute(&login());
        let mut twice = login();
        twice.extend(login());
        twice.reverse();
        assert_eq!(compute(&twice), once);
    }

    #[test]
    fn a_sampled_flow_counts_itself_once() {
        let mut rows = login();
        rows.iter_mut().for_each(|row| row.trace_state = "ot=th:c".into());
        assert_eq!(compute(&rows), compute(&login()), "it stands for four, and is one");
    }

    #[test]
    fn old_flows_are_read_like_young_ones() {
        let mut rows = login();
        // Times a century apart: a clock that was wrong must not cost the flow its graph.
        rows[3].start_ns = i64::MAX - 10_000_000_000;
        rows[0].start_ns = 0;
        let graph = compute(&rows).1;
        assert_eq!(edge(&graph, "auth", "database:redis%2F0").call_count, Count(1_000));
    }

    #[test]
    fn nothing_that_can_be_read_is_no_flow() {
        assert!(flow(&Semconv::embedded(), &[], "", &RULES).is_none());
        assert!(flow(&Semconv::embedded(), &[row("xyz", "Server", 1)], "", &RULES).is_none());
    }
}
