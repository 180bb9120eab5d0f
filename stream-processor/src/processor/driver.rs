//! One shard's thread: poll ▶ apply ▶ commit. It owns the shard, its consumer and its producer; nothing is locked.

use super::Room;
use super::failure::Failure;
use super::input::{Input, Polled, log_append_time_us, log_time_at, now_us};
use super::intake::Origin;
use super::metrics::ShardMetrics;
use super::options::config_hash;
use super::recovery::{Recovery, last_commit};
use super::running::Progress;
use super::transactor::{Setting, Transactor};
use super::work::{Standing, Work};
use rdkafka::message::Message as _;
use std::thread;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A commit with output.
const EVERY: Duration = Duration::from_millis(200);
/// A commit without: the journal still tells progress and time.
const IDLE_EVERY: Duration = Duration::from_secs(5);
/// A commit is due at once after so many spans.
const SPANS: u64 = 500_000;
/// How often the end of the log is asked for while traces are open at it …
const ASK_END_EVERY: Duration = Duration::from_millis(500);
/// … when none are, for the clock's sake …
const ASK_END_IDLE_EVERY: Duration = IDLE_EVERY;
/// … and behind it, for the lag's.
const ASK_LAG_EVERY: Duration = Duration::from_secs(2);
/// Bounds how late a stop is noticed.
const WAIT: Duration = Duration::from_millis(50);
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(10);

/// Runs a partition's shard until `stop`. Kafka being away is waited for; what can't be waited for is returned.
/// `work` is the shard as an earlier run left it, if there was one, and is left behind in turn.
pub fn run(
    room: &Room,
    partition: i32,
    progress: &Progress,
    stop: &CancellationToken,
    work: &mut Option<Work>,
) -> Result<(), Failure> {
    let metrics = room.metrics.shard(partition);
    let mut pause = RETRY_FIRST;
    while !stop.is_cancelled() {
        let started = Instant::now();
        let clients = Clients::start(room, partition, stop);
        let ended = clients.and_then(|clients| clients.drive(progress, &metrics, work));
        progress.is_live(false);
        match ended {
            Err(Failure::Retry(why)) if !stop.is_cancelled() => {
                tracing::warn!(partition, "the shard starts again: {why}");
                pause =
                    if started.elapsed() > RETRY_LAST { RETRY_FIRST } else { (pause * 2).min(RETRY_LAST) };
                sleep(pause, stop);
            }
            // Whoever starts next finds out by the journal what became of the last commit.
            Err(Failure::Retry(why)) => {
                tracing::warn!(partition, "the shard has stopped while Kafka was away: {why}");
                return Ok(());
            }
            Err(Failure::Fenced(why)) => {
                metrics.was_fenced();
                return Err(Failure::Fenced(why));
            }
            ended => return ended,
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

/// A shard's way in and out. After a failure they are dropped and started anew; the shard itself stays.
struct Clients<'a> {
    room: &'a Room,
    partition: i32,
    stop: &'a CancellationToken,
    input: Input,
    transactor: Transactor,
}

impl<'a> Clients<'a> {
    /// The predecessor is fenced first; only then is anything read.
    fn start(room: &'a Room, partition: i32, stop: &'a CancellationToken) -> Result<Self, Failure> {
        let id = format!("weir.{}.{partition}", room.topics.spans);
        let setting = Setting { config: room.options.producer(&id), topics: room.topics.clone(), partition };
        let transactor = Transactor::start(setting, stop)?;
        let input = Input::open(&room.options.reader(), &room.topics.spans, partition)?;
        Ok(Self { room, partition, stop, input, transactor })
    }

    fn drive(
        mut self,
        progress: &Progress,
        metrics: &ShardMetrics,
        work: &mut Option<Work>,
    ) -> Result<(), Failure> {
        let work = self.catch_up(metrics, work)?;
        self.input.read_from(work.next_offset)?;
        progress.committed(work.committed_offset().unwrap_or(work.next_offset));
        progress.is_live(true);
        tracing::info!(
            partition = self.partition,
            seq = work.seq(),
            offset = work.next_offset,
            "the shard is live"
        );
        let now = Instant::now();
        let (committed, asked_end, time_moved) = (now, None, false);
        Driver { clients: self, progress, metrics, work, committed, asked_end, time_moved }.drive()
    }

    /// The shard in memory, if the journal allows it to go on, else one as its last owner left it.
    fn catch_up<'w>(
        &mut self,
        metrics: &ShardMetrics,
        kept: &'w mut Option<Work>,
    ) -> Result<&'w mut Work, Failure> {
        let began = Instant::now();
        let (options, topics) = (&self.room.options, &self.room.topics);
        let last = last_commit(&options.reader(), &topics.journal, self.partition)?;
        let log = self.input.watermarks()?;
        let (mut replayed, mut gap) = (0, 0);
        let work = match kept.take() {
            Some(work) if work.standing(last.as_ref(), log) != Standing::Outdated => work,
            _ => {
                let Self { room, partition, stop, .. } = *self;
                let start = Recovery { room, partition, stop }.start(&mut self.input)?;
                (replayed, gap) = (start.replayed, start.gap);
                let settings = options.settings(partition);
                Work::begin(start, settings.shard, config_hash(&settings))
            }
        };
        let work = kept.insert(work);
        match work.standing(last.as_ref(), log) {
            Standing::Unsent => {
                self.transactor.commit(work.pend())?;
                work.committed();
            }
            Standing::Committed => drop(work.committed()),
            Standing::Current | Standing::Outdated => {}
        }
        metrics.recovered(began.elapsed(), replayed, gap);
        Ok(work)
    }
}

struct Driver<'a> {
    clients: Clients<'a>,
    progress: &'a Progress,
    metrics: &'a ShardMetrics,
    work: &'a mut Work,
    committed: Instant,
    asked_end: Option<Instant>,
    /// Log time has moved without a record since the last commit.
    time_moved: bool,
}

impl Driver<'_> {
    fn drive(mut self) -> Result<(), Failure> {
        while !self.clients.stop.is_cancelled() {
            self.step()?;
            self.ask_end();
            if self.is_commit_due() {
                self.commit()?;
            }
        }
        // What is applied counts; open traces stay open.
        if self.work.is_unfinished() {
            self.commit()?;
        }
        let (partition, seq) = (self.clients.partition, self.work.seq());
        tracing::info!(partition, seq, offset = self.work.next_offset, "the shard has stopped");
        Ok(())
    }

    fn step(&mut self) -> Result<(), Failure> {
        let Clients { room, input, .. } = &mut self.clients;
        let offset = match input.poll(WAIT)? {
            Polled::Nothing => None,
            Polled::Record(message) => {
                let appended_us = log_append_time_us(&message)?;
                let (topic, partition, offset) = (&room.topics.spans, message.partition(), message.offset());
                let origin = Origin { topic, partition, offset, appended_us };
                self.progress.applies(origin.offset);
                self.work.intake.apply(&room.semconv, origin, message.payload().unwrap_or_default());
                Some(origin.offset)
            }
        };
        if let Some(offset) = offset {
            input.passed(offset);
        }
        self.work.next_offset = input.next();
        Ok(())
    }

    /// At the end of the log time moves on by asking: when the leader says that nothing is unread, the moment of
    /// the question counts. Behind the end the answer is only the lag.
    fn ask_end(&mut self) {
        let input = &self.clients.input;
        let every = match (input.at_end(), self.work.intake.open_spans() > 0) {
            (true, true) => ASK_END_EVERY,
            (true, false) => ASK_END_IDLE_EVERY,
            (false, _) => ASK_LAG_EVERY,
        };
        if self.asked_end.is_some_and(|asked| asked.elapsed() < every) {
            return;
        }
        self.asked_end = Some(Instant::now());
        let asked_us = now_us();
        match input.watermarks() {
            Ok(log) => {
                self.metrics.behind((log.high - input.next()).max(0));
                if input.at_end() && log.high == input.next() {
                    let before_us = self.work.intake.clock_us();
                    self.work.intake.end_of_log(log_time_at(asked_us));
                    self.time_moved = self.work.intake.clock_us() > before_us;
                }
            }
            // Kafka is away: time stands still with it.
            Err(why) => tracing::debug!(partition = self.clients.partition, "{why}"),
        }
    }

    /// Time that moved without a record is nowhere but in the journal, and has to be there before the next record.
    fn is_commit_due(&self) -> bool {
        let since = self.committed.elapsed();
        let intake = &self.work.intake;
        self.time_moved
            || since >= IDLE_EVERY
            || (since >= EVERY && intake.has_output())
            || intake.is_full(SPANS)
    }

    /// After a failure the commit stays pending: the journal tells whether it has to be sent again.
    fn commit(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        self.clients.transactor.commit(self.work.pend())?;
        (self.committed, self.time_moved) = (Instant::now(), false);
        if let Some(done) = self.work.committed() {
            let Room { metrics, .. } = self.clients.room;
            self.metrics.committed(done.applied.records, done.applied.spans, began.elapsed());
            metrics.counted(&done.applied, &done.counters);
            metrics.written(&done.records);
        }
        self.progress.committed(self.work.next_offset);
        let age_us = now_us() - self.work.clock_us();
        self.metrics.stands(self.work.intake.open_spans(), self.work.intake.open_traces(), age_us);
        Ok(())
    }
}
