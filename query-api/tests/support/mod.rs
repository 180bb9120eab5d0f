//! A query API of its own for each test, on the real Kafka and ClickHouse that `WEIR_TEST_KAFKA` (HOST:PORT) and
//! `WEIR_TEST_CLICKHOUSE` (URL) name, with topics and a database nobody else uses.
#![allow(dead_code, reason = "each test file uses its part")]

use process::{ClickHouseOptions, Health, KafkaOptions};
use prost::Message;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use schemas::v1::{EdgeDelta, FlowDeltas, FlowEvent, Histogram, Node, NodeKind, OperationDelta};
use serde_json::Value;
use std::net::TcpListener;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The migrations that hold tables; functions belong to the whole server, and another test may be making them.
const TABLES: [&str; 10] = [
    "otel_traces",
    "edges",
    "services",
    "operations",
    "endpoints",
    "flows",
    "store_progress",
    "store_progress_commit",
    "flows_by_start",
    "flow_places",
];

const TOPICS: [&str; 4] = ["flow_deltas", "flow_events", "flow_traces", "otlp_spans"];

/// Servers, topics and a database.
pub struct Bench {
    pub kafka: KafkaOptions,
    pub clickhouse: ClickHouseOptions,
    prefix: String,
    producer: FutureProducer,
}

/// A running query API.
pub struct Api {
    pub url: String,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

/// Seconds since the epoch.
pub fn now_s() -> u32 {
    u32::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

impl Bench {
    /// `None`, and a line that says so, when there are no servers to test with.
    pub async fn new(name: &str) -> Option<Self> {
        let (Ok(brokers), Ok(url)) =
            (std::env::var("WEIR_TEST_KAFKA"), std::env::var("WEIR_TEST_CLICKHOUSE"))
        else {
            println!("skipped: WEIR_TEST_KAFKA or WEIR_TEST_CLICKHOUSE is not set");
            return None;
        };
        let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let unique = format!("test_query_{name}_{}_{nanoseconds}", std::process::id());
        let kafka = KafkaOptions::plaintext(brokers);
        let mut clickhouse = ClickHouseOptions::local(url);
        clickhouse.clickhouse_database.clone_from(&unique);
        let producer = kafka.client().create().unwrap();
        let bench = Self { kafka, clickhouse, prefix: format!("{unique}."), producer };
        bench.create_topics().await;
        bench.create_tables(&unique).await;
        Some(bench)
    }

    async fn create_topics(&self) {
        let admin: AdminClient<DefaultClientContext> = self.kafka.client().create().unwrap();
        for topic in TOPICS {
            let name = format!("{}{topic}", self.prefix);
            let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
            for created in admin.create_topics([&topic], &AdminOptions::new()).await.unwrap() {
                created.unwrap();
            }
        }
    }

    async fn create_tables(&self, database: &str) {
        let outside = self.clickhouse.client().with_database("default");
        outside.query_raw(&format!("CREATE DATABASE {database}")).execute().await.unwrap();
        for migration in schemas::migrations::ALL.iter().filter(|migration| TABLES.contains(&migration.name))
        {
            for statement in migration.statements() {
                self.execute(statement).await;
            }
        }
    }

    /// Before the name of each topic.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub async fn execute(&self, sql: &str) {
        let query = self.clickhouse.client().with_setting("async_insert", "0").query_raw(sql).execute().await;
        query.unwrap_or_else(|error| panic!("{error}\n{sql}"));
    }

    /// One commit of shard 0.
    pub async fn commit(&self, seq: u64, calls: &[Calls]) {
        self.send("flow_deltas", &commit(seq, calls).encode_to_vec()).await;
    }

    pub async fn event(&self, event: &FlowEvent) {
        self.send("flow_events", &event.encode_to_vec()).await;
    }

    pub async fn send(&self, topic: &str, value: &[u8]) {
        let topic = format!("{}{topic}", self.prefix);
        let record = FutureRecord::<(), _>::to(&topic).partition(0).payload(value);
        self.producer.send(record, Duration::from_secs(10)).await.unwrap();
    }

    /// Starts a query API and waits until it is ready.
    pub async fn start(&self) -> Api {
        self.start_with(|_| ()).await
    }

    /// The same with other options.
    pub async fn start_with(&self, change: impl FnOnce(&mut query_api::Options)) -> Api {
        let mut options = query_api::Options::new(self.kafka.clone(), self.clickhouse.clone());
        // The port is free again once the listener is gone, and the system gives other ports to others for a while.
        options.listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        options.topic_prefix.clone_from(&self.prefix);
        change(&mut options);
        let (stop, health) = (CancellationToken::new(), Health::new());
        let url = format!("http://{}", options.listen);
        let running = tokio::spawn(query_api::run(options, health.clone(), stop.clone()));
        let ready = tokio::time::timeout(Duration::from_secs(30), health.wait_ready()).await;
        assert!(ready.is_ok(), "not ready: {}", health.reasons());
        Api { url, stop, running }
    }

    pub async fn drop(self) {
        let sql = format!("DROP DATABASE {}", self.clickhouse.clickhouse_database);
        self.clickhouse.client().with_database("default").query_raw(&sql).execute().await.unwrap();
        let admin: AdminClient<DefaultClientContext> = self.kafka.client().create().unwrap();
        let topics = TOPICS.map(|topic| format!("{}{topic}", self.prefix));
        let _ = admin.delete_topics(&topics.each_ref().map(String::as_str), &AdminOptions::new()).await;
    }
}

impl Api {
    /// Status and body of an answer.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("{}{path}", self.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Status and body of an answer to JSON.
    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.post(format!("{}{path}", self.url)).json(body).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Asks until `wanted` is so; fails with the last answer when that takes too long.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..200 {
            last = self.get(path).await.1;
            if wanted(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} did not become what was wanted: {last:#}");
    }

    /// A number of `/metrics`.
    pub async fn metric(&self, name: &str) -> i64 {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let page = client.get(format!("{}/metrics", self.url)).send().await.unwrap().text().await.unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is missing in\n{page}")).parse().unwrap()
    }

    /// Waits for a line of `/metrics`.
    pub async fn until_metrics(&self, line: &str) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut last = String::new();
        for _ in 0..800 {
            last = client.get(format!("{}/metrics", self.url)).send().await.unwrap().text().await.unwrap();
            if last.lines().any(|found| found == line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{line} is missing in\n{last}");
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
    }
}

/// Calls of `web` to a server in one second.
pub struct Calls {
    pub operation: &'static str,
    /// `[namespace/]name` of a service, or `external:name`.
    pub server: &'static str,
    pub window_s: u32,
    pub calls: i64,
    pub errors: i64,
}

/// Calls of the operation `login` to `auth`.
pub fn logins(window_s: u32, calls: i64) -> Calls {
    Calls { operation: "login", server: "auth", window_s, calls, errors: 0 }
}

fn commit(seq: u64, calls: &[Calls]) -> FlowDeltas {
    let clock_us = i64::from(now_s()) * 1_000_000;
    let mut deltas = FlowDeltas { seq, parts: 1, clock_us, ..FlowDeltas::default() };
    deltas.strings = ["", "production", "web"].map(str::to_owned).to_vec();
    deltas.nodes.push(Node { name: 2, kind: NodeKind::Service.into(), ..Node::default() });
    for each in calls {
        let next = u32::try_from(deltas.strings.len()).unwrap();
        let (namespace, name, kind) = server(each.server);
        deltas.strings.extend([each.operation, name, namespace].map(str::to_owned));
        deltas.nodes.push(Node { namespace: next + 2, name: next + 1, kind: kind.into(), ..Node::default() });
        // Every call takes 100 µs, a bucket of its own.
        let latency =
            Some(Histogram { bucket: vec![100], count: vec![each.calls], sum_us: 100 * each.calls });
        deltas.edges.push(EdgeDelta {
            environment: 1,
            operation: next,
            server: u32::try_from(deltas.nodes.len() - 1).unwrap(),
            window_s: each.window_s,
            weight_milli: 1_000,
            calls: each.calls,
            errors: each.errors,
            paired: each.calls,
            callee_latency: latency.clone(),
            ..EdgeDelta::default()
        });
        deltas.operations.push(OperationDelta {
            environment: 1,
            operation: next,
            window_s: each.window_s,
            weight_milli: 1_000,
            flows: each.calls,
            duration: latency,
            ..OperationDelta::default()
        });
    }
    deltas
}

fn server(id: &str) -> (&str, &str, NodeKind) {
    match (id.strip_prefix("external:"), id.split_once('/')) {
        (Some(name), _) => ("", name, NodeKind::External),
        (None, Some((namespace, name))) => (namespace, name, NodeKind::Service),
        (None, None) => ("", id, NodeKind::Service),
    }
}

/// `callCount` of the edge to a server, 0 without one.
pub fn calls_to(graph: &Value, server: &str) -> i64 {
    let edges = graph["edges"].as_array().unwrap_or_else(|| panic!("no graph: {graph:#}"));
    edges.iter().find(|edge| edge["to"] == server).map_or(0, |edge| edge["callCount"].as_i64().unwrap())
}
