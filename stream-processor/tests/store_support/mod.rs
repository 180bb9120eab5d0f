//! Real servers for the store's tests: `WEIR_TEST_CLICKHOUSE` (URL) and `WEIR_TEST_KAFKA` (HOST:PORT). Every test has
//! a database and topics of its own.
#![allow(dead_code, reason = "each test file uses its part")]

use process::{ClickHouseOptions, KafkaOptions};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
            if name.ends_with("store_journal") { topic.set("cleanup.policy", "compact") } else { topic }
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

    pub async fn send(&self, topic: &str, partition: i32, value: &[u8]) {
        self.send_keyed(topic, partition, "", value).await;
    }

    pub async fn send_keyed(&self, topic: &str, partition: i32, key: &str, value: &[u8]) {
        let topic = format!("{}{topic}", self.prefix);
        let record = FutureRecord::to(&topic).partition(partition).key(key).payload(value);
        self.producer.send(record, Duration::from_secs(10)).await.unwrap();
    }
}
