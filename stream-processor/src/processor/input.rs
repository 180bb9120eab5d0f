//! One partition of `otlp_spans`: its records from a given offset on, and the question where its log ends.

use super::failure::Failure;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _, Timestamp};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// What the broker's clock may lag behind ours, and a record may take from its stamp to the log.
const MARGIN_US: i64 = 1_000_000;

/// A partition being read.
pub struct Input {
    consumer: BaseConsumer,
    topic: String,
    partition: i32,
    next: i64,
    at_end: bool,
}

/// What a poll brought.
pub enum Polled<'a> {
    /// A record.
    Record(BorrowedMessage<'a>),
    /// Nothing that matters here.
    Nothing,
}

/// The first offset that is still in the log, and the one after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// Where the log begins.
    pub low: i64,
    /// Where it ends.
    pub high: i64,
}

impl Input {
    /// A consumer of the partition, not reading yet.
    pub fn open(config: &ClientConfig, topic: &str, partition: i32) -> Result<Self, Failure> {
        let consumer = config.create().map_err(|error| Failure::of("a consumer can't be made", &error))?;
        Ok(Self { consumer, topic: topic.to_owned(), partition, next: 0, at_end: false })
    }

    /// Where the log begins and ends, as the partition's leader says.
    pub fn watermarks(&self) -> Result<Watermarks, Failure> {
        let answer = self.consumer.fetch_watermarks(&self.topic, self.partition, ANSWER_WITHIN);
        let (low, high) = answer.map_err(|error| self.failure("the end of the log is unknown", &error))?;
        Ok(Watermarks { low, high })
    }

    /// Reads from `offset` on.
    pub fn read_from(&mut self, offset: i64) -> Result<(), Failure> {
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(&self.topic, self.partition, Offset::Offset(offset))
            .and_then(|()| self.consumer.assign(&assignment))
            .map_err(|error| self.failure("the partition can't be read", &error))?;
        (self.next, self.at_end) = (offset, false);
        Ok(())
    }

    /// The next record, if one comes within `wait`. [`Input::passed`] must follow once it is applied.
    pub fn poll(&mut self, wait: Duration) -> Result<Polled<'_>, Failure> {
        match self.consumer.poll(wait) {
            None => Ok(Polled::Nothing),
            Some(Ok(message)) => {
                self.at_end = false;
                Ok(Polled::Record(message))
            }
            Some(Err(KafkaError::PartitionEOF(_))) => {
                self.at_end = true;
                // Transaction markers take offsets too: only the consumer knows that it has passed them.
                if let Some(position) = position(&self.consumer, &self.topic, self.partition) {
                    self.next = self.next.max(position);
                }
                Ok(Polled::Nothing)
            }
            Some(Err(error)) => self.judge(&error).map(|()| Polled::Nothing),
        }
    }

    /// The record at `offset` is applied.
    pub fn passed(&mut self, offset: i64) {
        self.next = offset + 1;
    }

    /// The first offset that is not applied yet.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// The consumer has seen the end of the log and no record since.
    pub fn at_end(&self) -> bool {
        self.at_end
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

/// The offset after everything the consumer has handed over or skipped.
pub fn position(consumer: &BaseConsumer, topic: &str, partition: i32) -> Option<i64> {
    let positions = consumer.position().ok()?;
    match positions.find_partition(topic, partition)?.offset() {
        Offset::Offset(position) => Some(position),
        _ => None,
    }
}

/// When the broker appended a record, µs: the only time that a shard's clock goes by.
///
/// # Errors
/// The topic doesn't stamp records.
pub fn log_append_time_us(message: &BorrowedMessage<'_>) -> Result<i64, Failure> {
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

/// The shell's clock.
pub fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// The log time that an answer about the end of the log stands for, by when the question was asked.
pub fn log_time_at(asked_us: i64) -> i64 {
    asked_us - MARGIN_US
}
