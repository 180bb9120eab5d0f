//! A shard's start after a crash, a deploy or a rebalance: it goes on as its predecessor was after its last commit.
//!
//! The transactor's start has fenced the predecessor. Then, in this order: the journal is read back from its high
//! watermark as far as its last commit says, the traces and names that were saved are loaded from `flow_state`, the
//! log is read from the low watermark to that commit's next offset, and the digest is compared. Nothing is written
//! until then. What can't be rebuilt is refused with a sentence; `--accept-gap` gives it up.

use super::broker::{Broker, Entry, Input, Ledger, Watermarks};
use super::failure::Failure;
use super::journal::Chain;
use super::options::{FirstBoot, config_hash};
use super::rebuild::Rebuild;
use reader::{Reader, Semconv};
use schemas::v1::ShardCommit;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use stitcher::{CORE_VERSION, Journaled, Settings, Shard, StateChange};

/// First stretch of the journal to be searched, in offsets; each commit takes at least two.
const FIRST_STEP: i64 = 64;
/// Without a record for so long, Kafka counts as away.
pub const SILENT_AT_MOST: Duration = Duration::from_secs(30);
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What a shard goes by.
pub struct Rules {
    /// The topic it reads.
    pub topic: String,
    /// The shard's.
    pub settings: Settings,
    /// Where it begins without a journal.
    pub first_boot_from: Option<FirstBoot>,
    /// What can't be rebuilt is given up.
    pub accept_gap: bool,
    /// Offsets of records that crash it.
    pub quarantine: BTreeSet<i64>,
    /// It closes everything and ends.
    pub drain: bool,
    /// How spans are read.
    semconv: Arc<Semconv>,
    config_hash: u64,
}

impl Rules {
    /// Of a shard with these settings and without special wishes.
    pub fn new(topic: String, settings: Settings) -> Self {
        Self {
            topic,
            config_hash: config_hash(&settings),
            settings,
            first_boot_from: None,
            accept_gap: false,
            quarantine: BTreeSet::new(),
            drain: false,
            semconv: Arc::new(Semconv::embedded()),
        }
    }

    /// A reader of the log's records.
    pub fn reader(&self) -> Reader {
        Reader::new(self.semconv.clone())
    }

    /// Tells settings apart under which the same log gives another shard.
    pub fn config_hash(&self) -> u64 {
        self.config_hash
    }
}

/// A shard, ready to go on.
pub struct Start {
    /// As it was after the last commit, or an empty one.
    pub shard: Shard,
    /// The last commit, as the journal's last record has it.
    pub last: Option<ShardCommit>,
    /// First offset of `otlp_spans` to be applied.
    pub next_offset: i64,
    /// Offsets that are gone from the log unread, given up by `--accept-gap`.
    pub gap: i64,
    /// The shard is empty: whatever is in `flow_state` has to be deleted with its first commit.
    pub anew: Option<Vec<StateChange>>,
    /// Spans that were read again.
    pub replayed: u64,
}

/// The last commit in the journal.
///
/// # Errors
/// Kafka doesn't answer in time, a record can't be read, or a `seq` is missing.
pub fn last_commit(broker: &impl Broker) -> Result<Option<ShardCommit>, Failure> {
    Ok(read_back(broker, |chain| chain.last().is_some())?.last().cloned())
}

/// Reads the journal's end, further back each time, until there is enough of it or no more.
pub fn read_back(broker: &impl Broker, is_enough: impl Fn(&Chain) -> bool) -> Result<Chain, Failure> {
    let Watermarks { low, high } = broker.watermarks(Ledger::Journal)?;
    let mut step = FIRST_STEP;
    loop {
        let from = (high - step).max(low);
        let mut chain = Chain::default();
        let mut each = |entry: Entry<'_>| chain.add(entry.offset, entry.value.unwrap_or_default());
        broker.read(Ledger::Journal, from..high, &mut each)?;
        if is_enough(&chain) || from == low {
            return Ok(chain);
        }
        step *= 2;
    }
}

/// How a shard is rebuilt, and what is done where it can't be.
pub struct Recovery<'a, B> {
    /// Where its predecessor wrote.
    pub broker: &'a B,
    /// The shard's settings, and how spans are read.
    pub rules: &'a Rules,
}

impl<B: Broker> Recovery<'_, B> {
    /// The shard as its predecessor left it.
    ///
    /// # Errors
    /// [`Failure::Refused`] says what is missing or foreign and how to mend it.
    pub fn start(&self, log: Log, input: &mut B::Input) -> Result<Start, Failure> {
        let chain = read_back(self.broker, Chain::is_sufficient)?;
        let Some(last) = chain.last().cloned() else { return self.first_boot(log.watermarks) };
        let state = self.state()?;
        let started = match last.drained {
            // Whoever made it: nothing of it is needed.
            true => refuse_gap(&last, log).map(|()| self.begin_empty(&last, log, &state)),
            false => self.rebuild(chain, &last, log, &state, input),
        };
        match started {
            Err(Failure::Refused(why)) if self.rules.accept_gap => {
                tracing::warn!(last.shard, "the traces in memory are given up: {why}");
                Ok(self.begin_empty(&last, log, &state))
            }
            started => started,
        }
    }

    fn first_boot(&self, log: Watermarks) -> Result<Start, Failure> {
        let next_offset = match self.rules.first_boot_from {
            Some(FirstBoot::Earliest) => log.low,
            Some(FirstBoot::Latest) => log.high,
            None => {
                self.refuse_lost_journal()?;
                log.low
            }
        };
        let mut shard = Shard::new(self.rules.settings.clone());
        shard.skip_to(next_offset);
        let anew = Some(deletions(&self.state()?));
        Ok(Start { shard, last: None, next_offset, gap: 0, anew, replayed: 0 })
    }

    /// A shard that has written anything has written a journal in the same transaction.
    pub(super) fn refuse_lost_journal(&self) -> Result<(), Failure> {
        let lost = || {
            Failure::Refused(format!(
                "shard {} has worked before, but its journal is gone. --first-boot-from earliest counts everything \
                 that is in the log, again if it was counted; --first-boot-from latest goes on with what arrives from \
                 now on",
                self.rules.settings.shard
            ))
        };
        for ledger in [Ledger::Journal, Ledger::State, Ledger::Deltas] {
            let Watermarks { low, high } = self.broker.watermarks(ledger)?;
            if low > 0 {
                return Err(lost());
            }
            self.broker.read(ledger, low..high, &mut |_| Err(lost()))?;
        }
        Ok(())
    }

    /// An empty shard that goes on where the last commit ended, or where the log begins.
    fn begin_empty(&self, last: &ShardCommit, log: Log, state: &BTreeMap<String, Vec<u8>>) -> Start {
        let Watermarks { low, high } = log.watermarks;
        let is_there = log.is_same && (low..=high).contains(&last.next_offset);
        let next_offset = if is_there { last.next_offset } else { low };
        let ended = Journaled {
            next_offset,
            clock_us: last.clock_us,
            timestamp_us: last.timestamp_us,
            ..Journaled::default()
        };
        Start {
            shard: Shard::begin_at(self.rules.settings.clone(), &ended),
            last: Some(last.clone()),
            next_offset,
            gap: if log.is_same { (low - last.next_offset).max(0) } else { 0 },
            anew: Some(deletions(state)),
            replayed: 0,
        }
    }

    fn rebuild(
        &self,
        mut chain: Chain,
        last: &ShardCommit,
        log: Log,
        state: &BTreeMap<String, Vec<u8>>,
        input: &mut B::Input,
    ) -> Result<Start, Failure> {
        refuse_gap(last, log)?;
        let mut rebuild = Rebuild::begin(self.rules, &mut chain, last)?;
        rebuild.load(last, state)?;
        let replayed = self.read_again(&mut rebuild, log, input)?;
        let shard = rebuild.finish(last)?;
        let (last, next_offset) = (Some(last.clone()), last.next_offset);
        Ok(Start { shard, last, next_offset, gap: 0, anew: None, replayed })
    }

    /// Applies the records that the traces in memory came from. Returns how many spans that were.
    fn read_again(&self, rebuild: &mut Rebuild, log: Log, input: &mut B::Input) -> Result<u64, Failure> {
        let (from, until) = (rebuild.reads_from().max(log.watermarks.low), rebuild.reads_until());
        input.read_from(from)?;
        let (mut heard, mut told) = (self.broker.elapsed(), self.broker.elapsed());
        let mut spans = 0;
        while input.next() < until {
            let (next, now) = (input.next(), self.broker.elapsed());
            if self.broker.is_stopped() || now - heard >= SILENT_AT_MOST {
                return Err(Failure::Retry(format!("the log was read again up to {next} of {until} only")));
            }
            if now - told >= TELL_EVERY {
                told = now;
                tracing::info!(offset = next, until, "traces in memory are rebuilt");
            }
            input.poll(&mut |record| {
                spans += rebuild.apply(record);
                heard = now;
                Ok(())
            })?;
        }
        Ok(spans)
    }

    /// Everything in `flow_state` that was not deleted.
    ///
    /// # Errors
    /// Kafka falls silent.
    pub fn state(&self) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
        let log = self.broker.watermarks(Ledger::State)?;
        let mut state = BTreeMap::new();
        self.broker.read(Ledger::State, log.low..log.high, &mut |entry| {
            let key = String::from_utf8_lossy(entry.key).into_owned();
            match entry.value {
                Some(value) => drop(state.insert(key, value.to_vec())),
                None => drop(state.remove(&key)),
            }
            Ok(())
        })?;
        Ok(state)
    }
}

/// Takes everything out of `flow_state` again.
pub fn deletions(state: &BTreeMap<String, Vec<u8>>) -> Vec<StateChange> {
    state.keys().map(|key| StateChange { key: key.clone(), value: None }).collect()
}

/// The shard's partition of `otlp_spans`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// Where it begins and ends.
    pub watermarks: Watermarks,
    /// The record that was applied last is still where it was: nobody has made the topic anew.
    pub is_same: bool,
}

impl Log {
    /// Looks at it.
    ///
    /// # Errors
    /// Kafka doesn't answer.
    pub fn look<I: Input>(
        broker: &impl Broker<Input = I>,
        input: &mut I,
        last: Option<&ShardCommit>,
    ) -> Result<Self, Failure> {
        let watermarks = input.watermarks()?;
        let is_there = |offset| (watermarks.low..watermarks.high).contains(&offset);
        let applied = last.and_then(|last| last.last_record).filter(|applied| is_there(applied.offset));
        let Some(applied) = applied else { return Ok(Self { watermarks, is_same: true }) };
        input.read_from(applied.offset)?;
        let (asked, mut is_same) = (broker.elapsed(), false);
        while input.next() <= applied.offset {
            if broker.is_stopped() || broker.elapsed() - asked >= SILENT_AT_MOST {
                return Err(Failure::Retry(format!("the record at offset {} can't be read", applied.offset)));
            }
            input.poll(&mut |record| {
                is_same |= (record.offset, record.appended_us) == (applied.offset, applied.appended_us);
                Ok(())
            })?;
        }
        Ok(Self { watermarks, is_same })
    }
}

/// Whether this program can go on with what the last one left.
///
/// # Errors
/// Another version or other settings made it.
pub fn refuse_foreign(last: &ShardCommit, config_hash: u64) -> Result<(), Failure> {
    if last.core_version != CORE_VERSION {
        let why = format!(
            "its last commit was made by version {}, this is {CORE_VERSION}; --drain of that version closes its \
             traces, then any can go on",
            last.core_version
        );
        return Err(refusal(last, &why));
    }
    if last.config_hash != config_hash {
        return Err(refusal(
            last,
            "its last commit was made under other settings (times, limits, environment); --drain under those closes \
             its traces, then any can go on",
        ));
    }
    Ok(())
}

/// Whether everything that is needed is still in the log.
///
/// # Errors
/// It isn't.
pub fn refuse_gap(last: &ShardCommit, log: Log) -> Result<(), Failure> {
    let Log { watermarks: Watermarks { low, high }, is_same } = log;
    let (next, needed) = (last.next_offset, last.low_watermark);
    let why = match () {
        () if next > high || !is_same => "the topic was created anew",
        () if needed < low => "the log was deleted beyond that",
        () => return Ok(()),
    };
    let why = format!(
        "it needs the log from offset {needed} and goes on at {next}, the log has {low} to {high}: {why}"
    );
    Err(refusal(last, &why))
}

/// A start that would not be exact.
pub fn refusal(last: &ShardCommit, why: &str) -> Failure {
    Failure::Refused(format!(
        "shard {} can't go on as it was: {why}. --accept-gap gives up the traces that were in memory and goes on",
        last.shard
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(next_offset: i64, low_watermark: i64) -> ShardCommit {
        let core_version = CORE_VERSION.to_owned();
        ShardCommit {
            shard: 2,
            next_offset,
            low_watermark,
            config_hash: 7,
            core_version,
            ..Default::default()
        }
    }

    fn sentence(result: Result<(), Failure>) -> String {
        match result {
            Err(Failure::Refused(sentence)) => sentence,
            other => panic!("it must refuse, not {other:?}"),
        }
    }

    const LOG: Log = Log { watermarks: Watermarks { low: 100, high: 200 }, is_same: true };

    #[test]
    fn what_is_gone_from_the_log_is_refused_with_its_mend() {
        for (next, low) in [(100, 100), (150, 120), (200, 100)] {
            assert_eq!(refuse_gap(&commit(next, low), LOG), Ok(()));
        }
        let deleted = sentence(refuse_gap(&commit(150, 99), LOG));
        assert!(deleted.contains("deleted") && deleted.contains("--accept-gap"), "{deleted}");
        assert!(sentence(refuse_gap(&commit(201, 150), LOG)).contains("created anew"));
        let anew = Log { is_same: false, ..LOG };
        assert!(sentence(refuse_gap(&commit(150, 150), anew)).contains("created anew"));
    }

    #[test]
    fn what_others_made_is_refused() {
        assert_eq!(refuse_foreign(&commit(150, 150), 7), Ok(()));
        assert!(sentence(refuse_foreign(&commit(150, 150), 8)).contains("other settings"));
        let other = ShardCommit { core_version: "0.0.1".into(), ..commit(150, 150) };
        assert!(sentence(refuse_foreign(&other, 7)).contains("version 0.0.1"));
    }
}
