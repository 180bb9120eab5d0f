//! In the steady state nothing is allocated for a span: what a shard allocates is for a trace, a row or a commit.

mod counting;

use counting::ALLOCATIONS;
use std::sync::atomic::Ordering;
use stitcher::span::{Facts, Kind, Resource, Span, SpanId, TraceId};
use stitcher::{Settings, Shard};

const TRACES: u64 = 1_000;

/// A request of `web`, which calls `shop` again and again: every other span is a SERVER.
fn span(trace: u64, i: u64) -> Span<'static> {
    let id = |i: u64| SpanId(i + 1);
    let (is_server, is_root) = (i.is_multiple_of(2), i == 0);
    Span {
        trace_id: TraceId(u128::from(trace) + 1),
        span_id: id(i),
        parent_id: (!is_root).then(|| if is_server { id(i - 1) } else { id(0) }),
        kind: if is_server { Kind::Server } else { Kind::Client },
        start_ns: 1_790_000_000_000_000_000 + i * 1_000,
        end_ns: 1_790_000_000_900_000_000 - i * 1_000,
        name: "GET /cart",
        resource: Resource {
            service: if is_server && !is_root { "shop" } else { "web" },
            ..Resource::default()
        },
        facts: Facts { http_method: "GET", http_route: "/cart", ..Facts::default() },
        content: i,
        ..Span::default()
    }
}

/// Allocations for as many traces as ever, of so many spans each, from their first span until they are forgotten.
fn allocations(shard: &mut Shard, from: u64, spans: u64) -> u64 {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for trace in from..from + TRACES {
        let time_us = 1_790_000_000_000_000 + trace.cast_signed() * 10_000;
        shard.begin_record(trace.cast_signed(), time_us);
        (0..spans).for_each(|i| shard.apply(&span(trace, i)));
        if trace.is_multiple_of(100) {
            let counted = shard.commit().counters;
            assert_eq!(counted.get("duplicate_exact"), None);
        }
    }
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

#[test]
fn spans_allocate_nothing_once_there_is_room() {
    let mut settings = Settings::default();
    settings.limits.remembered_spans = 10_000;
    let mut shard = Shard::new(settings);
    let rounds: Vec<u64> = (0_u64..)
        .zip([32, 32, 16, 32])
        .map(|(round, spans)| allocations(&mut shard, round * TRACES, spans))
        .collect();
    let (few, many) = (rounds[2], rounds[3]);
    assert!(few > TRACES, "traces do allocate: the counter counts");
    // Sixteen more spans a trace: the list of a trace's spans is made longer once, and nothing else.
    let a_span = (many.saturating_sub(few)) as f64 / (16 * TRACES) as f64;
    assert!(a_span <= 0.1, "{a_span} allocations a span: {few} with 16 spans a trace, {many} with 32");
}
