//! OTLP's messages as JSON. Times are texts of nanoseconds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use serde_json::{Value, json};

/// How ids and enums are written.
#[derive(Debug, Clone, Copy)]
pub enum Spelling {
    /// As OTLP says: ids are hex, enums numbers.
    Otlp,
    /// As protobuf's own JSON is, which Tempo answers with: ids are base64, enums names.
    Protobuf,
}

/// `resourceSpans`.
pub fn resource_spans(all: &[ResourceSpans], spelling: Spelling) -> Vec<Value> {
    let of = |each: &ResourceSpans| {
        let resource = each.resource.iter().flat_map(|resource| &resource.attributes);
        let scopes: Vec<Value> = each.scope_spans.iter().map(|scope| scope_spans(scope, spelling)).collect();
        json!({"resource": {"attributes": attributes(resource)}, "scopeSpans": scopes})
    };
    all.iter().map(of).collect()
}

fn scope_spans(scope: &ScopeSpans, spelling: Spelling) -> Value {
    let spans: Vec<Value> = scope.spans.iter().map(|each| span(each, spelling)).collect();
    let scope = scope.scope.clone().unwrap_or_default();
    json!({"scope": {"name": scope.name, "version": scope.version}, "spans": spans})
}

fn span(span: &Span, spelling: Spelling) -> Value {
    let id = |bytes: &[u8]| spelling.id(bytes);
    let event = |event: &Event| {
        json!({"timeUnixNano": event.time_unix_nano.to_string(), "name": event.name,
            "attributes": attributes(&event.attributes)})
    };
    let links = span.links.iter();
    let links = links.map(|link| json!({"traceId": id(&link.trace_id), "spanId": id(&link.span_id)}));
    let status = span.status.clone().unwrap_or_default();
    json!({
        "traceId": id(&span.trace_id),
        "spanId": id(&span.span_id),
        "parentSpanId": id(&span.parent_span_id),
        "traceState": span.trace_state,
        "name": span.name,
        "kind": spelling.word(span.kind, span.kind().as_str_name()),
        "startTimeUnixNano": span.start_time_unix_nano.to_string(),
        "endTimeUnixNano": span.end_time_unix_nano.to_string(),
        "attributes": attributes(&span.attributes),
        "events": span.events.iter().map(event).collect::<Vec<_>>(),
        "links": links.collect::<Vec<_>>(),
        "status": {"code": spelling.word(status.code, status.code().as_str_name()), "message": status.message},
    })
}

/// Texts: the store keeps nothing else.
fn attributes<'a>(pairs: impl IntoIterator<Item = &'a KeyValue>) -> Vec<Value> {
    let text = |pair: &KeyValue| match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(AnyValue::StringValue(text)) => text.clone(),
        _ => String::new(),
    };
    pairs.into_iter().map(|pair| json!({"key": pair.key, "value": {"stringValue": text(pair)}})).collect()
}

impl Spelling {
    fn id(self, bytes: &[u8]) -> String {
        match self {
            Self::Otlp => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            Self::Protobuf => STANDARD.encode(bytes),
        }
    }

    fn word(self, number: i32, name: &str) -> Value {
        match self {
            Self::Otlp => number.into(),
            Self::Protobuf => name.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp;
    use crate::spans::made::row;

    #[test]
    fn ids_and_enums_are_written_as_each_side_reads_them() {
        let mut failed = row("00000000000000ff", "Server", 1);
        failed.status = "Error".into();
        let spans = otlp::resource_spans(vec![failed]);
        let of = |spelling| resource_spans(&spans, spelling)[0]["scopeSpans"][0]["spans"][0].clone();
        let (otlp, tempo) = (of(Spelling::Otlp), of(Spelling::Protobuf));
        assert_eq!((&otlp["spanId"], &otlp["parentSpanId"]), (&json!("00000000000000ff"), &json!("")));
        assert_eq!((&otlp["kind"], &otlp["status"]["code"]), (&json!(2), &json!(2)));
        assert_eq!(tempo["spanId"], "AAAAAAAAAP8=");
        assert_eq!(
            (&tempo["kind"], &tempo["status"]["code"]),
            (&json!("SPAN_KIND_SERVER"), &json!("STATUS_CODE_ERROR"))
        );
        assert_eq!(
            (&otlp["startTimeUnixNano"], &otlp["endTimeUnixNano"]),
            (&json!("1000"), &json!("5001999"))
        );
    }
}
