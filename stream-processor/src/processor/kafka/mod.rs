//! The real Kafka.

mod fetched;
mod input;
mod stretch;
mod transactor;

use super::Room;
use super::broker::{Broker, Entry, Ledger, Watermarks};
use super::failure::Failure;
pub use input::KafkaInput;
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use stretch::{read, watermarks};
use tokio_util::sync::CancellationToken;
use transactor::{KafkaTransactor, Setting};

/// Kafka as the shard of one partition sees it.
pub struct Kafka<'a> {
    room: &'a Room,
    partition: i32,
    stop: &'a CancellationToken,
    started: Instant,
}

impl<'a> Kafka<'a> {
    /// Nothing is connected yet.
    pub fn new(room: &'a Room, partition: i32, stop: &'a CancellationToken) -> Self {
        Self { room, partition, stop, started: Instant::now() }
    }

    fn topic(&self, ledger: Ledger) -> &str {
        match ledger {
            Ledger::Journal => &self.room.topics.journal,
            Ledger::State => &self.room.topics.state,
            Ledger::Deltas => &self.room.topics.deltas,
        }
    }
}

impl Broker for Kafka<'_> {
    type Input = KafkaInput;
    type Transactor = KafkaTransactor;

    fn transactor(&self) -> Result<KafkaTransactor, Failure> {
        let Room { options, topics, .. } = self.room;
        let id = format!("weir.{}.{}", topics.spans, self.partition);
        let setting =
            Setting { config: options.producer(&id), topics: topics.clone(), partition: self.partition };
        KafkaTransactor::start(setting, self.stop)
    }

    fn input(&self) -> Result<KafkaInput, Failure> {
        KafkaInput::open(&self.room.options.reader(), &self.room.topics.spans, self.partition)
    }

    fn tail(&self, ledger: Ledger) -> Result<KafkaInput, Failure> {
        KafkaInput::tail(&self.room.options.reader(), self.topic(ledger), self.partition)
    }

    fn watermarks(&self, topic: Ledger) -> Result<Watermarks, Failure> {
        watermarks(&self.room.options.reader(), self.topic(topic), self.partition)
    }

    fn read(
        &self,
        topic: Ledger,
        offsets: Range<i64>,
        each: &mut dyn FnMut(Entry<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        read(&self.room.options.reader(), self.topic(topic), self.partition, offsets, each)
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn now_us(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }
}
