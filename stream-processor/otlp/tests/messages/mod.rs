//! Messages: as an encoder writes them, as another one might, and damaged.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use otlp::{Fields, Untyped};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Names that mean something to a reader, and values that do.
const KNOWN: &[&str] = &[
    "service.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "telemetry.sdk.language",
    "webjs",
    "http.request.method",
    "GET",
    "http.response.status_code",
    "101",
    "http.route",
    "url.full",
    "https://user@pay:8443/charge?x#y",
    "url.path",
    "/healthz",
    "user_agent.original",
    "kube-probe/1.29",
    "server.address",
    "server.port",
    "db.system.name",
    "postgres",
    "db.namespace",
    "rpc.system",
    "rpc.service",
    "rpc.method",
    "rpc.grpc.status_code",
    "DEADLINE_EXCEEDED",
    "messaging.system",
    "kafka.topic",
    "messaging.destination.temporary",
    "true",
    "exception.type",
    "java.net.SocketTimeoutException",
    "error",
    "error.type",
    "weir.operation",
    "baggage",
    "session.id=s,weir.operation=create%20vm",
    "param.x",
    "otel.status_code",
    "ERROR",
    "span.kind",
    "client",
    "SampleRate",
    "ot=th:8",
    "node_id",
    "sidecar~1",
    "http.request.header.upgrade",
    "websocket",
];

fn text() -> impl Strategy<Value = String> {
    let known = proptest::sample::select(KNOWN).prop_map(str::to_owned);
    prop_oneof![3 => known, 1 => "[a-z.]{0,12}", 1 => ".{0,6}", 1 => "[ab]{120,140}"]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 16), vec(any::<u8>(), 8), vec(any::<u8>(), 0..20)]
}

fn id(length: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![6 => vec(any::<u8>(), length), 1 => bytes()]
}

fn value() -> impl Strategy<Value = AnyValue> {
    let scalar = prop_oneof![
        text().prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        any::<f64>().prop_map(Value::DoubleValue),
        bytes().prop_map(Value::BytesValue),
        any::<i32>().prop_map(Value::StringValueStrindex),
    ];
    let value = option::of(scalar).prop_map(|value| AnyValue { value });
    value.prop_recursive(4, 12, 3, |inner| {
        let pair = (text(), option::of(inner.clone())).prop_map(|(key, value)| KeyValue {
            key,
            value,
            ..KeyValue::default()
        });
        prop_oneof![
            vec(inner, 0..3).prop_map(|values| Value::ArrayValue(ArrayValue { values })),
            vec(pair, 0..3).prop_map(|values| Value::KvlistValue(KeyValueList { values })),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn pairs() -> impl Strategy<Value = Vec<KeyValue>> {
    let pair = (text(), option::of(value()), prop_oneof![4 => Just(0), 1 => any::<i32>()]);
    vec(pair.prop_map(|(key, value, key_strindex)| KeyValue { key, value, key_strindex }), 0..4)
}

fn resource() -> impl Strategy<Value = Resource> {
    let entity = (text(), text(), vec(text(), 0..2), vec(text(), 0..2)).prop_map(
        |(schema_url, r#type, id_keys, description_keys)| EntityRef {
            schema_url,
            r#type,
            id_keys,
            description_keys,
        },
    );
    (pairs(), any::<u32>(), vec(entity, 0..2)).prop_map(
        |(attributes, dropped_attributes_count, entity_refs)| Resource {
            attributes,
            dropped_attributes_count,
            entity_refs,
        },
    )
}

fn scope() -> impl Strategy<Value = InstrumentationScope> {
    (text(), text(), pairs(), any::<u32>()).prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    (any::<u64>(), text(), pairs(), any::<u32>()).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    (bytes(), bytes(), text(), pairs(), any::<u32>(), any::<u32>()).prop_map(
        |(trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags)| Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        },
    )
}

fn span() -> impl Strategy<Value = Span> {
    // Most begin as most encoders write them.
    let parent = prop_oneof![2 => id(8), 1 => Just(Vec::new())];
    let trace_state = prop_oneof![3 => Just(String::new()), 1 => text()];
    let kind = prop_oneof![4 => 0..6, 1 => any::<i32>()];
    let head = (id(16), id(8), parent, trace_state, text(), kind, any::<u64>(), any::<u64>());
    let lists = (pairs(), vec(event(), 0..2), vec(link(), 0..2));
    let tail = (option::of((text(), any::<i32>())), any::<[u32; 3]>(), any::<u32>());
    (head, lists, tail).prop_map(|(head, (attributes, events, links), (status, dropped, flags))| Span {
        trace_id: head.0,
        span_id: head.1,
        parent_span_id: head.2,
        trace_state: head.3,
        name: head.4,
        kind: head.5,
        start_time_unix_nano: head.6,
        end_time_unix_nano: head.7,
        attributes,
        events,
        links,
        status: status.map(|(message, code)| Status { message, code }),
        dropped_attributes_count: dropped[0],
        dropped_events_count: dropped[1],
        dropped_links_count: dropped[2],
        flags,
    })
}

/// Any message.
pub fn traces_data() -> impl Strategy<Value = TracesData> {
    let scope_spans = (option::of(scope()), vec(span(), 0..3), text())
        .prop_map(|(scope, spans, schema_url)| ScopeSpans { scope, spans, schema_url });
    let resource_spans = (option::of(resource()), vec(scope_spans, 0..3), text())
        .prop_map(|(resource, scope_spans, schema_url)| ResourceSpans { resource, scope_spans, schema_url });
    vec(resource_spans, 0..3).prop_map(|resource_spans| TracesData { resource_spans })
}

/// Splitmix64.
pub struct Dice(pub u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// The message as another encoder might have written it: fields in another order, several times, under numbers that
/// nobody knows, lengths in more bytes than they take. `rate`: one field in so many is changed.
pub fn rewritten(message: &[u8], dice: &mut Dice, rate: usize) -> Vec<u8> {
    let Ok(fields) = Fields::of(message).collect::<Result<Vec<_>, _>>() else { return message.to_vec() };
    let mut written: Vec<Vec<u8>> = Vec::new();
    for field in &fields {
        let raw = match field.value {
            Untyped::Bytes(inner) if !inner.is_empty() => {
                framed(field.number, &rewritten(inner, dice, rate), dice.below(rate) == 0)
            }
            _ => field.raw.to_vec(),
        };
        if dice.below(rate) == 0 {
            written.push(unknown(dice));
        }
        if dice.below(rate) == 0 {
            written.push(raw.clone());
        }
        if dice.below(rate) == 0 {
            let other = fields[dice.below(fields.len())];
            written.push(other.raw.to_vec());
        }
        written.push(raw);
    }
    for last in (1..written.len()).rev() {
        if dice.below(rate) == 0 {
            written.swap(last, dice.below(last));
        }
    }
    written.concat()
}

fn framed(number: u32, inner: &[u8], long: bool) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut out);
    prost::encoding::encode_varint(inner.len() as u64, &mut out);
    if long && let Some(last) = out.last_mut() {
        *last |= 0x80;
        out.push(0);
    }
    out.extend_from_slice(inner);
    out
}

/// A field that is in no definition, or has the number of one and another wire type.
fn unknown(dice: &mut Dice) -> Vec<u8> {
    match dice.below(8) {
        0 => vec![0xf8, 0x07, 0x85, 0x01],
        1 => vec![0xfa, 0x07, 0x03, 0xff, 0xff, 0xff],
        2 => vec![0xf9, 0x07, 1, 2, 3, 4, 5, 6, 7, 8],
        3 => vec![0xfd, 0x07, 1, 2, 3, 4],
        4 => vec![0xfb, 0x07, 0x08, 0x01, 0xf3, 0x07, 0xf4, 0x07, 0xfc, 0x07],
        5 => vec![0xfb, 0x07, 0x08, 0x01],
        6 => vec![0x08, 0x01],
        _ => vec![0x1d, 1, 2, 3, 4],
    }
}

/// The message with one thing wrong, or not.
pub fn damaged(mut message: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
    if message.is_empty() {
        return message;
    }
    let at = dice.below(message.len());
    match dice.below(4) {
        0 => message.truncate(at),
        1 => message[at] = dice.below(256) as u8,
        2 => message.insert(at, dice.below(256) as u8),
        _ => message[at] ^= 1 << dice.below(8),
    }
    message
}
