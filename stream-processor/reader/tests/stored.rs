//! A span says the same whether it comes over the wire or out of `otel_traces`, where every value is text.
#![allow(clippy::unwrap_used)] // a test stops where it is wrong

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use reader::{Semconv, StoredSpan, read_stored, spans_of};
use stitcher::span::{Kind, SpanId, TraceId};

/// A value as it is on the wire, and as the store writes it.
#[derive(Clone, Copy)]
enum Said {
    Text(&'static str),
    Int(i64),
    Double(f64),
    Bool(bool),
    List(&'static [&'static str]),
}

use Said::{Bool, Double, Int, List, Text};

impl Said {
    fn wire(self) -> Value {
        match self {
            Text(text) => Value::StringValue(text.into()),
            Int(number) => Value::IntValue(number),
            Double(number) => Value::DoubleValue(number),
            Bool(truth) => Value::BoolValue(truth),
            List(items) => {
                let item = |item: &&str| AnyValue { value: Some(Text(Box::leak((*item).into())).wire()) };
                Value::ArrayValue(ArrayValue { values: items.iter().map(item).collect() })
            }
        }
    }

    fn stored(self) -> String {
        match self {
            Text(text) => text.into(),
            Int(number) => number.to_string(),
            Double(number) => number.to_string(),
            Bool(truth) => truth.to_string(),
            List(items) => serde_json::to_string(items).unwrap(),
        }
    }
}

type Attributes = &'static [(&'static str, Said)];

/// What differs between the cases.
#[derive(Clone, Copy, Default)]
struct Case {
    kind: i32,
    status: i32,
    trace_state: &'static str,
    attributes: Attributes,
    resource: Attributes,
    event: Attributes,
    links: u64,
}

const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;

fn wire(case: &Case) -> TracesData {
    let attributes = |said: Attributes| -> Vec<KeyValue> {
        let pair = |(key, value): &(&str, Said)| KeyValue {
            key: (*key).into(),
            value: Some(AnyValue { value: Some(value.wire()) }),
            ..KeyValue::default()
        };
        said.iter().map(pair).collect()
    };
    let link = |id: u64| Link {
        trace_id: TRACE.to_be_bytes().into(),
        span_id: id.to_be_bytes().into(),
        ..Link::default()
    };
    let span = Span {
        trace_id: TRACE.to_be_bytes().into(),
        span_id: vec![0, 0, 0, 0, 0, 0, 0, 7],
        parent_span_id: vec![0, 0, 0, 0, 0, 0, 0, 6],
        trace_state: case.trace_state.into(),
        name: "op".into(),
        kind: case.kind,
        start_time_unix_nano: 1_700_000_000_000_000_123,
        end_time_unix_nano: 1_700_000_000_005_000_999,
        attributes: attributes(case.attributes),
        events: vec![Event { attributes: attributes(case.event), ..Event::default() }],
        links: (1..=case.links).map(link).collect(),
        status: Some(Status { code: case.status, ..Status::default() }),
        ..Span::default()
    };
    let resource = Resource { attributes: attributes(case.resource), ..Resource::default() };
    let scope = ScopeSpans { spans: vec![span], ..ScopeSpans::default() };
    TracesData {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![scope],
            ..ResourceSpans::default()
        }],
    }
}

fn pairs(said: Attributes) -> Vec<(String, String)> {
    said.iter().map(|(key, value)| ((*key).into(), value.stored())).collect()
}

/// Everything a span says.
fn text(span: &stitcher::Span<'_>) -> String {
    format!("{:#?}", stitcher::Span { content: 0, ..span.clone() })
}

fn over_the_wire(case: &Case) -> String {
    let mut said = String::new();
    spans_of(&Semconv::embedded(), &wire(case), &mut |span| said = text(span));
    said
}

fn row(case: &Case, look: &mut dyn FnMut(&StoredSpan<'_>)) {
    const KINDS: [&str; 6] = ["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"];
    let (attributes, resource, event) = (pairs(case.attributes), pairs(case.resource), pairs(case.event));
    let links: Vec<_> = (1..=case.links).map(|id| (format!("{TRACE:032x}"), format!("{id:016x}"))).collect();
    look(&StoredSpan {
        trace_id: "0af7651916cd43dd8448eb211c80319c",
        span_id: "0000000000000007",
        parent_span_id: "0000000000000006",
        trace_state: case.trace_state,
        span_name: "op",
        span_kind: KINDS[usize::try_from(case.kind).unwrap()],
        resource_attributes: &resource,
        span_attributes: &attributes,
        timestamp_ns: 1_700_000_000_000_000_123,
        duration_ns: 5_000_876,
        status_code: ["Unset", "Ok", "Error"][usize::try_from(case.status).unwrap()],
        events: &[event],
        links: &links,
    });
}

fn out_of_the_table(case: &Case) -> String {
    let mut said = String::new();
    row(case, &mut |row| {
        read_stored(&Semconv::embedded(), row, &mut |span| said = text(span));
    });
    said
}

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;

#[test]
fn a_stored_span_says_what_it_said_on_the_wire() {
    let nothing = Case::default();
    let of = |kind: i32, attributes: Attributes| Case { kind, attributes, ..nothing };
    let cases = [
        ("nothing", nothing),
        ("http status", of(SERVER, &[("http.response.status_code", Int(503)), ("http.route", Text("/a"))])),
        ("http status as text", of(SERVER, &[("http.status_code", Text("404"))])),
        ("a socket", of(SERVER, &[("http.response.status_code", Int(101))])),
        ("grpc code", of(SERVER, &[("rpc.system", Text("grpc")), ("rpc.grpc.status_code", Int(14))])),
        ("grpc name", of(CLIENT, &[("rpc.response.status_code", Text("DEADLINE_EXCEEDED"))])),
        ("error type as a number", of(CLIENT, &[("error.type", Int(500))])),
        ("error type", of(CLIENT, &[("error.type", Text("java.net.SocketTimeoutException"))])),
        ("Jaeger's error", of(CLIENT, &[("error", Bool(true))])),
        ("no error", of(CLIENT, &[("error", Bool(false))])),
        ("Zipkin's error", of(CLIENT, &[("error", Text(""))])),
        ("an exception", Case { status: 2, event: &[("exception.type", Text("BulkheadFull"))], ..nothing }),
        ("handled", Case { status: 1, event: &[("exception.type", Text("TimeoutError"))], ..nothing }),
        ("resends", of(CLIENT, &[("http.request.resend_count", Int(2)), ("url.full", Text("http://a:1/b"))])),
        ("attempts", of(SERVER, &[("http.request.header.x-envoy-attempt-count", List(&["3"]))])),
        ("captured name", of(SERVER, &[("http.request.header.x-operation-name", List(&["login"]))])),
        ("captured text", of(SERVER, &[("http.request.header.x-operation-name", Text("[login"))])),
        (
            "captured baggage",
            of(SERVER, &[("http.request.header.baggage", List(&["a=b,weir.operation=pay%20it", "c=d"]))]),
        ),
        ("nothing captured", of(SERVER, &[("http.request.header.x-operation-name", List(&[]))])),
        ("an upgrade", of(SERVER, &[("http.request.header.upgrade", List(&["websocket"]))])),
        (
            "a statement like a list",
            of(CLIENT, &[("db.system", Text("mongodb")), ("db.statement", Text(r#"["a"]"#))]),
        ),
        ("database index", of(CLIENT, &[("db.system", Text("redis")), ("db.redis.database_index", Int(3))])),
        ("peer and port", of(CLIENT, &[("server.address", Text("pay")), ("server.port", Int(443))])),
        ("peer as a number", of(CLIENT, &[("peer.ipv4", Int(167_772_167))])),
        ("peer as text", of(CLIENT, &[("peer.ipv4", Text("10.0.0.7"))])),
        (
            "messages",
            of(
                PRODUCER,
                &[
                    ("messaging.system", Text("kafka")),
                    ("messaging.destination.name", Text("orders")),
                    ("messaging.batch.message_count", Int(12)),
                    ("messaging.destination.temporary", Bool(false)),
                ],
            ),
        ),
        (
            "a temporary queue",
            of(CONSUMER, &[("messaging.system", Text("jms")), ("messaging.temp_destination", Bool(true))]),
        ),
        ("links", Case { kind: CONSUMER, links: 3, ..nothing }),
        ("sampled", Case { trace_state: "congo=t61,ot=th:c", ..nothing }),
        ("sampled by a rate", of(SERVER, &[("SampleRate", Double(2.5))])),
        ("sampled by a whole rate", of(SERVER, &[("SampleRate", Int(8))])),
        ("numbers for people", of(SERVER, &[("user.id", Int(42)), ("session.id", Int(-1))])),
        ("kind as a tag", of(0, &[("span.kind", Text("server"))])),
        ("status as a tag", of(SERVER, &[("otel.status_code", Text("ERROR"))])),
        (
            "a resource",
            Case {
                resource: &[
                    ("service.name", Text("web")),
                    ("k8s.namespace.name", Text("shop")),
                    ("service.instance.id", Text("1")),
                    ("deployment.environment", Text("production")),
                    ("process.interactive", Bool(true)),
                ],
                ..nothing
            },
        ),
    ];
    for (name, case) in &cases {
        let expected = over_the_wire(case);
        assert!(expected.contains("TraceId"), "{name}: the wire gives a span");
        assert_eq!(out_of_the_table(case), expected, "{name}");
    }
}

#[test]
fn spellings_of_older_exporters_are_understood() {
    for (kind, expected) in
        [("SPAN_KIND_CLIENT", Kind::Client), ("Consumer", Kind::Consumer), ("", Kind::Unspecified)]
    {
        row(&Case::default(), &mut |row| {
            let row = StoredSpan { span_kind: kind, status_code: "STATUS_CODE_ERROR", ..*row };
            let mut seen = None;
            read_stored(&Semconv::embedded(), &row, &mut |span| seen = Some((span.kind, span.status)));
            assert_eq!(seen, Some((expected, stitcher::span::Status::Error)), "{kind}");
        });
    }
}

#[test]
fn ids_are_read_with_and_without_leading_zeros_and_nothing_else_is_an_id() {
    row(&Case::default(), &mut |row| {
        let short = StoredSpan { trace_id: "ab", span_id: "7", parent_span_id: "", ..*row };
        let mut seen = None;
        read_stored(&Semconv::embedded(), &short, &mut |span| {
            seen = Some((span.trace_id, span.span_id, span.parent_id));
        });
        assert_eq!(seen, Some((TraceId(0xab), SpanId(7), None)));
        for (trace_id, span_id, reason) in
            [("", "7", "zero_trace_id"), ("7", "x", "zero_span_id"), ("7", "0", "zero_span_id")]
        {
            let bad = StoredSpan { trace_id, span_id, ..*row };
            let read = read_stored(&Semconv::embedded(), &bad, &mut |_| panic!("no id, no span"));
            assert_eq!(read.rejected.into_iter().collect::<Vec<_>>(), [(reason, 1)]);
        }
    });
}
