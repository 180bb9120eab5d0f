//! One trace with all its spans, on one clock.

use crate::App;
use crate::access::Access;
use crate::ask::At;
use crate::error::ApiError;
use crate::rest::Problems;
use crate::skew;
use crate::spans::{self, OfSpans, SpanRow, SpanService, us};
use axum::Json;
use axum::extract::State;
use clickhouse::Row;
use reader::Semconv;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A trace. Times are µs since the epoch, durations µs.
#[derive(Debug, Serialize, ToSchema)]
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
    /// Whether any span's times were put right, see [`SpanAnswer::clock_skew`].
    pub skew_repaired: bool,
    pub spans: Vec<SpanAnswer>,
}

/// A span.
#[derive(Debug, Serialize, ToSchema)]
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
    /// What was added to the span's own times, those of its events included, because its host's clock differs.
    pub clock_skew: i64,
    pub status: SpanStatus,
    pub attributes: BTreeMap<String, String>,
    pub resource: BTreeMap<String, String>,
    pub events: Vec<SpanEvent>,
    pub links: Vec<SpanLink>,
}

/// How a span ended.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the names say it")]
pub struct SpanStatus {
    /// `OK`, `ERROR` or `UNSET`.
    pub code: String,
    pub message: String,
}

/// Something that happened during a span.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the names say it")]
pub struct SpanEvent {
    pub name: String,
    pub timestamp: i64,
    pub attributes: BTreeMap<String, String>,
}

/// A reference to a span of this or another trace.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct SpanLink {
    pub trace_id: String,
    pub span_id: String,
}

#[derive(Debug, Row, Deserialize)]
struct FlowRow {
    operation: String,
    environment: String,
    status: String,
    root_namespace: String,
}

const FLOW: &str = "SELECT toString(operation) AS operation, toString(environment) AS environment, \
    toString(status) AS status, toString(root_namespace) AS root_namespace \
    FROM traces FINAL WHERE trace_id = {trace_id:String} ORDER BY revision DESC LIMIT 1";

/// A trace with all its spans, on one clock
///
/// # Errors
/// The id is none, there is no such trace, or ClickHouse can't answer.
#[utoipa::path(get, path = "/api/v1/traces/{traceId}", tag = "traces",
    params(("traceId" = String, Path, description = "1 to 32 hex digits", pattern = "^[0-9a-fA-F]{1,32}$",
        example = "0af7651916cd43dd8448eb211c80319c")),
    responses((status = 200, body = OfSpans<TraceAnswer>), Problems))]
pub async fn trace(
    State(app): State<App>,
    access: Access,
    At(id): At<String>,
) -> Result<Json<OfSpans<TraceAnswer>>, ApiError> {
    Ok(Json(find(&app, &access, &id).await?))
}

/// A trace by the text of its id.
///
/// # Errors
/// The id is none, there is no such trace, the caller may not know of it, or ClickHouse can't answer.
pub async fn find(app: &App, access: &Access, id: &str) -> Result<OfSpans<TraceAnswer>, ApiError> {
    let trace_id = spans::trace_id(id)?;
    let _turn = app.stored.turn().await;
    let staleness = spans::staleness(app, &trace_id).await?;
    let rows = spans::of_trace(&app.stored, &trace_id, app.limits.trace_spans).await?;
    let flow = app.stored.ask(FLOW).param("trace_id", &trace_id);
    let flow: Option<FlowRow> =
        flow.fetch_optional().await.map_err(|error| ApiError::store_unavailable(&error))?;
    let allowed = &access.allowed;
    // What it closed under is known best by its summary.
    let is_allowed = match &flow {
        Some(flow) => allowed.environment(&flow.environment) && allowed.namespace(&flow.root_namespace),
        None => spans::is_allowed(allowed, &rows),
    };
    if rows.is_empty() || !is_allowed {
        return Err(ApiError::not_found(format!("no spans of trace {trace_id} are stored")));
    }
    let answer = answer(&app.semconv, trace_id, rows, flow, app.limits.trace_spans as usize);
    Ok(OfSpans { answer, staleness })
}

fn answer(
    semconv: &Semconv,
    trace_id: String,
    mut rows: Vec<SpanRow>,
    flow: Option<FlowRow>,
    limit: usize,
) -> TraceAnswer {
    let truncated = rows.len() > limit;
    rows.truncate(limit);
    let shifts = skew::shifts(semconv, &rows);
    let mut spans: Vec<SpanAnswer> =
        rows.into_iter().zip(&shifts).map(|(row, shift_us)| SpanAnswer::of(row, *shift_us)).collect();
    // Rows come by the times their hosts wrote. Spans of one time keep that order: parents tend to stand first in it.
    spans.sort_by_key(|span| span.start_time);
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
        duration: end_time.saturating_sub(start_time),
        span_count: spans.len(),
        truncated,
        skew_repaired: shifts.iter().any(|shift_us| *shift_us != 0),
        spans,
    }
}

impl SpanAnswer {
    fn of(row: SpanRow, clock_skew: i64) -> Self {
        let start_time = row.start_us().saturating_add(clock_skew);
        let duration = row.duration_us();
        let times = row.event_times_ns.iter().map(|time_ns| us(*time_ns).saturating_add(clock_skew));
        let events = row.event_names.into_iter().zip(times).zip(row.event_attributes);
        Self {
            service: SpanService::of(row.service, &row.resource),
            span_id: row.span_id,
            parent_span_id: Some(row.parent_span_id).filter(|id| !id.is_empty()),
            trace_id: row.trace_id,
            name: row.name,
            kind: row.kind,
            start_time,
            end_time: start_time.saturating_add(duration),
            duration,
            clock_skew,
            status: SpanStatus { code: row.status.to_ascii_uppercase(), message: row.status_message },
            attributes: row.attributes.into_iter().collect(),
            resource: row.resource.into_iter().collect(),
            events: events
                .map(|((name, timestamp), attributes)| SpanEvent {
                    name,
                    timestamp,
                    attributes: attributes.into_iter().collect(),
                })
                .collect(),
            links: row.links.into_iter().map(|(trace_id, span_id)| SpanLink { trace_id, span_id }).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spans::made::{pairs, row};

    fn traced(rows: Vec<SpanRow>, limit: usize) -> TraceAnswer {
        answer(&Semconv::embedded(), "t".into(), rows, None, limit)
    }

    #[test]
    fn a_trace_says_who_did_what_when() {
        let mut failed = row("01", "Server", 12);
        failed.status = "Error".into();
        let trace = traced(vec![row("01", "Client", 10), failed], 10);
        assert_eq!((trace.span_count, trace.truncated, trace.skew_repaired), (2, false, false));
        assert_eq!((trace.start_time, trace.duration), (10, 5_002));
        let row_of = |kind: &str| trace.spans.iter().find(|span| span.kind == kind).unwrap();
        assert_eq!(row_of("Server").service.namespace, "shop");
        assert_eq!(row_of("Server").status.code, "ERROR");
        assert_eq!(row_of("Client").duration, 5_000);
    }

    #[test]
    fn events_move_with_their_span_and_the_raw_times_can_be_had_back() {
        let mut client = row("01", "Client", 1_000_000);
        client.resource = pairs(&[("host.name", "a")]);
        let mut server = row("02", "Server", 400_000);
        server.parent_span_id = "01".into();
        server.duration_ns = 3_000_000;
        server.event_names = vec!["retry".into()];
        server.event_times_ns = vec![401_000_000];
        server.event_attributes = vec![vec![]];
        server.resource = pairs(&[("host.name", "b")]);
        let trace = traced(vec![server, client], 10);
        assert!(trace.skew_repaired);
        let [client, server] = &trace.spans[..] else { panic!("{trace:#?}") };
        assert_eq!((client.kind.as_str(), client.clock_skew, client.start_time), ("Client", 0, 1_000_000));
        assert_eq!((server.start_time, server.end_time, server.duration), (1_001_000, 1_004_000, 3_000));
        assert_eq!(server.start_time - server.clock_skew, 400_000);
        assert_eq!(server.events[0].timestamp, 1_002_000);
        assert_eq!((trace.start_time, trace.end_time, trace.duration), (1_000_000, 1_005_000, 5_000));
    }

    #[test]
    fn long_traces_are_cut_and_say_so() {
        let rows = (0..4).map(|n| row(&n.to_string(), "Server", n)).collect();
        let trace = traced(rows, 3);
        assert_eq!((trace.span_count, trace.truncated), (3, true));
    }
}
