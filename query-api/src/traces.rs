//! One trace with all its spans, from `otel_traces`.

use crate::App;
use crate::error::ApiError;
use axum::Json;
use axum::extract::{Path, State};
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// A trace. Times are µs since the epoch, durations µs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct TraceAnswer {
    pub trace_id: String,
    /// null until the flow has been closed and stored.
    pub operation_name: Option<String>,
    pub environment: Option<String>,
    pub status: Option<String>,
    pub start_time: i64,
    pub end_time: i64,
    pub duration: i64,
    pub span_count: usize,
    /// Whether the trace has more spans than an answer may hold.
    pub truncated: bool,
    pub spans: Vec<SpanAnswer>,
}

/// A span.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct SpanAnswer {
    pub span_id: String,
    pub parent_span_id: Option<String>,
    pub trace_id: String,
    pub name: String,
    pub kind: String,
    pub service: SpanService,
    pub start_time: i64,
    pub end_time: i64,
    pub duration: i64,
    pub status: SpanStatus,
    pub attributes: BTreeMap<String, String>,
    pub resource: BTreeMap<String, String>,
    pub events: Vec<SpanEvent>,
    pub links: Vec<SpanLink>,
}

/// Who emitted a span.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct SpanService {
    pub name: String,
    pub namespace: String,
    pub pod: String,
    pub version: String,
    pub deployment: String,
}

/// How a span ended.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct SpanStatus {
    /// `OK`, `ERROR` or `UNSET`.
    pub code: String,
    pub message: String,
}

/// Something that happened during a span.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct SpanEvent {
    pub name: String,
    pub timestamp: i64,
    pub attributes: BTreeMap<String, String>,
}

/// A reference to a span of this or another trace.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct SpanLink {
    pub trace_id: String,
    pub span_id: String,
}

type Attributes = Vec<(String, String)>;

#[derive(Debug, Row, Deserialize)]
struct SpanRow {
    span_id: String,
    parent_span_id: String,
    name: String,
    kind: String,
    service: String,
    start_us: i64,
    duration_ns: u64,
    status: String,
    status_message: String,
    attributes: Attributes,
    resource: Attributes,
    event_times_us: Vec<i64>,
    event_names: Vec<String>,
    event_attributes: Vec<Attributes>,
    link_traces: Vec<String>,
    link_spans: Vec<String>,
}

#[derive(Debug, Row, Deserialize)]
struct FlowRow {
    operation: String,
    environment: String,
    status: String,
}

#[derive(Debug, Row, Deserialize)]
struct TimeRow {
    found: u64,
    start: u32,
    end: u32,
}

/// The trace's spans by time. The bounds must be DateTime64 as the column is: against a DateTime, ClickHouse 26.7
/// prunes parts whose spans all lie in the last second before the bound.
const SPANS: &str = "SELECT \
    SpanId AS span_id, ParentSpanId AS parent_span_id, toString(SpanName) AS name, toString(SpanKind) AS kind, \
    toString(ServiceName) AS service, toUnixTimestamp64Micro(Timestamp) AS start_us, Duration AS duration_ns, \
    toString(StatusCode) AS status, StatusMessage AS status_message, \
    CAST(SpanAttributes, 'Map(String, String)') AS attributes, \
    CAST(ResourceAttributes, 'Map(String, String)') AS resource, \
    arrayMap(time -> toUnixTimestamp64Micro(time), `Events.Timestamp`) AS event_times_us, \
    CAST(`Events.Name`, 'Array(String)') AS event_names, \
    CAST(`Events.Attributes`, 'Array(Map(String, String))') AS event_attributes, \
    `Links.TraceId` AS link_traces, `Links.SpanId` AS link_spans \
    FROM otel_traces \
    WHERE TraceId = {trace_id:String} \
    AND Timestamp >= toDateTime64({start:UInt32}, 9) AND Timestamp < toDateTime64({end:UInt32} + 1, 9) \
    ORDER BY Timestamp, SpanId LIMIT {limit:UInt32}";

/// When to look; without it the query would read every day.
const TIMES: &str = "SELECT count() AS found, toUInt32(min(Start)) AS start, toUInt32(max(End)) AS end \
    FROM otel_traces_trace_id_ts WHERE TraceId = {trace_id:String}";

const FLOW: &str = "SELECT toString(operation) AS operation, toString(environment) AS environment, \
    toString(status) AS status FROM traces FINAL WHERE trace_id = {trace_id:String} ORDER BY revision DESC LIMIT 1";

/// `GET /api/v1/traces/{traceId}`
///
/// # Errors
/// The id is none, there is no such trace, or ClickHouse can't answer.
pub async fn trace(State(app): State<App>, Path(id): Path<String>) -> Result<Json<TraceAnswer>, ApiError> {
    let trace_id = trace_id(&id)?;
    let failed = |error| ApiError::store_unavailable(&error);
    let (query, _turn) = app.stored.query(TIMES).await;
    let times: TimeRow = query.param("trace_id", &trace_id).fetch_one().await.map_err(failed)?;
    if times.found == 0 {
        return Err(ApiError::not_found(format!("no spans of trace {trace_id} are stored")));
    }
    let spans: Vec<SpanRow> = app
        .stored
        .client()
        .query(SPANS)
        .param("trace_id", &trace_id)
        .param("start", times.start)
        .param("end", times.end)
        .param("limit", app.limits.trace_spans + 1)
        .fetch_all()
        .await
        .map_err(failed)?;
    let flow: Option<FlowRow> = app
        .stored
        .client()
        .query(FLOW)
        .param("trace_id", &trace_id)
        .fetch_optional()
        .await
        .map_err(failed)?;
    Ok(Json(answer(trace_id, spans, flow, app.limits.trace_spans as usize)))
}

/// 1 to 32 hex digits, with the leading zeros that some tracers leave out.
fn trace_id(text: &str) -> Result<String, ApiError> {
    let is_hex = !text.is_empty() && text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex {
        return Err(ApiError::bad_request("a trace id is 1 to 32 hex digits"));
    }
    Ok(format!("{:0>32}", text.to_ascii_lowercase()))
}

fn answer(trace_id: String, rows: Vec<SpanRow>, flow: Option<FlowRow>, limit: usize) -> TraceAnswer {
    let truncated = rows.len() > limit;
    let mut seen = HashSet::new();
    let once =
        rows.into_iter().take(limit).filter(|row| seen.insert((row.span_id.clone(), row.kind.clone())));
    let spans: Vec<SpanAnswer> = once.map(|row| row.into_answer(&trace_id)).collect();
    let start_time = spans.iter().map(|span| span.start_time).min().unwrap_or_default();
    let end_time = spans.iter().map(|span| span.end_time).max().unwrap_or_default();
    let (operation_name, environment, status) = match flow {
        Some(flow) => (Some(flow.operation), Some(flow.environment), Some(flow.status)),
        None => (None, None, None),
    };
    TraceAnswer {
        trace_id,
        operation_name,
        environment,
        status,
        start_time,
        end_time,
        duration: end_time - start_time,
        span_count: spans.len(),
        truncated,
        spans,
    }
}

impl SpanRow {
    fn into_answer(self, trace_id: &str) -> SpanAnswer {
        let resource: BTreeMap<String, String> = self.resource.into_iter().collect();
        let first =
            |names: &[&str]| names.iter().find_map(|name| resource.get(*name)).cloned().unwrap_or_default();
        let duration = i64::try_from(self.duration_ns / 1_000).unwrap_or(i64::MAX);
        let events = self.event_names.into_iter().zip(self.event_times_us).zip(self.event_attributes);
        SpanAnswer {
            service: SpanService {
                name: self.service,
                namespace: first(&["k8s.namespace.name", "service.namespace"]),
                pod: first(&["k8s.pod.name", "service.instance.id", "host.name"]),
                version: first(&["service.version"]),
                deployment: first(&["k8s.deployment.name"]),
            },
            span_id: self.span_id,
            parent_span_id: Some(self.parent_span_id).filter(|id| !id.is_empty()),
            trace_id: trace_id.to_owned(),
            name: self.name,
            kind: self.kind,
            start_time: self.start_us,
            end_time: self.start_us.saturating_add(duration),
            duration,
            status: SpanStatus { code: self.status.to_ascii_uppercase(), message: self.status_message },
            attributes: self.attributes.into_iter().collect(),
            events: events
                .map(|((name, timestamp), attributes)| SpanEvent {
                    name,
                    timestamp,
                    attributes: attributes.into_iter().collect(),
                })
                .collect(),
            links: self
                .link_traces
                .into_iter()
                .zip(self.link_spans)
                .map(|(trace_id, span_id)| SpanLink { trace_id, span_id })
                .collect(),
            resource,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(span_id: &str, kind: &str, start_us: i64) -> SpanRow {
        SpanRow {
            span_id: span_id.into(),
            parent_span_id: String::new(),
            name: "GET /".into(),
            kind: kind.into(),
            service: "web".into(),
            start_us,
            duration_ns: 5_000_999,
            status: "Error".into(),
            status_message: String::new(),
            attributes: vec![],
            resource: vec![
                ("service.namespace".into(), "shop".into()),
                ("service.version".into(), "1.2".into()),
            ],
            event_times_us: vec![],
            event_names: vec![],
            event_attributes: vec![],
            link_traces: vec![],
            link_spans: vec![],
        }
    }

    #[test]
    fn ids_are_hex_and_nothing_else() {
        assert_eq!(trace_id("AB12").unwrap(), format!("{}ab12", "0".repeat(28)));
        for bad in ["", "../etc", "xyz", "ab 12", "'", &"a".repeat(33), "ab%20"] {
            assert!(trace_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn redelivered_spans_are_shown_once_and_shared_ids_twice() {
        let rows = vec![row("01", "Client", 10), row("01", "Client", 10), row("01", "Server", 12)];
        let trace = answer("t".into(), rows, None, 10);
        assert_eq!((trace.span_count, trace.truncated), (2, false));
        assert_eq!((trace.start_time, trace.duration), (10, 5_002));
        let span = &trace.spans[0];
        assert_eq!((span.service.namespace.as_str(), span.status.code.as_str()), ("shop", "ERROR"));
    }

    #[test]
    fn long_traces_are_cut_and_say_so() {
        let rows = (0..4).map(|n| row(&n.to_string(), "Server", n)).collect();
        let trace = answer("t".into(), rows, None, 3);
        assert_eq!((trace.span_count, trace.truncated), (3, true));
    }
}
