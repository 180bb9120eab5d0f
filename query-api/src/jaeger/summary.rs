//! Summaries of traces: what the search page of Jaeger's user interface shows. ClickHouse counts, so that a trace may be
//! of any size.

use crate::error::ApiError;
use crate::spans;
use crate::stored::Stored;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Rows of one answer, each a service of a trace: some 5 MB of JSON.
const ROWS: usize = 50_000;

/// One trace, as Jaeger's `TraceSummary`. Times are nanoseconds since the epoch, as texts, because JSON's numbers are too
/// short for them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    trace_id: String,
    root_service_name: String,
    root_operation_name: String,
    min_start_time_unix_nano: String,
    max_end_time_unix_nano: String,
    span_count: u64,
    error_span_count: u64,
    /// Spans whose parent is not stored.
    orphan_span_count: u64,
    services: Vec<Service>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    name: String,
    span_count: u64,
    error_span_count: u64,
}

/// A service's part of a trace. Times are ns since the epoch.
#[derive(Debug, Row, Deserialize)]
struct PartRow {
    trace_id: String,
    service: String,
    spans: u64,
    errors: u64,
    orphans: u64,
    start_ns: i64,
    end_ns: i64,
    /// When the earliest span without a parent began; 0 without one.
    root_ns: i64,
    root_name: String,
}

/// The spans, each once however often it was delivered. The bounds are DateTime64 for the reason that `spans` gives.
const SPANS: &str = "FROM otel_traces WHERE TraceId IN {ids:Array(String)} \
    AND Timestamp >= toDateTime64({start:UInt32}, 9) AND Timestamp < toDateTime64({end:UInt32} + 1, 9)";

/// Summaries of these traces, in their order; those without stored spans are left out.
///
/// # Errors
/// They are too many for one answer, or ClickHouse can't answer.
pub async fn of_traces(stored: &Stored, ids: &[String]) -> Result<Vec<Summary>, ApiError> {
    let Some((start_s, end_s)) = spans::times(stored, ids).await? else { return Ok(Vec::new()) };
    let sql = format!(
        "SELECT TraceId AS trace_id, toString(ServiceName) AS service, count() AS spans, \
         countIf(StatusCode = 'Error') AS errors, countIf(ParentSpanId != '' AND \
         (TraceId, ParentSpanId) NOT IN (SELECT TraceId, SpanId {SPANS})) AS orphans, \
         min(start) AS start_ns, max(start + toInt64(Duration)) AS end_ns, \
         minIf(start, ParentSpanId = '') AS root_ns, toString(argMinIf(SpanName, start, ParentSpanId = '')) AS root_name \
         FROM (SELECT TraceId, ParentSpanId, SpanName, ServiceName, StatusCode, Duration, \
         toUnixTimestamp64Nano(Timestamp) AS start {SPANS} LIMIT 1 BY TraceId, SpanId, SpanKind) \
         GROUP BY TraceId, ServiceName ORDER BY TraceId, ServiceName LIMIT {}",
        ROWS + 1
    );
    let asked = stored.ask(&sql).param("ids", ids).param("start", start_s).param("end", end_s);
    let rows: Vec<PartRow> = asked.fetch_all().await.map_err(|error| ApiError::store_unavailable(&error))?;
    if rows.len() > ROWS {
        return Err(ApiError::bad_request(
            "these traces have too many services for one answer: ask for fewer",
        ));
    }
    let mut parts: HashMap<String, Vec<PartRow>> = HashMap::new();
    for row in rows {
        parts.entry(row.trace_id.clone()).or_default().push(row);
    }
    Ok(ids.iter().filter_map(|id| parts.remove(id)).filter_map(Summary::of).collect())
}

impl Summary {
    /// Of a trace's parts.
    fn of(parts: Vec<PartRow>) -> Option<Self> {
        let root = parts.iter().filter(|part| part.root_ns != 0).min_by_key(|part| part.root_ns);
        let (root_service_name, root_operation_name) =
            root.map(|root| (root.service.clone(), root.root_name.clone())).unwrap_or_default();
        let sum = |count: fn(&PartRow) -> u64| parts.iter().map(count).sum();
        Some(Self {
            trace_id: parts.first()?.trace_id.clone(),
            root_service_name,
            root_operation_name,
            min_start_time_unix_nano: parts.iter().map(|part| part.start_ns).min()?.to_string(),
            max_end_time_unix_nano: parts.iter().map(|part| part.end_ns).max()?.to_string(),
            span_count: sum(|part| part.spans),
            error_span_count: sum(|part| part.errors),
            orphan_span_count: sum(|part| part.orphans),
            services: parts
                .into_iter()
                .map(|part| Service {
                    name: part.service,
                    span_count: part.spans,
                    error_span_count: part.errors,
                })
                .collect(),
        })
    }
}
