//! Both times of all spans of a trace, in room that is used for one trace after the other.

use crate::Interval;
use crate::critical_path::{self, Room};
use crate::self_time;
use alloc::vec::Vec;

/// Self times and critical times, measured without allocating once there is room.
#[derive(Default)]
pub struct Times {
    room: Room,
    /// Self time of each span, µs, as of [`crate::self_times`].
    pub own: Vec<u64>,
    /// Time of each span on the critical path, µs, as of [`crate::critical_times_by`].
    pub critical: Vec<u64>,
}

impl Times {
    /// Measures the next trace.
    pub fn measure<R: Ord>(&mut self, spans: &[Interval], root: u32, rank: impl Fn(u32) -> R) {
        self.room.children.group(spans, |span| span.awaited);
        self_time::measure(spans, &mut self.room.children, &mut self.own);
        critical_path::measure(spans, root, rank, &mut self.room, &mut self.critical);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{critical_times, self_times};

    #[test]
    fn one_trace_leaves_nothing_behind_for_the_next() {
        let span = |start_us, end_us, parent| Interval { start_us, end_us, parent, awaited: true };
        let large: Vec<_> = (0..9).map(|i| span(i * 10, 100 - i, (i > 0).then(|| i as u32 - 1))).collect();
        let small = [span(0, 100, None), span(10, 40, Some(0)), span(20, 90, Some(0))];
        let mut times = Times::default();
        for spans in [&large[..], &small, &large, &[]] {
            times.measure(spans, 0, |index| index);
            assert_eq!((&times.own, &times.critical), (&self_times(spans), &critical_times(spans, 0)));
        }
    }
}
