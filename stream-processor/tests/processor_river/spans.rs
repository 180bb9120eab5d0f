//! Small traces with a known graph: a user calls `gateway` (operation `login`), `gateway` calls `auth`.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use std::time::{SystemTime, UNIX_EPOCH};

const SERVER: i32 = 2;
const CLIENT: i32 = 3;

pub struct Trace {
    pub id: u128,
}

/// So many traces whose ids differ from those of every other `series`.
pub fn traces(series: u64, count: u64) -> Vec<Trace> {
    // Spread over the partitions as random ids are: an odd factor keeps them distinct.
    let id =
        |index: u64| (u128::from(series) << 64) | u128::from(index.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    (1..=count).map(|index| Trace { id: id(index * 2) }).collect()
}

/// The message that carries all spans of these traces.
pub fn message(traces: &[&Trace]) -> TracesData {
    let gateway = traces.iter().flat_map(|trace| trace.gateway()).collect();
    let auth = traces.iter().map(|trace| trace.auth()).collect();
    TracesData { resource_spans: vec![of_service("gateway", gateway), of_service("auth", auth)] }
}

/// Only what `gateway` says about it: its call to `auth` is not answered yet.
pub fn first_half(trace: &Trace) -> TracesData {
    TracesData { resource_spans: vec![of_service("gateway", trace.gateway().into())] }
}

/// What `auth` says.
pub fn second_half(trace: &Trace) -> TracesData {
    TracesData { resource_spans: vec![of_service("auth", vec![trace.auth()])] }
}

impl Trace {
    fn gateway(&self) -> [Span; 2] {
        let root = Span {
            attributes: vec![text("weir.operation", "login"), text("http.route", "/login")],
            ..self.span(1, 0, SERVER, "POST /login", 10)
        };
        [root, self.span(2, 1, CLIENT, "auth.Check", 6)]
    }

    fn auth(&self) -> Span {
        self.span(3, 2, SERVER, "auth.Check", 4)
    }

    fn span(&self, id: u64, parent: u64, kind: i32, name: &str, millis: u64) -> Span {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        Span {
            trace_id: self.id.to_be_bytes().to_vec(),
            span_id: id.to_be_bytes().to_vec(),
            parent_span_id: if parent == 0 { Vec::new() } else { parent.to_be_bytes().to_vec() },
            kind,
            name: name.to_owned(),
            start_time_unix_nano: now - millis * 1_000_000,
            end_time_unix_nano: now,
            ..Default::default()
        }
    }
}

fn of_service(name: &str, spans: Vec<Span>) -> ResourceSpans {
    let resource = Resource { attributes: vec![text("service.name", name)], ..Default::default() };
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    ResourceSpans { resource: Some(resource), scope_spans, ..Default::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..Default::default() }
}
