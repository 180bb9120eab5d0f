//! How far the store is, as it says itself in `store_progress`.

use crate::live::shards::ShardStaleness;
use crate::number::tenths;
use crate::stored::Stored;
use clickhouse::Row;
use clickhouse::error::Error;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// Tables that are further behind a shard's log than this are late: a batch takes a second or two.
const LATE_AFTER_S: f64 = 10.0;

/// One partition of a topic. Whatever is below `next_offset` is in the tables; what is above may be, while a batch is
/// being inserted.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct Progress {
    /// The lane that has the partition.
    pub lane: u16,
    /// Its number: that of the shard, where the topic has commits.
    pub partition: u32,
    /// The newest batch that moved it.
    pub last_batch: u64,
    /// The first offset that is not in the tables yet.
    pub next_offset: i64,
    /// The last record that is in them: of this commit …
    pub seq: u64,
    /// … this part, counted from 0 …
    pub part: u32,
    /// … of so many; 0 where the topic has no commits, or none is stored.
    pub parts: u32,
    /// The shard's log time at that commit in µs.
    pub clock_us: i64,
}

const OF_TOPIC: &str = "SELECT lane, partition, max(batch) AS last_batch, argMax(next_offset, batch) AS next_offset, \
     argMax(seq, batch) AS seq, argMax(part, batch) AS part, argMax(parts, batch) AS parts, \
     toUnixTimestamp64Micro(argMax(clock, batch)) AS clock_us \
     FROM store_progress WHERE topic = {topic:String} GROUP BY lane, partition ORDER BY partition";

/// Every partition of a topic that the store has come to, in order. Rows that are asked for afterwards, from the same
/// server, hold at least this.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn of_topic(stored: &Stored, topic: &str) -> Result<Vec<Progress>, Error> {
    stored.ask(OF_TOPIC).param("topic", topic).fetch_all().await
}

/// How far the tables are, shard by shard: what was committed up to there is in an answer, what came later may be.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoredStaleness {
    /// Whether no shard is late.
    pub fresh: bool,
    /// What is wrong, in words; "" if nothing is.
    pub message: String,
    /// The shards by number.
    #[schema(value_type = BTreeMap<String, StoredShard>)]
    pub shards: BTreeMap<u32, StoredShard>,
}

/// How far the tables are with one shard.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoredShard {
    /// Last commit that is whole in the tables; 0 before the first.
    pub seq: u64,
    /// The shard's log time at the last record that is in the tables, in µs; 0 before the first.
    pub clock: i64,
    /// Commits that live state has and the tables lack; null while live state doesn't know the shard.
    pub commits_behind: Option<u64>,
    /// Log time between the two in seconds; until now, while live state doesn't know the shard; null before the first.
    pub behind_seconds: Option<f64>,
}

impl StoredStaleness {
    /// Compares what the store says with what live state has, both as of about `now_us`.
    pub fn new(progress: &[Progress], live: &BTreeMap<u32, ShardStaleness>, now_us: i64) -> Self {
        let stored = progress.iter().map(|row| (row.partition, row)).collect::<BTreeMap<_, _>>();
        let numbers: BTreeSet<u32> = live.keys().chain(stored.keys()).copied().collect();
        let shards: BTreeMap<u32, StoredShard> = numbers
            .into_iter()
            .map(|number| {
                let row = stored.get(&number).copied().filter(|row| row.parts > 0);
                (number, StoredShard::new(row, live.get(&number), now_us))
            })
            .collect();
        let message = shards.iter().find_map(|(number, shard)| shard.trouble(*number)).unwrap_or_default();
        Self { fresh: message.is_empty(), message, shards }
    }
}

impl StoredShard {
    fn new(stored: Option<&Progress>, live: Option<&ShardStaleness>, now_us: i64) -> Self {
        let live = live.filter(|live| live.seq > 0);
        let seq = stored.map_or(0, Progress::complete_seq);
        let newest_us = live.map_or(now_us, |live| live.clock);
        let behind_us = stored.map(|stored| (newest_us - stored.clock_us).max(0));
        Self {
            seq,
            clock: stored.map_or(0, |stored| stored.clock_us),
            commits_behind: live.map(|live| live.seq.saturating_sub(seq)),
            behind_seconds: behind_us.map(tenths),
        }
    }

    fn trouble(&self, number: u32) -> Option<String> {
        match self.behind_seconds {
            Some(seconds) if seconds > LATE_AFTER_S => {
                Some(format!("shard {number}: the tables are {seconds:.0} s behind"))
            }
            None if self.commits_behind.is_some() => Some(format!("shard {number}: nothing is stored yet")),
            _ => None,
        }
    }
}

impl Progress {
    /// The last commit of which every part is in the tables.
    fn complete_seq(&self) -> u64 {
        if self.part + 1 < self.parts { self.seq.saturating_sub(1) } else { self.seq }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::shards::ShardState;

    const NOW_US: i64 = 1_700_000_000_000_000;

    fn stored(seq: u64, part: u32, age_s: i64) -> Progress {
        let clock_us = NOW_US - age_s * 1_000_000;
        Progress { lane: 0, partition: 0, last_batch: 1, next_offset: 9, seq, part, parts: 2, clock_us }
    }

    fn told(progress: &[Progress], live_seq: u64) -> (bool, String, StoredShard) {
        let live = ShardStaleness {
            seq: live_seq,
            clock: NOW_US - 1_000_000,
            behind_seconds: None,
            state: ShardState::Live,
            message: String::new(),
        };
        let told = StoredStaleness::new(progress, &BTreeMap::from([(0, live)]), NOW_US);
        (told.fresh, told.message, told.shards[&0].clone())
    }

    #[test]
    fn tables_are_as_far_as_their_last_whole_commit() {
        let (fresh, _, shard) = told(&[stored(7, 1, 3)], 9);
        assert_eq!(
            (fresh, shard.seq, shard.commits_behind, shard.behind_seconds),
            (true, 7, Some(2), Some(2.0))
        );
        assert_eq!(told(&[stored(7, 0, 3)], 9).2.seq, 6);
    }

    #[test]
    fn late_tables_are_told_in_words() {
        let (fresh, message, _) = told(&[stored(7, 1, 31)], 99);
        assert_eq!((fresh, message.as_str()), (false, "shard 0: the tables are 30 s behind"));
        let (fresh, message, _) = told(&[], 3);
        assert_eq!((fresh, message.as_str()), (false, "shard 0: nothing is stored yet"));
    }

    #[test]
    fn a_shard_that_live_state_does_not_know_is_as_late_as_its_last_commit() {
        let (fresh, _, shard) = told(&[stored(7, 1, 31)], 0);
        assert_eq!((fresh, shard.commits_behind, shard.behind_seconds), (false, None, Some(31.0)));
        assert!(told(&[], 0).0, "and one that never said anything is not late");
    }
}
