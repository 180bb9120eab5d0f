//! What reading a span costs: CPU time over many rounds, on messages as the exactly-once benchmark sends
//! them. `cargo bench -p reader`, or `cargo bench -p reader -- Reader` for one row alone.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark stops where it is wrong")]

#[path = "../../benches/exactly_once/workload.rs"]
#[allow(dead_code, reason = "offsets and partitions are the other benchmark's")]
mod workload;

use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, TracesData};
use prost::Message;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

/// Spans of a round: 2 MB of messages, which stay in the caches as a fetched and decompressed batch does.
const SPANS: usize = 4_000;
const ROUNDS: usize = 501;

fn main() {
    let only = std::env::args().nth(1).filter(|argument| !argument.starts_with("--"));
    for traces in [1, 5] {
        let messages = messages(traces);
        let spans: usize = messages.iter().map(|(spans, _)| spans).sum();
        let bytes: usize = messages.iter().map(|(_, bytes)| bytes.len()).sum();
        println!("{} spans a message, {} bytes a span", traces * 20, bytes / spans);
        let report = |name: &str, once: &mut dyn FnMut(&[u8])| {
            if only.as_ref().is_some_and(|only| only != name) {
                return;
            }
            let (median, fastest) = times_ns(&mut || messages.iter().for_each(|(_, bytes)| once(bytes)));
            let (a_span, a_byte) = (median / spans as f64, median / bytes as f64);
            let fastest = fastest / spans as f64;
            println!(
                "  {name:<12} {a_span:>7.1} ns a span {a_byte:>7.3} ns a byte; fastest {fastest:>7.1} ns a span"
            );
        };
        let semconv = Arc::new(reader::Semconv::embedded());
        let mut reader = reader::Reader::new(semconv.clone());
        report("Reader", &mut |bytes| {
            let read = reader.read(bytes, &mut |span| {
                black_box(span);
            });
            black_box(read.unwrap());
        });
        report("read_otlp", &mut |bytes| {
            let read = reader::read_otlp(&semconv, bytes, &mut |span| {
                black_box(span);
            });
            black_box(read.unwrap());
        });
        report("walk alone", &mut |bytes| {
            otlp::TracesData::of(bytes).check().unwrap();
        });
        report("prost", &mut |bytes| {
            black_box(TracesData::decode(bytes).unwrap());
        });
    }
}

/// Messages of so many traces each, and their numbers of spans.
fn messages(traces: usize) -> Vec<(usize, Vec<u8>)> {
    let message = |first: usize| {
        // Every tenth trace goes through the same services.
        let offsets = (0..traces).map(|trace| (first + 10 * (trace + traces * (first / 10))) as i64);
        let data = offsets.map(|offset| workload::Message::at(offset, 0, 2, workload::START_US).data);
        let data = grouped(data.collect());
        (spans_of(&data), data.encode_to_vec())
    };
    (0..SPANS / 20 / traces).map(message).collect()
}

/// Spans of one resource together, as a collector's batches have them.
fn grouped(traces: Vec<TracesData>) -> TracesData {
    let mut by_resource = BTreeMap::new();
    for resource_spans in traces.into_iter().flat_map(|data| data.resource_spans) {
        let resource = resource_spans.resource.clone().unwrap().encode_to_vec();
        let into = by_resource.entry(resource).or_insert_with(|| {
            let mut empty = resource_spans.clone();
            empty.scope_spans = vec![ScopeSpans::default()];
            empty
        });
        into.scope_spans[0]
            .spans
            .extend(resource_spans.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
    TracesData { resource_spans: by_resource.into_values().collect() }
}

fn spans_of(data: &TracesData) -> usize {
    data.resource_spans.iter().flat_map(|one| &one.scope_spans).map(|scope| scope.spans.len()).sum()
}

/// Of all rounds the median and the fastest, which a busy machine disturbs least.
fn times_ns(round: &mut dyn FnMut()) -> (f64, f64) {
    let mut taken: Vec<u64> = (0..ROUNDS)
        .map(|_| {
            let began = cpu_ns();
            round();
            cpu_ns() - began
        })
        .collect();
    taken.sort_unstable();
    (taken[ROUNDS / 2] as f64, taken[0] as f64)
}

/// CPU time of this thread.
fn cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one `timespec`, which `time` is.
    #[allow(unsafe_code, reason = "the standard library has no clock of CPU time")]
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(answer, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
