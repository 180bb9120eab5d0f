//! What both roles ask of one partition.

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::Duration;

/// The first offset that is still in a log, and the one after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// Where the log begins.
    pub low: i64,
    /// Where it ends.
    pub high: i64,
}

/// Where the log begins and ends. A `read_committed` consumer is told the last stable offset, which an open transaction
/// of somebody else can hold back: the end is asked for by one that reads everything.
///
/// # Errors
/// Kafka doesn't answer within this time.
pub(crate) fn watermarks(
    config: &ClientConfig,
    topic: &str,
    partition: i32,
    within: Duration,
) -> Result<Watermarks, KafkaError> {
    let mut everything = config.clone();
    everything.set("isolation.level", "read_uncommitted");
    let consumer: BaseConsumer = everything.create()?;
    let (low, high) = consumer.fetch_watermarks(topic, partition, within)?;
    Ok(Watermarks { low, high })
}

/// A consumer of a stretch that begins here and whose end is known.
///
/// # Errors
/// It can't be made.
pub(crate) fn assigned(
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
pub(crate) fn position(consumer: &BaseConsumer, topic: &str, partition: i32) -> Option<i64> {
    let positions = consumer.position().ok()?;
    match positions.find_partition(topic, partition)?.offset() {
        Offset::Offset(position) => Some(position),
        _ => None,
    }
}
