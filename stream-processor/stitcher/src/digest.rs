//! Hashes whose sum stands for a shard's state. Adding and subtracting keeps the sum up to date as traces come and
//! go, in any order.

use crate::names::Names;
use crate::record::Record;
use crate::resolve::Mark;
use crate::rollup::Under;
use crate::span::TraceId;
use crate::trace::Trace;
use core::hash::{BuildHasher, Hash};
use rustc_hash::FxBuildHasher;

/// Of anything. Mixed once more: sums of plain products would cancel out too easily.
pub(crate) fn of(value: &impl Hash) -> u64 {
    let hash = FxBuildHasher.hash_one(value);
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Of a span that is kept.
pub(crate) fn of_span(id: TraceId, record: &Record) -> u64 {
    of(&(id, record.span_id, record.parent_id, record.kind(), record.content, record.window_s))
}

/// Of what a trace counts.
pub(crate) fn of_marks(marks: &[Mark]) -> u64 {
    marks.iter().fold(0, |sum, mark| sum.wrapping_add(of(&(mark.at, mark.window_s, mark.weight_milli))))
}

/// Of what a trace has said so far, and where it stands in life.
pub(crate) fn of_trace(id: TraceId, trace: &Trace, names: &Names) -> u64 {
    let text = |under: Under| (names.text_of(under.environment), names.text_of(under.operation));
    let (told, inherited) = (trace.told.map(|told| text(told.under)), trace.inherited.map(text));
    of(&(id, trace.life, told, inherited, trace.gist.digest))
}
