//! Bad input is counted by name and disturbs nothing else (DESIGN 4.7).

mod support;
use stitcher::settings::Limits;
use stitcher::span::{Span, SpanId, TraceId};
use stitcher::{Commit, Settings, Shard};
use support::{edges_of, settle, table};

fn counted(commit: &Commit, name: &str) -> u64 {
    commit.counters.get(name).copied().unwrap_or(0)
}

#[test]
fn bad_spans_are_dropped_or_repaired_under_a_name() {
    let good = "1 - S gw 0..10\n 2 1 S auth 1..9";
    let cases = [
        ("self_parent", "7 7 S a 0..1 trace=5"),
        ("negative_duration", "7 - S a 9..1 trace=5"),
        ("cycle", "7 8 S a 0..1 trace=5\n 8 9 I b 0..1 trace=5\n 9 7 I c 0..1 trace=5"),
    ];
    for (name, bad) in cases {
        let spans: Vec<Span<'_>> = table(bad).into_iter().chain(table(good)).collect();
        let commit = settle(&spans);
        assert_eq!(counted(&commit, name), 1, "{name}: {:?}", commit.counters);
        let edges = edges_of(&commit);
        assert!(
            edges.contains(&"gw>auth 1".into()) && edges.contains(&"user>gw 1".into()),
            "{name}: {edges:?}"
        );
    }
    for (name, trace, id) in [("zero_trace_id", 0, 1), ("zero_span_id", 1, 0)] {
        let bad = Span { trace_id: TraceId(trace), span_id: SpanId(id), ..Span::default() };
        let commit = settle(&[bad]);
        assert_eq!(counted(&commit, name), 1);
        assert!(commit.traces.is_empty());
    }
}

#[test]
fn the_same_span_twice_counts_once() {
    let commit = settle(&table("1 - S gw 0..10\n 1 - S gw 0..10"));
    assert_eq!((counted(&commit, "duplicate_exact"), edges_of(&commit)), (1, vec!["user>gw 1".to_string()]));
    let commit = settle(&table("1 - S gw 0..10\n 1 - S other 0..20"));
    assert_eq!(
        (counted(&commit, "duplicate_conflict"), edges_of(&commit)),
        (1, vec!["user>gw 1".to_string()])
    );
}

fn shard_with(limits: Limits) -> Shard {
    let mut shard = Shard::new(Settings { limits, ..Settings::default() });
    shard.begin_record(0, 0);
    shard
}

#[test]
fn a_trace_over_its_limit_is_closed_and_the_rest_is_counted() {
    let mut shard = shard_with(Limits { spans_per_trace: 100, ..Limits::default() });
    for id in 1..=200 {
        shard.apply(&Span { trace_id: TraceId(1), span_id: SpanId(id), ..Span::default() });
    }
    let commit = shard.commit();
    assert_eq!((counted(&commit, "span_over_trace_limit"), commit.journaled.closes.len()), (100, 1));
    assert!(commit.traces[0].truncated);
    assert_eq!(shard.remembered_spans(), 100);
}

#[test]
fn names_without_end_go_under_other_and_totals_stay_right() {
    let limits = Limits { services: 10, operations: 5, virtual_nodes: 20, ..Limits::default() };
    let mut shard = shard_with(limits);
    let names: Vec<String> = (0..500).map(|i| format!("service-{i}")).collect();
    for (i, name) in names.iter().enumerate() {
        let mut span = table("1 - S x 0..10 method=GET").remove(0);
        span.trace_id = TraceId(i as u128 + 1);
        span.resource.service = name;
        span.facts.http_route = name;
        shard.apply(&span);
    }
    shard.settle_all();
    let commit = shard.commit();
    let calls: i64 = commit.deltas.edges.iter().map(|(_, counts)| counts.calls).sum();
    assert_eq!(calls, 500);
    let servers: std::collections::BTreeSet<&str> =
        commit.deltas.edges.iter().map(|(key, _)| &*key.server.name).collect();
    assert_eq!(servers.len(), 11, "ten and __other__");
    assert!(servers.contains("__other__"));
    let operations: std::collections::BTreeSet<&str> =
        commit.deltas.operations.iter().map(|(key, _)| &*key.operation).collect();
    assert_eq!(operations.len(), 6);
    assert!(counted(&commit, "overflowed") > 0);
}

#[test]
fn long_names_are_cut() {
    let long = "é".repeat(1_000);
    let mut shard = shard_with(Limits::default());
    let mut span = table("1 - S x 0..10").remove(0);
    span.resource.service = &long;
    shard.apply(&span);
    shard.settle_all();
    let commit = shard.commit();
    assert_eq!(commit.deltas.edges[0].0.server.name.len(), 256);
    assert!(counted(&commit, "names_cut") > 0);
}

#[test]
fn a_deep_chain_is_only_long() {
    let mut shard = shard_with(Limits::default());
    for id in 1..=50_000_u64 {
        let mut span = table("1 - I x 0..10").remove(0);
        span.span_id = SpanId(id);
        span.parent_id = (id > 1).then(|| SpanId(id - 1));
        shard.apply(&span);
    }
    shard.settle_all();
    assert_eq!(shard.commit().traces[0].spans, 50_000);
}
