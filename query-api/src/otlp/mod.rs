//! Stored spans as OTLP's messages. The store keeps every value of an attribute as a text.

pub mod json;

use crate::spans::{Attributes, SpanRow};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use std::collections::BTreeMap;

/// These spans by their resources.
pub fn resource_spans(rows: Vec<SpanRow>) -> Vec<ResourceSpans> {
    let mut resources: BTreeMap<Attributes, BTreeMap<(String, String), Vec<Span>>> = BTreeMap::new();
    for mut row in rows {
        let mut resource = std::mem::take(&mut row.resource);
        if !resource.iter().any(|(key, _)| key == "service.name") {
            resource.push(("service.name".to_owned(), row.service.clone()));
        }
        let scope = std::mem::take(&mut row.scope);
        resources.entry(resource).or_default().entry(scope).or_default().push(span(row));
    }
    let spans = resources.into_iter().map(|(resource, scopes)| ResourceSpans {
        resource: Some(Resource { attributes: attributes(resource), ..Resource::default() }),
        scope_spans: scopes.into_iter().map(scope_spans).collect(),
        ..ResourceSpans::default()
    });
    spans.collect()
}

fn scope_spans(((name, version), spans): ((String, String), Vec<Span>)) -> ScopeSpans {
    let scope = InstrumentationScope { name, version, ..InstrumentationScope::default() };
    ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }
}

fn span(row: SpanRow) -> Span {
    let end_ns = row.start_ns.saturating_add_unsigned(row.duration_ns);
    let events = row.event_times_ns.into_iter().zip(row.event_names).zip(row.event_attributes);
    let events = events.map(|((time_ns, name), fields)| Event {
        time_unix_nano: unsigned(time_ns),
        name,
        attributes: attributes(fields),
        ..Event::default()
    });
    let links = row.links.iter().map(|(trace, span)| Link {
        trace_id: trace_id(trace),
        span_id: span_id(span),
        ..Link::default()
    });
    Span {
        trace_id: trace_id(&row.trace_id),
        span_id: span_id(&row.span_id),
        parent_span_id: span_id(&row.parent_span_id),
        trace_state: row.trace_state,
        name: row.name,
        kind: kind(&row.kind).into(),
        start_time_unix_nano: unsigned(row.start_ns),
        end_time_unix_nano: unsigned(end_ns),
        attributes: attributes(row.attributes),
        events: events.collect(),
        links: links.collect(),
        status: Some(Status { code: status(&row.status).into(), message: row.status_message }),
        ..Span::default()
    }
}

fn attributes(pairs: Attributes) -> Vec<KeyValue> {
    let attribute = |(key, value)| KeyValue {
        key,
        value: Some(AnyValue { value: Some(Value::StringValue(value)) }),
        ..KeyValue::default()
    };
    pairs.into_iter().map(attribute).collect()
}

fn unsigned(ns: i64) -> u64 {
    ns.try_into().unwrap_or_default()
}

/// 16 bytes; none where the text is no id.
fn trace_id(hex: &str) -> Vec<u8> {
    u128::from_str_radix(hex, 16).map(|id| id.to_be_bytes().to_vec()).unwrap_or_default()
}

/// 8 bytes; none where the text is no id.
fn span_id(hex: &str) -> Vec<u8> {
    u64::from_str_radix(hex, 16).map(|id| id.to_be_bytes().to_vec()).unwrap_or_default()
}

fn kind(kind: &str) -> SpanKind {
    match kind {
        "Internal" => SpanKind::Internal,
        "Server" => SpanKind::Server,
        "Client" => SpanKind::Client,
        "Producer" => SpanKind::Producer,
        "Consumer" => SpanKind::Consumer,
        _ => SpanKind::Unspecified,
    }
}

fn status(status: &str) -> StatusCode {
    match status {
        "Ok" => StatusCode::Ok,
        "Error" => StatusCode::Error,
        _ => StatusCode::Unset,
    }
}
