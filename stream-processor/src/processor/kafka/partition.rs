//! Reading a part of a partition to its end, committed records only.

use super::super::broker::{Entry, Watermarks};
use super::super::failure::Failure;
use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::ops::Range;
use std::time::{Duration, Instant};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Without a record for so long, Kafka counts as away.
const SILENT_AT_MOST: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// Where the log begins and ends. A `read_committed` consumer is told the last stable offset, which an open transaction
/// of somebody else can hold back: the end is asked for by one that reads everything.
pub fn watermarks(config: &ClientConfig, topic: &str, partition: i32) -> Result<Watermarks, Failure> {
    let mut everything = config.clone();
    everything.set("isolation.level", "read_uncommitted");
    let asked = everything.create::<BaseConsumer>();
    let (low, high) = asked
        .and_then(|consumer| consumer.fetch_watermarks(topic, partition, ANSWER_WITHIN))
        .map_err(|error| failure(topic, partition, &error))?;
    Ok(Watermarks { low, high })
}

/// Every committed record of these offsets.
pub fn read(
    config: &ClientConfig,
    topic: &str,
    partition: i32,
    offsets: Range<i64>,
    each: &mut dyn FnMut(Entry<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if offsets.is_empty() {
        return Ok(());
    }
    let consumer = assigned(config, topic, partition, offsets.start)?;
    let (mut next, mut heard) = (offsets.start, Instant::now());
    while next < offsets.end {
        if heard.elapsed() >= SILENT_AT_MOST {
            return Err(Failure::Retry(format!(
                "{topic} partition {partition} was read up to {next} of {} in time only",
                offsets.end
            )));
        }
        match consumer.poll(POLL) {
            Some(Ok(message)) if message.offset() >= offsets.end => return Ok(()),
            Some(Ok(message)) => {
                let (offset, key) = (message.offset(), message.key().unwrap_or_default());
                each(Entry { offset, key, value: message.payload() })?;
                (next, heard) = (offset + 1, Instant::now());
            }
            // Transaction markers take offsets too: only the consumer knows that it has passed them.
            Some(Err(KafkaError::PartitionEOF(_))) => {
                next = position(&consumer, topic, partition).unwrap_or(next).max(next);
            }
            Some(Err(error)) => tracing::debug!("{topic} partition {partition}: {error}"),
            None => {}
        }
    }
    Ok(())
}

fn assigned(config: &ClientConfig, topic: &str, partition: i32, from: i64) -> Result<BaseConsumer, Failure> {
    let failure = |error: KafkaError| failure(topic, partition, &error);
    let mut config = config.clone();
    // At the end of a log the broker waits for so long before it says that there is no more: half a second by default.
    config.set("fetch.wait.max.ms", "10");
    let consumer: BaseConsumer = config.create().map_err(failure)?;
    let mut stretch = TopicPartitionList::new();
    stretch.add_partition_offset(topic, partition, Offset::Offset(from)).map_err(failure)?;
    consumer.assign(&stretch).map_err(failure)?;
    Ok(consumer)
}

fn failure(topic: &str, partition: i32, error: &KafkaError) -> Failure {
    Failure::of(&format!("{topic} partition {partition}"), error)
}

/// The offset after everything the consumer has handed over or skipped.
pub fn position(consumer: &BaseConsumer, topic: &str, partition: i32) -> Option<i64> {
    let positions = consumer.position().ok()?;
    match positions.find_partition(topic, partition)?.offset() {
        Offset::Offset(position) => Some(position),
        _ => None,
    }
}
