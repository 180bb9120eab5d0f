//! Reading a stretch of `store_journal`, committed records only.

use super::super::failure::Failure;
use super::super::servers::Watermarks;
use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::ops::Range;
use std::time::{Duration, Instant};

const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// A journal can be long when one of its lanes has been idle for days.
const READ_WITHIN: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);

/// A `read_committed` consumer would be told the last stable offset, which another lane's transaction holds back.
pub fn ends(config: &ClientConfig, topic: &str, partition: i32) -> Result<Watermarks, Failure> {
    let mut everything = config.clone();
    everything.set("isolation.level", "read_uncommitted");
    let asked = everything.create::<BaseConsumer>();
    let (low, high) = asked
        .and_then(|consumer| consumer.fetch_watermarks(topic, partition, ANSWER_WITHIN))
        .map_err(|error| Failure::of(&format!("{topic} partition {partition}"), &error))?;
    Ok(Watermarks { low, high })
}

/// The value of the last committed record with this key, if there is one within these offsets.
pub fn last_with_key(
    config: &ClientConfig,
    (topic, partition): (&str, i32),
    offsets: Range<i64>,
    key: &[u8],
) -> Result<Option<Vec<u8>>, Failure> {
    let mut last = None;
    if offsets.is_empty() {
        return Ok(last);
    }
    let consumer = assigned(config, topic, partition, offsets.start)
        .map_err(|error| Failure::of(&format!("{topic} partition {partition}"), &error))?;
    let (mut next, deadline) = (offsets.start, Instant::now() + READ_WITHIN);
    while next < offsets.end {
        if Instant::now() >= deadline {
            let end = offsets.end;
            return Err(Failure::Retry(format!(
                "{topic} partition {partition} was read up to {next} of {end} only"
            )));
        }
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                next = message.offset() + 1;
                if message.key() == Some(key) {
                    last = Some(message.payload().unwrap_or_default().to_vec());
                }
            }
            // Transaction markers take offsets too: only the consumer knows that it has passed them.
            Some(Err(KafkaError::PartitionEOF(_))) => {
                next = position(&consumer, topic, partition).unwrap_or(next).max(next);
            }
            Some(Err(error)) => match Failure::of(topic, &error) {
                refused @ Failure::Refused(_) => return Err(refused),
                passing => tracing::debug!("{passing}"),
            },
            None => {}
        }
    }
    Ok(last)
}

fn assigned(
    config: &ClientConfig,
    topic: &str,
    partition: i32,
    from: i64,
) -> Result<BaseConsumer, KafkaError> {
    let mut config = config.clone();
    // At the end of a log the broker waits for so long before it says that there is no more: half a second by default.
    config.set("fetch.wait.max.ms", "10");
    let consumer: BaseConsumer = config.create()?;
    let mut stretch = TopicPartitionList::new();
    stretch.add_partition_offset(topic, partition, Offset::Offset(from))?;
    consumer.assign(&stretch)?;
    Ok(consumer)
}

/// The offset after everything the consumer has handed over or skipped.
pub fn position(consumer: &BaseConsumer, topic: &str, partition: i32) -> Option<i64> {
    let positions = consumer.position().ok()?;
    match positions.find_partition(topic, partition)?.offset() {
        Offset::Offset(position) => Some(position),
        _ => None,
    }
}
