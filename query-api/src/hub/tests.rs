//! Sharing, filters, resuming and bounds of views.

use super::*;
use crate::change::{Change, Commit, What};
use crate::counts::EdgeCounts;
use crate::filter::Filter;
use crate::histogram::Histogram;
use crate::node::{Kind, Node};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

const NOW_S: u32 = 1_700_000_000;
const RULES: StatusRules = StatusRules { degraded: 0.05, down: 0.5, least_requests: 10 };

/// A hub over live state whose clock is moved by hand.
struct Bench {
    hub: Hub,
    live: Mutex<Live>,
    began: Instant,
    past: Duration,
    seq: u64,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let mut live = Live::new(limits.clone());
        live.begin("kafka", NOW_S - 900, 1);
        let hub = Hub::new(limits, RULES, ApiMetrics::default());
        Self { hub, live: Mutex::new(live), began: Instant::now(), past: Duration::ZERO, seq: 0 }
    }

    fn now(&self) -> (i64, Instant) {
        let us = i64::from(NOW_S) * 1_000_000 + i64::try_from(self.past.as_micros()).unwrap();
        (us, self.began + self.past)
    }

    fn calls(&mut self, operation: &str, server: &str, calls: i64) {
        let node = |name: &str| {
            let (cluster, namespace) = (String::new(), String::new());
            Arc::new(Node { cluster, namespace, name: name.to_owned(), kind: Kind::Service })
        };
        let counts = EdgeCounts { calls: calls * 1_000, raw_calls: calls, ..EdgeCounts::default() };
        let what = What::Edge {
            client: node("web"),
            server: node(server),
            counts,
            callee: Histogram::default(),
            caller: Histogram::default(),
            wait: Histogram::default(),
        };
        let change =
            Change { environment: "prod".into(), operation: operation.into(), window_s: NOW_S, what };
        self.seq += 1;
        let commit = Commit { seq: self.seq, parts: 1, changes: vec![change], ..Commit::default() };
        locked(&self.live).commit(commit, self.now().0);
    }

    fn tick(&mut self) {
        self.past += Duration::from_millis(250);
        self.hub.tick(&self.live, self.now());
    }

    fn subscribe(&self, operation: &str, id: &str, resume: Option<u64>) -> Result<Subscription, ApiError> {
        let resume = resume.map(|seq| Sequences::from([(0, seq)]));
        self.hub.subscribe(&self.live, &key(operation), id, resume.as_ref(), self.now())
    }
}

fn key(operation: &str) -> ViewKey {
    let filter = Filter::new(Some(operation.to_owned()), None, false, &Limits::default()).unwrap();
    ViewKey { filter, window_s: 60, events: true }
}

fn read(frame: &Utf8Bytes) -> Value {
    serde_json::from_str(frame).unwrap()
}

/// Type and calls of each edge that a frame names.
fn edges(frame: &Utf8Bytes) -> (String, Vec<(String, i64)>) {
    let frame = read(frame);
    let edges = frame["data"]["edges"].as_array().unwrap();
    let named = edges
        .iter()
        .map(|edge| (edge["to"].as_str().unwrap().to_owned(), edge["callCount"].as_i64().unwrap()));
    (frame["type"].as_str().unwrap().to_owned(), named.collect())
}

fn event(operation: &str) -> Event {
    let operation = operation.to_owned();
    schemas::v1::FlowEvent { kind: 1, trace_id: vec![1; 16], operation, ..Default::default() }.into()
}

#[test]
fn a_snapshot_then_only_what_changed() {
    let mut bench = Bench::new(Limits::default());
    bench.calls("login", "auth", 2);
    bench.calls("login", "user", 5);
    let mut subscription = bench.subscribe("login", "live", None).unwrap();
    assert_eq!(
        edges(&subscription.first[0]),
        ("snapshot".into(), vec![("auth".into(), 2), ("user".into(), 5)])
    );
    bench.calls("login", "auth", 1);
    // Within the first second rates divide by one, so the other edge has not changed.
    bench.tick();
    let frames = subscription.frames.try_recv().unwrap();
    assert_eq!(edges(&frames[0]), ("graph_delta".into(), vec![("auth".into(), 3)]));
    assert_eq!(read(&frames[0])["data"]["sequences"]["0"], 3);
}

#[test]
fn equal_filters_and_ids_share_one_frame_and_other_ids_its_content() {
    let mut bench = Bench::new(Limits::default());
    let mut subscriptions = ["live", "live", "other"].map(|id| bench.subscribe("login", id, None).unwrap());
    bench.calls("login", "auth", 1);
    bench.tick();
    let [first, second, other] =
        subscriptions.each_mut().map(|subscription| subscription.frames.try_recv().unwrap());
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(
        (read(&first[0])["id"].as_str(), read(&other[0])["id"].as_str()),
        (Some("live"), Some("other"))
    );
    assert_eq!(read(&first[0])["data"], read(&other[0])["data"]);
    assert_eq!(bench.hub.inner().views.len(), 1);
}

#[test]
fn other_operations_are_other_views() {
    let mut bench = Bench::new(Limits::default());
    let mut login = bench.subscribe("login", "live", None).unwrap();
    bench.calls("create_vm", "vm", 1);
    bench.hub.event(event("create_vm"));
    bench.tick();
    let frames = login.frames.try_recv().unwrap();
    assert_eq!(frames.len(), 1, "no event of another operation");
    assert_eq!(edges(&frames[0]), ("graph_delta".into(), vec![]));
}

#[test]
fn resuming_brings_the_deltas_or_else_a_snapshot() {
    let mut bench = Bench::new(Limits::default());
    bench.calls("login", "auth", 1);
    drop(bench.subscribe("login", "live", None).unwrap());
    for _ in 0..3 {
        bench.calls("login", "auth", 1);
        bench.tick();
    }
    let resumed = bench.subscribe("login", "live", Some(2)).unwrap();
    let calls: Vec<_> = resumed.first.iter().map(edges).collect();
    let delta = |calls| ("graph_delta".to_owned(), vec![("auth".to_owned(), calls)]);
    assert_eq!(calls, [delta(3), delta(4)]);
    assert_eq!(edges(&bench.subscribe("login", "live", Some(77)).unwrap().first[0]).0, "snapshot");
}

#[test]
fn a_quiet_view_still_says_that_it_lives() {
    let mut bench = Bench::new(Limits::default());
    let mut subscription = bench.subscribe("login", "live", None).unwrap();
    let mut frames = 0;
    for _ in 0..24 {
        bench.tick();
        frames += usize::from(subscription.frames.try_recv().is_ok());
    }
    assert_eq!(frames, 3, "one every two seconds");
}

#[test]
fn who_does_not_read_lags_and_nobody_else_does() {
    let mut bench = Bench::new(Limits { ticks_behind: 4, ..Limits::default() });
    let [mut slow, mut quick] = [(); 2].map(|()| bench.subscribe("login", "live", None).unwrap());
    for _ in 0..6 {
        bench.calls("login", "auth", 1);
        bench.tick();
        assert!(quick.frames.try_recv().is_ok());
    }
    assert!(matches!(slow.frames.try_recv(), Err(broadcast::error::TryRecvError::Lagged(_))));
}

#[test]
fn events_come_first_and_too_many_are_counted() {
    let mut bench = Bench::new(Limits { events_per_tick: 2, ..Limits::default() });
    let mut subscription = bench.subscribe("login", "live", None).unwrap();
    (0..5).for_each(|_| bench.hub.event(event("login")));
    bench.calls("login", "auth", 1);
    bench.tick();
    let frames = subscription.frames.try_recv().unwrap();
    let types: Vec<_> = frames.iter().map(|frame| read(frame)["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(types, ["flow_start", "flow_start", "graph_delta", "flows_omitted"]);
    assert_eq!(read(&frames[3])["data"]["count"], 3);
}

#[test]
fn views_and_ids_are_bounded_and_abandoned_views_go() {
    let limits = Limits { views: 1, ids_per_view: 1, ..Limits::default() };
    let mut bench = Bench::new(limits.clone());
    let subscription = bench.subscribe("login", "a", None).unwrap();
    assert!(bench.subscribe("create_vm", "a", None).is_err());
    assert!(bench.subscribe("login", "b", None).is_err());
    drop(subscription);
    assert!(bench.subscribe("login", "b", None).is_ok(), "the place of an id is free once nobody listens");
    bench.past += limits.view_linger + Duration::from_secs(1);
    bench.tick();
    assert!(bench.subscribe("create_vm", "a", None).is_ok());
}
