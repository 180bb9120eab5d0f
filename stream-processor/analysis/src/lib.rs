//! What a whole trace says about time: how long each span worked itself, which spans the caller waited
//! for, and how far the clocks of two hosts are apart.
//!
//! This crate never reads a clock, never does I/O, never recurses and never panics on bad input: parents
//! out of range count as missing, negative durations as zero, spans on a cycle as unreachable.

#![no_std]

extern crate alloc;

mod critical_path;
mod self_time;
pub mod skew;
mod times;
mod tree;

pub use critical_path::{Section, critical_path, critical_path_by, critical_times, critical_times_by};
pub use self_time::self_times;
pub use times::Times;

/// What these functions need to know of a span. A span is named by its index in the slice it stands in.
///
/// Only the choice between siblings of exactly equal times depends on the order of the slice; a caller who wants
/// the same answer for every order of arrival gives their span ids as ranks ([`critical_times_by`]).
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    /// Start, in µs since the epoch. (Any unit will do, as long as it is one.)
    pub start_us: i64,
    /// End, same unit. An end before the start counts as the start.
    pub end_us: i64,
    /// Index of the parent span; `None` for a root or a span whose parent is unknown.
    pub parent: Option<u32>,
    /// False for an asynchronous child (CONSUMER, linked): its parent doesn't wait for it.
    pub awaited: bool,
}

impl Interval {
    /// The end, never before the start.
    fn end(&self) -> i64 {
        self.end_us.max(self.start_us)
    }

    /// The part of this interval that lies inside `[start, end]`, or `None` when they do not overlap.
    ///
    /// A zero-length span inside the bounds is kept, one at the very end isn't: nothing waits for a child
    /// that starts when its parent is over. (As Jaeger UI does.)
    fn clipped(&self, start: i64, end: i64) -> Option<(i64, i64)> {
        let before = self.start_us < start && self.end() <= start;
        if before || self.start_us >= end {
            return None;
        }
        Some((self.start_us.max(start), self.end().min(end)))
    }
}
