//! Resources that a reader remembers: found again by their bytes, numbered, forgotten when there are too many.
#![allow(clippy::unwrap_used)] // a test stops where it is wrong

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use prost::Message;
use reader::{Reader, Semconv, read_otlp};
use std::collections::BTreeMap;
use std::sync::Arc;

fn reader() -> Reader {
    Reader::new(Arc::new(Semconv::embedded()))
}

/// A message with one span of each of these services.
fn message(services: &[&str]) -> Vec<u8> {
    let of_service = |service: &&str| {
        let value = Some(AnyValue { value: Some(Value::StringValue((*service).to_owned())) });
        let name = KeyValue { key: "service.name".to_owned(), value, ..KeyValue::default() };
        let resource = Some(Resource { attributes: vec![name], ..Resource::default() });
        let spans = vec![Span { trace_id: vec![1; 16], span_id: vec![2; 8], ..Span::default() }];
        let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }
    };
    TracesData { resource_spans: services.iter().map(of_service).collect() }.encode_to_vec()
}

/// Services and the numbers of their resources, in the order of the spans.
fn read(reader: &mut Reader, services: &[&str]) -> Vec<(String, u64)> {
    let mut read = Vec::new();
    let bytes = message(services);
    reader
        .read(&bytes, &mut |span| read.push((span.resource.service.to_owned(), span.resource_number)))
        .unwrap();
    read
}

#[test]
fn a_resource_keeps_its_number_and_shares_it_with_nobody() {
    let (mut one, mut other) = (reader(), reader());
    let mut of_number = BTreeMap::new();
    let first = read(&mut one, &["a", "b", "a"]);
    assert_eq!(first, read(&mut one, &["a", "b", "a"]));
    assert_eq!(first[0], first[2]);
    for (service, number) in first.into_iter().chain(read(&mut other, &["b", "c", "a", ""])) {
        assert_ne!(number, 0);
        assert_eq!(of_number.entry(number).or_insert(service.clone()), &service);
    }
    assert_eq!(of_number.len(), 6);
}

#[test]
fn a_message_read_alone_has_no_numbers() {
    let bytes = message(&["a"]);
    read_otlp(&Semconv::embedded(), &bytes, &mut |span| assert_eq!(span.resource_number, 0)).unwrap();
}

#[test]
fn when_there_are_too_many_they_are_read_anew() {
    let mut reader = reader();
    let first = read(&mut reader, &["first"]);
    for number in 0..5_000 {
        let service = format!("service-{number}");
        assert_eq!(read(&mut reader, &[&service])[0].0, service);
    }
    let again = read(&mut reader, &["first"]);
    assert_eq!(again[0].0, "first");
    assert_ne!(again, first);
}
