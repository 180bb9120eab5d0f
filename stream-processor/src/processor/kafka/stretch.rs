//! Reading a part of a partition to its end, committed records only.

use super::super::broker::{Entry, Watermarks};
use super::super::failure::Failure;
use crate::partition;
use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::error::KafkaError;
use std::ops::Range;
use std::time::{Duration, Instant};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Without a record for so long, Kafka counts as away.
const SILENT_AT_MOST: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// Where the log begins and ends, whatever transactions are open.
pub fn watermarks(config: &ClientConfig, topic: &str, partition: i32) -> Result<Watermarks, Failure> {
    partition::watermarks(config, topic, partition, ANSWER_WITHIN)
        .map_err(|error| failure(topic, partition, &error))
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
    let consumer = partition::assigned(config, topic, partition, offsets.start)
        .map_err(|error| failure(topic, partition, &error))?;
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
                next = partition::position(&consumer, topic, partition).unwrap_or(next).max(next);
            }
            Some(Err(error)) => tracing::debug!("{topic} partition {partition}: {error}"),
            None => {}
        }
    }
    Ok(())
}

fn failure(topic: &str, partition: i32, error: &KafkaError) -> Failure {
    Failure::of(&format!("{topic} partition {partition}"), error)
}
