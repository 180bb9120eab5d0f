//! The same answers as prost on everything it reads, a refusal of everything it refuses.
#![allow(clippy::unwrap_used)] // a test stops where it is wrong

mod messages;
mod oracle;

use messages::{Dice, damaged, rewritten, traces_data};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use oracle::agree;
use otlp::{MAX_NESTING, Why};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn what_an_encoder_writes_is_read(data in traces_data()) {
        prop_assert!(agree(&data.encode_to_vec()).is_ok());
    }

    #[test]
    fn what_another_encoder_writes_is_read_alike(data in traces_data(), seed: u64, rate in 2..40_usize) {
        let _ = agree(&rewritten(&data.encode_to_vec(), &mut Dice(seed), rate));
    }

    #[test]
    fn damage_is_seen_alike(data in traces_data(), seed: u64) {
        let mut dice = Dice(seed);
        let mut bytes = rewritten(&data.encode_to_vec(), &mut dice, 50);
        for _ in 0..4 {
            bytes = damaged(bytes, &mut dice);
            let _ = agree(&bytes);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused_alike(bytes in vec(any::<u8>(), 0..64)) {
        let _ = agree(&bytes);
    }
}

/// A message whose only attribute holds this.
fn with_value(value: AnyValue) -> Vec<u8> {
    let attributes = vec![KeyValue { key: "k".to_owned(), value: Some(value), ..KeyValue::default() }];
    let spans = vec![Span { attributes, ..Span::default() }];
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    TracesData { resource_spans }.encode_to_vec()
}

#[test]
fn nesting_ends_at_the_limit() {
    let list = |depth: u32| {
        (1..depth).fold(AnyValue::default(), |value, _| AnyValue {
            value: Some(Value::ArrayValue(ArrayValue { values: vec![value] })),
        })
    };
    assert!(agree(&with_value(list(MAX_NESTING))).is_ok());
    assert_eq!(agree(&with_value(list(MAX_NESTING + 1))), Err(Why::Nesting));
    let groups = |depth: usize| [vec![0x7b; depth], vec![0x7c; depth]].concat();
    assert!(agree(&groups(MAX_NESTING as usize)).is_ok());
    assert_eq!(agree(&groups(MAX_NESTING as usize + 1)), Err(Why::Nesting));
}

#[test]
fn where_it_is_malformed_is_said() {
    // A name that is a number, in a span at offset 6.
    let bytes = [0x0a, 6, 0x12, 4, 0x12, 2, 0x28, 1];
    let malformed = otlp::TracesData::of(&bytes).check().unwrap_err();
    assert_eq!((malformed.why(), malformed.offset_in(&bytes)), (Why::WireType, Some(7)));
    assert_eq!(malformed.offset_in(&[]), None);
    for (bytes, why) in [
        (&[0x0a][..], Why::Truncated),
        (&[0x0a, 5, 1], Why::Truncated),
        (&[0x09, 1], Why::WireType),
        (&[0x00, 0], Why::Key),
        (&[0x0e, 0], Why::WireType),
        (&[0x7f], Why::Key),
        (&[0x7c], Why::Group),
        (&[0x7b], Why::Truncated),
        (&[0x78, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], Why::Varint),
    ] {
        assert_eq!(agree(bytes), Err(why), "{bytes:x?}");
    }
}

#[test]
fn a_text_is_checked_when_it_is_asked_for() {
    let bytes = [0x0a, 3, 0x1a, 1, 0xff];
    assert_eq!(agree(&bytes), Err(Why::Text));
    assert!(otlp::TracesData::of(&bytes).check().is_ok());
}

#[test]
fn an_integer_of_one_byte_with_something_behind_it_is_none_of_two() {
    // Key "k", then a value: the integer 5, and behind it a key of field 0, or another integer.
    for (value, expected) in [(&[0x18, 5, 2][..], None), (&[0x18, 0x85, 2], Some(261)), (&[0x18, 5], Some(5))]
    {
        let bytes = [&[0x0a, 1, b'k', 0x12, value.len() as u8], value].concat();
        let read = otlp::KeyValue::of(&bytes).read();
        let number = read.ok().map(|(_, value)| match value {
            otlp::Value::Int(number) => number,
            other => panic!("{other:?}"),
        });
        assert_eq!(number, expected, "{value:x?}");
    }
}
