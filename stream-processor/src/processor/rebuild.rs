//! A shard in the making: what a successor, and a copy, make of the journal, `flow_state` and the log.

use super::broker::Spans;
use super::failure::Failure;
use super::journal::{Chain, Past};
use super::recovery::{Rules, refusal, refuse_foreign};
use reader::Reader;
use schemas::v1::ShardCommit;
use std::collections::{BTreeMap, BTreeSet};
use stitcher::{Replay, Shard};

/// The stitcher's replay, and which records it never saw.
pub struct Rebuild {
    replay: Replay,
    reader: Reader,
    skipped: BTreeSet<i64>,
}

impl Rebuild {
    /// Takes from the journal what a successor of its last commit needs.
    ///
    /// # Errors
    /// There is not enough of it, or another version or other settings made it.
    pub fn begin(rules: &Rules, chain: &mut Chain, last: &ShardCommit) -> Result<Self, Failure> {
        refuse_foreign(last, rules.config_hash())?;
        let needed = chain.needed().ok_or_else(|| {
            refusal(
                last,
                "its journal does not go back far enough any more, so traces in memory can't be rebuilt",
            )
        })?;
        let skipped = needed.iter().flat_map(|past| past.skipped.iter().copied()).collect();
        let commits = needed.into_iter().map(|Past { journaled, .. }| journaled).collect();
        let replay = Replay::new(rules.settings.clone(), commits).ok_or_else(|| unreadable(last))?;
        Ok(Self { replay, reader: rules.reader(), skipped })
    }

    /// Loads what is in `flow_state`.
    ///
    /// # Errors
    /// It doesn't belong to this commit.
    pub fn load(&mut self, last: &ShardCommit, state: &BTreeMap<String, Vec<u8>>) -> Result<(), Failure> {
        for (key, value) in state {
            self.replay.load(key, value).map_err(|_| unreadable(last))?;
        }
        self.replay.loaded().map_err(|_| unreadable(last))
    }

    /// Loads it again, because a copy takes over.
    ///
    /// # Errors
    /// It doesn't belong to this commit.
    pub fn load_again(
        &mut self,
        last: &ShardCommit,
        state: &BTreeMap<String, Vec<u8>>,
    ) -> Result<(), Failure> {
        self.replay.load_again();
        self.load(last, state)
    }

    /// The first offset to be applied.
    pub fn reads_from(&self) -> i64 {
        self.replay.reads_from()
    }

    /// The first offset not to be applied.
    pub fn reads_until(&self) -> i64 {
        self.replay.reads_until()
    }

    /// Applies a record. Returns how many spans that were.
    pub fn apply(&mut self, record: Spans<'_>) -> u64 {
        let Self { replay, reader, skipped } = self;
        let is_meant = record.offset < replay.reads_until() && !skipped.contains(&record.offset);
        if !is_meant || !replay.begin_record(record.offset, record.appended_us) {
            return 0;
        }
        let read = reader.read(record.value, &mut |span| replay.apply(span));
        // What can't be decoded was counted when it was read first.
        read.map_or(0, |read| read.spans)
    }

    /// The next commit, after every record before the end of the last one.
    pub fn follow(&mut self, past: Past) {
        let next = self.reads_until();
        self.skipped.retain(|offset| *offset >= next);
        self.skipped.extend(past.skipped);
        self.replay.follow(past.journaled);
    }

    /// The shard, if it is the one that made the last commit.
    ///
    /// # Errors
    /// It isn't.
    pub fn finish(self, last: &ShardCommit) -> Result<Shard, Failure> {
        self.replay.finish().map_err(|mismatch| {
            let why = format!(
                "its state comes out differently (digest {:016x}, not {:016x}): another version made it, or the log \
                 has changed",
                mismatch.rebuilt, mismatch.journaled
            );
            refusal(last, &why)
        })
    }
}

fn unreadable(last: &ShardCommit) -> Failure {
    refusal(last, "its state can't be read: another version wrote it, or records are missing")
}
