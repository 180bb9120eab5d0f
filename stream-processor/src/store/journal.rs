//! What a lane has begun and done, in `store_journal`: the truth about its progress. Every entry says all there is
//! to know about its lane, so the newest one is enough and the topic may be compacted.

use super::failure::Failure;
use super::sequence::Sequences;
use super::servers::Servers;
use serde::{Deserialize, Serialize};

/// First stretch to be searched for a lane's entry, in offsets; each entry takes two.
const FIRST_STEP: i64 = 256;

/// How records become blocks. A batch that was begun is only sent again by a program that makes the same blocks.
pub const FORMAT: u32 = 3;

/// One entry: a lane was taken, a batch was begun, or done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The lane.
    pub lane: u16,
    /// The run of a process that wrote it, and that has the lane.
    #[serde(default)]
    pub owner: String,
    /// The batch, counted from 1; 0 before the first.
    pub batch: u64,
    /// Part of the tokens: tells this life of the journal from an earlier one.
    pub generation: u64,
    /// The last migration that the program knew: an older one doesn't go on, and a newer one only when the batch is done.
    #[serde(default)]
    pub schema: u32,
    /// [`FORMAT`] of the program that began the batch.
    pub format: u32,
    /// All inserts of the batch have been acknowledged.
    pub done: bool,
    /// The source topic, without prefix.
    pub topic: String,
    /// Every partition of the lane, also those of which the batch holds nothing.
    pub ranges: Vec<Range>,
    /// Each shard's last commit: before the batch when it begins, after it when it is done.
    #[serde(default)]
    pub sequences: Sequences,
}

/// Offsets of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Source partition.
    pub partition: i32,
    /// First offset of the batch.
    pub first: i64,
    /// First offset after the batch.
    pub next: i64,
}

impl Entry {
    /// The same for tables of this schema. Tokens of two schemas never meet.
    pub fn moved_to(self, schema: u32) -> Self {
        let generation = if self.schema == schema { self.generation } else { self.generation + 1 };
        Self { schema, generation, ..self }
    }
}

/// The newest entry of a lane. To be called after fencing by whoever wants to go on behind it.
///
/// # Errors
/// Kafka doesn't answer in time, or an entry can't be read.
pub fn newest_entry(servers: &impl Servers) -> Result<Option<Entry>, Failure> {
    let log = servers.journal_ends()?;
    let mut step = FIRST_STEP;
    loop {
        let from = (log.high - step).max(log.low);
        let newest = servers.last_in_journal(from..log.high)?;
        if newest.is_some() || from == log.low {
            return newest.map(|value| entry(&value)).transpose();
        }
        step *= 4;
    }
}

fn entry(value: &[u8]) -> Result<Entry, Failure> {
    serde_json::from_slice(value)
        .map_err(|error| Failure::Refused(format!("an entry of store_journal can't be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever changes columns raises [`FORMAT`]: a batch begun before a migration is finished under the old tables.
    #[test]
    fn other_columns_are_another_format() {
        use super::super::{batch, deltas, flows, spans};
        let single = [flows::TRACES, flows::FLOW_GRAPHS, spans::OTEL_TRACES, batch::STORE_PROGRESS];
        let tables = deltas::SUMS.into_iter().chain(deltas::RAW).chain(single);
        let text: String = tables.map(|table| format!("{table:?}")).collect();
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        assert_eq!((FORMAT, hash), (3, 1_988_689_873_242_883_124));
    }

    #[test]
    fn entries_read_back_as_written_and_unknown_fields_are_ignored() {
        let mut sequences = Sequences::default();
        sequences.move_to(1, super::super::sequence::Place { seq: 7, part: 0, parts: 1, clock_us: 5 });
        let written = Entry {
            lane: 2,
            owner: "7".to_owned(),
            batch: 9,
            generation: 3,
            schema: 10,
            format: FORMAT,
            done: true,
            topic: "otlp_spans".to_owned(),
            ranges: vec![Range { partition: 0, first: 4, next: 8 }],
            sequences,
        };
        let mut json = serde_json::to_value(&written).unwrap();
        json["later"] = 1.into();
        assert_eq!(entry(json.to_string().as_bytes()).unwrap(), written);
        assert!(matches!(entry(b"{}"), Err(Failure::Refused(why)) if why.contains("store_journal")));
    }
}
