//! What decoding a span takes, for developers, on messages as the exactly-once benchmark sends them: `make bench-stages`,
//! or `cargo bench -p reader -- Reader`. Beside the reader stand the bare walk over the same bytes, and prost.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark stops where it is wrong")]

#[path = "../../benches/stages/measure.rs"]
mod measure;
#[path = "../../benches/exactly_once/workload.rs"]
#[allow(dead_code, reason = "offsets and partitions are the other benchmark's")]
mod workload;

use criterion::{Criterion, Throughput};
use measure::{CpuTime, of_spans, timed};
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, TracesData};
use prost::Message;
use reader::{Reader, Semconv};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

/// Spans of a pass: 2 MB of messages, which stay in the caches as a fetched and decompressed batch does.
const SPANS: usize = 4_000;

fn main() {
    let mut criterion = measure::criterion();
    for traces in [1, 5] {
        decode(&mut criterion, traces);
    }
    criterion.final_summary();
}

fn decode(criterion: &mut Criterion<CpuTime>, traces: usize) {
    let messages = messages(traces);
    let spans: usize = messages.iter().map(|(spans, _)| spans).sum();
    let bytes: usize = messages.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut group = criterion.benchmark_group(format!("decode, {} spans a message", traces * 20));
    group.throughput(Throughput::Bytes((bytes / spans) as u64));
    let mut bench = |name: &str, once: &mut dyn FnMut(&[u8])| {
        group.bench_function(name, |bencher| {
            let mut pass = || (spans as u64, timed(|| messages.iter().for_each(|(_, bytes)| once(bytes))).1);
            bencher.iter_custom(|spans| of_spans(spans, &mut pass));
        });
    };
    let semconv = Arc::new(Semconv::embedded());
    let mut reader = Reader::new(semconv.clone());
    bench("Reader", &mut |bytes| {
        let read = reader.read(bytes, &mut |span| {
            black_box(span);
        });
        black_box(read.unwrap());
    });
    bench("read_otlp", &mut |bytes| {
        let read = reader::read_otlp(&semconv, bytes, &mut |span| {
            black_box(span);
        });
        black_box(read.unwrap());
    });
    bench("walk alone", &mut |bytes| {
        otlp::TracesData::of(bytes).check().unwrap();
    });
    bench("prost", &mut |bytes| {
        black_box(TracesData::decode(bytes).unwrap());
    });
    group.finish();
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
