//! Which format a JSON document is of.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::any_value::Value as ProtoValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use serde_json::{Map, Value as Json};

use super::{jaeger, zipkin};
use crate::json::traces_data;
use crate::text::hex;

/// Spans left out, by reason.
pub(super) type Rejected = BTreeMap<&'static str, u64>;

/// Converts a document, or every document of a list.
pub(super) fn convert(
    json: Json,
    rejected: &mut Rejected,
    outcome: &mut dyn FnMut(Result<TracesData, String>),
) {
    match json {
        // Lists of spans (Zipkin), of traces (Jaeger, Zipkin) or of requests (OTLP): each item says for itself.
        Json::Array(items) if items.first().is_some_and(zipkin::is_span) => {
            outcome(Ok(zipkin::convert(&items, rejected)));
        }
        Json::Array(items) => items.into_iter().for_each(|item| convert(item, rejected, outcome)),
        Json::Object(object) => convert_object(object, rejected, outcome),
        _ => outcome(Err("neither an object nor a list".to_owned())),
    }
}

fn convert_object(
    mut object: Map<String, Json>,
    rejected: &mut Rejected,
    outcome: &mut dyn FnMut(Result<TracesData, String>),
) {
    let has = |key: &str| object.contains_key(key);
    if has("resourceSpans") || has("resource_spans") {
        outcome(traces_data(&Json::Object(object)).map_err(|error| error.to_string()));
    } else if has("spans") && has("processes") {
        outcome(Ok(jaeger::trace(&object, rejected)));
    } else if has("spanID") && has("process") {
        outcome(Ok(jaeger::stored_span(&object, rejected)));
    } else if has("traceId") && has("id") {
        outcome(Ok(zipkin::convert(&[Json::Object(object)], rejected)));
    } else if (has("index") || has("create")) && object.len() == 1 {
        // The action lines of an Elasticsearch bulk file.
    } else if let Some(inner) = ["data", "result", "_source"].iter().find_map(|key| object.remove(*key)) {
        convert(inner, rejected, outcome);
    } else {
        outcome(Err("a JSON object of no known trace format".to_owned()));
    }
}

/// A `TracesData` whose resources are runs of equal emitters, so that the order of spans stays as it was.
pub(super) fn runs_of<Emitter: PartialEq + Clone>(
    spans: impl Iterator<Item = (Emitter, Span)>,
    resource: impl Fn(&Emitter) -> Vec<KeyValue>,
) -> TracesData {
    let mut data = TracesData::default();
    let mut last: Option<Emitter> = None;
    for (emitter, span) in spans {
        if last.as_ref() != Some(&emitter) {
            data.resource_spans.push(ResourceSpans {
                resource: Some(Resource { attributes: resource(&emitter), ..Resource::default() }),
                scope_spans: vec![ScopeSpans::default()],
                ..ResourceSpans::default()
            });
            last = Some(emitter);
        }
        if let Some(scope) = data.resource_spans.last_mut().and_then(|run| run.scope_spans.last_mut()) {
            scope.spans.push(span);
        }
    }
    data
}

/// An attribute.
pub(super) fn attribute(key: &str, value: ProtoValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// An attribute holding text.
pub(super) fn text_attribute(key: &str, text: &str) -> KeyValue {
    attribute(key, ProtoValue::StringValue(text.to_owned()))
}

/// A hexadecimal id of up to `N` bytes; leading zeros may be missing.
pub(super) fn padded_id<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.is_empty() || digits.len() > 2 * N {
        return None;
    }
    let mut id = [0; N];
    for (place, digit) in digits.iter().rev().enumerate() {
        id[N - 1 - place / 2] |= hex(*digit)? << (4 * (place % 2));
    }
    Some(id)
}

/// Text of a field; empty when it is missing.
pub(super) fn text_of<'j>(object: &'j Map<String, Json>, key: &str) -> &'j str {
    object.get(key).and_then(Json::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_padded_on_the_left() {
        assert_eq!(padded_id::<8>("1"), Some([0, 0, 0, 0, 0, 0, 0, 1]));
        assert_eq!(
            padded_id::<8>("1002499809f48d4b"),
            Some([0x10, 0x02, 0x49, 0x98, 0x09, 0xf4, 0x8d, 0x4b])
        );
        assert_eq!(padded_id::<8>("aBc"), Some([0, 0, 0, 0, 0, 0, 0x0a, 0xbc]));
        assert_eq!(padded_id::<8>("12345678901234567"), None);
        assert_eq!(padded_id::<8>("nothex"), None);
        assert_eq!(padded_id::<8>(""), None);
    }
}
