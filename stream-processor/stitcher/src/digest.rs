//! Hashes whose sum stands for a shard's state. Adding and subtracting keeps the sum up to date as traces come and
//! go, in any order.

use crate::record::Record;
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
    of(&(id, record.span_id, record.parent_id, record.kind, record.content, record.window_s))
}

/// Of what a trace has said so far, and where it stands in life.
pub(crate) fn of_trace(id: TraceId, trace: &Trace) -> u64 {
    let marks = trace.emitted.marks.iter();
    let marks =
        marks.fold(0_u64, |sum, mark| sum.wrapping_add(of(&(mark.at, mark.window_s, mark.weight_milli))));
    of(&(id, trace.life, &trace.emitted.under, &trace.inherited, marks))
}
