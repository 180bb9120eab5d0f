//! CPU of a shard by itself: spans that were read already, in; commits, out. Whole traces of 20 spans of 10 services, as of a
//! console, 100,000 spans a commit, at 60,000 spans a second of log time.
//!
//! `cargo bench -p stitcher -- --spans 2000000 --services 1000 --commit 12000`

#[path = "../tests/counting/mod.rs"]
mod counting;

use counting::ALLOCATIONS;
use std::sync::atomic::Ordering;
use stitcher::span::{Facts, Kind, OperationSource, Peer, PeerKind, Resource, Span, SpanId, TraceId};
use stitcher::{Settings, Shard};

const SPANS_A_SECOND: i64 = 60_000;
const START_US: i64 = 1_790_000_000_000_000;
const SERVICES_A_TRACE: u64 = 10;

struct Texts {
    services: Vec<String>,
    routes: Vec<String>,
    names: Vec<String>,
    operations: Vec<String>,
}

fn argument(name: &str, default: u64) -> u64 {
    let given = std::env::args().skip_while(|arg| arg != name).nth(1);
    given.map_or(default, |number| number.parse().expect("a number"))
}

/// User and system time of this thread.
fn cpu_ns() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[allow(unsafe_code)] // a system call that fills what it is given
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn main() {
    let (spans, services) = (argument("--spans", 1_000_000) as i64, argument("--services", 100));
    let commit_spans = argument("--commit", 100_000) as usize;
    let warm_up = argument("--warm-up", 1_500_000) as i64;
    let texts = Texts {
        services: (0..services).map(|i| format!("service-{i:04}")).collect(),
        routes: (0..services).map(|i| format!("/v2/projects/{{project}}/resources-{i}")).collect(),
        names: (0..services).map(|i| format!("GET /v2/projects/{{project}}/resources-{i}")).collect(),
        operations: (0..services / 2).map(|i| format!("operation-{i:03}")).collect(),
    };
    let mut shard = Shard::new(Settings::default());
    let (mut applied, mut trace, mut rows, mut since) = (0, 0, 0, 0);
    let (mut apply, mut commit, mut allocations) = (0, 0, [0; 2]);
    let mut batch = Vec::new();
    while applied < warm_up + spans {
        if applied < warm_up {
            (apply, commit, allocations, rows) = (0, 0, [0; 2], 0);
        }
        batch.clear();
        while batch.len() < commit_spans {
            push_trace(trace, applied + batch.len() as i64, &texts, &mut batch);
            trace += 1;
        }
        let (began, before) = (cpu_ns(), ALLOCATIONS.load(Ordering::Relaxed));
        for spans in batch.chunks(20) {
            shard.begin_record(since, START_US + applied * 1_000_000 / SPANS_A_SECOND);
            spans.iter().for_each(|span| shard.apply(span));
            applied += spans.len() as i64;
            since += 1;
        }
        let (done, between) = (cpu_ns() - began, ALLOCATIONS.load(Ordering::Relaxed));
        let began = cpu_ns();
        let out = shard.commit();
        rows += out.deltas.edges.len() + out.deltas.services.len() + out.deltas.endpoints.len();
        commit += cpu_ns() - began;
        apply += done;
        allocations[0] += between - before;
        allocations[1] += ALLOCATIONS.load(Ordering::Relaxed) - between;
    }
    let each = |sum: f64| sum / (applied - warm_up) as f64;
    println!(
        "{services} services: apply {:.0} ns, commit {:.0} ns a span; {:.3} rows, {:.3} + {:.3} allocations a span",
        each(apply as f64),
        each(commit as f64),
        each(rows as f64),
        each(allocations[0] as f64),
        each(allocations[1] as f64),
    );
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
