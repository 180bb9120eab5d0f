//! What a shard takes for a span, for developers: spans that were read already, in; commits, out. Whole traces of 20 spans
//! of 10 services, as of a console, at 60,000 spans a second of log time, once the shard remembers all it may.
//! `make bench-stages`, or `cargo bench -p stitcher -- commit`; allocations and memory stand at the end of each group.
//!
//! The spans are made here: this crate knows no protobuf, and so not the messages that others measure with.

#[path = "../tests/counting/mod.rs"]
mod counting;
#[path = "../../benches/stages/measure.rs"]
mod measure;

use counting::ALLOCATIONS;
use criterion::{Criterion, SamplingMode, Throughput};
use measure::{CpuTime, of_spans, timed};
use std::hint::black_box;
use std::sync::atomic::Ordering;
use std::time::Duration;
use stitcher::span::{Facts, Kind, OperationSource, Peer, PeerKind, Resource, Span, SpanId, TraceId};
use stitcher::{Settings, Shard};

const SPANS_A_SECOND: i64 = 60_000;
/// Those of 200 ms.
const COMMIT_SPANS: usize = 12_000;
/// By then a shard remembers all it may.
const WARM_UP_SPANS: i64 = 1_500_000;
const START_US: i64 = 1_790_000_000_000_000;
const SERVICES_A_TRACE: u64 = 10;

fn main() {
    let mut criterion = measure::criterion();
    for services in [100, 1_000] {
        shard(&mut criterion, services);
    }
    criterion.final_summary();
}

fn shard(criterion: &mut Criterion<CpuTime>, services: u64) {
    let texts = Texts::of(services);
    let mut river = River::warm(&texts);
    let mut group = criterion.benchmark_group(format!("shard, {services} services"));
    group.throughput(Throughput::Elements(1)).sampling_mode(SamplingMode::Flat);
    for (name, of) in [("apply", 0), ("commit", 1)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|spans| of_spans(spans, || (COMMIT_SPANS as u64, river.round()[of])));
        });
    }
    group.finish();
    let a_span = |allocations| allocations as f64 / (river.applied - WARM_UP_SPANS) as f64;
    println!(
        "{:.3} allocations a span when applied, {:.3} at commits; {} open spans, {} remembered, {} MiB at most\n",
        a_span(river.allocations[0]),
        a_span(river.allocations[1]),
        river.shard.open_spans(),
        river.shard.remembered_spans(),
        measure::peak_mib(),
    );
}

/// A shard in the steady state, and where its log is.
struct River<'t> {
    texts: &'t Texts,
    shard: Shard,
    batch: Vec<Span<'t>>,
    traces: u64,
    applied: i64,
    /// As spans were applied, and at commits, since the warm-up.
    allocations: [u64; 2],
}

impl<'t> River<'t> {
    fn warm(texts: &'t Texts) -> Self {
        let shard = Shard::new(Settings::default());
        let mut river = Self { texts, shard, batch: Vec::new(), traces: 0, applied: 0, allocations: [0; 2] };
        while river.applied < WARM_UP_SPANS {
            river.round();
        }
        river.allocations = [0; 2];
        river
    }

    /// Applies the spans of a commit, and commits: what each took.
    fn round(&mut self) -> [Duration; 2] {
        self.batch.clear();
        while self.batch.len() < COMMIT_SPANS {
            let position = self.applied + self.batch.len() as i64;
            push_trace(self.traces, position, self.texts, &mut self.batch);
            self.traces += 1;
        }
        let Self { shard, batch, applied, .. } = self;
        let count = || ALLOCATIONS.load(Ordering::Relaxed);
        let before = count();
        let ((), apply) = timed(|| {
            for spans in batch.chunks(2 * SERVICES_A_TRACE as usize) {
                shard.begin_record(*applied, START_US + *applied * 1_000_000 / SPANS_A_SECOND);
                spans.iter().for_each(|span| shard.apply(span));
                *applied += spans.len() as i64;
            }
        });
        let between = count();
        let (out, commit) = timed(|| shard.commit());
        self.allocations[0] += between - before;
        self.allocations[1] += count() - between;
        black_box(out);
        [apply, commit]
    }
}

struct Texts {
    services: Vec<String>,
    routes: Vec<String>,
    names: Vec<String>,
    operations: Vec<String>,
}

impl Texts {
    fn of(services: u64) -> Self {
        Self {
            services: (0..services).map(|i| format!("service-{i:04}")).collect(),
            routes: (0..services).map(|i| format!("/v2/projects/{{project}}/resources-{i}")).collect(),
            names: (0..services).map(|i| format!("GET /v2/projects/{{project}}/resources-{i}")).collect(),
            operations: (0..services / 2).map(|i| format!("operation-{i:03}")).collect(),
        }
    }
}

fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn push_trace<'t>(number: u64, position: i64, texts: &'t Texts, to: &mut Vec<Span<'t>>) {
    let ends_us = START_US + position * 1_000_000 / SPANS_A_SECOND;
    let id = u128::from(mixed(number)) << 64 | u128::from(mixed(number ^ 0xabc));
    let many = texts.services.len() as u64;
    let first = mixed(number ^ 0xdef) % many;
    let whole_ns = 20_000_000 + mixed(id as u64) % 200_000_000;
    let ends_ns = ends_us as u64 * 1_000;
    let span_id = |i: u64| SpanId(mixed(id as u64 ^ i) | 1);
    let fails = number.is_multiple_of(100);
    for i in 0..2 * SERVICES_A_TRACE {
        let (service, is_client) = (i / 2, i % 2 == 1);
        // The CLIENT of service i stands in the service that calls it.
        let parent = match (is_client, service) {
            (false, 0) => None,
            (false, _) => Some(span_id(2 * service + 1)),
            (true, 0) => Some(span_id(2 * (SERVICES_A_TRACE - 1))),
            (true, _) => Some(span_id(2 * ((service - 1) / 2))),
        };
        let is_database = is_client && service == 0;
        let emitter = if !is_client {
            service
        } else if is_database {
            SERVICES_A_TRACE - 1
        } else {
            (service - 1) / 2
        };
        let at = |service: u64| ((first + service * service) % many) as usize;
        let depth =
            u64::from((service + 1).ilog2()) * 2 + u64::from(!is_client) + if is_database { 9 } else { 0 };
        let facts = Facts {
            operation: (i == 0).then(|| {
                (
                    OperationSource::Attribute,
                    texts.operations[(first % (many / 2).max(1)) as usize].as_str().into(),
                )
            }),
            http_method: if is_database { "" } else { "GET" },
            http_route: if is_client { "" } else { &texts.routes[at(service)] },
            http_status: (!is_database).then_some(if fails && service + 1 == SERVICES_A_TRACE {
                503
            } else {
                200
            }),
            peer: is_client.then(|| Peer {
                name: if is_database { "postgresql:inventory" } else { texts.services[at(service)].as_str() }
                    .into(),
                namespace: "",
                kind: if is_database { PeerKind::Database } else { PeerKind::External },
            }),
            server_address: &texts.services[at(service)],
            request_key: mixed(id as u64 ^ service),
            ..Facts::default()
        };
        to.push(Span {
            trace_id: TraceId(id),
            span_id: span_id(i),
            parent_id: parent,
            kind: if is_client { Kind::Client } else { Kind::Server },
            start_ns: ends_ns - whole_ns + depth * whole_ns / 40,
            end_ns: ends_ns - depth * whole_ns / 40,
            name: if is_client { "GET" } else { &texts.names[at(service)] },
            resource: Resource {
                namespace: "console",
                service: &texts.services[at(emitter)],
                version: "2026.11.3",
                environment: "production",
                ..Resource::default()
            },
            resource_number: at(emitter) as u64 + 1,
            facts,
            content: mixed(id as u64 ^ i ^ 0x77),
            ..Span::default()
        });
    }
}
