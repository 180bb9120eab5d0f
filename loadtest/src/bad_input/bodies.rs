//! Requests that no correct SDK sends, byte by byte where the protobuf library would refuse to write them.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind};
use prost::Message;
use prost::encoding::encode_varint;

/// Environment of everything in here, so that it can be told from the normal traffic beside it.
pub(super) const ENVIRONMENT: &str = "bad-input";

/// Nanoseconds of one second.
const SECOND: u64 = 1_000_000_000;

/// Makes spans that only differ where a case needs them to.
pub(super) struct Maker {
    now_ns: u64,
    next: u64,
    run: u64,
}

impl Maker {
    /// Spans that end at `now_ns`; `run` keeps the ids of several runs apart.
    pub fn new(now_ns: u64, run: u64) -> Self {
        Self { now_ns, next: 0, run }
    }

    /// A correct SERVER span, alone in its trace.
    pub fn span(&mut self) -> Span {
        self.next += 1;
        let trace_id = (u128::from(self.run) << 64) | u128::from(self.next);
        Span {
            trace_id: trace_id.to_be_bytes().to_vec(),
            span_id: self.next.to_be_bytes().to_vec(),
            name: "bad input".into(),
            kind: SpanKind::Server as i32,
            start_time_unix_nano: self.now_ns - SECOND,
            end_time_unix_nano: self.now_ns,
            ..Span::default()
        }
    }

    /// Two spans that are each other's parent.
    pub fn cycle(&mut self) -> Vec<Span> {
        let (mut one, mut other) = (self.span(), self.span());
        other.trace_id.clone_from(&one.trace_id);
        one.parent_span_id.clone_from(&other.span_id);
        other.parent_span_id.clone_from(&one.span_id);
        vec![one, other]
    }

    /// `count` spans of one trace: a root and its children.
    pub fn huge_trace(&mut self, count: usize) -> Vec<Span> {
        let root = self.span();
        let children = (1..count).map(|_| {
            let mut child = self.span();
            child.trace_id.clone_from(&root.trace_id);
            child.parent_span_id.clone_from(&root.span_id);
            child.kind = SpanKind::Internal as i32;
            child
        });
        let children: Vec<Span> = children.collect();
        std::iter::once(root).chain(children).collect()
    }
}

/// A request of one service.
pub(super) fn request(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest { resource_spans: vec![resource_spans(service, spans)] }
}

/// The spans of one service.
pub(super) fn resource_spans(service: &str, spans: Vec<Span>) -> ResourceSpans {
    let attributes = vec![text("service.name", service), text("deployment.environment.name", ENVIRONMENT)];
    ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.into())) };
    KeyValue { key: key.into(), value: Some(value), ..KeyValue::default() }
}

/// Field `number` with these bytes as its value.
fn field(number: u64, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + 12);
    encode_varint(number << 3 | 2, &mut bytes);
    encode_varint(value.len() as u64, &mut bytes);
    bytes.extend_from_slice(value);
    bytes
}

/// `span` with one more attribute, given as the bytes of its key and of its `AnyValue`.
fn with_attribute(span: &Span, key: &[u8], value: &[u8]) -> Vec<u8> {
    let attribute = [field(1, key), field(2, value)].concat();
    of_one_span(&[span.encode_to_vec(), field(9, &attribute)].concat())
}

/// A request of the one span that these bytes are.
fn of_one_span(span: &[u8]) -> Vec<u8> {
    let scope_spans = field(2, span);
    let resource = resource_spans("bad-service", Vec::new()).resource.unwrap_or_default().encode_to_vec();
    field(1, &[field(1, &resource), field(2, &scope_spans)].concat())
}

/// A request whose only span has an array in an array in an array …
pub(super) fn nested(span: &Span, depth: usize) -> Vec<u8> {
    // AnyValue { array_value = 5 { values = 1 { … } } }
    let value = (0..depth).fold(field(1, b"deep"), |inner, _| field(5, &field(1, &inner)));
    with_attribute(span, b"nested", &value)
}

/// The same in JSON.
pub(super) fn nested_json(depth: usize) -> String {
    let open = r#"{"arrayValue":{"values":["#.repeat(depth);
    let close = "]}}".repeat(depth);
    let value = format!(r#"{open}{{"stringValue":"deep"}}{close}"#);
    format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"0123456789abcdef0123456789abcdef","spanId":"0123456789abcdef","name":"deep","attributes":[{{"key":"nested","value":{value}}}]}}]}}]}}]}}"#
    )
}

/// A request whose only span has a name that is no UTF-8.
pub(super) fn invalid_utf8(span: &Span) -> Vec<u8> {
    of_one_span(&[span.encode_to_vec(), field(5, &[0xff, 0xfe, 0x80])].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_written_bytes_are_protobuf() {
        let mut maker = Maker::new(10 * SECOND, 1);
        let request = ExportTraceServiceRequest::decode(&nested(&maker.span(), 5)[..]).unwrap();
        let span = &request.resource_spans[0].scope_spans[0].spans[0];
        let mut depth = 0;
        let mut value = span.attributes[0].value.as_ref();
        while let Some(any_value::Value::ArrayValue(array)) = value.and_then(|value| value.value.as_ref()) {
            value = array.values.first();
            depth += 1;
        }
        assert_eq!(depth, 5);
        assert!(ExportTraceServiceRequest::decode(&invalid_utf8(&maker.span())[..]).is_err());
    }

    #[test]
    fn nested_json_is_json() {
        let json: serde_json::Value = serde_json::from_str(&nested_json(3)).unwrap();
        let attribute = &json["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"][0]["value"];
        assert!(attribute["arrayValue"]["values"][0]["arrayValue"].is_object());
    }

    #[test]
    fn a_cycle_has_no_beginning() {
        let spans = Maker::new(10 * SECOND, 1).cycle();
        assert_eq!(spans[0].parent_span_id, spans[1].span_id);
        assert_eq!(spans[1].parent_span_id, spans[0].span_id);
        assert_eq!(spans[0].trace_id, spans[1].trace_id);
    }
}
