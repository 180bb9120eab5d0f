//! Topics and a database nobody else uses, and the command that looks at them.

use process::{ClickHouseOptions, KafkaOptions};
use prost::Message as _;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A machine that runs this may be busy.
const SAYS_WITHIN: Duration = Duration::from_secs(60);

/// The one that `weir up` runs, with topics of its own under a prefix.
pub struct Installation {
    kafka: KafkaOptions,
    clickhouse: ClickHouseOptions,
    prefix: String,
    producer: FutureProducer,
}

/// What `weir doctor` answered.
pub struct Answer {
    pub code: Option<i32>,
    pub report: Value,
}

impl Answer {
    /// The finding about a part.
    pub fn of(&self, part: &str) -> (&str, &str) {
        let found = self.findings().find(|finding| finding["part"] == part);
        let found = found.unwrap_or_else(|| panic!("nothing about {part}: {:#}", self.report));
        (found["level"].as_str().unwrap(), found["what"].as_str().unwrap())
    }

    fn findings(&self) -> impl Iterator<Item = &Value> {
        self.report["findings"].as_array().unwrap().iter()
    }

    /// Sentences of refusals; each says what it means and what mends it.
    pub fn refusals(&self) -> BTreeSet<String> {
        let refused = self.findings().filter(|finding| finding["level"] == "refused");
        refused
            .inspect(|finding| {
                for word in ["means", "mend"] {
                    assert!(finding[word].as_str().is_some_and(|text| text.len() > 5), "{finding:#}");
                }
                assert_ne!(finding["mend"], "see its log", "{finding:#}");
            })
            .map(|finding| finding["what"].as_str().unwrap().to_owned())
            .collect()
    }
}

pub fn now_us() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

impl Installation {
    /// `None`, and a line that says so, when there are no servers to test with.
    pub fn new(name: &str) -> Option<Self> {
        let (Ok(brokers), Ok(url)) =
            (std::env::var("WEIR_TEST_KAFKA"), std::env::var("WEIR_TEST_CLICKHOUSE"))
        else {
            println!("skipped: WEIR_TEST_KAFKA or WEIR_TEST_CLICKHOUSE is not set");
            return None;
        };
        let unique = format!("test_doctor_{name}_{}_{}", std::process::id(), now_us());
        let mut clickhouse = ClickHouseOptions::local(url);
        clickhouse.clickhouse_database.clone_from(&unique);
        let kafka = KafkaOptions::plaintext(brokers);
        let producer = kafka.client().create().unwrap();
        Some(Self { kafka, clickhouse, prefix: format!("{unique}."), producer })
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.kafka.client().create().unwrap()
    }

    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// All topics but one, as they must be.
    pub async fn create_topics(&self, partitions: i32, without: &str) {
        for (name, topic) in schemas::topics::all().iter().filter(|(name, _)| *name != without) {
            self.create_topic(name, partitions, topic.cleanup.as_str(), topic.timestamp.as_str()).await;
        }
    }

    pub async fn create_topic(&self, name: &str, partitions: i32, cleanup: &str, timestamp: &str) {
        let name = self.topic(name);
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1))
            .set("cleanup.policy", cleanup)
            .set("message.timestamp.type", timestamp);
        let created = self.admin().create_topics([&topic], &AdminOptions::new()).await.unwrap();
        created.into_iter().for_each(|created| drop(created.unwrap()));
    }

    /// Deletes a topic, and waits until Kafka takes another one of its name.
    pub async fn delete_topic(&self, name: &str) {
        let name = self.topic(name);
        self.admin().delete_topics(&[&name], &AdminOptions::new()).await.unwrap();
        let within = Duration::from_secs(5);
        let is_there = || {
            let found = self.admin().inner().fetch_metadata(None, within).unwrap();
            found.topics().iter().any(|topic| topic.name() == name)
        };
        while is_there() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub async fn send(&self, topic: &str, partition: i32, key: &str, value: &[u8]) {
        let topic = self.topic(topic);
        let record = FutureRecord::to(&topic).partition(partition).key(key).payload(value);
        self.producer.send(record, Duration::from_secs(10)).await.unwrap();
    }

    pub async fn journal(&self, commit: &schemas::v1::ShardCommit) {
        let partition = i32::try_from(commit.shard).unwrap();
        self.send("flow_journal", partition, "", &commit.encode_to_vec()).await;
    }

    /// Deletes what stands before an offset of `otlp_spans`.
    pub async fn delete_spans(&self, partition: i32, before: i64) {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&self.topic("otlp_spans"), partition, Offset::Offset(before)).unwrap();
        self.admin().delete_records(&offsets, &AdminOptions::new()).await.unwrap();
    }

    pub async fn migrate(&self) {
        stream_processor::store::migrate(&self.clickhouse).await.unwrap();
    }

    pub async fn execute(&self, sql: &str) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/?database={}", self.clickhouse.clickhouse, self.clickhouse.clickhouse_database);
        let answer = client.post(url).body(sql.to_owned()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{sql}: {}", answer.text().await.unwrap());
    }

    fn weir(&self, command: &str) -> Command {
        let mut weir = Command::new(env!("CARGO_BIN_EXE_weir"));
        weir.args([command, "--kafka", &self.kafka.kafka, "--topic-prefix", &self.prefix])
            .args(["--group", &self.prefix]);
        weir
    }

    pub fn doctor(&self, more: &[&str]) -> Answer {
        let mut doctor = self.weir("doctor");
        doctor
            .args(["--clickhouse", &self.clickhouse.clickhouse])
            .args(["--clickhouse-database", &self.clickhouse.clickhouse_database, "--json"])
            .args(more);
        let output = doctor.output().unwrap();
        let report = serde_json::from_slice(&output.stdout);
        let report =
            report.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        Answer { code: output.status.code(), report }
    }

    /// Waits until a store has said all of these.
    pub fn store_says(&self, sentences: &BTreeSet<String>) {
        let mut store = Command::new(env!("CARGO_BIN_EXE_weir"));
        store
            .args(["store", "--kafka", &self.kafka.kafka, "--topic-prefix", &self.prefix])
            .args(["--clickhouse", &self.clickhouse.clickhouse])
            .args(["--clickhouse-database", &self.clickhouse.clickhouse_database, "--admin", "127.0.0.1:0"]);
        says_all(store, sentences);
    }

    /// Waits until a processor has said all of these.
    pub fn processor_says(&self, sentences: &BTreeSet<String>) {
        let mut processor = self.weir("processor");
        processor.args(["--admin", "127.0.0.1:0"]);
        says_all(processor, sentences);
    }

    /// What a processor says that refuses to start.
    pub fn processor(&self, more: &[&str]) -> String {
        let output = self.weir("processor").args(["--admin", "127.0.0.1:0"]).args(more).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    pub async fn drop(self) {
        let names = schemas::topics::all().into_keys().map(|name| self.topic(&name)).collect::<Vec<_>>();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let _ = self.admin().delete_topics(&names, &AdminOptions::new()).await;
        self.execute(&format!("DROP DATABASE IF EXISTS {}", self.clickhouse.clickhouse_database)).await;
    }
}

/// Reads what a role says about its parts until every sentence was among it, then ends the role.
fn says_all(mut role: Command, sentences: &BTreeSet<String>) {
    let mut role = role.stderr(Stdio::piped()).spawn().unwrap();
    let mut missing: BTreeSet<&String> = sentences.iter().collect();
    let lines = BufReader::new(role.stderr.take().unwrap()).lines();
    let (tell, said) = channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
    let deadline = Instant::now() + SAYS_WITHIN;
    while !missing.is_empty() {
        let line = said.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        let line = line.unwrap_or_else(|why| {
            let _ = role.kill();
            panic!("{why}, and it has not said {missing:#?}")
        });
        // The log is JSON where nobody looks on.
        let line = line.replace("\\\"", "\"");
        missing.retain(|sentence| !line.contains(sentence.as_str()));
    }
    assert_eq!(role.try_wait().unwrap(), None, "it goes on");
    role.kill().unwrap();
    role.wait().unwrap();
}
