//! Attribute names, compiled: most attributes say nothing that matters, and they have to be passed over quickly.

use std::collections::BTreeMap;

/// What names lead to. A name is found by its length and its ends, and compared once.
pub(crate) struct Keys<Rule> {
    /// Open addressing, a power of two of slots, at most a quarter of them taken.
    slots: Vec<Slot>,
    rules: Vec<(Box<[u8]>, Rule)>,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    /// Bits of the hash that don't choose the slot.
    tag: u32,
    /// Number of the rule, from 1; 0: the slot is free.
    rule: u32,
}

impl<Rule> Keys<Rule> {
    pub(crate) fn compile(named: BTreeMap<String, Rule>) -> Self {
        let rules: Vec<_> =
            named.into_iter().map(|(name, rule)| (name.into_bytes().into_boxed_slice(), rule)).collect();
        let mut slots = vec![Slot::default(); (rules.len() * 4).next_power_of_two().max(2)];
        for (number, (name, _)) in (1..).zip(&rules) {
            let (mut at, tag) = place(name, slots.len());
            while slots[at].rule != 0 {
                at = (at + 1) % slots.len();
            }
            slots[at] = Slot { tag, rule: number };
        }
        Self { slots, rules }
    }

    #[inline]
    pub(crate) fn get(&self, name: &[u8]) -> Option<&Rule> {
        let (mut at, tag) = place(name, self.slots.len());
        loop {
            let slot = self.slots[at];
            if slot.rule == 0 {
                return None;
            }
            if slot.tag == tag {
                let (key, rule) = &self.rules[slot.rule as usize - 1];
                if **key == *name {
                    return Some(rule);
                }
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }
}

/// Where the search for a name begins, and its tag.
#[inline]
fn place(name: &[u8], slots: usize) -> (usize, u32) {
    let (first, last) = ends(name);
    let mixed = (first ^ last.rotate_left(29) ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 40) as usize & (slots - 1), mixed as u32 ^ (mixed >> 32) as u32)
}

/// The first and the last eight bytes; they may overlap.
#[inline]
fn ends(name: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        return (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        return (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)));
    }
    (name.iter().fold(0, |bytes, byte| bytes << 8 | u64::from(*byte)), 0)
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
