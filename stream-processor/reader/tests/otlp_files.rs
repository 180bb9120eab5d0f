//! OTLP as other implementations write it: 156 protobuf encodings, small good and bad files, and the accept and
//! reject facts of the collector and the specification (Apache-2.0 and MIT).
#![allow(clippy::unwrap_used)] // a test stops where it is wrong

mod support;

use std::path::Path;

use base64::Engine;
use reader::{FileError, FileReport, Semconv, Undecodable, decode_otlp, decode_otlp_json, read_otlp};
use serde_json::Value as Json;
use support::{data, json};

fn spans_in(bytes: &[u8]) -> (u64, u64) {
    let read = read_otlp(&Semconv::embedded(), bytes, &mut |_| {}).unwrap();
    (read.spans, read.rejected.values().sum())
}

#[test]
fn wire_samples_decode_to_their_span_counts() {
    let Some(path) = data("otlp/wire_samples.ndjson") else { return };
    let base64 =
        |text: &Json| base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap();
    let mut encodings = 0;
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let sample: Json = serde_json::from_str(line).unwrap();
        let messages: Vec<Vec<u8>> = match &sample["otlp_pb_base64"] {
            Json::Array(messages) => messages.iter().map(base64).collect(),
            message => vec![base64(message)],
        };
        for message in &messages {
            let data = decode_otlp(message).unwrap();
            let spans =
                data.resource_spans.iter().flat_map(|part| &part.scope_spans).map(|part| part.spans.len());
            let spans = spans.sum::<usize>() as u64;
            let (read, rejected) = spans_in(message);
            assert_eq!(read + rejected, spans, "{sample}");
            if let Some(expected) = sample["spans"].as_u64() {
                assert_eq!(spans, expected, "{sample}");
            }
        }
        encodings += 1;
    }
    assert_eq!(encodings, 156);
}

fn read(file: &str) -> (Result<FileReport, FileError>, u64) {
    let path = data("otlp").unwrap().join(file);
    let mut spans = 0;
    let semconv = Semconv::embedded();
    let report = reader::read_file(Path::new(&path), &mut |document| {
        let read = reader::spans_of(&semconv, &document, &mut |_| {});
        spans += read.spans + read.rejected.values().sum::<u64>();
    });
    (report, spans)
}

#[test]
fn good_files_are_read_whole() {
    if data("otlp").is_none() {
        return;
    }
    let files = [
        ("proto_example_trace.json", 1),
        ("duckdb-otlp/empty.jsonl", 0),
        ("duckdb-otlp/whitespace.jsonl", 0),
        ("duckdb-otlp/multifile_valid_traces.jsonl", 1),
        ("duckdb-otlp/single_trace.jsonl", 1),
        ("duckdb-otlp/traces_deep_nesting.jsonl", 1),
        ("duckdb-otlp/traces_large_attrs.jsonl", 1),
        ("duckdb-otlp/traces_nulls.jsonl", 3),
        ("duckdb-otlp/traces_simple.jsonl", 3),
        ("duckdb-otlp/otlp_traces.pb", 1),
        ("duckdb-otlp/traces-initial.otlp", 1),
    ];
    for (file, expected) in files {
        let (report, spans) = read(file);
        assert_eq!((report.unwrap().bad_lines, spans), (0, expected), "{file}");
    }
}

#[test]
fn bad_files_are_refused_in_a_sentence() {
    if data("otlp").is_none() {
        return;
    }
    for (file, says) in [
        ("duckdb-otlp/malformed.jsonl", "line 1: a JSON object of no known trace format"),
        ("duckdb-otlp/multifile_malformed_traces.jsonl", "the message is cut off"),
    ] {
        let (report, spans) = read(file);
        let sentence = report.unwrap_err().to_string();
        assert!(sentence.contains(file) && sentence.ends_with(says), "{sentence}");
        assert_eq!(spans, 0);
    }
}

/// `conformance_facts.json`: those about encodings. Those about HTTP statuses are the ingest's.
#[test]
fn conformance_facts() {
    let Some(path) = data("otlp/conformance_facts.json") else { return };
    assert_eq!(json(&path).as_array().unwrap().len(), 16);
    let span = |field: &str| format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{field}}}]}}]}}]}}"#);
    let ids = |trace: &str, span_id: &str| span(&format!(r#""traceId":"{trace}","spanId":"{span_id}""#));
    let lower =
        decode_otlp_json(ids("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174").as_bytes()).unwrap();
    let upper =
        decode_otlp_json(ids("5B8EFFF798038103D269B633813FC60C", "EEE19B7EC3C1B174").as_bytes()).unwrap();
    assert_eq!(lower, upper);
    let numbers = decode_otlp_json(span(r#""kind":2,"status":{"code":2}"#).as_bytes()).unwrap();
    let decoded = &numbers.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!((decoded.kind, decoded.status.as_ref().unwrap().code), (2, 2));
    for (document, resources) in [
        (r#"{"resourceSpans":[],"unexpected":"value"}"#, 0),
        (r#"{"resourceSpans":[{"resource":{},"unexpected":"value"}]}"#, 1),
        (r#"{"resourceSpans":[{"resource":{}}]}"#, 1),
        (
            r#"{"resourceSpans":[{"resource":{},"scopeSpans":[{"scope":{},"spans":[{"name":"test_span","status":{}}]}]}]}"#,
            1,
        ),
    ] {
        assert_eq!(
            decode_otlp_json(document.as_bytes()).unwrap().resource_spans.len(),
            resources,
            "{document}"
        );
    }
    assert!(decode_otlp_json(ids("", "").as_bytes()).is_ok());
    let not_hex = "nothexnothexnothexnothexnothexno";
    assert!(matches!(decode_otlp_json(ids(not_hex, "").as_bytes()), Err(Undecodable::BadField { .. })));
    for id in ["1", "123", "nothex"] {
        assert_eq!(decode_otlp_json(ids("", id).as_bytes()), Err(Undecodable::BadIdLength), "{id}");
    }
    assert!(matches!(decode_otlp_json(b"1234"), Err(Undecodable::BadField { .. })));
    // TracesData { ResourceSpans { ScopeSpans { Span { span_id } } } }
    let with_id = |id: &[u8]| {
        let wrap = |tag: u8, inner: Vec<u8>| [vec![tag, inner.len() as u8], inner].concat();
        wrap(0x0a, wrap(0x12, wrap(0x12, wrap(0x12, id.to_vec()))))
    };
    assert!(decode_otlp(&with_id(&[1, 2, 3, 4, 5, 6, 7, 8])).is_ok());
    assert!(decode_otlp(&with_id(&[])).is_ok());
    assert_eq!(decode_otlp(&with_id(&[0x12, 0x23, 0xad])), Err(Undecodable::BadIdLength));
}
