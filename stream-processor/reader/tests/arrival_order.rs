//! Real traces in any order of arrival, cut anywhere, delivered twice, so late that their flows have closed: the
//! graph is the same in the end. The stitcher's own test does this to one flow that has everything in it.
#![allow(clippy::unwrap_used)] // a test stops where it is wrong

mod support;

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, TracesData};
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use reader::{Semconv, spans_of};
use stitcher::flow::FlowTrace;
use stitcher::histogram::Histogram;
use stitcher::{Commit, Shard};
use support::{data, documents, settings};

/// Everything the commits of a run add up to, by key in text form.
#[derive(Default)]
struct Sums {
    counts: BTreeMap<String, Vec<i64>>,
    latencies: BTreeMap<String, Histogram>,
    flows: BTreeMap<u128, FlowTrace>,
    late: u64,
    duplicates: u64,
}

impl Sums {
    fn add(&mut self, commit: Commit) {
        for (key, c) in commit.deltas.edges {
            let counts =
                [c.calls, c.errors, c.client_errors, c.retries, c.timeouts, c.rejected, c.messages, c.paired];
            let latencies = [c.callee_latency, c.caller_latency, c.wait];
            self.count(format!("edge {key:?}"), &counts, &latencies);
        }
        for (key, c) in commit.deltas.services {
            let latencies = [c.latency, c.self_time, c.critical_path];
            self.count(format!("service {key:?}"), &[c.requests, c.errors, c.client_errors], &latencies);
        }
        for (key, c) in commit.deltas.operations {
            self.count(format!("operation {key:?}"), &[c.flows, c.errors, c.timeouts], &[c.duration]);
        }
        for (key, c) in commit.deltas.endpoints {
            self.count(format!("endpoint {key:?}"), &[c.requests, c.errors], &[c.latency]);
        }
        for flow in commit.traces {
            self.flows.insert(flow.trace_id.0, flow);
        }
        let counted = |name: &str| commit.counters.get(name).copied().unwrap_or_default();
        self.late += counted("late_span");
        self.duplicates += counted("duplicate_exact");
        assert_eq!(counted("duplicate_conflict"), 0);
    }

    fn count(&mut self, key: String, counts: &[i64], latencies: &[Histogram]) {
        for (number, latency) in latencies.iter().enumerate() {
            self.latencies.entry(format!("{key} {number}")).or_default().merge(latency, 1);
        }
        let sums = self.counts.entry(key).or_insert_with(|| vec![0; counts.len()]);
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }

    fn settle(&mut self) {
        self.counts.retain(|_, counts| counts.iter().any(|count| *count != 0));
        self.latencies.retain(|_, latency| !latency.is_empty());
        for flow in self.flows.values_mut() {
            // How often it was revised, and whether it was whole when it closed, is a matter of arrival.
            (flow.revision, flow.complete) = (0, false);
        }
    }

    fn assert_same(&self, other: &Self, what: &str) {
        let differs = |key: &&String| self.counts.get(*key) != other.counts.get(*key);
        if let Some(key) = self.counts.keys().chain(other.counts.keys()).find(differs) {
            panic!("{what}: {key}: expected {:?}, got {:?}", self.counts.get(key), other.counts.get(key));
        }
        assert!(self.latencies == other.latencies, "{what}: latencies differ");
        assert_eq!(self.flows, other.flows, "{what}");
    }
}

/// One span a document.
fn split(documents: &[TracesData]) -> Vec<TracesData> {
    let mut all = Vec::new();
    for part in documents.iter().flat_map(|document| &document.resource_spans) {
        for span in part.scope_spans.iter().flat_map(|scope| &scope.spans) {
            let scope_spans = vec![ScopeSpans { spans: vec![span.clone()], ..ScopeSpans::default() }];
            let part =
                ResourceSpans { resource: part.resource.clone(), scope_spans, ..ResourceSpans::default() };
            all.push(TracesData { resource_spans: vec![part] });
        }
    }
    all
}

/// When the newest span ended: the log can't be older, or its windows would be clamped.
fn newest_us(spans: &[TracesData]) -> i64 {
    let all = spans.iter().flat_map(|data| &data.resource_spans).flat_map(|part| &part.scope_spans);
    let ends = all.flat_map(|scope| &scope.spans).map(|span| span.end_time_unix_nano / 1_000);
    ends.max().unwrap().cast_signed()
}

fn run(spans: &[TracesData], start_us: i64, mut chance: Option<ChaCha8Rng>) -> Sums {
    let semconv = Semconv::embedded();
    let mut arrivals: Vec<&TracesData> = spans.iter().collect();
    if let Some(chance) = &mut chance {
        let twice: Vec<_> = spans.iter().filter(|_| chance.random_ratio(1, 10)).collect();
        arrivals.extend(twice);
        arrivals.shuffle(chance);
    }
    let mut shard = Shard::new(settings());
    let (mut sums, mut now_us) = (Sums::default(), start_us);
    for (span, offset) in arrivals.into_iter().zip(0..) {
        shard.begin_record(offset, now_us);
        spans_of(&semconv, span, &mut |span| shard.apply(span));
        let Some(chance) = &mut chance else { continue };
        if chance.random_ratio(1, 30) {
            now_us += chance.random_range(1..40) * 1_000_000;
        }
        if chance.random_ratio(1, 20) {
            sums.add(shard.commit());
        }
    }
    shard.settle_all();
    sums.add(shard.commit());
    sums.settle();
    sums
}

#[test]
fn any_arrival_of_real_traces_ends_in_the_same_graph() {
    for (file, traces) in
        [("hotrod/jaeger-span-2023-01-24.json", usize::MAX), ("traceweaver/hotel_load100.ndjson.gz", 40)]
    {
        let Some(path) = data(file) else { return };
        let all = documents(&path).0;
        let spans = split(&all[..traces.min(all.len())]);
        let start_us = newest_us(&spans);
        let in_order = run(&spans, start_us, None);
        assert_eq!((in_order.late, in_order.duplicates), (0, 0));
        let (mut late, mut duplicates) = (0, 0);
        for seed in 0..20 {
            let shuffled = run(&spans, start_us, Some(ChaCha8Rng::seed_from_u64(seed)));
            in_order.assert_same(&shuffled, &format!("{file}, seed {seed}"));
            late += shuffled.late;
            duplicates += shuffled.duplicates;
        }
        assert!(late > 0 && duplicates > 0, "{file}: the runs had no late spans to correct");
    }
}
