//! Attribute names, compiled: most attributes say nothing that matters, and they have to be passed over quickly.

use std::collections::BTreeMap;

/// What names lead to. A name is found by its length and its ends, which most of them are told apart by.
pub(crate) struct Keys<Rule> {
    /// Open addressing, a power of two of slots, at most a quarter of them taken: number of a key, from 1.
    slots: Vec<u16>,
    keys: Vec<Key<Rule>>,
}

struct Key<Rule> {
    ends: Ends,
    name: Box<[u8]>,
    rule: Rule,
}

/// Length, the first and the last eight bytes, which may overlap.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Ends {
    length: usize,
    first: u64,
    last: u64,
}

impl<Rule> Keys<Rule> {
    /// # Panics
    /// If there are more than 65,535 names.
    pub(crate) fn compile(rules: BTreeMap<String, Rule>) -> Self {
        let mut slots = vec![0; (rules.len() * 4).next_power_of_two().max(2)];
        let mut keys = Vec::new();
        for (number, (name, rule)) in (1_u16..).zip(rules) {
            let name = name.into_bytes().into_boxed_slice();
            let ends = Ends::of(&name);
            let mut at = ends.slot(slots.len());
            while slots[at] != 0 {
                at = (at + 1) & (slots.len() - 1);
            }
            slots[at] = number;
            keys.push(Key { ends, name, rule });
        }
        Self { slots, keys }
    }

    #[inline]
    pub(crate) fn get(&self, name: &[u8]) -> Option<&Rule> {
        let ends = Ends::of(name);
        let mut at = ends.slot(self.slots.len());
        loop {
            let key = &self.keys[usize::from(self.slots[at].checked_sub(1)?)];
            if key.ends == ends && has_same_middle(&key.name, name) {
                return Some(&key.rule);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }
}

impl Ends {
    #[inline]
    fn of(name: &[u8]) -> Self {
        let (first, last) = match (name.first_chunk(), name.last_chunk()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => (name.iter().fold(0, |bytes, byte| bytes << 8 | u64::from(*byte)), 0),
        };
        Self { length: name.len(), first, last }
    }

    #[inline]
    fn slot(self, slots: usize) -> usize {
        let mixed = self.first ^ self.last.rotate_left(29) ^ self.length as u64;
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize & (slots - 1)
    }
}

/// Whether two names with the same ends are equal. A comparison in place: calling `memcmp` costs more than the few
/// bytes that are left.
#[inline]
fn has_same_middle(left: &[u8], right: &[u8]) -> bool {
    let (left, right) = (left.get(8..).unwrap_or_default(), right.get(8..).unwrap_or_default());
    let (left, right) = (left.as_chunks::<8>().0, right.as_chunks::<8>().0);
    left.iter().zip(right).all(|(left, right)| left == right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_their_rules_and_others_nowhere() {
        // Of one length with the same ends: told apart by what is between.
        let names = ["", "a", "ab", "error", "http.route", "12345678-1-12345678", "12345678-2-12345678"];
        let named = names.iter().map(|name| ((*name).to_owned(), name.len())).collect();
        let keys = Keys::compile(named);
        for name in names {
            assert_eq!(keys.get(name.as_bytes()), Some(&name.len()), "{name}");
        }
        for name in ["b", "http.routes", "Http.route", "12345678-3-12345678", "12345678"] {
            assert_eq!(keys.get(name.as_bytes()), None, "{name}");
        }
    }
}
