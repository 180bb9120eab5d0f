//! Clock skew between hosts: estimated from all calls between two of them, repaired for display only.
//!
//! Durations are measured by one host and stay as they are; only starts move. A single call is judged by the rule of
//! Jaeger's clock skew adjuster; all calls of a pair together narrow the skew down further, and agree on one.

use crate::Interval;
use crate::tree::{Children, parent_of};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

/// How far each span has to be shifted so that it fits into its parent, in µs; 0 for most.
///
/// `host` names the host (its clock) of each span by any number; a span without an entry counts as being on
/// a host of its own. A child on its parent's host moves along with it. A child on another host is shifted
/// against the already shifted parent, by what suits all calls between the two hosts, or, where nothing does, by
/// [`offset`]; and so is everything below it on the same host.
pub fn repair(spans: &[Interval], host: &[u32]) -> Vec<i64> {
    let mut children = Children::default();
    children.group(spans, |_| true);
    let rooms = rooms(spans, host);
    let mut shifts = vec![0; spans.len()];
    let mut stack: Vec<usize> = (0..spans.len()).filter(|&index| parent_of(spans, index).is_none()).collect();
    while let Some(parent) = stack.pop() {
        for &child in children.of_span(parent) {
            let child = child as usize;
            let room = || rooms.get(&pair(host, parent, child)?)?.shift(shifts[parent]);
            shifts[child] = match pair(host, parent, child) {
                Some((of_parent, of_child)) if of_parent == of_child => shifts[parent],
                _ => {
                    room().unwrap_or_else(|| offset(&spans[child], &shifted(&spans[parent], shifts[parent])))
                }
            };
            stack.push(child);
        }
    }
    shifts
}

/// What may be added to the times of one host so that every call from another one fits.
struct Room {
    /// No child starts before its parent.
    least_us: i64,
    /// No awaited child ends after its parent.
    most_us: i64,
}

impl Room {
    /// The shift for a parent that was shifted itself. Clocks that may agree do; else the middle, as if the way there
    /// took as long as the way back. `None`: no shift suits all calls.
    fn shift(&self, parent_us: i64) -> Option<i64> {
        let least_us = self.least_us.saturating_add(parent_us);
        let most_us = self.most_us.saturating_add(parent_us);
        if self.least_us > self.most_us {
            None
        } else if least_us <= 0 && most_us >= 0 {
            Some(0)
        } else if self.most_us == i64::MAX {
            Some(least_us)
        } else {
            Some(least_us.saturating_add(most_us.saturating_sub(least_us) / 2))
        }
    }
}

/// The room that all calls between two hosts leave, by the parent's and the child's host.
fn rooms(spans: &[Interval], host: &[u32]) -> BTreeMap<(u32, u32), Room> {
    let mut rooms: BTreeMap<(u32, u32), Room> = BTreeMap::new();
    for child in 0..spans.len() {
        let Some(parent) = parent_of(spans, child) else { continue };
        let Some(pair) = pair(host, parent, child) else { continue };
        let room = rooms.entry(pair).or_insert(Room { least_us: i64::MIN, most_us: i64::MAX });
        let (child, parent) = (&spans[child], &spans[parent]);
        room.least_us = room.least_us.max(parent.start_us.saturating_sub(child.start_us));
        if fits(child, parent) {
            room.most_us = room.most_us.min(parent.end().saturating_sub(child.end()));
        }
    }
    rooms
}

/// The hosts of a parent and its child, where both are known.
fn pair(host: &[u32], parent: usize, child: usize) -> Option<(u32, u32)> {
    Some((*host.get(parent)?, *host.get(child)?))
}

/// Whether the child belongs inside its parent.
fn fits(child: &Interval, parent: &Interval) -> bool {
    let duration = |span: &Interval| span.end().saturating_sub(span.start_us);
    child.awaited && duration(child) <= duration(parent)
}

/// What has to be added to the child's times so that they fit the parent's clock, in µs.
///
/// A child that already fits isn't touched. One that could fit is put into the middle: the way there is
/// taken to be as long as the way back. One that lasted longer than its parent, or that nobody waits for,
/// only must not start before its parent.
pub fn offset(child: &Interval, parent: &Interval) -> i64 {
    if !fits(child, parent) {
        return parent.start_us.saturating_sub(child.start_us).max(0);
    }
    if child.start_us >= parent.start_us && child.end() <= parent.end() {
        return 0;
    }
    let child_duration = child.end().saturating_sub(child.start_us);
    let parent_duration = parent.end().saturating_sub(parent.start_us);
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
    fn all_calls_between_two_hosts_are_shifted_by_what_suits_each_of_them() {
        // Host 2 is 1,000 behind. The second call would fit as it is, and the tighter first one says by how much not.
        let spans = [
            span(10_000, 20_000, None),
            span(10_000, 10_400, Some(0)),
            span(9_100, 9_300, Some(1)),
            span(12_000, 19_000, Some(0)),
            span(12_500, 13_500, Some(3)),
        ];
        assert_eq!(repair(&spans, &[1, 1, 2, 1, 2]), vec![0, 0, 1_000, 0, 1_000]);
    }

    #[test]
    fn calls_that_no_shift_suits_are_repaired_one_by_one() {
        let spans = [
            span(1_000, 2_000, None),
            span(1_000, 1_900, Some(0)),
            span(5_000, 5_200, Some(0)),
            span(1_100, 1_200, Some(0)),
        ];
        assert_eq!(repair(&spans, &[1, 2, 2, 2]), vec![0, 0, -3_600, 0]);
    }

    #[test]
    fn a_consumer_says_when_its_host_is_behind_but_never_that_it_is_ahead() {
        let tail = |start_us| Interval { awaited: false, ..span(start_us, start_us + 50, Some(0)) };
        assert_eq!(repair(&[span(1_000, 2_000, None), tail(9_000)], &[1, 2]), vec![0, 0]);
        assert_eq!(
            repair(&[span(1_000, 2_000, None), tail(700), tail(9_000)], &[1, 2, 2]),
            vec![0, 300, 300]
        );
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
