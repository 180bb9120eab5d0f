//! One lane at work: collect a batch, journal that it begins, insert it block by block, journal that it is done.

use super::batch::{Batch, progress_block};
use super::block::{BatchId, Block};
use super::content::Oddities;
use super::failure::Failure;
use super::journal::{Entry, FORMAT, Range, newest_entry};
use super::lane::{self, Lane};
use super::metrics::{Metrics, OfPartition, OfShard, OfTopic};
use super::sequence::{Hole, Sequences};
use super::servers::{Servers, Source, Writer};
use super::standing::standing;
use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::time::Duration;

/// How long a stop can go unnoticed.
const STOP_LOOK: Duration = Duration::from_millis(50);
const LAG_EVERY: Duration = Duration::from_secs(5);
/// Records of a begun batch that don't come any more are gone.
const REPEAT_WITHIN: Duration = Duration::from_secs(120);

/// A batch that is not inserted by then is begun anew from the journal. Tables remember the tokens of their last 10,000
/// inserts only: a process that was suspended for hours must not send what somebody else has sent long ago.
const INSERT_WITHIN_S: u64 = 600;

/// What a lane goes by.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Names this run of this process in the journal, and no other.
    pub owner: String,
    /// The last migration that this program knows.
    pub schema: u32,
    /// Every single change is kept too.
    pub raw_deltas: bool,
    /// Goes on behind what is missing.
    pub accept_gap: bool,
    /// Rows that end a batch.
    pub batch_rows: usize,
    /// Bytes of messages that end a batch.
    pub batch_bytes: usize,
    /// Time after its first record that ends a batch.
    pub batch_time: Duration,
}

/// A lane at work. After a failure it is given up, and another one starts from the journal.
pub struct Worker<'a, S: Servers> {
    servers: &'a S,
    lane: &'a Lane,
    rules: &'a Rules,
    metrics: &'a Metrics,
    writer: S::Writer,
    source: S::Source,
    /// What the journal says.
    entry: Entry,
    phase: Phase,
    /// Partitions in whose commits there is a hole: nothing more of them is stored.
    stopped: BTreeSet<i32>,
    lag_asked: Duration,
}

/// What a worker is about to do.
enum Phase {
    /// Read a batch that is not begun. With the time of its first record.
    Collect(Batch, Option<Duration>),
    /// Read a begun batch again. With the time of the last record.
    Repeat(Batch, Duration),
    /// Insert what is left of a begun batch.
    Send(Sending),
    /// A step has failed.
    Failed,
}

/// The rest of a begun batch.
struct Sending {
    /// Seconds since the epoch: other clocks stand still while a machine is suspended.
    since_s: u64,
    blocks: VecDeque<Block>,
    sequences: Sequences,
    oddities: Oddities,
}

impl<'a, S: Servers> Worker<'a, S> {
    /// Fences earlier owners, reads where the lane stands, and writes there that it is ours.
    ///
    /// # Errors
    /// A server doesn't answer, or going on would not be exact.
    pub fn start(
        servers: &'a S,
        lane: &'a Lane,
        rules: &'a Rules,
        metrics: &'a Metrics,
    ) -> Result<Self, Failure> {
        let topic = lane.source.topic();
        for shard in lane.partitions.iter().filter(|_| lane.source == lane::Source::Deltas) {
            metrics.shard_stopped.get_or_create(&OfShard { shard: *shard }).set(0);
        }
        metrics.lane_starts.get_or_create(&OfTopic { topic }).inc();
        let mut source = servers.source()?;
        let writer = servers.writer()?;
        let found = standing(servers, &source, (lane, rules, metrics))?;
        let found = if found.done { found.moved_to(rules.schema) } else { found };
        let entry = Entry { owner: rules.owner.clone(), ..found };
        writer.write(&entry)?;
        let now = servers.elapsed();
        let phase = if entry.done {
            let ranges = behind(&entry.ranges);
            source.read_from(&ranges)?;
            Phase::Collect(Batch::new(lane, entry.sequences.clone(), ranges, rules.raw_deltas), None)
        } else {
            tracing::info!(lane = lane.number, batch = entry.batch, "a begun batch is sent again");
            let filled = entry.ranges.iter().copied().filter(|range| range.next > range.first);
            source.read_from(&filled.collect::<Vec<_>>())?;
            let empty = entry.ranges.iter().map(|range| Range { next: range.first, ..*range }).collect();
            Phase::Repeat(Batch::new(lane, entry.sequences.clone(), empty, rules.raw_deltas), now)
        };
        tracing::info!(lane = lane.number, topic, batch = entry.batch, "lane started");
        let stopped = BTreeSet::new();
        Ok(Self { servers, lane, rules, metrics, writer, source, entry, phase, stopped, lag_asked: now })
    }

    /// Works until the stop. A batch that is begun then is finished, if ClickHouse takes it.
    ///
    /// # Errors
    /// The lane has to be started anew, or can't go on.
    pub fn work(&mut self) -> Result<(), Failure> {
        while !self.servers.is_stopped() {
            self.step()?;
        }
        self.finish()
    }

    /// Inserts what is left of a begun batch. One that is only read so far is left to whoever starts next.
    ///
    /// # Errors
    /// ClickHouse doesn't take it, or the lane has to be started anew.
    pub fn finish(&mut self) -> Result<(), Failure> {
        while matches!(self.phase, Phase::Send(_)) {
            self.step()?;
        }
        Ok(())
    }

    /// Whether a batch is begun and not done.
    pub fn has_begun(&self) -> bool {
        !self.entry.done
    }

    /// Reads a record, or inserts a block, and does what is due then.
    ///
    /// # Errors
    /// The worker has to be started anew.
    pub fn step(&mut self) -> Result<(), Failure> {
        self.phase = match mem::replace(&mut self.phase, Phase::Failed) {
            Phase::Collect(batch, opened) => self.collect(batch, opened)?,
            Phase::Repeat(batch, heard) => self.repeat(batch, heard)?,
            Phase::Send(sending) => self.send(sending)?,
            Phase::Failed => return Err(Failure::Retry("the lane has failed before".to_owned())),
        };
        Ok(())
    }

    /// Reads until the batch is full or old enough.
    fn collect(&mut self, mut batch: Batch, mut opened: Option<Duration>) -> Result<Phase, Failure> {
        let Self { servers, rules, source, stopped, .. } = self;
        let left = opened.map_or(STOP_LOOK, |at| rules.batch_time.saturating_sub(servers.elapsed() - at));
        let mut hole = None;
        source.poll(left.min(STOP_LOOK), &mut |record| {
            if stopped.contains(&record.partition) {
                return;
            }
            hole = batch.content.check(record).err().map(|hole| (record.partition, hole));
            if hole.is_none() || rules.accept_gap {
                opened.get_or_insert_with(|| servers.elapsed());
                batch.add(record);
            }
        })?;
        if let Some((partition, hole)) = hole {
            self.meet(partition, &hole)?;
        }
        let now = self.servers.elapsed();
        if now - self.lag_asked > LAG_EVERY {
            self.report_lag(now, &batch.ranges);
        }
        let is_old = opened.is_some_and(|at| now - at >= self.rules.batch_time);
        let is_full = batch.content.rows() >= self.rules.batch_rows || batch.bytes >= self.rules.batch_bytes;
        if is_old || (is_full && !batch.is_empty()) {
            self.begin(batch)
        } else {
            Ok(Phase::Collect(batch, opened))
        }
    }

    /// A commit is missing: what comes behind it would be added to a wrong sum, so the shard stops here, aloud. With
    /// `--accept-gap` its sequence begins anew.
    fn meet(&mut self, partition: i32, hole: &Hole) -> Result<(), Failure> {
        self.metrics.seq_holes.inc();
        if self.rules.accept_gap {
            tracing::error!(partition, %hole, "a commit is missing: going on behind it");
            return Ok(());
        }
        let why = format!(
            "shard {partition} is stopped: a commit is missing ({hole}); --accept-gap goes on behind it"
        );
        tracing::error!(partition, "{why}");
        self.stopped.insert(partition);
        self.metrics.shard_stopped.get_or_create(&OfShard { shard: partition }).set(1);
        self.servers.report(false, &why);
        self.source.leave(partition)
    }

    fn begin(&mut self, batch: Batch) -> Result<Phase, Failure> {
        self.entry = Entry {
            batch: self.entry.batch + 1,
            format: FORMAT,
            done: false,
            ranges: batch.ranges.clone(),
            ..self.entry.clone()
        };
        self.writer.write(&self.entry)?;
        Ok(self.encode(batch))
    }

    /// Reads a begun batch again: the same offsets become the same blocks under the same tokens, and ClickHouse drops
    /// those it has.
    fn repeat(&mut self, mut batch: Batch, mut heard: Duration) -> Result<Phase, Failure> {
        let Self { servers, source, entry, .. } = self;
        source.poll(STOP_LOOK, &mut |record| {
            let range = entry.ranges.iter().find(|range| range.partition == record.partition);
            if range.is_some_and(|range| record.offset < range.next) {
                batch.add(record);
                heard = servers.elapsed();
            }
        })?;
        if batch.ranges == entry.ranges {
            source.read_from(&behind(&entry.ranges))?;
            return Ok(self.encode(batch));
        }
        if servers.elapsed() - heard > REPEAT_WITHIN {
            return Err(Failure::Retry(format!("records of batch {} can't be read again", entry.batch)));
        }
        Ok(Phase::Repeat(batch, heard))
    }

    /// The inserts of a begun batch.
    fn encode(&self, batch: Batch) -> Phase {
        let Entry { generation, lane, batch: number, ref ranges, .. } = self.entry;
        let id = BatchId { generation, lane, batch: number };
        let (sequences, oddities) = (batch.content.sequences(), batch.content.oddities().clone());
        let mut blocks = VecDeque::from(batch.content.finish(id));
        blocks.extend(progress_block(id, self.lane, ranges, &sequences));
        Phase::Send(Sending { since_s: self.servers.now_s(), blocks, sequences, oddities })
    }

    /// Inserts the next block; behind the last one the batch is done.
    fn send(&mut self, mut sending: Sending) -> Result<Phase, Failure> {
        if let Some(block) = sending.blocks.front() {
            if self.servers.now_s().saturating_sub(sending.since_s) > INSERT_WITHIN_S {
                return Err(Failure::Retry(format!("batch {} has waited for too long", self.entry.batch)));
            }
            self.servers.insert(block)?;
            sending.blocks.pop_front();
            return Ok(Phase::Send(sending));
        }
        let done = Entry { done: true, sequences: sending.sequences, ..self.entry.clone() };
        self.entry = done.moved_to(self.rules.schema);
        self.writer.write(&self.entry)?;
        self.metrics.stored(&self.entry.sequences);
        self.metrics.batch_done(self.lane.source.topic(), &sending.oddities);
        let ranges = behind(&self.entry.ranges);
        let now = self.servers.elapsed();
        if now - self.lag_asked > LAG_EVERY {
            self.report_lag(now, &ranges);
        }
        let sequences = self.entry.sequences.clone();
        Ok(Phase::Collect(Batch::new(self.lane, sequences, ranges, self.rules.raw_deltas), None))
    }

    fn report_lag(&mut self, now: Duration, ranges: &[Range]) {
        self.lag_asked = now;
        for range in ranges {
            let Ok(log) = self.source.watermarks(range.partition) else { continue };
            let read = self.source.position(range.partition).unwrap_or(range.next).max(range.next);
            let labels = OfPartition { topic: self.lane.source.topic(), partition: range.partition };
            self.metrics.lag.get_or_create(&labels).set((log.high - read).max(0));
        }
    }
}

/// Empty ranges behind these.
fn behind(ranges: &[Range]) -> Vec<Range> {
    ranges.iter().map(|range| Range { first: range.next, ..*range }).collect()
}

/// A fenced lane looks into the journal whether somebody else has taken it, without fencing anybody: a store whose
/// transaction was open for too long is fenced by Kafka itself.
pub fn taken_from(owner: &str, servers: &impl Servers, why: String) -> Failure {
    match newest_entry(servers) {
        Ok(Some(entry)) if entry.owner != owner => {
            Failure::Taken(format!("store {} has taken the lane", entry.owner))
        }
        _ => Failure::Fenced(why),
    }
}
