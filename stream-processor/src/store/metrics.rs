//! What the store counts.

use super::content::Oddities;
use super::lane::{Lane, Source};
use super::sequence::Sequences;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Label of a source topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfTopic {
    /// Without prefix.
    pub topic: &'static str,
}

/// Labels of a source partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfPartition {
    /// Without prefix.
    pub topic: &'static str,
    /// Its number.
    pub partition: i32,
}

/// Label of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfShard {
    /// Its number.
    pub shard: i32,
}

/// Label of a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfTable {
    /// Its name.
    pub table: &'static str,
}

/// Label of a reason.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfReason {
    /// A short stable name.
    pub reason: &'static str,
}

type SecondsByTable = Family<OfTable, Histogram, fn() -> Histogram>;

/// All counters of the role; clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Batches whose inserts are all acknowledged.
    pub batches: Family<OfTopic, Counter>,
    /// Rows acknowledged.
    pub rows: Family<OfTable, Counter>,
    /// Time from sending an insert to its acknowledgement.
    pub insert_seconds: SecondsByTable,
    /// Inserts that failed and were sent again.
    pub insert_retries: Family<OfTable, Counter>,
    /// Records in the log that are not stored yet.
    pub lag: Family<OfPartition, Gauge>,
    /// Messages that could not be decoded.
    pub undecodable: Family<OfTopic, Counter>,
    /// Spans that are not stored raw.
    pub spans_dropped: Family<OfReason, Counter>,
    /// Breaks in a shard's sequence of commits: an alarm.
    pub seq_holes: Counter,
    /// Each shard's last commit that is in the tables …
    pub shard_seq: Family<OfShard, Gauge>,
    /// … and its log time, in seconds since the epoch: what the tables are complete up to.
    pub shard_clock: Family<OfShard, Gauge>,
    /// Shards of which nothing more is stored because a commit is missing.
    pub shard_stopped: Family<OfShard, Gauge>,
    /// Records that were gone before they were stored, given up by --accept-gap.
    pub gap_records: Family<OfTopic, Counter>,
    /// Starts of a lane from its journal, the first included.
    pub lane_starts: Family<OfTopic, Counter>,
}

impl Metrics {
    /// Registers everything.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            batches: Family::default(),
            rows: Family::default(),
            insert_seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.005, 2.0, 13))
            }),
            insert_retries: Family::default(),
            lag: Family::default(),
            undecodable: Family::default(),
            spans_dropped: Family::default(),
            seq_holes: Counter::default(),
            shard_seq: Family::default(),
            shard_clock: Family::default(),
            shard_stopped: Family::default(),
            gap_records: Family::default(),
            lane_starts: Family::default(),
        };
        registry.register("batches", "Batches whose inserts are all acknowledged", metrics.batches.clone());
        registry.register("rows", "Rows acknowledged by ClickHouse", metrics.rows.clone());
        registry.register("insert_seconds", "Duration of inserts", metrics.insert_seconds.clone());
        registry.register("insert_retries", "Inserts sent again", metrics.insert_retries.clone());
        registry.register("lag_records", "Records of the log not stored yet", metrics.lag.clone());
        registry.register("undecodable", "Messages that could not be decoded", metrics.undecodable.clone());
        registry.register("spans_dropped", "Spans not stored raw, by reason", metrics.spans_dropped.clone());
        registry.register("seq_holes", "Breaks in a shard's sequence of commits", metrics.seq_holes.clone());
        registry.register("shard_seq", "Last commit of a shard in the tables", metrics.shard_seq.clone());
        registry.register(
            "shard_clock_seconds",
            "Log time of that commit, seconds since the epoch",
            metrics.shard_clock.clone(),
        );
        registry.register(
            "shard_stopped",
            "1 where nothing more is stored because a commit is missing",
            metrics.shard_stopped.clone(),
        );
        registry.register("gap_records", "Records given up by --accept-gap", metrics.gap_records.clone());
        registry.register("lane_starts", "Starts of a lane from its journal", metrics.lane_starts.clone());
        metrics
    }

    /// Another store has the lane now and knows its lag.
    pub fn forget(&self, lane: &Lane) {
        for partition in &lane.partitions {
            self.lag.remove(&OfPartition { topic: lane.source.topic(), partition: *partition });
        }
        for shard in lane.partitions.iter().filter(|_| lane.source == Source::Deltas) {
            for gauges in [&self.shard_seq, &self.shard_clock, &self.shard_stopped] {
                gauges.remove(&OfShard { shard: *shard });
            }
        }
    }

    /// Shows how far the tables are with each shard.
    pub fn stored(&self, sequences: &Sequences) {
        for (shard, place) in sequences.places() {
            let label = OfShard { shard };
            self.shard_seq.get_or_create(&label).set(i64::try_from(place.seq).unwrap_or(i64::MAX));
            self.shard_clock.get_or_create(&label).set(place.clock_us / 1_000_000);
        }
    }

    /// Counts a batch that is done, and what was odd about it.
    pub fn batch_done(&self, topic: &'static str, oddities: &Oddities) {
        self.batches.get_or_create(&OfTopic { topic }).inc();
        self.undecodable.get_or_create(&OfTopic { topic }).inc_by(oddities.undecodable);
        for (reason, count) in &oddities.dropped {
            self.spans_dropped.get_or_create(&OfReason { reason }).inc_by(*count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sequence::Place;
    use super::*;

    #[test]
    fn every_shard_shows_how_far_the_tables_are() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let mut sequences = Sequences::default();
        sequences.move_to(3, Place { seq: 7, part: 0, parts: 1, clock_us: 1_700_000_000_900_000 });
        metrics.stored(&sequences);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in ["shard_seq{shard=\"3\"} 7", "shard_clock_seconds{shard=\"3\"} 1700000000"] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
