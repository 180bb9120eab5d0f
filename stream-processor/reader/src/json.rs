//! OTLP/JSON: hexadecimal ids of any case, 64-bit numbers as text or numbers, unknown fields ignored.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use opentelemetry_proto::tonic::common::v1::any_value::Value as ProtoValue;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::Undecodable;
use crate::text::hex;
use crate::MAX_NESTING;

/// Brackets in brackets that a document may have: a value at [`MAX_NESTING`] takes four a level, its envelopes a
/// dozen. The limit is checked before parsing, because the parser recurses.
const MAX_BRACKETS: u32 = 4 * MAX_NESTING + 32;

/// Decodes an OTLP/JSON document.
///
/// # Errors
/// If the bytes are no JSON object, or a field is not of OTLP's type.
pub fn decode_otlp_json(bytes: &[u8]) -> Result<TracesData, Undecodable> {
    traces_data(&parse(bytes)?)
}

/// Parses JSON of bounded depth.
pub(crate) fn parse(bytes: &[u8]) -> Result<Json, Undecodable> {
    let text = std::str::from_utf8(bytes).map_err(|_| Undecodable::InvalidUtf8)?;
    check_brackets(bytes)?;
    let mut parser = serde_json::Deserializer::from_str(text);
    parser.disable_recursion_limit();
    let json = Json::deserialize(&mut parser).and_then(|json| parser.end().map(|()| json));
    json.map_err(|error| match error.classify() {
        serde_json::error::Category::Eof => Undecodable::Truncated,
        _ => Undecodable::NotJson(error.to_string()),
    })
}

fn check_brackets(bytes: &[u8]) -> Result<(), Undecodable> {
    let (mut depth, mut in_text, mut escaped) = (0_u32, false, false);
    for byte in bytes {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_text = !in_text,
            (false, b'{' | b'[') => {
                depth += 1;
                if depth > MAX_BRACKETS {
                    return Err(Undecodable::Nesting);
                }
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// An OTLP request or `TracesData`, already parsed.
pub(crate) fn traces_data(json: &Json) -> Result<TracesData, Undecodable> {
    if !json.is_object() {
        return Err(bad("the document", "an object"));
    }
    Ok(TracesData { resource_spans: list(json, "resourceSpans", "resource_spans", resource_spans)? })
}

fn resource_spans(json: &Json) -> Result<ResourceSpans, Undecodable> {
    Ok(ResourceSpans {
        resource: get(json, "resource", "resource").map(resource).transpose()?,
        scope_spans: list(json, "scopeSpans", "scope_spans", scope_spans)?,
        schema_url: text(json, "schemaUrl", "schema_url")?,
    })
}

fn resource(json: &Json) -> Result<Resource, Undecodable> {
    Ok(Resource {
        attributes: attributes(json)?,
        dropped_attributes_count: number(json, "droppedAttributesCount", "dropped_attributes_count")?,
        ..Resource::default()
    })
}

fn scope_spans(json: &Json) -> Result<ScopeSpans, Undecodable> {
    let scope = |json: &Json| -> Result<InstrumentationScope, Undecodable> {
        Ok(InstrumentationScope {
            name: text(json, "name", "name")?,
            version: text(json, "version", "version")?,
            attributes: attributes(json)?,
            dropped_attributes_count: number(json, "droppedAttributesCount", "dropped_attributes_count")?,
        })
    };
    Ok(ScopeSpans {
        scope: get(json, "scope", "scope").map(scope).transpose()?,
        spans: list(json, "spans", "spans", span)?,
        schema_url: text(json, "schemaUrl", "schema_url")?,
    })
}

fn span(json: &Json) -> Result<Span, Undecodable> {
    Ok(Span {
        trace_id: id(json, "traceId", "trace_id", 16)?,
        span_id: id(json, "spanId", "span_id", 8)?,
        trace_state: text(json, "traceState", "trace_state")?,
        parent_span_id: id(json, "parentSpanId", "parent_span_id", 8)?,
        flags: number(json, "flags", "flags")?,
        name: text(json, "name", "name")?,
        kind: choice(json, "kind", &KINDS)?,
        start_time_unix_nano: number(json, "startTimeUnixNano", "start_time_unix_nano")?,
        end_time_unix_nano: number(json, "endTimeUnixNano", "end_time_unix_nano")?,
        attributes: attributes(json)?,
        dropped_attributes_count: number(json, "droppedAttributesCount", "dropped_attributes_count")?,
        events: list(json, "events", "events", event)?,
        dropped_events_count: number(json, "droppedEventsCount", "dropped_events_count")?,
        links: list(json, "links", "links", link)?,
        dropped_links_count: number(json, "droppedLinksCount", "dropped_links_count")?,
        status: get(json, "status", "status").map(status).transpose()?,
    })
}

fn event(json: &Json) -> Result<Event, Undecodable> {
    Ok(Event {
        time_unix_nano: number(json, "timeUnixNano", "time_unix_nano")?,
        name: text(json, "name", "name")?,
        attributes: attributes(json)?,
        dropped_attributes_count: number(json, "droppedAttributesCount", "dropped_attributes_count")?,
    })
}

fn link(json: &Json) -> Result<Link, Undecodable> {
    Ok(Link {
        trace_id: id(json, "traceId", "trace_id", 16)?,
        span_id: id(json, "spanId", "span_id", 8)?,
        trace_state: text(json, "traceState", "trace_state")?,
        attributes: attributes(json)?,
        dropped_attributes_count: number(json, "droppedAttributesCount", "dropped_attributes_count")?,
        flags: number(json, "flags", "flags")?,
    })
}

fn status(json: &Json) -> Result<Status, Undecodable> {
    Ok(Status { message: text(json, "message", "message")?, code: choice(json, "code", &STATUS_CODES)? })
}

const KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
const STATUS_CODES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

fn attributes(json: &Json) -> Result<Vec<KeyValue>, Undecodable> {
    list(json, "attributes", "attributes", |pair| key_value(pair, 1))
}

fn key_value(json: &Json, depth: u32) -> Result<KeyValue, Undecodable> {
    let value = get(json, "value", "value").map(|value| any_value(value, depth)).transpose()?;
    Ok(KeyValue { key: text(json, "key", "key")?, value, ..KeyValue::default() })
}

fn any_value(json: &Json, depth: u32) -> Result<AnyValue, Undecodable> {
    if depth > MAX_NESTING {
        return Err(Undecodable::Nesting);
    }
    let typed = |camel, snake| get(json, camel, snake);
    let value = if let Some(text) = typed("stringValue", "string_value") {
        ProtoValue::StringValue(text.as_str().ok_or(bad("stringValue", "text"))?.to_owned())
    } else if let Some(truth) = typed("boolValue", "bool_value") {
        ProtoValue::BoolValue(truth.as_bool().ok_or(bad("boolValue", "true or false"))?)
    } else if let Some(number) = typed("intValue", "int_value") {
        let number = integer(number).and_then(|number| i64::try_from(number).ok());
        ProtoValue::IntValue(number.ok_or(bad("intValue", "a 64-bit integer"))?)
    } else if let Some(number) = typed("doubleValue", "double_value") {
        ProtoValue::DoubleValue(double(number).ok_or(bad("doubleValue", "a number"))?)
    } else if let Some(array) = typed("arrayValue", "array_value") {
        let values = list(array, "values", "values", |item| any_value(item, depth + 1))?;
        ProtoValue::ArrayValue(ArrayValue { values })
    } else if let Some(map) = typed("kvlistValue", "kvlist_value") {
        let values = list(map, "values", "values", |pair| key_value(pair, depth + 1))?;
        ProtoValue::KvlistValue(KeyValueList { values })
    } else if let Some(bytes) = typed("bytesValue", "bytes_value") {
        let decoded = bytes.as_str().and_then(|text| BASE64.decode(text).ok());
        ProtoValue::BytesValue(decoded.ok_or(bad("bytesValue", "base64"))?)
    } else {
        return Ok(AnyValue { value: None });
    };
    Ok(AnyValue { value: Some(value) })
}

// --- fields -----------------------------------------------------------------------------------------------------

fn bad(field: &'static str, expected: &'static str) -> Undecodable {
    Undecodable::BadField { field, expected }
}

/// A field under its JSON name or its protobuf name; `null` is absent.
fn get<'j>(json: &'j Json, camel: &str, snake: &str) -> Option<&'j Json> {
    let object = json.as_object()?;
    object.get(camel).or_else(|| object.get(snake)).filter(|value| !value.is_null())
}

fn list<T>(
    json: &Json,
    camel: &'static str,
    snake: &str,
    each: impl Fn(&Json) -> Result<T, Undecodable>,
) -> Result<Vec<T>, Undecodable> {
    match get(json, camel, snake) {
        None => Ok(Vec::new()),
        Some(Json::Array(items)) => items
            .iter()
            .map(|item| if item.is_object() { each(item) } else { Err(bad(camel, "a list of objects")) })
            .collect(),
        Some(_) => Err(bad(camel, "a list")),
    }
}

fn text(json: &Json, camel: &'static str, snake: &str) -> Result<String, Undecodable> {
    match get(json, camel, snake) {
        None => Ok(String::new()),
        Some(Json::String(text)) => Ok(text.clone()),
        Some(_) => Err(bad(camel, "text")),
    }
}

fn number<T: TryFrom<i128> + Default>(
    json: &Json,
    camel: &'static str,
    snake: &str,
) -> Result<T, Undecodable> {
    match get(json, camel, snake) {
        None => Ok(T::default()),
        Some(value) => integer(value)
            .and_then(|number| T::try_from(number).ok())
            .ok_or(bad(camel, "a whole number in range")),
    }
}

fn choice(json: &Json, field: &'static str, names: &[&str]) -> Result<i32, Undecodable> {
    if let Some(Json::String(name)) = get(json, field, field)
        && let Some(position) = names.iter().position(|known| known == name)
    {
        // Senders must use numbers; those who don't are understood all the same.
        return Ok(i32::try_from(position).unwrap_or_default());
    }
    number(json, field, field)
}

/// A whole number, written as number or text.
pub(crate) fn integer(json: &Json) -> Option<i128> {
    match json {
        Json::Number(number) => number.as_i128().or_else(|| {
            let float = number.as_f64()?;
            (float.fract() == 0.0 && float.abs() < 1e18).then_some(float as i128)
        }),
        Json::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn double(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn id(json: &Json, camel: &'static str, snake: &str, length: usize) -> Result<Vec<u8>, Undecodable> {
    let text = match get(json, camel, snake) {
        None => return Ok(Vec::new()),
        Some(Json::String(text)) => text.as_bytes(),
        Some(_) => return Err(bad(camel, "hexadecimal text")),
    };
    if !text.is_empty() && text.len() != 2 * length {
        return Err(Undecodable::BadIdLength);
    }
    let digit = |pair: &[u8]| Some(hex(pair[0])? << 4 | hex(pair[1])?);
    text.chunks_exact(2).map(|pair| digit(pair).ok_or(bad(camel, "hexadecimal text"))).collect()
}
