//! A whole Weir, from spans to tables, that `tools/with-servers` has started: traces of other people and of the demo
//! workload go in, under ids nobody else uses.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use clickhouse::{Client, Row};
use opentelemetry_proto::tonic::trace::v1::{Span, TracesData};
use process::ClickHouseOptions;
use prost::Message;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Flows that lack spans close after 30 s; the machine may be busy with other things.
const LIMIT: Duration = Duration::from_secs(180);

/// Where spans go in and answers come out.
pub struct River {
    pub clickhouse: Client,
    http: String,
    api: String,
    client: reqwest::Client,
}

impl River {
    /// `None`, and a line that says so, where no Weir runs.
    pub fn new() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let (http, api, url) =
            (variable("WEIR_TEST_HTTP"), variable("WEIR_TEST_API"), variable("WEIR_TEST_CLICKHOUSE"));
        let (Some(http), Some(api), Some(url)) = (http, api, url) else {
            println!("skipped: WEIR_TEST_HTTP, WEIR_TEST_API or WEIR_TEST_CLICKHOUSE is not set");
            return None;
        };
        let clickhouse = ClickHouseOptions::local(url).client();
        Some(Self { clickhouse, http, api, client: reqwest::Client::builder().no_proxy().build().unwrap() })
    }

    /// Where the query API is.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// Sends traces as an SDK does.
    pub async fn send(&self, document: &TracesData) {
        let request = self.client.post(format!("{}/v1/traces", self.http));
        let request = request.header("content-type", "application/x-protobuf").body(document.encode_to_vec());
        assert_eq!(request.send().await.unwrap().status(), 200);
    }

    /// Status and body of an answer.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.client.get(format!("{}{path}", self.api)).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// The same of a question with a body.
    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request =
            self.client.post(format!("{}{path}", self.api)).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    pub async fn rows<T>(&self, sql: &str, traces: &[String]) -> Vec<T>
    where
        T: for<'a> Row<Value<'a> = T> + for<'de> Deserialize<'de> + 'static,
    {
        let rows = self.clickhouse.query(sql).param("traces", traces).fetch_all().await;
        rows.unwrap_or_else(|error| panic!("{error}\n{sql}"))
    }

    /// Waits until a count reaches what is wanted.
    pub async fn until(&self, sql: &str, traces: &[String], wanted: u64) {
        let began = std::time::Instant::now();
        loop {
            let found: Vec<u64> = self.rows(sql, traces).await;
            if found[0] >= wanted {
                return;
            }
            assert!(began.elapsed() < LIMIT, "{} of {wanted}: {sql}", found[0]);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until all spans are in the tables.
    pub async fn until_stored(&self, documents: &[TracesData]) {
        let mut spans: Vec<_> =
            documents.iter().flat_map(spans).map(|span| (&span.trace_id, &span.span_id, span.kind)).collect();
        spans.sort();
        spans.dedup();
        let sql = "SELECT uniqExact(TraceId, SpanId, SpanKind) FROM otel_traces WHERE TraceId IN {traces:Array(String)}";
        self.until(sql, &traces(documents), spans.len() as u64).await;
    }

    /// As if the retention of raw spans were over.
    pub async fn forget_spans(&self, traces: &[String]) {
        for table in ["otel_traces", "otel_traces_trace_id_ts"] {
            self.delete(table, "true", traces).await;
        }
    }

    /// Deletes rows of these traces.
    pub async fn delete(&self, table: &str, condition: &str, traces: &[String]) {
        let ids = traces.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",");
        let sql = format!(
            "ALTER TABLE {table} DELETE WHERE TraceId IN ({ids}) AND {condition} SETTINGS mutations_sync = 1"
        );
        self.clickhouse.query_raw(&sql).execute().await.unwrap();
    }
}

/// A file of the shared data: `../shared/data` beside the repository, or `WEIR_TEST_DATA`. `None`, said aloud, where
/// the data isn't there.
pub fn data(file: &str) -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let folder = std::env::var_os("WEIR_TEST_DATA").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let path = folder.join(file);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is missing (set WEIR_TEST_DATA to the folder of test data)", path.display());
    None
}

/// Documents of a trace file, a trace each.
pub fn read(file: &Path) -> Vec<TracesData> {
    let mut documents = Vec::new();
    reader::read_file(file, &mut |document| documents.push(document)).unwrap();
    documents
}

pub fn spans(document: &TracesData) -> impl Iterator<Item = &Span> {
    document.resource_spans.iter().flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans)
}

pub fn spans_mut(document: &mut TracesData) -> impl Iterator<Item = &mut Span> {
    let resources = document.resource_spans.iter_mut();
    resources.flat_map(|resource| &mut resource.scope_spans).flat_map(|scope| &mut scope.spans)
}

/// The ids of their traces, in hexadecimal digits.
pub fn traces(documents: &[TracesData]) -> Vec<String> {
    let ids = documents.iter().flat_map(spans).map(|span| hex(&span.trace_id));
    ids.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

pub fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Gives traces ids of this run and `number`; links between them hold.
pub fn renamed(documents: &mut [TracesData], number: u64) {
    let run = u64::try_from(now().as_micros()).unwrap();
    let salt: Vec<u8> = run.to_be_bytes().into_iter().chain((number << 32).to_be_bytes()).collect();
    let rename = |id: &mut Vec<u8>| id.iter_mut().zip(&salt).for_each(|(byte, salt)| *byte ^= salt);
    for span in documents.iter_mut().flat_map(spans_mut) {
        rename(&mut span.trace_id);
        span.links.iter_mut().for_each(|link| rename(&mut link.trace_id));
    }
}

/// Brings traces to the present, and stretches each one's times until its first span takes `least`.
pub fn shifted(documents: &mut [TracesData], least: Duration) {
    let mut by_trace: BTreeMap<Vec<u8>, Vec<&mut Span>> = BTreeMap::new();
    for span in documents.iter_mut().flat_map(spans_mut) {
        by_trace.entry(span.trace_id.clone()).or_default().push(span);
    }
    for spans in by_trace.values_mut() {
        let first_ns = spans.iter().map(|span| span.start_time_unix_nano).min().unwrap();
        let root = spans.iter().find(|span| span.parent_span_id.iter().all(|byte| *byte == 0));
        let root = root.unwrap_or(&spans[0]);
        let root_ns = (root.end_time_unix_nano - root.start_time_unix_nano).max(1);
        let factor = u64::try_from(least.as_nanos()).unwrap().div_ceil(root_ns).max(1);
        let begin_ns = u64::try_from(now().as_nanos()).unwrap() - 60_000_000_000;
        let moved = |time_ns: &mut u64| *time_ns = begin_ns + (*time_ns - first_ns) * factor;
        for span in spans {
            moved(&mut span.start_time_unix_nano);
            moved(&mut span.end_time_unix_nano);
        }
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}
