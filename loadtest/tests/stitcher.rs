//! The workload's truth and the stitcher's answer are two readings of the same rules: here they meet without
//! servers, in log time, with late spans, whole requests sent twice, and commits in between.
#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use loadtest::otlp;
use loadtest::truth::{EdgeCounts, EdgeKey, Node, OperationCounts, OperationKey, Truth};
use loadtest::workload::{Emitter, Span, Workload};
use prost::Message;
use reader::Semconv;
use schemas::topics::partition_of;
use std::collections::{BTreeMap, HashMap};
use stitcher::{Commit, Settings, Shard};

const EPOCH_US: i64 = 1_790_000_000_000_000;
const SHARDS: u32 = 2;
/// Time between two exports of one process, and between two commits.
const EXPORT_US: i64 = 500_000;
const COMMIT_US: i64 = 200_000;
/// Long enough for everything to close.
const QUIET_US: i64 = 120_000_000;

/// What arrives: a request of one process at a moment, µs since the run's start.
type Arrivals = BTreeMap<(i64, u64), (Emitter, Vec<Span>)>;

/// Exports as SDKs make them. Every tenth request comes twice, every twelfth again 9 s later.
fn exports(spans: Vec<Span>) -> Arrivals {
    let mut batches: BTreeMap<(i64, Emitter), Vec<Span>> = BTreeMap::new();
    for span in spans {
        batches.entry((span.due_us / EXPORT_US + 1, span.emitter)).or_default().push(span);
    }
    let mut arrivals = Arrivals::new();
    let mut number = 0;
    for ((tick, emitter), spans) in batches {
        number += 3;
        arrivals.insert((tick * EXPORT_US, number), (emitter, spans.clone()));
        if number % 10 == 0 {
            arrivals.insert((tick * EXPORT_US, number + 1), (emitter, spans.clone()));
        }
        if number % 12 == 0 {
            arrivals.insert((tick * EXPORT_US + 9_000_000, number + 2), (emitter, spans));
        }
    }
    arrivals
}

#[derive(Default)]
struct Answer {
    edges: BTreeMap<EdgeKey, EdgeCounts>,
    operations: BTreeMap<OperationKey, OperationCounts>,
    flows: HashMap<String, (u32, OperationKey, String, u32)>,
    counters: BTreeMap<&'static str, u64>,
}

impl Answer {
    fn add(&mut self, commit: Commit) {
        let node = |node: &stitcher::delta::Node| Node {
            kind: node.kind.as_str().into(),
            namespace: node.namespace.to_string(),
            name: node.name.to_string(),
        };
        for (key, counts) in commit.deltas.edges {
            let key = EdgeKey {
                environment: key.environment.to_string(),
                operation: key.operation.to_string(),
                client: node(&key.client),
                server: node(&key.server),
            };
            *self.edges.entry(key).or_default() += EdgeCounts {
                calls: counts.calls,
                errors: counts.errors,
                client_errors: counts.client_errors,
                retries: counts.retries,
                rejected: counts.rejected,
                timeouts: counts.timeouts,
            };
        }
        for (key, counts) in commit.deltas.operations {
            let total =
                self.operations.entry((key.environment.to_string(), key.operation.to_string())).or_default();
            total.flows += counts.flows;
            total.errors += counts.errors;
            total.timeouts += counts.timeouts;
        }
        for trace in commit.traces {
            let operation = (trace.environment.to_string(), trace.operation.to_string());
            let summary =
                (trace.revision, operation, format!("{:?}", trace.status).to_lowercase(), trace.spans);
            let before = self.flows.insert(trace.trace_id.to_string(), summary);
            assert!(before.is_none_or(|(revision, ..)| revision < trace.revision), "revisions grow");
        }
        for (name, count) in commit.counters {
            *self.counters.entry(name).or_default() += count;
        }
    }
}

/// Feeds every arrival to the shard of each of its traces.
fn stitch(arrivals: Arrivals) -> Answer {
    let semconv = Semconv::embedded();
    let mut shards: Vec<Shard> =
        (0..SHARDS).map(|shard| Shard::new(Settings { shard, ..Settings::default() })).collect();
    let mut offsets = vec![0; SHARDS as usize];
    let mut answer = Answer::default();
    let mut commit_us = 0;
    for ((at_us, _), (emitter, spans)) in arrivals {
        while commit_us + COMMIT_US <= at_us {
            commit_us += COMMIT_US;
            for shard in &mut shards {
                shard.end_of_log(EPOCH_US + commit_us);
                answer.add(shard.commit());
            }
        }
        for (number, shard) in shards.iter_mut().enumerate() {
            let ours: Vec<Span> = spans
                .iter()
                .filter(|span| partition_of(span.trace_id, SHARDS) as usize == number)
                .cloned()
                .collect();
            if ours.is_empty() {
                continue;
            }
            let bytes = otlp::request(&emitter, &ours, EPOCH_US).encode_to_vec();
            shard.begin_record(offsets[number], EPOCH_US + at_us);
            offsets[number] += 1;
            let read = reader::read_otlp(&semconv, &bytes, &mut |span| shard.apply(span)).unwrap();
            assert_eq!((read.spans, read.rejected.len()), (ours.len() as u64, 0));
        }
    }
    for shard in &mut shards {
        shard.end_of_log(EPOCH_US + commit_us + QUIET_US);
        answer.add(shard.commit());
        assert_eq!(shard.open_spans(), 0, "after the quiet everything is closed");
    }
    answer
}

fn run(seed: u64) -> (Truth, Answer) {
    let mut truth = Truth::default();
    let mut spans = Vec::new();
    for flow in Workload::new(seed, 20.0).take_while(|flow| flow.told_us < 100_000_000) {
        truth.add(&flow, EPOCH_US);
        spans.extend(flow.spans);
    }
    (truth, stitch(exports(spans)))
}

fn assert_equal<K: Ord + std::fmt::Debug, V: PartialEq + Default + std::fmt::Display>(
    what: &str,
    expected: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
    name: impl Fn(&K) -> String,
) {
    let nothing = V::default();
    let mut lines = Vec::new();
    for key in expected.keys().chain(found.keys().filter(|key| !expected.contains_key(key))) {
        let (wanted, got) = (expected.get(key).unwrap_or(&nothing), found.get(key).unwrap_or(&nothing));
        if wanted != got {
            lines.push(format!("{}: {got}; expected {wanted}", name(key)));
        }
    }
    assert!(lines.is_empty(), "{what}: {} differ\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn the_stitcher_counts_what_the_stories_mean() {
    for seed in [1, 2, 3] {
        let (truth, answer) = run(seed);
        assert_equal(&format!("seed {seed}, edges"), &truth.edges, &answer.edges, EdgeKey::to_string);
        assert_equal(&format!("seed {seed}, operations"), &truth.operations, &answer.operations, |key| {
            format!("{} {}", key.0, key.1)
        });
        assert!(answer.counters["duplicate_exact"] > 0, "{:?}", answer.counters);
        assert_eq!(answer.flows.len(), truth.flows.len());
        for (id, flow) in &truth.flows {
            let (_, operation, status, spans) = &answer.flows[id];
            assert_eq!(operation, &truth.operation_names[usize::from(flow.operation)], "flow {id}");
            assert_eq!((status.as_str(), *spans), (flow.status.as_str(), flow.spans), "flow {id}");
        }
    }
}
