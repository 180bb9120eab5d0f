//! `topics.toml` as values, and the partition rule that every producer of spans must follow.

use serde::Deserialize;
use std::collections::BTreeMap;

/// Largest record, ours or a journaled one, in bytes before compression. librdkafka and the broker refuse more
/// than 1,000,000 by default; the rest is room for headers and framing.
pub const MAX_RECORD_BYTES: usize = 900_000;

/// OTLP spans, keyed by trace id or packed by partition.
pub const OTLP_SPANS: &str = "otlp_spans";
/// Changes to flow graphs.
pub const FLOW_DELTAS: &str = "flow_deltas";
/// Starts, updates and completions of flows.
pub const FLOW_EVENTS: &str = "flow_events";
/// One summary a flow.
pub const FLOW_TRACES: &str = "flow_traces";
/// Commits of shards.
pub const FLOW_JOURNAL: &str = "flow_journal";
/// State that outlives a commit.
pub const FLOW_STATE: &str = "flow_state";
/// Batches of the store.
pub const STORE_JOURNAL: &str = "store_journal";
/// Input that could not be decoded.
pub const FLOW_DEAD_LETTERS: &str = "flow_dead_letters";

/// One entry of `topics.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// What the record key is.
    pub key: String,
    /// What the record value is.
    pub value: String,
    /// Who writes it.
    pub made_by: String,
    /// How its partitions are counted.
    pub partitions: Partitions,
    /// `delete` or `compact`.
    pub cleanup: Cleanup,
    /// Hours until a record may be deleted; compacted topics have none.
    pub retention_hours: Option<u32>,
    /// `message.timestamp.type`.
    pub timestamp: Timestamp,
}

/// Where a topic's partition count comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Partitions {
    /// One a shard, chosen once.
    Shards,
    /// One a store lane.
    Lanes,
    /// A single partition.
    One,
}

/// `cleanup.policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cleanup {
    /// Old records are deleted.
    Delete,
    /// The newest record of each key stays.
    Compact,
}

/// `message.timestamp.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Timestamp {
    /// The broker's clock when the record is appended.
    LogAppendTime,
    /// The producer's clock.
    CreateTime,
}

impl Cleanup {
    /// The broker's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Compact => "compact",
        }
    }
}

impl Timestamp {
    /// The broker's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LogAppendTime => "LogAppendTime",
            Self::CreateTime => "CreateTime",
        }
    }
}

/// All topics by name.
///
/// # Panics
/// If the embedded `topics.toml` does not parse, which the test below rules out.
pub fn all() -> BTreeMap<String, Topic> {
    toml::from_str(include_str!("../topics.toml")).expect("topics.toml is checked by a test")
}

/// The partition that all spans of a trace go to: `abs(int32(FNV-1a-32(key))) mod partitions` with the 32
/// lower-hex digits of the trace id as key. This is what the collector's Kafka exporter does with
/// `partition_traces_by_id: true`, and librdkafka with `partitioner=fnv1a_random`.
pub fn partition_of(trace_id: u128, partitions: u32) -> u32 {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let hash = trace_id.to_be_bytes().iter().fold(0x811c_9dc5_u32, |hash, byte| {
        [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
            .iter()
            .fold(hash, |hash, digit| (hash ^ u32::from(*digit)).wrapping_mul(0x0100_0193))
    });
    // `abs` of the most negative int32 is itself in the exporter's Go; masking as unsigned_abs does is what
    // sarama's hash partitioner arrives at for every other value, and it can't index out of range.
    hash.cast_signed().unsigned_abs() % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_constant_is_in_the_file_and_the_other_way_round() {
        let named = [
            OTLP_SPANS,
            FLOW_DELTAS,
            FLOW_EVENTS,
            FLOW_TRACES,
            FLOW_JOURNAL,
            FLOW_STATE,
            STORE_JOURNAL,
            FLOW_DEAD_LETTERS,
        ];
        let mut in_file: Vec<String> = all().into_keys().collect();
        let mut in_code: Vec<String> = named.iter().map(ToString::to_string).collect();
        in_file.sort();
        in_code.sort();
        assert_eq!(in_file, in_code);
    }

    #[test]
    fn input_is_never_compacted_and_is_stamped_by_the_broker() {
        let input = &all()[OTLP_SPANS];
        assert_eq!((input.cleanup, input.timestamp), (Cleanup::Delete, Timestamp::LogAppendTime));
    }

    #[test]
    fn partition_follows_fnv1a_of_the_hex_digits() {
        // Random ids, the rule computed independently in Python.
        for (id, partitions, partition) in PARTITION_VECTORS {
            assert_eq!(partition_of(*id, *partitions), *partition, "{id:032x} mod {partitions}");
        }
    }

    const PARTITION_VECTORS: &[(u128, u32, u32)] = &[
        (0xcd613e30d8f16adf91b7584a2265b1f5, 2, 0),
        (0x1e2feb89414c343c1027c4d1c386bbc4, 3, 0),
        (0x78e510617311d8a3c2ce6f447ed4d57b, 64, 39),
        (0x35bf992dc9e9c616612e7696a6cecc1b, 64, 19),
    ];
}
