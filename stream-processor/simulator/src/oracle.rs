//! What consumers of the topics make of a run: sums by key, the last word about every flow, dead letters.

use crate::cluster::{Cluster, Place};
use crate::input::Input;
use prost::Message;
use schemas::v1::{FlowDeltas, FlowTrace, Histogram, ShardCommit};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use stream_processor::processor::shard::{Output, Reach, mistake};

/// The end of a run.
#[derive(Default, Hash)]
pub struct Outcome {
    /// Everything that adds up, by key; nothing that adds up to zero.
    sums: BTreeMap<String, i64>,
    flows: BTreeMap<Vec<u8>, String>,
    dead_letters: usize,
    /// Everything as it was written.
    bytes: Vec<Vec<u8>>,
    /// A hash over the tables.
    pub stored: u64,
}

impl Outcome {
    /// Reads all topics as a consumer with `read_committed` does.
    pub fn of(cluster: &Cluster, input: &Input) -> Result<Self, String> {
        let mut outcome = Self::default();
        for shard in 0..input.partitions {
            outcome.read_deltas(cluster, shard)?;
            outcome.read_flows(cluster, shard, input)?;
            let next = outcome.read_journal(cluster, shard)?;
            let records = cluster.spans[shard as usize].len() as i64;
            if next != records {
                return Err(format!("shard {shard} got to {next} of {records} only"));
            }
        }
        outcome.dead_letters = cluster.committed((Output::DeadLetters, 0), 0).count();
        outcome.sums.retain(|_, sum| *sum != 0);
        Ok(outcome)
    }

    /// A hash over everything that was written.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// The first difference, in words.
    pub fn difference_from(&self, calm: &Self) -> Option<String> {
        if self.dead_letters != calm.dead_letters {
            return Some(format!("{} dead letters, not {}", self.dead_letters, calm.dead_letters));
        }
        differing("sum", &self.sums, &calm.sums).or_else(|| differing("flow", &self.flows, &calm.flows))
    }

    fn read_deltas(&mut self, cluster: &Cluster, shard: u32) -> Result<(), String> {
        let mut sequence = Sequence::default();
        for value in self.values(cluster, (Output::Deltas, shard)) {
            let deltas = FlowDeltas::decode(value.as_slice()).map_err(|error| error.to_string())?;
            sequence.check("flow_deltas", shard, deltas.seq, deltas.part, deltas.parts)?;
            self.add(&deltas);
        }
        Ok(())
    }

    fn read_journal(&mut self, cluster: &Cluster, shard: u32) -> Result<i64, String> {
        let mut last: Option<ShardCommit> = None;
        for value in self.values(cluster, (Output::Journal, shard)) {
            let commit = ShardCommit::decode(value.as_slice()).map_err(|error| error.to_string())?;
            if let Some(mistake) = mistake(last.as_ref(), &commit, Reach::from(&commit)) {
                return Err(format!("commit {} of shard {shard}: {mistake}", commit.seq));
            }
            last = Some(commit);
        }
        Ok(last.map_or(0, |last| last.next_offset))
    }

    fn read_flows(&mut self, cluster: &Cluster, shard: u32, input: &Input) -> Result<(), String> {
        let mut revisions: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        for value in self.values(cluster, (Output::Traces, shard)) {
            let mut flow = FlowTrace::decode(value.as_slice()).map_err(|error| error.to_string())?;
            let before = revisions.insert(flow.trace_id.clone(), flow.revision);
            // A trace of which not even fingerprints are left begins anew.
            if input.keeps_fingerprints() && before.is_some_and(|before| before >= flow.revision) {
                return Err(format!(
                    "revision {} of flow {:x?} was told twice",
                    flow.revision, flow.trace_id
                ));
            }
            // How often it was revised, in which commit, and whether it was whole at its close, is a matter of when
            // it closed.
            (flow.revision, flow.seq, flow.part, flow.parts, flow.complete) = (0, 0, 0, 0, false);
            self.flows.insert(flow.trace_id.clone(), format!("{flow:?}"));
        }
        Ok(())
    }

    fn values(&mut self, cluster: &Cluster, place: Place) -> Vec<Vec<u8>> {
        let values: Vec<Vec<u8>> =
            cluster.committed(place, 0).filter_map(|(.., value)| value.map(<[u8]>::to_vec)).collect();
        self.bytes.extend(values.iter().cloned());
        values
    }

    fn add(&mut self, deltas: &FlowDeltas) {
        let text = |index: u32| deltas.strings[index as usize].as_str();
        let node = |index: u32| {
            let node = &deltas.nodes[index as usize];
            format!("{}/{}/{}:{}", text(node.cluster), text(node.namespace), text(node.name), node.kind)
        };
        for edge in &deltas.edges {
            let names = [edge.environment, edge.operation, edge.version].map(text).join("|");
            let ends = format!("{}>{}", node(edge.client), node(edge.server));
            let key = format!("edge {names} {ends} {} {}", edge.window_s, edge.weight_milli);
            let counts =
                [edge.calls, edge.errors, edge.client_errors, edge.retries, edge.timeouts, edge.rejected];
            self.count(&key, &[&counts[..], &[edge.messages, edge.paired]].concat());
            let times = [&edge.callee_latency, &edge.caller_latency, &edge.wait];
            self.count_times(&key, times);
        }
        for service in &deltas.services {
            let names = [service.environment, service.operation, service.version].map(text).join("|");
            let key = format!(
                "service {names} {} {} {}",
                node(service.node),
                service.window_s,
                service.weight_milli
            );
            self.count(&key, &[service.requests, service.errors, service.client_errors]);
            self.count_times(&key, [&service.latency, &service.self_time, &service.critical_path]);
        }
        for operation in &deltas.operations {
            let names = [operation.environment, operation.operation].map(text).join("|");
            let key = format!("operation {names} {} {}", operation.window_s, operation.weight_milli);
            self.count(&key, &[operation.flows, operation.errors, operation.timeouts]);
            self.count_times(&key, [&operation.duration]);
        }
        for endpoint in &deltas.endpoints {
            let names = [endpoint.environment, endpoint.version, endpoint.entry].map(text).join("|");
            let (window_s, weight) = (endpoint.window_s, endpoint.weight_milli);
            let key = format!("endpoint {names} {} {window_s} {weight}", node(endpoint.node));
            self.count(&key, &[endpoint.requests, endpoint.errors]);
            self.count_times(&key, [&endpoint.latency]);
        }
    }

    fn count(&mut self, key: &str, counts: &[i64]) {
        for (place, count) in counts.iter().enumerate() {
            *self.sums.entry(format!("{key} #{place}")).or_default() += count;
        }
    }

    fn count_times<const N: usize>(&mut self, key: &str, histograms: [&Option<Histogram>; N]) {
        for (place, histogram) in histograms.into_iter().enumerate() {
            let Some(histogram) = histogram else { continue };
            *self.sums.entry(format!("{key} µs{place}")).or_default() += histogram.sum_us;
            for (bucket, count) in histogram.bucket.iter().zip(&histogram.count) {
                *self.sums.entry(format!("{key} bucket{place} {bucket}")).or_default() += count;
            }
        }
    }
}

/// Commits 1, 2, 3 … with all their parts.
#[derive(Default)]
struct Sequence {
    last: Option<(u64, u32, u32)>,
}

impl Sequence {
    fn check(&mut self, topic: &str, shard: u32, seq: u64, part: u32, parts: u32) -> Result<(), String> {
        let expected = match self.last {
            None => (1, 0),
            Some((seq, part, parts)) if part + 1 < parts => (seq, part + 1),
            Some((seq, ..)) => (seq + 1, 0),
        };
        if (seq, part) != expected {
            let last = self.last;
            return Err(format!("{topic} of shard {shard}: commit {seq} part {part} after {last:?}"));
        }
        self.last = Some((seq, part, parts));
        Ok(())
    }
}

fn differing<K: Ord + Debug, V: PartialEq + Debug>(
    what: &str,
    stormy: &BTreeMap<K, V>,
    calm: &BTreeMap<K, V>,
) -> Option<String> {
    let keys = stormy.keys().chain(calm.keys());
    keys.filter(|key| stormy.get(key) != calm.get(key))
        .min()
        .map(|key| format!("{what} {key:?} is {:?}, not {:?}", stormy.get(key), calm.get(key)))
}
