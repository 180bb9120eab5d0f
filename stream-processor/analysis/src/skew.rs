//! Clock skew between hosts: estimated from parent/child pairs, repaired for display only.
//!
//! Durations are measured by one host and stay as they are; only starts move. The rule is the one of
//! Jaeger's clock skew adjuster.

use crate::Interval;
use crate::tree::{Children, parent_of};
use alloc::vec;
use alloc::vec::Vec;

/// How far each span has to be shifted so that it fits into its parent, in µs; 0 for most.
///
/// `host` names the host (its clock) of each span by any number; a span without an entry counts as being on
/// a host of its own. A child on its parent's host moves along with it. A child on another host is shifted
/// by [`offset`] against the already shifted parent, and so is everything below it on the same host.
pub fn repair(spans: &[Interval], host: &[u32]) -> Vec<i64> {
    let children = Children::of(spans, |_| true);
    let mut shifts = vec![0; spans.len()];
    let mut stack: Vec<usize> = (0..spans.len()).filter(|&index| parent_of(spans, index).is_none()).collect();
    while let Some(parent) = stack.pop() {
        for &child in children.of_span(parent) {
            let child = child as usize;
            let same_host = host.get(child).is_some() && host.get(child) == host.get(parent);
            shifts[child] = match same_host {
                true => shifts[parent],
                false => offset(&spans[child], &shifted(&spans[parent], shifts[parent])),
            };
            stack.push(child);
        }
    }
    shifts
}

/// What has to be added to the child's times so that they fit the parent's clock, in µs.
///
/// A child that already fits isn't touched. One that could fit is put into the middle: the way there is
/// taken to be as long as the way back. One that lasted longer than its parent, or that nobody waits for,
/// only must not start before its parent.
pub fn offset(child: &Interval, parent: &Interval) -> i64 {
    let child_duration = child.end().saturating_sub(child.start_us);
    let parent_duration = parent.end().saturating_sub(parent.start_us);
    if child_duration > parent_duration || !child.awaited {
        return parent.start_us.saturating_sub(child.start_us).max(0);
    }
    if child.start_us >= parent.start_us && child.end() <= parent.end() {
        return 0;
    }
    let one_way = (parent_duration - child_duration) / 2;
    parent.start_us.saturating_add(one_way).saturating_sub(child.start_us)
}

fn shifted(span: &Interval, shift_us: i64) -> Interval {
    Interval {
        start_us: span.start_us.saturating_add(shift_us),
        end_us: span.end().saturating_add(shift_us),
        ..*span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start_us: i64, end_us: i64, parent: Option<u32>) -> Interval {
        Interval { start_us, end_us, parent, awaited: true }
    }

    #[test]
    fn a_child_of_a_slow_clock_is_centred_and_takes_its_host_along() {
        let spans = [span(1_000, 2_000, None), span(100, 900, Some(0)), span(200, 300, Some(1))];
        assert_eq!(repair(&spans, &[1, 2, 2]), vec![0, 1_000, 1_000]);
    }

    #[test]
    fn a_third_host_is_compared_with_the_repaired_parent() {
        let spans = [span(1_000, 2_000, None), span(100, 900, Some(0)), span(1_200, 1_300, Some(1))];
        assert_eq!(repair(&spans, &[1, 2, 3]), vec![0, 1_000, 0]);
    }

    #[test]
    fn children_on_the_same_host_or_already_inside_stay() {
        let spans = [span(1_000, 2_000, None), span(100, 900, Some(0)), span(1_000, 2_000, Some(0))];
        assert_eq!(repair(&spans, &[1, 1, 2]), vec![0, 0, 0]);
    }

    #[test]
    fn a_longer_or_asynchronous_child_only_never_starts_before_its_parent() {
        assert_eq!(offset(&span(900, 5_000, None), &span(1_000, 2_000, None)), 100);
        assert_eq!(offset(&span(1_500, 5_000, None), &span(1_000, 2_000, None)), 0);
        let tail = Interval { awaited: false, ..span(3_000, 3_100, None) };
        assert_eq!(offset(&tail, &span(1_000, 2_000, None)), 0);
        let early = Interval { awaited: false, ..span(700, 750, None) };
        assert_eq!(offset(&early, &span(1_000, 2_000, None)), 300);
    }

    #[test]
    fn bad_input_is_survived() {
        let spans = [
            span(i64::MIN, i64::MAX, Some(44)),
            span(i64::MAX, i64::MIN, Some(0)),
            span(0, 1, Some(3)),
            span(0, 1, Some(2)),
        ];
        assert_eq!(repair(&spans, &[]).len(), 4);
    }
}
