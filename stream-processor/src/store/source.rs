//! The records of a lane, from offsets that the journal names.

use super::content::Record;
use super::failure::Failure;
use super::journal::Range;
use super::options::Options;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A consumer of one lane's partitions.
pub struct Source {
    consumer: BaseConsumer,
    topic: String,
}

/// What a partition's log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// First offset that is still there.
    pub low: i64,
    /// First offset that is not there yet.
    pub high: i64,
}

impl Source {
    /// A consumer that reads nothing yet.
    pub fn open(options: &Options, topic: &str) -> Result<Self, Failure> {
        let topic = options.topic(topic);
        let consumer = options.reader().create().map_err(|error| Failure::of(&topic, &error))?;
        Ok(Self { consumer, topic })
    }

    /// Reads every given partition from its range's `first` on; nothing else any more.
    pub fn read_from(&self, ranges: &[Range]) -> Result<(), Failure> {
        let mut offsets = TopicPartitionList::new();
        for range in ranges {
            offsets
                .add_partition_offset(&self.topic, range.partition, Offset::Offset(range.first))
                .map_err(|error| Failure::of(&self.topic, &error))?;
        }
        self.consumer.assign(&offsets).map_err(|error| Failure::of(&self.topic, &error))
    }

    /// Reads no more of this partition; the others go on.
    pub fn leave(&self, partition: i32) -> Result<(), Failure> {
        let mut left = TopicPartitionList::new();
        left.add_partition(&self.topic, partition);
        self.consumer.pause(&left).map_err(|error| Failure::of(&self.topic, &error))
    }

    /// Hands the next record over, if one comes in time.
    pub fn poll(&self, within: Duration, each: impl FnOnce(Record<'_>)) -> Result<(), Failure> {
        match self.consumer.poll(within) {
            Some(Ok(message)) => {
                each(Record {
                    partition: message.partition(),
                    offset: message.offset(),
                    timestamp_ms: message.timestamp().to_millis().unwrap_or_default(),
                    value: message.payload().unwrap_or_default(),
                });
                Ok(())
            }
            None | Some(Err(KafkaError::PartitionEOF(_))) => Ok(()),
            Some(Err(error)) => self.judge(&error),
        }
    }

    /// What the log of a partition holds.
    pub fn watermarks(&self, partition: i32) -> Result<Watermarks, Failure> {
        let (low, high) = self
            .consumer
            .fetch_watermarks(&self.topic, partition, ANSWER_WITHIN)
            .map_err(|error| Failure::of(&self.topic, &error))?;
        Ok(Watermarks { low, high })
    }

    /// The offset behind everything that was handed over or skipped: transaction markers take offsets too.
    pub fn position(&self, partition: i32) -> Option<i64> {
        let positions = self.consumer.position().ok()?;
        match positions.find_partition(&self.topic, partition)?.offset() {
            Offset::Offset(position) => Some(position),
            _ => None,
        }
    }

    /// Most errors of a consumer pass by themselves; librdkafka reconnects and asks again.
    fn judge(&self, error: &KafkaError) -> Result<(), Failure> {
        use RDKafkaErrorCode as Code;
        let gone = matches!(
            error.rdkafka_error_code(),
            Some(Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition)
        );
        match Failure::of(&self.topic, error) {
            Failure::Retry(why) if !gone && !matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
                tracing::debug!("{why}");
                Ok(())
            }
            failure => Err(failure),
        }
    }
}
