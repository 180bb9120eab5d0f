//! Numbers over time: additive values kept by window, oldest first.

use std::collections::VecDeque;
use std::ops::Range;

/// What can be summed up. Values may be negative: a correction is an addition too.
pub trait Additive: Clone + Default {
    /// Adds `other` to this.
    fn add(&mut self, other: &Self);
    /// Takes away what was added before, so that nothing of it is left.
    fn take(&mut self, other: &Self);
    /// Whether nothing is left.
    fn is_zero(&self) -> bool;
    /// Memory behind pointers.
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// Values by the start of their window in seconds. Windows without values take no room.
#[derive(Debug, Clone)]
pub struct Series<T> {
    windows: VecDeque<(u32, T)>,
}

impl<T> Default for Series<T> {
    fn default() -> Self {
        Self { windows: VecDeque::new() }
    }
}

impl<T: Additive> Series<T> {
    /// Adds to the window that starts at `start_s`; returns how many bytes the series grew.
    pub fn add(&mut self, start_s: u32, value: &T) -> usize {
        if value.is_zero() {
            return 0;
        }
        let at = match self.position(start_s) {
            Ok(at) => at,
            Err(at) => {
                self.windows.insert(at, (start_s, value.clone()));
                return Self::bytes_of(&self.windows[at].1);
            }
        };
        let sum = &mut self.windows[at].1;
        let before = sum.heap_bytes();
        sum.add(value);
        sum.heap_bytes().saturating_sub(before)
    }

    /// Adds everything in the windows that start in `starts` to `sum`.
    pub fn add_to(&self, sum: &mut T, starts: &Range<u32>) {
        self.values(starts).for_each(|value| sum.add(value));
    }

    /// Takes it away again.
    pub fn take_from(&self, sum: &mut T, starts: &Range<u32>) {
        self.values(starts).for_each(|value| sum.take(value));
    }

    /// The sum of the windows that start in `[from_s, to_s)`.
    pub fn sum(&self, from_s: u32, to_s: u32) -> T {
        let mut sum = T::default();
        self.add_to(&mut sum, &(from_s..to_s));
        sum
    }

    /// Forgets the windows that start before `from_s`; returns how many bytes that freed.
    pub fn forget_before(&mut self, from_s: u32) -> usize {
        let keep = self.windows.partition_point(|(start_s, _)| *start_s < from_s);
        self.windows.drain(..keep).map(|(_, value)| Self::bytes_of(&value)).sum()
    }

    /// Start of the newest window.
    pub fn newest_s(&self) -> Option<u32> {
        self.windows.back().map(|(start_s, _)| *start_s)
    }

    /// Start of the oldest window.
    pub fn oldest_s(&self) -> Option<u32> {
        self.windows.front().map(|(start_s, _)| *start_s)
    }

    /// Whether no window is left.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    fn values(&self, starts: &Range<u32>) -> impl Iterator<Item = &T> {
        // What has just come is asked for most often, and mostly there is nothing.
        let from = match self.windows.back() {
            Some((newest_s, _)) if *newest_s >= starts.start => {
                self.windows.partition_point(|(start_s, _)| *start_s < starts.start)
            }
            _ => self.windows.len(),
        };
        self.windows.range(from..).take_while(|(start_s, _)| *start_s < starts.end).map(|(_, value)| value)
    }

    fn position(&self, start_s: u32) -> Result<usize, usize> {
        // Nearly everything belongs into the newest window or behind it.
        match self.windows.back() {
            Some(&(newest_s, _)) if newest_s < start_s => Err(self.windows.len()),
            Some(&(newest_s, _)) if newest_s == start_s => Ok(self.windows.len() - 1),
            _ => self.windows.binary_search_by_key(&start_s, |(start_s, _)| *start_s),
        }
    }

    fn bytes_of(value: &T) -> usize {
        size_of::<(u32, T)>() + value.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Additive for i64 {
        fn add(&mut self, other: &Self) {
            *self += other;
        }
        fn take(&mut self, other: &Self) {
            *self -= other;
        }
        fn is_zero(&self) -> bool {
            *self == 0
        }
    }

    fn series(values: &[(u32, i64)]) -> Series<i64> {
        let mut series = Series::default();
        for (start_s, value) in values {
            series.add(*start_s, value);
        }
        series
    }

    #[test]
    fn late_values_find_their_window() {
        let series = series(&[(10, 1), (12, 5), (11, 3), (10, 1)]);
        assert_eq!((10..13).map(|second| series.sum(second, second + 1)).collect::<Vec<_>>(), [2, 3, 5]);
        assert_eq!((series.sum(0, 12), series.oldest_s(), series.newest_s()), (5, Some(10), Some(12)));
    }

    #[test]
    fn what_is_forgotten_gives_back_what_it_took() {
        let mut series = Series::<i64>::default();
        let took: usize =
            [(10, 1), (11, 1), (11, 2)].iter().map(|(start_s, value)| series.add(*start_s, value)).sum();
        assert_eq!(series.forget_before(12), took);
        assert!(series.is_empty());
    }

    #[test]
    fn nothing_takes_no_room() {
        assert_eq!(series(&[(10, 0)]).oldest_s(), None);
    }
}
