//! Reading a stretch of `store_journal`, committed records only.

use super::super::failure::Failure;
use super::super::servers::Watermarks;
use crate::partition;
use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::error::KafkaError;
use std::ops::Range;
use std::time::{Duration, Instant};

const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// A journal can be long when one of its lanes has been idle for days.
const READ_WITHIN: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);

/// Where the journal begins and ends, whatever transactions of other lanes are open.
pub fn ends(config: &ClientConfig, topic: &str, partition: i32) -> Result<Watermarks, Failure> {
    partition::watermarks(config, topic, partition, ANSWER_WITHIN)
        .map_err(|error| Failure::of(&format!("{topic} partition {partition}"), &error))
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
    let consumer = partition::assigned(config, topic, partition, offsets.start)
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
                next = partition::position(&consumer, topic, partition).unwrap_or(next).max(next);
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
