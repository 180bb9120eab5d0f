//! A shard with everything that is not committed yet. It outlives its consumer and its producer: when Kafka was away,
//! or the group took the partition and gave it back, the journal says whether it may go on as it is.

use super::deltas::Stamp;
use super::encode::{journal, records};
use super::input::Watermarks;
use super::intake::{Applied, Intake};
use super::options::config_hash;
use super::recovery::Resume;
use super::transactor::Records;
use schemas::v1::ShardCommit;
use std::collections::BTreeMap;
use stitcher::{Commit, Settings};

/// The shard of one partition.
pub struct Work {
    /// Applies records.
    pub intake: Intake,
    /// First offset that is not applied.
    pub next_offset: i64,
    shard: u32,
    config_hash: u64,
    /// Log time never goes back, not even over a restart.
    clock_us: i64,
    last: Option<ShardCommit>,
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
    journal: ShardCommit,
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
    pub fn begin(resume: &Resume, last: Option<ShardCommit>, settings: Settings) -> Self {
        Self {
            shard: settings.shard,
            config_hash: config_hash(&settings),
            intake: Intake::new(resume.shard(settings)),
            next_offset: resume.next_offset,
            clock_us: resume.clock_us,
            last,
            pending: None,
        }
    }

    /// How it stands, now that the journal's last commit is `last`. Commits are compared whole: two processes that
    /// took the same `seq` did not write the same.
    pub fn standing(&self, last: Option<&ShardCommit>, log: Watermarks) -> Standing {
        if !(log.low..=log.high).contains(&self.next_offset) {
            return Standing::Outdated;
        }
        match &self.pending {
            Some(pending) if last == Some(&pending.journal) => Standing::Committed,
            Some(_) if last == self.last.as_ref() => Standing::Unsent,
            None if last == self.last.as_ref() => Standing::Current,
            _ => Standing::Outdated,
        }
    }

    /// The number of the last commit that is known to be in the journal; 0 before the first.
    pub fn seq(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.seq)
    }

    /// Everything before this offset is committed.
    pub fn committed_offset(&self) -> Option<i64> {
        self.last.as_ref().map(|last| last.next_offset)
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
        self.clock_us = pending.journal.clock_us;
        self.last = Some(pending.journal.clone());
        Some(pending)
    }

    fn close_book(&mut self) -> Pending {
        let (commit, applied) = self.intake.commit();
        let commit = self.completed(commit);
        let stamp = Stamp { shard: self.shard, seq: self.seq() + 1, clock_us: commit.clock_us };
        let mut journal = journal(stamp, &commit, self.config_hash);
        let records = records(stamp, &commit, &applied.dead_letters, &journal).into();
        // There is always one.
        let journal = journal.pop().unwrap_or_default();
        Pending { records, applied, counters: commit.counters, journal }
    }

    /// The consumer knows offsets that the shard doesn't: where it began, and those that hold no record.
    fn completed(&self, commit: Commit) -> Commit {
        let next_offset = self.next_offset;
        let nothing_open = self.intake.open_spans() == 0;
        let low_watermark = if nothing_open { next_offset } else { commit.low_watermark };
        let clock_us = commit.clock_us.max(self.clock_us);
        Commit { next_offset, low_watermark, clock_us, ..commit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: Watermarks = Watermarks { low: 0, high: 1_000 };

    fn work(last: Option<ShardCommit>) -> Work {
        let next_offset = last.as_ref().map_or(0, |last| last.next_offset);
        let resume = Resume { seq: 0, next_offset, clock_us: 0, gap: 0 };
        Work::begin(&resume, last, Settings::default())
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
        let ours = work.pending.as_ref().unwrap().journal.clone();
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
    fn log_time_does_not_go_back_when_the_state_is_lost() {
        let resume = Resume { seq: 7, next_offset: 70, clock_us: 99_000_000, gap: 0 };
        let mut work = Work::begin(&resume, Some(commit(7, 70)), Settings::default());
        work.pend();
        let pending = work.committed().unwrap();
        assert_eq!((pending.journal.clock_us, pending.journal.low_watermark), (99_000_000, 70));
    }
}
