//! Reading a part of a partition to its end, committed records only.

use super::failure::Failure;
use super::input::{Watermarks, position};
use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::ops::Range;
use std::time::{Duration, Instant};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Without a record for so long, Kafka counts as away.
const SILENT_AT_MOST: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// A partition that is read now and then.
pub struct Partition<'a> {
    consumer: BaseConsumer,
    topic: &'a str,
    partition: i32,
    /// Where it began and ended when it was opened.
    pub log: Watermarks,
}

impl<'a> Partition<'a> {
    /// To be called after the predecessor was fenced: nothing of it can land behind the watermark then.
    ///
    /// # Errors
    /// Kafka doesn't answer.
    pub fn open(config: &ClientConfig, topic: &'a str, partition: i32) -> Result<Self, Failure> {
        let failure = |error: KafkaError| Failure::of(&format!("{topic} partition {partition}"), &error);
        let log = watermarks(config, topic, partition).map_err(failure)?;
        let consumer = config.create().map_err(failure)?;
        Ok(Self { consumer, topic, partition, log })
    }

    /// Every committed record of these offsets.
    ///
    /// # Errors
    /// Kafka falls silent, or `each` fails.
    pub fn read(
        &self,
        offsets: Range<i64>,
        mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Self { consumer, topic, partition, .. } = self;
        let failure = |error: KafkaError| Failure::of(&format!("{topic} partition {partition}"), &error);
        let mut stretch = TopicPartitionList::new();
        stretch.add_partition_offset(topic, *partition, Offset::Offset(offsets.start)).map_err(failure)?;
        consumer.assign(&stretch).map_err(failure)?;
        let (mut next, mut heard) = (offsets.start, Instant::now());
        while next < offsets.end {
            if heard.elapsed() >= SILENT_AT_MOST {
                return Err(Failure::Retry(format!(
                    "{topic} partition {partition} was read up to {next} of {} in time only",
                    offsets.end
                )));
            }
            match consumer.poll(POLL) {
                Some(Ok(message)) if message.offset() < offsets.end => {
                    each(&message)?;
                    (next, heard) = (message.offset() + 1, Instant::now());
                }
                Some(Ok(_)) => return Ok(()),
                // Transaction markers take offsets too: only the consumer knows that it has passed them.
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    next = position(consumer, topic, *partition).unwrap_or(next).max(next);
                }
                Some(Err(error)) => tracing::debug!("{topic} partition {partition}: {error}"),
                None => {}
            }
        }
        Ok(())
    }
}

/// A `read_committed` consumer is told the last stable offset, which an open transaction of somebody else can hold
/// back: the end is asked for by one that reads everything.
fn watermarks(config: &ClientConfig, topic: &str, partition: i32) -> Result<Watermarks, KafkaError> {
    let mut everything = config.clone();
    everything.set("isolation.level", "read_uncommitted");
    let consumer: BaseConsumer = everything.create()?;
    let (low, high) = consumer.fetch_watermarks(topic, partition, ANSWER_WITHIN)?;
    Ok(Watermarks { low, high })
}
