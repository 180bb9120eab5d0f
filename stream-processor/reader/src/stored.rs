//! Spans as `otel_traces` holds them: ids in hexadecimal digits, names for numbers, and every attribute as text. They
//! are put back on the wire, so that one reader decides what a span says, wherever it comes from.

use opentelemetry_proto::tonic::common::v1::any_value::Value as ProtoValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use serde_json::Value as Json;
use stitcher::span::Kind;

use crate::read::{Read, spans_of};
use crate::semconv::Semconv;

/// Names and values of attributes.
pub type Pairs = [(String, String)];

/// A row, with the columns' names of the collector's ClickHouse exporter.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the columns are documented in schemas/clickhouse")]
pub struct StoredSpan<'a> {
    pub trace_id: &'a str,
    pub span_id: &'a str,
    pub parent_span_id: &'a str,
    pub trace_state: &'a str,
    pub span_name: &'a str,
    /// `Server`; older exporters write `SPAN_KIND_SERVER`.
    pub span_kind: &'a str,
    pub resource_attributes: &'a Pairs,
    pub span_attributes: &'a Pairs,
    /// Nanoseconds since the epoch.
    pub timestamp_ns: u64,
    pub duration_ns: u64,
    /// `Error`; older exporters write `STATUS_CODE_ERROR`.
    pub status_code: &'a str,
    /// The attributes of each event.
    pub events: &'a [Vec<(String, String)>],
    /// Trace id and span id of each link.
    pub links: &'a Pairs,
}

/// Gives the row's span to `each`, read as it was when it came over the wire. A row without valid ids is counted in
/// the answer.
///
/// The tables forgot the types of values. Where that makes a difference, `[stored]` in `semconv.toml` knows the type
/// that the conventions give an attribute; one that had another type may say something that it didn't on the wire.
pub fn read_stored(
    semconv: &Semconv,
    row: &StoredSpan<'_>,
    each: &mut dyn FnMut(&stitcher::Span<'_>),
) -> Read {
    let resource =
        Resource { attributes: attributes(semconv, row.resource_attributes), ..Resource::default() };
    let scope = ScopeSpans { spans: vec![span(semconv, row)], ..ScopeSpans::default() };
    let of_resource =
        ResourceSpans { resource: Some(resource), scope_spans: vec![scope], ..ResourceSpans::default() };
    spans_of(semconv, &TracesData { resource_spans: vec![of_resource] }, each)
}

fn span(semconv: &Semconv, row: &StoredSpan<'_>) -> Span {
    Span {
        trace_id: trace_id(row.trace_id),
        span_id: span_id(row.span_id),
        parent_span_id: span_id(row.parent_span_id),
        trace_state: row.trace_state.to_owned(),
        name: row.span_name.to_owned(),
        kind: kind(semconv, row.span_kind),
        start_time_unix_nano: row.timestamp_ns,
        end_time_unix_nano: row.timestamp_ns.saturating_add(row.duration_ns),
        attributes: attributes(semconv, row.span_attributes),
        events: row.events.iter().map(|pairs| event(semconv, pairs)).collect(),
        links: row.links.iter().map(link).collect(),
        status: Some(Status { code: status(row.status_code), message: String::new() }),
        ..Span::default()
    }
}

/// What isn't a number becomes no id, and the reader says which kind of span that is.
fn trace_id(digits: &str) -> Vec<u8> {
    u128::from_str_radix(digits, 16).map_or_else(|_| Vec::new(), |id| id.to_be_bytes().to_vec())
}

fn span_id(digits: &str) -> Vec<u8> {
    u64::from_str_radix(digits, 16).map_or_else(|_| Vec::new(), |id| id.to_be_bytes().to_vec())
}

fn kind(semconv: &Semconv, text: &str) -> i32 {
    let name = text.strip_prefix("SPAN_KIND_").unwrap_or(text);
    semconv.kind(name).unwrap_or(Kind::Unspecified) as i32
}

fn status(text: &str) -> i32 {
    match text.strip_prefix("STATUS_CODE_").unwrap_or(text) {
        name if name.eq_ignore_ascii_case("ok") => 1,
        name if name.eq_ignore_ascii_case("error") => 2,
        _ => 0,
    }
}

fn event(semconv: &Semconv, pairs: &Pairs) -> Event {
    Event { attributes: attributes(semconv, pairs), ..Event::default() }
}

fn link((trace, span): &(String, String)) -> Link {
    Link { trace_id: trace_id(trace), span_id: span_id(span), ..Link::default() }
}

fn attributes(semconv: &Semconv, pairs: &Pairs) -> Vec<KeyValue> {
    let attribute = |(key, text): &(String, String)| KeyValue {
        key: key.clone(),
        value: Some(AnyValue { value: Some(value(semconv, key, text)) }),
        ..KeyValue::default()
    };
    pairs.iter().map(attribute).collect()
}

fn value(semconv: &Semconv, key: &str, text: &str) -> ProtoValue {
    let typed = if semconv.was_list(key) {
        list(text)
    } else if semconv.was_number(key) {
        text.parse().ok().map(ProtoValue::IntValue)
    } else {
        None
    };
    // A text where the conventions want something else is a text after all.
    typed.unwrap_or_else(|| ProtoValue::StringValue(text.to_owned()))
}

/// The texts of a JSON list. Items of other types keep their places: only texts say something.
fn list(text: &str) -> Option<ProtoValue> {
    let items: Vec<Json> = text.starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()?;
    let item = |json: Json| match json {
        Json::String(text) => AnyValue { value: Some(ProtoValue::StringValue(text)) },
        _ => AnyValue { value: None },
    };
    Some(ProtoValue::ArrayValue(ArrayValue { values: items.into_iter().map(item).collect() }))
}
