//! What was committed, commit by commit: known before anybody can read it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Operations of the made-up flows.
pub const OPERATIONS: [&str; 2] = ["login", "create_vm"];
/// A change before the last few minutes may only add: sums of tables then only grow, and bounds can be told.
pub const CORRECTED_S: u32 = 240;

/// Calls of `web` to the service of one shard, all of an equal length.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// The second they ended in.
    pub window_s: u32,
    /// Index into [`OPERATIONS`].
    pub operation: usize,
    /// Below 0 where they move elsewhere.
    pub calls: i64,
    /// How many of them failed.
    pub errors: i64,
}

/// Calls and errors.
pub type Sum = (i64, i64);

/// All commits by shard, in order of `seq`.
#[derive(Clone, Default)]
pub struct Truth(Arc<Mutex<BTreeMap<u32, Vec<Vec<Change>>>>>);

impl Truth {
    /// To be told before the transaction is committed: a reader may see it before its producer hears of it.
    pub fn will_commit(&self, shard: u32, seq: u64, changes: Vec<Change>) {
        let mut shards = self.0.lock().unwrap();
        let commits = shards.entry(shard).or_default();
        assert_eq!(commits.len() as u64 + 1, seq);
        commits.push(changes);
    }

    /// The last commit of a shard, done or on its way.
    pub fn newest(&self, shard: u32) -> u64 {
        self.0.lock().unwrap().get(&shard).map_or(0, |commits| commits.len() as u64)
    }

    /// What commits up to `seq` have said about the seconds `[from_s, to_s)` of one operation, or of all.
    pub fn sum(&self, shard: u32, seq: u64, operation: Option<usize>, (from_s, to_s): (u32, u32)) -> Sum {
        let shards = self.0.lock().unwrap();
        let commits = shards.get(&shard).into_iter().flatten().take(usize::try_from(seq).unwrap());
        commits
            .flatten()
            .filter(|change| (from_s..to_s).contains(&change.window_s))
            .filter(|change| operation.is_none_or(|operation| operation == change.operation))
            .fold((0, 0), |(calls, errors), change| (calls + change.calls, errors + change.errors))
    }
}
