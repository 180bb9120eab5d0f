//! One partition of `otlp_spans`: its records from a given offset on, and the question where its log ends.

use super::super::broker::{Input, Spans, Watermarks};
use super::super::failure::Failure;
use crate::partition::position;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _, Timestamp};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Bounds how late a stop is noticed.
const WAIT: Duration = Duration::from_millis(50);

/// A partition being read.
pub struct KafkaInput {
    config: ClientConfig,
    consumer: BaseConsumer,
    is_assigned: bool,
    /// The broker has to stamp its records.
    is_stamped: bool,
    topic: String,
    partition: i32,
    next: i64,
    at_end: bool,
}

impl KafkaInput {
    /// A consumer of the partition, not reading yet.
    pub fn open(config: &ClientConfig, topic: &str, partition: i32) -> Result<Self, Failure> {
        let (config, consumer, topic) = (config.clone(), made(config)?, topic.to_owned());
        let (is_assigned, is_stamped, next, at_end) = (false, true, 0, false);
        Ok(Self { config, consumer, is_assigned, is_stamped, topic, partition, next, at_end })
    }

    /// The same of a topic whose times don't matter.
    pub fn tail(config: &ClientConfig, topic: &str, partition: i32) -> Result<Self, Failure> {
        Ok(Self { is_stamped: false, ..Self::open(config, topic, partition)? })
    }

    /// Most errors of a consumer pass by themselves; librdkafka reconnects and asks again.
    fn judge(&self, error: &KafkaError) -> Result<(), Failure> {
        use RDKafkaErrorCode as Code;
        match (error, error.rdkafka_error_code()) {
            (_, Some(Code::AutoOffsetReset | Code::OffsetOutOfRange)) => Err(Failure::Retry(format!(
                "offset {} of {} partition {} is not in the log any more",
                self.next, self.topic, self.partition
            ))),
            (KafkaError::MessageConsumptionFatal(_), _)
            | (_, Some(Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition)) => {
                Err(self.failure("the partition can't be read", error))
            }
            _ => match self.failure("the partition can't be read", error) {
                refused @ Failure::Refused(_) => Err(refused),
                passing => {
                    tracing::debug!(partition = self.partition, "{passing}");
                    Ok(())
                }
            },
        }
    }

    fn failure(&self, step: &str, error: &KafkaError) -> Failure {
        Failure::of(&format!("{} partition {}: {step}", self.topic, self.partition), error)
    }
}

fn made(config: &ClientConfig) -> Result<BaseConsumer, Failure> {
    config.create().map_err(|error| Failure::of("a consumer can't be made", &error))
}

impl Input for KafkaInput {
    fn watermarks(&self) -> Result<Watermarks, Failure> {
        let answer = self.consumer.fetch_watermarks(&self.topic, self.partition, ANSWER_WITHIN);
        let (low, high) = answer.map_err(|error| self.failure("the end of the log is unknown", &error))?;
        Ok(Watermarks { low, high })
    }

    fn read_from(&mut self, offset: i64) -> Result<(), Failure> {
        // librdkafka 2.12 aborts the process when an assignment ends while it still stops the one before
        // (rd_kafka_assignment_partition_stopped: rktp_started): a consumer gets only one.
        if std::mem::replace(&mut self.is_assigned, true) {
            self.consumer = made(&self.config)?;
        }
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(&self.topic, self.partition, Offset::Offset(offset))
            .and_then(|()| self.consumer.assign(&assignment))
            .map_err(|error| self.failure("the partition can't be read", &error))?;
        (self.next, self.at_end) = (offset, false);
        Ok(())
    }

    fn poll(&mut self, each: &mut dyn FnMut(Spans<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
        match self.consumer.poll(WAIT) {
            None => Ok(()),
            Some(Ok(message)) => {
                let offset = message.offset();
                let appended_us = if self.is_stamped { log_append_time_us(&message)? } else { 0 };
                each(Spans { offset, appended_us, value: message.payload().unwrap_or_default() })?;
                (self.next, self.at_end) = (offset + 1, false);
                Ok(())
            }
            Some(Err(KafkaError::PartitionEOF(_))) => {
                self.at_end = true;
                // Transaction markers take offsets too: only the consumer knows that it has passed them.
                if let Some(position) = position(&self.consumer, &self.topic, self.partition) {
                    self.next = self.next.max(position);
                }
                Ok(())
            }
            Some(Err(error)) => self.judge(&error),
        }
    }

    fn next(&self) -> i64 {
        self.next
    }

    fn at_end(&self) -> bool {
        self.at_end
    }
}

/// When the broker appended a record, µs: the only time that a shard's clock goes by.
///
/// # Errors
/// The topic doesn't stamp records.
fn log_append_time_us(message: &BorrowedMessage<'_>) -> Result<i64, Failure> {
    match message.timestamp() {
        Timestamp::LogAppendTime(millis) => Ok(millis.saturating_mul(1000)),
        _ => Err(Failure::Refused(format!(
            "the record at offset {} of {} partition {} bears its producer's time, but a shard's clock is the \
             broker's: set message.timestamp.type=LogAppendTime on the topic, and pass the records from before with \
             --first-boot-from latest",
            message.offset(),
            message.topic(),
            message.partition()
        ))),
    }
}
