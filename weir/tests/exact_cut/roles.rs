//! The store and query-api as processes of their own, on topics and a database nobody else uses.

use process::{ClickHouseOptions, KafkaOptions};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const TOPICS: [&str; 5] = ["flow_deltas", "flow_traces", "flow_events", "otlp_spans", "store_journal"];

/// Topics and a database.
pub struct Bench {
    pub kafka: KafkaOptions,
    pub clickhouse: ClickHouseOptions,
    prefix: String,
}

impl Bench {
    /// `None`, and a line that says so, when there are no servers to test with.
    pub async fn new(partitions: u32) -> Option<Self> {
        let (Ok(brokers), Ok(url)) =
            (std::env::var("WEIR_TEST_KAFKA"), std::env::var("WEIR_TEST_CLICKHOUSE"))
        else {
            println!("skipped: WEIR_TEST_KAFKA or WEIR_TEST_CLICKHOUSE is not set");
            return None;
        };
        let unique = format!("test_cut_{}_{}", std::process::id(), crate::now_us());
        let mut clickhouse = ClickHouseOptions::local(url);
        clickhouse.clickhouse_database.clone_from(&unique);
        let bench =
            Self { kafka: KafkaOptions::plaintext(brokers), clickhouse, prefix: format!("{unique}.") };
        let names = TOPICS.map(|topic| bench.topic(topic));
        let partitions = i32::try_from(partitions).unwrap();
        let topics = names.iter().map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(1)));
        let topics: Vec<_> = topics.collect();
        for created in bench.admin().create_topics(&topics, &AdminOptions::new()).await.unwrap() {
            created.unwrap();
        }
        // A store that is killed before it has made them would leave a reader without tables.
        stream_processor::store::migrate(&bench.clickhouse).await.unwrap();
        Some(bench)
    }

    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.kafka.client().create().unwrap()
    }

    pub fn store(&self) -> Role {
        // Under its name it has its lanes back at once after a kill.
        self.role("store", &["--batch-ms", "100", "--admin", "127.0.0.1:0", "--group-instance-id", "store-0"])
    }

    pub fn query_api(&self) -> Api {
        // The port is free again once the listener is gone, and the system gives other ports to others for a while.
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let role = self.role("query-api", &["--listen", &listen.to_string()]);
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        Api { role, listen, client }
    }

    fn role(&self, role: &str, arguments: &[&str]) -> Role {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command
            .args([role, "--kafka", &self.kafka.kafka, "--topic-prefix", &self.prefix])
            .args(["--clickhouse", &self.clickhouse.clickhouse])
            .args(["--clickhouse-database", &self.clickhouse.clickhouse_database])
            .args(arguments)
            .env("WEIR_LOG", "warn,rdkafka::client=off,librdkafka=off")
            .stdin(Stdio::null());
        Role(command.spawn().unwrap())
    }

    pub async fn drop(self) {
        let names = TOPICS.map(|topic| self.topic(topic));
        let names = names.each_ref().map(String::as_str);
        self.admin().delete_topics(&names, &AdminOptions::new()).await.unwrap();
        let drop = format!("DROP DATABASE {}", self.clickhouse.clickhouse_database);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.post(&self.clickhouse.clickhouse).body(drop).send().await.unwrap().error_for_status().unwrap();
    }
}

/// A process that ends with the test, however the test ends.
pub struct Role(Child);

impl Role {
    /// SIGKILL: nothing is drained.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running query-api.
pub struct Api {
    pub role: Role,
    listen: SocketAddr,
    client: reqwest::Client,
}

impl Api {
    /// The answer; `None` while nobody listens yet.
    pub async fn ask(&self, path: &str) -> Option<Value> {
        let answer = self.client.get(format!("http://{}{path}", self.listen)).send().await.ok()?;
        assert_eq!(answer.status(), 200, "{path}");
        Some(answer.json().await.unwrap())
    }

    pub async fn is_ready(&self) -> bool {
        let answer = self.client.get(format!("http://{}/ready", self.listen)).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    }
}
