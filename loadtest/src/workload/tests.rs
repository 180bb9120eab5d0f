//! The stories are told twice the same, as trees, and count what a reader of the story would count.

use super::places::{PAYMENTS, SESSIONS, USERS, VMS, VOLUMES};
use super::*;
use crate::truth::{EdgeCounts, FlowStatus, Node, Truth};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const FINE: EdgeCounts =
    EdgeCounts { calls: 1, errors: 0, client_errors: 0, retries: 0, rejected: 0, timeouts: 0 };

fn flows(count: usize) -> Vec<Flow> {
    Workload::new(1, 50.0).take(count).collect()
}

/// The first flow of `operation` for which `wanted` holds.
fn find(operation: &str, wanted: impl Fn(&Flow) -> bool) -> Flow {
    Workload::new(2, 50.0)
        .take(20_000)
        .find(|flow| flow.operation == operation && wanted(flow))
        .expect("the story is told among 20,000 flows")
}

fn is_flawless(flow: &Flow) -> bool {
    flow.calls
        .iter()
        .all(|(_, _, counts)| *counts == EdgeCounts { calls: counts.calls, ..EdgeCounts::default() })
}

/// Counts of the calls to `server`, from anybody.
fn to(flow: &Flow, server: &Node) -> EdgeCounts {
    let mut total = EdgeCounts::default();
    flow.calls.iter().filter(|(_, callee, _)| callee == server).for_each(|(_, _, counts)| total += *counts);
    total
}

fn database(place: places::Database) -> Node {
    Node::outside("database", place.node_name())
}

fn topic() -> Node {
    Node::outside("topic", "kafka:vm-events")
}

fn edges(flow: &Flow) -> BTreeMap<(String, String), i64> {
    flow.calls.iter().map(|(from, to, counts)| ((from.name.clone(), to.name.clone()), counts.calls)).collect()
}

fn expected(list: &[(&str, &str, i64)]) -> BTreeMap<(String, String), i64> {
    list.iter().map(|(from, to, calls)| (((*from).to_owned(), (*to).to_owned()), *calls)).collect()
}

#[test]
fn the_same_seed_tells_the_same_flows_and_another_seed_others() {
    let once: Vec<Flow> = Workload::new(9, 20.0).take(400).collect();
    let again: Vec<Flow> = Workload::new(9, 20.0).take(400).collect();
    let other: Vec<Flow> = Workload::new(10, 20.0).take(400).collect();
    assert_eq!(once, again);
    assert_ne!(once, other);
}

#[test]
fn flows_come_at_the_asked_rate_and_in_order() {
    let flows = flows(4_000);
    assert!(flows.is_sorted_by_key(|flow| flow.told_us));
    let visits: BTreeSet<i64> = flows.iter().map(|flow| flow.told_us).collect();
    let seconds = flows.last().unwrap().told_us as f64 / 1e6;
    let rate = visits.len() as f64 / seconds;
    assert!((45.0..55.0).contains(&rate), "{rate} visits a second");
}

#[test]
fn every_trace_is_one_tree_whose_spans_end_after_they_start() {
    for flow in flows(3_000) {
        let mut ids: HashMap<u64, &Span> = HashMap::new();
        for span in &flow.spans {
            assert!(ids.insert(span.span_id, span).is_none(), "span ids are unique");
            assert_eq!(span.trace_id, flow.trace_id);
            assert_eq!(span.emitter.environment, flow.environment);
            assert!(span.end_us >= span.start_us && span.due_us >= span.end_us);
        }
        assert_eq!(flow.spans.iter().filter(|span| span.parent_id.is_none()).count(), 1, "one root");
        for span in &flow.spans {
            let (mut at, mut depth) = (span, 0);
            while let Some(parent) = at.parent_id {
                let parent = ids[&parent];
                assert!(parent.start_us <= at.start_us, "{} begins before {}", at.name, parent.name);
                assert_eq!(at.remote_parent, parent.emitter != at.emitter, "{}", at.name);
                (at, depth) = (parent, depth + 1);
                assert!(depth < 32, "no cycle, and no nesting that is refused");
            }
        }
    }
}

#[test]
fn trace_ids_never_repeat() {
    let flows = flows(20_000);
    let ids: BTreeSet<u128> = flows.iter().map(|flow| flow.trace_id).collect();
    assert_eq!(ids.len(), flows.len());
}

#[test]
fn everything_the_issue_asks_for_happens() {
    let mut truth = Truth::default();
    let (mut late, mut very_late) = (0, 0);
    for flow in flows(6_000) {
        truth.add(&flow, 1_000_000_000);
        let last_us = flow.spans.iter().map(|span| span.due_us).max().unwrap() - flow.end_us();
        late += usize::from((6_000_001..20_000_000).contains(&last_us));
        very_late += usize::from(last_us > 40_000_000);
    }
    let total = truth.total_calls();
    assert!(total.errors > 0 && total.client_errors > 0 && total.retries > 0, "{total}");
    assert!(total.rejected > 0 && total.timeouts > 0, "{total}");
    assert!(late > 20 && very_late > 20, "{late} late, {very_late} very late");
    let operations: BTreeSet<&str> =
        truth.operations.keys().map(|(_, operation)| operation.as_str()).collect();
    let named = [
        "__probe__",
        "attach_volume",
        "create_vm",
        "delete_vm",
        "login",
        "process kafka:vm-events",
        "update_config",
    ];
    assert_eq!(operations, BTreeSet::from(named));
    let environments: BTreeSet<&str> =
        truth.operations.keys().map(|(environment, _)| environment.as_str()).collect();
    assert_eq!(environments, BTreeSet::from(["production", "staging"]));
    let kinds: BTreeSet<&str> = truth.edges.keys().map(|key| key.server.kind.as_str()).collect();
    assert_eq!(kinds, BTreeSet::from(["database", "external", "service", "topic", "unknown"]));
    assert!(truth.operations.values().any(|counts| counts.timeouts > 0));
}

/// Counted a second time from the spans alone, by the plainest reading of the rules.
#[test]
fn counts_agree_with_what_the_spans_say() {
    for flow in flows(4_000) {
        let kind = |kind: Kind| flow.spans.iter().filter(move |span| span.kind == kind);
        let named = |span: &&Span, key: &str| span.attributes.iter().any(|(name, _)| *name == key);
        let rejected = kind(Kind::Internal)
            .filter(|span| span.events.iter().any(|event| format!("{event:?}").contains("CallNotPermitted")))
            .count();
        let statements =
            kind(Kind::Client).filter(|span| named(span, "db.system") || named(span, "db.system.name"));
        let sum = |kind: &str, field: fn(&EdgeCounts) -> i64| -> i64 {
            flow.calls.iter().filter(|(_, to, _)| to.kind == kind).map(|(_, _, counts)| field(counts)).sum()
        };
        let processed = kind(Kind::Consumer).filter(|span| span.name.starts_with("process")).count();
        let into_services = kind(Kind::Server).count() + processed;
        assert_eq!(sum("database", |counts| counts.calls), statements.count() as i64);
        assert_eq!(sum("topic", |counts| counts.calls), kind(Kind::Producer).count() as i64);
        let all_rejected =
            sum("service", |counts| counts.rejected) + sum("unknown", |counts| counts.rejected);
        assert_eq!(all_rejected, rejected as i64);
        assert_eq!(sum("service", |c| c.calls) - sum("service", |c| c.rejected), into_services as i64);
        let failed_servers = kind(Kind::Server).filter(|span| span.status == Status::Error).count();
        let failed_deliveries = kind(Kind::Consumer).filter(|span| span.status == Status::Error).count();
        let failed = (failed_servers + failed_deliveries) as i64;
        assert_eq!(sum("service", |c| c.errors) - sum("service", |c| c.rejected), failed);
    }
}

#[test]
fn a_login_calls_six_times() {
    let flow = find("login", is_flawless);
    let edges = edges(&flow);
    let story = expected(&[
        ("console-web", "api-gateway", 1),
        ("api-gateway", "auth-service", 1),
        ("auth-service", "user-service", 1),
        ("user-service", "postgresql:user-db/users", 1),
        ("auth-service", "session-service", 1),
        ("session-service", "redis:session-cache/0", 1),
    ]);
    assert_eq!(edges, story);
    // Four calls seen from both sides, two statements, one piece of work inside.
    assert_eq!(flow.spans.len(), 4 * 2 + 2 + 1);
    assert_eq!(flow.status, FlowStatus::Success);
}

#[test]
fn a_mistyped_password_is_the_users_own_error_all_the_way_up() {
    let flow = find("login", |flow| to(flow, &Actor::User.node()).client_errors == 1);
    for actor in [Actor::Gateway, Actor::Auth, Actor::User] {
        assert_eq!(to(&flow, &actor.node()), EdgeCounts { client_errors: 1, ..FINE });
    }
    assert_eq!(to(&flow, &database(USERS)), FINE);
    assert_eq!(to(&flow, &Actor::Session.node()), EdgeCounts::default());
    assert_eq!(flow.status, FlowStatus::Success);
}

#[test]
fn a_silent_cache_is_a_timeout_and_asking_again_a_retry() {
    let flow = find("login", |flow| {
        to(flow, &database(SESSIONS)).retries == 1 && flow.status == FlowStatus::Success
    });
    let counts = to(&flow, &database(SESSIONS));
    assert_eq!(counts, EdgeCounts { calls: 2, errors: 1, retries: 1, timeouts: 1, ..EdgeCounts::default() });
    assert_eq!(to(&flow, &Actor::Session.node()), FINE, "the session service made good for it");
}

#[test]
fn a_machine_is_placed_equipped_announced_and_paid() {
    let flow = find("create_vm", is_flawless);
    let story = expected(&[
        ("console-web", "api-gateway", 1),
        ("api-gateway", "auth-service", 1),
        ("auth-service", "session-service", 1),
        ("session-service", "redis:session-cache/0", 1),
        ("api-gateway", "vm-service", 1),
        ("vm-service", "postgresql:vm-db/vms", 2),
        ("vm-service", "scheduler-service", 1),
        ("scheduler-service", "postgresql:vm-db/vms", 1),
        ("vm-service", "volume-service", 1),
        ("volume-service", "postgresql:volume-db/volumes", 1),
        ("vm-service", "network-service", 1),
        ("network-service", "postgresql:network-db/networks", 1),
        ("vm-service", "kafka:vm-events", 1),
        ("kafka:vm-events", "billing-service", 1),
        ("billing-service", "postgresql:billing-db/invoices", 2),
        ("billing-service", "payments.example.com:443", 1),
    ]);
    assert_eq!(edges(&flow), story);
}

#[test]
fn the_second_consumer_works_in_its_own_trace_and_links_back() {
    let flow = find("process kafka:vm-events", is_flawless);
    let story = expected(&[
        ("kafka:vm-events", "notification-service", 1),
        ("notification-service", "redis:session-cache/0", 1),
        ("notification-service", "mail.example.com:443", 1),
    ]);
    assert_eq!(edges(&flow), story);
    let linked = flow.spans.iter().filter(|span| !span.links.is_empty());
    assert!(
        linked.clone().count() == 2
            && linked.flat_map(|span| &span.links).all(|(trace, _)| *trace != flow.trace_id)
    );
}

#[test]
fn a_busy_scheduler_is_asked_again_and_one_without_answer_times_the_flow_out() {
    let again = find("create_vm", |flow| {
        to(flow, &Actor::Scheduler.node()).retries == 1 && flow.status == FlowStatus::Success
    });
    let counts = EdgeCounts { calls: 2, errors: 1, retries: 1, ..EdgeCounts::default() };
    assert_eq!(to(&again, &Actor::Scheduler.node()), counts);

    let silent = find("create_vm", |flow| flow.status == FlowStatus::Timeout);
    let counts = to(&silent, &Actor::Scheduler.node());
    assert_eq!((counts.calls, counts.errors, counts.timeouts, counts.retries), (3, 3, counts.timeouts, 2));
    for actor in [Actor::Gateway, Actor::Vm] {
        assert_eq!(to(&silent, &actor.node()), EdgeCounts { errors: 1, timeouts: 1, ..FINE });
    }
    assert_eq!(to(&silent, &topic()), EdgeCounts::default(), "nothing is announced");
}

#[test]
fn an_open_breaker_keeps_calls_back_from_the_peer_of_its_other_calls() {
    let flow = find("attach_volume", |flow| to(flow, &Actor::Vm.node()).rejected == 1);
    let counts = EdgeCounts { calls: 2, errors: 1, rejected: 1, ..EdgeCounts::default() };
    assert_eq!(to(&flow, &Actor::Vm.node()), counts);
    assert_eq!(to(&flow, &database(VMS)), FINE, "the call that went through");
    assert_eq!(to(&flow, &database(VOLUMES)), FINE);
    assert_eq!(flow.status, FlowStatus::Error);
}

#[test]
fn a_breaker_that_was_open_all_along_is_all_that_is_known_of_its_target() {
    let payments = Node::outside("external", format!("{}:{}", PAYMENTS.name, PAYMENTS.port));
    let unknown = Node::outside("unknown", "payments");
    let flow = find("create_vm", |flow| to(flow, &unknown).rejected == 1);
    assert_eq!(to(&flow, &unknown), EdgeCounts { errors: 1, rejected: 1, ..FINE });
    assert_eq!(to(&flow, &payments), EdgeCounts::default());
    assert_eq!(to(&flow, &Actor::Billing.node()), EdgeCounts { errors: 1, ..FINE });
    assert_eq!(flow.status, FlowStatus::Success, "the user has long been answered");
}

#[test]
fn a_payment_is_tried_twice() {
    let payments = Node::outside("external", "payments.example.com:443");
    let flow = find("create_vm", |flow| to(flow, &payments).retries == 1 && to(flow, &payments).errors == 1);
    let counts = to(&flow, &payments);
    assert_eq!((counts.calls, counts.rejected, counts.client_errors), (2, 0, 0));
    assert_eq!(to(&flow, &Actor::Billing.node()), FINE);
}

#[test]
fn a_port_that_is_busy_is_released_at_the_second_attempt() {
    let flow = find("delete_vm", |flow| {
        to(flow, &Actor::Network.node()).retries == 1 && flow.status == FlowStatus::Success
    });
    let counts = EdgeCounts { calls: 2, errors: 1, retries: 1, ..EdgeCounts::default() };
    assert_eq!(to(&flow, &Actor::Network.node()), counts);
    assert_eq!(to(&flow, &topic()), FINE);
}

#[test]
fn a_setting_is_written_and_dropped_from_the_cache() {
    let flow = find("update_config", is_flawless);
    let story = expected(&[
        ("console-web", "api-gateway", 1),
        ("api-gateway", "auth-service", 1),
        ("auth-service", "session-service", 1),
        ("session-service", "redis:session-cache/0", 1),
        ("api-gateway", "user-service", 1),
        ("user-service", "postgresql:user-db/users", 1),
        ("user-service", "redis:session-cache/0", 1),
    ]);
    assert_eq!(edges(&flow), story);
}

#[test]
fn a_probe_is_one_call_by_nobody_in_particular() {
    let flow = find("__probe__", |_| true);
    assert_eq!(flow.spans.len(), 1);
    assert_eq!(flow.calls.len(), 1);
    assert_eq!((&flow.calls[0].0, flow.calls[0].2), (&Node::outside("user", "user"), FINE));
}

#[test]
fn a_truth_survives_its_file() {
    let mut truth = Truth::default();
    flows(200).iter().for_each(|flow| truth.add(flow, 1_700_000_000_000_000));
    let text = serde_json::to_string(&truth).unwrap();
    assert_eq!(serde_json::from_str::<Truth>(&text).unwrap(), truth);
}
