//! Where a run can be interrupted, and how often each place was.

use std::collections::BTreeMap;
use std::fmt;

/// A step of commit or recovery, or of a store, in which a process dies or a reply is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Step {
    InitBeforeFencing,
    InitAfterFencing,
    JournalEnd,
    JournalRead,
    JournalFollow,
    StateEnd,
    StateRead,
    LogEnd,
    LogReadAgain,
    BeforeTransaction,
    WithinTransaction,
    BeforeCommit,
    CommitLost,
    CommitDelayed,
    ReplyLost,
    AfterCommit,
    Live,
    StoreInitBeforeFencing,
    StoreInitAfterFencing,
    StoreJournalEnd,
    StoreJournalRead,
    StoreProgressRead,
    StoreLogEnd,
    StoreLogRead,
    StoreLogReadAgain,
    StoreBeforeEntry,
    StoreWithinEntry,
    StoreBeforeCommit,
    StoreCommitLost,
    StoreCommitDelayed,
    StoreReplyLost,
    StoreAfterTaken,
    StoreAfterBegun,
    StoreAfterDone,
    StoreBeforeInsert,
    StoreInsertCutBeforeView,
    StoreInsertReplyLost,
    StoreAfterInsert,
    StoreBeforeProgress,
    StoreHangs,
    StoreFencedByKafka,
    ClickHouseAway,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 42] = [
        Self::InitBeforeFencing,
        Self::InitAfterFencing,
        Self::JournalEnd,
        Self::JournalRead,
        Self::JournalFollow,
        Self::StateEnd,
        Self::StateRead,
        Self::LogEnd,
        Self::LogReadAgain,
        Self::BeforeTransaction,
        Self::WithinTransaction,
        Self::BeforeCommit,
        Self::CommitLost,
        Self::CommitDelayed,
        Self::ReplyLost,
        Self::AfterCommit,
        Self::Live,
        Self::StoreInitBeforeFencing,
        Self::StoreInitAfterFencing,
        Self::StoreJournalEnd,
        Self::StoreJournalRead,
        Self::StoreProgressRead,
        Self::StoreLogEnd,
        Self::StoreLogRead,
        Self::StoreLogReadAgain,
        Self::StoreBeforeEntry,
        Self::StoreWithinEntry,
        Self::StoreBeforeCommit,
        Self::StoreCommitLost,
        Self::StoreCommitDelayed,
        Self::StoreReplyLost,
        Self::StoreAfterTaken,
        Self::StoreAfterBegun,
        Self::StoreAfterDone,
        Self::StoreBeforeInsert,
        Self::StoreInsertCutBeforeView,
        Self::StoreInsertReplyLost,
        Self::StoreAfterInsert,
        Self::StoreBeforeProgress,
        Self::StoreHangs,
        Self::StoreFencedByKafka,
        Self::ClickHouseAway,
    ];
}

/// How often a process died in a step, or its reply was lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    hits: BTreeMap<Step, u64>,
}

impl Coverage {
    /// It was interrupted there.
    pub fn hit(&mut self, step: Step) {
        *self.hits.entry(step).or_default() += 1;
    }

    /// Adds what another run hit.
    pub fn add(&mut self, other: &Self) {
        for (step, hits) in &other.hits {
            *self.hits.entry(*step).or_default() += hits;
        }
    }

    /// Steps that were never interrupted.
    pub fn missing(&self) -> Vec<Step> {
        Step::ALL.into_iter().filter(|step| !self.hits.contains_key(step)).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in Step::ALL {
            let hits = self.hits.get(&step).copied().unwrap_or_default();
            writeln!(f, "  {hits:>8}  {step:?}")?;
        }
        Ok(())
    }
}
