//! The store as a process of its own, killed again and again while records keep coming: every call is counted once,
//! in every tier, and every span is there.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

mod store_support;

use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use prost::Message as _;
use schemas::v1;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use store_support::{Database, Topics};

/// How often the store is killed; a longer trial is a matter of the environment.
fn kills() -> u32 {
    std::env::var("WEIR_TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(5)
}

/// Ends with the test, however the test ends.
struct Store(Child);

impl Store {
    /// `name` is a member's that gets its lanes back at once, not after the session of the one that was killed.
    fn start(database: &Database, topics: &Topics, name: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stream-processor"));
        command
            .args(["--role", "store", "--kafka", &topics.kafka.kafka, "--topic-prefix", &topics.prefix])
            .args(["--clickhouse", &database.options.clickhouse])
            .args(["--clickhouse-database", &database.options.clickhouse_database])
            .args(["--batch-ms", "100", "--admin", "127.0.0.1:0"])
            .args(["--group-instance-id", name])
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// SIGKILL: nothing is drained.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn deltas(shard: u32, seq: u64, edges: u64) -> Vec<u8> {
    let strings = std::iter::once(String::new()).chain((0..edges).map(|edge| format!("service-{edge}")));
    let message = v1::FlowDeltas {
        shard,
        seq,
        parts: 1,
        strings: strings.collect(),
        nodes: (0..=edges as u32).map(|name| v1::Node { name, kind: 1, ..Default::default() }).collect(),
        edges: (1..=edges as u32)
            .map(|server| v1::EdgeDelta {
                server,
                window_s: now_s() as u32 - 60,
                weight_milli: 1000,
                calls: 1,
                callee_latency: Some(v1::Histogram { bucket: vec![server], count: vec![1], sum_us: 1 }),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    message.encode_to_vec()
}

fn spans(partition: i32, number: u64) -> Vec<u8> {
    let span = |index: u8| Span {
        trace_id: [number.to_be_bytes(), [partition as u8 + 1; 8]].concat(),
        span_id: vec![index; 8],
        start_time_unix_nano: now_s() * 1_000_000_000,
        ..Default::default()
    };
    let of_scope = ScopeSpans { spans: (1..=20).map(span).collect(), ..Default::default() };
    let of_resource = ResourceSpans { scope_spans: vec![of_scope], ..Default::default() };
    TracesData { resource_spans: vec![of_resource] }.encode_to_vec()
}

/// Of a message.
const EDGES: u64 = 20;

/// Sends without a pause; `sent` counts messages a partition.
async fn send_until(topics: &Topics, until: Instant, sent: &mut u64) {
    while Instant::now() < until {
        *sent += 1;
        for partition in 0..2 {
            topics.send("flow_deltas", partition, &deltas(partition as u32, *sent, EDGES)).await;
            topics.send("otlp_spans", partition, &spans(partition, *sent)).await;
        }
    }
}

/// Waits until every tier has every call once and every span is there.
async fn expect(database: &Database, sent: u64) {
    let calls = sent * 2 * EDGES;
    let expected = format!("{calls}\t{calls}\t{}\t{calls}", calls * 1000);
    for tier in ["1h", "10m", "1m", "1s"] {
        let query = format!(
            "SELECT sum(calls), sum(raw_calls), arraySum(sumMap(callee_latency).2), sum(callee_sum_us) FROM edges_{tier}"
        );
        database.ask_until(&query, &[&expected]).await;
    }
    let spans = sent * 2 * 20;
    let query = "SELECT count(), uniqExact(TraceId, SpanId) FROM otel_traces";
    database.ask_until(query, &[&format!("{spans}\t{spans}")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let (Some(database), Some(topics)) = (Database::new("kills"), Topics::new("kills").await) else { return };
    let mut store = Store::start(&database, &topics, "store-0");
    let mut sent = 0;
    for kill in 0..kills() {
        // Different moments of start-up and of a batch's life.
        let until = Instant::now() + Duration::from_millis(900 + u64::from(kill) * 370 % 1300);
        send_until(&topics, until, &mut sent).await;
        store.kill();
        store = Store::start(&database, &topics, "store-0");
    }
    expect(&database, sent).await;
    drop(store);
    database.drop().await;
    topics.drop().await;
}

/// Longer than a transaction may be open (10 s) and than a silent member keeps its lanes (6 s).
const STANDS_STILL: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stood_still_goes_on_beside_the_one_that_took_over() {
    let (Some(database), Some(topics)) = (Database::new("still"), Topics::new("still").await) else { return };
    let mut stores = ["store-0", "store-1"].map(|name| Store::start(&database, &topics, name));
    let mut sent = 0;
    let soon = || Instant::now() + Duration::from_secs(4);
    send_until(&topics, soon(), &mut sent).await;
    for store in &stores {
        store.signal("-STOP");
        send_until(&topics, Instant::now() + STANDS_STILL, &mut sent).await;
        store.signal("-CONT");
        send_until(&topics, soon(), &mut sent).await;
    }
    expect(&database, sent).await;
    assert!(stores.iter_mut().all(Store::is_running));
    drop(stores);
    database.drop().await;
    topics.drop().await;
}
