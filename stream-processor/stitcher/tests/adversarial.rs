//! Traces nobody means well with: none may panic, take forever, or be counted wrong.

mod support;
use stitcher::delta::NodeKind;
use stitcher::settings::Limits;
use stitcher::span::{Kind, Span, SpanId, Status, TraceId};
use stitcher::{Commit, Settings, Shard};
use support::{check, edges, edges_of, settle, table};

const START_US: i64 = 1_700_000_000_000_000;
const SECOND_US: i64 = 1_000_000;

fn shard_with(limits: Limits) -> Shard {
    Shard::new(Settings { limits, ..Settings::default() })
}

/// One record of its own, then everything that is said about it.
fn arrives(shard: &mut Shard, offset: i64, second: i64, text: &'static str) -> Commit {
    shard.begin_record(offset, START_US + second * SECOND_US);
    table(text).iter().for_each(|span| shard.apply(span));
    shard.commit()
}

fn quiet_until(shard: &mut Shard, second: i64) -> Commit {
    shard.end_of_log(START_US + second * SECOND_US);
    shard.commit()
}

/// `many` copies of a span, each with its own id, changed a little.
fn many(many: u64, text: &'static str, change: impl Fn(u64, &mut Span<'static>)) -> Vec<Span<'static>> {
    let model = table(text).remove(0);
    let copies = (0..many).map(|i| {
        let mut span = model.clone();
        (span.span_id, span.content) = (SpanId(i + 10), i + 10);
        change(i, &mut span);
        span
    });
    copies.collect()
}

fn requests(commit: &Commit) -> i64 {
    let services = commit.deltas.services.iter().filter(|(key, _)| key.node.kind == NodeKind::Service);
    services.map(|(_, counts)| counts.requests).sum()
}

#[test]
fn a_hundred_thousand_spans_in_loops_are_walked_once() {
    let loops = many(100_000, "1 - I a 0..10", |i, span| span.parent_id = Some(SpanId((i ^ 1) + 10)));
    let commit = settle(&loops);
    assert_eq!((commit.counters["cycle"], commit.traces[0].spans), (50_000, 100_000));
}

#[test]
fn a_client_may_have_as_many_servers_as_a_trace_has_spans() {
    let names: Vec<&'static str> =
        (0..4_000).map(|i| &*Box::leak(format!("s{i}").into_boxed_str())).collect();
    let mut spans = table("1 - C a 0..10");
    spans.extend(many(90_000, "1 1 S b 5..5 code=503", |i, span| {
        span.resource.service = names[i as usize % names.len()];
    }));
    let commit = settle(&spans);
    let sum = |of: fn(&stitcher::delta::EdgeCounts) -> i64| -> i64 {
        commit.deltas.edges.iter().map(|(_, counts)| of(counts)).sum()
    };
    assert_eq!(sum(|counts| counts.calls), 90_000);
    assert_eq!(sum(|counts| counts.retries), 90_000 - 4_000, "all but each service's first attempt");
}

#[test]
fn spans_of_centuries_don_t_overflow() {
    for clock_us in [0, START_US] {
        let mut shard = shard_with(Limits::default());
        shard.begin_record(0, clock_us);
        let centuries = |i: u64, span: &mut Span<'static>| {
            span.kind = if i.is_multiple_of(2) { Kind::Internal } else { Kind::Server };
            span.status = Status::Error;
            (span.start_ns, span.end_ns) = if i.is_multiple_of(3) { (u64::MAX, 0) } else { (0, u64::MAX) };
        };
        table("1 - S a 0..10").iter().for_each(|span| shard.apply(span));
        many(6_000, "2 1 S a 0..10", centuries).iter().for_each(|span| shard.apply(span));
        many(10, "2 1 C a 0..10 host=x", |i, span| {
            span.span_id = SpanId(1_000_000 + i);
            (span.start_ns, span.end_ns) = (u64::MAX, u64::MAX);
        })
        .iter()
        .for_each(|span| shard.apply(span));
        shard.settle_all();
        let commit = shard.commit();
        assert_eq!(commit.traces[0].spans, 6_011, "clock {clock_us}");
        let graph = commit.traces[0].graph.as_ref();
        assert!(graph.is_none_or(|graph| graph.nodes.iter().all(|node| node.self_us >= 0)));
    }
}

#[test]
fn a_late_span_of_a_large_trace_counts_when_everything_settles() {
    let mut shard = shard_with(Limits { open_spans: 3_000, ..Limits::default() });
    shard.begin_record(0, 0);
    table("1 - C a 0..10").iter().for_each(|span| shard.apply(span));
    many(3_000, "2 1 I a 1..9", |_, _| {}).iter().for_each(|span| shard.apply(span));
    shard.begin_record(1, 0);
    assert_eq!(edges_of(&shard.commit()), ["a>unknown 1 ?1"]);
    table("2 1 S b 1..9").iter().for_each(|span| shard.apply(span));
    shard.settle_all();
    assert_eq!(edges_of(&shard.commit()), ["a>b 1", "a>unknown -1 ?-1"]);
}

#[test]
fn a_trace_that_outgrew_its_limit_in_the_last_record_is_truncated() {
    let mut shard = shard_with(Limits { spans_per_trace: 10, ..Limits::default() });
    shard.begin_record(0, 0);
    many(11, "1 - S a 0..10", |_, _| {}).iter().for_each(|span| shard.apply(span));
    shard.settle_all();
    assert!(shard.commit().traces[0].truncated);
}

#[test]
fn what_a_client_tried_again_itself_and_got_done_has_not_failed() {
    check(&[
        (
            "the second attempt under it succeeded",
            "1 - S a 0..100
             2 1 C a 0..30 code=200
             3 2 S b 1..9 code=503
             4 2 S b 11..19 code=200
             5 1 C a 31..50 code=200
             6 5 S b 32..49 code=200",
            &["a>b 3 e1 r1", "user>a 1"],
        ),
        (
            "both attempts under it failed",
            "1 - S a 0..100
             2 1 C a 0..30 code=503
             3 2 S b 1..9 code=503
             4 2 S b 11..19 code=503
             5 1 C a 31..50 code=200
             6 5 S b 32..49 code=200",
            &["a>b 3 e2 r2", "user>a 1"],
        ),
    ]);
}

#[test]
fn spans_that_share_id_and_start_are_told_apart_by_kind() {
    let both = ["7 - C a 0..10 operation=x host=h env=e1", "7 - I a 0..20 operation=y err env=e2"];
    let said = |order: [&'static str; 2]| {
        let commit = settle(&order.into_iter().flat_map(table).collect::<Vec<_>>());
        let flow = commit.traces[0].clone();
        (edges_of(&commit), flow.operation, flow.environment, flow.status, flow.duration_us)
    };
    assert_eq!(said(both), said([both[1], both[0]]));
}

#[test]
fn a_clock_that_was_hours_ahead_is_put_right() {
    let mut shard = shard_with(Limits::default());
    arrives(&mut shard, 0, 0, "1 - S a 0..10 trace=1");
    arrives(&mut shard, 1, 7_200, "1 - S a 0..10 trace=2");
    arrives(&mut shard, 2, 10, "1 - S a 0..10 trace=3");
    assert_eq!(shard.clock_us(), START_US + 7_200 * SECOND_US, "it doesn't go back");
    let later = arrives(&mut shard, 3, 20, "1 - S a 0..10 trace=4");
    assert_eq!(shard.clock_us(), START_US + 7_210 * SECOND_US, "and it doesn't stand still for two hours");
    assert_eq!(later.journaled.closes.len(), 2);
}

#[test]
fn timestamps_that_jitter_don_t_hurry_log_time() {
    let mut shard = shard_with(Limits::default());
    for offset in 0..100 {
        arrives(&mut shard, offset, if offset % 2 == 0 { 10 } else { 5 }, "1 - S a 0..10");
    }
    assert_eq!(shard.clock_us(), START_US + 10 * SECOND_US);
}

#[test]
fn late_spans_of_a_forgotten_trace_count_once_however_often_it_is_forgotten() {
    let limits = Limits { remembered_spans: 0, ..Limits::default() };
    let mut shard = shard_with(limits);
    let mut total = requests(&arrives(&mut shard, 0, 0, "1 - S gw 0..10 operation=login env=e"));
    total += requests(&quiet_until(&mut shard, 10));
    let late = ["2 1 S b 1..9", "3 2 S c 2..8", "2 1 S b 1..9", "4 1 S b 1..9", "3 2 S c 2..8"];
    for (offset, text) in late.into_iter().enumerate() {
        let commit = arrives(&mut shard, offset as i64 + 1, 11 + offset as i64, text);
        assert!(
            commit.deltas.operations.is_empty()
                && commit.traces.is_empty()
                && commit.journaled.closes.is_empty()
        );
        assert!(commit.deltas.edges.iter().all(|(key, _)| &*key.operation == "login"));
        total += requests(&commit);
        assert_eq!(shard.remembered_spans(), 0);
    }
    assert_eq!(total, 4, "four spans, four requests");
    quiet_until(&mut shard, 2_000);
    assert_eq!(shard.duplicate_reach_us(), 900 * SECOND_US);
}

#[test]
fn a_timer_of_an_earlier_tomb_does_not_open_a_later_one() {
    let limits = Limits { remembered_spans: 0, fingerprints: 1, ..Limits::default() };
    let mut shard = shard_with(limits);
    arrives(&mut shard, 0, 0, "1 - S a 0..10 trace=1");
    arrives(&mut shard, 1, 100, "1 - S a 0..10 trace=2");
    quiet_until(&mut shard, 200);
    // Its fingerprint had to go: it opens anew, closes at 806 s, and is to be known until 1,706 s.
    arrives(&mut shard, 2, 800, "1 - S a 0..10 trace=1");
    quiet_until(&mut shard, 900);
    let again = arrives(&mut shard, 3, 1_000, "1 - S a 0..10 trace=1");
    assert_eq!(again.counters["duplicate_exact"], 1, "the first tomb's timer rang at 906 s");
    let again = arrives(&mut shard, 4, 1_705, "1 - S a 0..10 trace=1");
    assert_eq!(again.counters["duplicate_exact"], 1);
}

#[test]
fn the_reach_of_duplicate_detection_goes_by_the_newest_loss() {
    let limits = Limits { remembered_spans: 1, fingerprints: 1, ..Limits::default() };
    let mut shard = shard_with(limits);
    // The incomplete trace closes first, but complete ones are forgotten before it.
    arrives(&mut shard, 0, 0, "2 1 S a 0..10 trace=1");
    arrives(&mut shard, 1, 100, "1 - S a 0..10 trace=2");
    arrives(&mut shard, 2, 200, "3 1 S a 0..10 trace=3");
    arrives(&mut shard, 3, 300, "1 - S a 0..10 trace=4");
    quiet_until(&mut shard, 400);
    let reach_us = shard.duplicate_reach_us();
    assert!(reach_us <= 294 * SECOND_US, "trace 2, closed at 106 s, is lost: {reach_us}");
    quiet_until(&mut shard, 5_000);
    assert_eq!(shard.remembered_spans(), 0);
}

#[test]
fn a_late_span_in_every_position_ends_where_it_would_have_in_time() {
    const FLOW: &str = "
        1 - C web 0..100 browser operation=login
        2 1 S gw 1..99 route=/login method=POST
        3 2 I gw 2..98
        4 3 C gw 3..40 code=503 key=1
        5 4 S auth 4..39 code=503
        6 3 C gw 41..80 code=200 key=1
        7 6 S auth 42..79
        8 7 C auth 43..50 db=postgresql:users
        9 3 P gw 81..82 topic=kafka:logins
        10 9 K audit 90..120 topic=kafka:logins";
    let spans = table(FLOW);
    let expected = edges(FLOW);
    for late in 0..spans.len() {
        let mut shard = shard_with(Limits::default());
        shard.begin_record(0, START_US);
        let in_time = spans.iter().enumerate().filter(|(i, _)| *i != late);
        in_time.for_each(|(_, span)| shard.apply(span));
        let mut both = quiet_until(&mut shard, 60);
        shard.begin_record(1, START_US + 61 * SECOND_US);
        shard.apply(&spans[late]);
        both.deltas.edges.extend(shard.commit().deltas.edges);
        assert_eq!(edges_of(&both), expected, "late: span {}", late + 1);
    }
}

#[test]
fn caps_that_start_anew_while_a_trace_is_open_leave_totals_right() {
    let limits = Limits { operations: 1, services: 1, ..Limits::default() };
    let mut shard = shard_with(limits);
    // An hour of log time ends 2,800 s after START_US.
    let mut deltas = arrives(&mut shard, 0, 2_795, "2 1 S gw 0..10 operation=mine trace=1").deltas;
    for (offset, second, text) in [
        (1, 2_801, "1 - S other 0..10 operation=theirs trace=2"),
        (2, 2_802, "1 - C web 0..20 host=x trace=1"),
        (3, 2_803, "3 2 S other 1..2 trace=1"),
    ] {
        let said = arrives(&mut shard, offset, second, text).deltas;
        deltas.edges.extend(said.edges);
        deltas.operations.extend(said.operations);
    }
    let said = quiet_until(&mut shard, 2_900).deltas;
    deltas.edges.extend(said.edges);
    deltas.operations.extend(said.operations);
    let by_operation = |name: &str| -> i64 {
        let edges = deltas.edges.iter().filter(|(key, _)| &*key.operation == name);
        edges.map(|(_, counts)| counts.calls).sum()
    };
    assert_eq!([by_operation("mine"), by_operation("theirs"), by_operation("__other__")], [0, 1, 2]);
    assert_eq!(deltas.operations.iter().map(|(_, counts)| counts.flows).sum::<i64>(), 2);
}

#[test]
fn renamed_over_and_over_a_flow_is_counted_once() {
    let mut shard = shard_with(Limits::default());
    let mut flows = std::collections::BTreeMap::<String, i64>::new();
    for (offset, text) in [
        "5 4 S e 4..5 header=first",
        "4 3 S d 3..6 header=second",
        "3 2 S c 2..7 operation=third",
        "2 1 S b 1..8 operation=fourth",
        "1 - S a 0..9 operation=fifth",
    ]
    .into_iter()
    .enumerate()
    {
        let commit = arrives(&mut shard, offset as i64, 40 * offset as i64, text);
        for (key, counts) in commit.deltas.operations {
            *flows.entry(key.operation.to_string()).or_default() += counts.flows;
        }
    }
    flows.retain(|_, count| *count != 0);
    assert_eq!(flows, [("fifth".to_string(), 1)].into());
}

#[test]
fn weeks_of_log_time_leave_nothing_behind() {
    let mut shard = shard_with(Limits { remembered_spans: 50, fingerprints: 100, ..Limits::default() });
    for day in 0..21 {
        for flow in 0..100_i64 {
            let second = day * 86_400 + flow * 60;
            shard.begin_record(day * 100 + flow, START_US + second * SECOND_US);
            for mut span in table("1 - S gw 0..10\n 2 1 C gw 1..9 host=x") {
                span.trace_id = TraceId((day * 100 + flow + 1) as u128);
                shard.apply(&span);
            }
            shard.commit();
        }
        quiet_until(&mut shard, day * 86_400 + 80_000);
        assert_eq!((shard.open_spans(), shard.open_traces(), shard.remembered_spans()), (0, 0, 0));
        assert!(!shard.has_output());
    }
}
