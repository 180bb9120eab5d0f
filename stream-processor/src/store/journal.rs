//! What a lane has begun and done, in `store_journal`: the truth about its progress. Every entry says all there is
//! to know about its lane, so the newest one is enough and the topic may be compacted.

use super::failure::Failure;
use super::options::Options;
use super::sequence::Sequences;
use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use std::thread;
use std::time::{Duration, Instant};

const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// A journal can be long when one of its lanes has been idle for days.
const READ_WITHIN: Duration = Duration::from_secs(120);
/// rust-rdkafka's flush polls in steps of 100 ms; asking whether anything is in flight takes 0.5 ms.
const LOOK_AGAIN: Duration = Duration::from_micros(500);
const POLL: Duration = Duration::from_millis(100);
/// First stretch to be searched for a lane's entry, in offsets; each entry takes two.
const FIRST_STEP: i64 = 256;

/// How records become blocks. A batch that was begun is only sent again by a program that makes the same blocks.
pub const FORMAT: u32 = 1;

/// One entry: a batch was begun, or done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The lane.
    pub lane: u16,
    /// The batch, counted from 1; 0 before the first.
    pub batch: u64,
    /// Part of the tokens: tells this life of the journal from an earlier one.
    pub generation: u64,
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

/// A lane's journal, open for writing by this process alone.
pub struct Journal {
    producer: ThreadedProducer<DefaultProducerContext>,
    topic: String,
    partition: i32,
}

impl Journal {
    /// Fences every earlier writer of this lane, then reads its newest entry.
    ///
    /// # Errors
    /// Kafka doesn't answer in time, or an entry can't be read.
    pub fn open(options: &Options, lane: u16, partitions: i32) -> Result<(Self, Option<Entry>), Failure> {
        let topic = options.topic(schemas::topics::STORE_JOURNAL);
        let partition = i32::from(lane) % partitions;
        let failed = |step: &str, error: KafkaError| Failure::of(&format!("{topic}: {step}"), &error);
        let producer: ThreadedProducer<_> =
            options.producer(lane).create().map_err(|error| failed("no producer", error))?;
        producer
            .init_transactions(ANSWER_WITHIN)
            .map_err(|error| failed("earlier writers can't be fenced", error))?;
        let newest = newest_entry(&options.reader(), &topic, partition, lane)?;
        Ok((Self { producer, topic, partition }, newest))
    }

    /// Writes an entry in a transaction of its own.
    ///
    /// # Errors
    /// After any failure the outcome is unknown: the journal has to be opened again.
    pub fn write(&self, entry: &Entry) -> Result<(), Failure> {
        let key = entry.lane.to_string();
        let value =
            serde_json::to_vec(entry).map_err(|error| Failure::Refused(format!("journal entry: {error}")))?;
        let failed = |step: &str, error: KafkaError| Failure::of(&format!("{}: {step}", self.topic), &error);
        self.producer.begin_transaction().map_err(|error| failed("a transaction can't begin", error))?;
        let record = BaseRecord::to(&self.topic).partition(self.partition).key(&key).payload(&value);
        self.producer.send(record).map_err(|(error, _)| failed("an entry can't be sent", error))?;
        self.wait_for_delivery()?;
        self.producer
            .commit_transaction(ANSWER_WITHIN)
            .map_err(|error| failed("a transaction can't be committed", error))
    }

    fn wait_for_delivery(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + ANSWER_WITHIN;
        while self.producer.in_flight_count() > 0 {
            if Instant::now() >= deadline {
                return Err(Failure::Retry(format!("{}: an entry is not delivered", self.topic)));
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

/// To be called after fencing: no entry of an earlier writer can land behind the watermark then.
fn newest_entry(
    config: &ClientConfig,
    topic: &str,
    partition: i32,
    lane: u16,
) -> Result<Option<Entry>, Failure> {
    let failed = |error: KafkaError| Failure::of(&format!("{topic} partition {partition}"), &error);
    let (low, high) = end_of(config, topic, partition).map_err(failed)?;
    let consumer: BaseConsumer = config.create().map_err(failed)?;
    let mut step = FIRST_STEP;
    loop {
        let from = (high - step).max(low);
        let mut stretch = TopicPartitionList::new();
        stretch.add_partition_offset(topic, partition, Offset::Offset(from)).map_err(failed)?;
        consumer.assign(&stretch).map_err(failed)?;
        let newest = read_stretch(&consumer, (topic, partition), from..high, lane)?;
        if newest.is_some() || from == low {
            return Ok(newest);
        }
        step *= 4;
    }
}

/// A `read_committed` consumer would be told the last stable offset, which another lane's transaction holds back.
fn end_of(config: &ClientConfig, topic: &str, partition: i32) -> Result<(i64, i64), KafkaError> {
    let mut everything = config.clone();
    everything.set("isolation.level", "read_uncommitted");
    let consumer: BaseConsumer = everything.create()?;
    consumer.fetch_watermarks(topic, partition, ANSWER_WITHIN)
}

fn read_stretch(
    consumer: &BaseConsumer,
    (topic, partition): (&str, i32),
    stretch: std::ops::Range<i64>,
    lane: u16,
) -> Result<Option<Entry>, Failure> {
    let mut newest = None;
    let mut next = stretch.start;
    let deadline = Instant::now() + READ_WITHIN;
    while next < stretch.end {
        if Instant::now() >= deadline {
            let end = stretch.end;
            return Err(Failure::Retry(format!(
                "{topic} partition {partition} was read up to {next} of {end} only"
            )));
        }
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                next = message.offset() + 1;
                if message.key() == Some(lane.to_string().as_bytes()) {
                    newest = Some(entry(message.payload().unwrap_or_default(), message.offset())?);
                }
            }
            // Transaction markers take offsets too: only the consumer knows that it has passed them.
            Some(Err(KafkaError::PartitionEOF(_))) => {
                next = position(consumer, topic, partition).unwrap_or(next).max(next);
            }
            Some(Err(error)) => match Failure::of(topic, &error) {
                refused @ Failure::Refused(_) => return Err(refused),
                passing => tracing::debug!("{passing}"),
            },
            None => {}
        }
    }
    Ok(newest)
}

fn entry(value: &[u8], offset: i64) -> Result<Entry, Failure> {
    serde_json::from_slice(value).map_err(|error| {
        Failure::Refused(format!("the journal entry at offset {offset} can't be read: {error}"))
    })
}

fn position(consumer: &BaseConsumer, topic: &str, partition: i32) -> Option<i64> {
    let positions = consumer.position().ok()?;
    match positions.find_partition(topic, partition)?.offset() {
        Offset::Offset(position) => Some(position),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_back_as_written_and_unknown_fields_are_ignored() {
        let mut sequences = Sequences::default();
        sequences.move_to(1, super::super::sequence::Place { seq: 7, part: 0, parts: 1 });
        let written = Entry {
            lane: 2,
            batch: 9,
            generation: 3,
            format: FORMAT,
            done: true,
            topic: "otlp_spans".to_owned(),
            ranges: vec![Range { partition: 0, first: 4, next: 8 }],
            sequences,
        };
        let mut json = serde_json::to_value(&written).unwrap();
        json["later"] = 1.into();
        assert_eq!(entry(json.to_string().as_bytes(), 0).unwrap(), written);
        assert!(matches!(entry(b"{}", 5), Err(Failure::Refused(why)) if why.contains("offset 5")));
    }
}
