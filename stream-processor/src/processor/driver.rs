//! One shard's thread: poll ▶ apply ▶ commit. It owns the shard, its consumer and its producer; nothing is locked.

use super::deltas::Stamp;
use super::encode::records;
use super::failure::Failure;
use super::input::{Input, Polled, log_time_at, now_us};
use super::intake::{Applied, Intake, Origin};
use super::membership::Progress;
use super::metrics::ShardMetrics;
use super::recovery::{Resume, last_commit};
use super::transactor::{Records, Setting, Transactor};
use super::{Room, options};
use rdkafka::message::{BorrowedMessage, Message, Timestamp};
use std::thread;
use std::time::{Duration, Instant};
use stitcher::Commit;
use tokio_util::sync::CancellationToken;

/// A commit with output.
const EVERY: Duration = Duration::from_millis(200);
/// A commit without: the journal still tells progress and time.
const IDLE_EVERY: Duration = Duration::from_secs(5);
/// A commit is due at once after so many spans.
const SPANS: u64 = 500_000;
/// How often the end of the log is asked for while traces are open at it …
const ASK_END_EVERY: Duration = Duration::from_millis(500);
/// … and otherwise, for the clock's and the lag's sake.
const ASK_END_IDLE_EVERY: Duration = Duration::from_secs(5);
/// Bounds how late a stop is noticed.
const WAIT: Duration = Duration::from_millis(50);
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(10);

/// Runs a partition's shard until `stop`. Kafka being away is waited for; what can't be waited for is returned.
pub fn run(
    room: &Room,
    partition: i32,
    progress: &Progress,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let metrics = room.metrics.shard(partition);
    let mut pause = RETRY_FIRST;
    while !stop.is_cancelled() {
        let started = Instant::now();
        let ended = Driver::start(room, partition, progress, &metrics, stop).and_then(Driver::drive);
        match ended {
            Err(Failure::Retry(why)) if !stop.is_cancelled() => {
                progress.is_live(false);
                tracing::warn!(partition, "the shard starts again: {why}");
                pause =
                    if started.elapsed() > RETRY_LAST { RETRY_FIRST } else { (pause * 2).min(RETRY_LAST) };
                sleep(pause, stop);
            }
            Err(Failure::Fenced(why)) => {
                metrics.was_fenced();
                return Err(Failure::Fenced(why));
            }
            Err(Failure::Retry(_)) | Ok(()) => return Ok(()),
            Err(refused) => return Err(refused),
        }
    }
    Ok(())
}

fn sleep(time: Duration, stop: &CancellationToken) {
    let until = Instant::now() + time;
    while Instant::now() < until && !stop.is_cancelled() {
        thread::sleep(WAIT);
    }
}

struct Driver<'a> {
    room: &'a Room,
    partition: i32,
    progress: &'a Progress,
    metrics: &'a ShardMetrics,
    stop: &'a CancellationToken,
    input: Input,
    intake: Intake,
    transactor: Transactor,
    config_hash: u64,
    /// The last commit.
    seq: u64,
    /// Log time never goes back, not even over a restart.
    clock_us: i64,
    committed: Instant,
    asked_end: Option<Instant>,
}

impl<'a> Driver<'a> {
    /// Fences the predecessor first; only then is anything read.
    fn start(
        room: &'a Room,
        partition: i32,
        progress: &'a Progress,
        metrics: &'a ShardMetrics,
        stop: &'a CancellationToken,
    ) -> Result<Self, Failure> {
        let transactor = transactor(room, partition, stop)?;
        let reader = room.options.reader();
        let last = last_commit(&reader, &room.topics.journal, partition)?;
        let mut input = Input::open(&reader, &room.topics.spans, partition)?;
        let log = input.watermarks()?;
        let resume =
            Resume::decide(last.as_ref(), log, room.options.first_boot_from, room.options.accept_gap)?;
        let settings = room.options.settings(partition);
        let config_hash = options::config_hash(&settings);
        input.read_from(resume.next_offset)?;
        metrics.recovers(resume.gap);
        progress.committed(resume.next_offset);
        tracing::info!(partition, seq = resume.seq, offset = resume.next_offset, "the shard is live");
        progress.is_live(true);
        Ok(Self {
            room,
            partition,
            progress,
            metrics,
            stop,
            input,
            intake: Intake::new(resume.shard(settings)),
            transactor,
            config_hash,
            seq: resume.seq,
            clock_us: resume.clock_us,
            committed: Instant::now(),
            asked_end: None,
        })
    }

    fn drive(mut self) -> Result<(), Failure> {
        while !self.stop.is_cancelled() {
            self.step()?;
            self.ask_end();
            if self.is_commit_due() {
                self.commit()?;
            }
        }
        // What is applied counts; open traces stay open.
        if self.intake.has_output() || self.input.next() > self.progress.next_offset() {
            self.commit()?;
        }
        tracing::info!(self.partition, self.seq, offset = self.input.next(), "the shard has stopped");
        Ok(())
    }

    fn step(&mut self) -> Result<(), Failure> {
        let offset = match self.input.poll(WAIT)? {
            Polled::Nothing => return Ok(()),
            Polled::Record(message) => {
                let origin = origin(&message, &self.room.topics.spans)?;
                self.progress.applies(origin.offset);
                self.intake.apply(&self.room.semconv, origin, message.payload().unwrap_or_default());
                origin.offset
            }
        };
        self.input.passed(offset);
        Ok(())
    }

    /// At the end of the log time moves on by asking: when the leader says that nothing is unread, the moment of
    /// the question counts. Behind the end the answer is only the lag.
    fn ask_end(&mut self) {
        let every = if self.input.at_end() && self.intake.open_spans() > 0 {
            ASK_END_EVERY
        } else {
            ASK_END_IDLE_EVERY
        };
        if self.asked_end.is_some_and(|asked| asked.elapsed() < every) {
            return;
        }
        self.asked_end = Some(Instant::now());
        let asked_us = now_us();
        match self.input.watermarks() {
            Ok(log) => {
                self.metrics.behind((log.high - self.input.next()).max(0));
                if self.input.at_end() && log.high == self.input.next() {
                    self.intake.end_of_log(log_time_at(asked_us));
                }
            }
            // Kafka is away: time stands still with it.
            Err(why) => tracing::debug!(self.partition, "{why}"),
        }
    }

    fn is_commit_due(&self) -> bool {
        let since = self.committed.elapsed();
        since >= IDLE_EVERY || (since >= EVERY && self.intake.has_output()) || self.intake.is_full(SPANS)
    }

    fn commit(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        let (commit, applied) = self.intake.commit();
        let commit = self.completed(commit);
        let stamp =
            Stamp { shard: self.partition.unsigned_abs(), seq: self.seq + 1, clock_us: commit.clock_us };
        let records: Records = records(stamp, &commit, &applied.dead_letters, self.config_hash).into();
        if let Err(failure) = self.transactor.commit(records.clone()) {
            self.settle(failure, stamp.seq, &records)?;
        }
        (self.seq, self.clock_us, self.committed) = (stamp.seq, stamp.clock_us, Instant::now());
        self.progress.committed(commit.next_offset);
        self.report(&commit, &applied, &records, began.elapsed());
        Ok(())
    }

    /// The consumer knows offsets that the shard doesn't: where it began, and those that hold no record.
    fn completed(&self, commit: Commit) -> Commit {
        let next_offset = self.input.next();
        let nothing_open = self.intake.open_spans() == 0;
        let low_watermark = if nothing_open { next_offset } else { commit.low_watermark };
        let clock_us = commit.clock_us.max(self.clock_us);
        Commit { next_offset, low_watermark, clock_us, ..commit }
    }

    fn report(&self, commit: &Commit, applied: &Applied, records: &Records, took: Duration) {
        self.metrics.committed(applied.records, applied.spans, took);
        self.metrics.stands(self.intake.open_spans(), now_us() - self.clock_us);
        self.room.metrics.counted(applied, &commit.counters);
        self.room.metrics.written(records);
    }

    /// Nobody knows whether the transaction with `seq` was committed, until another producer has fenced the old one
    /// and the journal is read. The shard's state is still good: it goes on, with these records sent again if need be.
    fn settle(&mut self, failure: Failure, seq: u64, records: &Records) -> Result<(), Failure> {
        let mut failure = failure;
        let mut pause = RETRY_FIRST;
        self.progress.is_live(false);
        while let Failure::Retry(why) = &failure {
            if self.stop.is_cancelled() {
                return Err(failure);
            }
            tracing::warn!(self.partition, seq, "the outcome of a commit is unknown: {why}");
            match self.try_to_settle(seq, records) {
                Ok(()) => {
                    self.progress.is_live(true);
                    return Ok(());
                }
                Err(again) => failure = again,
            }
            sleep(pause, self.stop);
            pause = (pause * 2).min(RETRY_LAST);
        }
        Err(failure)
    }

    fn try_to_settle(&mut self, seq: u64, records: &Records) -> Result<(), Failure> {
        self.transactor = transactor(self.room, self.partition, self.stop)?;
        self.metrics.recovers(0);
        let last = last_commit(&self.room.options.reader(), &self.room.topics.journal, self.partition)?;
        match last.map_or(0, |commit| commit.seq) {
            last if last == seq => Ok(()),
            last if last + 1 == seq => self.transactor.commit(records.clone()),
            last => Err(Failure::Fenced(format!(
                "the journal is at commit {last}, this process was about to write {seq}: another one owns the shard"
            ))),
        }
    }
}

fn transactor(room: &Room, partition: i32, stop: &CancellationToken) -> Result<Transactor, Failure> {
    let id = format!("weir.{}.{partition}", room.topics.spans);
    let setting = Setting { config: room.options.producer(&id), topics: room.topics.clone(), partition };
    Transactor::start(setting, stop)
}

/// Where a record stood, if the broker stamped it.
fn origin<'a>(message: &BorrowedMessage<'_>, topic: &'a str) -> Result<Origin<'a>, Failure> {
    let (partition, offset) = (message.partition(), message.offset());
    match message.timestamp() {
        Timestamp::LogAppendTime(millis) => {
            Ok(Origin { topic, partition, offset, appended_us: millis.saturating_mul(1000) })
        }
        _ => Err(Failure::Refused(format!(
            "the record at offset {offset} of {topic} partition {partition} bears its producer's time, but a shard's \
             clock is the broker's: set message.timestamp.type=LogAppendTime on the topic, and pass the records \
             from before with --first-boot-from latest"
        ))),
    }
}
