//! What each stage of the stream processor that needs no server takes for a span, for developers: `make bench-stages`, or
//! `cargo bench -p stream-processor -- encode`. Decoding alone is measured in `reader`, the shard alone in `stitcher`.

mod measure;
#[path = "../store/messages.rs"]
mod messages;
#[path = "../exactly_once/workload.rs"]
#[allow(dead_code, reason = "every benchmark uses its own part")]
mod workload;

use criterion::{Criterion, SamplingMode, Throughput};
use measure::{CpuTime, of_spans, timed};
use prost::Message as _;
use reader::{Reader, Semconv};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use stitcher::{Commit, Settings, Shard};
use stream_processor::processor::shard::encoded_bytes;
use stream_processor::store::alone::{BatchId, Record, Sequences, Topic};
use workload::{Message, START_US, spans_before};

/// Spans a second of log time, which decides how many are open …
const SPANS_A_SECOND: i64 = 60_000;
/// … and how many go into a commit.
const COMMIT_US: i64 = 200_000;
/// By then a shard remembers all it may.
const WARM_UP_SPANS: i64 = 1_500_000;
const BLOCK_ROWS: usize = 100_000;

fn main() {
    let mut criterion = measure::criterion();
    processor(&mut criterion);
    store(&mut criterion);
    criterion.final_summary();
}

/// From messages to the records of a commit.
fn processor(criterion: &mut Criterion<CpuTime>) {
    let mut core = Core::warm();
    let mut group = criterion.benchmark_group("processor");
    group.throughput(Throughput::Elements(1)).sampling_mode(SamplingMode::Flat);
    group.bench_function("encode deltas, events and summaries", |bencher| {
        bencher.iter_custom(|spans| {
            of_spans(spans, || {
                let (spans, commit, _) = core.round();
                (spans, timed(|| black_box(encoded_bytes(&commit))).1)
            })
        });
    });
    group.bench_function("decode, stitch, commit and encode", |bencher| {
        bencher.iter_custom(|spans| {
            of_spans(spans, || {
                let (spans, commit, taken) = core.round();
                (spans, taken + timed(|| black_box(encoded_bytes(&commit))).1)
            })
        });
    });
    group.finish();
    let Core { shard, .. } = core;
    println!(
        "{} open spans, {} remembered, {} MiB at most\n",
        shard.open_spans(),
        shard.remembered_spans(),
        measure::peak_mib()
    );
}

/// A shard in the steady state, and who reads for it.
struct Core {
    reader: Reader,
    shard: Shard,
    offset: i64,
}

impl Core {
    fn warm() -> Self {
        let reader = Reader::new(Arc::new(Semconv::embedded()));
        let mut core = Self { reader, shard: Shard::new(Settings::default()), offset: 0 };
        while spans_before(core.offset) < WARM_UP_SPANS {
            core.round();
        }
        core
    }

    /// Reads what comes in until a commit is due: how many spans, the commit, and what both took.
    fn round(&mut self) -> (u64, Commit, Duration) {
        let time_of = |offset| START_US + spans_before(offset) * 1_000_000 / SPANS_A_SECOND;
        let (first, due_us) = (self.offset, time_of(self.offset) + COMMIT_US);
        let messages: Vec<(i64, i64, Vec<u8>)> = (first..)
            .map(|offset| (offset, time_of(offset)))
            .take_while(|(_, time_us)| *time_us < due_us)
            .map(|(offset, time_us)| {
                (offset, time_us, Message::at(offset, 0, 2, time_us).data.encode_to_vec())
            })
            .collect();
        self.offset += messages.len() as i64;
        let Self { reader, shard, .. } = self;
        let (commit, taken) = timed(|| {
            for (offset, time_us, value) in &messages {
                shard.begin_record(*offset, *time_us);
                black_box(reader.read(value, &mut |span| shard.apply(span)).expect("a message"));
            }
            shard.commit()
        });
        ((spans_before(self.offset) - spans_before(first)).unsigned_abs(), commit, taken)
    }
}

/// From messages of raw spans to the rows of a block.
fn store(criterion: &mut Criterion<CpuTime>) {
    let messages: Vec<Vec<u8>> =
        (0..BLOCK_ROWS / messages::SPANS).map(|at| messages::message(at, (0, 2), START_US)).collect();
    let bytes: usize = messages.iter().map(Vec::len).sum();
    let mut group = criterion.benchmark_group("store");
    group.throughput(Throughput::Bytes((bytes / BLOCK_ROWS) as u64)).sampling_mode(SamplingMode::Flat);
    group.bench_function("rows of otel_traces", |bencher| {
        bencher.iter_custom(|spans| {
            of_spans(spans, || {
                let ((), taken) = timed(|| {
                    let mut content = Topic::Spans.content(Sequences::default(), false);
                    for (offset, value) in (0..).zip(&messages) {
                        content.add(Record { partition: 0, offset, timestamp_ms: START_US / 1000, value });
                    }
                    assert_eq!(content.rows(), BLOCK_ROWS);
                    black_box(content.finish(BatchId { generation: 1, lane: 2, batch: 1 }));
                });
                (BLOCK_ROWS as u64, taken)
            })
        });
    });
    group.finish();
}
