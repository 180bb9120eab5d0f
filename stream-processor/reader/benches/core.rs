//! The core without servers, as `tools/instructions` counts its instructions: messages are read and stitched, traces close
//! and are forgotten, and a commit follows every 12,000 spans. `cargo bench -p reader --bench core -- --spans 60000`

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark stops where it is wrong")]

#[path = "../../benches/exactly_once/workload.rs"]
#[allow(dead_code, reason = "some of it is the other benchmarks'")]
mod workload;

use prost::Message as _;
use reader::Reader;
use std::hint::black_box;
use std::sync::Arc;
use stitcher::{Settings, Shard};
use workload::{Message, START_US, spans_before};

const SPANS_A_SECOND: i64 = 6_000;
const COMMIT_SPANS: i64 = 12_000;
/// Few, so that the steady state is reached soon.
const REMEMBERED: usize = 10_000;

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--spans");
    let spans: i64 = arguments.nth(1).map_or(60_000, |spans| spans.parse().unwrap());
    let mut settings = Settings::default();
    settings.limits.remembered_spans = REMEMBERED;
    let mut shard = Shard::new(settings);
    let mut reader = Reader::new(Arc::new(reader::Semconv::embedded()));
    let (mut offset, mut committed) = (0, 0);
    while spans_before(offset) < spans {
        let time_us = START_US + spans_before(offset) * 1_000_000 / SPANS_A_SECOND;
        let message = Message::at(offset, 0, 2, time_us).data.encode_to_vec();
        measured_record(&mut reader, &mut shard, (offset, time_us), &message);
        offset += 1;
        if spans_before(offset) - committed >= COMMIT_SPANS {
            committed = spans_before(offset);
            measured_commit(&mut shard);
        }
    }
    println!("{} spans, {} open", spans_before(offset), shard.open_spans());
}

// Only what these two do is counted: `tools/instructions` knows them by name.

#[inline(never)]
fn measured_record(reader: &mut Reader, shard: &mut Shard, (offset, time_us): (i64, i64), message: &[u8]) {
    shard.begin_record(offset, time_us);
    black_box(reader.read(message, &mut |span| shard.apply(span)).unwrap());
}

#[inline(never)]
fn measured_commit(shard: &mut Shard) {
    black_box(shard.commit());
}
