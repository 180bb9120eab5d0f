//! What is counted once, and from when on.

use super::*;
use crate::access::Allowed;
use crate::change::{Change, Endpoint, What};
use crate::counts::EdgeCounts;
use crate::filter::{PROBE, UNKNOWN};
use crate::histogram::Histogram;
use crate::node::{Kind, Node};
use crate::totals::EdgeTotals;

const NOW_S: i64 = 1_700_000_000;

fn node(name: &str, kind: Kind) -> Arc<Node> {
    Arc::new(Node { cluster: String::new(), namespace: "shop".into(), name: name.into(), kind })
}

fn calls(operation: &str, client: &Arc<Node>, server: &Arc<Node>, calls: i64) -> Change {
    let counts = EdgeCounts { calls: calls * 1_000, ..EdgeCounts::default() };
    let calls = EdgeTotals {
        counts,
        callee: Histogram::from_buckets([(100, calls * 1_000)], calls * 100_000).0,
        caller: Histogram::from_buckets([(200, calls * 1_000)], calls * 200_000).0,
        wait: Histogram::default(),
    };
    let what = What::Edge { client: client.clone(), server: server.clone(), calls };
    Change { environment: "prod".into(), operation: operation.into(), window_s: 1, what }
}

fn commit(part: u32, parts: u32, changes: Vec<Change>) -> Commit {
    Commit { part, parts, changes, ..Commit::default() }
}

/// One partition, read to its end.
fn counters() -> Counters {
    let mut counters = Counters::default();
    counters.begin(0, 0);
    counters.at_end(0);
    counters
}

/// Takes a record of partition 0 that live state has not seen.
fn take(counters: &mut Counters, offset: i64, commit: &Commit) {
    counters.take(commit, Verdict::Next, (0, offset), NOW_S);
}

/// Client, server and calls of every edge.
fn shown(counters: &Counters) -> Vec<(String, String, i64)> {
    let shown = counters.edges.shown(&Allowed::default(), NOW_S + 100);
    shown
        .into_iter()
        .map(|(labels, net)| {
            (labels.client.name.to_string(), labels.server.name.to_string(), net.total / 1_000)
        })
        .collect()
}

fn total(counters: &Counters) -> i64 {
    shown(counters).iter().map(|(.., calls)| calls).sum()
}

#[test]
fn what_was_committed_before_the_end_of_the_log_was_reached_is_history() {
    let (web, auth) = (node("web", Kind::Service), node("auth", Kind::Service));
    let one = || commit(0, 1, vec![calls("login", &web, &auth, 1)]);
    let mut counters = Counters::default();
    counters.begin(0, 5);
    take(&mut counters, 5, &one());
    counters.at_end(0);
    assert_eq!(total(&counters), 0);
    take(&mut counters, 7, &one());
    // A session that starts over reads the last 15 minutes again.
    counters.begin(0, 2);
    (2..9).for_each(|offset| take(&mut counters, offset, &one()));
    assert_eq!(total(&counters), 2);
}

#[test]
fn a_log_that_is_read_anew_counts_from_its_end_on() {
    let (web, auth) = (node("web", Kind::Service), node("auth", Kind::Service));
    let one = |part, parts| commit(part, parts, vec![calls("login", &web, &auth, 1)]);
    let mut counters = counters();
    (0..3).for_each(|offset| take(&mut counters, offset, &one(0, 1)));
    take(&mut counters, 3, &one(0, 2));
    counters.begin_anew();
    take(&mut counters, 4, &one(1, 2));
    assert_eq!(total(&counters), 3, "nobody has said from where on it is read");
    counters.begin(0, 0);
    (0..3).for_each(|offset| take(&mut counters, offset, &one(0, 1)));
    assert_eq!(total(&counters), 3, "these have been counted, or are another log's history");
    counters.at_end(0);
    take(&mut counters, 3, &one(0, 1));
    assert_eq!(total(&counters), 4, "half a commit of before belongs to no other");
}

#[test]
fn a_commit_that_stands_in_the_log_twice_counts_once() {
    let (web, auth) = (node("web", Kind::Service), node("auth", Kind::Service));
    let half = |part| commit(part, 2, vec![calls("login", &web, &auth, 1)]);
    let mut counters = counters();
    take(&mut counters, 0, &half(0));
    counters.take(&half(0), Verdict::Repeated, (0, 1), NOW_S);
    take(&mut counters, 2, &half(1));
    counters.take(&half(1), Verdict::Repeated, (0, 3), NOW_S);
    assert_eq!(total(&counters), 2);
}

#[test]
fn a_correction_of_one_series_is_nothing_however_its_commit_is_cut() {
    let (web, auth) = (node("web", Kind::Service), node("auth", Kind::Service));
    let mut counters = counters();
    take(&mut counters, 0, &commit(0, 1, vec![calls(UNKNOWN, &web, &auth, 4)]));
    let renamed = [calls("login", &web, &auth, 4), calls(UNKNOWN, &web, &auth, -4)];
    for (part, change) in (0..).zip(renamed) {
        take(&mut counters, 1 + i64::from(part), &commit(part, 2, vec![change]));
    }
    take(&mut counters, 3, &commit(0, 1, vec![calls("login", &web, &auth, 1)]));
    assert_eq!(total(&counters), 5);
}

#[test]
fn a_corrected_edge_keeps_what_it_showed_until_it_has_caught_up() {
    let (web, auth, peer) =
        (node("web", Kind::Service), node("auth", Kind::Service), node("auth:80", Kind::External));
    let mut counters = counters();
    let mut correct = |offset, changes| take(&mut counters, offset, &commit(0, 1, changes));
    correct(0, vec![calls("login", &web, &peer, 3)]);
    correct(1, vec![calls("login", &web, &peer, -2), calls("login", &web, &auth, 2)]);
    correct(2, vec![calls("login", &web, &peer, 3)]);
    let expected = [("auth", 2), ("auth:80", 4)];
    let expected = expected.map(|(server, calls)| ("web".to_owned(), server.to_owned(), calls));
    assert_eq!(shown(&counters), expected);
}

#[test]
fn probes_are_left_out_and_the_silent_are_measured_by_their_callers() {
    let (web, auth, database) =
        (node("web", Kind::Service), node("auth", Kind::Service), node("pg", Kind::Database));
    let mut counters = counters();
    let changes = vec![
        calls(PROBE, &web, &auth, 9),
        calls("login", &web, &auth, 1),
        calls("login", &web, &database, 1),
    ];
    take(&mut counters, 0, &commit(0, 1, changes));
    let sums: Vec<_> = counters
        .edges
        .shown(&Allowed::default(), NOW_S + 100)
        .into_iter()
        .map(|(_, net)| (net.total, net.server.sum, net.client.sum))
        .collect();
    assert_eq!(sums, [(1_000, 100_000, 200_000), (1_000, 200_000, 200_000)]);
}

fn endpoint(entry: &str, requests: i64) -> Endpoint {
    Endpoint {
        environment: "prod".into(),
        node: node("mailer", Kind::Service),
        entry: entry.into(),
        requests: requests * 1_000,
        errors: 1_000,
        latency: Histogram::default(),
    }
}

fn delivered() -> Vec<Change> {
    vec![calls("login", &node("kafka:mails", Kind::Topic), &node("mailer", Kind::Service), 2)]
}

/// Entry, kind of span, and requests without and with an error.
fn shown_endpoints(counters: &Counters) -> Vec<(String, &'static str, i64, i64)> {
    let shown = counters.endpoints.shown(&Allowed::default(), NOW_S + 100).into_iter();
    shown.map(|(labels, net)| (labels.entry.to_string(), labels.span_kind, net.total, net.failed)).collect()
}

#[test]
fn entry_points_that_are_topics_are_consumers_in_whatever_part_it_is_told() {
    let mut counters = counters();
    let endpoints = vec![endpoint("kafka:mails", 2), endpoint("GET /", 5)];
    take(&mut counters, 0, &Commit { endpoints, ..commit(0, 2, Vec::new()) });
    take(&mut counters, 1, &commit(1, 2, delivered()));
    let expected =
        [("GET /", "SPAN_KIND_SERVER", 4_000, 1_000), ("kafka:mails", "SPAN_KIND_CONSUMER", 1_000, 1_000)];
    let expected = expected.map(|(entry, kind, fine, failed)| (entry.to_owned(), kind, fine, failed));
    assert_eq!(shown_endpoints(&counters), expected);
}

#[test]
fn topics_of_history_are_known() {
    let mut counters = Counters::default();
    counters.begin(0, 0);
    take(&mut counters, 0, &commit(0, 1, delivered()));
    counters.at_end(0);
    let endpoints = vec![endpoint("kafka:mails", 2)];
    take(&mut counters, 1, &Commit { endpoints, ..commit(0, 1, Vec::new()) });
    assert_eq!(shown_endpoints(&counters), [("kafka:mails".to_owned(), "SPAN_KIND_CONSUMER", 1_000, 1_000)]);
}
