//! What happens to a request in memory, step by step, in CPU time a span, for developers: `make bench-stages`, or
//! `cargo bench -p ingest -- plan`. Without sockets and without Kafka; with them: `make bench-ingest`.

#[path = "../../stream-processor/benches/stages/measure.rs"]
mod measure;
#[path = "cost/requests.rs"]
mod requests;
#[path = "../../stream-processor/benches/exactly_once/workload.rs"]
#[allow(dead_code, reason = "offsets and rates are the other benchmark's")]
mod workload;

use bytes::Bytes;
use criterion::Throughput;
use flate2::Compression;
use flate2::write::GzEncoder;
use ingest::answer::Format;
use ingest::encoding::Encoding;
use ingest::packer::{Packer, Packing};
use ingest::prepare::{Intake, PrepareLimits};
use ingest::pressure::Pressure;
use ingest::slice;
use measure::{of_spans, timed};
use requests::{SPANS, requests};
use schemas::topics::MAX_RECORD_BYTES;
use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

const PARTITIONS: u32 = 2;
/// Of a pass.
const REQUESTS: usize = 400;
const BODY_BYTES: usize = 20 << 20;

fn main() {
    let bodies: Vec<Bytes> = requests(REQUESTS).into_iter().map(Bytes::from).collect();
    let gzipped: Vec<Bytes> = bodies.iter().map(gzip).collect();
    let bytes = bodies.iter().map(Bytes::len).sum::<usize>() / (REQUESTS * SPANS);
    let mut criterion = measure::criterion();
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(Throughput::Bytes(bytes as u64));
    let mut bench = |name: &str, bodies: &[Bytes], work: &mut dyn FnMut(&Bytes)| {
        let mut pass = || ((bodies.len() * SPANS) as u64, timed(|| bodies.iter().for_each(&mut *work)).1);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|spans| of_spans(spans, &mut pass));
        });
    };

    bench("check and plan", &bodies, &mut |body| {
        black_box(slice::plan(body, PARTITIONS, MAX_RECORD_BYTES).is_ok());
    });
    let limits =
        PrepareLimits { body_bytes: BODY_BYTES, fragment_bytes: MAX_RECORD_BYTES, partitions: PARTITIONS };
    let pressure = Pressure::new(1 << 30);
    let mut packers: Vec<_> = (0..PARTITIONS)
        .map(|_| Packer::new(Packing { bytes: MAX_RECORD_BYTES, wait: Duration::from_millis(50) }))
        .collect();
    bench("check, cut and pack", &bodies, &mut |body| {
        let (wire, charge) = (body.clone(), pressure.enter().expect("there is room"));
        let intake = Intake { wire, encoding: Encoding::Identity, format: Format::Protobuf, charge };
        let prepared = intake.prepare(limits).expect("it is a request");
        for fragment in prepared.fragments {
            black_box(packers[fragment.partition as usize].push(fragment.bytes, (), Instant::now()));
        }
    });
    bench("decompress gzip", &gzipped, &mut |body| {
        let mut charge = pressure.enter().expect("there is room");
        black_box(Encoding::Gzip.decompress(body.clone(), BODY_BYTES, &mut charge).is_ok());
    });
    group.finish();
    criterion.final_summary();
}

fn gzip(body: &Bytes) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("memory takes everything").into()
}
