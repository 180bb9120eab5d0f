//! Where `otlp_spans` ended in the last minutes: how old the raw spans are that ClickHouse lacks.

use super::feed::{ASK, consumer, now_us, partitions};
use crate::number::tenths;
use crate::progress::Progress;
use anyhow::bail;
use process::KafkaOptions;
use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};
use schemas::topics::partition_of;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

const LOOK_EVERY: Duration = Duration::from_secs(2);
const STOP_LOOK: Duration = Duration::from_millis(100);
/// Looks that are kept: five minutes. What is further behind is behind for longer than that.
const LOOKS: usize = 150;
/// A look that is older than this says nothing about now: Kafka doesn't answer.
const OLD_AFTER_US: i64 = 15_000_000;
/// Raw spans that are stored later than this are late: a batch takes a second or two.
const LATE_AFTER_S: f64 = 10.0;
/// What `otlp_spans` holds, in messages.
pub const RAW_SPANS: &str = "raw spans";

/// The last looks, oldest first. A lock, because one thread looks while requests read; each holds it for a moment.
#[derive(Clone, Default)]
pub struct Ends(Arc<Mutex<VecDeque<Look>>>);

#[derive(Debug, Clone)]
struct Look {
    at_us: i64,
    /// The first offset that was not there yet, of every partition.
    ends: BTreeMap<u32, i64>,
}

/// How far raw spans are in ClickHouse, as one trace needs to know it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SpansStaleness {
    /// Whether its shard is not late.
    pub fresh: bool,
    /// What is wrong, in words; "" if nothing is.
    pub message: String,
    /// The shard that has all spans of the trace, by number: it is the partition of `otlp_spans`.
    #[schema(value_type = BTreeMap<String, SpansShard>)]
    pub shards: BTreeMap<u32, SpansShard>,
}

/// How far the raw spans of one partition are in ClickHouse.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpansShard {
    /// Records in Kafka that are not stored yet.
    pub records_behind: i64,
    /// All that Kafka had so many seconds before it was last asked is stored; null if that is longer ago than is known,
    /// which is five minutes at most, and little after a start.
    pub behind_seconds: Option<f64>,
}

impl Ends {
    /// What is stored of `otlp_spans`, asked for before the spans of the trace, compared with what Kafka has.
    pub fn staleness(&self, progress: &[Progress], trace_id: u128, now_us: i64) -> SpansStaleness {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = looks.back().filter(|look| now_us - look.at_us < OLD_AFTER_US);
        let Some(newest) = newest else {
            let message = "Kafka has not said lately how many spans it has".to_owned();
            return SpansStaleness { fresh: false, message, shards: BTreeMap::new() };
        };
        let number = partition_of(trace_id, u32::try_from(newest.ends.len()).unwrap_or(u32::MAX));
        let next = progress.iter().find(|row| row.partition == number).map_or(0, |row| row.next_offset);
        let shard = shard(&looks, newest, number, next);
        let message = shard.trouble(number, RAW_SPANS).unwrap_or_default();
        SpansStaleness { fresh: message.is_empty(), message, shards: BTreeMap::from([(number, shard)]) }
    }

    /// The same of all partitions, for what is in the tables of many flows. `markers` are offsets at the end of each that
    /// hold no record: the commit marker of the last transaction, where there are transactions.
    pub fn staleness_of_all(
        &self,
        progress: &[Progress],
        markers: i64,
        what: &str,
        now_us: i64,
    ) -> SpansStaleness {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = looks.back().filter(|look| now_us - look.at_us < OLD_AFTER_US);
        let Some(newest) = newest else {
            let message = format!("Kafka has not said lately how many {what} it has");
            return SpansStaleness { fresh: false, message, shards: BTreeMap::new() };
        };
        let shard = |number: u32| {
            let next = progress.iter().find(|row| row.partition == number).map_or(0, |row| row.next_offset);
            shard(&looks, newest, number, next.saturating_add(markers))
        };
        let shards: BTreeMap<u32, SpansShard> =
            newest.ends.keys().map(|number| (*number, shard(*number))).collect();
        let message =
            shards.iter().find_map(|(number, shard)| shard.trouble(*number, what)).unwrap_or_default();
        SpansStaleness { fresh: message.is_empty(), message, shards }
    }

    fn note(&self, look: Look) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if looks.len() == LOOKS {
            looks.pop_front();
        }
        looks.push_back(look);
    }
}

fn shard(looks: &VecDeque<Look>, newest: &Look, number: u32, next: i64) -> SpansShard {
    let end = newest.ends.get(&number).copied().unwrap_or_default();
    let had_no_more = |look: &&Look| look.ends.get(&number).is_some_and(|end| *end <= next);
    let stored = looks.iter().rev().find(had_no_more);
    let behind_seconds = stored.map(|look| tenths(newest.at_us - look.at_us));
    SpansShard { records_behind: (end - next).max(0), behind_seconds }
}

impl SpansShard {
    fn trouble(&self, number: u32, what: &str) -> Option<String> {
        let records = self.records_behind;
        match self.behind_seconds {
            Some(seconds) if seconds <= LATE_AFTER_S => None,
            Some(seconds) => Some(format!("shard {number}: {what} are stored {seconds:.0} s late")),
            None => Some(format!("shard {number}: {records} records of {what} are not stored yet")),
        }
    }
}

/// Starts the thread that looks.
///
/// # Errors
/// The system refuses a thread.
pub fn follow(
    kafka: KafkaOptions,
    topic: String,
    ends: Ends,
    stop: CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    let following = move || {
        while !stop.is_cancelled() {
            if let Err(reason) = session(&kafka, &topic, &ends, &stop) {
                tracing::debug!(reason = format!("{reason:#}"), topic, "can't look where a topic ends");
            }
            pause(&stop);
        }
    };
    Ok(std::thread::Builder::new().name("ends".to_owned()).spawn(following)?)
}

fn session(kafka: &KafkaOptions, topic: &str, ends: &Ends, stop: &CancellationToken) -> anyhow::Result<()> {
    let consumer = consumer(kafka)?;
    let partitions = partitions(&consumer, topic)?;
    while !stop.is_cancelled() {
        let at_us = now_us();
        let mut asked = TopicPartitionList::new();
        for partition in 0..partitions {
            // Asked for as a time, "the end" is answered with the offset of the end.
            asked.add_partition_offset(topic, partition, Offset::End)?;
        }
        let mut found = BTreeMap::new();
        for element in consumer.offsets_for_times(asked, ASK)?.elements() {
            element.error()?;
            let Offset::Offset(end) = element.offset() else { bail!("a partition has no end") };
            found.insert(u32::try_from(element.partition())?, end);
        }
        ends.note(Look { at_us, ends: found });
        pause(stop);
    }
    Ok(())
}

fn pause(stop: &CancellationToken) {
    let until = Instant::now() + LOOK_EVERY;
    while Instant::now() < until && !stop.is_cancelled() {
        std::thread::sleep(STOP_LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_700_000_000_000_000;

    /// Looks every 2 s, the last one now; what is stored goes to `next`.
    fn told(ends: &[i64], next: i64) -> (SpansStaleness, Option<SpansShard>) {
        let looks = Ends::default();
        for (end, age) in ends.iter().rev().zip(0..).collect::<Vec<_>>().into_iter().rev() {
            looks.note(Look { at_us: NOW_US - age * 2_000_000, ends: BTreeMap::from([(0, *end)]) });
        }
        let progress = Progress {
            lane: 2,
            partition: 0,
            last_batch: 1,
            next_offset: next,
            seq: 0,
            part: 0,
            parts: 0,
            clock_us: 0,
        };
        let staleness = looks.staleness(&[progress], 7, NOW_US + 1);
        let shard = staleness.shards.get(&0).cloned();
        (staleness, shard)
    }

    #[test]
    fn spans_are_as_late_as_the_last_look_that_had_no_more() {
        let (staleness, shard) = told(&[10, 20, 30, 40], 25);
        assert!(staleness.fresh);
        assert_eq!(shard, Some(SpansShard { records_behind: 15, behind_seconds: Some(4.0) }));
        assert_eq!(told(&[40, 40], 40).1, Some(SpansShard { records_behind: 0, behind_seconds: Some(0.0) }));
        let (staleness, _) = told(&[10, 20, 30, 40, 50, 60, 70], 11);
        assert_eq!(
            (staleness.fresh, staleness.message.as_str()),
            (false, "shard 0: raw spans are stored 12 s late")
        );
    }

    #[test]
    fn what_is_not_known_is_not_fresh() {
        let (staleness, shard) = told(&[40], 3);
        assert_eq!(shard.map(|shard| shard.behind_seconds), Some(None));
        assert_eq!(staleness.message, "shard 0: 37 records of raw spans are not stored yet");
        assert!(!told(&[], 3).0.fresh);
        let looks = Ends::default();
        looks.note(Look { at_us: NOW_US, ends: BTreeMap::from([(0, 0)]) });
        assert!(looks.staleness(&[], 7, NOW_US).fresh, "nothing to store");
        assert!(!looks.staleness(&[], 7, NOW_US + OLD_AFTER_US).fresh, "Kafka is away");
    }

    #[test]
    fn of_all_shards_the_late_one_is_told_and_the_marker_of_a_commit_is_no_record() {
        let looks = Ends::default();
        looks.note(Look { at_us: NOW_US, ends: BTreeMap::from([(0, 0), (1, 1)]) });
        let told = |markers| looks.staleness_of_all(&[], markers, "flows", NOW_US);
        assert_eq!((told(1).fresh, told(1).shards.len()), (true, 2));
        assert_eq!(told(0).message, "shard 1: 1 records of flows are not stored yet");
        assert!(!Ends::default().staleness_of_all(&[], 0, "flows", NOW_US).fresh);
    }

    #[test]
    fn only_the_shard_of_the_trace_matters() {
        let looks = Ends::default();
        looks.note(Look { at_us: NOW_US, ends: BTreeMap::from([(0, 0), (1, 40)]) });
        let of = |trace_id| looks.staleness(&[], trace_id, NOW_US);
        let there = |shard| (0..100).find(|trace_id| partition_of(*trace_id, 2) == shard).unwrap();
        assert!(of(there(0)).fresh && of(there(0)).shards.contains_key(&0));
        assert!(!of(there(1)).fresh && of(there(1)).shards.contains_key(&1));
    }
}
