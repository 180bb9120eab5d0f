//! Journal entries, each in a Kafka transaction of its own.

use super::super::failure::Failure;
use super::super::journal::Entry;
use super::super::servers::Writer;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use std::thread;
use std::time::{Duration, Instant};

const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// rust-rdkafka's flush polls in steps of 100 ms; asking whether anything is in flight takes 0.5 ms.
const LOOK_AGAIN: Duration = Duration::from_micros(500);

/// A lane's journal, open for writing by this process alone.
pub struct KafkaWriter {
    producer: ThreadedProducer<DefaultProducerContext>,
    topic: String,
    partition: i32,
}

impl KafkaWriter {
    /// Fences every earlier writer of this lane.
    ///
    /// # Errors
    /// Kafka doesn't answer in time.
    pub fn start(config: &ClientConfig, topic: String, partition: i32) -> Result<Self, Failure> {
        let failed = |step: &str, error: KafkaError| Failure::of(&format!("{topic}: {step}"), &error);
        let producer: ThreadedProducer<_> = config.create().map_err(|error| failed("no producer", error))?;
        producer
            .init_transactions(ANSWER_WITHIN)
            .map_err(|error| failed("earlier writers can't be fenced", error))?;
        Ok(Self { producer, topic, partition })
    }

    fn wait_for_delivery(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + ANSWER_WITHIN;
        while self.producer.in_flight_count() > 0 {
            if Instant::now() >= deadline {
                return Err(Failure::Retry(format!("{}: an entry is not delivered", self.topic)));
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

impl Writer for KafkaWriter {
    fn write(&self, entry: &Entry) -> Result<(), Failure> {
        let key = entry.lane.to_string();
        let value =
            serde_json::to_vec(entry).map_err(|error| Failure::Refused(format!("journal entry: {error}")))?;
        let failed = |step: &str, error: KafkaError| Failure::of(&format!("{}: {step}", self.topic), &error);
        self.producer.begin_transaction().map_err(|error| failed("a transaction can't begin", error))?;
        let record = BaseRecord::to(&self.topic).partition(self.partition).key(&key).payload(&value);
        self.producer.send(record).map_err(|(error, _)| failed("an entry can't be sent", error))?;
        self.wait_for_delivery()?;
        self.producer
            .commit_transaction(ANSWER_WITHIN)
            .map_err(|error| failed("a transaction can't be committed", error))
    }
}
