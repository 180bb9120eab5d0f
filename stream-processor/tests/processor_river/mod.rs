//! A river of its own on a real Kafka for one test: topics with a prefix nobody else uses, a producer of spans, and
//! readers of what is committed.

#![allow(dead_code)] // each test binary uses its part
#![allow(clippy::unwrap_used)] // test code, though clippy doesn't see that in a module of its own

pub mod spans;

use opentelemetry_proto::tonic::trace::v1::TracesData;
use process::{Health, KafkaOptions};
use prost::Message as _;
use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedMessage;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::topics::{self, Partitions, partition_of};
use schemas::v1::{FlowDeltas, FlowTrace, ShardCommit};
use spans::Trace;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use stream_processor::processor::{self, Options};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Generous: the machine that runs this may be busy with other things.
pub const LIMIT: Duration = Duration::from_secs(90);

pub struct River {
    pub brokers: String,
    pub prefix: String,
    pub partitions: u32,
    producer: BaseProducer,
}

/// A processor inside this process.
pub struct Processor {
    pub health: Health,
    stop: CancellationToken,
    run: JoinHandle<anyhow::Result<()>>,
}

impl River {
    /// `None`, with a printed reason, where there is no Kafka to test with.
    pub async fn new(test: &str, partitions: u32) -> Option<Self> {
        Self::with(test, partitions, &[]).await
    }

    /// With other settings than declared: (topic, setting, value).
    pub async fn with(test: &str, partitions: u32, settings: &[(&str, &str, &str)]) -> Option<Self> {
        let Ok(brokers) = std::env::var("WEIR_TEST_KAFKA") else {
            println!("skipped: WEIR_TEST_KAFKA names no Kafka");
            return None;
        };
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let prefix = format!("test-{test}-{}-{}.", std::process::id(), since.subsec_nanos());
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &brokers)
            .set("enable.idempotence", "true")
            .create()
            .unwrap();
        let river = Self { brokers, prefix, partitions, producer };
        river.create_topics(settings).await;
        Some(river)
    }

    async fn create_topics(&self, settings: &[(&str, &str, &str)]) {
        let declared = topics::all();
        let names: Vec<String> = declared.keys().map(|name| self.topic(name)).collect();
        let new = declared.iter().zip(&names).map(|((plain, topic), name)| {
            let partitions = if topic.partitions == Partitions::Shards { self.partitions } else { 1 };
            let set = |name: &str, value: &'static str| {
                let other = settings.iter().find(|(topic, setting, _)| topic == plain && *setting == name);
                other.map_or(value.to_owned(), |(_, _, value)| (*value).to_owned())
            };
            let cleanup = set("cleanup.policy", topic.cleanup.as_str());
            let stamp = set("message.timestamp.type", topic.timestamp.as_str());
            // The values live as long as the request; leaking a few bytes in a test keeps this readable.
            NewTopic::new(name, partitions.cast_signed(), TopicReplication::Fixed(1))
                .set("cleanup.policy", cleanup.leak())
                .set("message.timestamp.type", stamp.leak())
        });
        let new: Vec<NewTopic> = new.collect();
        for created in self.admin().create_topics(&new, &AdminOptions::new()).await.unwrap() {
            created.unwrap();
        }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap()
    }

    /// Deletes a topic and creates it again.
    pub async fn make_anew(&self, plain: &str) {
        let name = self.topic(plain);
        let admin = self.admin();
        admin.delete_topics(&[&name], &AdminOptions::new()).await.unwrap();
        let declared = &topics::all()[plain];
        let created = async || {
            let new = NewTopic::new(&name, self.partitions.cast_signed(), TopicReplication::Fixed(1))
                .set("message.timestamp.type", declared.timestamp.as_str());
            matches!(admin.create_topics([&new], &AdminOptions::new()).await.unwrap()[..], [Ok(_)])
        };
        // Deleting takes a moment.
        let deadline = Instant::now() + LIMIT;
        while !created().await {
            assert!(Instant::now() < deadline, "{name} can't be created again");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub async fn drop_topics(self) {
        let names: Vec<String> = topics::all().keys().map(|name| self.topic(name)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let _ = self.admin().delete_topics(&names, &AdminOptions::new()).await;
    }

    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub fn options(&self) -> Options {
        Options {
            group: format!("{}group", self.prefix),
            topic_prefix: self.prefix.clone(),
            admin: "127.0.0.1:0".parse().unwrap(),
            ..Options::new(KafkaOptions::plaintext(&self.brokers))
        }
    }

    /// Starts a processor in this process.
    pub fn start(&self, options: Options) -> Processor {
        let (health, stop) = (Health::new(), CancellationToken::new());
        let run = tokio::spawn(processor::run(options, health.clone(), stop.clone()));
        Processor { health, stop, run }
    }

    fn send(&self, topic: &str, partition: u32, key: Option<&str>, value: &[u8]) {
        let topic = self.topic(topic);
        let mut record = BaseRecord::to(&topic).partition(partition.cast_signed()).payload(value);
        if let Some(key) = key {
            record = record.key(key);
        }
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
    }

    /// One message a trace, keyed by it, as the collector's exporter writes them.
    pub fn send_keyed(&self, traces: &[Trace]) {
        self.send_each(traces, |trace| spans::message(&[trace]));
    }

    /// One message a trace, with what `part` takes of it.
    pub fn send_each(&self, traces: &[Trace], part: impl Fn(&Trace) -> TracesData) {
        for trace in traces {
            let partition = partition_of(trace.id, self.partitions);
            let key = format!("{:032x}", trace.id);
            self.send(topics::OTLP_SPANS, partition, Some(&key), &part(trace).encode_to_vec());
        }
        self.producer.flush(LIMIT).unwrap();
    }

    /// One message a partition, without a key, as `ingest` writes them.
    pub fn send_packed(&self, traces: &[Trace]) {
        for partition in 0..self.partitions {
            let mine = traces.iter().filter(|trace| partition_of(trace.id, self.partitions) == partition);
            let message = spans::message(&mine.collect::<Vec<_>>()).encode_to_vec();
            self.send(topics::OTLP_SPANS, partition, None, &message);
        }
        self.producer.flush(LIMIT).unwrap();
    }

    pub fn send_bytes(&self, partition: u32, bytes: &[u8]) {
        self.send(topics::OTLP_SPANS, partition, None, bytes);
        self.producer.flush(LIMIT).unwrap();
    }

    /// Everything that is committed in a topic, in order within each partition.
    pub fn read(&self, topic: &str) -> Vec<OwnedMessage> {
        let topic = self.topic(topic);
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", "test")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .create()
            .unwrap();
        let metadata = consumer.fetch_metadata(Some(&topic), LIMIT).unwrap();
        let partitions = metadata.topics()[0].partitions().len();
        let mut all = TopicPartitionList::new();
        for partition in 0..partitions as i32 {
            all.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&all).unwrap();
        let (mut messages, mut ended) = (Vec::new(), BTreeSet::new());
        let deadline = Instant::now() + LIMIT;
        while ended.len() < partitions {
            assert!(Instant::now() < deadline, "{topic} can't be read to its end");
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => messages.push(message.detach()),
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
                // A broker that is away for a moment comes back; the deadline above bounds it.
                Some(Err(_)) | None => {}
            }
        }
        messages
    }

    /// Members of the processors' group, as its coordinator sees them.
    pub fn members(&self) -> usize {
        let name = self.options().group;
        let groups = self.producer.client().fetch_group_list(Some(&name), LIMIT);
        groups.map_or(0, |groups| groups.groups().iter().map(|group| group.members().len()).sum())
    }

    pub fn deltas(&self) -> Vec<FlowDeltas> {
        decoded(&self.read(topics::FLOW_DELTAS))
    }

    pub fn journal(&self) -> Vec<ShardCommit> {
        decoded(&self.read(topics::FLOW_JOURNAL))
    }

    pub fn traces(&self) -> Vec<FlowTrace> {
        decoded(&self.read(topics::FLOW_TRACES))
    }

    /// The graph of everything committed so far: calls by caller and callee.
    pub fn calls(&self) -> BTreeMap<(String, String), i64> {
        let mut calls = BTreeMap::new();
        for deltas in self.deltas() {
            let name = |index: u32| {
                let node = &deltas.nodes[index as usize];
                deltas.strings[node.name as usize].clone()
            };
            for edge in &deltas.edges {
                *calls.entry((name(edge.client), name(edge.server))).or_default() += edge.calls;
            }
        }
        calls.retain(|_, calls| *calls != 0);
        calls
    }

    /// Asserts that the commits of every shard are numbered 1, 2, 3 … with all their parts, in both topics, and that
    /// neither progress nor log time goes back.
    pub fn assert_no_holes(&self) {
        self.assert_numbered();
        let mut last: BTreeMap<u32, ShardCommit> = BTreeMap::new();
        for commit in self.journal() {
            let before = last.insert(commit.shard, commit.clone()).unwrap_or_default();
            assert!(commit.next_offset >= before.next_offset, "progress never goes back");
            assert!(commit.clock_us >= before.clock_us, "log time never goes back");
        }
    }

    /// Asserts only that they are numbered.
    pub fn assert_numbered(&self) {
        let mut next: BTreeMap<u32, (u64, u32)> = BTreeMap::new();
        for deltas in self.deltas() {
            let expected = next.entry(deltas.shard).or_insert((1, 0));
            assert_eq!((deltas.seq, deltas.part), *expected, "flow_deltas of shard {}", deltas.shard);
            *expected = match deltas.part + 1 == deltas.parts {
                true => (deltas.seq + 1, 0),
                false => (deltas.seq, deltas.part + 1),
            };
        }
        let mut last: BTreeMap<u32, ShardCommit> = BTreeMap::new();
        for commit in self.journal() {
            let before = last.insert(commit.shard, commit.clone()).unwrap_or_default();
            // A commit that closes very many traces is several records of one seq.
            let follows = commit.seq == before.seq + 1 || commit.seq == before.seq;
            assert!(follows, "flow_journal of shard {}: {} after {}", commit.shard, commit.seq, before.seq);
        }
    }
}

impl Processor {
    /// Waits until it says that it keeps so many shards.
    pub async fn wait_live(&self, shards: usize) {
        let wanted = format!("{shards} shards are live");
        wait(&format!("{wanted}: {:?}", self.health.parts()), || self.says(&wanted)).await;
    }

    /// Whether this is what it says about itself.
    pub fn says(&self, wanted: &str) -> bool {
        self.health.parts().get("processor").is_some_and(|part| part.why == wanted)
    }

    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        (&mut self.run).await.unwrap()
    }

    /// What it ended with by itself.
    pub async fn end(mut self) -> anyhow::Result<()> {
        tokio::time::timeout(LIMIT, &mut self.run).await.expect("it ends by itself").unwrap()
    }
}

impl Drop for Processor {
    /// A test that fails must not leave it running.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Asks again and again until it is true.
pub async fn wait(what: &str, is_true: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !tokio::task::block_in_place(&is_true) {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn decoded<M: prost::Message + Default>(messages: &[OwnedMessage]) -> Vec<M> {
    messages.iter().map(|message| M::decode(message.payload().unwrap()).unwrap()).collect()
}
