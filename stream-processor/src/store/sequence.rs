//! Whether the commits of each shard follow each other without a hole.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Where a record stands in its shard's commits: the first fields of `FlowDeltas`, read without the rest.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, prost::Message)]
pub struct Place {
    /// Number of the commit.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// This record is part `part`, counted from 0 …
    #[prost(uint32, tag = "3")]
    pub part: u32,
    /// … of `parts`.
    #[prost(uint32, tag = "4")]
    pub parts: u32,
    /// The shard's log time in µs.
    #[prost(int64, tag = "5")]
    #[serde(default)]
    pub clock_us: i64,
}

/// The last record of every shard, by partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequences(BTreeMap<i32, Place>);

/// A break in a shard's commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    last: Place,
    next: Place,
}

impl Sequences {
    /// Whether the next record of a partition follows the one before. The first record of a partition follows
    /// nothing.
    pub fn check(&self, partition: i32, next: Place) -> Result<(), Hole> {
        let Some(&last) = self.0.get(&partition) else { return Ok(()) };
        let expected = if last.part + 1 < last.parts { (last.seq, last.part + 1) } else { (last.seq + 1, 0) };
        if (next.seq, next.part) == expected { Ok(()) } else { Err(Hole { last, next }) }
    }

    /// The last record of a partition.
    pub fn last(&self, partition: i32) -> Option<Place> {
        self.0.get(&partition).copied()
    }

    /// The last record of every partition that had one.
    pub fn places(&self) -> impl Iterator<Item = (i32, Place)> {
        self.0.iter().map(|(partition, place)| (*partition, *place))
    }

    /// Moves on to the next record of a partition.
    pub fn move_to(&mut self, partition: i32, next: Place) {
        self.0.insert(partition, next);
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "commit {} part {} of {}", self.seq, self.part, self.parts)
    }
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} follows {}", self.next, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holes(places: &[(u64, u32, u32)]) -> Vec<bool> {
        let mut sequences = Sequences::default();
        places
            .iter()
            .map(|(seq, part, parts)| {
                let place = Place { seq: *seq, part: *part, parts: *parts, clock_us: 0 };
                let is_hole = sequences.check(0, place).is_err();
                sequences.move_to(0, place);
                is_hole
            })
            .collect()
    }

    #[test]
    fn commits_follow_part_by_part() {
        assert_eq!(holes(&[(7, 0, 2), (7, 1, 2), (8, 0, 1), (9, 0, 1)]), [false; 4]);
    }

    #[test]
    fn a_missing_part_commit_or_a_step_back_is_a_hole() {
        assert_eq!(holes(&[(7, 0, 2), (8, 0, 1)]), [false, true]);
        assert_eq!(holes(&[(7, 0, 1), (9, 0, 1), (10, 0, 1)]), [false, true, false]);
        assert_eq!(holes(&[(7, 0, 1), (7, 0, 1)]), [false, true]);
        assert_eq!(holes(&[(7, 0, 1), (8, 1, 2)]), [false, true]);
    }
}
