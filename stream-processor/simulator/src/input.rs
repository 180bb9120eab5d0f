//! What is in `otlp_spans`, and when it gets there: the same with and without faults.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use prost::Message;
use rand::Rng;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use schemas::topics::partition_of;

/// 2023-11-14T22:13:20Z
pub const START_US: i64 = 1_700_000_000_000_000;
const SECOND_US: i64 = 1_000_000;

/// Spans of a run.
pub struct Input {
    /// Partitions of the topic.
    pub partitions: u32,
    /// By time.
    pub records: Vec<Arrival>,
    /// A shard saves a trace when so many spans followed it.
    pub replayed_spans: u64,
    /// Spans of closed traces that a shard remembers.
    pub remembered_spans: usize,
    /// Fingerprints of forgotten ones that it keeps.
    pub fingerprints: usize,
    /// A record in quarantine: partition and offset.
    pub quarantine: Option<(u32, i64)>,
}

/// A record that a producer wrote.
pub struct Arrival {
    /// When the broker appended it, µs since the epoch.
    pub at_us: i64,
    /// Where.
    pub partition: u32,
    /// `TracesData`, or garbage.
    pub value: Vec<u8>,
}

impl Input {
    /// Whether all sums must be those of a calm run. Where a shard forgets for want of room, when a trace closes
    /// decides what is forgotten, and faults move that: then only digests, numbers and progress are compared.
    pub fn is_exact(&self) -> bool {
        self.remembered_spans > 1_000
    }

    /// Whether no trace is ever forgotten altogether.
    pub fn keeps_fingerprints(&self) -> bool {
        self.is_exact() || self.fingerprints > 1_000
    }

    /// Some traces over some minutes: quick ones, polls that last, spans that come late, twice, or never.
    pub fn of(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let partitions = random.random_range(1..=3);
        let lasts_s = random.random_range(20..=500);
        let mut records = Vec::new();
        for number in 0..random.random_range(3..=40_u64) {
            let id = (u128::from(seed) << 64) | (u128::from(number) * 0x9e37_79b9_7f4a_7c15 + 1);
            let begins_us = START_US + random.random_range(0..lasts_s) * SECOND_US;
            let partition = partition_of(id, partitions);
            let spans = spans(id, begins_us, &mut random);
            records.extend(arrivals(spans, partition, begins_us, &mut random));
        }
        if random.random_bool(0.2) {
            let at_us = START_US + random.random_range(0..lasts_s) * SECOND_US;
            records.push(Arrival { at_us, partition: 0, value: vec![0xff; 40] });
        }
        records.sort_by_key(|record| record.at_us);
        let replayed_spans = if random.random_bool(0.5) { 0 } else { random.random_range(1..200) };
        let remembered_spans = if random.random_bool(0.3) { random.random_range(0..60) } else { 1_000_000 };
        let fingerprints = if random.random_bool(0.5) { 16_000_000 } else { random.random_range(0..80) };
        let quarantine = random.random_bool(0.3).then(|| {
            let chosen = random.random_range(0..records.len());
            let partition = records[chosen].partition;
            let before = records[..chosen].iter().filter(|record| record.partition == partition);
            (partition, before.count() as i64)
        });
        Self { partitions, records, replayed_spans, remembered_spans, fingerprints, quarantine }
    }
}

fn spans(id: u128, begins_us: i64, random: &mut ChaCha8Rng) -> Vec<(&'static str, Span)> {
    let mut spans = Vec::new();
    let mut span =
        |service: &'static str, number: u64, parent: u64, kind: i32, at_ms: i64, more: Vec<KeyValue>| {
            let start = (begins_us as u64 + at_ms as u64 * 1_000) * 1_000;
            let span = Span {
                trace_id: id.to_be_bytes().to_vec(),
                span_id: number.to_be_bytes().to_vec(),
                parent_span_id: if parent == 0 { Vec::new() } else { parent.to_be_bytes().to_vec() },
                kind,
                name: format!("{service} {number}"),
                start_time_unix_nano: start,
                end_time_unix_nano: start + (number % 7 + 1) * 1_000_000,
                attributes: more,
                ..Default::default()
            };
            spans.push((service, span));
        };
    let operation = ["login", "create_vm", "delete_vm"][random.random_range(0..3)];
    let named = random.random_bool(0.7);
    let name = if named { vec![text("weir.operation", operation)] } else { vec![] };
    span("gateway", 1, 0, 2, 0, name);
    let calls = random.random_range(0..6_u64);
    for call in 1..=calls {
        let failed = random.random_bool(0.2);
        let code = text("http.response.status_code", if failed { "503" } else { "200" });
        span("gateway", call * 10, 1, 3, call as i64 * 20, vec![code.clone()]);
        match random.random_range(0..4) {
            0 => {}
            1 => span("auth", call * 10 + 1, call * 10, 2, call as i64 * 20 + 1, vec![code]),
            2 => span("vm", call * 10 + 1, call * 10, 2, call as i64 * 20 + 1, vec![code]),
            _ => {
                span("vm", call * 10 + 1, call * 10, 2, call as i64 * 20 + 1, vec![]);
                let database = vec![text("db.system.name", "postgresql"), text("db.namespace", "vms")];
                span("vm", call * 10 + 2, call * 10 + 1, 3, call as i64 * 20 + 2, database);
            }
        }
    }
    if random.random_bool(0.1) {
        span("stray", 900, 901, 2, 5, vec![]);
    }
    spans
}

/// Spreads the spans of a trace over records: most come soon, some late, some twice, rarely one doesn't come at all.
fn arrivals(
    mut spans: Vec<(&'static str, Span)>,
    partition: u32,
    begins_us: i64,
    random: &mut ChaCha8Rng,
) -> Vec<Arrival> {
    spans.shuffle(random);
    let polls = random.random_bool(0.15);
    let mut arrivals = Vec::new();
    for chunk in spans.chunks(random.random_range(1..=4)) {
        let after_s = match random.random_range(0..20) {
            0 => random.random_range(30..300),
            1..=3 => random.random_range(5..20),
            _ if polls => random.random_range(0..200),
            _ => random.random_range(0..3),
        };
        let at_us = begins_us + after_s * SECOND_US + random.random_range(0..1_000) * 1_000;
        if random.random_bool(0.02) {
            continue;
        }
        let value = message(chunk);
        if random.random_bool(0.1) {
            // A client whose acknowledgement was lost sends again.
            let at_us = at_us + random.random_range(0..60) * SECOND_US;
            arrivals.push(Arrival { at_us, partition, value: value.clone() });
        }
        arrivals.push(Arrival { at_us, partition, value });
    }
    arrivals
}

fn message(spans: &[(&'static str, Span)]) -> Vec<u8> {
    let resource_spans = spans.iter().map(|(service, span)| ResourceSpans {
        resource: Some(Resource { attributes: vec![text("service.name", service)], ..Default::default() }),
        scope_spans: vec![ScopeSpans { spans: vec![span.clone()], ..Default::default() }],
        ..Default::default()
    });
    TracesData { resource_spans: resource_spans.collect() }.encode_to_vec()
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..Default::default() }
}
