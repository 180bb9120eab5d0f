//! Sharing, filters, resuming and bounds of views.

use super::*;
use crate::change::{Change, Commit, What};
use crate::counts::EdgeCounts;
use crate::filter::Filter;
use crate::live::feed::locked;
use crate::node::{Kind, Node};
use crate::totals::EdgeTotals;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const NOW_S: u32 = 1_700_000_000;
const RULES: StatusRules = StatusRules { degraded: 0.05, down: 0.5, least_requests: 10 };

const PEER: &str = "external:payment:8080";

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
        self.calls_to(operation, &node("", server, Kind::Service), calls);
    }

    fn calls_to(&mut self, operation: &str, server: &Arc<Node>, calls: i64) {
        let (paired, raw_calls) = (calls * 1_000, calls);
        let counts = EdgeCounts { calls: calls * 1_000, paired, raw_calls, ..EdgeCounts::default() };
        let calls = EdgeTotals { counts, ..EdgeTotals::default() };
        let what = What::Edge { client: node("", "web", Kind::Service), server: server.clone(), calls };
        let change =
            Change { environment: "prod".into(), operation: operation.into(), window_s: NOW_S, what };
        self.seq += 1;
        let commit = Commit { seq: self.seq, parts: 1, changes: vec![change], ..Commit::default() };
        locked(&self.live).commit(commit, self.now().0);
    }

    fn tick(&mut self) {
        self.past += Duration::from_millis(250);
        self.hub.tick(&self.live, || self.now());
    }

    /// What a client has that comes now.
    fn fresh(&self, operation: &str) -> ClientCopy {
        let mut copy = ClientCopy::default();
        copy.apply(&read(&self.subscribe(operation, "live", None).unwrap().first)[0]);
        copy
    }

    fn subscribe(&self, operation: &str, id: &str, resume: Option<u64>) -> Result<Subscription, ApiError> {
        let resume = resume.map(|seq| Sequences::from([(0, seq)]));
        self.hub.subscribe(&self.live, &key(operation), id, resume.as_ref(), || self.now())
    }
}

fn node(namespace: &str, name: &str, kind: Kind) -> Arc<Node> {
    let (cluster, namespace, name) = (String::new(), namespace.to_owned(), name.to_owned());
    Arc::new(Node { cluster, namespace, name, kind })
}

fn key(operation: &str) -> ViewKey {
    let filter = Filter::new(Some(operation.to_owned()), None, false, &Limits::default()).unwrap();
    ViewKey { filter, window_s: 60, events: true, status: None }
}

/// The frames of a batch.
fn read(batch: &Batch) -> Vec<Value> {
    batch.texts().map(|text| serde_json::from_slice(text).unwrap()).collect()
}

/// Type and calls of each edge that a frame names.
fn edges(frame: &Value) -> (String, Vec<(String, i64)>) {
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
        edges(&read(&subscription.first)[0]),
        ("snapshot".into(), vec![("auth".into(), 2), ("user".into(), 5)])
    );
    bench.calls("login", "auth", 1);
    // Within the first second rates divide by one, so the other edge has not changed.
    bench.tick();
    let frames = read(&subscription.frames.try_recv().unwrap());
    assert_eq!(edges(&frames[0]), ("graph_delta".into(), vec![("auth".into(), 3)]));
    assert_eq!(frames[0]["data"]["sequences"]["0"], 3);
}

#[test]
fn equal_filters_and_ids_share_one_frame_and_other_ids_its_content() {
    let mut bench = Bench::new(Limits::default());
    let mut subscriptions = ["live", "live", "other"].map(|id| bench.subscribe("login", id, None).unwrap());
    bench.calls("login", "auth", 1);
    bench.tick();
    let [first, second, other] =
        subscriptions.each_mut().map(|subscription| subscription.frames.try_recv().unwrap());
    assert_eq!(first.bytes.as_ptr(), second.bytes.as_ptr());
    let [first, other] = [first, other].map(|batch| read(&batch)[0].clone());
    assert_eq!((first["id"].as_str(), other["id"].as_str()), (Some("live"), Some("other")));
    assert_eq!(first["data"], other["data"]);
    assert_eq!(bench.hub.inner().views.len(), 1);
}

#[test]
fn who_comes_at_once_shares_the_first_frames_too() {
    let mut bench = Bench::new(Limits::default());
    bench.calls("login", "auth", 1);
    let first = |bench: &Bench, id, resume| bench.subscribe("login", id, resume).unwrap().first;
    let is_shared = |a: &Batch, b: &Batch| a.bytes.as_ptr() == b.bytes.as_ptr();
    let snapshot = first(&bench, "live", None);
    assert!(is_shared(&snapshot, &first(&bench, "live", Some(77))));
    assert_eq!(read(&first(&bench, "other", None))[0]["id"], "other");
    bench.calls("login", "auth", 1);
    bench.tick();
    let resumed = first(&bench, "live", Some(1));
    assert_eq!(edges(&read(&resumed)[0]), ("graph_delta".into(), vec![("auth".into(), 2)]));
    assert!(is_shared(&resumed, &first(&bench, "live", Some(1))));
    assert_eq!(first(&bench, "live", Some(2)).frames, 0, "there is nothing after the second commit");
    let newer = first(&bench, "live", None);
    assert_eq!(edges(&read(&newer)[0]), ("snapshot".into(), vec![("auth".into(), 2)]));
}

#[test]
fn other_operations_are_other_views() {
    let mut bench = Bench::new(Limits::default());
    let mut login = bench.subscribe("login", "live", None).unwrap();
    bench.calls("create_vm", "vm", 1);
    bench.hub.event(event("create_vm"));
    bench.tick();
    let frames = read(&login.frames.try_recv().unwrap());
    assert_eq!(frames.len(), 1, "no event of another operation");
    assert_eq!(edges(&frames[0]), ("graph_delta".into(), vec![]));
}

/// What a client has after a frame: ids of nodes, and calls by the ends of an edge.
#[derive(Debug, Default, PartialEq)]
struct ClientCopy {
    nodes: BTreeSet<String>,
    edges: BTreeMap<[String; 2], i64>,
}

impl ClientCopy {
    /// As docs/live-protocol.md tells clients to do it.
    fn apply(&mut self, frame: &Value) {
        if frame["type"] == "snapshot" {
            *self = Self::default();
        }
        let list = |name: &str| frame["data"][name].as_array().cloned().unwrap_or_default();
        let ends = |edge: &Value| ["from", "to"].map(|end| edge[end].as_str().unwrap().to_owned());
        let (gone_nodes, gone_edges) = (list("removedNodes"), list("removedEdges"));
        self.nodes.retain(|id| !gone_nodes.contains(&id.as_str().into()));
        self.edges.retain(|id, _| !gone_edges.iter().any(|edge| ends(edge) == *id));
        self.nodes.extend(list("nodes").iter().map(|node| node["id"].as_str().unwrap().to_owned()));
        self.edges.extend(list("edges").iter().map(|edge| (ends(edge), edge["callCount"].as_i64().unwrap())));
    }
}

#[test]
fn a_join_may_begin_and_end_while_somebody_watches() {
    let mut bench = Bench::new(Limits::default());
    let payment = |namespace| node(namespace, "payment", Kind::Service);
    bench.calls_to("login", &node("", "payment:8080", Kind::External), 2);
    let mut subscription = bench.subscribe("login", "live", None).unwrap();
    let mut copy = ClientCopy::default();
    copy.apply(&read(&subscription.first)[0]);

    // The service turns up in another operation: names mean whoever is in their environment.
    bench.calls_to("create_vm", &payment("shop"), 1);
    bench.tick();
    let frames = read(&subscription.frames.try_recv().unwrap());
    let data = frames[0]["data"].clone();
    assert_eq!(edges(&frames[0]), ("graph_delta".into(), vec![("shop/payment".into(), 2)]));
    assert_eq!((&data["removedNodes"][0], &data["edges"][0]["confidence"]), (&PEER.into(), &0.0.into()));
    assert_eq!(data["removedEdges"], serde_json::json!([{"from": "web", "to": PEER}]));
    assert_eq!(data["nodes"][0]["joined"], serde_json::json!([PEER]));
    copy.apply(&frames[0]);
    assert_eq!(copy, bench.fresh("login"));

    // A second service of that name makes it mean neither.
    bench.calls_to("create_vm", &payment("billing"), 1);
    bench.tick();
    let frames = read(&subscription.frames.try_recv().unwrap());
    assert_eq!(edges(&frames[0]), ("graph_delta".into(), vec![(PEER.into(), 2)]));
    copy.apply(&frames[0]);
    assert_eq!(copy, bench.fresh("login"));
    assert_eq!(copy.nodes, ["web", PEER].map(str::to_owned).into());

    // Who comes back with the sequences of the first frame is told of both.
    let resumed = bench.subscribe("login", "live", Some(1)).unwrap();
    read(&resumed.first).iter().for_each(|frame| copy.apply(frame));
    assert_eq!((resumed.first.frames, copy), (2, bench.fresh("login")));
}

#[test]
fn resuming_brings_the_deltas_or_else_a_snapshot() {
    let mut bench = Bench::new(Limits::default());
    bench.calls("login", "auth", 1);
    let other = bench.subscribe("login", "live", None).unwrap();
    for _ in 0..3 {
        bench.calls("login", "auth", 1);
        bench.tick();
    }
    let delta = |calls| ("graph_delta".to_owned(), vec![("auth".to_owned(), calls)]);
    let resume = |bench: &Bench, seq| {
        let resumed = bench.subscribe("login", "live", Some(seq)).unwrap();
        read(&resumed.first).iter().map(edges).collect::<Vec<_>>()
    };
    assert_eq!(resume(&bench, 2), [delta(3), delta(4)]);
    assert_eq!(resume(&bench, 77)[0].0, "snapshot");

    // While nobody watches, nothing is computed; who comes back gets it all at once, and with the next tick
    // nothing of it again.
    drop(other);
    for _ in 0..2 {
        bench.calls("login", "auth", 1);
        bench.tick();
    }
    assert_eq!(resume(&bench, 3), [delta(4), delta(6)]);
    bench.calls("login", "auth", 1);
    let mut back = bench.subscribe("login", "live", Some(6)).unwrap();
    assert_eq!(edges(&read(&back.first)[0]), delta(7));
    bench.tick();
    let next = read(&back.frames.try_recv().unwrap());
    assert_eq!((next.len(), next[0]["data"]["asOf"].as_i64()), (1, Some(bench.now().0)));
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
    let frames = read(&subscription.frames.try_recv().unwrap());
    let types: Vec<_> = frames.iter().map(|frame| frame["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(types, ["flow_start", "flow_start", "graph_delta", "flows_omitted"]);
    assert_eq!(frames[3]["data"]["count"], 3);
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
    let subscription = bench.subscribe("create_vm", "a", None);
    assert!(subscription.is_ok(), "a view to which nobody listens makes room");
    assert!(bench.subscribe("login", "a", None).is_err());
    drop(subscription);
    bench.tick();
    assert_eq!(bench.hub.inner().views.len(), 1, "whoever comes back finds it");
    bench.past += limits.view_linger + Duration::from_secs(1);
    bench.tick();
    assert_eq!(bench.hub.inner().views.len(), 0);
}

#[test]
fn a_view_around_a_service_is_a_part_of_the_whole() {
    let mut bench = Bench::new(Limits::default());
    let around = |service: &str, namespaces: Option<&str>| {
        let mut key = key("login");
        key.filter.around.service = (!service.is_empty()).then(|| service.to_owned());
        let names = namespaces.map(|name| Arc::new(BTreeSet::from([name.to_owned()])));
        key.filter.allowed.namespaces = names;
        key
    };
    bench.calls_to("login", &node("shop", "auth", Kind::Service), 2);
    bench.calls_to("login", &node("bank", "user", Kind::Service), 5);
    let keys =
        [around("", None), around("auth", None), around("", Some("bank")), around("web", Some("shop"))];
    let mut subscriptions: Vec<_> = keys
        .iter()
        .map(|key| bench.hub.subscribe(&bench.live, key, "live", None, || bench.now()).unwrap())
        .collect();
    bench.calls_to("login", &node("shop", "auth", Kind::Service), 1);
    bench.calls_to("login", &node("bank", "user", Kind::Service), 1);
    bench.tick();
    let calls = |batch: &Batch| edges(&read(batch)[0]).1;
    let all = |auth, user| vec![("bank/user".to_owned(), user), ("shop/auth".to_owned(), auth)];
    for (subscription, (before, after)) in subscriptions.iter_mut().zip([
        (all(2, 5), all(3, 6)),
        (all(2, 5)[1..].to_vec(), all(3, 6)[1..].to_vec()),
        (all(2, 5)[..1].to_vec(), all(3, 6)[..1].to_vec()),
        (all(2, 5)[1..].to_vec(), all(3, 6)[1..].to_vec()),
    ]) {
        assert_eq!(calls(&subscription.first), before);
        assert_eq!(calls(&subscription.frames.try_recv().unwrap()), after);
    }
}
