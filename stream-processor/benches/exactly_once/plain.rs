//! Exactly-once off: the processor's producer without transactions. A commit is done when it is delivered, as with them;
//! there is neither journal nor state.

use process::KafkaOptions;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use schemas::topics;
use std::thread;
use std::time::Duration;
use stream_processor::processor::broker::{Records, Transactor};
use stream_processor::processor::shard::{Failure, Output};

const LOOK_AGAIN: Duration = Duration::from_micros(500);

/// Where the outputs of a shard go.
#[derive(Clone)]
pub struct Plain {
    /// How to reach Kafka.
    pub kafka: KafkaOptions,
    /// Before the topics' names.
    pub prefix: String,
    /// The shard's.
    pub partition: i32,
}

/// A started producer.
pub struct PlainWriter {
    to: Plain,
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl Plain {
    /// Starts a producer; there is nobody to be fenced.
    pub fn writer(&self) -> Result<PlainWriter, Failure> {
        let mut client = self.kafka.client();
        // As the processor sets them.
        client
            .set("compression.type", "zstd")
            .set("compression.level", "1")
            .set("linger.ms", "1")
            .set("delivery.report.only.error", "true");
        let producer = client.create().map_err(|error| Failure::of("a producer can't be made", &error))?;
        Ok(PlainWriter { to: self.clone(), producer })
    }
}

impl Transactor for PlainWriter {
    fn commit(&self, records: Records) -> Result<(), Failure> {
        self.send(&records)?;
        while self.producer.in_flight_count() > 0 {
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

impl PlainWriter {
    fn send(&self, records: &Records) -> Result<(), Failure> {
        for record in records.iter() {
            let name = match record.output {
                Output::Deltas => topics::FLOW_DELTAS,
                Output::Events => topics::FLOW_EVENTS,
                Output::Traces => topics::FLOW_TRACES,
                Output::State | Output::Journal | Output::DeadLetters => continue,
            };
            let topic = format!("{}{name}", self.to.prefix);
            let headers = OwnedHeaders::new_with_capacity(6);
            let headers = record
                .headers
                .fold(headers, |headers, key, value| headers.insert(Header { key, value: Some(value) }));
            let mut message = BaseRecord::to(&topic).partition(self.to.partition).headers(headers);
            (message.key, message.payload) = (record.key.as_ref(), record.value.as_ref());
            while let Err((error, unsent)) = self.producer.send(message) {
                match error {
                    KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => message = unsent,
                    error => return Err(Failure::of("a record can't be sent", &error)),
                }
                thread::sleep(LOOK_AGAIN);
            }
        }
        Ok(())
    }
}
