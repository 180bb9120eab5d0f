//! What happens to a request in memory, step by step: for developers, on one thread.

use crate::PARTITIONS;
use crate::requests::{SPANS, requests};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use ingest::answer::Format;
use ingest::encoding::Encoding;
use ingest::packer::{Packer, Packing};
use ingest::prepare::{Intake, PrepareLimits};
use ingest::pressure::Pressure;
use ingest::slice;
use schemas::topics::MAX_RECORD_BYTES;
use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

const REQUESTS: usize = 400;
const ROUNDS: usize = 9;

pub fn measure() {
    let bodies: Vec<Bytes> = requests(REQUESTS).into_iter().map(Bytes::from).collect();
    let bytes: usize = bodies.iter().map(Bytes::len).sum();
    println!("In memory, µs CPU a span ({} bytes each), median of {ROUNDS}:", bytes / (REQUESTS * SPANS));
    let limits =
        PrepareLimits { body_bytes: 20 << 20, fragment_bytes: MAX_RECORD_BYTES, partitions: PARTITIONS };
    let pressure = Pressure::new(1 << 30);
    let intake = |wire: &Bytes, encoding| {
        let (wire, charge) = (wire.clone(), pressure.enter().expect("there is room"));
        Intake { wire, encoding, format: Format::Protobuf, charge }
    };

    report("check and plan", &bodies, |body| {
        black_box(slice::plan(body, PARTITIONS, MAX_RECORD_BYTES).is_ok());
    });
    let mut packers = (0..PARTITIONS)
        .map(|_| Packer::new(Packing { bytes: MAX_RECORD_BYTES, wait: Duration::from_millis(50) }))
        .collect::<Vec<_>>();
    report("the same, cut and packed", &bodies, |body| {
        let prepared = intake(body, Encoding::Identity).prepare(limits).expect("it is a request");
        for fragment in prepared.fragments {
            black_box(packers[fragment.partition as usize].push(fragment.bytes, (), Instant::now()));
        }
    });
    let gzipped: Vec<Bytes> = bodies
        .iter()
        .map(|body| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(body).and_then(|()| encoder.finish()).expect("memory takes everything").into()
        })
        .collect();
    report("decompress gzip", &gzipped, |body| {
        let mut charge = pressure.enter().expect("there is room");
        black_box(Encoding::Gzip.decompress(body.clone(), 20 << 20, &mut charge).is_ok());
    });
}

/// In CPU time of this thread: machines are shared.
fn report(stage: &str, bodies: &[Bytes], mut work: impl FnMut(&Bytes)) {
    let rounds = (0..ROUNDS).map(|_| {
        let before = cpu_us();
        bodies.iter().for_each(&mut work);
        (cpu_us() - before) / (bodies.len() * SPANS) as f64
    });
    println!("  {stage:<26} {:.3}", crate::spread(rounds.collect()).1);
}

fn cpu_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e3
}
