//! A shard's thread, seen from outside: how it is started and stopped, how far it is, what it leaves behind.

use super::failure::Failure;
use super::kafka::KafkaInput;
use super::standby::Kept;
use super::{Room, driver};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const FENCED_PAUSE_FIRST: Duration = Duration::from_secs(2);
const FENCED_PAUSE_LAST: Duration = Duration::from_secs(60);

/// What a shard's thread leaves behind.
pub struct Ended {
    /// How it ended.
    pub why: Result<(), Failure>,
    /// What the next start can go on with.
    pub kept: Kept<KafkaInput>,
}

/// A shard's thread as its owner sees it.
pub struct Running {
    /// Asks it to stop.
    pub stop: CancellationToken,
    /// How far it is.
    pub progress: Arc<Progress>,
    /// Answers once it has ended; breaks without an answer when it has crashed.
    pub ended: Receiver<Ended>,
    /// Offset the group was told last.
    pub told: i64,
    /// Another process has fenced it. It may start again at that time, if the group says that it is still ours:
    /// without that, two processes would fence each other for ever.
    pub fenced_until: Option<Instant>,
    /// How long it pauses when it is fenced again.
    pub pause: Duration,
    /// It stays down until somebody does what this says. The other shards go on.
    pub down: Option<Down>,
    /// When its thread was started.
    pub started: Instant,
}

/// Why a shard stays down.
pub enum Down {
    /// It has crashed although it was careful.
    Crashed(String),
    /// Its start would not be exact.
    Refused(String),
}

impl Running {
    /// Starts a thread, with what an earlier one left.
    pub fn start(room: &Arc<Room>, partition: i32, kept: Kept<KafkaInput>) -> Self {
        Self::with(Progress::default(), room, partition, kept)
    }

    /// Its thread is gone. It starts again and is careful; if it crashes once more where it is, it is known which record
    /// does that, and the shard stays down until somebody has decided what to do. The others go on.
    pub fn crashes(&mut self, room: &Arc<Room>, partition: i32) {
        let (at, careful_until) = (self.progress.applying(), self.progress.careful_until);
        if careful_until < 0 || at > careful_until {
            tracing::error!(partition, offset = at, "the shard crashed; it starts again, record by record");
            *self = Self::with(Progress::careful_until(at.max(0)), room, partition, Kept::default());
            return;
        }
        let mend = mend(partition, at);
        tracing::error!(partition, "the shard {mend}");
        self.down = Some(Down::Crashed(mend));
    }

    fn with(progress: Progress, room: &Arc<Room>, partition: i32, mut kept: Kept<KafkaInput>) -> Self {
        let (stop, progress) = (CancellationToken::new(), Arc::new(progress));
        let (tell, ended) = channel();
        let (its_room, its_stop, its_progress) = (room.clone(), stop.clone(), progress.clone());
        let thread = thread::Builder::new().name(format!("shard-{partition}")).spawn(move || {
            let why = driver::run(&its_room, partition, &its_progress, &its_stop, &mut kept);
            // Nobody listens when the process ends; a panic drops the sender, which is heard.
            let _ = tell.send(Ended { why, kept });
        });
        if let Err(error) = thread {
            // The closure and its sender are gone: the shard is reported as crashed.
            tracing::error!(partition, "no thread for the shard: {error}");
        }
        let (fenced_until, pause) = (None, FENCED_PAUSE_FIRST);
        Self { stop, progress, ended, told: -1, fenced_until, pause, down: None, started: Instant::now() }
    }

    /// Puts off its next start, for longer each time it has not lasted.
    pub fn is_fenced(&mut self) {
        if self.started.elapsed() > self.pause * 2 {
            self.pause = FENCED_PAUSE_FIRST;
        }
        self.fenced_until = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(FENCED_PAUSE_LAST);
    }

    /// Why it isn't working, if it isn't.
    pub fn waits_for(&self) -> Option<&str> {
        match (&self.down, self.fenced_until, self.progress.live.load(Ordering::Relaxed)) {
            (Some(Down::Crashed(why) | Down::Refused(why)), ..) => Some(why),
            (None, Some(_), _) => Some("was fenced by another process"),
            (None, None, false) => Some("waits for Kafka"),
            (None, None, true) => None,
        }
    }

    /// It was asked to close everything, and has.
    pub fn is_drained(&self) -> bool {
        self.progress.drained.load(Ordering::Relaxed)
    }
}

/// What a shard's thread tells about itself.
#[derive(Debug)]
pub struct Progress {
    live: AtomicBool,
    drained: AtomicBool,
    applying: AtomicI64,
    next_offset: AtomicI64,
    careful_until: i64,
}

impl Default for Progress {
    /// Nothing was applied yet.
    fn default() -> Self {
        Self::careful_until(-1)
    }
}

impl Progress {
    /// The shard crashed before, at the latest after it had applied the record at `offset`: up to there each record is
    /// committed by itself, so that the one which crashes it is the last one begun.
    pub fn careful_until(offset: i64) -> Self {
        let (live, drained) = (AtomicBool::new(false), AtomicBool::new(false));
        let (applying, next_offset) = (AtomicI64::new(-1), AtomicI64::new(-1));
        Self { live, drained, applying, next_offset, careful_until: offset }
    }

    /// What was applied has to be committed before the next record.
    pub fn is_careful(&self) -> bool {
        (self.next_offset()..=self.careful_until).contains(&self.applying())
    }

    /// The shard was asked to close everything, and has.
    pub fn is_drained(&self) {
        self.drained.store(true, Ordering::Relaxed);
    }

    /// It reads and commits, or waits for Kafka.
    pub fn is_live(&self, live: bool) {
        self.live.store(live, Ordering::Relaxed);
    }

    /// It is about to apply the record at `offset`.
    pub fn applies(&self, offset: i64) {
        self.applying.store(offset, Ordering::Relaxed);
    }

    /// Everything before `next_offset` is committed.
    pub fn committed(&self, next_offset: i64) {
        self.next_offset.store(next_offset, Ordering::Relaxed);
    }

    /// The last value given to [`Progress::applies`].
    pub fn applying(&self) -> i64 {
        self.applying.load(Ordering::Relaxed)
    }

    /// The last value given to [`Progress::committed`].
    pub fn next_offset(&self) -> i64 {
        self.next_offset.load(Ordering::Relaxed)
    }
}

/// What a shard does that has crashed although it was careful, and what to do about it.
fn mend(partition: i32, applying: i64) -> String {
    match applying {
        0.. => format!(
            "crashes on the record at offset {applying}: --quarantine {partition}:{applying} passes over it; if it \
             crashes all the same, a trace in memory does that, and --accept-gap gives those up"
        ),
        _ => "crashes while it is rebuilt: --accept-gap gives up the traces in memory".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_careful_shard_commits_each_record_until_it_is_past_the_one_that_crashed_it() {
        let (careful, usual) = (Progress::careful_until(7), Progress::default());
        for offset in 5..10 {
            for progress in [&careful, &usual] {
                progress.committed(offset);
                assert!(!progress.is_careful(), "nothing is applied since the last commit");
                progress.applies(offset);
            }
            assert_eq!((careful.is_careful(), usual.is_careful()), (offset <= 7, false), "{offset}");
        }
    }

    #[test]
    fn a_crash_names_the_record_and_the_flag_that_passes_over_it() {
        assert!(mend(3, 77).contains("--quarantine 3:77 "));
        assert!(mend(3, -1).contains("--accept-gap"));
    }
}
