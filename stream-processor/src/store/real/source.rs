//! The records of a lane, from offsets that the journal names.

use super::super::content::Record;
use super::super::failure::Failure;
use super::super::journal::Range;
use super::super::options::Options;
use super::super::servers::{Source, Watermarks};
use crate::partition::position;
use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A consumer of one lane's partitions.
pub struct KafkaSource {
    config: ClientConfig,
    consumer: BaseConsumer,
    is_assigned: bool,
    topic: String,
}

impl KafkaSource {
    /// A consumer that reads nothing yet.
    ///
    /// # Errors
    /// Its settings are no good.
    pub fn open(options: &Options, topic: &str) -> Result<Self, Failure> {
        let topic = options.topic(topic);
        let config = options.reader();
        let consumer = config.create().map_err(|error| Failure::of(&topic, &error))?;
        Ok(Self { config, consumer, is_assigned: false, topic })
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

impl Source for KafkaSource {
    fn read_from(&mut self, ranges: &[Range]) -> Result<(), Failure> {
        let mut offsets = TopicPartitionList::new();
        for range in ranges {
            offsets
                .add_partition_offset(&self.topic, range.partition, Offset::Offset(range.first))
                .map_err(|error| Failure::of(&self.topic, &error))?;
        }
        // librdkafka 2.12 aborts the process when an assignment ends while it still stops the one before
        // (rd_kafka_assignment_partition_stopped: rktp_started): a consumer gets only one.
        if std::mem::replace(&mut self.is_assigned, true) {
            self.consumer = self.config.create().map_err(|error| Failure::of(&self.topic, &error))?;
        }
        self.consumer.assign(&offsets).map_err(|error| Failure::of(&self.topic, &error))
    }

    fn leave(&mut self, partition: i32) -> Result<(), Failure> {
        let mut left = TopicPartitionList::new();
        left.add_partition(&self.topic, partition);
        self.consumer.pause(&left).map_err(|error| Failure::of(&self.topic, &error))
    }

    fn poll(&mut self, within: Duration, each: &mut dyn FnMut(Record<'_>)) -> Result<(), Failure> {
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

    fn watermarks(&self, partition: i32) -> Result<Watermarks, Failure> {
        let (low, high) = self
            .consumer
            .fetch_watermarks(&self.topic, partition, ANSWER_WITHIN)
            .map_err(|error| Failure::of(&self.topic, &error))?;
        Ok(Watermarks { low, high })
    }

    fn position(&self, partition: i32) -> Option<i64> {
        position(&self.consumer, &self.topic, partition)
    }
}
