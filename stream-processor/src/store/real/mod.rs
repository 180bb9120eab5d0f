//! The real Kafka, ClickHouse and clocks.

mod journal;
mod source;
mod writer;

use super::Shared;
use super::block::Block;
use super::failure::Failure;
use super::lane::Lane;
use super::servers::{Servers, Stored, Watermarks};
use source::KafkaSource;
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use writer::KafkaWriter;

/// The servers as one lane sees them.
pub struct Real<'a> {
    shared: &'a Shared,
    lane: &'a Lane,
    runtime: &'a Handle,
    stop: &'a CancellationToken,
    started: Instant,
}

impl<'a> Real<'a> {
    /// For a lane that waits for ClickHouse on this runtime, until the stop.
    pub fn new(shared: &'a Shared, lane: &'a Lane, runtime: &'a Handle, stop: &'a CancellationToken) -> Self {
        Self { shared, lane, runtime, stop, started: Instant::now() }
    }

    fn journal(&self) -> (String, i32) {
        (
            self.shared.options.topic(schemas::topics::STORE_JOURNAL),
            self.lane.journal(self.shared.journal_partitions),
        )
    }
}

impl Servers for Real<'_> {
    type Writer = KafkaWriter;
    type Source = KafkaSource;

    fn writer(&self) -> Result<KafkaWriter, Failure> {
        let (topic, partition) = self.journal();
        KafkaWriter::start(&self.shared.options.producer(self.lane.number), topic, partition)
    }

    fn journal_ends(&self) -> Result<Watermarks, Failure> {
        let (topic, partition) = self.journal();
        journal::ends(&self.shared.options.reader(), &topic, partition)
    }

    fn last_in_journal(&self, offsets: Range<i64>) -> Result<Option<Vec<u8>>, Failure> {
        let (topic, partition) = self.journal();
        let key = self.lane.number.to_string();
        journal::last_with_key(&self.shared.options.reader(), (&topic, partition), offsets, key.as_bytes())
    }

    fn source(&self) -> Result<KafkaSource, Failure> {
        KafkaSource::open(&self.shared.options, self.lane.source.topic())
    }

    fn stored(&self) -> Result<Stored, Failure> {
        let query = "SELECT toInt32(partition), max(batch), argMax(next_offset, batch) FROM store_progress \
                     WHERE lane = {lane:UInt16} GROUP BY partition";
        let asked = self.shared.inserter.client().query(query).param("lane", self.lane.number);
        let rows: Vec<(i32, u64, i64)> = self
            .runtime
            .block_on(asked.fetch_all())
            .map_err(|error| Failure::Retry(format!("store_progress: {error}")))?;
        let batch = rows.iter().map(|(_, batch, _)| *batch).max().unwrap_or(0);
        Ok(Stored { batch, next: rows.into_iter().map(|(partition, _, next)| (partition, next)).collect() })
    }

    fn insert(&self, block: &Block) -> Result<(), Failure> {
        self.runtime.block_on(self.shared.inserter.insert(block, self.stop))
    }

    fn report(&self, works: bool, why: &str) {
        // Whoever ends a lane says what becomes of it.
        if !self.stop.is_cancelled() {
            self.shared.health.ready(&self.lane.part(), works, why);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn now_s(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }
}
