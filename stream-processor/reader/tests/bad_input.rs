//! Bytes that are wrong in every way: refused or counted by name, never a panic, nothing else disturbed.
#![allow(clippy::unwrap_used)] // a test stops where it is wrong

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use prost::Message;
use reader::{
    MAX_NESTING, MAX_TEXT_BYTES, Read, Semconv, Undecodable, decode_otlp, decode_otlp_json,
    decode_otlp_repaired, read_from, read_otlp,
};

fn span(id: u8) -> Span {
    Span { trace_id: vec![1; 16], span_id: vec![id; 8], name: "op".to_owned(), ..Span::default() }
}

fn message(spans: Vec<Span>) -> TracesData {
    let resource = Resource {
        attributes: vec![pair("service.name", Value::StringValue("s".to_owned()))],
        ..Resource::default()
    };
    TracesData {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn read(bytes: &[u8]) -> Result<Read, Undecodable> {
    read_otlp(&Semconv::embedded(), bytes, &mut |_| {})
}

/// A value at this depth, maps and lists in turn.
fn nested(depth: u32) -> Value {
    let mut value = Value::StringValue("deep".to_owned());
    for level in 1..depth {
        value = if level % 2 == 0 {
            Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(value) }] })
        } else {
            Value::KvlistValue(KeyValueList { values: vec![pair("k", value)] })
        };
    }
    value
}

fn nested_message(depth: u32) -> TracesData {
    let mut deep = span(1);
    deep.attributes = vec![pair("deep", nested(depth))];
    message(vec![deep, span(2)])
}

#[test]
fn bad_ids_cost_their_span_alone() {
    let mut spans: Vec<Span> = (1..=5).map(span).collect();
    spans[0].trace_id = vec![0; 16];
    spans[1].span_id.clear();
    spans[2].span_id = vec![1, 2, 3];
    spans[3].parent_span_id = vec![9; 16];
    let read = read(&message(spans).encode_to_vec()).unwrap();
    assert_eq!(read.spans, 1);
    let counted: Vec<_> = read.rejected.into_iter().collect();
    assert_eq!(counted, [("bad_id_length", 2), ("zero_span_id", 1), ("zero_trace_id", 1)]);
}

#[test]
fn every_cut_is_refused_before_the_first_span() {
    let bytes = message((1..=3).map(span).collect()).encode_to_vec();
    for length in 1..bytes.len() {
        let mut given = 0;
        let read = read_otlp(&Semconv::embedded(), &bytes[..length], &mut |_| given += 1);
        assert_eq!(
            (read.map_err(|error| error.reason()).err(), given),
            (Some("truncated"), 0),
            "cut at {length}"
        );
        assert_eq!(decode_otlp(&bytes[..length]), Err(Undecodable::Truncated));
    }
}

#[test]
fn no_byte_can_make_it_panic() {
    let bytes = nested_message(5).encode_to_vec();
    for at in 0..bytes.len() {
        for change in [0x00, 0x01, 0x7f, 0x80, 0xff, bytes[at] ^ 0x08] {
            let mut changed = bytes.clone();
            changed[at] = change;
            let _ = read(&changed);
            let _ = decode_otlp(&changed);
            let _ = decode_otlp_repaired(&changed);
            let _ = read_from("changed", changed.as_slice(), &mut |_| {});
        }
    }
}

#[test]
fn nesting_ends_at_the_limit_in_protobuf() {
    let good = nested_message(MAX_NESTING).encode_to_vec();
    assert_eq!(read(&good).unwrap().spans, 2);
    assert!(decode_otlp(&good).is_ok());
    let deep = nested_message(MAX_NESTING + 1).encode_to_vec();
    let counted = read(&deep).unwrap();
    assert_eq!((counted.spans, counted.rejected["nesting"]), (1, 1));
    assert_eq!(decode_otlp(&deep), Err(Undecodable::Nesting));
    // Deeper than any stack: 10,000 lists, made by hand because an encoder would recurse too.
    let mut value = Vec::new();
    let framed = |tag: u8, inner: &[u8]| {
        let mut out = vec![tag];
        prost::encode_length_delimiter(inner.len(), &mut out).unwrap();
        out.extend_from_slice(inner);
        out
    };
    for _ in 0..10_000 {
        value = framed(0x2a, &framed(0x0a, &value));
    }
    let attribute = [framed(0x0a, b"deep"), framed(0x12, &value)].concat();
    let ids = [framed(0x0a, &[1; 16]), framed(0x12, &[1; 8])].concat();
    let deepest = framed(0x0a, &framed(0x12, &framed(0x12, &[ids, framed(0x4a, &attribute)].concat())));
    assert_eq!(read(&deepest).unwrap().rejected["nesting"], 1);
    assert_eq!(decode_otlp(&deepest), Err(Undecodable::Nesting));
}

#[test]
fn nesting_ends_at_the_limit_in_json() {
    let nested = |depth: u32, open: &str, close: &str| {
        let levels = depth as usize - 1;
        let value = format!(r#"{}{{"stringValue":"deep"}}{}"#, open.repeat(levels), close.repeat(levels));
        format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"attributes":[{{"key":"k","value":{value}}}]}}]}}]}}]}}"#
        )
    };
    for (open, close) in [
        (r#"{"arrayValue":{"values":["#, "]}}"),
        (r#"{"kvlistValue":{"values":[{"key":"k","value":"#, "}]}}"),
    ] {
        assert!(decode_otlp_json(nested(MAX_NESTING, open, close).as_bytes()).is_ok());
        assert_eq!(
            decode_otlp_json(nested(MAX_NESTING + 1, open, close).as_bytes()),
            Err(Undecodable::Nesting)
        );
        assert_eq!(decode_otlp_json(nested(10_000, open, close).as_bytes()), Err(Undecodable::Nesting));
    }
    assert_eq!(decode_otlp_json("[".repeat(10_000).as_bytes()), Err(Undecodable::Nesting));
}

#[test]
fn a_text_that_is_no_utf8_is_cut_there_and_counted() {
    let mut bytes = message(vec![span(1)]).encode_to_vec();
    let at = bytes.windows(2).position(|pair| pair == b"op").unwrap();
    bytes[at + 1] = 0xff;
    let mut name = String::new();
    let read = read_otlp(&Semconv::embedded(), &bytes, &mut |span| name = span.name.to_owned()).unwrap();
    assert_eq!((name.as_str(), read.spans, read.repaired["invalid_utf8"]), ("o", 1, 1));
    assert_eq!(decode_otlp(&bytes), Err(Undecodable::InvalidUtf8));
    let (data, mended) = decode_otlp_repaired(&bytes).unwrap();
    assert_eq!((data.resource_spans[0].scope_spans[0].spans[0].name.as_str(), mended), ("o?", 1));
}

#[test]
fn long_names_are_cut() {
    let mut long = span(1);
    long.name = "ä".repeat(1_000_000);
    long.attributes = vec![pair("weir.operation", Value::StringValue("x".repeat(1_000_000)))];
    read_otlp(&Semconv::embedded(), &message(vec![long]).encode_to_vec(), &mut |span| {
        assert_eq!(span.name.len(), MAX_TEXT_BYTES);
        assert_eq!(span.facts.operation.as_ref().unwrap().1.len(), MAX_TEXT_BYTES);
    })
    .unwrap();
}

#[test]
fn odd_but_legal_messages_are_read() {
    assert_eq!(read(b"").unwrap(), Read::default());
    // The resource after the spans, and twice: protobuf merges them.
    let bytes = message(vec![span(1)]).encode_to_vec();
    let inner = &bytes[2..];
    let spans_at = 2 + usize::from(inner[1]);
    let resource = &inner[..spans_at];
    let swapped = [&inner[spans_at..], resource, resource].concat();
    let swapped = [vec![0x0a, swapped.len() as u8], swapped].concat();
    let mut service = String::new();
    let read =
        read_otlp(&Semconv::embedded(), &swapped, &mut |span| service = span.resource.service.to_owned())
            .unwrap();
    assert_eq!((read.spans, service.as_str()), (1, "s"));
    assert!(decode_otlp(&swapped).is_ok());
}

#[test]
fn json_that_is_wrong_is_named() {
    let reason = |text: &str| decode_otlp_json(text.as_bytes()).unwrap_err().reason();
    assert_eq!(reason("1234"), "bad_field");
    assert_eq!(reason("[]"), "bad_field");
    assert_eq!(reason("{"), "truncated");
    assert_eq!(reason("{]"), "not_json");
    assert_eq!(reason(r#"{"resourceSpans":7}"#), "bad_field");
    assert_eq!(reason(r#"{"resourceSpans":[7]}"#), "bad_field");
    assert_eq!(reason("{} trailing"), "not_json");
    assert_eq!(decode_otlp_json(b"\"\xff\"").unwrap_err().reason(), "invalid_utf8");
}
