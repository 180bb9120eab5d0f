//! Two sets of counts side by side.

use super::report::Check;
use crate::truth::{EdgeCounts, OperationCounts};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};

/// What is lost when a count is too low, and counted twice when it is too high.
pub(super) trait Amount {
    /// How much there is of it: calls, flows, spans.
    fn amount(&self) -> i64;
}

impl Amount for EdgeCounts {
    fn amount(&self) -> i64 {
        self.calls
    }
}

impl Amount for OperationCounts {
    fn amount(&self) -> i64 {
        self.flows
    }
}

impl Amount for i64 {
    fn amount(&self) -> i64 {
        *self
    }
}

/// Compares `found` with `expected`, key by key. What corrections have brought to zero isn't there.
pub(super) fn compare<K, V>(
    place: impl Into<String>,
    expected: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
    name: impl Fn(&K) -> String,
) -> Check
where
    K: Ord,
    V: PartialEq + Default + Display + Debug + Amount,
{
    let nothing = V::default();
    let keys: BTreeSet<&K> = expected.keys().chain(found.keys()).collect();
    let mut check = Check::new(place);
    for key in &keys {
        let (wanted, got) = (expected.get(key).unwrap_or(&nothing), found.get(key).unwrap_or(&nothing));
        check.compared += usize::from(*wanted != nothing || *got != nothing);
        if wanted != got {
            let surplus = got.amount() - wanted.amount();
            check.lost += surplus.min(0).unsigned_abs();
            check.doubled += surplus.max(0).unsigned_abs();
            check.differences.push(line(&name(key), wanted, got, &nothing));
        }
    }
    check
}

fn line<V: PartialEq + Display>(name: &str, wanted: &V, got: &V, nothing: &V) -> String {
    if got == nothing {
        format!("{name}: missing, expected {wanted}")
    } else if wanted == nothing {
        format!("{name}: {got}, but nothing of it was sent")
    } else {
        format!("{name}: {got}; expected {wanted}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, i64)]) -> BTreeMap<String, i64> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect()
    }

    #[test]
    fn zero_is_the_same_as_absent() {
        let check = compare("x", &map(&[("a", 1)]), &map(&[("a", 1), ("corrected", 0)]), Clone::clone);
        assert!(check.differences.is_empty());
        assert_eq!(check.compared, 1);
    }

    #[test]
    fn missing_extra_and_other_counts_are_told_apart() {
        let check = compare("x", &map(&[("a", 1), ("b", 2)]), &map(&[("b", 3), ("c", 4)]), Clone::clone);
        let lines = ["a: missing, expected 1", "b: 3; expected 2", "c: 4, but nothing of it was sent"];
        assert_eq!(check.differences, lines);
        assert_eq!((check.lost, check.doubled), (1, 1 + 4));
    }
}
