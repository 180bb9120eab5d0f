//! Topics of one comparison: the spans, and new outputs for each run of Weir.

use crate::packer::{Message, Packer, Packing};
use crate::truth::Truth;
use crate::workload::Workload;
use anyhow::Context as _;
use process::KafkaOptions;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use schemas::topics::{self, OTLP_SPANS, Partitions};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const WAIT: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Somebody who asks for a topic too early is kept waiting: better to ask again.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What was written.
pub struct Filled {
    /// What it counts.
    pub truth: Truth,
    /// Before compression, without keys.
    pub bytes: usize,
    /// How long it took: log time goes by it.
    pub took: Duration,
}

/// Topics under one prefix; they are deleted with this.
pub struct Topics {
    kafka: KafkaOptions,
    /// Before their names.
    pub prefix: String,
    /// Of the spans.
    pub partitions: u32,
}

impl Topics {
    /// Creates the topics as they are declared, under a prefix that nobody else has.
    pub fn create(kafka: &KafkaOptions, partitions: u32) -> anyhow::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let prefix = format!("compare-{}-{}.", std::process::id(), now.as_micros());
        let topics = Self { kafka: kafka.clone(), prefix, partitions };
        topics.make(|_| true)?;
        Ok(topics)
    }

    /// The name of a declared topic.
    pub fn name(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }

    /// Makes all topics but the spans' anew, so that nobody remembers having read them.
    pub fn forget_outputs(&self) -> anyhow::Result<()> {
        self.delete(|topic| topic != OTLP_SPANS)?;
        self.make(|topic| topic != OTLP_SPANS)
    }

    fn make(&self, is_meant: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        let admin = self.admin()?;
        for (topic, declared) in topics::all().iter().filter(|(topic, _)| is_meant(topic)) {
            let name = self.name(topic);
            let partitions = if declared.partitions == Partitions::Shards { self.partitions } else { 1 };
            let new = NewTopic::new(&name, partitions.cast_signed(), TopicReplication::Fixed(1))
                .set("cleanup.policy", declared.cleanup.as_str())
                .set("message.timestamp.type", declared.timestamp.as_str());
            // One of this name may still be going; and a busy broker creates one, but says that it took too long.
            let mut is_asked = false;
            until(&name, || {
                let created = run(admin.create_topics([&new], &patient()))??;
                let exists =
                    created.iter().any(|one| matches!(one, Err((_, RDKafkaErrorCode::TopicAlreadyExists))));
                let is_made = created.iter().all(Result::is_ok) || (exists && is_asked);
                is_asked |= !exists;
                Ok(is_made)
            })?;
            let last = partitions.cast_signed() - 1;
            // A client that has asked too early goes on saying what it heard then: each look is by a new one.
            until(&name, || Ok(self.admin()?.inner().fetch_watermarks(&name, last, ANSWER_WITHIN).is_ok()))?;
        }
        Ok(())
    }

    fn delete(&self, is_meant: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        let names: Vec<String> =
            topics::all().keys().filter(|topic| is_meant(topic)).map(|topic| self.name(topic)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for deleted in run(self.admin()?.delete_topics(&names, &patient()))?? {
            deleted.map_err(|(name, code)| anyhow::anyhow!("{name} can't be deleted: {code}"))?;
        }
        Ok(())
    }

    fn admin(&self) -> anyhow::Result<AdminClient<DefaultClientContext>> {
        Ok(self.kafka.client().create()?)
    }

    /// Writes about so many spans, in whole traces, at most `rate` a second: a trace is open for seconds of log time, so
    /// the rate decides how many are open at once.
    pub fn fill(
        &self,
        workload: Workload,
        packing: Packing,
        spans: u64,
        rate: u64,
    ) -> anyhow::Result<Filled> {
        let (mut packer, writer) = (Packer::new(packing, self.partitions), Writer::new(self, packing)?);
        let (began, mut truth, mut bytes) = (Instant::now(), Truth::default(), 0);
        let mut write = |message: Message| {
            bytes += message.value.len();
            writer.send(&message)
        };
        for number in 0.. {
            if truth.spans() >= spans {
                break;
            }
            let due = Duration::from_micros(truth.spans() * 1_000_000 / rate);
            thread::sleep(due.saturating_sub(began.elapsed()));
            let trace = workload.trace(number);
            trace.count(&mut truth);
            packer.add(trace, &mut write)?;
        }
        packer.finish(&mut write)?;
        writer.finish()?;
        Ok(Filled { truth, bytes, took: began.elapsed() })
    }

    /// Writes messages that are made already, as fast as it goes.
    pub fn write(&self, packing: Packing, messages: &[Message]) -> anyhow::Result<Duration> {
        let (writer, began) = (Writer::new(self, packing)?, Instant::now());
        messages.iter().try_for_each(|message| writer.send(message))?;
        writer.finish()?;
        Ok(began.elapsed())
    }
}

impl Drop for Topics {
    /// The servers of a comparison are thrown away with it: this only saves their disk.
    fn drop(&mut self) {
        let _ = self.delete(|_| true);
    }
}

/// Sends messages.
struct Writer<'a> {
    producer: ThreadedProducer<DefaultProducerContext>,
    topics: &'a Topics,
}

impl<'a> Writer<'a> {
    fn new(topics: &'a Topics, packing: Packing) -> anyhow::Result<Self> {
        let mut client = topics.kafka.client();
        client
            .set("compression.type", packing.compression)
            .set("linger.ms", "50")
            .set("enable.idempotence", "true");
        Ok(Self { producer: client.create()?, topics })
    }

    fn send(&self, message: &Message) -> anyhow::Result<()> {
        let topic = self.topics.name(OTLP_SPANS);
        let mut record =
            BaseRecord::to(&topic).partition(message.partition.cast_signed()).payload(&message.value);
        record.key = message.key.as_ref();
        while let Err((error, unsent)) = self.producer.send(record) {
            anyhow::ensure!(
                matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)),
                "{topic}: {error}"
            );
            record = unsent;
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Everything is in Kafka.
    fn finish(self) -> anyhow::Result<()> {
        Ok(self.producer.flush(WAIT)?)
    }
}

/// The broker answers when it is done.
fn patient() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(WAIT))
}

/// Asks again and again until it is so.
fn until(name: &str, mut is_so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let began = Instant::now();
    while !is_so().with_context(|| name.to_owned())? {
        anyhow::ensure!(began.elapsed() < WAIT, "the topic {name} can't be made");
        thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

fn run<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}
