//! The workload's spans as OTLP requests, in protobuf and in the JSON that the specification describes: ids in
//! hex, 64-bit integers as text.

use crate::workload::{Attributes, Emitter, Event, Span, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as proto;
use serde_json::{Value as Json, json};

/// W3C trace flags: sampled. The bits above say whether the parent is known to be remote.
const SAMPLED: u32 = 1;
const PARENT_KNOWN: u32 = 0x100;
const PARENT_REMOTE: u32 = 0x200;

/// Schema that the current names belong to.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// One export of one process. `epoch_us` is the run's start, microseconds since the epoch.
pub fn request(emitter: &Emitter, spans: &[Span], epoch_us: i64) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope {
        name: "console-instrumentation".into(),
        version: "1.0.0".into(),
        ..InstrumentationScope::default()
    };
    let scope_spans = proto::ScopeSpans {
        scope: Some(scope),
        spans: spans.iter().map(|span| span_message(span, epoch_us)).collect(),
        schema_url: SCHEMA_URL.into(),
    };
    let resource = Resource { attributes: key_values(&emitter.resource()), ..Resource::default() };
    let resource_spans = proto::ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![scope_spans],
        schema_url: SCHEMA_URL.into(),
    };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
}

fn span_message(span: &Span, epoch_us: i64) -> proto::Span {
    proto::Span {
        trace_id: span.trace_id.to_be_bytes().to_vec(),
        span_id: span.span_id.to_be_bytes().to_vec(),
        parent_span_id: span.parent_id.map_or_else(Vec::new, |id| id.to_be_bytes().to_vec()),
        flags: flags(span),
        name: span.name.clone(),
        kind: span.kind as i32,
        start_time_unix_nano: unix_nanos(epoch_us + span.start_us),
        end_time_unix_nano: unix_nanos(epoch_us + span.end_us),
        attributes: key_values(&span.attributes),
        events: span.events.iter().map(|event| event_message(event, epoch_us)).collect(),
        links: span.links.iter().map(|link| link_message(*link)).collect(),
        status: Some(proto::Status { code: span.status as i32, message: String::new() }),
        ..proto::Span::default()
    }
}

fn flags(span: &Span) -> u32 {
    SAMPLED | PARENT_KNOWN | if span.remote_parent { PARENT_REMOTE } else { 0 }
}

fn unix_nanos(us: i64) -> u64 {
    u64::try_from(us).expect("runs happen after 1970") * 1_000
}

fn event_message(event: &Event, epoch_us: i64) -> proto::span::Event {
    proto::span::Event {
        time_unix_nano: unix_nanos(epoch_us + event.at_us),
        name: event.name.into(),
        attributes: key_values(&event.attributes),
        ..proto::span::Event::default()
    }
}

fn link_message((trace_id, span_id): (u128, u64)) -> proto::span::Link {
    proto::span::Link {
        trace_id: trace_id.to_be_bytes().to_vec(),
        span_id: span_id.to_be_bytes().to_vec(),
        flags: SAMPLED | PARENT_KNOWN | PARENT_REMOTE,
        ..proto::span::Link::default()
    }
}

fn key_values(attributes: &Attributes) -> Vec<KeyValue> {
    attributes
        .iter()
        .map(|(key, value)| KeyValue {
            key: (*key).into(),
            value: Some(any_value(value)),
            ..KeyValue::default()
        })
        .collect()
}

fn any_value(value: &Value) -> AnyValue {
    let value = match value {
        Value::Text(text) => any_value::Value::StringValue(text.clone()),
        Value::Int(number) => any_value::Value::IntValue(*number),
        Value::Bool(truth) => any_value::Value::BoolValue(*truth),
        Value::Texts(texts) => any_value::Value::ArrayValue(ArrayValue {
            values: texts.iter().map(|text| any_value(&Value::Text(text.clone()))).collect(),
        }),
    };
    AnyValue { value: Some(value) }
}

/// The same export as [`request`] in OTLP/JSON.
pub fn json_request(emitter: &Emitter, spans: &[Span], epoch_us: i64) -> Json {
    let spans: Vec<Json> = spans.iter().map(|span| span_json(span, epoch_us)).collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": json_attributes(&emitter.resource()) },
        "scopeSpans": [{
            "scope": { "name": "console-instrumentation", "version": "1.0.0" },
            "spans": spans,
            "schemaUrl": SCHEMA_URL,
        }],
        "schemaUrl": SCHEMA_URL,
    }]})
}

fn span_json(span: &Span, epoch_us: i64) -> Json {
    let mut json = json!({
        "traceId": format!("{:032x}", span.trace_id),
        "spanId": format!("{:016x}", span.span_id),
        "flags": flags(span),
        "name": span.name,
        "kind": span.kind as i32,
        "startTimeUnixNano": unix_nanos(epoch_us + span.start_us).to_string(),
        "endTimeUnixNano": unix_nanos(epoch_us + span.end_us).to_string(),
        "attributes": json_attributes(&span.attributes),
        "events": span.events.iter().map(|event| event_json(event, epoch_us)).collect::<Vec<_>>(),
        "links": span.links.iter().map(|link| link_json(*link)).collect::<Vec<_>>(),
        "status": { "code": span.status as i32 },
    });
    if let Some(parent) = span.parent_id {
        json["parentSpanId"] = format!("{parent:016x}").into();
    }
    json
}

fn event_json(event: &Event, epoch_us: i64) -> Json {
    json!({
        "timeUnixNano": unix_nanos(epoch_us + event.at_us).to_string(),
        "name": event.name,
        "attributes": json_attributes(&event.attributes),
    })
}

fn link_json((trace_id, span_id): (u128, u64)) -> Json {
    json!({
        "traceId": format!("{trace_id:032x}"),
        "spanId": format!("{span_id:016x}"),
        "flags": SAMPLED | PARENT_KNOWN | PARENT_REMOTE,
    })
}

fn json_attributes(attributes: &Attributes) -> Json {
    attributes.iter().map(|(key, value)| json!({ "key": key, "value": json_value(value) })).collect()
}

fn json_value(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!({ "stringValue": text }),
        Value::Int(number) => json!({ "intValue": number.to_string() }),
        Value::Bool(truth) => json!({ "boolValue": truth }),
        Value::Texts(texts) => {
            let values: Vec<Json> = texts.iter().map(|text| json!({ "stringValue": text })).collect();
            json!({ "arrayValue": { "values": values } })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Workload;

    #[test]
    fn json_and_protobuf_say_the_same() {
        let flow = Workload::new(7, 10.0).next().unwrap();
        let span = &flow.spans[0];
        let spans = std::slice::from_ref(span);
        let message = request(&span.emitter, spans, 1_000_000);
        let json = json_request(&span.emitter, spans, 1_000_000);

        let message = &message.resource_spans[0].scope_spans[0].spans[0];
        let json = &json["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!(json["traceId"], format!("{:032x}", flow.trace_id));
        assert_eq!(message.trace_id, flow.trace_id.to_be_bytes());
        assert_eq!(json["startTimeUnixNano"], message.start_time_unix_nano.to_string());
        assert_eq!(json["kind"], message.kind);
        assert_eq!(json["attributes"].as_array().unwrap().len(), message.attributes.len());
    }
}
