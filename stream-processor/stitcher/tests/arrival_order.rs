//! Whatever the order, however often, wherever commits and closes fall: the same spans end in the same graph.

mod support;
use proptest::prelude::*;
use std::collections::BTreeMap;
use stitcher::delta::{EdgeKey, EndpointKey, NodeKind, OperationKey, ServiceKey};
use stitcher::flow::FlowTrace;
use stitcher::settings::Limits;
use stitcher::{Commit, Settings, Shard, Span};
use support::{settle, table};

const START_US: i64 = 1_700_000_000_000_000;

/// A flow with everything in it: a browser, sidecars, an envelope, a retry, a breaker, a topic, a database, an
/// orphan, a second trace that is linked.
const FLOW: &str = "
    1 - C console 0..200 browser operation=create_vm env=production
    2 1 S gw 5..190 method=POST route=/vms version=2
    3 2 C gw 10..180
    4 3 C gw.mesh 11..179 proxy=gw
    5 4 S vm.mesh 12..178 proxy=vm
    6 5 S vm 15..170 version=7
    7 6 I vm 16..60
    8 7 C vm 17..30 code=503 key=1
    9 8 S scheduler 18..29 code=503
    10 7 C vm 31..50 code=200 key=1
    11 10 S scheduler 32..49 code=200
    12 6 C vm 61..80 db=postgresql:vms
    13 6 I vm 81..90 breaker=billing
    14 13 C vm 82..89 host=billing code=500
    15 6 I vm 91..92 breaker=billing fail=rejection err
    16 6 C vm 93..120 host=S3
    17 16 C vm 94..119 host=s3.example.com
    18 6 P vm 121..125 topic=kafka:vm-events
    19 18 K mail 300..350 topic=kafka:vm-events
    20 77 S stray 20..30
    21 20 C stray 21..29
    22 21 S auth 22..28
    30 - K billing 400..450 topic=kafka:vm-events trace=9 env=production
    31 30 C billing 410..440 code=504 host=pay
";

#[derive(Default, Debug, PartialEq)]
struct Sums {
    edges: BTreeMap<EdgeKey, [i64; 14]>,
    services: BTreeMap<ServiceKey, [i64; 6]>,
    operations: BTreeMap<OperationKey, [i64; 4]>,
    endpoints: BTreeMap<EndpointKey, [i64; 3]>,
    flows: BTreeMap<u128, FlowTrace>,
    /// A revision that didn't ascend.
    begun_twice: bool,
}

impl Sums {
    fn add(&mut self, commit: Commit) {
        for (key, c) in commit.deltas.edges {
            let values = [
                c.calls,
                c.errors,
                c.client_errors,
                c.retries,
                c.timeouts,
                c.rejected,
                c.messages,
                c.paired,
                c.callee_latency.count(),
                c.callee_latency.sum_us,
                c.caller_latency.count(),
                c.caller_latency.sum_us,
                c.wait.count(),
                c.wait.sum_us,
            ];
            accumulate(&mut self.edges, key, values);
        }
        for (key, c) in commit.deltas.services {
            let values = [
                c.requests,
                c.errors,
                c.client_errors,
                c.latency.sum_us,
                c.self_time.sum_us,
                c.critical_path.sum_us,
            ];
            accumulate(&mut self.services, key, values);
        }
        for (key, c) in commit.deltas.operations {
            accumulate(&mut self.operations, key, [c.flows, c.errors, c.timeouts, c.duration.sum_us]);
        }
        for (key, c) in commit.deltas.endpoints {
            accumulate(&mut self.endpoints, key, [c.requests, c.errors, c.latency.sum_us]);
        }
        for flow in commit.traces {
            let before = self.flows.insert(flow.trace_id.0, flow.clone());
            self.begun_twice |= before.is_some_and(|before| before.revision >= flow.revision);
        }
    }

    fn nothing_is_negative(&self) -> bool {
        self.edges.values().flatten().all(|count| *count >= 0)
            && self.services.values().flatten().all(|count| *count >= 0)
            && self.operations.values().flatten().all(|count| *count >= 0)
            && self.endpoints.values().flatten().all(|count| *count >= 0)
    }

    fn requests(&self) -> i64 {
        let services = self.services.iter().filter(|(key, _)| key.node.kind == NodeKind::Service);
        services.map(|(_, counts)| counts[0]).sum()
    }

    fn settled(mut self) -> Self {
        self.edges.retain(|_, counts| counts.iter().any(|count| *count != 0));
        self.services.retain(|_, counts| counts.iter().any(|count| *count != 0));
        self.operations.retain(|_, counts| counts.iter().any(|count| *count != 0));
        self.endpoints.retain(|_, counts| counts.iter().any(|count| *count != 0));
        for flow in self.flows.values_mut() {
            // How often it was revised, and whether it was whole at its close, is a matter of arrival.
            (flow.revision, flow.complete) = (0, false);
        }
        self
    }
}

fn accumulate<K: Ord, const N: usize>(sums: &mut BTreeMap<K, [i64; N]>, key: K, values: [i64; N]) {
    let sum = sums.entry(key).or_insert([0; N]);
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}

/// One record a step: (span, seconds of log time since the step before, commit afterwards).
fn run(spans: &[Span<'_>], steps: &[(usize, u16, bool)]) -> Sums {
    let sums = run_within(Limits::default(), spans, steps);
    assert!(!sums.begun_twice, "revisions ascend");
    sums.settled()
}

fn run_within(limits: Limits, spans: &[Span<'_>], steps: &[(usize, u16, bool)]) -> Sums {
    let most_remembered = limits.remembered_spans;
    let mut shard = Shard::new(Settings { limits, ..Settings::default() });
    let (mut sums, mut now_us) = (Sums::default(), START_US);
    for (offset, (span, wait_s, commit)) in steps.iter().enumerate() {
        now_us += i64::from(*wait_s) * 1_000_000;
        shard.begin_record(offset as i64, now_us);
        shard.apply(&spans[*span]);
        if *commit {
            sums.add(shard.commit());
        }
        assert!(
            shard.remembered_spans() <= most_remembered + 1,
            "what a record brings is forgotten with the next"
        );
    }
    shard.settle_all();
    sums.add(shard.commit());
    assert_eq!((shard.open_spans(), shard.open_traces()), (0, 0));
    shard.end_of_log(now_us + 2_000_000_000);
    assert!(shard.commit().deltas.is_empty(), "forgetting says nothing");
    assert_eq!(shard.remembered_spans(), 0);
    sums
}

/// Every bound so small that a few spans reach it.
fn small_limits() -> impl Strategy<Value = Limits> {
    let memory = (0..30_usize, 1..25_usize, 1..25_usize, prop_oneof![Just(16_000_000), 0..10_usize]);
    let names = (1..8_usize, 1..4_usize, 1..3_usize, 1..12_usize, 1..3_usize);
    (memory, names).prop_map(|(memory, (services, virtual_nodes, operations, edges, versions))| Limits {
        remembered_spans: memory.0,
        open_spans: memory.1,
        spans_per_trace: memory.2,
        fingerprints: memory.3,
        services,
        virtual_nodes,
        operations,
        edges,
        versions_per_service: versions,
        entries_per_service: versions,
        environments: versions,
        ..Limits::default()
    })
}

fn steps() -> impl Strategy<Value = Vec<(usize, u16, bool)>> {
    let many = table(FLOW).len();
    let order = Just((0..many).collect::<Vec<_>>()).prop_shuffle();
    let duplicates = prop::collection::vec(0..many, 0..8);
    let waits = prop_oneof![4 => Just(0_u16), 2 => 1_u16..5, 1 => 6_u16..20];
    (order, duplicates)
        .prop_flat_map(move |(order, duplicates)| {
            let arrivals: Vec<usize> = order.into_iter().chain(duplicates).collect();
            let steps = arrivals.len();
            let timing = prop::collection::vec((waits.clone(), any::<bool>()), steps);
            (Just(arrivals), timing)
        })
        .prop_map(|(arrivals, timing)| {
            arrivals.into_iter().zip(timing).map(|(span, (wait, commit))| (span, wait, commit)).collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_arrival_ends_in_the_same_graph(steps in steps()) {
        let spans = table(FLOW);
        let in_order: Vec<(usize, u16, bool)> = (0..spans.len()).map(|i| (i, 0, false)).collect();
        prop_assert_eq!(run(&spans, &steps), run(&spans, &in_order));
    }

    #[test]
    fn where_bounds_are_reached_spans_and_flows_still_count_once(limits in small_limits(), steps in steps()) {
        let spans = table(FLOW);
        let every_print_is_kept = limits.fingerprints > spans.len();
        let sums = run_within(limits, &spans, &steps);
        prop_assert!(sums.nothing_is_negative(), "{sums:?}");
        if every_print_is_kept {
            prop_assert!(!sums.begun_twice);
            let flows: i64 = sums.operations.values().map(|counts| counts[0]).sum();
            prop_assert_eq!(flows, 2);
            prop_assert!(sums.requests() <= spans.len() as i64, "{sums:?}");
        }
    }

    #[test]
    fn the_same_log_and_commits_give_the_same_outputs(steps in steps()) {
        let spans = table(FLOW);
        let outputs = || {
            let mut shard = Shard::new(Settings::default());
            let mut commits = Vec::new();
            for (offset, (span, wait_s, commit)) in steps.iter().enumerate() {
                shard.begin_record(offset as i64, START_US + i64::from(*wait_s) * 1_000_000);
                shard.apply(&spans[*span]);
                if *commit {
                    commits.push(shard.commit());
                }
            }
            commits
        };
        prop_assert_eq!(outputs(), outputs());
    }
}

#[test]
fn a_service_in_two_versions_is_shown_in_the_greater_one_whichever_came_last() {
    let mut spans = table(
        "1 - S gw 0..100 err
         2 1 C gw 1..40
         3 2 S auth 2..39 version=2.0
         4 1 C gw 41..90
         5 4 S auth 42..89 version=1.9",
    );
    let version = |spans: &[Span<'_>]| {
        let graph = settle(spans).traces.remove(0).graph.unwrap();
        graph.nodes.iter().find(|node| &*node.node.name == "auth").unwrap().version.to_string()
    };
    assert_eq!(version(&spans), "2.0");
    spans.reverse();
    assert_eq!(version(&spans), "2.0");
}
