//! Foreign samples and facts: what others wrote down about OTLP holds for what `ingest` takes and refuses.
#![allow(clippy::unwrap_used)]

mod support;

use axum::body::Body;
use http::{Method, Request};
use ingest::answer::Format;
use ingest::prepare::Prepared;
use ingest::refusal::Refusal;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use proptest::prelude::*;
use prost::Message;
use reader::Semconv;
use support::{data, prepare, receiver, wire_samples, without_kafka};
use tower::ServiceExt;

/// Every fragment can be read by the stream processor, whole, and by strict protobuf readers.
fn assert_readable(prepared: &Prepared, name: &str) {
    let semconv = Semconv::embedded();
    for fragment in &prepared.fragments {
        let read = reader::read_otlp(&semconv, &fragment.bytes, &mut |_| {}).unwrap();
        assert_eq!((read.spans, read.rejected.len()), (fragment.spans, 0), "{name}: {read:?}");
        reader::decode_otlp(&fragment.bytes).unwrap();
        TracesData::decode(&fragment.bytes[..]).unwrap();
    }
}

#[test]
fn every_wire_sample_is_taken_whole_and_can_be_read_again() {
    let Some(data) = data() else { return };
    let samples = wire_samples(&data);
    assert_eq!(samples.len(), 156);
    for sample in samples {
        let mut spans = 0;
        for request in sample.requests {
            let prepared = prepare(request, Format::Protobuf).unwrap();
            assert_readable(&prepared, &sample.name);
            spans += prepared.accepted() + prepared.rejected.total();
        }
        assert!(spans > 0, "{}", sample.name);
        assert_eq!(spans, sample.spans.unwrap_or(spans), "{}", sample.name);
    }
}

/// Spans accepted and rejected, or the refusal.
fn counts(result: Result<Prepared, Refusal>) -> Result<(u64, u64), Refusal> {
    result.map(|prepared| {
        assert_readable(&prepared, "a file");
        (prepared.accepted(), prepared.rejected.total())
    })
}

#[test]
fn files_of_others_are_taken_or_refused_line_by_line() {
    let Some(data) = data() else { return };
    let folder = data.join("otlp/duckdb-otlp");
    let lines = |file: &str| -> Vec<Option<(u64, u64)>> {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        text.lines().map(|line| counts(prepare(line, Format::Json)).ok()).collect()
    };
    assert_eq!(lines("traces_nulls.jsonl"), [Some((1, 0)), Some((1, 0)), Some((1, 0))]);
    assert_eq!(lines("single_trace.jsonl"), [Some((1, 0))]);
    assert_eq!(lines("multifile_valid_traces.jsonl"), [Some((1, 0))]);
    // Unknown fields only; no JSON; ids that are no ids; half a document.
    assert_eq!(lines("malformed.jsonl"), [Some((0, 0)), None, None, None]);
    assert_eq!(lines("multifile_malformed_traces.jsonl"), [None]);
    for file in ["traces_simple.jsonl", "traces_deep_nesting.jsonl", "traces_large_attrs.jsonl"] {
        let taken = lines(file);
        assert!(
            !taken.is_empty() && taken.iter().all(|line| matches!(line, Some((1.., 0)))),
            "{file}: {taken:?}"
        );
    }
    for (file, spans) in [("otlp_traces.pb", 1), ("traces-initial.otlp", 1)] {
        let bytes = std::fs::read(folder.join(file)).unwrap();
        assert_eq!(counts(prepare(bytes, Format::Protobuf)), Ok((spans, 0)), "{file}");
    }
}

fn request_of(span: Span) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    TracesData { resource_spans }.encode_to_vec()
}

fn json_of(trace_id: &str, span_id: &str, more: &str) -> String {
    format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{trace_id}","spanId":"{span_id}"{more}}}]}}]}}]}}"#
    )
}

async fn status(method: Method, content_type: Option<&str>, body: &str) -> u16 {
    let (receiver, _) = receiver(&without_kafka());
    let mut request = Request::builder().method(method).uri("/v1/traces");
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    ingest::http::app(receiver, &[]).oneshot(request).await.unwrap().status().as_u16()
}

/// Tries one fact of `conformance_facts.json`; false if it is not known here.
async fn holds(input: &str) -> bool {
    const TRACE: &str = "5B8EFFF798038103D269B633813FC60C";
    const SPAN: &str = "eee19b7ec3c1b174";
    let json = |text: &str| counts(prepare(text, Format::Json));
    let span_id = |length| {
        let span_id = vec![0x12; length];
        counts(prepare(
            request_of(Span { trace_id: vec![1; 16], span_id, ..Span::default() }),
            Format::Protobuf,
        ))
    };
    let taken = Ok((1, 0));
    match input {
        "traceId/spanId as case-insensitive HEX strings (not base64)" => {
            let (upper, lower) =
                (json_of(TRACE, SPAN, ""), json_of(&TRACE.to_lowercase(), &SPAN.to_uppercase(), ""));
            let bytes = |text: String| prepare(text, Format::Json).unwrap().fragments;
            assert_eq!(bytes(upper), bytes(lower));
        }
        "enum fields (span.kind, status.code) as integers" => {
            assert_eq!(json(&json_of(TRACE, SPAN, r#","kind":2,"status":{"code":2}"#)), taken);
        }
        "protobuf span_id of 8 bytes" => assert_eq!(span_id(8), taken),
        // Decoded, and then found to be no span.
        "protobuf span_id of 0 bytes" => assert_eq!(span_id(0), Ok((0, 1))),
        "protobuf span_id of 3 bytes (12 23 AD)" => assert!(span_id(3).is_err()),
        "JSON id \"\"" => assert_eq!(json(&json_of("", "", "")), Ok((0, 1))),
        "JSON id \"nothex\"" => assert!(json(&json_of(TRACE, "nothex", "")).is_err()),
        "JSON id \"1\" (odd/short)" => assert!(json(&json_of(TRACE, "1", "")).is_err()),
        "JSON id \"123\"" => assert!(json(&json_of("123", SPAN, "")).is_err()),
        "POST /v1/traces, no content type" => assert_eq!(status(Method::POST, None, "").await, 415),
        "POST /v1/traces body 1234 with application/json" => {
            assert_eq!(status(Method::POST, Some("application/json"), "1234").await, 400);
        }
        "GET or PATCH /v1/traces" => {
            assert_eq!(status(Method::GET, None, "").await, 405);
            assert_eq!(status(Method::PATCH, Some("application/json"), "{}").await, 405);
        }
        document if document.starts_with('{') => {
            // Unknown fields and empty messages are accepted; a span without ids is decoded and left out.
            let rejected = u64::from(document.contains("test_span"));
            assert_eq!(json(document), Ok((0, rejected)), "{document}");
            assert_eq!(status(Method::POST, Some("application/json"), document).await, 200);
        }
        _ => return false,
    }
    true
}

#[tokio::test]
async fn the_conformance_facts_hold() {
    let Some(data) = data() else { return };
    let text = std::fs::read_to_string(data.join("otlp/conformance_facts.json")).unwrap();
    let facts: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(facts.len(), 16);
    for fact in facts {
        let input = fact["input"].as_str().unwrap();
        assert!(holds(input).await, "a fact without a test: {fact}");
    }
}

proptest! {
    /// Spans of many senders share a message: whatever is taken, the readers of that message must take too.
    #[test]
    fn damaged_requests_are_refused_or_readable(
        sample in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let mut request = samples()[sample.index(samples().len())].clone();
        for (at, byte) in damage {
            let at = at.index(request.len());
            request[at] = byte;
        }
        if let Some(cut) = cut {
            request.truncate(cut.index(request.len()));
        }
        if let Ok(prepared) = prepare(request, Format::Protobuf) {
            assert_readable(&prepared, "a damaged request");
        }
    }
}

/// The small wire samples, and a request of our own where they are missing.
fn samples() -> &'static [Vec<u8>] {
    static SAMPLES: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
    SAMPLES.get_or_init(|| {
        let own = request_of(Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            name: "own".into(),
            ..Span::default()
        });
        let samples = data().map_or_else(Vec::new, |data| wire_samples(&data));
        let foreign = samples.into_iter().flat_map(|sample| sample.requests);
        foreign.filter(|request| request.len() < 4096).chain([own]).collect()
    })
}

/// The stream processor reads trace files with a decoder of its own; both must make the same of a document.
#[test]
fn json_is_understood_as_the_stream_processor_understands_it() {
    let Some(data) = data() else { return };
    let read = |file: &str| std::fs::read_to_string(data.join(file)).unwrap();
    let mut documents: Vec<String> = vec![read("otlp/proto_example_trace.json")];
    for file in ["traces_simple", "traces_nulls", "traces_deep_nesting", "traces_large_attrs", "malformed"] {
        documents.extend(read(&format!("otlp/duckdb-otlp/{file}.jsonl")).lines().map(str::to_owned));
    }
    for line in read("edge_cases.ndjson").lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        documents.extend(case["otlp"].as_array().unwrap().iter().map(ToString::to_string));
    }
    assert!(documents.len() > 60);
    for document in documents {
        let ours = ingest::json::to_protobuf(document.as_bytes()).ok();
        let ours = ours.map(|protobuf| TracesData::decode(&protobuf[..]).unwrap());
        assert_eq!(ours, reader::decode_otlp_json(document.as_bytes()).ok(), "{document}");
    }
}
