//! A shard with everything that is not committed yet. It outlives its consumer and its producer: when Kafka was away,
//! or the group took the partition and gave it back, the journal says whether it may go on as it is.

use super::broker::{Records, Watermarks};
use super::deltas::Stamp;
use super::encode::records;
use super::intake::{Applied, Intake};
use super::journal::{self, Beside, Reach, Written};
use super::recovery::Start;
use schemas::v1::ShardCommit;
use std::collections::BTreeMap;
use std::sync::Arc;
use stitcher::StateChange;

/// The shard of one partition.
pub struct Work {
    /// Applies records.
    pub intake: Intake,
    /// First offset that is not applied.
    pub next_offset: i64,
    shard: u32,
    config_hash: u64,
    clock_us: i64,
    last: Option<Arc<Written>>,
    /// The shard began empty: what its first commit has to delete from `flow_state`.
    anew: Option<Vec<StateChange>>,
    /// The shard ends empty: what its last commit has to delete.
    drained: Option<Vec<StateChange>>,
    pending: Option<Pending>,
}

/// A commit that was handed to Kafka, or is about to be.
pub struct Pending {
    /// What its transaction writes.
    pub records: Records,
    /// What it was made of.
    pub applied: Applied,
    /// What the shard counted.
    pub counters: BTreeMap<&'static str, u64>,
    journal: Arc<Written>,
}

/// What a look into the journal means for a shard in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its last commit is the journal's: it goes on.
    Current,
    /// Its pending commit is in the journal: nobody had heard of it.
    Committed,
    /// Its pending commit is not in the journal, and nobody else's is: it has to be sent again.
    Unsent,
    /// Another process has committed, or the log has changed: this state is worth nothing any more.
    Outdated,
}

impl Work {
    /// A shard that begins where the journal ends.
    pub fn begin(start: Start, shard: u32, config_hash: u64) -> Self {
        Self {
            shard,
            config_hash,
            clock_us: start.shard.clock_us(),
            intake: Intake::new(start.shard),
            next_offset: start.next_offset,
            last: start.last.map(|last| Arc::new(last.into())),
            anew: start.anew,
            drained: None,
            pending: None,
        }
    }

    /// How it stands, now that the journal's last commit is `last`. Commits are compared whole: two processes that
    /// took the same `seq` did not write the same.
    pub fn standing(&self, last: Option<&ShardCommit>, log: Watermarks) -> Standing {
        if !(log.low..=log.high).contains(&self.next_offset) {
            return Standing::Outdated;
        }
        let is_last = || match (&self.last, last) {
            (Some(ours), Some(last)) => ours.is(last),
            (None, None) => true,
            _ => false,
        };
        match &self.pending {
            Some(pending) if last.is_some_and(|last| pending.journal.is(last)) => Standing::Committed,
            Some(_) if is_last() => Standing::Unsent,
            None if is_last() => Standing::Current,
            _ => Standing::Outdated,
        }
    }

    /// The number of the last commit that is known to be in the journal; 0 before the first.
    pub fn seq(&self) -> u64 {
        self.last().map_or(0, |last| last.seq)
    }

    /// Everything before this offset is committed.
    pub fn committed_offset(&self) -> Option<i64> {
        self.last().map(|last| last.next_offset)
    }

    /// Log time of the last commit.
    pub fn clock_us(&self) -> i64 {
        self.clock_us
    }

    /// Something was applied since the last commit, or waits to be written.
    pub fn is_unfinished(&self) -> bool {
        self.intake.has_output()
            || self.committed_offset().is_some_and(|committed| committed < self.next_offset)
    }

    /// The next commit is the last one. Nothing of the shard is needed after it but where it ended: whatever is in
    /// `flow_state` has to be deleted.
    pub fn ends(&mut self, deletions: Vec<StateChange>) {
        self.drained = Some(deletions);
    }

    /// The last commit was one that nothing is needed after.
    pub fn is_drained(&self) -> bool {
        self.last().is_some_and(|last| last.drained)
    }

    /// What has to be written next: the pending commit, or everything since the last one.
    pub fn pend(&mut self) -> Records {
        if self.pending.is_none() {
            self.pending = Some(self.close_book());
        }
        self.pending.as_ref().map_or_else(|| Records::from([]), |pending| pending.records.clone())
    }

    /// The pending commit is in the journal.
    pub fn committed(&mut self) -> Option<Pending> {
        let pending = self.pending.take()?;
        self.clock_us = pending.journal.head.clock_us;
        self.last = Some(pending.journal.clone());
        Some(pending)
    }

    fn close_book(&mut self) -> Pending {
        let (mut commit, applied) = self.intake.commit(self.next_offset);
        let clock_us = commit.journaled.clock_us;
        let stamp = Stamp { shard: self.shard, seq: self.seq() + 1, clock_us };
        let (anew, drained) = (self.anew.take(), self.drained.take());
        let beside = Beside {
            config_hash: self.config_hash,
            begins_anew: anew.is_some() || drained.is_some(),
            drained: drained.is_some(),
            // Where the shard begins anew, that record may be one of another topic.
            last_record: applied.last_record.or_else(|| {
                let last = self.last().filter(|_| anew.is_none());
                last.and_then(|last| last.last_record)
            }),
            skipped: applied.skipped.clone(),
        };
        commit.state.splice(0..0, anew.unwrap_or_default());
        if let Some(deletions) = drained {
            commit.state = deletions;
            commit.journaled = commit.journaled.without_state();
        }
        let mut journal = journal::records(stamp, &commit.journaled, beside);
        let reach = Reach::from(&commit.journaled);
        let mistake = journal.first().and_then(|first| journal::mistake(self.last(), &first.head, reach));
        assert!(mistake.is_none(), "commit {} is not written: {}", stamp.seq, mistake.unwrap_or_default());
        let records = records(stamp, &commit, &applied.dead_letters, &journal).into();
        // There is always one.
        let journal = Arc::new(journal.pop().unwrap_or_default());
        Pending { records, applied, counters: commit.counters, journal }
    }

    fn last(&self) -> Option<&ShardCommit> {
        self.last.as_deref().map(|last| &last.head)
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode::Output;
    use super::*;
    use stitcher::{Settings, Shard};

    const LOG: Watermarks = Watermarks { low: 0, high: 1_000 };

    fn work(last: Option<ShardCommit>) -> Work {
        let next_offset = last.as_ref().map_or(0, |last| last.next_offset);
        let shard = Shard::new(Settings::default());
        let anew = last.is_none().then(Vec::new);
        Work::begin(Start { shard, last, next_offset, gap: 0, anew, replayed: 0 }, 0, 0)
    }

    fn commit(seq: u64, next_offset: i64) -> ShardCommit {
        ShardCommit { seq, next_offset, ..Default::default() }
    }

    #[test]
    fn a_shard_goes_on_as_long_as_its_last_commit_is_the_journals() {
        let last = commit(4, 40);
        let work = work(Some(last.clone()));
        assert_eq!(work.standing(Some(&last), LOG), Standing::Current);
        assert_eq!(work.standing(Some(&commit(5, 50)), LOG), Standing::Outdated);
        assert_eq!(work.standing(None, LOG), Standing::Outdated, "the journal was lost");
        assert_eq!(work.standing(Some(&last), Watermarks { low: 41, high: 99 }), Standing::Outdated);
        assert_eq!(work.standing(Some(&last), Watermarks { low: 0, high: 39 }), Standing::Outdated);
    }

    #[test]
    fn a_commit_of_unknown_outcome_is_sent_again_only_if_nobody_committed_since() {
        let mut work = work(Some(commit(4, 40)));
        work.next_offset = 45;
        let records = work.pend();
        assert_eq!(work.pend(), records, "what is pending stays what it is");
        let ours = work.pending.as_ref().unwrap().journal.head.clone();
        assert_eq!((ours.seq, ours.next_offset), (5, 45));
        assert_eq!(work.standing(Some(&commit(4, 40)), LOG), Standing::Unsent);
        assert_eq!(work.standing(Some(&ours), LOG), Standing::Committed);
        let theirs = ShardCommit { next_offset: 46, ..ours.clone() };
        assert_eq!(work.standing(Some(&theirs), LOG), Standing::Outdated, "the same seq, another commit");

        work.committed();
        assert_eq!((work.seq(), work.committed_offset()), (5, Some(45)));
        assert_eq!(work.standing(Some(&ours), LOG), Standing::Current);
        assert!(!work.is_unfinished());
    }

    #[test]
    fn the_first_commit_has_number_one() {
        let mut work = work(None);
        assert_eq!(work.standing(None, LOG), Standing::Current);
        work.pend();
        assert_eq!(work.standing(None, LOG), Standing::Unsent);
        assert!(work.committed().is_some());
        assert_eq!(work.seq(), 1);
    }

    #[test]
    fn a_shard_that_begins_empty_says_so_once_and_deletes_what_was_saved() {
        let mut work = work(None);
        work.anew = Some(vec![StateChange { key: "trace/1".into(), value: None }]);
        let is_deleted = |records: Records| {
            let state: Vec<_> =
                records.iter().filter(|record| record.output == Output::State).cloned().collect();
            state.iter().any(|record| record.key.as_deref() == Some("trace/1") && record.value.is_none())
        };
        assert!(is_deleted(work.pend()));
        assert!(work.committed().unwrap().journal.head.begins_anew);
        assert!(!is_deleted(work.pend()));
        assert!(!work.committed().unwrap().journal.head.begins_anew);
    }
}
