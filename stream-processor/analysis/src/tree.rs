//! The children of every span, in two flat arrays.

use crate::Interval;
use alloc::vec::Vec;

/// Children by parent. `children[first[i]..first[i + 1]]` are those of span `i`.
#[derive(Default)]
pub(crate) struct Children {
    first: Vec<u32>,
    next: Vec<u32>,
    children: Vec<u32>,
}

impl Children {
    /// Groups the spans that `keep` lets through under their parents, in index order.
    pub(crate) fn group(&mut self, spans: &[Interval], keep: impl Fn(&Interval) -> bool) {
        let Self { first, next, children } = self;
        let parent = |index: usize| parent_of(spans, index).filter(|_| keep(&spans[index]));
        first.clear();
        first.resize(spans.len() + 1, 0);
        for index in 0..spans.len() {
            if let Some(parent) = parent(index) {
                first[parent + 1] += 1;
            }
        }
        for index in 0..spans.len() {
            first[index + 1] += first[index];
        }
        next.clone_from(first);
        children.clear();
        children.resize(first[spans.len()] as usize, 0);
        for index in 0..spans.len() {
            if let Some(parent) = parent(index) {
                children[next[parent] as usize] = index as u32;
                next[parent] += 1;
            }
        }
    }

    /// The children of one span.
    pub(crate) fn of_span(&self, index: usize) -> &[u32] {
        &self.children[self.range(index)]
    }

    /// The children of one span, to be put in another order.
    pub(crate) fn of_span_mut(&mut self, index: usize) -> &mut [u32] {
        let range = self.range(index);
        &mut self.children[range]
    }

    fn range(&self, index: usize) -> core::ops::Range<usize> {
        self.first[index] as usize..self.first[index + 1] as usize
    }
}

/// The parent of a span, when there is such a span and it isn't the span itself.
pub(crate) fn parent_of(spans: &[Interval], index: usize) -> Option<usize> {
    spans[index]
        .parent
        .map(|parent| parent as usize)
        .filter(|&parent| parent < spans.len() && parent != index)
}
