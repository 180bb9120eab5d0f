//! The spans of a search's traces for which they were found.

use super::conditions::conditions;
use super::range::Range;
use super::traceql::{Field, Filter, Intrinsic, Scope};
use crate::App;
use crate::error::ApiError;
use crate::flows::SPANS_APART_S;
use crate::spans::Attributes;
use clickhouse::Row;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};

/// A span that matches, with those of its attributes that were asked about.
#[derive(Debug, Row, Deserialize)]
#[allow(missing_docs, reason = "the columns are documented in schemas/clickhouse")]
pub struct Matched {
    pub trace_id: String,
    pub span_id: String,
    pub parent_span_id: String,
    pub name: String,
    pub kind: String,
    pub service: String,
    pub status: String,
    pub status_message: String,
    pub start_ns: i64,
    pub duration_ns: u64,
    pub attributes: Attributes,
    pub resource: Attributes,
    /// How many spans of its trace match.
    pub matched: u64,
}

const COLUMNS: &str = "TraceId AS trace_id, SpanId AS span_id, ParentSpanId AS parent_span_id, \
    toString(SpanName) AS name, toString(SpanKind) AS kind, toString(ServiceName) AS service, \
    toString(StatusCode) AS status, StatusMessage AS status_message, \
    toUnixTimestamp64Nano(Timestamp) AS start_ns, Duration AS duration_ns, \
    CAST(mapFilter((key, value) -> has({keys:Array(String)}, key), SpanAttributes), 'Map(String, String)') AS attributes, \
    CAST(mapFilter((key, value) -> has({keys:Array(String)}, key), ResourceAttributes), 'Map(String, String)') AS resource";

/// The first `most` matching spans of each trace, by trace.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn of_traces(
    app: &App,
    ids: &[String],
    (from_s, to_s): Range,
    filter: &Filter,
    most: u32,
) -> Result<HashMap<String, Vec<Matched>>, ApiError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let (from_s, to_s) = (from_s.saturating_sub(SPANS_APART_S), to_s.saturating_add(SPANS_APART_S));
    let conditions = conditions(filter);
    let keys: BTreeSet<&str> = filter
        .comparisons()
        .into_iter()
        .filter_map(|each| match &each.field {
            Field::Attribute(_, key) => Some(key.as_str()),
            Field::Intrinsic(_) => None,
        })
        .collect();
    // Each span once, however often it was delivered.
    let sql = format!(
        "SELECT *, count() OVER (PARTITION BY trace_id) AS matched FROM (\
         SELECT {COLUMNS} FROM otel_traces WHERE TraceId IN {{ids:Array(String)}} \
         AND Timestamp >= toDateTime64({from_s}, 9) AND Timestamp < toDateTime64({to_s}, 9) AND ({}) \
         ORDER BY Timestamp, SpanId LIMIT 1 BY TraceId, SpanId, SpanKind) \
         ORDER BY trace_id, start_ns, span_id LIMIT {most} BY trace_id",
        conditions.sql()
    );
    let _turn = app.stored.turn().await;
    let query = conditions.bind(app.stored.ask(&sql)).param("ids", ids).param("keys", &keys);
    let rows = query.fetch_all::<Matched>().await;
    let mut found: HashMap<String, Vec<Matched>> = HashMap::new();
    for row in rows.map_err(|error| ApiError::store_unavailable(&error))? {
        found.entry(row.trace_id.clone()).or_default().push(row);
    }
    Ok(found)
}

impl Matched {
    /// Tempo's `Span`, with the values of fields that were asked about.
    pub fn shown(&self, fields: &[&Field]) -> Value {
        let mut seen = BTreeSet::new();
        let attributes: Vec<Value> = fields
            .iter()
            .filter(|field| seen.insert(field.shown()))
            .filter_map(|field| Some((field.shown(), self.value(field)?)))
            .map(|(key, value)| json!({"key": key, "value": {"stringValue": value}}))
            .collect();
        json!({
            "spanID": self.span_id,
            "name": self.name,
            "startTimeUnixNano": self.start_ns.max(0).to_string(),
            "durationNanos": self.duration_ns.to_string(),
            "attributes": attributes,
        })
    }

    /// The value of a field that has no place of its own in an answer.
    fn value(&self, field: &Field) -> Option<String> {
        let of = |pairs: &Attributes, wanted: &str| {
            pairs.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.clone())
        };
        let of_resource = |key: &str| match key {
            "service.name" => Some(self.service.clone()),
            key => of(&self.resource, key),
        };
        match field {
            Field::Attribute(Scope::Span, key) => of(&self.attributes, key),
            Field::Attribute(Scope::Resource, key) => of_resource(key),
            Field::Attribute(Scope::Either, key) => of(&self.attributes, key).or_else(|| of_resource(key)),
            Field::Intrinsic(Intrinsic::Status) => Some(self.status.to_lowercase()),
            Field::Intrinsic(Intrinsic::Kind) => Some(self.kind.to_lowercase()),
            Field::Intrinsic(Intrinsic::StatusMessage) => Some(self.status_message.clone()),
            Field::Intrinsic(Intrinsic::ParentId) => Some(self.parent_span_id.clone()),
            Field::Intrinsic(_) => None,
        }
    }
}
