//! The raw spans of one trace, from `otel_traces`.

mod grants;

use crate::App;
use crate::access::Access;
use crate::error::ApiError;
use crate::live::ends::SpansStaleness;
use crate::live::feed::now_us;
use crate::progress;
use crate::stored::Stored;
use clickhouse::Row;
pub use grants::{NAMESPACE, is_allowed, narrow, retain};
use grants::{NAMESPACES, first};
use reader::StoredSpan;
use schemas::topics::OTLP_SPANS;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use utoipa::ToSchema;

/// Names and values.
pub type Attributes = Vec<(String, String)>;

/// One span. Times are nanoseconds.
#[derive(Debug, Clone, Row, Deserialize)]
#[allow(missing_docs, reason = "the columns are documented in schemas/clickhouse")]
pub struct SpanRow {
    pub trace_id: String,
    pub span_id: String,
    pub parent_span_id: String,
    pub trace_state: String,
    pub name: String,
    pub kind: String,
    pub service: String,
    pub start_ns: i64,
    pub duration_ns: u64,
    pub status: String,
    pub status_message: String,
    pub attributes: Attributes,
    pub resource: Attributes,
    pub event_times_ns: Vec<i64>,
    pub event_names: Vec<String>,
    pub event_attributes: Vec<Attributes>,
    pub links: Attributes,
    /// Name and version of what made the span.
    pub scope: (String, String),
}

/// Who emitted a span.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the names say it")]
pub struct SpanService {
    pub name: String,
    pub namespace: String,
    pub pod: String,
    pub version: String,
    pub deployment: String,
}

#[derive(Debug, Row, Deserialize)]
struct TimeRow {
    found: u64,
    start: u32,
    end: u32,
}

/// An answer from the raw spans of one trace.
#[derive(Debug, Serialize, ToSchema)]
pub struct OfSpans<T> {
    /// The answer.
    #[serde(flatten)]
    pub answer: T,
    /// How far raw spans are stored: some of the trace's may still be on their way.
    pub staleness: SpansStaleness,
}

/// How far raw spans are stored: to be asked for before them, so that they hold at least that.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn staleness(app: &App, trace_id: &str) -> Result<SpansStaleness, ApiError> {
    let progress = progress::of_topic(&app.stored, OTLP_SPANS).await;
    let progress = progress.map_err(|error| ApiError::store_unavailable(&error))?;
    // The id has been read: it is 32 hexadecimal digits.
    let trace_id = u128::from_str_radix(trace_id, 16).unwrap_or_default();
    Ok(app.ends.staleness(&progress, trace_id, now_us()))
}

/// The trace's spans by time, each once however often it was delivered: the limit counts spans, not deliveries. The
/// bounds must be DateTime64 as the column is: against a DateTime, ClickHouse 26.7 prunes parts whose spans all lie in
/// the last second before the bound.
const SPANS: &str = "WHERE TraceId IN {ids:Array(String)} \
    AND Timestamp >= toDateTime64({start:UInt32}, 9) AND Timestamp < toDateTime64({end:UInt32} + 1, 9) \
    ORDER BY TraceId, Timestamp, SpanId, SpanKind, Duration LIMIT 1 BY TraceId, SpanId, SpanKind LIMIT {limit:UInt32}";

const COLUMNS: &str = "SELECT \
    TraceId AS trace_id, SpanId AS span_id, ParentSpanId AS parent_span_id, TraceState AS trace_state, \
    toString(SpanName) AS name, toString(SpanKind) AS kind, toString(ServiceName) AS service, \
    toUnixTimestamp64Nano(Timestamp) AS start_ns, Duration AS duration_ns, \
    toString(StatusCode) AS status, StatusMessage AS status_message, \
    CAST(SpanAttributes, 'Map(String, String)') AS attributes, \
    CAST(ResourceAttributes, 'Map(String, String)') AS resource, \
    arrayMap(time -> toUnixTimestamp64Nano(time), `Events.Timestamp`) AS event_times_ns, \
    CAST(`Events.Name`, 'Array(String)') AS event_names, \
    CAST(`Events.Attributes`, 'Array(Map(String, String))') AS event_attributes, \
    arrayZip(`Links.TraceId`, `Links.SpanId`) AS links, (ScopeName, ScopeVersion) AS scope \
    FROM otel_traces";

/// When to look; without it the query would read every day.
const TIMES: &str = "SELECT count() AS found, toUInt32(min(Start)) AS start, toUInt32(max(End)) AS end \
    FROM otel_traces_trace_id_ts WHERE TraceId IN {ids:Array(String)}";

/// At most `limit` spans of a trace, the earliest, and one more if there are more.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn of_trace(stored: &Stored, trace_id: &str, limit: u32) -> Result<Vec<SpanRow>, ApiError> {
    rows(stored, &[trace_id.to_owned()], limit.saturating_add(1)).await
}

/// The spans of these traces, by trace, at most `limit` of all together: the trace at which that is reached, and those
/// behind it, are left out.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn of_traces(
    stored: &Stored,
    ids: &[String],
    limit: u32,
) -> Result<HashMap<String, Vec<SpanRow>>, ApiError> {
    let rows = rows(stored, ids, limit.saturating_add(1)).await?;
    let cut = rows.last().filter(|_| rows.len() > limit as usize).map(|row| row.trace_id.clone());
    let mut found: HashMap<String, Vec<SpanRow>> = HashMap::new();
    for row in rows {
        found.entry(row.trace_id.clone()).or_default().push(row);
    }
    if let Some(cut) = cut {
        found.remove(&cut);
    }
    Ok(found)
}

/// The first and the last second in which these traces have spans; none where no span is stored.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn times(stored: &Stored, ids: &[String]) -> Result<Option<(u32, u32)>, ApiError> {
    let times = stored.ask(TIMES).param("ids", ids).fetch_one::<TimeRow>().await;
    let times = times.map_err(|error| ApiError::store_unavailable(&error))?;
    Ok((times.found > 0).then_some((times.start, times.end)))
}

async fn rows(stored: &Stored, ids: &[String], limit: u32) -> Result<Vec<SpanRow>, ApiError> {
    let Some((start_s, end_s)) = times(stored, ids).await? else { return Ok(Vec::new()) };
    let spans = stored
        .ask(&format!("{COLUMNS} {SPANS}"))
        .param("ids", ids)
        .param("start", start_s)
        .param("end", end_s)
        .param("limit", limit);
    spans.fetch_all().await.map_err(|error| ApiError::store_unavailable(&error))
}

/// One trace as [`of_trace`] gives it; none where it isn't stored or not for this caller to know.
///
/// # Errors
/// The id is none, or ClickHouse can't answer.
pub async fn allowed(app: &App, access: &Access, id: &str) -> Result<Option<Vec<SpanRow>>, ApiError> {
    let id = trace_id(id)?;
    let _turn = app.stored.turn().await;
    let rows = of_trace(&app.stored, &id, app.limits.trace_spans).await?;
    let mut found = HashMap::from([(id, rows)]);
    retain(&app.stored, &access.allowed, &mut found).await?;
    Ok(found.into_values().next().filter(|rows| !rows.is_empty()))
}

/// 1 to 32 hex digits, with the leading zeros that some tracers leave out.
///
/// # Errors
/// It is something else.
pub fn trace_id(text: &str) -> Result<String, ApiError> {
    let is_hex = !text.is_empty() && text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex {
        return Err(ApiError::bad_request("a trace id is 1 to 32 hex digits"));
    }
    Ok(format!("{:0>32}", text.to_ascii_lowercase()))
}

impl SpanService {
    /// What a resource says about itself.
    pub fn of(name: String, resource: &Attributes) -> Self {
        let first = |names: &[&str]| first(resource, names).to_owned();
        Self {
            name,
            namespace: first(NAMESPACES),
            pod: first(&["k8s.pod.name", "service.instance.id", "host.name"]),
            version: first(&["service.version"]),
            deployment: first(&["k8s.deployment.name"]),
        }
    }
}

impl SpanRow {
    /// As the reader takes it.
    pub fn stored(&self) -> StoredSpan<'_> {
        StoredSpan {
            trace_id: &self.trace_id,
            span_id: &self.span_id,
            parent_span_id: &self.parent_span_id,
            trace_state: &self.trace_state,
            span_name: &self.name,
            span_kind: &self.kind,
            resource_attributes: &self.resource,
            span_attributes: &self.attributes,
            timestamp_ns: u64::try_from(self.start_ns).unwrap_or_default(),
            duration_ns: self.duration_ns,
            status_code: &self.status,
            events: &self.event_attributes,
            links: &self.links,
        }
    }

    /// Start, µs since the epoch.
    pub fn start_us(&self) -> i64 {
        us(self.start_ns)
    }

    /// Length, µs.
    pub fn duration_us(&self) -> i64 {
        i64::try_from(self.duration_ns / 1_000).unwrap_or(i64::MAX)
    }

    /// End, µs since the epoch.
    pub fn end_us(&self) -> i64 {
        self.start_us().saturating_add(self.duration_us())
    }
}

/// Nanoseconds as whole microseconds.
pub fn us(ns: i64) -> i64 {
    ns.div_euclid(1_000)
}

#[cfg(test)]
pub mod made {
    //! Rows for tests.

    use super::SpanRow;

    /// A span of 5 ms of the service `web`, without a parent.
    pub fn row(span_id: &str, kind: &str, start_us: i64) -> SpanRow {
        SpanRow {
            trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
            span_id: span_id.into(),
            parent_span_id: String::new(),
            trace_state: String::new(),
            name: "GET /".into(),
            kind: kind.into(),
            service: "web".into(),
            start_ns: start_us * 1_000,
            duration_ns: 5_000_999,
            status: "Unset".into(),
            status_message: String::new(),
            attributes: vec![],
            resource: pairs(&[
                ("service.name", "web"),
                ("service.namespace", "shop"),
                ("service.version", "1.2"),
            ]),
            event_times_ns: vec![],
            event_names: vec![],
            event_attributes: vec![],
            links: vec![],
            scope: (String::new(), String::new()),
        }
    }

    /// Attributes.
    pub fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hex_and_nothing_else() {
        assert_eq!(trace_id("AB12").unwrap(), format!("{}ab12", "0".repeat(28)));
        for bad in ["", "../etc", "xyz", "ab 12", "'", &"a".repeat(33), "ab%20"] {
            assert!(trace_id(bad).is_err(), "{bad}");
        }
    }
}
