//! How far each shard has been read, and whether anything of it is missing.

use crate::change::Commit;
use crate::number::tenths;
use crate::progress::{Progress, StoredStaleness};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A shard whose last commit is older than this is late: shards commit every 5 s even when idle.
const LATE_AFTER_US: i64 = 15_000_000;
/// Further behind the log's end than this is more than a batch on its way, or the commit of an idle shard, whose log
/// time is older than its pause of 5 s.
const BEHIND_AFTER_US: i64 = 10_000_000;

/// Last complete commit by shard; as keys of JSON objects the numbers are text.
pub type Sequences = BTreeMap<u32, u64>;

/// What to do with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the next one.
    Next,
    /// It is news, but something before it is missing.
    AfterHole,
    /// It was here before: adding it would count it twice.
    Repeated,
}

/// A record's place among its shard's commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The commit.
    pub seq: u64,
    /// This record is part `part`, from 0, …
    pub part: u32,
    /// … of `parts`.
    pub parts: u32,
    /// The shard's log time.
    pub clock_us: i64,
}

/// The shards by number.
#[derive(Debug, Default)]
pub struct Shards {
    by_number: BTreeMap<u32, Shard>,
    /// Whether Kafka is known not to answer: then the end of the log is anybody's guess.
    cut_off: bool,
}

#[derive(Debug, Default)]
struct Shard {
    /// Last complete commit.
    seq: u64,
    /// The record that must come next; `None` before the first.
    expected: Option<(u64, u32)>,
    clock_us: i64,
    at_end: bool,
    /// Whether it has ever been at its end.
    was_at_end: bool,
    trouble: Option<Trouble>,
    /// The state at start holds the first parts of a commit whose last one has not come.
    torn: bool,
    /// It has committed, but so long ago that nothing more is known of it.
    silent: bool,
}

#[derive(Debug, Clone)]
struct Trouble {
    since_us: i64,
    sentence: String,
}

/// How current an answer is, shard by shard.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Staleness {
    /// Whether nothing is missing or late.
    pub fresh: bool,
    /// One sentence for people.
    pub message: String,
    /// Earliest µs from which live answers are complete.
    pub complete_from: i64,
    /// Where the state at start came from: `clickhouse`, `kafka` or `none` (not loaded yet).
    pub loaded_from: &'static str,
    /// Seconds by which the slowest shard is behind; null before its first commit.
    pub behind_seconds: Option<f64>,
    /// The shards by number.
    #[schema(value_type = BTreeMap<String, ShardStaleness>)]
    pub shards: BTreeMap<u32, ShardStaleness>,
    /// How far the tables are, where the answer comes from them too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored: Option<StoredStaleness>,
}

impl Staleness {
    /// Adds how far the tables are: an answer is as fresh as the worse of its two sources.
    pub fn with_stored(mut self, progress: &[Progress], now_us: i64) -> Self {
        let stored = StoredStaleness::new(progress, &self.shards, now_us);
        if self.fresh && !stored.fresh {
            self.fresh = false;
            self.message.clone_from(&stored.message);
        }
        self.stored = Some(stored);
        self
    }
}

/// How current one shard is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShardStaleness {
    /// Last complete commit that is in the answer.
    pub seq: u64,
    /// The shard's log time at that commit in µs.
    pub clock: i64,
    /// Seconds since then.
    pub behind_seconds: Option<f64>,
    /// See [`ShardState`].
    pub state: ShardState,
    /// What is wrong, in words; "" if nothing is.
    pub message: String,
}

/// What can be said about a shard's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShardState {
    /// Everything committed is in.
    Live,
    /// It has not committed anything yet.
    Waiting,
    /// The log is being worked off.
    CatchingUp,
    /// The shard has not committed for longer than it may.
    Late,
    /// Commits are missing: numbers are too low, or may be.
    Hole,
}

impl ShardState {
    /// Whether nothing of the shard is missing or late.
    pub fn is_fresh(self) -> bool {
        matches!(self, Self::Live | Self::Waiting)
    }
}

impl Shards {
    /// Makes the shards known that exist, so that a silent one shows.
    pub fn expect(&mut self, count: u32) {
        for number in 0..count {
            self.by_number.entry(number).or_default();
        }
    }

    /// The state at start holds everything of a shard up to this record, so the one behind it must come next.
    pub fn begin_after(&mut self, number: u32, last: Place) {
        let shard = self.by_number.entry(number).or_default();
        shard.advance(last);
        shard.torn = last.part + 1 < last.parts;
    }

    /// The shard has committed once, but not lately enough to be in the state at start.
    pub fn silent(&mut self, number: u32) {
        self.by_number.entry(number).or_default().silent = true;
    }

    /// Whether the state at start holds a part of a commit only.
    pub fn torn(&self) -> bool {
        self.by_number.values().any(|shard| shard.torn)
    }

    /// Judges a record by its place in the shard's sequence.
    pub fn judge(&self, commit: &Commit) -> Verdict {
        let place = (commit.seq, commit.part);
        match self.by_number.get(&commit.shard).and_then(|shard| shard.expected) {
            None => Verdict::Next,
            Some(expected) if place == expected => Verdict::Next,
            // A shard that begins again at 1 has lost its journal: what it says is news, but not the whole story.
            Some(expected) if place > expected || place == (1, 0) => Verdict::AfterHole,
            Some(_) => Verdict::Repeated,
        }
    }

    /// Takes a record, and judges it. A hole is an alarm that stays until everything it could have changed is older than
    /// the live state (`forget_trouble_before`).
    pub fn accept(&mut self, commit: &Commit, now_us: i64) -> Verdict {
        let verdict = self.judge(commit);
        let shard = self.by_number.entry(commit.shard).or_default();
        if verdict != Verdict::Next {
            shard.raise(commit, verdict, now_us);
        }
        if verdict != Verdict::Repeated {
            shard.advance(commit.place());
        }
        verdict
    }

    /// The shard's partition has been read to its end.
    pub fn at_end(&mut self, number: u32) {
        let shard = self.by_number.entry(number).or_default();
        (shard.at_end, shard.was_at_end) = (true, true);
        self.cut_off = false;
    }

    /// Kafka answers, or doesn't.
    pub fn reachable(&mut self, yes: bool) {
        self.cut_off = !yes;
    }

    /// Forgets alarms that were raised before `before_us`.
    pub fn forget_trouble_before(&mut self, before_us: i64) {
        for shard in self.by_number.values_mut() {
            shard.trouble.take_if(|trouble| trouble.since_us < before_us);
        }
    }

    /// Last complete commit of each shard that has one.
    pub fn sequences(&self) -> Sequences {
        let heard = self.by_number.iter().filter(|(_, shard)| shard.expected.is_some());
        heard.map(|(number, shard)| (*number, shard.seq)).collect()
    }

    /// Whether every shard has been read to its end at least once.
    pub fn all_read(&self) -> bool {
        !self.by_number.is_empty() && self.by_number.values().all(|shard| shard.was_at_end)
    }

    /// Shards whose commits are missing.
    pub fn holes(&self) -> usize {
        self.by_number.values().filter(|shard| shard.trouble.is_some()).count()
    }

    /// The report for an answer made at `now_us`.
    pub fn staleness(&self, now_us: i64, complete_from: i64, loaded_from: &'static str) -> Staleness {
        let shards: BTreeMap<u32, ShardStaleness> =
            self.by_number.iter().map(|(number, shard)| (*number, shard.staleness(now_us))).collect();
        let behind_seconds = shards.values().filter_map(|shard| shard.behind_seconds).reduce(f64::max);
        let fresh = loaded_from != "none"
            && !self.cut_off
            && !shards.is_empty()
            && shards.values().all(|shard| shard.state.is_fresh());
        let message = match (self.cut_off, behind_seconds) {
            (true, Some(seconds)) => format!("Kafka doesn't answer, {seconds:.0} s behind"),
            (true, None) => "Kafka doesn't answer".to_owned(),
            (false, _) => sentence(&shards, loaded_from, behind_seconds),
        };
        Staleness { fresh, message, complete_from, loaded_from, behind_seconds, shards, stored: None }
    }
}

impl Shard {
    fn advance(&mut self, to: Place) {
        self.clock_us = to.clock_us;
        self.at_end = false;
        if to.part + 1 < to.parts {
            // Seen from a cut in the middle of a commit, the one before it is complete.
            self.seq = to.seq.saturating_sub(1);
            self.expected = Some((to.seq, to.part + 1));
        } else {
            self.torn = false;
            self.seq = to.seq;
            self.expected = Some((to.seq + 1, 0));
        }
    }

    fn raise(&mut self, commit: &Commit, verdict: Verdict, now_us: i64) {
        let (seq, part) = self.expected.unwrap_or_default();
        let sentence = match verdict {
            Verdict::Repeated => format!("commit {} came again after commit {}", commit.seq, self.seq),
            _ if commit.seq < seq => format!("the shard began again at commit 1 after commit {}", self.seq),
            _ => format!("commits are missing from {seq}.{part} to {}.{}", commit.seq, commit.part),
        };
        tracing::error!(shard = commit.shard, "{sentence}");
        self.trouble = Some(Trouble { since_us: now_us, sentence });
    }

    fn staleness(&self, now_us: i64) -> ShardStaleness {
        // Before its first span a shard commits without a time.
        let has_time = self.expected.is_some() && self.clock_us > 0;
        let behind_us = has_time.then(|| (now_us - self.clock_us).max(0));
        let (state, message) = self.state(behind_us);
        let behind_seconds = behind_us.map(tenths);
        ShardStaleness { seq: self.seq, clock: self.clock_us, behind_seconds, state, message }
    }

    fn state(&self, behind_us: Option<i64>) -> (ShardState, String) {
        if let Some(trouble) = &self.trouble {
            return (ShardState::Hole, trouble.sentence.clone());
        }
        match behind_us {
            Some(us) if self.at_end && us > LATE_AFTER_US => {
                (ShardState::Late, format!("no commit for {} s", us / 1_000_000))
            }
            Some(us) if !self.at_end && us > BEHIND_AFTER_US => {
                (ShardState::CatchingUp, format!("catching up, {} s behind", us / 1_000_000))
            }
            Some(_) => (ShardState::Live, String::new()),
            None if self.at_end && self.silent => {
                (ShardState::Late, "no commit for longer than live state goes back".to_owned())
            }
            None if self.at_end && self.expected.is_some() => (ShardState::Waiting, "no span yet".to_owned()),
            None if self.at_end => (ShardState::Waiting, "no commit yet".to_owned()),
            None => (ShardState::CatchingUp, "not read yet".to_owned()),
        }
    }
}

fn sentence(
    shards: &BTreeMap<u32, ShardStaleness>,
    loaded_from: &str,
    behind_seconds: Option<f64>,
) -> String {
    if loaded_from == "none" || shards.is_empty() {
        return "starting: the last 15 minutes are being loaded".to_owned();
    }
    let others = match shards.values().filter(|shard| !shard.state.is_fresh()).count() {
        0 | 1 => String::new(),
        troubled => format!(" (and {} more)", troubled - 1),
    };
    // The worst states are the last ones of the enum.
    let worst = shards.iter().max_by_key(|(_, shard)| shard.state as u8);
    match (worst, behind_seconds) {
        (Some((number, shard)), _) if !shard.state.is_fresh() => {
            format!("shard {number}{others}: {}", shard.message)
        }
        (_, Some(seconds)) => format!("live, {seconds:.1} s behind"),
        (_, None) => "waiting for the first spans".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_700_000_000_000_000;

    fn record(seq: u64, part: u32, parts: u32) -> Commit {
        Commit { seq, part, parts, clock_us: NOW_US - 400_000, ..Commit::default() }
    }

    fn after(records: &[(u64, u32, u32)]) -> (Shards, Vec<Verdict>) {
        let mut shards = Shards::default();
        let verdicts = records
            .iter()
            .map(|&(seq, part, parts)| shards.accept(&record(seq, part, parts), NOW_US))
            .collect();
        shards.at_end(0);
        (shards, verdicts)
    }

    fn state(shards: &Shards) -> ShardState {
        shards.staleness(NOW_US, 0, "kafka").shards[&0].state
    }

    #[test]
    fn commits_and_their_parts_in_order_are_live() {
        let (shards, verdicts) = after(&[(7, 1, 2), (8, 0, 1), (9, 0, 2), (9, 1, 2)]);
        assert_eq!(verdicts, [Verdict::Next; 4]);
        assert_eq!((shards.sequences(), state(&shards)), (Sequences::from([(0, 9)]), ShardState::Live));
        let staleness = shards.staleness(NOW_US, 0, "kafka");
        assert_eq!((staleness.fresh, staleness.message.as_str()), (true, "live, 0.4 s behind"));
    }

    #[test]
    fn an_incomplete_commit_is_not_claimed() {
        assert_eq!(after(&[(8, 0, 1), (9, 0, 2)]).0.sequences(), Sequences::from([(0, 8)]));
    }

    #[test]
    fn a_hole_is_an_alarm_until_it_is_too_old_to_matter() {
        for records in [&[(7, 0, 1), (9, 0, 1)][..], &[(7, 0, 3), (7, 2, 3)], &[(7, 0, 2), (8, 0, 1)]] {
            let (mut shards, verdicts) = after(records);
            assert_eq!(
                (verdicts[1], state(&shards), shards.holes()),
                (Verdict::AfterHole, ShardState::Hole, 1)
            );
            let staleness = shards.staleness(NOW_US, 0, "kafka");
            assert!(!staleness.fresh && staleness.message.contains("missing"), "{staleness:?}");
            shards.forget_trouble_before(NOW_US);
            assert_eq!(shards.holes(), 1);
            shards.forget_trouble_before(NOW_US + 1);
            assert_eq!(state(&shards), ShardState::Live);
        }
    }

    #[test]
    fn a_repeated_commit_is_not_applied_and_an_alarm() {
        let (shards, verdicts) = after(&[(7, 0, 1), (8, 0, 1), (8, 0, 1)]);
        assert_eq!((verdicts[2], state(&shards)), (Verdict::Repeated, ShardState::Hole));
        assert_eq!(shards.sequences(), Sequences::from([(0, 8)]));
    }

    #[test]
    fn a_shard_that_begins_again_is_followed() {
        let (shards, verdicts) = after(&[(7, 0, 1), (1, 0, 1), (2, 0, 1)]);
        assert_eq!(verdicts, [Verdict::Next, Verdict::AfterHole, Verdict::Next]);
        assert_eq!((shards.sequences(), state(&shards)), (Sequences::from([(0, 2)]), ShardState::Hole));
    }

    #[test]
    fn a_silent_shard_is_late_and_a_busy_one_is_catching_up() {
        let (mut shards, _) = after(&[(7, 0, 1)]);
        let later = shards.staleness(NOW_US + 20_000_000, 0, "kafka");
        assert_eq!(
            (later.shards[&0].state, later.message.as_str()),
            (ShardState::Late, "shard 0: no commit for 20 s")
        );
        shards.accept(&record(8, 0, 1), NOW_US);
        let behind = shards.staleness(NOW_US + 20_000_000, 0, "kafka");
        assert_eq!((behind.shards[&0].state, behind.fresh), (ShardState::CatchingUp, false));
    }

    #[test]
    fn a_sentence_says_how_many_shards_are_in_trouble() {
        let (mut shards, _) = after(&[(7, 0, 1)]);
        for shard in 1..4 {
            let record =
                Commit { shard, clock_us: NOW_US - 20_000_000 * i64::from(shard % 3), ..record(1, 0, 1) };
            shards.accept(&record, NOW_US);
            shards.at_end(shard);
        }
        let message = shards.staleness(NOW_US, 0, "kafka").message;
        assert_eq!(message, "shard 2 (and 1 more): no commit for 40 s");
    }

    #[test]
    fn nothing_is_fresh_while_kafka_does_not_answer() {
        let (mut shards, _) = after(&[(7, 0, 1)]);
        shards.reachable(false);
        let cut_off = shards.staleness(NOW_US + 3_000_000, 0, "kafka");
        assert_eq!((cut_off.fresh, cut_off.message.as_str()), (false, "Kafka doesn't answer, 3 s behind"));
        shards.at_end(0);
        assert!(shards.staleness(NOW_US, 0, "kafka").fresh);
    }

    #[test]
    fn what_was_read_once_is_loaded_however_busy_it_is() {
        let (mut shards, _) = after(&[(7, 0, 1)]);
        shards.accept(&record(8, 0, 1), NOW_US);
        assert!(shards.all_read());
    }

    #[test]
    fn a_shard_that_has_had_no_span_yet_is_not_late() {
        let mut shards = Shards::default();
        shards.accept(&Commit { clock_us: 0, ..record(1, 0, 1) }, NOW_US);
        shards.at_end(0);
        let staleness = shards.staleness(NOW_US, 0, "kafka");
        assert_eq!((staleness.shards[&0].message.as_str(), staleness.behind_seconds), ("no span yet", None));
    }

    #[test]
    fn a_shard_that_was_silent_at_the_start_is_late_until_it_speaks() {
        let mut shards = Shards::default();
        shards.silent(0);
        shards.at_end(0);
        assert_eq!(state(&shards), ShardState::Late);
        shards.accept(&record(8, 0, 1), NOW_US);
        shards.at_end(0);
        assert_eq!(state(&shards), ShardState::Live);
    }

    #[test]
    fn a_shard_begins_behind_what_the_state_at_start_holds() {
        let mut shards = Shards::default();
        shards.begin_after(0, record(7, 0, 1).place());
        assert_eq!(shards.accept(&record(9, 0, 1), NOW_US), Verdict::AfterHole);
        let mut shards = Shards::default();
        shards.begin_after(0, record(7, 0, 2).place());
        shards.at_end(0);
        assert_eq!((shards.torn(), shards.sequences()), (true, Sequences::from([(0, 6)])));
        assert_eq!(shards.accept(&record(7, 1, 2), NOW_US), Verdict::Next);
        assert_eq!((shards.torn(), shards.sequences()), (false, Sequences::from([(0, 7)])));
    }

    #[test]
    fn a_shard_that_never_spoke_is_shown() {
        let mut shards = Shards::default();
        shards.expect(2);
        assert!(!shards.all_read());
        shards.at_end(0);
        shards.at_end(1);
        let staleness = shards.staleness(NOW_US, 0, "kafka");
        assert_eq!((staleness.shards.len(), staleness.message.as_str()), (2, "waiting for the first spans"));
    }
}
