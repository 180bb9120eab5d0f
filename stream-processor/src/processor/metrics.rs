//! What a processor counts. Names begin with `weir_processor_`.

use super::encode::{Output, Record};
use super::intake::Applied;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// 1 ms to 16 s.
const COMMIT_SECONDS: [f64; 15] =
    [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 2.0, 4.0, 8.0, 16.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Partition {
    partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    name: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Topic {
    topic: &'static str,
}

type Seconds = Family<Partition, Histogram, fn() -> Histogram>;

/// The metrics of all shards of a process.
pub struct ProcessorMetrics {
    records: Family<Partition, Counter>,
    spans: Family<Partition, Counter>,
    commits: Family<Partition, Counter>,
    commit_seconds: Seconds,
    open_spans: Family<Partition, Gauge>,
    open_traces: Family<Partition, Gauge>,
    commit_seq: Family<Partition, Gauge>,
    lag: Family<Partition, Gauge>,
    clock_age: Family<Partition, Gauge>,
    duplicate_reach: Family<Partition, Gauge>,
    gap_offsets: Family<Partition, Counter>,
    recoveries: Family<Partition, Counter>,
    recovery_seconds: Family<Partition, Gauge<f64, AtomicU64>>,
    replayed_spans: Family<Partition, Counter>,
    fenced: Family<Partition, Counter>,
    takeovers: Family<Partition, Counter>,
    wrong_copies: Family<Partition, Counter>,
    copied: Family<Partition, Gauge>,
    dead_letters: Family<Reason, Counter>,
    rejected_spans: Family<Reason, Counter>,
    counted: Family<Name, Counter>,
    output_records: Family<Topic, Counter>,
    output_bytes: Family<Topic, Counter>,
}

impl ProcessorMetrics {
    /// Registers everything under the role's prefix.
    pub fn register(registry: &mut Registry) -> Self {
        let seconds: fn() -> Histogram = || Histogram::new(COMMIT_SECONDS);
        let metrics = Self {
            records: Family::default(),
            spans: Family::default(),
            commits: Family::default(),
            commit_seconds: Family::new_with_constructor(seconds),
            open_spans: Family::default(),
            open_traces: Family::default(),
            commit_seq: Family::default(),
            lag: Family::default(),
            clock_age: Family::default(),
            duplicate_reach: Family::default(),
            gap_offsets: Family::default(),
            recoveries: Family::default(),
            recovery_seconds: Family::default(),
            replayed_spans: Family::default(),
            fenced: Family::default(),
            takeovers: Family::default(),
            wrong_copies: Family::default(),
            copied: Family::default(),
            dead_letters: Family::default(),
            rejected_spans: Family::default(),
            counted: Family::default(),
            output_records: Family::default(),
            output_bytes: Family::default(),
        };
        metrics.register_in(registry);
        metrics
    }

    fn register_in(&self, registry: &mut Registry) {
        registry.register(
            "records",
            "Records of otlp_spans whose outputs are committed",
            self.records.clone(),
        );
        registry.register("spans", "Spans whose outputs are committed", self.spans.clone());
        registry.register("commits", "Transactions committed", self.commits.clone());
        registry.register("commit_seconds", "Time a commit took", self.commit_seconds.clone());
        registry.register("open_spans", "Spans in traces that have not closed", self.open_spans.clone());
        registry.register("open_traces", "Traces that have not closed", self.open_traces.clone());
        registry.register("commit_seq", "Number of the shard's last commit", self.commit_seq.clone());
        registry.register("lag_records", "Offsets in the log that are not applied yet", self.lag.clone());
        registry.register(
            "clock_age_seconds",
            "Wall clock minus the shard's log time",
            self.clock_age.clone(),
        );
        registry.register(
            "duplicate_reach_seconds",
            "How long after a flow's close its duplicates are certainly known",
            self.duplicate_reach.clone(),
        );
        registry.register("gap_offsets", "Offsets given up by --accept-gap", self.gap_offsets.clone());
        registry.register(
            "recoveries",
            "Times a shard was started or started again",
            self.recoveries.clone(),
        );
        registry.register(
            "recovery_seconds",
            "Time until a shard was live again, last time",
            self.recovery_seconds.clone(),
        );
        registry.register(
            "replayed_spans",
            "Spans that were read again to rebuild a shard",
            self.replayed_spans.clone(),
        );
        registry.register("fenced", "Times another process took a shard's transactions", self.fenced.clone());
        registry.register(
            "takeovers",
            "Starts from a copy, without reading the log again",
            self.takeovers.clone(),
        );
        registry.register(
            "wrong_copies",
            "Copies that were not what their shard was, which was rebuilt instead",
            self.wrong_copies.clone(),
        );
        registry.register(
            "copy_offset",
            "Everything before it is in this process's copy of a shard that another one owns",
            self.copied.clone(),
        );
        registry.register("dead_letters", "Records that could not be decoded", self.dead_letters.clone());
        registry.register(
            "rejected_spans",
            "Spans that were dropped, by reason",
            self.rejected_spans.clone(),
        );
        registry.register("counted", "What the shards counted, by name", self.counted.clone());
        registry.register("output_records", "Records committed", self.output_records.clone());
        registry.register("output_bytes", "Bytes committed, before compression", self.output_bytes.clone());
    }

    /// The handles of one shard, looked up once.
    pub fn shard(&self, partition: i32) -> ShardMetrics {
        let label = Partition { partition };
        ShardMetrics {
            records: self.records.get_or_create_owned(&label),
            spans: self.spans.get_or_create_owned(&label),
            commits: self.commits.get_or_create_owned(&label),
            commit_seconds: self.commit_seconds.get_or_create_owned(&label),
            open_spans: self.open_spans.get_or_create_owned(&label),
            open_traces: self.open_traces.get_or_create_owned(&label),
            commit_seq: self.commit_seq.get_or_create_owned(&label),
            lag: self.lag.get_or_create_owned(&label),
            clock_age: self.clock_age.get_or_create_owned(&label),
            duplicate_reach: self.duplicate_reach.get_or_create_owned(&label),
            gap_offsets: self.gap_offsets.get_or_create_owned(&label),
            recoveries: self.recoveries.get_or_create_owned(&label),
            recovery_seconds: self.recovery_seconds.get_or_create_owned(&label),
            replayed_spans: self.replayed_spans.get_or_create_owned(&label),
            fenced: self.fenced.get_or_create_owned(&label),
            takeovers: self.takeovers.get_or_create_owned(&label),
            wrong_copies: self.wrong_copies.get_or_create_owned(&label),
        }
    }

    /// A copy of this partition's shard is that far; `None`: there is none any more.
    pub fn copied(&self, partition: i32, next_offset: Option<i64>) {
        let label = Partition { partition };
        match next_offset {
            Some(next_offset) => {
                self.copied.get_or_create(&label).set(next_offset);
            }
            None => {
                self.copied.remove(&label);
            }
        }
    }

    /// Takes down the gauges of a shard that is not here any more; its counters stay.
    pub fn forget(&self, partition: i32) {
        let label = Partition { partition };
        for gauges in [
            &self.open_spans,
            &self.open_traces,
            &self.commit_seq,
            &self.lag,
            &self.clock_age,
            &self.duplicate_reach,
        ] {
            gauges.remove(&label);
        }
    }

    /// Counts what a commit wrote, by topic.
    pub fn written(&self, records: &[Record]) {
        // They come topic by topic.
        for alike in records.chunk_by(|a, b| a.output == b.output) {
            let topic = Topic { topic: name(alike[0].output) };
            let bytes: usize = alike.iter().filter_map(|record| record.value.as_ref()).map(Vec::len).sum();
            self.output_records.get_or_create(&topic).inc_by(alike.len() as u64);
            self.output_bytes.get_or_create(&topic).inc_by(bytes as u64);
        }
    }

    /// Counts what didn't become part of a graph, and everything else the shard counted.
    pub fn counted(&self, applied: &Applied, counters: &BTreeMap<&'static str, u64>) {
        for letter in &applied.dead_letters {
            self.dead_letters.get_or_create(&Reason { reason: letter.reason() }).inc();
        }
        for (reason, spans) in &applied.rejected {
            self.rejected_spans.get_or_create(&Reason { reason }).inc_by(*spans);
        }
        for (name, count) in counters {
            self.counted.get_or_create(&Name { name }).inc_by(*count);
        }
    }
}

fn name(output: Output) -> &'static str {
    use schemas::topics;
    match output {
        Output::Deltas => topics::FLOW_DELTAS,
        Output::Events => topics::FLOW_EVENTS,
        Output::Traces => topics::FLOW_TRACES,
        Output::State => topics::FLOW_STATE,
        Output::DeadLetters => topics::FLOW_DEAD_LETTERS,
        Output::Journal => topics::FLOW_JOURNAL,
    }
}

/// The metrics of one shard.
pub struct ShardMetrics {
    records: Counter,
    spans: Counter,
    commits: Counter,
    commit_seconds: Histogram,
    open_spans: Gauge,
    open_traces: Gauge,
    commit_seq: Gauge,
    lag: Gauge,
    clock_age: Gauge,
    duplicate_reach: Gauge,
    gap_offsets: Counter,
    recoveries: Counter,
    recovery_seconds: Gauge<f64, AtomicU64>,
    replayed_spans: Counter,
    fenced: Counter,
    takeovers: Counter,
    wrong_copies: Counter,
}

impl ShardMetrics {
    /// A commit of so many records and spans is done.
    pub fn committed(&self, records: u64, spans: u64, took: Duration) {
        self.records.inc_by(records);
        self.spans.inc_by(spans);
        self.commits.inc();
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// Where the shard stands after its commit `seq`.
    pub fn stands(&self, seq: u64, open_spans: usize, open_traces: usize, clock_age_us: i64) {
        self.commit_seq.set(i64::try_from(seq).unwrap_or(i64::MAX));
        self.open_spans.set(open_spans as i64);
        self.open_traces.set(open_traces as i64);
        self.clock_age.set(clock_age_us / 1_000_000);
    }

    /// How long after their close duplicates are certainly known.
    pub fn knows_duplicates_for(&self, reach_us: i64) {
        self.duplicate_reach.set(reach_us / 1_000_000);
    }

    /// How far behind the end of the log it is.
    pub fn behind(&self, records: i64) {
        self.lag.set(records);
    }

    /// It is live, here or again, has read so many spans for that, and leaves out so many offsets.
    pub fn recovered(&self, took: Duration, replayed: u64, gap: i64) {
        self.recoveries.inc();
        self.recovery_seconds.set(took.as_secs_f64());
        self.replayed_spans.inc_by(replayed);
        self.gap_offsets.inc_by(gap.unsigned_abs());
    }

    /// It began as a copy.
    pub fn took_over(&self) {
        self.takeovers.inc();
    }

    /// A copy of it was not what it was.
    pub fn had_wrong_copy(&self) {
        self.wrong_copies.inc();
    }

    /// How often it began as a copy, and how often one was wrong.
    pub fn copies(&self) -> (u64, u64) {
        (self.takeovers.get(), self.wrong_copies.get())
    }

    /// Another process has its transactions.
    pub fn was_fenced(&self) {
        self.fenced.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode::Headers;
    use super::super::intake::{DeadLetter, Origin};
    use super::*;
    use reader::Undecodable;

    fn scrape(registry: &Registry) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        text
    }

    #[test]
    fn counters_carry_their_labels_and_gauges_leave_with_the_shard() {
        let mut registry = Registry::default();
        let metrics = ProcessorMetrics::register(&mut registry);
        let shard = metrics.shard(3);
        shard.committed(2, 40, Duration::from_millis(7));
        shard.stands(9, 11, 3, 2_500_000);
        shard.behind(5);
        let origin = Origin { topic: "otlp_spans", partition: 3, offset: 1, appended_us: 0 };
        let applied = Applied {
            rejected: BTreeMap::from([("zero_trace_id", 2)]),
            dead_letters: vec![DeadLetter::new(&Undecodable::Malformed, origin, b"?")],
            ..Default::default()
        };
        metrics.counted(&applied, &BTreeMap::from([("duplicate_exact", 4)]));
        metrics.written(&[Record {
            output: Output::Deltas,
            key: None,
            value: Some(vec![0; 9]),
            headers: Headers::None,
        }]);
        let text = scrape(&registry);
        for line in [
            "spans_total{partition=\"3\"} 40",
            "commits_total{partition=\"3\"} 1",
            "open_spans{partition=\"3\"} 11",
            "open_traces{partition=\"3\"} 3",
            "commit_seq{partition=\"3\"} 9",
            "lag_records{partition=\"3\"} 5",
            "clock_age_seconds{partition=\"3\"} 2",
            "dead_letters_total{reason=\"malformed\"} 1",
            "rejected_spans_total{reason=\"zero_trace_id\"} 2",
            "counted_total{name=\"duplicate_exact\"} 4",
            "output_bytes_total{topic=\"flow_deltas\"} 9",
            "commit_seconds_count{partition=\"3\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        metrics.forget(3);
        let text = scrape(&registry);
        assert!(!text.contains("open_spans{"), "{text}");
        assert!(text.contains("spans_total{partition=\"3\"} 40"), "{text}");
    }
}
