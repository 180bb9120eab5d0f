//! A copy of a shard that another process owns. It follows the commits in the journal and reads the records before
//! their ends, never beyond; when the shard becomes this process's, it goes live without reading its log again.

use super::Room;
use super::broker::{Broker, Input, Ledger};
use super::driver::{RETRY_FIRST, RETRY_LAST, sleep};
use super::failure::Failure;
use super::journal::Chain;
use super::kafka::{Kafka, KafkaInput};
use super::rebuild::Rebuild;
use super::recovery::{Log, Recovery, Rules, SILENT_AT_MOST, Start, read_back, refuse_gap};
use super::work::Work;
use schemas::v1::ShardCommit;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use stitcher::CORE_VERSION;
use tokio_util::sync::CancellationToken;

const TELL_EVERY: Duration = Duration::from_secs(1);
/// A copy that is followed looks for its stop ten times as often; one that is begun may have to be waited for longer
/// than it is worth.
const ENDS_WITHIN: Duration = Duration::from_millis(500);

/// What a shard can go on with when it starts.
pub struct Kept<I> {
    /// The shard as an earlier run left it.
    pub work: Option<Work>,
    /// What another process had committed.
    pub copy: Option<Copy<I>>,
}

impl<I> Default for Kept<I> {
    /// Nothing.
    fn default() -> Self {
        Self { work: None, copy: None }
    }
}

/// A copy of a shard.
pub struct Copy<I> {
    rebuild: Rebuild,
    chain: Chain,
    journal: I,
    log: I,
    spans: u64,
}

impl<I: Input> Copy<I> {
    /// A copy as of some commit, the last one or one shortly before. It fences nobody, so what it reads may change
    /// meanwhile: what it has of `flow_state` is at least as new as what it knows of the journal, and is read again
    /// when it matters.
    ///
    /// # Errors
    /// There is nothing to be copied yet, or not by this program; or Kafka doesn't answer.
    pub fn begin<B: Broker<Input = I>>(recovery: &Recovery<'_, B>) -> Result<Self, Failure> {
        let Recovery { broker, rules } = recovery;
        let mut chain = read_back(*broker, Chain::is_sufficient)?;
        let last = chain.last().cloned().filter(|last| !last.drained);
        let last = last.ok_or_else(|| Failure::Retry("there is nothing to be copied".to_owned()))?;
        let mut log = broker.input()?;
        let watermarks = log.watermarks()?;
        refuse_gap(&last, Log { watermarks, is_same: true })?;
        let mut rebuild = Rebuild::begin(rules, &mut chain, &last)?;
        rebuild.load(&last, &recovery.state()?)?;
        log.read_from(rebuild.reads_from().max(watermarks.low))?;
        let mut journal = broker.tail(Ledger::Journal)?;
        journal.read_from(chain.next_offset())?;
        Ok(Self { rebuild, chain, journal, log, spans: 0 })
    }

    /// Reads a record, of the log or of the journal, if there is one.
    ///
    /// # Errors
    /// It can't follow any more: a new copy has to be made.
    pub fn step(&mut self, rules: &Rules) -> Result<(), Failure> {
        let Self { rebuild, chain, journal, log, spans } = self;
        if log.next() < rebuild.reads_until() {
            return log.poll(&mut |record| {
                *spans += rebuild.apply(record);
                Ok(())
            });
        }
        let Some(past) = chain.take_first() else {
            return journal.poll(&mut |record| chain.add(record.offset, record.value));
        };
        let is_ours = past.core_version == CORE_VERSION && past.config_hash == rules.config_hash();
        if past.begins_anew || !is_ours {
            return Err(Failure::Retry("the shard began anew, or another version has it".to_owned()));
        }
        rebuild.follow(past);
        Ok(())
    }

    /// The first offset that is not applied.
    pub fn next_offset(&self) -> i64 {
        self.log.next()
    }

    /// The shard as of its last commit. Its owner is fenced.
    ///
    /// # Errors
    /// The copy is not what the owner had, or can't get that far.
    pub fn take_over<B: Broker<Input = I>>(
        mut self,
        recovery: &Recovery<'_, B>,
        last: &ShardCommit,
    ) -> Result<Start, Failure> {
        let Recovery { broker, rules } = recovery;
        let (asked, spans) = (broker.elapsed(), self.spans);
        while !self.is_at(last) {
            if broker.is_stopped() || broker.elapsed() - asked >= SILENT_AT_MOST {
                return Err(Failure::Retry(format!("the copy did not get to commit {}", last.seq)));
            }
            self.step(rules)?;
        }
        self.rebuild.load_again(last, &recovery.state()?)?;
        let shard = self.rebuild.finish(last)?;
        let (next_offset, replayed) = (last.next_offset, self.spans - spans);
        Ok(Start { shard, last: Some(last.clone()), next_offset, gap: 0, anew: None, replayed })
    }

    fn is_at(&self, last: &ShardCommit) -> bool {
        self.chain.is_followed() && self.chain.last() == Some(last) && self.log.next() >= last.next_offset
    }
}

/// A thread that keeps a copy.
pub struct Standby {
    stop: CancellationToken,
    /// Answers once it has ended, with what it has.
    copy: Receiver<Copy<KafkaInput>>,
}

impl Standby {
    /// Starts it.
    pub fn start(room: &Arc<Room>, partition: i32) -> Self {
        let stop = CancellationToken::new();
        let (tell, copy) = channel();
        let (room, its_stop) = (room.clone(), stop.clone());
        let thread = thread::Builder::new().name(format!("copy-{partition}")).spawn(move || {
            if let Some(copy) = keep(&room, partition, &its_stop) {
                // Nobody listens when the process ends.
                let _ = tell.send(copy);
            }
        });
        if let Err(error) = thread {
            tracing::error!(partition, "no thread for the copy: {error}");
        }
        Self { stop, copy }
    }

    /// Asks it to end.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// The copy, if there is one already. It has been asked to end.
    pub fn end(self) -> Option<Copy<KafkaInput>> {
        self.copy.recv_timeout(ENDS_WITHIN).ok()
    }
}

fn keep(room: &Room, partition: i32, stop: &CancellationToken) -> Option<Copy<KafkaInput>> {
    let (broker, rules) =
        (Kafka::new(room, partition, stop), room.options.rules(&room.topics.spans, partition));
    let mut pause = RETRY_FIRST;
    while !stop.is_cancelled() {
        let mut told = Instant::now();
        let failure = match Copy::begin(&Recovery { broker: &broker, rules: &rules }) {
            Ok(mut copy) => loop {
                if stop.is_cancelled() {
                    return Some(copy);
                }
                if told.elapsed() >= TELL_EVERY {
                    told = Instant::now();
                    room.metrics.copied(partition, Some(copy.next_offset()));
                    pause = RETRY_FIRST;
                }
                if let Err(failure) = copy.step(&rules) {
                    break failure;
                }
            },
            Err(failure) => failure,
        };
        tracing::debug!(partition, "a new copy of the shard is made: {failure}");
        room.metrics.copied(partition, None);
        sleep(pause, stop);
        pause = (pause * 2).min(RETRY_LAST);
    }
    None
}
