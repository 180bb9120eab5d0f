//! Where a shard goes on after a start: the journal is the truth about progress.
//!
//! What is here: fencing the predecessor (the transactor's start) comes first, then the last commit is read from
//! the journal up to its high watermark, and the shard goes on with `seq + 1` from that commit's next offset. So
//! no committed output is ever written twice, and no record is skipped.
//!
//! **What is not here yet: rebuilding the state of a shard.** A process that keeps running keeps its shards in memory
//! (`work.rs`), and they go on exactly if nobody committed in between. After a crash, a deploy, or a rebalance that
//! moves the partition to another process, [`Resume::shard`] starts an empty shard: spans of a trace that was open
//! then form a flow of their own when more of them come, and what the old shard had read but not emitted yet (edges
//! waiting for their operation's name, flows that had not closed) is not counted. The journal already carries what an
//! exact rebuild needs (low watermark, closes, clock); it belongs into [`Resume::shard`].

use super::failure::Failure;
use super::input::{Watermarks, position};
use super::options::FirstBoot;
use prost::Message as _;
use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::v1::ShardCommit;
use std::time::{Duration, Instant};
use stitcher::{Settings, Shard};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const READ_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
/// First stretch of the journal to be searched for a commit, in offsets; each commit takes at least two.
const FIRST_STEP: i64 = 64;

/// Where a shard goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// The last commit; 0 before the first.
    pub seq: u64,
    /// First offset of `otlp_spans` to be applied.
    pub next_offset: i64,
    /// Log time of the last commit.
    pub clock_us: i64,
    /// Offsets that are gone from the log unread, given up by `--accept-gap`.
    pub gap: i64,
}

impl Resume {
    /// Decides by the last commit and what is still in the log.
    ///
    /// # Errors
    /// Refuses when spans that were not applied are gone, unless the gap is accepted.
    pub fn decide(
        last: Option<&ShardCommit>,
        log: Watermarks,
        first_boot: FirstBoot,
        accept_gap: bool,
    ) -> Result<Self, Failure> {
        let Some(last) = last else {
            let next_offset = match first_boot {
                FirstBoot::Earliest => log.low,
                FirstBoot::Latest => log.high,
            };
            return Ok(Self { seq: 0, next_offset, clock_us: 0, gap: 0 });
        };
        let resume = Self { seq: last.seq, next_offset: last.next_offset, clock_us: last.clock_us, gap: 0 };
        if (log.low..=log.high).contains(&last.next_offset) {
            return Ok(resume);
        }
        if accept_gap {
            let gap = (log.low - last.next_offset).max(0);
            return Ok(Self { next_offset: log.low, gap, ..resume });
        }
        Err(Failure::Refused(refusal(last, log)))
    }

    /// The shard as of the last commit: today an empty one, see the top of this file.
    pub fn shard(&self, settings: Settings) -> Shard {
        Shard::new(settings)
    }
}

fn refusal(last: &ShardCommit, log: Watermarks) -> String {
    let (shard, next, Watermarks { low, high }) = (last.shard, last.next_offset, log);
    let why = if next > high { "the topic was created anew" } else { "the log was deleted up to there" };
    format!(
        "shard {shard} goes on with offset {next}, but the log has only {low} to {high} ({why}); \
         --accept-gap goes on at {low} and counts what is missing"
    )
}

/// The last commit in a partition of the journal. To be called after the predecessor was fenced: nothing of it can
/// land behind the watermark then.
///
/// # Errors
/// Kafka doesn't answer in time, a record can't be read, or a `seq` is missing.
pub fn last_commit(
    config: &ClientConfig,
    topic: &str,
    partition: i32,
) -> Result<Option<ShardCommit>, Failure> {
    let failure = |error: KafkaError| Failure::of(&format!("{topic} partition {partition}"), &error);
    let end = journal_end(config, topic, partition).map_err(failure)?;
    let consumer: BaseConsumer = config.create().map_err(failure)?;
    let mut step = FIRST_STEP;
    loop {
        let from = (end.high - step).max(end.low);
        let mut stretch = TopicPartitionList::new();
        stretch.add_partition_offset(topic, partition, Offset::Offset(from)).map_err(failure)?;
        consumer.assign(&stretch).map_err(failure)?;
        let last = read_stretch(&consumer, topic, partition, from..end.high)?;
        if last.is_some() || from == end.low {
            return Ok(last);
        }
        step *= 2;
    }
}

/// A `read_committed` consumer is told the last stable offset, which an open transaction of somebody else can hold
/// back: the end is asked for by one that reads everything.
fn journal_end(config: &ClientConfig, topic: &str, partition: i32) -> Result<Watermarks, KafkaError> {
    let mut everything = config.clone();
    everything.set("isolation.level", "read_uncommitted");
    let consumer: BaseConsumer = everything.create()?;
    let (low, high) = consumer.fetch_watermarks(topic, partition, ANSWER_WITHIN)?;
    Ok(Watermarks { low, high })
}

fn read_stretch(
    consumer: &BaseConsumer,
    topic: &str,
    partition: i32,
    stretch: std::ops::Range<i64>,
) -> Result<Option<ShardCommit>, Failure> {
    let mut chain = Chain::default();
    let mut next = stretch.start;
    let deadline = Instant::now() + READ_WITHIN;
    while next < stretch.end {
        if Instant::now() >= deadline {
            return Err(Failure::Retry(format!(
                "{topic} partition {partition} was read up to {next} of {} in time only",
                stretch.end
            )));
        }
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                chain.add(message.offset(), message.payload().unwrap_or_default())?;
                next = message.offset() + 1;
            }
            // Transaction markers take offsets too: only the consumer knows that it has passed them.
            Some(Err(KafkaError::PartitionEOF(_))) => {
                next = position(consumer, topic, partition).unwrap_or(next).max(next);
            }
            Some(Err(error)) => tracing::debug!("{topic} partition {partition}: {error}"),
            None => {}
        }
    }
    Ok(chain.last)
}

/// Commits in order, without holes.
#[derive(Default)]
struct Chain {
    last: Option<ShardCommit>,
}

impl Chain {
    fn add(&mut self, offset: i64, value: &[u8]) -> Result<(), Failure> {
        let commit = ShardCommit::decode(value).map_err(|error| {
            Failure::Refused(format!("the journal record at offset {offset} can't be read: {error}"))
        })?;
        if let Some(before) = &self.last {
            // A commit with many closes is several records of one seq.
            if commit.seq != before.seq && commit.seq != before.seq + 1 {
                return Err(Failure::Refused(format!(
                    "the journal of shard {} goes from commit {} to {} at offset {offset}: commits are missing",
                    commit.shard, before.seq, commit.seq
                )));
            }
        }
        self.last = Some(commit);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(seq: u64, next_offset: i64) -> ShardCommit {
        ShardCommit { shard: 2, seq, next_offset, clock_us: 7, ..Default::default() }
    }

    const LOG: Watermarks = Watermarks { low: 100, high: 200 };

    #[test]
    fn without_a_journal_it_is_a_first_boot() {
        let from = |first_boot| Resume::decide(None, LOG, first_boot, false).unwrap();
        assert_eq!((from(FirstBoot::Earliest).seq, from(FirstBoot::Earliest).next_offset), (0, 100));
        assert_eq!((from(FirstBoot::Latest).seq, from(FirstBoot::Latest).next_offset), (0, 200));
    }

    #[test]
    fn with_a_journal_it_goes_on_whatever_the_first_boot_says() {
        for next_offset in [100, 150, 200] {
            let resume =
                Resume::decide(Some(&commit(9, next_offset)), LOG, FirstBoot::Latest, false).unwrap();
            assert_eq!(resume, Resume { seq: 9, next_offset, clock_us: 7, gap: 0 });
        }
    }

    #[test]
    fn a_gap_is_refused_with_its_mend_or_accepted_and_counted() {
        let decide = |next_offset, accept| {
            Resume::decide(Some(&commit(9, next_offset)), LOG, FirstBoot::Earliest, accept)
        };
        let Err(Failure::Refused(sentence)) = decide(40, false) else { panic!("it must refuse") };
        assert!(sentence.contains("deleted") && sentence.contains("--accept-gap"), "{sentence}");
        let Err(Failure::Refused(sentence)) = decide(201, false) else { panic!("it must refuse") };
        assert!(sentence.contains("created anew"), "{sentence}");
        assert_eq!(decide(40, true), Ok(Resume { seq: 9, next_offset: 100, clock_us: 7, gap: 60 }));
        assert_eq!(decide(201, true), Ok(Resume { seq: 9, next_offset: 100, clock_us: 7, gap: 0 }));
    }

    #[test]
    fn a_chain_takes_parts_of_a_commit_and_refuses_holes() {
        let mut chain = Chain::default();
        for seq in [4, 5, 5, 6] {
            chain.add(0, &commit(seq, 0).encode_to_vec()).unwrap();
        }
        assert_eq!(chain.last.as_ref().unwrap().seq, 6);
        assert!(matches!(chain.add(0, &commit(8, 0).encode_to_vec()), Err(Failure::Refused(_))));
        assert!(matches!(chain.add(0, &commit(5, 0).encode_to_vec()), Err(Failure::Refused(_))));
        assert!(matches!(chain.add(0, &[0xff]), Err(Failure::Refused(_))));
    }
}
