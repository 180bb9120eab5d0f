//! What Grafana's Tempo plugin sends and how it reads answers, and flows to ask for.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use crate::support::{Api, Bench, now_s};
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;
use serde::Deserialize;
use serde_json::Value;

pub const PROTOBUF: &str = "application/protobuf";

/// Tempo's `TraceByIDResponse`, as its `pkg/tempopb/tempo.proto` has it.
#[derive(Clone, PartialEq, Message)]
pub struct TraceById {
    #[prost(message, optional, tag = "1")]
    pub trace: Option<TracesData>,
    #[prost(message, optional, tag = "2")]
    pub metrics: Option<()>,
    #[prost(int32, tag = "3")]
    pub status: i32,
    #[prost(string, tag = "4")]
    pub message: String,
}

/// Tempo's `SearchResponse`. `Search` reads it with `jsonpb`, to which a field that it doesn't know is an error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    pub traces: Vec<FoundTrace>,
    #[serde(rename = "metrics")]
    _metrics: Work,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Work {
    #[serde(rename = "completedJobs")]
    _completed_jobs: u32,
    #[serde(rename = "totalJobs")]
    _total_jobs: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FoundTrace {
    #[serde(rename = "traceID")]
    pub trace_id: String,
    pub root_service_name: String,
    pub root_trace_name: String,
    pub start_time_unix_nano: String,
    pub duration_ms: u32,
    pub span_set: SpanSet,
    pub span_sets: Vec<SpanSet>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpanSet {
    pub spans: Vec<FoundSpan>,
    pub matched: u32,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FoundSpan {
    #[serde(rename = "spanID")]
    pub span_id: String,
    pub name: String,
    pub start_time_unix_nano: String,
    pub duration_nanos: String,
    pub attributes: Vec<Value>,
}

/// Nine flows of production and shop, and a tenth of staging and bank: each a request of `web` that `auth` answers. The
/// ninth failed there.
pub async fn ten_flows(bench: &Bench, began_s: u32) {
    let id = "leftPad(lower(hex(number + 1)), 32, '0')";
    let at = format!("fromUnixTimestamp64Micro(toInt64({began_s}000000 + number * 1000))");
    let environment = "if(number = 9, 'staging', 'production')";
    let namespace = "if(number = 9, 'bank', 'shop')";
    bench
        .execute(&format!(
            "INSERT INTO traces (trace_id, revision, environment, operation, status, start, duration_us, spans, services, \
             root_service, root_namespace, root_name, weight, complete) SELECT {id}, 1, {environment}, 'login', \
             'success', {at}, 5000 + number * 1000, 2, ['auth', 'web'], 'web', {namespace}, \
             if(number = 4, 'GET /status', 'POST /login'), 1, true FROM numbers(10)"
        ))
        .await;
    for (span, parent, kind, service, name, ns) in [
        (
            "01",
            "",
            "Server",
            "web",
            "if(number = 4, 'GET /status', 'POST /login')",
            "5000000 + number * 1000000",
        ),
        ("02", "01", "Internal", "auth", "'verify'", "2000000"),
    ] {
        let failed = format!("{span} = 2 AND number = 8");
        bench
            .execute(&format!(
                "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, \
                 ResourceAttributes, SpanAttributes, Duration, StatusCode, StatusMessage, `Events.Timestamp`, \
                 `Events.Name`, `Events.Attributes`, `Links.TraceId`, `Links.SpanId`, `Links.TraceState`, \
                 `Links.Attributes`) SELECT {at}, {id}, '00000000000000{span}', \
                 if('{parent}' = '', '', '00000000000000{parent}'), {name}, '{kind}', '{service}', \
                 map('service.name', '{service}', 'service.namespace', {namespace}, 'deployment.environment.name', \
                 {environment}, 'only.' || {namespace}, 'x'), map('number', toString(number), 'flag', \
                 if(number = 3, 'true', 'false'), 'path/of', '{service} ' || {environment}), {ns}, \
                 if({failed}, 'Error', 'Unset'), if({failed}, 'no such user', ''), [{at}], ['retry'], \
                 [map('attempt', '1')], ['000000000000000000000000000000ff'], ['00000000000000fe'], [''], [map()] \
                 FROM numbers(10)"
            ))
            .await;
    }
}

pub async fn raw(url: &str, accept: &str, token: &str) -> (u16, String, Vec<u8>) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(url).header("accept", accept).bearer_auth(token);
    let answer = request.send().await.unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (answer.status().as_u16(), kind, answer.bytes().await.unwrap().to_vec())
}

pub async fn ask(api: &Api, path: &str) -> Value {
    let (status, answer) = api.get(path).await;
    assert_eq!(status, 200, "{path}: {answer:#}");
    answer
}

/// What a refusal says: Tempo's are plain text.
pub async fn refusal(api: &Api, path: &str) -> (u16, String) {
    let (status, kind, body) = raw(&format!("{}{path}", api.url), "application/json", "").await;
    assert_eq!(kind, "text/plain; charset=utf-8", "{path}");
    (status, String::from_utf8(body).unwrap())
}

pub fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// `createSearchRequest`: the time of the dashboard, and what the editor says.
pub fn search_path(query: &str, began_s: u32, more: &str) -> String {
    let (start, end) = (began_s - 10, now_s() + 1);
    format!("/tempo/api/search?q={}&start={start}&end={end}{more}", escaped(query))
}

pub async fn search(api: &Api, path: &str) -> Vec<FoundTrace> {
    let answer = ask(api, path).await;
    let found: Found =
        serde_json::from_value(answer.clone()).unwrap_or_else(|error| panic!("{error}: {answer:#}"));
    found.traces
}
