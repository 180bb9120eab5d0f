//! What is due when, in constant time an entry. Nothing is looked for to be taken out: an entry that isn't true any more is
//! passed over when its turn comes, and whoever knows better says so.

use crate::span::TraceId;
use alloc::collections::{BTreeMap, BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;

/// A tick is 65 ms: entries are put in order a tick at a time.
const TICK_BITS: u32 = 16;

/// When a trace wants to be looked at.
pub(crate) type Timer = (i64, TraceId);

/// Timers by when they ring; of equal ones the smaller trace id first.
#[derive(Default)]
pub(crate) struct Timers {
    /// Those of the ticks up to this one, in order.
    tick: Option<i64>,
    due: BinaryHeap<Reverse<Timer>>,
    later: BTreeMap<i64, Vec<Timer>>,
}

impl Timers {
    pub fn insert(&mut self, timer: Timer) {
        let tick = timer.0 >> TICK_BITS;
        if self.tick.is_some_and(|until| tick <= until) {
            self.due.push(Reverse(timer));
        } else {
            self.later.entry(tick).or_default().push(timer);
        }
    }

    /// The next one that rings by then.
    pub fn pop_until(&mut self, now_us: i64) -> Option<Timer> {
        while self.due.is_empty() {
            let first = self.later.first_entry().filter(|first| *first.key() <= now_us >> TICK_BITS)?;
            let (tick, timers) = first.remove_entry();
            self.tick = Some(tick);
            self.due = timers.into_iter().map(Reverse).collect::<Vec<_>>().into();
        }
        let is_due = self.due.peek().is_some_and(|Reverse((at_us, _))| *at_us <= now_us);
        if is_due { self.due.pop().map(|Reverse(timer)| timer) } else { None }
    }

    /// Slow: for tests.
    pub fn contains(&self, timer: Timer) -> bool {
        let later = self.later.get(&(timer.0 >> TICK_BITS));
        later.is_some_and(|timers| timers.contains(&timer))
            || self.due.iter().any(|Reverse(due)| *due == timer)
    }
}

/// Traces in the order in which something happened to them.
#[derive(Default)]
pub(crate) struct Queue(VecDeque<Timer>);

impl Queue {
    /// Behind all others: `place` is never smaller than one before.
    pub fn push(&mut self, place: i64, id: TraceId) {
        self.0.push_back((place, id));
    }

    /// The first entry that is still true. Others before it are gone for good.
    pub fn first(&mut self, is_true: impl Fn(i64, TraceId) -> bool) -> Option<Timer> {
        while let Some((place, id)) = self.0.front().copied() {
            if is_true(place, id) {
                return Some((place, id));
            }
            self.0.pop_front();
        }
        None
    }

    /// Lets go of what isn't true any more, once that is more than half.
    pub fn tidy(&mut self, true_ones: usize, is_true: impl Fn(i64, TraceId) -> bool) {
        const FEW: usize = 1_024;
        if self.0.len() > 2 * true_ones + FEW {
            self.0.retain(|(place, id)| is_true(*place, *id));
        }
    }

    /// After entries came in another order.
    pub fn sort(&mut self) {
        self.0.make_contiguous().sort_unstable();
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Slow: for tests.
    pub fn contains(&self, place: i64, id: TraceId) -> bool {
        self.0.contains(&(place, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_ring_in_order_even_those_set_while_others_ring() {
        let mut timers = Timers::default();
        let at = |us, id| (us, TraceId(id));
        for timer in [at(900_000, 1), at(70_000, 2), at(70_000, 1), at(65_536, 9), at(10, 4)] {
            timers.insert(timer);
        }
        assert_eq!(timers.pop_until(9), None);
        assert_eq!(timers.pop_until(69_999), Some(at(10, 4)));
        assert_eq!(timers.pop_until(69_999), Some(at(65_536, 9)));
        assert_eq!(timers.pop_until(69_999), None);
        timers.insert(at(20, 5));
        timers.insert(at(100_000, 6));
        let rest: Vec<_> = core::iter::from_fn(|| timers.pop_until(1_000_000)).collect();
        assert_eq!(rest, [at(20, 5), at(70_000, 1), at(70_000, 2), at(100_000, 6), at(900_000, 1)]);
    }

    #[test]
    fn a_queue_forgets_what_is_not_true_any_more() {
        let mut queue = Queue::default();
        (0..10_000).for_each(|place| queue.push(place, TraceId(1)));
        assert_eq!(queue.first(|place, _| place >= 3), Some((3, TraceId(1))));
        queue.tidy(5, |place, _| place >= 9_995);
        assert_eq!(queue.0.len(), 5);
    }
}
