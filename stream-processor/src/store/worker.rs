//! One lane at work: collect a batch, journal that it begins, insert it, journal that it is done.

use super::batch::{Batch, progress_block};
use super::block::BatchId;
use super::failure::Failure;
use super::insert::Inserter;
use super::journal::{Entry, FORMAT, Journal, Range};
use super::lane::Lane;
use super::metrics::{Metrics, OfPartition, OfTopic};
use super::options::Options;
use super::sequence::{Hole, Sequences};
use super::source::Source;
use process::Health;
use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// How long a stop can go unnoticed.
const STOP_LOOK: Duration = Duration::from_millis(50);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
const LAG_EVERY: Duration = Duration::from_secs(5);
/// Records of a begun batch that don't come any more are gone.
const REPEAT_WITHIN: Duration = Duration::from_secs(120);

/// What all lanes share.
pub struct Shared {
    /// Flags.
    pub options: Options,
    /// Partitions of `store_journal`.
    pub journal_partitions: i32,
    /// Where rows go.
    pub inserter: Inserter,
    /// What is counted.
    pub metrics: Metrics,
    /// What is reported.
    pub health: Health,
    /// Ends the lanes.
    pub stop: CancellationToken,
}

/// Runs a lane on this thread until the stop. After any failure of Kafka it starts again from its journal.
///
/// # Errors
/// What starting again can't mend.
pub fn run(shared: &Shared, lane: &Lane, runtime: &Handle) -> anyhow::Result<()> {
    let part = part(lane);
    loop {
        let failure = match Worker::start(shared, lane, runtime) {
            Ok(mut worker) => {
                shared.health.ready(&part, true, "");
                match worker.work() {
                    Ok(()) | Err(Failure::Stopped) => return Ok(()),
                    Err(failure) => failure,
                }
            }
            Err(Failure::Stopped) => return Ok(()),
            Err(failure) => failure,
        };
        shared.health.ready(&part, false, &failure.to_string());
        if let Failure::Refused(why) = failure {
            anyhow::bail!("{part}: {why}");
        }
        tracing::warn!(lane = lane.number, %failure, "the lane starts again from its journal");
        if shared.stop.is_cancelled() {
            return Ok(());
        }
        thread::sleep(PAUSE_AFTER_FAILURE);
    }
}

/// The lane's name in health answers.
fn part(lane: &Lane) -> String {
    format!("lane {} of {}", lane.number, lane.source.topic())
}

struct Worker<'a> {
    shared: &'a Shared,
    lane: &'a Lane,
    runtime: &'a Handle,
    journal: Journal,
    source: Source,
    /// The last batch that is done.
    done: Entry,
    /// Partitions in whose commits there is a hole: nothing more of them is stored.
    stopped: BTreeSet<i32>,
    lag_asked: Instant,
}

impl<'a> Worker<'a> {
    /// Fences earlier owners, reads where the lane stands and finishes what was begun.
    fn start(shared: &'a Shared, lane: &'a Lane, runtime: &'a Handle) -> Result<Self, Failure> {
        let topic = lane.source.topic();
        shared.metrics.lane_starts.get_or_create(&OfTopic { topic }).inc();
        let source = Source::open(&shared.options, topic)?;
        let (journal, newest) = Journal::open(&shared.options, lane.number, shared.journal_partitions)?;
        let stored = stored_batch(shared, lane, runtime)?;
        let done = match newest {
            Some(entry) => known_to(stored, entry, shared.options.accept_gap)?,
            None => first_entry(lane, stored, &source)?,
        };
        let mut worker = Self {
            shared,
            lane,
            runtime,
            journal,
            source,
            done,
            stopped: BTreeSet::new(),
            lag_asked: Instant::now(),
        };
        worker.check_log()?;
        if !worker.done.done {
            worker.repeat()?;
        }
        let ranges = worker.next_ranges();
        worker.source.read_from(&ranges)?;
        tracing::info!(lane = lane.number, topic, batch = worker.done.batch, "lane started");
        Ok(worker)
    }

    /// Everything the next batch needs must still be in the log.
    fn check_log(&mut self) -> Result<(), Failure> {
        for index in 0..self.done.ranges.len() {
            let range = self.done.ranges[index];
            let (begun, needed) = if self.done.done { (false, range.next) } else { (true, range.first) };
            let log = self.source.watermarks(range.partition)?;
            if (log.low..=log.high).contains(&needed) || (begun && range.first == range.next) {
                continue;
            }
            let (topic, partition) = (self.lane.source.topic(), range.partition);
            if begun || !self.shared.options.accept_gap {
                return Err(Failure::Refused(format!(
                    "{topic} partition {partition} goes on with offset {needed}, but the log has only {} to {}; \
                     --accept-gap goes on at {} and counts what is missing",
                    log.low, log.high, log.low
                )));
            }
            let missing = u64::try_from(log.low - needed).unwrap_or(0);
            tracing::error!(topic, partition, missing, "records were deleted before they were stored");
            self.shared.metrics.gap_records.get_or_create(&OfTopic { topic }).inc_by(missing);
            self.done.ranges[index].next = log.low;
        }
        Ok(())
    }

    /// Sends a begun batch again: the same offsets become the same blocks under the same tokens, and ClickHouse
    /// drops those it has.
    fn repeat(&mut self) -> Result<(), Failure> {
        let begun = self.done.clone();
        if begun.format != FORMAT {
            return Err(Failure::Refused(format!(
                "batch {} was begun by a Weir with block format {}, this one makes {FORMAT}: \
                 let that version finish it first",
                begun.batch, begun.format
            )));
        }
        tracing::info!(lane = self.lane.number, batch = begun.batch, "a begun batch is sent again");
        let wanted: Vec<Range> =
            begun.ranges.iter().copied().filter(|range| range.next > range.first).collect();
        self.source.read_from(&wanted)?;
        let empty = begun.ranges.iter().map(|range| Range { next: range.first, ..*range }).collect();
        let mut batch = Batch::new(self.lane, begun.sequences.clone(), empty, self.shared.options.raw_deltas);
        let mut progress = Instant::now();
        while batch.ranges != begun.ranges {
            self.source.poll(STOP_LOOK, |record| {
                let range = begun.ranges.iter().find(|range| range.partition == record.partition);
                if range.is_some_and(|range| record.offset < range.next) {
                    batch.add(record);
                    progress = Instant::now();
                }
            })?;
            if self.shared.stop.is_cancelled() {
                return Err(Failure::Stopped);
            }
            if progress.elapsed() > REPEAT_WITHIN {
                return Err(Failure::Retry(format!("records of batch {} can't be read again", begun.batch)));
            }
        }
        self.finish(begun, batch)
    }

    fn work(&mut self) -> Result<(), Failure> {
        while !self.shared.stop.is_cancelled() {
            if let Some(batch) = self.collect()? {
                self.store(batch)?;
            }
        }
        Ok(())
    }

    /// Reads until the batch is full or old enough; `None` when nothing came.
    fn collect(&mut self) -> Result<Option<Batch>, Failure> {
        let options = &self.shared.options;
        let mut batch =
            Batch::new(self.lane, self.done.sequences.clone(), self.next_ranges(), options.raw_deltas);
        let mut opened = None;
        while !self.shared.stop.is_cancelled() {
            let left = opened
                .map_or(STOP_LOOK, |opened: Instant| options.batch_time().saturating_sub(opened.elapsed()));
            let mut hole = None;
            self.source.poll(left.min(STOP_LOOK), |record| {
                if self.stopped.contains(&record.partition) {
                    return;
                }
                hole = batch.content.check(record).err().map(|hole| (record.partition, hole));
                if hole.is_none() || options.accept_gap {
                    opened.get_or_insert_with(Instant::now);
                    batch.add(record);
                }
            })?;
            if let Some((partition, hole)) = hole {
                self.meet(partition, &hole)?;
            }
            let old = opened.is_some_and(|opened| opened.elapsed() >= options.batch_time());
            if old || batch.content.rows() >= options.batch_rows || batch.bytes >= options.batch_bytes {
                break;
            }
            if self.lag_asked.elapsed() > LAG_EVERY {
                self.report_lag(&batch.ranges);
            }
        }
        Ok((!batch.is_empty()).then_some(batch))
    }

    /// A commit is missing: what comes behind it would be added to a wrong sum, so the shard stops here, aloud. With
    /// `--accept-gap` its sequence begins anew.
    fn meet(&mut self, partition: i32, hole: &Hole) -> Result<(), Failure> {
        self.shared.metrics.seq_holes.inc();
        if self.shared.options.accept_gap {
            tracing::error!(partition, %hole, "a commit is missing: going on behind it");
            return Ok(());
        }
        let why = format!(
            "shard {partition} is stopped: a commit is missing ({hole}); --accept-gap goes on behind it"
        );
        tracing::error!(partition, "{why}");
        self.stopped.insert(partition);
        self.shared.health.ready(&part(self.lane), false, &why);
        self.source.leave(partition)
    }

    fn store(&mut self, batch: Batch) -> Result<(), Failure> {
        let begun = Entry {
            batch: self.done.batch + 1,
            format: FORMAT,
            done: false,
            ranges: batch.ranges.clone(),
            ..self.done.clone()
        };
        self.journal.write(&begun)?;
        self.finish(begun, batch)
    }

    /// Inserts a begun batch and journals that it is done.
    fn finish(&mut self, begun: Entry, batch: Batch) -> Result<(), Failure> {
        let id = BatchId { generation: begun.generation, lane: begun.lane, batch: begun.batch };
        let sequences = batch.content.sequences();
        let oddities = batch.content.oddities().clone();
        let mut blocks = batch.content.finish(id);
        blocks.extend(progress_block(id, self.lane, &begun.ranges));
        for block in &blocks {
            self.runtime.block_on(self.shared.inserter.insert(block, &self.shared.stop))?;
        }
        self.done = Entry { done: true, sequences, ..begun };
        self.journal.write(&self.done)?;
        self.shared.metrics.batch_done(self.lane.source.topic(), &oddities);
        self.report_lag_if_due();
        Ok(())
    }

    /// Empty ranges behind the last batch.
    fn next_ranges(&self) -> Vec<Range> {
        self.done.ranges.iter().map(|range| Range { first: range.next, ..*range }).collect()
    }

    fn report_lag_if_due(&mut self) {
        if self.lag_asked.elapsed() > LAG_EVERY {
            self.report_lag(&self.next_ranges());
        }
    }

    fn report_lag(&mut self, ranges: &[Range]) {
        self.lag_asked = Instant::now();
        for range in ranges {
            let Ok(log) = self.source.watermarks(range.partition) else { continue };
            let read = self.source.position(range.partition).unwrap_or(range.next).max(range.next);
            let labels = OfPartition { topic: self.lane.source.topic(), partition: range.partition };
            self.shared.metrics.lag.get_or_create(&labels).set((log.high - read).max(0));
        }
    }
}

/// The newest batch that ClickHouse has whole.
fn stored_batch(shared: &Shared, lane: &Lane, runtime: &Handle) -> Result<u64, Failure> {
    let query = "SELECT max(batch) FROM store_progress WHERE lane = {lane:UInt16}";
    let batch = shared.inserter.client().query(query).param("lane", lane.number).fetch_one::<u64>();
    runtime.block_on(batch).map_err(|error| Failure::Retry(format!("store_progress: {error}")))
}

/// A journal that is ahead of ClickHouse means other tables: going on would leave a hole nobody knows of.
fn known_to(stored: u64, entry: Entry, accept_gap: bool) -> Result<Entry, Failure> {
    let done = if entry.done { entry.batch } else { entry.batch.saturating_sub(1) };
    if stored >= done || accept_gap {
        return Ok(entry);
    }
    Err(Failure::Refused(format!(
        "store_journal says that {done} batches of {} are stored, ClickHouse has {stored}: is this another database? \
         --accept-gap goes on without what is missing",
        entry.topic
    )))
}

/// The lane has no journal: it begins where the log begins. Batches go on counting behind those that ClickHouse may
/// know from an earlier life, and a new generation keeps their tokens apart.
fn first_entry(lane: &Lane, batch: u64, source: &Source) -> Result<Entry, Failure> {
    if batch > 0 {
        tracing::warn!(
            lane = lane.number,
            batch,
            "ClickHouse has batches of this lane but its journal is empty: everything in the log is stored (again)"
        );
    }
    let mut ranges = Vec::new();
    for partition in &lane.partitions {
        let low = source.watermarks(*partition)?.low;
        ranges.push(Range { partition: *partition, first: low, next: low });
    }
    Ok(Entry {
        lane: lane.number,
        batch,
        generation: now_s(),
        format: FORMAT,
        done: true,
        topic: lane.source.topic().to_owned(),
        ranges,
        sequences: Sequences::default(),
    })
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
