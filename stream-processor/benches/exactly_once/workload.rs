//! Spans as a console of some services emits them: one message a trace, as the collector's Kafka exporter writes them.
//! A partition's messages are a function of their offset, so nothing has to be remembered about a topic.
//!
//! A trace is 20 spans of 10 services in a tree: a request, nine calls seen from both sides, and a call to a database. It
//! arrives whole, so it closes after 6 s of silence. Every hundredth message is two spans of a trace whose root is yet to
//! come, as of somebody who polls for hours: such traces are open all the time.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use schemas::topics::partition_of;

/// Log time at offset 0, µs since the epoch.
pub const START_US: i64 = 1_790_000_000_000_000;
/// Services in all, ten of them in a trace. Each calls five others: two edges a shape and service.
const SERVICES: u64 = 20;
/// Kinds of traces; each is an operation of its own.
const SHAPES: u64 = SERVICES / 2;
const SERVICES_A_TRACE: u64 = 10;
const SPANS_A_TRACE: i64 = 20;
const LONG_EVERY: i64 = 100;
const LONG_SPANS: i64 = 2;
/// Traces of a partition that never end.
const LONG_TRACES: i64 = 100;

/// Spans in front of this offset.
pub fn spans_before(offset: i64) -> i64 {
    offset * SPANS_A_TRACE - (offset / LONG_EVERY) * (SPANS_A_TRACE - LONG_SPANS)
}

/// The offset in front of which there are about so many spans.
pub fn offset_of(spans: i64) -> i64 {
    let round = LONG_EVERY * SPANS_A_TRACE - (SPANS_A_TRACE - LONG_SPANS);
    spans / round * LONG_EVERY + spans % round / SPANS_A_TRACE
}

/// One message of a partition, with its key.
pub struct Message {
    /// Trace id, 32 lower-hex digits.
    pub key: String,
    /// What it says.
    pub data: TracesData,
}

impl Message {
    /// The message at this offset; its spans end at `ends_us`.
    pub fn at(offset: i64, partition: u32, partitions: u32, ends_us: i64) -> Self {
        let is_long = offset % LONG_EVERY == LONG_EVERY - 1;
        let long = (offset / LONG_EVERY % LONG_TRACES).unsigned_abs();
        let number = if is_long { long } else { 1_000 + offset.unsigned_abs() };
        let trace = Trace::new(number, partition, partitions, ends_us.unsigned_abs() * 1_000);
        let resource_spans = if is_long { trace.poll(offset.unsigned_abs()) } else { trace.tree() };
        Self { key: format!("{:032x}", trace.id), data: TracesData { resource_spans } }
    }
}

struct Trace {
    id: u128,
    /// Which services it goes through.
    shape: u64,
    fails: bool,
    ends_ns: u64,
}

impl Trace {
    fn new(number: u64, partition: u32, partitions: u32, ends_ns: u64) -> Self {
        let id = |salt: u64| {
            let high = mixed(number ^ u64::from(partition) << 48 ^ salt << 56);
            u128::from(high) << 64 | u128::from(mixed(high))
        };
        let id = (0..).map(id).find(|id| partition_of(*id, partitions) == partition).unwrap_or_default();
        Self { id, shape: number % SHAPES, fails: number.is_multiple_of(100), ends_ns }
    }

    /// Service `i` was called by service `(i - 1) / 2`.
    fn tree(&self) -> Vec<ResourceSpans> {
        let of_service = |i: u64| {
            let answers = self.span(Side::Server, i);
            let calls = (2 * i + 1..=2 * i + 2).filter(|child| *child < SERVICES_A_TRACE);
            let calls = calls.map(|child| self.span(Side::Client, child));
            let database = (i + 1 == SERVICES_A_TRACE).then(|| self.database(i));
            let spans = std::iter::once(answers).chain(calls).chain(database).collect();
            self.resource_spans(i, spans)
        };
        (0..SERVICES_A_TRACE).map(of_service).collect()
    }

    /// A call somewhere below the root.
    fn poll(&self, offset: u64) -> Vec<ResourceSpans> {
        let numbered = |mut span: Span, parent: u64| {
            span.span_id = (mixed(offset) ^ u64::from(span.kind.unsigned_abs())).to_be_bytes().to_vec();
            span.parent_span_id = parent.to_be_bytes().to_vec();
            span
        };
        let client = numbered(self.span(Side::Client, 1), 1);
        let parent = mixed(offset) ^ u64::from(client.kind.unsigned_abs());
        let server = numbered(self.span(Side::Server, 1), parent);
        vec![self.resource_spans(0, vec![client]), self.resource_spans(1, vec![server])]
    }

    fn resource_spans(&self, i: u64, spans: Vec<Span>) -> ResourceSpans {
        let service = self.service(i);
        let attributes = vec![
            text("service.name", &service),
            text("service.namespace", "console"),
            text("service.version", "2026.11.3"),
            text("deployment.environment.name", "production"),
            text("k8s.pod.name", &format!("{service}-6d5f7c9b8-x{:04x}", mixed(i) & 0xffff)),
            text("telemetry.sdk.language", "java"),
        ];
        ResourceSpans {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }
    }

    fn service(&self, i: u64) -> String {
        format!("service-{:04}", (2 * self.shape + i) % SERVICES)
    }

    /// One side of the call of service `i`.
    fn span(&self, side: Side, i: u64) -> Span {
        let route = format!("/v2/projects/{{project}}/resources-{i}");
        let mut attributes = vec![
            text("http.request.method", "GET"),
            text("server.address", &self.service(i)),
            text("network.protocol.version", "1.1"),
            text("url.scheme", "https"),
            text("user_agent.original", "console-client/3.2 (linux; amd64)"),
            int("http.response.status_code", if self.fails && i + 1 == SERVICES_A_TRACE { 503 } else { 200 }),
        ];
        match side {
            Side::Server => {
                attributes.push(text("http.route", &route));
                attributes
                    .push(text("url.path", &format!("/v2/projects/{:08x}/resources-{i}", self.id >> 96)));
            }
            Side::Client => {
                attributes.push(int("server.port", 8443));
                attributes.push(text(
                    "url.full",
                    &format!("https://{}:8443/v2/{:08x}", self.service(i), self.id >> 96),
                ));
            }
        }
        if i == 0 {
            attributes.push(text("weir.operation", &format!("operation-{:03}", self.shape)));
        }
        // Deeper spans are shorter, and within their parents.
        let depth = u64::from((i + 1).ilog2()) * 2 + u64::from(side == Side::Server);
        let name = if side == Side::Server { format!("GET {route}") } else { "GET".to_owned() };
        self.finish(name, side as i32, (side.id(i), side.parent(i)), 1 + depth, attributes)
    }

    fn database(&self, i: u64) -> Span {
        let attributes = vec![
            text("db.system.name", "postgresql"),
            text("db.namespace", "inventory"),
            text("server.address", "postgres-primary"),
            text("db.query.summary", "SELECT machines"),
            text(
                "db.query.text",
                "SELECT id, name, state FROM machines WHERE project = $1 ORDER BY name LIMIT 50",
            ),
        ];
        self.finish("SELECT machines".to_owned(), 3, (100 + i, Some(Side::Server.id(i))), 9, attributes)
    }

    fn finish(
        &self,
        name: String,
        kind: i32,
        (id, parent): (u64, Option<u64>),
        depth: u64,
        attributes: Vec<KeyValue>,
    ) -> Span {
        let id_of = |number: u64| (mixed(self.id as u64 ^ number) | 1).to_be_bytes().to_vec();
        let whole_ns = 20_000_000 + mixed(self.id as u64) % 200_000_000;
        Span {
            trace_id: self.id.to_be_bytes().to_vec(),
            span_id: id_of(id),
            parent_span_id: parent.map(id_of).unwrap_or_default(),
            name,
            kind,
            start_time_unix_nano: self.ends_ns - whole_ns + depth * whole_ns / 40,
            end_time_unix_nano: self.ends_ns - depth * whole_ns / 40,
            attributes,
            status: Some(Status::default()),
            ..Span::default()
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Server = 2,
    Client = 3,
}

impl Side {
    fn id(self, i: u64) -> u64 {
        2 * i + u64::from(self == Self::Client)
    }

    fn parent(self, i: u64) -> Option<u64> {
        match self {
            Self::Server => (i > 0).then(|| Self::Client.id(i)),
            Self::Client => Some(Self::Server.id((i - 1) / 2)),
        }
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Splitmix64: ids that look random and are all different.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
