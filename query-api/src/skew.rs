//! How far the times of each span have to be moved so that a trace can be shown on one clock.

use crate::spans::SpanRow;
use analysis::Interval;
use reader::{Semconv, read_stored};
use std::collections::{BTreeMap, HashMap};
use stitcher::span::{Kind, MessagingOperation, Span, SpanId};

/// What a span's place in the trace and its clock are told by.
#[derive(Debug, Default)]
struct Seen {
    id: SpanId,
    parent: Option<SpanId>,
    kind: Kind,
    /// Taken from a topic or merely linked: whoever caused it doesn't wait for it.
    asynchronous: bool,
    /// Number of the pod, or of the service where pods aren't named.
    clock: u32,
}

/// Where a span stands in its trace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Placed {
    /// What has to be added to its times, µs; 0 for most, and for a span that can't be read.
    pub shift_us: i64,
    /// Position of the span that caused it.
    pub parent: Option<u32>,
}

/// What has to be added to the times of each span, µs.
pub fn shifts(semconv: &Semconv, rows: &[SpanRow]) -> Vec<i64> {
    placed(semconv, rows).into_iter().map(|placed| placed.shift_us).collect()
}

/// The place of each span.
pub fn placed(semconv: &Semconv, rows: &[SpanRow]) -> Vec<Placed> {
    let mut clocks = Clocks::default();
    let seen: Vec<Seen> = rows.iter().map(|row| seen(semconv, row, &mut clocks)).collect();
    let parents = parents(&seen);
    let interval = |(at, row): (usize, &SpanRow)| Interval {
        start_us: row.start_us(),
        end_us: row.end_us(),
        parent: parents[at],
        awaited: !seen[at].asynchronous && !parents[at].is_some_and(|parent| hands_over(&seen, parent)),
    };
    let intervals: Vec<Interval> = rows.iter().enumerate().map(interval).collect();
    let hosts: Vec<u32> = seen.iter().map(|span| span.clock).collect();
    let shifts = analysis::skew::repair(&intervals, &hosts);
    shifts.into_iter().zip(parents).map(|(shift_us, parent)| Placed { shift_us, parent }).collect()
}

/// A producer is done when its message is handed over, whatever becomes of that.
fn hands_over(seen: &[Seen], at: u32) -> bool {
    seen[at as usize].kind == Kind::Producer
}

/// Numbers of clocks, as they turn up.
#[derive(Default)]
struct Clocks(BTreeMap<[String; 4], u32>);

impl Clocks {
    /// An instance id is unique inside its service only, so two services never count as one host.
    fn of(&mut self, span: &Span<'_>) -> u32 {
        let resource = &span.resource;
        let name = [resource.cluster, resource.namespace, resource.service, resource.pod].map(str::to_owned);
        // An answer has 10,000 spans at most.
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        *self.0.entry(name).or_insert(next)
    }
}

fn seen(semconv: &Semconv, row: &SpanRow, clocks: &mut Clocks) -> Seen {
    let mut seen = Seen::default();
    read_stored(semconv, &row.stored(), &mut |span| {
        let operation = span.facts.messaging.and_then(|messaging| messaging.operation);
        let takes = matches!(operation, Some(MessagingOperation::Receive | MessagingOperation::Process));
        seen = Seen {
            id: span.span_id,
            parent: span.parent_id,
            kind: span.kind,
            asynchronous: span.kind == Kind::Consumer || takes || span.links > 0,
            clock: clocks.of(span),
        };
    });
    seen
}

/// The position of each span's parent. Where client and server share one id, the answering half is the child of the
/// calling one and everybody else's parent: the stitcher's rule (DESIGN 4.1).
fn parents(seen: &[Seen]) -> Vec<Option<u32>> {
    let mut by_id: HashMap<SpanId, Vec<u32>> = HashMap::new();
    for (at, span) in (0..).zip(seen) {
        by_id.entry(span.id).or_default().push(at);
    }
    for halves in by_id.values_mut() {
        halves.sort_by_key(|at| rank(seen[*at as usize].kind));
    }
    let with_id = |id: SpanId| by_id.get(&id).into_iter().flatten().copied();
    let kind = |at: &u32| seen[*at as usize].kind;
    let parent = |(at, span): (u32, &Seen)| {
        let answers = matches!(span.kind, Kind::Server | Kind::Consumer);
        let half = with_id(span.id).find(|other| matches!(kind(other), Kind::Client | Kind::Producer));
        let named = || with_id(span.parent?).find(|other| *other != at);
        half.filter(|_| answers).or_else(named)
    };
    (0..).zip(seen).map(parent).collect()
}

fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Server => 0,
        Kind::Consumer => 1,
        Kind::Client => 2,
        Kind::Producer => 3,
        Kind::Internal => 4,
        Kind::Unspecified => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spans::made::{pairs, row};

    /// `id`, parent, kind, service, start and length in µs.
    fn span(
        id: &str,
        parent: &str,
        kind: &str,
        service: &str,
        (start_us, duration_us): (i64, u64),
    ) -> SpanRow {
        SpanRow {
            parent_span_id: parent.into(),
            duration_ns: duration_us * 1_000,
            resource: pairs(&[("service.name", service)]),
            ..row(id, kind, start_us)
        }
    }

    fn shifts_of(rows: &[SpanRow]) -> Vec<i64> {
        shifts(&Semconv::embedded(), rows)
    }

    #[test]
    fn a_call_is_put_into_the_middle_of_the_time_its_caller_waited() {
        let rows = [
            span("01", "", "Server", "web", (10_000, 1_000)),
            span("02", "01", "Client", "web", (10_100, 800)),
            span("03", "02", "Server", "auth", (7_000, 600)),
            span("04", "03", "Internal", "auth", (7_100, 100)),
            span("05", "03", "Client", "auth", (7_300, 200)),
            span("06", "05", "Server", "users", (7_350, 100)),
        ];
        // `users` is compared with the repaired time of `auth`, so it is just as far behind.
        assert_eq!(shifts_of(&rows), [0, 0, 3_200, 3_200, 3_200, 3_200]);
    }

    #[test]
    fn halves_that_share_an_id_are_a_call() {
        let rows = [
            span("01", "", "Client", "web", (10_000, 1_000)),
            span("01", "", "Server", "auth", (20_000, 600)),
            span("02", "01", "Internal", "auth", (20_100, 100)),
        ];
        assert_eq!(shifts_of(&rows), [0, -9_800, -9_800]);
    }

    #[test]
    fn nobody_who_is_not_waited_for_is_put_into_its_parent() {
        let linked = SpanRow {
            links: pairs(&[("0af7651916cd43dd8448eb211c80319c", "0000000000000001")]),
            ..span("05", "01", "Server", "index", (50_000, 100))
        };
        let received = SpanRow {
            attributes: pairs(&[("messaging.system", "kafka"), ("messaging.operation.type", "process")]),
            ..span("06", "01", "Internal", "audit", (60_000, 100))
        };
        let rows = [
            span("01", "", "Server", "web", (10_000, 1_000)),
            span("02", "01", "Producer", "web", (10_100, 10)),
            span("03", "02", "Consumer", "mail", (30_000, 5)),
            span("04", "02", "Server", "search", (40_000, 5)),
            linked,
            received,
        ];
        assert_eq!(shifts_of(&rows), [0; 6]);
    }

    #[test]
    fn a_message_is_not_taken_before_it_was_sent() {
        let rows = [
            span("01", "", "Producer", "web", (10_000, 10)),
            span("02", "01", "Consumer", "mail", (9_000, 500)),
        ];
        assert_eq!(shifts_of(&rows), [0, 1_000]);
    }

    #[test]
    fn pods_of_one_service_have_clocks_of_their_own() {
        let in_pod = |pod: &str, span: SpanRow| SpanRow {
            resource: pairs(&[("service.name", "web"), ("k8s.pod.name", pod)]),
            ..span
        };
        let caller = || in_pod("web-1", span("01", "", "Client", "web", (10_000, 1_000)));
        let called = |pod| in_pod(pod, span("02", "01", "Server", "web", (5_000, 600)));
        assert_eq!(shifts_of(&[caller(), called("web-2")]), [0, 5_200]);
        assert_eq!(shifts_of(&[caller(), called("web-1")]), [0, 0], "one clock can't differ from itself");
    }

    #[test]
    fn rows_that_are_no_spans_stay_where_they_are() {
        let rows = [
            span("xyz", "", "Client", "web", (10_000, 1_000)),
            span("02", "xyz", "Server", "auth", (5_000, 600)),
            span("", "02", "Server", "users", (1, 1)),
        ];
        assert_eq!(shifts_of(&rows), [0; 3]);
        assert!(shifts_of(&[]).is_empty());
    }
}
