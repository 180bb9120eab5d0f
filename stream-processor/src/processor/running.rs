//! A shard's thread, seen from outside: how it is started and stopped, how far it is, what it leaves behind.

use super::failure::Failure;
use super::work::Work;
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
    /// The shard, if it had begun.
    pub work: Option<Work>,
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
}

impl Running {
    /// Starts a thread, with the shard as an earlier one left it.
    pub fn start(room: &Arc<Room>, partition: i32, kept: Option<Work>) -> Self {
        let (stop, progress) = (CancellationToken::new(), Arc::new(Progress::default()));
        let (tell, ended) = channel();
        let (its_room, its_stop, its_progress) = (room.clone(), stop.clone(), progress.clone());
        let thread = thread::Builder::new().name(format!("shard-{partition}")).spawn(move || {
            let mut work = kept;
            let why = driver::run(&its_room, partition, &its_progress, &its_stop, &mut work);
            // Nobody listens when the process ends; a panic drops the sender, which is heard.
            let _ = tell.send(Ended { why, work });
        });
        if let Err(error) = thread {
            // The closure and its sender are gone: the shard is reported as crashed.
            tracing::error!(partition, "no thread for the shard: {error}");
        }
        Self { stop, progress, ended, told: -1, fenced_until: None, pause: FENCED_PAUSE_FIRST }
    }

    /// Puts off its next start, for longer each time.
    pub fn is_fenced(&mut self) {
        self.fenced_until = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(FENCED_PAUSE_LAST);
    }

    /// Why it isn't working, if it isn't.
    pub fn waits_for(&self) -> Option<&'static str> {
        match (self.fenced_until, self.progress.live.load(Ordering::Relaxed)) {
            (Some(_), _) => Some("was fenced by another process"),
            (None, false) => Some("waits for Kafka"),
            (None, true) => None,
        }
    }
}

/// What a shard's thread tells about itself.
#[derive(Debug)]
pub struct Progress {
    live: AtomicBool,
    applying: AtomicI64,
    next_offset: AtomicI64,
}

impl Default for Progress {
    /// Nothing was applied yet.
    fn default() -> Self {
        Self { live: AtomicBool::new(false), applying: AtomicI64::new(-1), next_offset: AtomicI64::new(-1) }
    }
}

impl Progress {
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
