//! Zipkin v2 JSON. Client and server may share one span id (`shared`): both keep it, their kinds tell them apart.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as ProtoValue;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, TracesData};
use serde_json::{Map, Value as Json};

use super::document::{Rejected, attribute, padded_id, runs_of, text_attribute, text_of};
use crate::json::integer;

type Object = Map<String, Json>;

/// Whether this looks like a span of this format.
pub(super) fn is_span(json: &Json) -> bool {
    json.get("traceId").is_some() && json.get("id").is_some()
}

/// A list of spans.
pub(super) fn convert(spans: &[Json], rejected: &mut Rejected) -> TracesData {
    let converted: Vec<_> = (spans.iter())
        .filter_map(|json| match json.as_object().and_then(|json| Some((service(json), span(json)?))) {
            Some(converted) => Some(converted),
            None => {
                *rejected.entry("bad_id").or_default() += 1;
                None
            }
        })
        .collect();
    runs_of(converted.into_iter(), |service| match *service {
        "" => Vec::new(),
        service => vec![text_attribute("service.name", service)],
    })
}

fn service(json: &Object) -> &str {
    endpoint(json, "localEndpoint").map_or("", |endpoint| text_of(endpoint, "serviceName"))
}

fn endpoint<'j>(json: &'j Object, side: &str) -> Option<&'j Object> {
    json.get(side)?.as_object()
}

fn span(json: &Object) -> Option<Span> {
    let start_us = json.get("timestamp").and_then(integer).unwrap_or_default();
    let duration_us = json.get("duration").and_then(integer).unwrap_or_default();
    let nanoseconds = |us: i128| u64::try_from(us.saturating_mul(1000)).unwrap_or_default();
    let attributes = attributes(json);
    let failed = attributes.iter().any(|attribute| attribute.key == "error");
    Some(Span {
        trace_id: padded_id::<16>(text_of(json, "traceId"))?.to_vec(),
        span_id: padded_id::<8>(text_of(json, "id"))?.to_vec(),
        parent_span_id: padded_id::<8>(text_of(json, "parentId")).map(Vec::from).unwrap_or_default(),
        name: text_of(json, "name").to_owned(),
        kind: kind(text_of(json, "kind")),
        start_time_unix_nano: nanoseconds(start_us),
        end_time_unix_nano: nanoseconds(start_us.saturating_add(duration_us)),
        status: failed.then(|| Status { code: 2, message: String::new() }),
        events: events(json),
        attributes,
        ..Span::default()
    })
}

fn kind(name: &str) -> i32 {
    match name {
        "SERVER" => 2,
        "CLIENT" => 3,
        "PRODUCER" => 4,
        "CONSUMER" => 5,
        _ => 0,
    }
}

/// Tags, and the remote endpoint under OpenTelemetry's names.
fn attributes(json: &Object) -> Vec<KeyValue> {
    let tags = json.get("tags").and_then(Json::as_object).into_iter().flatten();
    let mut attributes: Vec<KeyValue> =
        tags.filter_map(|(key, value)| Some(text_attribute(key, value.as_str()?))).collect();
    if let Some(remote) = endpoint(json, "remoteEndpoint") {
        let address = if text_of(remote, "ipv4").is_empty() { "ipv6" } else { "ipv4" };
        for (key, text) in [
            ("peer.service", text_of(remote, "serviceName")),
            ("network.peer.address", text_of(remote, address)),
        ] {
            if !text.is_empty() {
                attributes.push(text_attribute(key, text));
            }
        }
        if let Some(port) = remote.get("port").and_then(Json::as_i64) {
            attributes.push(attribute("network.peer.port", ProtoValue::IntValue(port)));
        }
    }
    attributes
}

fn events(json: &Object) -> Vec<Event> {
    let event = |annotation: &Json| {
        let annotation = annotation.as_object()?;
        let at = annotation.get("timestamp").and_then(integer).unwrap_or_default();
        Some(Event {
            time_unix_nano: u64::try_from(at.saturating_mul(1000)).unwrap_or_default(),
            name: text_of(annotation, "value").to_owned(),
            ..Event::default()
        })
    };
    json.get("annotations").and_then(Json::as_array).into_iter().flatten().filter_map(event).collect()
}
