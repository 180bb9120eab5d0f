//! Topics of this benchmark alone, and the one with the spans.

use crate::workload::{self, Message};
use anyhow::Context as _;
use process::KafkaOptions;
use prost::Message as _;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use schemas::topics::{self, Partitions};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const WAIT: Duration = Duration::from_secs(60);

/// Topics under one prefix; they are deleted with this.
pub struct River {
    kafka: KafkaOptions,
    /// Before their names.
    pub prefix: String,
    partitions: u32,
}

impl River {
    /// Creates the topics as they are declared, under a prefix that nobody else has.
    pub fn new(kafka: &KafkaOptions, partitions: u32) -> anyhow::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let prefix = format!("bench-{}-{}.", std::process::id(), now.as_micros());
        let river = Self { kafka: kafka.clone(), prefix, partitions };
        let declared = topics::all();
        let names = river.names();
        let new: Vec<NewTopic<'_>> = declared
            .values()
            .zip(&names)
            .map(|(topic, name)| {
                let count = if topic.partitions == Partitions::Shards { partitions } else { 1 };
                NewTopic::new(name, count.cast_signed(), TopicReplication::Fixed(1))
                    .set("cleanup.policy", topic.cleanup.as_str())
                    .set("message.timestamp.type", topic.timestamp.as_str())
            })
            .collect();
        let created = run(river.admin()?.create_topics(&new, &AdminOptions::new()))?;
        for topic in created.context("the topics can't be created")? {
            topic.map_err(|(name, code)| anyhow::anyhow!("{name}: {code}"))?;
        }
        river.wait_until_led()?;
        Ok(river)
    }

    /// A broker says for a moment that it doesn't lead what it has just created; a processor would try again.
    fn wait_until_led(&self) -> anyhow::Result<()> {
        let (admin, began) = (self.admin()?, Instant::now());
        for name in self.names() {
            while let Err(error) = admin.inner().fetch_watermarks(&name, 0, WAIT) {
                anyhow::ensure!(began.elapsed() < WAIT, "{name}: {error}");
                thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        topics::all().keys().map(|name| format!("{}{name}", self.prefix)).collect()
    }

    fn admin(&self) -> anyhow::Result<AdminClient<DefaultClientContext>> {
        Ok(self.kafka.client().create()?)
    }

    /// Fills each partition of `otlp_spans` with so many spans, whose windows are those of `rate` spans a second. Returns
    /// how many bytes they are, before compression.
    pub fn fill(&self, spans: i64, rate: i64) -> anyhow::Result<usize> {
        let mut client = self.kafka.client();
        client.set("compression.type", "lz4").set("linger.ms", "50").set("batch.num.messages", "1000");
        let producer: ThreadedProducer<DefaultProducerContext> = client.create()?;
        let topic = format!("{}{}", self.prefix, topics::OTLP_SPANS);
        let mut bytes = 0;
        for offset in 0..workload::offset_of(spans) {
            let ends_us = workload::START_US + workload::spans_before(offset) * 1_000_000 / rate;
            for partition in 0..self.partitions {
                let message = Message::at(offset, partition, self.partitions, ends_us);
                let value = message.data.encode_to_vec();
                bytes += value.len();
                let mut record = BaseRecord::to(&topic).partition(partition.cast_signed());
                record = record.key(&message.key).payload(&value);
                while let Err((error, unsent)) = producer.send(record) {
                    anyhow::ensure!(
                        matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)),
                        "{topic}: {error}"
                    );
                    record = unsent;
                    thread::sleep(Duration::from_millis(1));
                }
            }
        }
        producer.flush(WAIT)?;
        Ok(bytes)
    }
}

impl Drop for River {
    fn drop(&mut self) {
        let names = self.names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if let Ok(admin) = self.admin() {
            // The servers of a benchmark are thrown away with it: this only saves their disk.
            let _ = run(admin.delete_topics(&names, &AdminOptions::new()));
        }
    }
}

fn run<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}
