//! Traces as OTLP's JSON: ids are hex, times texts of nanoseconds.

use crate::spans::{Attributes, SpanRow};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// `resourceSpans` of these spans.
pub fn resource_spans(rows: Vec<SpanRow>) -> Vec<Value> {
    let mut resources: BTreeMap<Attributes, BTreeMap<(String, String), Vec<Value>>> = BTreeMap::new();
    for mut row in rows {
        let mut resource = std::mem::take(&mut row.resource);
        if !resource.iter().any(|(key, _)| key == "service.name") {
            resource.push(("service.name".to_owned(), row.service.clone()));
        }
        let scope = std::mem::take(&mut row.scope);
        resources.entry(resource).or_default().entry(scope).or_default().push(span(&row));
    }
    let spans = resources.into_iter().map(|(resource, scopes)| {
        let scopes = scopes.into_iter().map(
            |((name, version), spans)| json!({"scope": {"name": name, "version": version}, "spans": spans}),
        );
        json!({"resource": {"attributes": attributes(&resource)}, "scopeSpans": scopes.collect::<Vec<_>>()})
    });
    spans.collect()
}

fn span(row: &SpanRow) -> Value {
    let end_ns = row.start_ns.saturating_add_unsigned(row.duration_ns);
    let events = row.event_times_ns.iter().zip(&row.event_names).zip(&row.event_attributes);
    let events: Vec<Value> = events
        .map(|((time_ns, name), fields)| {
            json!({"timeUnixNano": time_ns.to_string(), "name": name, "attributes": attributes(fields)})
        })
        .collect();
    let links: Vec<Value> =
        row.links.iter().map(|(trace, span)| json!({"traceId": trace, "spanId": span})).collect();
    json!({
        "traceId": row.trace_id,
        "spanId": row.span_id,
        "parentSpanId": row.parent_span_id,
        "traceState": row.trace_state,
        "name": row.name,
        "kind": number_of_kind(&row.kind),
        "startTimeUnixNano": row.start_ns.to_string(),
        "endTimeUnixNano": end_ns.to_string(),
        "attributes": attributes(&row.attributes),
        "events": events,
        "links": links,
        "status": {"code": number_of_status(&row.status), "message": row.status_message},
    })
}

/// The store keeps every value as a text.
fn attributes(pairs: &Attributes) -> Vec<Value> {
    pairs.iter().map(|(key, value)| json!({"key": key, "value": {"stringValue": value}})).collect()
}

fn number_of_kind(kind: &str) -> u8 {
    match kind {
        "Internal" => 1,
        "Server" => 2,
        "Client" => 3,
        "Producer" => 4,
        "Consumer" => 5,
        _ => 0,
    }
}

fn number_of_status(status: &str) -> u8 {
    match status {
        "Ok" => 1,
        "Error" => 2,
        _ => 0,
    }
}
