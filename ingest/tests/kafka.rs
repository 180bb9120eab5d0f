//! `ingest` as a whole against a real Kafka: set `WEIR_TEST_KAFKA=HOST:PORT`.
#![allow(clippy::unwrap_used)]

use ingest::producer::Producer;
use ingest::{Options, topic};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use prost::Message as _;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{Message, Offset, TopicPartitionList};
use schemas::topics::{FLOW_DEAD_LETTERS, OTLP_SPANS, partition_of};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;

const PROTOBUF: &str = "application/x-protobuf";
const PATIENCE: Duration = Duration::from_secs(30);

/// The brokers to test with, or none, told on the terminal.
fn brokers() -> Option<String> {
    let brokers = std::env::var("WEIR_TEST_KAFKA").ok();
    if brokers.is_none() {
        println!("SKIPPED: no Kafka; set WEIR_TEST_KAFKA=HOST:PORT");
    }
    brokers
}

/// A running `ingest`, on ports of its own.
struct Running {
    options: Options,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn start(brokers: &str) -> Self {
        create_topics(brokers).await;
        let mut options = Options::new(process::KafkaOptions::plaintext(brokers));
        (options.listen_grpc, options.listen_http, options.admin) = (free_port(), free_port(), free_port());
        let (health, stop) = (process::Health::new(), CancellationToken::new());
        let task = tokio::spawn(ingest::run(options.clone(), health.clone(), stop.clone()));
        tokio::time::timeout(PATIENCE, health.wait_ready()).await.unwrap();
        Self { options, stop, task }
    }

    async fn post(&self, content_type: &str, encoding: &str, body: Vec<u8>) -> reqwest::Response {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{}/v1/traces", self.options.listen_http);
        let request = client.post(url).header("content-type", content_type);
        request.header("content-encoding", encoding).body(body).send().await.unwrap()
    }

    async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.options.admin);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(url).send().await.unwrap().text().await.unwrap()
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}

fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn create_topics(brokers: &str) {
    let config = process::KafkaOptions::plaintext(brokers).client();
    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    let topics = [(OTLP_SPANS, 2), (FLOW_DEAD_LETTERS, 1)]
        .map(|(name, partitions)| NewTopic::new(name, partitions, TopicReplication::Fixed(1)));
    // Topics that exist stay as they are.
    admin.create_topics(&topics, &AdminOptions::new()).await.unwrap();
}

/// Reads what arrives in a topic from now on.
struct Log {
    consumer: BaseConsumer,
    partitions: u32,
}

impl Log {
    fn from_now_on(brokers: &str, topic: &str) -> Self {
        let mut config = process::KafkaOptions::plaintext(brokers).client();
        config.set("group.id", "ingest-test").set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create().unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
        let partitions = metadata.topics()[0].partitions().len();
        let mut assignment = TopicPartitionList::new();
        for partition in 0..i32::try_from(partitions).unwrap() {
            let (_, end) = consumer.fetch_watermarks(topic, partition, PATIENCE).unwrap();
            assignment.add_partition_offset(topic, partition, Offset::Offset(end)).unwrap();
        }
        consumer.assign(&assignment).unwrap();
        Self { consumer, partitions: u32::try_from(partitions).unwrap() }
    }

    /// Gives messages to `each` until it has enough.
    fn read(&self, mut each: impl FnMut(&BorrowedMessage<'_>) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let Some(message) = self.consumer.poll(Duration::from_millis(100)) else { continue };
            if each(&message.unwrap()) {
                return;
            }
        }
        panic!("not everything arrived within {PATIENCE:?}");
    }

    /// How often each of these spans is in the log, once all of them are. Checks that each is in its partition.
    fn count(&self, expected: &BTreeSet<u64>) -> (BTreeMap<u64, u32>, u64) {
        let (mut seen, mut messages) = (BTreeMap::new(), 0);
        if expected.is_empty() {
            return (seen, messages);
        }
        self.read(|message| {
            let data = TracesData::decode(message.payload().unwrap()).unwrap();
            let mut ours = false;
            for (trace_id, span_id) in ids(&data) {
                if expected.contains(&span_id) {
                    ours = true;
                    *seen.entry(span_id).or_insert(0) += 1;
                    assert_eq!(
                        partition_of(trace_id, self.partitions),
                        u32::try_from(message.partition()).unwrap()
                    );
                    assert_eq!(message.key(), None);
                }
            }
            messages += u64::from(ours);
            seen.len() == expected.len()
        });
        (seen, messages)
    }
}

fn ids(data: &TracesData) -> Vec<(u128, u64)> {
    let scopes = data.resource_spans.iter().flat_map(|of_resource| &of_resource.scope_spans);
    let spans = scopes.flat_map(|of_scope| &of_scope.spans);
    let id = |bytes: &[u8]| bytes.iter().fold(0, |id: u128, byte| id << 8 | u128::from(*byte));
    spans.map(|span| (id(&span.trace_id), u64::try_from(id(&span.span_id)).unwrap())).collect()
}

/// Spans that nobody else sends: every test of every run has ids of its own.
fn spans(count: u64) -> (ExportTraceServiceRequest, BTreeSet<u64>) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let first =
        (now.as_nanos() as u64 & 0xffff_ffff_fff0_0000) | (NEXT.fetch_add(count, Ordering::Relaxed) + 1);
    let now_ns = now.as_nanos() as u64;
    let ids: BTreeSet<u64> = (first..first + count).collect();
    let span = |id: &u64| Span {
        trace_id: u128::from(id.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes().into(),
        span_id: id.to_be_bytes().into(),
        name: "ingest test".into(),
        start_time_unix_nano: now_ns,
        end_time_unix_nano: now_ns,
        ..Span::default()
    };
    let text = |text: &str| Some(AnyValue { value: Some(any_value::Value::StringValue(text.into())) });
    let attributes = [("service.name", "ingest-test"), ("deployment.environment.name", "ingest-test")]
        .map(|(key, value)| KeyValue { key: key.into(), value: text(value), ..KeyValue::default() });
    let resource = Some(Resource { attributes: attributes.into(), ..Resource::default() });
    let scope_spans = vec![ScopeSpans { spans: ids.iter().map(span).collect(), ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    (ExportTraceServiceRequest { resource_spans }, ids)
}

fn as_json(ids: &BTreeSet<u64>) -> String {
    let spans: Vec<String> = ids
        .iter()
        .map(|id| {
            let trace_id = u128::from(id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            format!(r#"{{"traceId":"{trace_id:032X}","spanId":"{id:016x}","name":"ingest test"}}"#)
        })
        .collect();
    let environment = r#"{"key":"deployment.environment.name","value":{"stringValue":"ingest-test"}}"#;
    let resource = format!(r#"{{"attributes":[{environment}]}}"#);
    let spans = spans.join(",");
    format!(r#"{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_every_protocol_and_encoding_are_in_their_partition_once() {
    let Some(brokers) = brokers() else { return };
    let ingest = Running::start(&brokers).await;
    let log = Log::from_now_on(&brokers, OTLP_SPANS);
    let mut sent = BTreeSet::new();

    let client = TraceServiceClient::connect(format!("http://{}", ingest.options.listen_grpc)).await.unwrap();
    for encoding in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
        let mut client = client.clone();
        if let Some(encoding) = encoding {
            client = client.send_compressed(encoding);
        }
        let (request, ids) = spans(50);
        assert_eq!(client.export(request).await.unwrap().into_inner().partial_success, None);
        sent.extend(ids);
    }
    for encoding in ["identity", "zstd"] {
        let (request, ids) = spans(50);
        let mut body = request.encode_to_vec();
        if encoding == "zstd" {
            body = zstd::encode_all(&body[..], 1).unwrap();
        }
        let answer = ingest.post(PROTOBUF, encoding, body).await;
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, ""));
        sent.extend(ids);
    }
    let (_, ids) = spans(50);
    let answer = ingest.post("application/json", "identity", as_json(&ids).into_bytes()).await;
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "{}"));
    sent.extend(ids);

    let (seen, _) = log.count(&sent);
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    let metrics = ingest.metrics().await;
    assert!(metrics.contains(&format!("weir_ingest_spans_accepted_total {}\n", sent.len())), "{metrics}");
    assert!(metrics.contains("weir_ingest_requests_in_progress_bytes 0\n"), "{metrics}");
    ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_the_same_time_share_messages() {
    let Some(brokers) = brokers() else { return };
    let ingest = Arc::new(Running::start(&brokers).await);
    let log = Log::from_now_on(&brokers, OTLP_SPANS);
    let client = TraceServiceClient::connect(format!("http://{}", ingest.options.listen_grpc)).await.unwrap();
    let mut sent = BTreeSet::new();
    let mut requests = Vec::new();
    for _ in 0..500 {
        let (request, ids) = spans(1);
        sent.extend(ids);
        let mut client = client.clone();
        requests.push(tokio::spawn(async move { client.export(request).await.unwrap() }));
    }
    for request in requests {
        request.await.unwrap();
    }
    let (seen, messages) = log.count(&sent);
    assert!(seen.values().all(|times| *times == 1));
    assert!(messages < 400, "{messages} messages for 500 requests at a time");
    Arc::into_inner(ingest).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undecodable_request_is_kept_with_its_reason() {
    let Some(brokers) = brokers() else { return };
    let ingest = Running::start(&brokers).await;
    let log = Log::from_now_on(&brokers, FLOW_DEAD_LETTERS);
    let mut body = format!("no protobuf, and never the same: {:?}", SystemTime::now()).into_bytes();
    body.resize(100_000, b'!');
    assert_eq!(ingest.post(PROTOBUF, "identity", body.clone()).await.status(), 400);
    log.read(|message| {
        if !message.payload().unwrap().starts_with(&body[..80]) {
            return false;
        }
        let headers: BTreeMap<&str, String> = message
            .headers()
            .unwrap()
            .iter()
            .map(|header| (header.key, String::from_utf8_lossy(header.value.unwrap()).into_owned()))
            .collect();
        assert_eq!(message.payload().unwrap().len(), 16 << 10);
        assert_eq!((headers["origin"].as_str(), headers["length"].as_str()), ("ingest", "100000"));
        assert_eq!(headers["protocol"], "http");
        assert_eq!(headers["content"], format!("{PROTOBUF} identity"));
        assert!(!headers["reason"].is_empty() && headers["sha256"].len() == 64, "{headers:?}");
        true
    });
    ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_under_load_loses_nothing_that_was_acknowledged() {
    let Some(brokers) = brokers() else { return };
    let ingest = Running::start(&brokers).await;
    let log = Log::from_now_on(&brokers, OTLP_SPANS);
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let (enough, mut reached) = tokio::sync::watch::channel(0);
    let senders: Vec<_> = (0..8)
        .map(|_| {
            let (acknowledged, enough) = (acknowledged.clone(), enough.clone());
            let url = format!("http://{}/v1/traces", ingest.options.listen_http);
            tokio::spawn(async move {
                let client = reqwest::Client::builder().no_proxy().build().unwrap();
                loop {
                    let (request, ids) = spans(20);
                    let post =
                        client.post(&url).header("content-type", PROTOBUF).body(request.encode_to_vec());
                    match post.send().await {
                        Ok(answer) if answer.status() == 200 => acknowledged.lock().unwrap().extend(ids),
                        // Stopping: the port is closed, or the answer says so.
                        _ => return,
                    }
                    enough.send_modify(|requests| *requests += 1);
                }
            })
        })
        .collect();
    reached.wait_for(|requests| *requests > 100).await.unwrap();
    ingest.stop().await;
    for sender in senders {
        sender.await.unwrap();
    }
    let acknowledged = acknowledged.lock().unwrap().clone();
    let (seen, _) = log.count(&acknowledged);
    assert!(acknowledged.len() > 2_000 && seen.values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_topic_the_start_is_refused_in_one_sentence() {
    let Some(brokers) = brokers() else { return };
    let producer = Producer::new(&Options::new(process::KafkaOptions::plaintext(brokers))).unwrap();
    let stop = CancellationToken::new();
    let refused =
        topic::wait_for_partitions(&producer, "no_such_topic", Duration::ZERO, &stop).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Kafka has no topic `no_such_topic`: create the topics with `weir topics`"
    );
    // Having asked for it has not created it.
    let asked = tokio::task::spawn_blocking(move || producer.partitions_of("no_such_topic")).await.unwrap();
    assert_eq!(asked.unwrap(), None);
}
