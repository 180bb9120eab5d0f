//! Forms that a reader remembers: what it says of a span that it recognises is what it says of one that it reads.
#![allow(clippy::unwrap_used)] // a test stops where it is wrong

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use prost::Message;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reader::{Read, Reader, Semconv, Undecodable, read_otlp};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};
use stitcher::span::{Facts, SpanId, TraceId};

static SEMCONV: LazyLock<Arc<Semconv>> = LazyLock::new(|| Arc::new(Semconv::embedded()));

/// Attributes in the order in which they are written, and what they may say.
const SAID: &[(&str, &[&str])] = &[
    ("http.request.method", &["GET", "POST"]),
    ("http.route", &["/users/{id}", "/healthz"]),
    ("url.path", &["/users/1", "/users/2", "/healthz", "", "/users/\u{e4}"]),
    ("http.target", &["/users/3?full=1", "/users/4"]),
    (
        "url.full",
        &[
            "https://a.example/x/1",
            "https://a.example/x/2",
            "https://b.example/x/1",
            "/x",
            "http://a.example/healthz",
        ],
    ),
    ("db.query.text", &["SELECT 1", "SELECT 2", ""]),
    ("db.system.name", &["postgresql"]),
    ("param.id", &["1", "2"]),
    ("http.response.status_code", &["200", "404", "503"]),
    ("error.type", &["503", "java.net.SocketTimeoutException"]),
    ("user_agent.original", &["kube-probe/1.30", "curl/8"]),
    ("server.address", &["orders", "10.0.0.7"]),
    ("session.id", &["s-1", "s-2"]),
    ("user.id", &["42", "43"]),
    ("baggage", &["session.id=s-3,weir.operation=log%20in", "other=1"]),
    ("weir.operation", &["login", "create_vm"]),
    ("messaging.destination.name", &["orders", "bills"]),
    ("rpc.method", &["shop.Cart/Add", "shop.Cart/Get"]),
    ("thread.name", &["worker-1", "worker-2", "worker-3"]),
    ("upstream_cluster", &["inbound|8080", "outbound|80||b"]),
    ("url.path", &["/again"]),
];

fn attribute(key: &str, value: &str, random: &mut ChaCha8Rng) -> KeyValue {
    let value = match value.parse() {
        Ok(number) if random.random_bool(0.8) => Value::IntValue(number),
        _ if random.random_bool(0.01) => Value::BoolValue(true),
        _ => Value::StringValue(value.to_owned()),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// One of a few kinds of spans, which differ in what they say from time to time.
fn span(kinds: u64, random: &mut ChaCha8Rng) -> Span {
    let kind = random.random_range(0..kinds);
    let mut chosen = ChaCha8Rng::seed_from_u64(kind);
    let mut attributes = Vec::new();
    for (key, values) in SAID {
        let (is_said, usual) = (chosen.random_bool(0.3), *values.choose(&mut chosen).unwrap());
        if is_said != random.random_bool(0.03) {
            let value = if random.random_bool(0.3) { values.choose(random).unwrap() } else { usual };
            attributes.push(attribute(key, value, random));
        }
    }
    Span {
        trace_id: random.random::<[u8; 16]>().to_vec(),
        span_id: random.random::<[u8; 8]>().to_vec(),
        parent_span_id: match random.random_range(0..20) {
            0 => Vec::new(),
            1 => vec![0; 8],
            2 => vec![1; 7],
            _ => random.random::<[u8; 8]>().to_vec(),
        },
        trace_state: if random.random_bool(0.02) { "ot=th:8".to_owned() } else { String::new() },
        name: format!("GET /shop.Cart/{}", kind % 3),
        kind: (kind % 6) as i32,
        start_time_unix_nano: random.random_range(1 << 60..1 << 61),
        end_time_unix_nano: random.random_range(1 << 60..1 << 61),
        attributes,
        events: if random.random_bool(0.03) {
            let attributes = vec![attribute("exception.type", "TimeoutError", random)];
            vec![Event { name: "exception".to_owned(), attributes, ..Event::default() }]
        } else {
            Vec::new()
        },
        links: if random.random_bool(0.03) {
            vec![Link { trace_id: vec![1; 16], span_id: vec![2; 8], ..Link::default() }]
        } else {
            Vec::new()
        },
        status: random
            .random_bool(0.9)
            .then(|| Status { code: if random.random_bool(0.1) { 2 } else { 0 }, ..Status::default() }),
        ..Span::default()
    }
}

fn message(service: &str, spans: Vec<Span>) -> Vec<u8> {
    let name = KeyValue {
        key: "service.name".to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(service.to_owned())) }),
        ..KeyValue::default()
    };
    let resource_spans = ResourceSpans {
        resource: Some(Resource { attributes: vec![name], ..Resource::default() }),
        scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    };
    TracesData { resource_spans: vec![resource_spans] }.encode_to_vec()
}

/// What was read, and of each span the number of its form.
fn given(
    read: impl FnOnce(&mut dyn FnMut(&stitcher::Span<'_>)) -> Result<Read, Undecodable>,
) -> (Vec<(u64, String)>, Result<Read, Undecodable>) {
    let mut spans = Vec::new();
    let read = read(&mut |span| {
        let plain = stitcher::Span { resource_number: 0, form: 0, ..span.clone() };
        spans.push((span.form, format!("{plain:?}")));
    });
    (spans, read)
}

fn without_numbers(spans: &[(u64, String)]) -> Vec<&str> {
    spans.iter().map(|(_, span)| span.as_str()).collect()
}

#[test]
fn spans_that_are_recognised_say_what_they_would_if_they_were_read() {
    let mut recognised = 0;
    for seed in 0..100 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut reader = Reader::new(SEMCONV.clone());
        // What spans of a form have in common.
        let mut of_form: HashMap<u64, String> = HashMap::new();
        for _ in 0..60 {
            let spans = (0..20).map(|_| span(1 + seed % 12, &mut random)).collect();
            let mut bytes = message(["cart", "orders"].choose(&mut random).unwrap(), spans);
            if random.random_bool(0.2) {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random();
            }
            let (plain, plainly) = given(|each| read_otlp(&SEMCONV, &bytes, each));
            let (spans, read) = given(|each| reader.read(&bytes, each));
            assert_eq!(without_numbers(&spans), without_numbers(&plain), "seed {seed}");
            assert_eq!(read, plainly, "seed {seed}");
            let _ = reader.read(&bytes, &mut |span| {
                if span.form != 0 {
                    recognised += 1;
                    let common = format!("{:?}", common(span));
                    assert_eq!(
                        of_form.entry(span.form).or_insert_with(|| common.clone()),
                        &common,
                        "seed {seed}"
                    );
                }
            });
        }
    }
    assert!(recognised > 10_000, "{recognised}");
}

/// What spans of a form agree on.
fn common<'a>(span: &stitcher::Span<'a>) -> stitcher::Span<'a> {
    stitcher::Span {
        trace_id: TraceId::default(),
        span_id: SpanId::default(),
        parent_id: span.parent_id.map(|_| SpanId::default()),
        start_ns: 0,
        end_ns: 0,
        content: 0,
        facts: Facts { request_key: 0, ..span.facts.clone() },
        ..span.clone()
    }
}

#[test]
fn what_differs_within_a_form() {
    let mut reader = Reader::new(SEMCONV.clone());
    let read = |reader: &mut Reader, said: &[(&str, &str)]| {
        let attributes = said.iter().map(|(key, value)| KeyValue {
            key: (*key).to_owned(),
            value: Some(AnyValue { value: Some(Value::StringValue((*value).to_owned())) }),
            ..KeyValue::default()
        });
        let span = Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            parent_span_id: vec![3; 8],
            kind: 3,
            attributes: attributes.collect(),
            ..Span::default()
        };
        let mut form = 0;
        reader.read(&message("cart", vec![span]), &mut |span| form = span.form).unwrap();
        form
    };
    let url = |number: u32| format!("https://orders.example/orders/{number}");
    // The first two teach it.
    for number in 0..2 {
        assert_eq!(read(&mut reader, &[("url.full", &url(number)), ("thread.name", "1")]), 0);
    }
    let first = read(&mut reader, &[("url.full", &url(3)), ("thread.name", "1")]);
    assert_ne!(first, 0);
    assert_eq!(read(&mut reader, &[("url.full", &url(4)), ("thread.name", "1")]), first);
    // Now and then is not worth a form: there were two of the first.
    for number in 5..8 {
        let thread = number.to_string();
        assert_eq!(read(&mut reader, &[("url.full", &url(number)), ("thread.name", &thread)]), 0);
    }
    let second = read(&mut reader, &[("url.full", &url(8)), ("thread.name", "8")]);
    assert!(![0, first].contains(&second));
    assert_eq!(
        read(&mut reader, &[("url.full", &url(7)), ("thread.name", "1")]),
        second,
        "it takes in the first"
    );
    // What something follows from is not free.
    let others: BTreeMap<_, _> = [
        ("another host", vec![("url.full", "https://bills.example/orders/1"), ("thread.name", "1")]),
        ("a probe", vec![("url.full", "https://orders.example/healthz"), ("thread.name", "1")]),
        ("another order", vec![("thread.name", "1"), ("url.full", "https://orders.example/orders/1")]),
        (
            "one more",
            vec![("url.full", "https://orders.example/1"), ("thread.name", "1"), ("peer.service", "a")],
        ),
    ]
    .into();
    for (name, said) in others {
        assert_eq!(read(&mut reader, &said), 0, "{name}");
    }
}
