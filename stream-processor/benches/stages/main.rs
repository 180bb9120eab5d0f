//! CPU of each stage of the processor that needs no server, on one core: decode, stitch and roll up, encode.
//! `cargo bench -p stream-processor --bench stages`; the argument `--spans` says how many spans are measured.

#[path = "../exactly_once/workload.rs"]
#[allow(dead_code)] // every benchmark uses its own part
mod workload;

use prost::Message as _;
use reader::{Reader, Semconv};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use stitcher::{Settings, Shard};
use stream_processor::processor::shard::encoded_bytes;
use workload::{Message, START_US, spans_before};

/// Messages that are made before the clock runs.
const BATCH: i64 = 500;
/// Spans a second of log time, which decides how many are open, and how many go into a commit.
const SPANS_A_SECOND: i64 = 60_000;
const COMMIT_US: i64 = 200_000;
/// By then a shard remembers all it may.
const WARM_UP_SPANS: i64 = 1_500_000;

fn main() {
    let spans: i64 = std::env::args()
        .skip_while(|arg| arg != "--spans")
        .nth(1)
        .map_or(1_000_000, |n| n.parse().expect("--spans takes a number"));
    let semconv = Arc::new(Semconv::embedded());
    let (mut first, mut second) = (Reader::new(semconv.clone()), Reader::new(semconv));
    let mut shard = Shard::new(Settings::default());
    let (mut offset, mut committed_us) = (0, START_US);
    let mut cpu = Cpu::default();
    let (mut bytes_in, mut bytes_out, mut rows) = (0, 0, 0);
    while spans_before(offset) < WARM_UP_SPANS + spans {
        if spans_before(offset) < WARM_UP_SPANS {
            (cpu, bytes_in, bytes_out, rows) = (Cpu::default(), 0, 0, 0);
        }
        let time_of = |offset| START_US + spans_before(offset) * 1_000_000 / SPANS_A_SECOND;
        let batch: Vec<(i64, Vec<u8>)> = (offset..offset + BATCH)
            .map(|offset| (time_of(offset), Message::at(offset, 0, 2, time_of(offset)).data.encode_to_vec()))
            .collect();
        let began = cpu_time();
        for (_, value) in &batch {
            let read = first.read(value, &mut |span| {
                black_box(span.content);
            });
            black_box(read.expect("a message"));
        }
        let decoded = cpu_time();
        for (i, (time_us, value)) in (0..).zip(&batch) {
            shard.begin_record(offset + i, *time_us);
            let read = second.read(value, &mut |span| shard.apply(span));
            black_box(read.expect("a message"));
        }
        let applied = cpu_time();
        cpu.decode += decoded - began;
        cpu.apply += (applied - decoded).saturating_sub(decoded - began);
        bytes_in += batch.iter().map(|(_, value)| value.len()).sum::<usize>();
        offset += BATCH;
        if time_of(offset) - committed_us >= COMMIT_US {
            committed_us = time_of(offset);
            let began = cpu_time();
            let commit = shard.commit();
            let committed = cpu_time();
            rows += commit.deltas.edges.len() + commit.deltas.services.len();
            bytes_out += encoded_bytes(&commit);
            cpu.encode += cpu_time() - committed;
            cpu.commit += committed - began;
        }
    }
    let spans = spans_before(offset) - WARM_UP_SPANS;
    let ns = |time: Duration| time.as_nanos() as f64 / spans as f64;
    let Cpu { decode, apply, commit, encode } = cpu;
    println!("{spans} spans, {} bytes each, {rows} rows, {bytes_out} bytes out", bytes_in as i64 / spans);
    println!(
        "ns a span: decode {:.0}, apply {:.0}, commit {:.0}, encode {:.0}, all {:.0}",
        ns(decode),
        ns(apply),
        ns(commit),
        ns(encode),
        ns(decode + apply + commit + encode)
    );
    println!(
        "open {} spans, remembered {}, {} MiB at most",
        shard.open_spans(),
        shard.remembered_spans(),
        peak_mib()
    );
}

/// CPU by stage.
#[derive(Default)]
struct Cpu {
    decode: Duration,
    /// From facts to kept spans, and what falls due meanwhile.
    apply: Duration,
    commit: Duration,
    encode: Duration,
}

/// User and system time of this thread.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[allow(unsafe_code)] // a system call that fills what it is given
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}
