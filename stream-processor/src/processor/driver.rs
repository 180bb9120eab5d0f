//! One shard's loop: poll ▶ apply ▶ commit. It owns the shard, its reader and its producer; nothing is locked.

use super::Room;
use super::broker::{Broker, Input, Transactor};
use super::failure::Failure;
use super::intake::Origin;
use super::kafka::{Kafka, KafkaInput};
use super::metrics::{ProcessorMetrics, ShardMetrics};
use super::recovery::{Log, Recovery, Rules, Start, deletions, last_commit};
use super::running::Progress;
use super::standby::Kept;
use super::work::{Standing, Work};
use reader::Reader;
use std::thread;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A commit with output.
const EVERY: Duration = Duration::from_millis(200);
/// A commit without: the journal still tells progress and time.
const IDLE_EVERY: Duration = Duration::from_secs(5);
/// A commit is due at once after so many spans.
const SPANS: u64 = 500_000;
/// Bytes of records that are applied between two looks at the clock …
const STRETCH_BYTES: usize = 128 << 10;
/// … where each counts as so many more.
const RECORD_BYTES: usize = 512;
/// How often the end of the log is asked for while traces are open at it …
const ASK_END_EVERY: Duration = Duration::from_millis(500);
/// … when none are, for the clock's sake …
const ASK_END_IDLE_EVERY: Duration = IDLE_EVERY;
/// … and behind it, for the lag's.
const ASK_LAG_EVERY: Duration = Duration::from_secs(2);
/// What the broker's clock may lag behind ours, and a record may take from its stamp to the log.
const MARGIN_US: i64 = 1_000_000;
/// Bounds how late a stop is noticed.
const STOP_LOOK: Duration = Duration::from_millis(50);
/// Pauses between starts, doubled each time.
pub const RETRY_FIRST: Duration = Duration::from_millis(500);
/// The longest of them.
pub const RETRY_LAST: Duration = Duration::from_secs(10);

/// Runs a partition's shard until `stop`. Kafka being away is waited for; what can't be waited for is returned.
/// `kept` is what it can go on with, if there is anything, and is left behind in turn.
pub fn run(
    room: &Room,
    partition: i32,
    progress: &Progress,
    stop: &CancellationToken,
    kept: &mut Kept<KafkaInput>,
) -> Result<(), Failure> {
    let kafka = Kafka::new(room, partition, stop);
    let rules = room.options.rules(&room.topics.spans, partition);
    let told = Told { metrics: &room.metrics, shard: room.metrics.shard(partition), progress };
    let mut pause = RETRY_FIRST;
    while !stop.is_cancelled() {
        let started = Instant::now();
        let ended = match Driver::start(&kafka, &rules, &told, kept) {
            Ok(mut driver) => {
                let ended = if rules.drain { driver.drain() } else { driver.drive() };
                // A drained shard is nothing to go on with.
                kept.work = Some(driver.into_work()).filter(|work| !work.is_drained());
                ended
            }
            Err(failure) => Err(failure),
        };
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
                told.shard.was_fenced();
                return Err(Failure::Fenced(why));
            }
            Err(why) => return Err(why),
            Ok(()) => {
                if rules.drain {
                    progress.is_drained();
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Sleeps, unless stopped.
pub fn sleep(time: Duration, stop: &CancellationToken) {
    let until = Instant::now() + time;
    while Instant::now() < until && !stop.is_cancelled() {
        thread::sleep(STOP_LOOK);
    }
}

/// Who hears of a shard's progress.
pub struct Told<'a> {
    /// Of the whole process.
    pub metrics: &'a ProcessorMetrics,
    /// Of the shard.
    pub shard: ShardMetrics,
    /// Its thread's owner.
    pub progress: &'a Progress,
}

impl Told<'_> {
    /// The start from a copy, if it can be used.
    fn copied(&self, start: Result<Start, Failure>) -> Option<Start> {
        match &start {
            Ok(_) => self.shard.took_over(),
            Err(Failure::Refused(why)) => {
                tracing::error!("the copy is not used: {why}");
                self.shard.had_wrong_copy();
            }
            Err(why) => tracing::warn!("the copy is not used: {why}"),
        }
        start.ok()
    }
}

/// A shard at work. After a failure it is given up, and another one goes on with its [`Work`].
pub struct Driver<'a, B: Broker> {
    broker: &'a B,
    rules: &'a Rules,
    told: &'a Told<'a>,
    reader: Reader,
    work: Work,
    input: B::Input,
    transactor: B::Transactor,
    committed: Duration,
    asked_end: Option<Duration>,
    /// Log time has moved without a record since the last commit.
    time_moved: bool,
}

impl<'a, B: Broker> Driver<'a, B> {
    /// Fences the predecessor, then goes on with the shard or the copy in memory, if the journal allows that, else with
    /// one as its last owner left it.
    ///
    /// # Errors
    /// Kafka doesn't answer, or the shard can't go on exactly. What was in memory stays there, unless it is outdated.
    pub fn start(
        broker: &'a B,
        rules: &'a Rules,
        told: &'a Told<'a>,
        kept: &mut Kept<B::Input>,
    ) -> Result<Self, Failure> {
        let (input, transactor) = Self::catch_up(broker, rules, told, kept)?;
        let work = kept.work.take().ok_or_else(|| Failure::Retry("there is no shard".to_owned()))?;
        let (committed, asked_end, time_moved) = (broker.elapsed(), None, false);
        let reader = Reader::new(rules.semconv.clone());
        Ok(Self { broker, rules, told, reader, work, input, transactor, committed, asked_end, time_moved })
    }

    fn catch_up(
        broker: &B,
        rules: &Rules,
        told: &Told<'_>,
        kept: &mut Kept<B::Input>,
    ) -> Result<(B::Input, B::Transactor), Failure> {
        let began = broker.elapsed();
        let transactor = broker.transactor()?;
        let mut input = broker.input()?;
        let last = last_commit(broker)?;
        let log = Log::look(broker, &mut input, last.as_ref())?;
        let (mut replayed, mut gap) = (0, 0);
        let is_usable =
            |work: &Work| log.is_same && work.standing(last.as_ref(), log.watermarks) != Standing::Outdated;
        let work = match kept.work.take().filter(is_usable) {
            Some(work) => work,
            None => {
                let recovery = Recovery { broker, rules };
                let copy = kept.copy.take().filter(|_| log.is_same).zip(last.as_ref());
                let copied = copy.and_then(|(copy, last)| told.copied(copy.take_over(&recovery, last)));
                let start = match copied {
                    Some(start) => start,
                    None => recovery.start(log, &mut input)?,
                };
                (replayed, gap) = (start.replayed, start.gap);
                Work::begin(start, rules.settings.shard, rules.config_hash())
            }
        };
        let work = kept.work.insert(work);
        match work.standing(last.as_ref(), log.watermarks) {
            Standing::Unsent => {
                transactor.commit(work.pend())?;
                work.committed();
            }
            Standing::Committed => drop(work.committed()),
            Standing::Current | Standing::Outdated => {}
        }
        input.read_from(work.next_offset)?;
        told.shard.recovered(broker.elapsed() - began, replayed, gap);
        told.progress.committed(work.committed_offset().unwrap_or(work.next_offset));
        told.progress.is_live(true);
        let (seq, offset) = (work.seq(), work.next_offset);
        tracing::info!(partition = rules.settings.shard, seq, offset, replayed, "the shard is live");
        Ok((input, transactor))
    }

    fn drive(&mut self) -> Result<(), Failure> {
        while !self.broker.is_stopped() {
            self.step()?;
        }
        self.finish()
    }

    /// Applies the records that are here, or the next one, if one comes, and does what is due.
    ///
    /// # Errors
    /// The driver has to be started anew.
    pub fn step(&mut self) -> Result<(), Failure> {
        let mut bytes = 0;
        loop {
            bytes += RECORD_BYTES + self.apply_next()?;
            let is_stretch = bytes < STRETCH_BYTES && self.input.has_next() && !self.must_commit();
            if !is_stretch {
                break;
            }
        }
        self.ask_end();
        if self.is_commit_due() { self.commit() } else { Ok(()) }
    }

    /// Applies a record, if one comes. Returns its bytes.
    fn apply_next(&mut self) -> Result<usize, Failure> {
        let Self { rules, told, reader, work, input, .. } = self;
        let partition = rules.settings.shard.cast_signed();
        let mut bytes = 0;
        input.poll(&mut |record| {
            bytes = record.value.len();
            let (topic, offset, appended_us) = (&rules.topic, record.offset, record.appended_us);
            let origin = Origin { topic, partition, offset, appended_us };
            if rules.quarantine.contains(&offset) {
                tracing::warn!(partition, offset, "the record is passed over and goes to flow_dead_letters");
                work.intake.skip(origin, record.value);
            } else {
                told.progress.applies(offset);
                work.intake.apply(reader, origin, record.value);
            }
            Ok(())
        })?;
        // At once: if the next one can't be read, somebody else goes on from here.
        work.next_offset = input.next();
        Ok(bytes)
    }

    /// A commit is due before the next record, whatever time it is.
    fn must_commit(&self) -> bool {
        let intake = &self.work.intake;
        intake.has_skipped() || intake.is_full(SPANS) || self.told.progress.is_careful()
    }

    /// What is applied counts; open traces stay open.
    ///
    /// # Errors
    /// The outcome of the last commit is unknown.
    pub fn finish(&mut self) -> Result<(), Failure> {
        if self.work.is_unfinished() {
            self.commit()?;
        }
        let (seq, offset) = (self.work.seq(), self.work.next_offset);
        tracing::info!(partition = self.rules.settings.shard, seq, offset, "the shard has stopped");
        Ok(())
    }

    /// Everything is closed, and nothing of it needed by a successor.
    ///
    /// # Errors
    /// The outcome of the last commit is unknown.
    pub fn drain(&mut self) -> Result<(), Failure> {
        if self.work.is_drained() {
            return Ok(());
        }
        while !self.work.intake.settle() {
            self.commit()?;
        }
        self.work.ends(deletions(&Recovery { broker: self.broker, rules: self.rules }.state()?));
        self.commit()?;
        let (seq, offset) = (self.work.seq(), self.work.next_offset);
        tracing::info!(partition = self.rules.settings.shard, seq, offset, "the shard is drained");
        Ok(())
    }

    /// What is wrong with the shard, if anything is. Slow: for simulators.
    pub fn mistake(&self) -> Option<&'static str> {
        self.work.intake.mistake()
    }

    /// The shard, for whoever goes on.
    pub fn into_work(self) -> Work {
        self.work
    }

    /// At the end of the log time moves on by asking: when the leader says that nothing is unread, the moment of
    /// the question counts. Behind the end the answer is only the lag.
    fn ask_end(&mut self) {
        let every = match (self.input.at_end(), self.work.intake.open_spans() > 0) {
            (true, true) => ASK_END_EVERY,
            (true, false) => ASK_END_IDLE_EVERY,
            (false, _) => ASK_LAG_EVERY,
        };
        let now = self.broker.elapsed();
        if self.asked_end.is_some_and(|asked| now - asked < every) {
            return;
        }
        self.asked_end = Some(now);
        let asked_us = self.broker.now_us();
        match self.input.watermarks() {
            Ok(log) => {
                self.told.shard.behind((log.high - self.input.next()).max(0));
                if self.input.at_end() && log.high == self.input.next() {
                    let before_us = self.work.intake.clock_us();
                    self.work.intake.end_of_log(asked_us - MARGIN_US);
                    self.time_moved = self.work.intake.clock_us() > before_us;
                }
            }
            // Kafka is away: time stands still with it.
            Err(why) => tracing::debug!(partition = self.rules.settings.shard, "{why}"),
        }
    }

    /// Time that moved without a record, and a record that was passed over, are nowhere but in the journal, and have to
    /// be there before the next record.
    fn is_commit_due(&self) -> bool {
        let since = self.broker.elapsed() - self.committed;
        self.time_moved
            || self.must_commit()
            || since >= IDLE_EVERY
            || (since >= EVERY && self.work.intake.has_output())
    }

    /// After a failure the commit stays pending: the journal tells whether it has to be sent again.
    fn commit(&mut self) -> Result<(), Failure> {
        let began = self.broker.elapsed();
        self.transactor.commit(self.work.pend())?;
        (self.committed, self.time_moved) = (self.broker.elapsed(), false);
        let Told { metrics, shard, progress } = self.told;
        if let Some(done) = self.work.committed() {
            shard.committed(done.applied.records, done.applied.spans, self.committed - began);
            metrics.counted(&done.applied, &done.counters);
            metrics.written(&done.records);
        }
        progress.committed(self.work.next_offset);
        let age_us = self.broker.now_us() - self.work.clock_us();
        shard.knows_duplicates_for(self.work.intake.duplicate_reach_us());
        let intake = &self.work.intake;
        shard.stands(self.work.seq(), intake.open_spans(), intake.open_traces(), age_us);
        Ok(())
    }
}
