//! Keeps live state up to date from `flow_deltas`. One thread; it starts from the store's cut where there is one,
//! and begins anew when the log can't be followed any further.

use crate::change::read_commit;
use crate::limits::Limits;
use crate::live::shards::Verdict;
use crate::live::{Live, cut};
use crate::metrics::ApiMetrics;
use crate::prometheus::counters::{self, SharedCounters};
use crate::stored::Stored;
use anyhow::{Context, bail};
use process::{Health, KafkaOptions};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const POLL: Duration = Duration::from_millis(100);
/// How long an answer of Kafka may take.
pub const ASK: Duration = Duration::from_secs(5);
const CHORES_EVERY: Duration = Duration::from_secs(1);
const BROKER_CHECK_EVERY: Duration = Duration::from_secs(10);
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Live state as its readers share it. A lock, because one thread adds to it while many requests read it; each
/// holds it for one record or one answer.
pub type SharedLive = Arc<Mutex<Live>>;

/// Reads the lock even after a panic of another holder: counts may be off by one record, which the next start
/// mends, while a server that answers nothing helps nobody.
pub fn locked(live: &Mutex<Live>) -> std::sync::MutexGuard<'_, Live> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the reader needs.
pub struct Feed {
    /// Brokers.
    pub kafka: KafkaOptions,
    /// `flow_deltas` by its name in this installation.
    pub topic: String,
    /// Where the cut comes from.
    pub stored: Stored,
    /// What to keep up to date.
    pub live: SharedLive,
    /// What is counted for Prometheus from it.
    pub counters: SharedCounters,
    /// Bounds.
    pub limits: Limits,
    /// Reports as part `kafka`.
    pub health: Health,
    /// Counters.
    pub metrics: ApiMetrics,
    /// Ends the thread.
    pub stop: CancellationToken,
    /// Runs the queries of the cut.
    pub runtime: tokio::runtime::Handle,
}

/// The log no longer holds, or never held, what should be read next.
#[derive(Debug, thiserror::Error)]
#[error("the position in flow_deltas is gone: {0}")]
struct PositionGone(#[source] KafkaError);

/// One run from a start to the first error that only a new start mends.
struct Session<'a> {
    feed: &'a Feed,
    consumer: BaseConsumer,
    chores_at: Instant,
    broker_check_at: Instant,
}

impl Feed {
    /// Reads until stopped.
    pub fn run(&self) {
        let mut use_cut = true;
        while !self.stop.is_cancelled() {
            if let Err(reason) = self.session(use_cut) {
                // Offsets of the cut that the log doesn't have (the topic was made anew) won't come back.
                use_cut = !reason.is::<PositionGone>();
                if !use_cut {
                    counters::locked(&self.counters).begin_anew();
                }
                tracing::warn!(reason = format!("{reason:#}"), "can't follow flow_deltas, starting over");
                self.cut_off(&format!("{reason:#}"));
                std::thread::sleep(AGAIN_AFTER);
            }
        }
    }

    fn session(&self, use_cut: bool) -> anyhow::Result<()> {
        let consumer = consumer(&self.kafka)?;
        let partitions = partitions(&consumer, &self.topic)?;
        self.health.ready("kafka", false, "loading the last 15 minutes");
        let starts = match use_cut.then(|| self.cut(partitions)).flatten() {
            Some(cut) => {
                let starts = self.cut_starts(partitions, &cut.next_offsets);
                locked(&self.live).replace(cut.live);
                starts
            }
            None => self.start_from_log(&consumer, partitions)?,
        };
        self.begin_counting(&starts);
        tracing::info!(partitions, starts = ?starts.to_topic_map(), "following flow_deltas");
        consumer.assign(&starts)?;
        let now = Instant::now();
        Session { feed: self, consumer, chores_at: now, broker_check_at: now + BROKER_CHECK_EVERY }.follow()
    }

    /// The store's cut; `None`, with a word in the log, if the store is empty or can't answer.
    fn cut(&self, partitions: i32) -> Option<cut::Cut> {
        let shards = u32::try_from(partitions).unwrap_or_default();
        match self.runtime.block_on(cut::read(&self.stored, &self.limits, shards, now_us())) {
            Ok(Some(cut)) => Some(cut),
            Ok(None) => {
                tracing::info!("the store is empty: reading 15 minutes of flow_deltas instead");
                None
            }
            Err(reason) => {
                tracing::warn!(%reason, "no cut from ClickHouse: reading 15 minutes of flow_deltas instead");
                None
            }
        }
    }

    /// Where the log was 15 minutes ago. A change is committed after the second it belongs to, so from there on
    /// every window of the last 15 minutes is whole.
    fn start_from_log(&self, consumer: &BaseConsumer, partitions: i32) -> anyhow::Result<TopicPartitionList> {
        let now_us = now_us();
        let from_s = u32::try_from(now_us / 1_000_000)?.saturating_sub(self.limits.live_s);
        let mut wanted = TopicPartitionList::new();
        let mut ends = BTreeMap::new();
        for partition in 0..partitions {
            // The end is asked for first: what is appended in between must not fall between the two answers.
            ends.insert(partition, consumer.fetch_watermarks(&self.topic, partition, ASK)?.1);
            wanted.add_partition_offset(&self.topic, partition, Offset::Offset(i64::from(from_s) * 1_000))?;
        }
        let found =
            consumer.offsets_for_times(wanted, ASK).context("asking for the offsets of 15 minutes ago")?;
        let mut starts = TopicPartitionList::new();
        let mut silent = Vec::new();
        for element in found.elements() {
            element.error()?;
            let offset = match element.offset() {
                Offset::Offset(offset) => offset,
                _ => {
                    let end = ends[&element.partition()];
                    silent.extend((end > 0).then_some(u32::try_from(element.partition())?));
                    end
                }
            };
            starts.add_partition_offset(&self.topic, element.partition(), Offset::Offset(offset))?;
        }
        let mut live = locked(&self.live);
        live.begin("kafka", from_s, u32::try_from(partitions)?);
        silent.into_iter().for_each(|shard| live.shards_mut().silent(shard));
        Ok(starts)
    }

    fn begin_counting(&self, starts: &TopicPartitionList) {
        let mut counters = counters::locked(&self.counters);
        for element in starts.elements() {
            let offset = if let Offset::Offset(offset) = element.offset() { offset } else { 0 };
            counters.begin(element.partition(), offset);
        }
    }

    /// Partitions without progress have nothing in the store: they are read from their beginning.
    fn cut_starts(&self, partitions: i32, next_offsets: &BTreeMap<i32, i64>) -> TopicPartitionList {
        let mut starts = TopicPartitionList::new();
        for partition in 0..partitions {
            let offset =
                next_offsets.get(&partition).map_or(Offset::Beginning, |offset| Offset::Offset(*offset));
            // The only way to fail is an offset that isn't one, such as a negative number.
            if starts.add_partition_offset(&self.topic, partition, offset).is_err() {
                tracing::warn!(
                    partition,
                    ?offset,
                    "no such offset: reading the partition from its beginning"
                );
            }
        }
        starts
    }
}

impl Session<'_> {
    fn follow(&mut self) -> anyhow::Result<()> {
        while !self.feed.stop.is_cancelled() {
            match self.consumer.poll(POLL) {
                None => {}
                Some(Ok(message)) => self.feed.take(&message),
                Some(Err(KafkaError::PartitionEOF(partition))) => self.feed.at_end(partition),
                Some(Err(error)) => self.feed.judge(&error)?,
            }
            let now = Instant::now();
            if now >= self.chores_at {
                self.feed.chores();
                self.chores_at = now + CHORES_EVERY;
            }
            if now >= self.broker_check_at {
                self.check_broker()?;
                self.broker_check_at = now + BROKER_CHECK_EVERY;
            }
        }
        Ok(())
    }

    /// A quiet log and a lost broker look the same to `poll`.
    fn check_broker(&self) -> anyhow::Result<()> {
        match self.consumer.fetch_metadata(Some(&self.feed.topic), Duration::from_secs(2)) {
            Ok(_) => self.feed.report(),
            Err(error) => self.feed.cut_off(&format!("no broker answers: {error}")),
        }
        Ok(())
    }
}

impl Feed {
    fn take(&self, message: &BorrowedMessage<'_>) {
        self.metrics.records.inc();
        let commit = match read_commit(message.payload().unwrap_or_default()) {
            Ok(commit) => commit,
            Err(error) => {
                // Its place in the shard's sequence stays empty, so the next record raises the alarm.
                tracing::error!(partition = message.partition(), offset = message.offset(), %error, "undecodable record");
                self.metrics.undecodable_records.inc();
                return;
            }
        };
        let (shard, seq) = (commit.shard, commit.seq);
        // Nobody else adds to live state, so this is what it will say itself.
        let verdict = locked(&self.live).shards().judge(&commit);
        let place = (message.partition(), message.offset());
        counters::locked(&self.counters).take(&commit, verdict, place, now_s());
        locked(&self.live).commit(commit, now_us());
        if verdict == Verdict::Repeated {
            tracing::error!(shard, seq, "a commit came twice and was not added again");
        }
    }

    fn at_end(&self, partition: i32) {
        counters::locked(&self.counters).at_end(partition);
        if let Ok(shard) = u32::try_from(partition) {
            locked(&self.live).shards_mut().at_end(shard);
        }
        self.report();
    }

    /// librdkafka mends lost connections itself; a position that is gone needs a new start.
    fn judge(&self, error: &KafkaError) -> anyhow::Result<()> {
        let code = error.rdkafka_error_code();
        if matches!(
            code,
            Some(
                RDKafkaErrorCode::AutoOffsetReset
                    | RDKafkaErrorCode::OffsetOutOfRange
                    | RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownPartition
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::Fatal
            )
        ) {
            return Err(PositionGone(error.clone()).into());
        }
        self.cut_off(&error.to_string());
        Ok(())
    }

    fn cut_off(&self, why: &str) {
        locked(&self.live).shards_mut().reachable(false);
        self.health.ready("kafka", false, why);
    }

    fn report(&self) {
        let read = {
            let mut live = locked(&self.live);
            live.shards_mut().reachable(true);
            live.shards().all_read()
        };
        self.health.ready("kafka", read, if read { "" } else { "loading the last 15 minutes" });
    }

    fn chores(&self) {
        let now_us = now_us();
        let mut counters = counters::locked(&self.counters);
        counters.forget(now_s());
        self.metrics.show_counters(&counters);
        drop(counters);
        let mut live = locked(&self.live);
        live.forget(now_us);
        self.metrics.show(&live, now_us);
    }
}

/// A consumer that is told its partitions by hand. librdkafka asks for a group's name before it assigns anything,
/// but nothing ever joins that group or commits to it.
///
/// # Errors
/// An option is refused.
pub fn consumer(kafka: &KafkaOptions) -> anyhow::Result<BaseConsumer> {
    let mut config = kafka.client();
    config
        .set("group.id", "weir-query-api")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false");
    config.create().context("the options of Kafka are refused")
}

/// How many partitions a topic has.
///
/// # Errors
/// No broker answers, or there is no such topic.
pub fn partitions(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), ASK).context("no broker answers")?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    match found {
        Some(found) if found.error().is_none() && !found.partitions().is_empty() => {
            Ok(i32::try_from(found.partitions().len())?)
        }
        _ => bail!("topic {topic} isn't there; `weir topics` creates it"),
    }
}

/// Microseconds since the epoch.
pub fn now_us() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn now_s() -> i64 {
    now_us() / 1_000_000
}
