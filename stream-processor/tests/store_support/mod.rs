//! Real servers for the store's tests: `WEIR_TEST_CLICKHOUSE` (URL) and `WEIR_TEST_KAFKA` (HOST:PORT). Every test has
//! a database and topics of its own.
#![allow(dead_code, reason = "each test file uses its part")]

use process::{ClickHouseOptions, Health, KafkaOptions};
use prost::Message as _;
use rdkafka::Message as _;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::v1;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stream_processor::store::{self, Options};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const NAMES: [&str; 4] = ["flow_deltas", "flow_traces", "otlp_spans", "store_journal"];

/// A name that no other run uses.
pub fn unique(name: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("test_{name}_{}_{}", std::process::id(), since.as_nanos())
}

/// A database that is dropped at the end.
pub struct Database {
    pub options: ClickHouseOptions,
}

impl Database {
    /// `None`, and a line that says so, when there is no server to test with.
    pub fn new(name: &str) -> Option<Self> {
        let Ok(url) = std::env::var("WEIR_TEST_CLICKHOUSE") else {
            println!("skipped: WEIR_TEST_CLICKHOUSE is not set");
            return None;
        };
        let mut options = ClickHouseOptions::local(url);
        options.clickhouse_database = unique(name);
        Some(Self { options })
    }

    pub async fn execute(&self, sql: &str) {
        self.options.client().query_raw(sql).execute().await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
    }

    /// The answer as lines of tab-separated values.
    pub async fn ask(&self, sql: &str) -> Vec<String> {
        self.try_ask(sql).await.unwrap_or_else(|error| panic!("{error}\n{sql}"))
    }

    async fn try_ask(&self, sql: &str) -> clickhouse::error::Result<Vec<String>> {
        let mut cursor = self.options.client().query_raw(sql).fetch_bytes("TSV")?;
        let bytes = cursor.collect().await?;
        Ok(String::from_utf8(bytes.to_vec()).unwrap().lines().map(str::to_owned).collect())
    }

    /// Asks until the answer is the expected one; fails with the last answer when that takes too long.
    pub async fn ask_until(&self, sql: &str, expected: &[&str]) {
        let mut last = Vec::new();
        for _ in 0..600 {
            last = match self.try_ask(sql).await {
                Ok(answer) if answer == expected => return,
                Ok(answer) => answer,
                // The role creates the tables.
                Err(error) => vec![error.to_string()],
            };
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(last, expected, "{sql}");
    }

    pub async fn drop(self) {
        let sql = format!("DROP DATABASE {}", self.options.clickhouse_database);
        self.options.client().with_database("default").query_raw(&sql).execute().await.unwrap();
    }
}

/// Topics with a prefix of their own.
pub struct Topics {
    pub kafka: KafkaOptions,
    pub prefix: String,
    producer: FutureProducer,
}

impl Topics {
    /// The store's four topics, the sources with two partitions; `None` when there is no broker to test with.
    pub async fn new(name: &str) -> Option<Self> {
        let Ok(brokers) = std::env::var("WEIR_TEST_KAFKA") else {
            println!("skipped: WEIR_TEST_KAFKA is not set");
            return None;
        };
        let kafka = KafkaOptions::plaintext(brokers);
        let prefix = format!("{}.", unique(name));
        let admin: AdminClient<DefaultClientContext> = kafka.client().create().unwrap();
        let names = NAMES.map(|topic| format!("{prefix}{topic}"));
        let topics = names.iter().map(|name| {
            let topic = NewTopic::new(name, 2, TopicReplication::Fixed(1));
            // Compacted only, it could not be emptied.
            if name.ends_with("store_journal") {
                topic.set("cleanup.policy", "compact,delete")
            } else {
                topic
            }
        });
        for created in
            admin.create_topics(topics.collect::<Vec<_>>().iter(), &AdminOptions::new()).await.unwrap()
        {
            created.unwrap();
        }
        let producer = kafka.client().create().unwrap();
        Some(Self { kafka, prefix, producer })
    }

    pub async fn drop(self) {
        let admin: AdminClient<DefaultClientContext> = self.kafka.client().create().unwrap();
        let names = NAMES.map(|topic| format!("{}{topic}", self.prefix));
        let names = names.each_ref().map(String::as_str);
        admin.delete_topics(&names, &AdminOptions::new()).await.unwrap();
    }

    /// Deletes every record of both partitions.
    pub async fn empty(&self, topic: &str) {
        let admin: AdminClient<DefaultClientContext> = self.kafka.client().create().unwrap();
        let mut all = TopicPartitionList::new();
        for partition in 0..2 {
            let topic = format!("{}{topic}", self.prefix);
            all.add_partition_offset(&topic, partition, Offset::End).unwrap();
        }
        let emptied = admin.delete_records(&all, &AdminOptions::new()).await.unwrap();
        assert!(emptied.elements().iter().all(|partition| partition.error().is_ok()), "{emptied:?}");
    }

    pub async fn send(&self, topic: &str, partition: i32, value: &[u8]) {
        self.send_keyed(topic, partition, "", value).await;
    }

    pub async fn send_keyed(&self, topic: &str, partition: i32, key: &str, value: &[u8]) {
        let topic = format!("{}{topic}", self.prefix);
        let record = FutureRecord::to(&topic).partition(partition).key(key).payload(value);
        self.producer.send(record, Duration::from_secs(10)).await.unwrap();
    }
}

/// The role inside the test's process.
pub struct Running {
    pub stop: CancellationToken,
    pub role: JoinHandle<anyhow::Result<()>>,
    pub health: Health,
}

impl Running {
    pub fn start(database: &Database, topics: &Topics) -> Self {
        Self::start_with(database, topics, |_| ())
    }

    pub fn start_with(database: &Database, topics: &Topics, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::new(topics.kafka.clone(), database.options.clone());
        options.topic_prefix = topics.prefix.clone();
        options.batch_ms = 200;
        options.admin = ([127, 0, 0, 1], 0).into();
        change(&mut options);
        let (stop, health) = (CancellationToken::new(), Health::new());
        let role = tokio::spawn(store::run(options, health.clone(), stop.clone()));
        Self { stop, role, health }
    }

    pub async fn wait_ready(&self) {
        tokio::time::timeout(Duration::from_secs(60), self.health.wait_ready()).await.unwrap();
    }

    /// Waits until this is among the reasons why it isn't ready.
    pub async fn says(&self, why: &str) {
        for _ in 0..600 {
            if self.health.reasons().contains(why) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{}", self.health.reasons());
    }

    /// Waits until it refuses to work, and returns its sentence.
    pub async fn refusal(mut self) -> String {
        let ended = tokio::time::timeout(Duration::from_secs(60), &mut self.role).await;
        format!("{:#}", ended.expect("it goes on").unwrap().unwrap_err())
    }

    pub async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.role).await.unwrap().unwrap();
    }
}

/// A test that fails must not leave the lanes' threads running: its runtime would wait for them.
impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub fn now_s() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as u32
}

/// `calls` of user → gateway that took 100 µs each.
pub fn deltas(shard: u32, seq: u64, window_s: u32, calls: i64, weight_milli: u32) -> Vec<u8> {
    let latency = v1::Histogram { bucket: vec![100], count: vec![calls], sum_us: 100 * calls };
    let message = v1::FlowDeltas {
        shard,
        seq,
        parts: 1,
        clock_us: 7_000_000,
        strings: ["", "prod", "login", "user", "gateway", "v1", "GET /login"].map(str::to_owned).to_vec(),
        nodes: vec![
            v1::Node { name: 3, kind: v1::NodeKind::User.into(), ..Default::default() },
            v1::Node { name: 4, kind: v1::NodeKind::Service.into(), ..Default::default() },
        ],
        edges: vec![v1::EdgeDelta {
            environment: 1,
            operation: 2,
            server: 1,
            version: 5,
            window_s,
            weight_milli,
            calls,
            errors: 1,
            callee_latency: Some(latency.clone()),
            ..Default::default()
        }],
        services: vec![v1::ServiceDelta {
            environment: 1,
            operation: 2,
            node: 1,
            version: 5,
            window_s,
            weight_milli,
            requests: calls,
            self_time: Some(latency.clone()),
            ..Default::default()
        }],
        operations: vec![v1::OperationDelta {
            environment: 1,
            operation: 2,
            window_s,
            weight_milli,
            flows: calls,
            duration: Some(latency.clone()),
            ..Default::default()
        }],
        endpoints: vec![v1::EndpointDelta {
            environment: 1,
            node: 1,
            version: 5,
            entry: 6,
            window_s,
            weight_milli,
            requests: calls,
            latency: Some(latency),
            ..Default::default()
        }],
        ..Default::default()
    };
    message.encode_to_vec()
}

/// The newest journal entry of a lane.
pub fn newest_entry(topics: &Topics, lane: u16) -> serde_json::Value {
    let mut config = topics.kafka.client();
    config
        .set("group.id", "test")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    let topic = format!("{}store_journal", topics.prefix);
    list.add_partition_offset(&topic, i32::from(lane) % 2, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let mut newest = None;
    loop {
        match consumer.poll(Duration::from_secs(20)) {
            Some(Ok(message)) if message.key() == Some(lane.to_string().as_bytes()) => {
                newest = Some(serde_json::from_slice(message.payload().unwrap()).unwrap());
            }
            Some(Ok(_)) => {}
            _ => return newest.expect("the lane has an entry"),
        }
    }
}
