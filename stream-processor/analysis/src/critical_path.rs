//! The critical path: which span the root was waiting for, at every moment of its life.
//!
//! The rule is Jaeger UI's (`TracePage/CriticalPath`): walk backwards from the root's end; where a child
//! ended last, go on in that child; where no child is left, go back to the parent at the child's start. The
//! sections therefore cover the root exactly: their lengths sum up to its duration.

use crate::Interval;
use crate::tree::{Children, parent_of};
use alloc::vec::Vec;
use core::cmp::Reverse;

/// A stretch of the critical path, spent in one span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Index of the span.
    pub span: u32,
    /// Start of the section.
    pub start_us: i64,
    /// End of the section; always after its start.
    pub end_us: i64,
}

/// Critical path of the root as Jaeger UI computes it, latest section first.
///
/// Empty when `root` is out of range or takes no time.
pub fn critical_path(spans: &[Interval], root: u32) -> Vec<Section> {
    critical_path_by(spans, root, |index| index)
}

/// As [`critical_path`]; of siblings with exactly equal times the one with the lowest rank is on the path. With
/// the span id as rank the answer does not depend on the order of the slice.
pub fn critical_path_by<R: Ord>(spans: &[Interval], root: u32, rank: impl Fn(u32) -> R) -> Vec<Section> {
    let (mut room, mut sections) = (Room::default(), Vec::new());
    room.children.group(spans, |span| span.awaited);
    walk(spans, root, rank, &mut room, |section| sections.push(section));
    sections
}

/// Time each span spends on the critical path of `root`, in µs.
pub fn critical_times(spans: &[Interval], root: u32) -> Vec<u64> {
    critical_times_by(spans, root, |index| index)
}

/// As [`critical_times`], with the tie-break of [`critical_path_by`].
pub fn critical_times_by<R: Ord>(spans: &[Interval], root: u32, rank: impl Fn(u32) -> R) -> Vec<u64> {
    let (mut room, mut times) = (Room::default(), Vec::new());
    room.children.group(spans, |span| span.awaited);
    measure(spans, root, rank, &mut room, &mut times);
    times
}

/// The critical times, with the children that are awaited.
pub(crate) fn measure<R: Ord>(
    spans: &[Interval],
    root: u32,
    rank: impl Fn(u32) -> R,
    room: &mut Room,
    times: &mut Vec<u64>,
) {
    times.clear();
    times.resize(spans.len(), 0);
    walk(spans, root, rank, room, |section| {
        times[section.span as usize] += section.end_us.abs_diff(section.start_us);
    });
}

/// What a walk remembers.
#[derive(Default)]
pub(crate) struct Room {
    /// Children of every reachable span, latest end first.
    pub(crate) children: Children,
    /// Each span's interval clipped to its parent's clipped one; `None`: not below the root, or outside it.
    clipped: Vec<Option<(i64, i64)>>,
    /// How many children of each span the walk has passed. It only grows, so the walk is linear.
    passed: Vec<u32>,
    stack: Vec<usize>,
}

/// The walk backwards through the tree below one root.
fn walk<R: Ord>(
    spans: &[Interval],
    root: u32,
    rank: impl Fn(u32) -> R,
    room: &mut Room,
    each: impl FnMut(Section),
) {
    let root = root as usize;
    let Some(span) = spans.get(root) else { return };
    room.clipped.clear();
    room.clipped.resize(spans.len(), None);
    room.clipped[root] = Some((span.start_us, span.end()));
    room.passed.clear();
    room.passed.resize(spans.len(), 0);
    let mut walk = Walk { spans, root, room };
    walk.clip_below_root(rank);
    walk.sections(each);
}

struct Walk<'a> {
    spans: &'a [Interval],
    root: usize,
    room: &'a mut Room,
}

impl Walk<'_> {
    /// Parents come before children, so that a child is clipped to what is left of its parent. A child that
    /// drops out takes everything below it along.
    fn clip_below_root<R: Ord>(&mut self, rank: impl Fn(u32) -> R) {
        let Room { children, clipped, stack, .. } = &mut *self.room;
        stack.clear();
        stack.push(self.root);
        while let Some(index) = stack.pop() {
            let Some((start, end)) = clipped[index] else { continue };
            let children = children.of_span_mut(index);
            // By the unclipped end, as Jaeger UI orders them: clipping keeps this order.
            children.sort_unstable_by_key(|&child| {
                let span = &self.spans[child as usize];
                (Reverse(span.end()), span.start_us, rank(child), child)
            });
            for &child in children.iter() {
                let child = child as usize;
                // A span met before stands on a cycle through the root.
                if clipped[child].is_none() {
                    clipped[child] = self.spans[child].clipped(start, end);
                    stack.push(child);
                }
            }
        }
    }

    fn sections(mut self, mut each: impl FnMut(Section)) {
        let mut index = self.root;
        let mut returned_at = None;
        // The root is always clipped to itself, and only clipped children are entered.
        while let Some((start, end)) = self.room.clipped[index] {
            let section_end = returned_at.unwrap_or(end);
            let child = self.last_finishing_child(index, returned_at);
            let section_start = child.map_or(start, |(_, child_end)| child_end);
            if section_start < section_end {
                each(Section { span: index as u32, start_us: section_start, end_us: section_end });
            }
            match (child, parent_of(self.spans, index)) {
                (Some((child, _)), _) => (index, returned_at) = (child, None),
                (None, Some(parent)) if index != self.root => (index, returned_at) = (parent, Some(start)),
                (None, _) => break,
            }
        }
    }

    /// The child that ends last, strictly before the moment the walk came back from another child.
    fn last_finishing_child(&mut self, index: usize, returned_at: Option<i64>) -> Option<(usize, i64)> {
        let Room { children, clipped, passed, .. } = &mut *self.room;
        let children = children.of_span(index);
        while let Some(&child) = children.get(passed[index] as usize) {
            passed[index] += 1;
            let child = child as usize;
            if let Some((_, end)) = clipped[child]
                && child != self.root
                && returned_at.is_none_or(|moment| end < moment)
            {
                return Some((child, end));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn span(start_us: i64, end_us: i64, parent: Option<u32>) -> Interval {
        Interval { start_us, end_us, parent, awaited: true }
    }

    fn sum(spans: &[Interval]) -> u64 {
        critical_times(spans, 0).iter().sum()
    }

    #[test]
    fn a_trace_of_100_000_levels_takes_no_stack() {
        let spans: Vec<_> = (0..100_000u32)
            .map(|level| span(i64::from(level), 400_000 - i64::from(level), level.checked_sub(1)))
            .collect();
        assert_eq!(sum(&spans), 400_000);
        assert_eq!(critical_path(&spans, 0).len(), 199_999);
    }

    #[test]
    fn a_root_of_100_000_children_is_walked_once() {
        let mut spans = vec![span(0, 1_000_000, None)];
        spans.extend((0..100_000).map(|child| span(child * 10, child * 10 + 9, Some(0))));
        assert_eq!(sum(&spans), 1_000_000);
        assert_eq!(critical_times(&spans, 0)[0], 99_999 + 10 - 9);
    }

    #[test]
    fn only_what_is_below_the_root_counts() {
        let spans = [span(0, 100, None), span(10, 90, Some(0)), span(20, 80, Some(1))];
        assert_eq!(critical_times(&spans, 1), vec![0, 20, 60]);
    }

    #[test]
    fn a_rank_decides_between_equal_times_in_any_order_of_the_slice() {
        let spans = [span(0, 100, None), span(10, 90, Some(0)), span(10, 90, Some(0))];
        assert_eq!(critical_times(&spans, 0), vec![20, 80, 0]);
        assert_eq!(critical_times_by(&spans, 0, |index| [7, 4, 3][index as usize]), vec![20, 0, 80]);
        assert_eq!(critical_times_by(&spans, 0, |index| [7, 3, 4][index as usize]), vec![20, 80, 0]);
    }

    #[test]
    fn bad_input_is_survived() {
        assert_eq!(critical_path(&[], 0), vec![]);
        assert_eq!(critical_path(&[span(5, 1, None)], 0), vec![]);
        assert_eq!(critical_times(&[span(0, 9, Some(7))], 0), vec![9]);
        assert_eq!(critical_times(&[span(0, 9, Some(0))], 0), vec![9]);
        let cycle = [span(0, 9, Some(1)), span(1, 8, Some(0)), span(0, 9, Some(3)), span(0, 9, Some(2))];
        assert_eq!(critical_times(&cycle, 0), vec![2, 7, 0, 0]);
    }
}
