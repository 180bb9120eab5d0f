//! Jaeger JSON: traces as its API and UI write them, and single spans as it stores them in Elasticsearch.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as ProtoValue;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status, TracesData};
use serde_json::{Map, Value as Json};

use super::document::{Rejected, attribute, padded_id, runs_of, text_attribute, text_of};
use crate::json::integer;

type Object = Map<String, Json>;

/// `{"spans": […], "processes": {…}}`.
pub(super) fn trace(trace: &Object, rejected: &mut Rejected) -> TracesData {
    let empty = Vec::new();
    let spans = trace.get("spans").and_then(Json::as_array).unwrap_or(&empty);
    let converted: Vec<_> = spans
        .iter()
        .filter_map(|json| {
            Some((text_of(json.as_object()?, "processID"), span(json.as_object()?, rejected)?))
        })
        .collect();
    let processes = trace.get("processes").and_then(Json::as_object);
    runs_of(converted.into_iter(), |process| {
        processes.and_then(|all| all.get(*process)?.as_object()).map(resource).unwrap_or_default()
    })
}

/// One span with its process inside.
pub(super) fn stored_span(stored: &Object, rejected: &mut Rejected) -> TracesData {
    let process = stored.get("process").and_then(Json::as_object);
    runs_of(span(stored, rejected).map(|span| ((), span)).into_iter(), |()| {
        process.map(resource).unwrap_or_default()
    })
}

fn resource(process: &Object) -> Vec<KeyValue> {
    let mut attributes = vec![text_attribute("service.name", text_of(process, "serviceName"))];
    attributes.extend(tags(process));
    attributes
}

fn span(json: &Object, rejected: &mut Rejected) -> Option<Span> {
    let (Some(trace_id), Some(span_id)) =
        (padded_id::<16>(text_of(json, "traceID")), padded_id::<8>(text_of(json, "spanID")))
    else {
        *rejected.entry("bad_id").or_default() += 1;
        return None;
    };
    let attributes = tags(json);
    let (parent, links) = references(json, &trace_id);
    let start_ns = nanoseconds(json, "startTime");
    Some(Span {
        trace_id: trace_id.to_vec(),
        span_id: span_id.to_vec(),
        parent_span_id: parent.map(Vec::from).unwrap_or_default(),
        trace_state: text_tag(&attributes, "w3c.tracestate").to_owned(),
        name: text_of(json, "operationName").to_owned(),
        kind: kind(text_tag(&attributes, "span.kind")),
        start_time_unix_nano: start_ns,
        end_time_unix_nano: end(json, start_ns),
        status: status(&attributes),
        events: events(json),
        links,
        attributes,
        ..Span::default()
    })
}

/// Microseconds in JSON, nanoseconds here.
fn nanoseconds(json: &Object, key: &str) -> u64 {
    let microseconds = json.get(key).and_then(integer).unwrap_or_default();
    u64::try_from(microseconds.saturating_mul(1000)).unwrap_or_default()
}

/// A negative duration stays one: the stitcher counts and repairs it.
fn end(json: &Object, start_ns: u64) -> u64 {
    let duration = json.get("duration").and_then(integer).unwrap_or_default();
    let end = i128::from(start_ns).saturating_add(duration.saturating_mul(1000));
    u64::try_from(end.max(0)).unwrap_or(u64::MAX)
}

/// The parent is the first CHILD_OF of the same trace, else the first FOLLOWS_FROM of it; the others are links.
fn references(json: &Object, trace_id: &[u8; 16]) -> (Option<[u8; 8]>, Vec<Link>) {
    let empty = Vec::new();
    let read = |reference: &Json| {
        let reference = reference.as_object()?;
        let ids =
            (padded_id::<16>(text_of(reference, "traceID"))?, padded_id::<8>(text_of(reference, "spanID"))?);
        Some((text_of(reference, "refType") == "CHILD_OF", ids))
    };
    let mut all: Vec<_> =
        json.get("references").and_then(Json::as_array).unwrap_or(&empty).iter().filter_map(read).collect();
    let same_trace = |(_, ids): &(bool, ([u8; 16], [u8; 8]))| ids.0 == *trace_id;
    let place = (all.iter().position(|reference| reference.0 && same_trace(reference)))
        .or_else(|| all.iter().position(same_trace));
    let parent = match place {
        Some(place) => Some(all.remove(place).1.1),
        None => padded_id::<8>(text_of(json, "parentSpanID")),
    };
    let link = |(_, (trace_id, span_id)): (bool, ([u8; 16], [u8; 8]))| Link {
        trace_id: trace_id.to_vec(),
        span_id: span_id.to_vec(),
        ..Link::default()
    };
    (parent, all.into_iter().map(link).collect())
}

/// `tags` is a list of typed pairs; Elasticsearch keeps `tag`, a map whose keys have `@` for `.`.
fn tags(json: &Object) -> Vec<KeyValue> {
    let listed = json.get("tags").and_then(Json::as_array).into_iter().flatten().filter_map(pair);
    let mapped = json.get("tag").and_then(Json::as_object).into_iter().flatten();
    let mapped = mapped.filter_map(|(key, value)| Some(attribute(&key.replace('@', "."), typed("", value)?)));
    listed.chain(mapped).collect()
}

fn pair(json: &Json) -> Option<KeyValue> {
    let pair = json.as_object()?;
    Some(attribute(text_of(pair, "key"), typed(text_of(pair, "type"), pair.get("value")?)?))
}

/// Stored tags hold numbers and truth values as text beside their type.
fn typed(kind: &str, value: &Json) -> Option<ProtoValue> {
    Some(match (kind, value) {
        ("int64", value)
            if let Some(number) = integer(value).and_then(|number| i64::try_from(number).ok()) =>
        {
            ProtoValue::IntValue(number)
        }
        ("float64", Json::String(text)) if let Ok(number) = text.parse() => ProtoValue::DoubleValue(number),
        ("bool", Json::String(text)) if let Ok(truth) = text.parse() => ProtoValue::BoolValue(truth),
        (_, Json::String(text)) => ProtoValue::StringValue(text.clone()),
        (_, Json::Bool(truth)) => ProtoValue::BoolValue(*truth),
        (_, Json::Number(number)) => match number.as_i64() {
            Some(number) => ProtoValue::IntValue(number),
            None => ProtoValue::DoubleValue(number.as_f64()?),
        },
        _ => return None,
    })
}

fn text_tag<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    match value_of(attributes, key) {
        Some(ProtoValue::StringValue(text)) => text,
        _ => "",
    }
}

fn value_of<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a ProtoValue> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()
}

fn kind(name: &str) -> i32 {
    match name {
        "internal" => 1,
        "server" => 2,
        "client" => 3,
        "producer" => 4,
        "consumer" => 5,
        _ => 0,
    }
}

fn status(attributes: &[KeyValue]) -> Option<Status> {
    let failed = match value_of(attributes, "error") {
        Some(ProtoValue::BoolValue(failed)) => *failed,
        Some(ProtoValue::StringValue(text)) => text != "false",
        _ => false,
    };
    let code = match text_tag(attributes, "otel.status_code") {
        "ERROR" => 2,
        "OK" => 1,
        _ if failed => 2,
        _ => return None,
    };
    Some(Status { code, message: text_tag(attributes, "otel.status_description").to_owned() })
}

fn events(json: &Object) -> Vec<Event> {
    let event = |log: &Json| {
        let log = log.as_object()?;
        let fields: Vec<KeyValue> =
            log.get("fields").and_then(Json::as_array).into_iter().flatten().filter_map(pair).collect();
        Some(Event {
            time_unix_nano: nanoseconds(log, "timestamp"),
            name: text_tag(&fields, "event").to_owned(),
            attributes: fields,
            ..Event::default()
        })
    };
    json.get("logs").and_then(Json::as_array).into_iter().flatten().filter_map(event).collect()
}
