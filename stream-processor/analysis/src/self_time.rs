//! Self time: what a span did while it waited for nobody.

use crate::Interval;
use crate::tree::Children;
use alloc::vec::Vec;

/// Time of each span that is not covered by its awaited children, in µs.
///
/// Children are clipped to their parent and counted once where they overlap. This is the self time of the
/// collector's span-metrics connector, except that asynchronous children take nothing from their parent.
pub fn self_times(spans: &[Interval]) -> Vec<u64> {
    let mut children = Children::default();
    children.group(spans, |span| span.awaited);
    let mut times = Vec::new();
    measure(spans, &mut children, &mut times);
    times
}

/// The self time of each span, with the children that are awaited; those are put in another order.
pub(crate) fn measure(spans: &[Interval], children: &mut Children, times: &mut Vec<u64>) {
    times.clear();
    times.extend((0..spans.len()).map(|index| self_time(spans, index, children.of_span_mut(index))));
}

fn self_time(spans: &[Interval], index: usize, children: &mut [u32]) -> u64 {
    let span = &spans[index];
    children.sort_unstable_by_key(|&child| spans[child as usize].start_us);
    let mut own = 0;
    let mut covered_to = span.start_us;
    for &child in children.iter() {
        let Some((start, end)) = spans[child as usize].clipped(span.start_us, span.end()) else { continue };
        if start > covered_to {
            own += start.abs_diff(covered_to);
        }
        covered_to = covered_to.max(end);
    }
    own + span.end().abs_diff(covered_to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn span(start_us: i64, end_us: i64, parent: Option<u32>, awaited: bool) -> Interval {
        Interval { start_us, end_us, parent, awaited }
    }

    #[test]
    fn asynchronous_children_take_nothing() {
        let spans = [span(0, 100, None, true), span(10, 90, Some(0), false), span(20, 30, Some(0), true)];
        assert_eq!(self_times(&spans), vec![90, 80, 10]);
    }

    #[test]
    fn overlapping_and_overflowing_children_count_once_and_clipped() {
        let spans = [
            span(100, 200, None, true),
            span(50, 120, Some(0), true),
            span(110, 130, Some(0), true),
            span(190, 500, Some(0), true),
            span(500, 600, Some(0), true),
        ];
        assert_eq!(self_times(&spans)[0], 60);
    }

    #[test]
    fn bad_input_is_survived() {
        let spans = [
            span(i64::MIN, i64::MAX, None, true),
            span(5, 1, Some(0), true),
            span(0, 10, Some(99), true),
            span(0, 10, Some(3), true),
            span(0, 10, Some(5), true),
            span(0, 10, Some(4), true),
        ];
        assert_eq!(self_times(&spans), vec![u64::MAX, 0, 10, 10, 0, 0]);
    }
}
