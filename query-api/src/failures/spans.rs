//! Error spans of the flows that match, from the raw spans.

use crate::App;
use crate::error::ApiError;
use crate::flows::{SPANS_APART_S, Which};
use clickhouse::Row;
use serde::Deserialize;

/// Error spans that say the same at the same place.
#[derive(Debug, Row, Deserialize)]
pub struct FailureRow {
    pub operation: String,
    pub environment: String,
    pub service: String,
    pub namespace: String,
    pub peer: String,
    pub exception_type: String,
    pub message: String,
    pub count: u64,
    pub first_us: i64,
    pub last_us: i64,
    /// Steps with errors, and how many.
    pub trend: (Vec<u32>, Vec<u64>),
    pub trace_ids: Vec<String>,
    /// Of all rows, those that were left off too.
    pub total: u64,
    pub texts: u64,
}

/// What was found.
pub struct Found {
    /// The most frequent ones.
    pub rows: Vec<FailureRow>,
    /// Error spans in all.
    pub total: u64,
    /// Whether there were more spans or texts than are looked at.
    pub truncated: bool,
}

/// Error spans that are looked at: a gigabyte of texts at most.
const SPANS: u64 = 500_000;
/// Different texts that are normalised.
const TEXTS: u64 = 20_000;

/// Whom a span calls, as it names it; the names are those of `semconv.toml`, in its order.
const PEERS: [&str; 8] = [
    "service.peer.name",
    "peer.service",
    "messaging.destination.name",
    "server.address",
    "net.peer.name",
    "http.host",
    "db.system.name",
    "db.system",
];

/// Error spans of the range whose flows match. A span is looked for in flows that began up to an hour before it.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn read(app: &App, which: &Which, step_s: u32) -> Result<Found, ApiError> {
    let _turn = app.stored.turn().await;
    let rows = which.bind(app.stored.ask(&sql(which, step_s))).fetch_all::<FailureRow>();
    let delivered = format!("SELECT count() FROM otel_traces WHERE {}", failed(which));
    let delivered = app.stored.ask(&delivered).fetch_one::<u64>();
    let (rows, delivered) =
        tokio::try_join!(rows, delivered).map_err(|error| ApiError::store_unavailable(&error))?;
    let (total, texts) = rows.first().map_or((0, 0), |row| (row.total, row.texts));
    Ok(Found { truncated: texts > TEXTS || delivered > SPANS, total, rows })
}

/// Error spans of the range, whatever their flows. DateTime64 as the column is, see `spans`.
fn failed(which: &Which) -> String {
    format!(
        "StatusCode = 'Error' AND Timestamp >= toDateTime64({}, 9) AND Timestamp < toDateTime64({}, 9)",
        which.from_s, which.to_s
    )
}

fn sql(which: &Which, step_s: u32) -> String {
    let peers: Vec<String> = PEERS
        .iter()
        .map(|name| format!("SpanAttributes['{name}'] != '', SpanAttributes['{name}']"))
        .collect();
    let (from_s, flows, failed) = (which.from_s, which.sql_within(SPANS_APART_S), failed(which));
    format!(
        "SELECT toString(operation) AS operation, toString(environment) AS environment, service, namespace, peer, \
         exception_type, message, count() AS count, min(time_us) AS first_us, max(time_us) AS last_us, \
         sumMap([toUInt32(intDiv(time_us - {from_s} * 1000000, {step_s} * 1000000))], [toUInt64(1)]) AS trend, \
         groupUniqArray(3)(trace_id) AS trace_ids, \
         sum(count()) OVER () AS total, count() OVER () AS texts \
         FROM (SELECT id, operation, environment FROM flows_by_start WHERE {flows}) AS flows \
         INNER JOIN (SELECT toFixedString(substring(unhex(TraceId), 1, 16), 16) AS id, TraceId AS trace_id, \
             toString(ServiceName) AS service, \
             if(ResourceAttributes['k8s.namespace.name'] != '', ResourceAttributes['k8s.namespace.name'], \
                 ResourceAttributes['service.namespace']) AS namespace, \
             if(SpanKind IN ('Client', 'Producer'), multiIf({peers}, ''), '') AS peer, \
             arrayLastIndex(name -> name = 'exception', `Events.Name`) AS at, \
             `Events.Attributes`[at]['exception.type'] AS thrown, \
             `Events.Attributes`[at]['exception.message'] AS said, \
             leftUTF8(if(thrown != '', thrown, SpanAttributes['error.type']), 200) AS exception_type, \
             leftUTF8(if(said != '', said, StatusMessage), 500) AS message, \
             toUnixTimestamp64Micro(Timestamp) AS time_us \
             FROM otel_traces WHERE {failed} \
             LIMIT 1 BY TraceId, SpanId, SpanKind LIMIT {SPANS}) AS spans USING (id) \
         GROUP BY operation, environment, service, namespace, peer, exception_type, message \
         ORDER BY count DESC, last_us DESC LIMIT {TEXTS}",
        peers = peers.join(", "),
    )
}
