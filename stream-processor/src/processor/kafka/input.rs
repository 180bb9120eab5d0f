//! One partition of `otlp_spans`: its records from a given offset on, and the question where its log ends.

use super::super::broker::{Input, Spans, Watermarks};
use super::super::failure::Failure;
use super::fetched::{Fetched, Next};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Bounds how late a stop is noticed.
const WAIT: Duration = Duration::from_millis(50);

/// A partition being read.
pub struct KafkaInput {
    config: ClientConfig,
    fetched: Fetched,
    is_assigned: bool,
    /// The broker has to stamp its records.
    is_stamped: bool,
    topic: String,
    partition: i32,
    next: i64,
    at_end: bool,
    /// There is no such partition any more. Of that nothing is said among records: the leader says so when it is asked.
    gone: Option<Failure>,
}

impl KafkaInput {
    /// A consumer of the partition, not reading yet.
    pub fn open(config: &ClientConfig, topic: &str, partition: i32) -> Result<Self, Failure> {
        let (config, fetched, topic) = (config.clone(), made(config)?, topic.to_owned());
        let (is_assigned, is_stamped, next, at_end) = (false, true, 0, false);
        Ok(Self { config, fetched, is_assigned, is_stamped, topic, partition, next, at_end, gone: None })
    }

    /// The same of a topic whose times don't matter.
    pub fn tail(config: &ClientConfig, topic: &str, partition: i32) -> Result<Self, Failure> {
        Ok(Self { is_stamped: false, ..Self::open(config, topic, partition)? })
    }

    /// Most errors of a consumer pass by themselves; librdkafka reconnects and asks again.
    fn judge(&self, error: &KafkaError) -> Result<(), Failure> {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Err(Failure::Retry(format!(
                "offset {} of {} partition {} is not in the log any more",
                self.next, self.topic, self.partition
            ))),
            _ if is_gone(error) => Err(self.failure("the partition can't be read", error)),
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

fn made(config: &ClientConfig) -> Result<Fetched, Failure> {
    let consumer: BaseConsumer =
        config.create().map_err(|error| Failure::of("a consumer can't be made", &error))?;
    Fetched::of(consumer).ok_or_else(|| Failure::Retry("a consumer can't consume".to_owned()))
}

impl Input for KafkaInput {
    fn watermarks(&mut self) -> Result<Watermarks, Failure> {
        let answer = self.fetched.consumer().fetch_watermarks(&self.topic, self.partition, ANSWER_WITHIN);
        let (low, high) = answer.map_err(|error| {
            let failure = self.failure("the end of the log is unknown", &error);
            self.gone = is_gone(&error).then(|| failure.clone());
            failure
        })?;
        Ok(Watermarks { low, high })
    }

    fn read_from(&mut self, offset: i64) -> Result<(), Failure> {
        // librdkafka 2.12 aborts the process when an assignment ends while it still stops the one before
        // (rd_kafka_assignment_partition_stopped: rktp_started): a consumer gets only one.
        if std::mem::replace(&mut self.is_assigned, true) {
            self.fetched = made(&self.config)?;
        }
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(&self.topic, self.partition, Offset::Offset(offset))
            .and_then(|()| self.fetched.consumer().assign(&assignment))
            .map_err(|error| self.failure("the partition can't be read", &error))?;
        (self.next, self.at_end) = (offset, false);
        Ok(())
    }

    fn poll(&mut self, each: &mut dyn FnMut(Spans<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
        if let Some(why) = self.gone.take() {
            return Err(why);
        }
        let Some(message) = self.fetched.next(WAIT) else { return Ok(()) };
        match message.read() {
            Next::Record { offset, appended_ms, value } => {
                let appended_us = match appended_ms {
                    Some(appended_ms) => appended_ms.saturating_mul(1000),
                    None if self.is_stamped => return Err(unstamped(&self.topic, self.partition, offset)),
                    None => 0,
                };
                each(Spans { offset, appended_us, value })?;
                (self.next, self.at_end) = (offset + 1, false);
                Ok(())
            }
            // Transaction markers take offsets too: the end is behind those that were passed.
            Next::End(offset) => {
                (self.next, self.at_end) = (self.next.max(offset), true);
                Ok(())
            }
            Next::Error(error) => {
                drop(message);
                self.judge(&error)
            }
        }
    }

    fn has_next(&self) -> bool {
        self.fetched.has_next()
    }

    fn next(&self) -> i64 {
        self.next
    }

    fn at_end(&self) -> bool {
        self.at_end
    }
}

fn is_gone(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    matches!(code, Some(Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition))
}

/// A shard's clock goes by nothing but the times at which the broker appended records.
fn unstamped(topic: &str, partition: i32, offset: i64) -> Failure {
    Failure::Refused(format!(
        "the record at offset {offset} of {topic} partition {partition} bears its producer's time, but a shard's clock \
         is the broker's: set message.timestamp.type=LogAppendTime on the topic, and pass the records from before with \
         --first-boot-from latest"
    ))
}
