//! The reader says of bytes what it says of the message that prost makes of them, and misses nothing that is malformed.
#![allow(clippy::unwrap_used)] // a test stops where it is wrong

#[path = "../../otlp/tests/messages/mod.rs"]
mod messages;

use messages::{Dice, damaged, rewritten, traces_data};
use opentelemetry_proto::tonic::trace::v1::TracesData;
use otlp::{ResourceSpansField, ScopeSpansField, TracesDataField};
use proptest::prelude::*;
use prost::Message;
use reader::{Read, Reader, Semconv, Undecodable, read_otlp, spans_of};
use std::sync::{Arc, LazyLock};
use stitcher::Span;

static SEMCONV: LazyLock<Arc<Semconv>> = LazyLock::new(|| Arc::new(Semconv::embedded()));

/// What a reader gave, as far as it doesn't depend on how the bytes were written.
fn given(
    read: impl FnOnce(&mut dyn FnMut(&Span<'_>)) -> Result<Read, Undecodable>,
) -> (Vec<String>, Result<Read, Undecodable>) {
    let mut spans = Vec::new();
    let read = read(&mut |span| {
        let span = Span { content: 0, resource_number: 0, form: 0, ..span.clone() };
        spans.push(format!("{span:?}"));
    });
    (spans, read)
}

/// Whether the reader found something malformed.
fn is_refused(read: &Result<Read, Undecodable>) -> bool {
    let of_ids = ["zero_trace_id", "zero_span_id", "bad_id_length"];
    read.as_ref().map_or(true, |read| read.rejected.keys().any(|reason| !of_ids.contains(reason)))
}

/// A resource without spans is not looked at.
fn has_unread_resource(bytes: &[u8]) -> bool {
    let is_span = |field| matches!(field, Ok(ScopeSpansField::Span(_)));
    let has_spans = |field| match field {
        Ok(ResourceSpansField::ScopeSpans(mut scope)) => scope.any(is_span),
        _ => false,
    };
    let mut resources = otlp::TracesData::of(bytes).flatten();
    resources.any(|TracesDataField::ResourceSpans(mut resource)| !resource.any(has_spans))
}

fn compare(bytes: &[u8]) {
    let (spans, read) = given(|each| read_otlp(&SEMCONV, bytes, each));
    let mut reader = Reader::new(SEMCONV.clone());
    // Met, learnt, recognised.
    for _ in 0..3 {
        assert_eq!(given(|each| reader.read(bytes, each)), (spans.clone(), read.clone()));
    }
    match otlp::TracesData::of(bytes).check() {
        Ok(()) => assert!(!is_refused(&read), "{read:?}"),
        Err(malformed) => assert!(is_refused(&read) || has_unread_resource(bytes), "{malformed:?}: {read:?}"),
    }
    let Ok(data) = TracesData::decode(bytes) else { return };
    if !is_refused(&read) {
        assert_eq!(given(|each| Ok(spans_of(&SEMCONV, &data, each))), (spans, read));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn what_an_encoder_writes_is_read_as_prost_reads_it(data in traces_data()) {
        compare(&data.encode_to_vec());
    }

    #[test]
    fn what_another_encoder_writes_and_what_is_damaged_too(data in traces_data(), seed: u64, rate in 2..60_usize) {
        let mut dice = Dice(seed);
        let mut bytes = rewritten(&data.encode_to_vec(), &mut dice, rate);
        compare(&bytes);
        for _ in 0..3 {
            bytes = damaged(bytes, &mut dice);
            compare(&bytes);
        }
    }
}

#[test]
fn two_halves_of_a_resource_are_no_whole() {
    // A span of a resource whose only attribute begins in one message and ends in the next.
    let span = [
        0x12, 32, 0x12, 30, 0x0a, 16, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0x12, 8, 2, 2, 2, 2, 2,
        2, 2, 2, 0x30, 1,
    ];
    let halves = [0x0a, 4, 0x0a, 5, 0x0a, 1, 0x0a, 3, b'k', 0x12, 0];
    let bytes = [&[0x0a, (span.len() + halves.len()) as u8], &span[..], &halves].concat();
    compare(&bytes);
    assert!(TracesData::decode(bytes.as_slice()).is_err());
    let (spans, read) = given(|each| read_otlp(&SEMCONV, &bytes, each));
    assert_eq!((spans.len(), read.unwrap().rejected["truncated"]), (0, 1));
}
