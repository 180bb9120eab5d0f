//! A lane's thread: how it is started and stopped, and when it may start again.

use super::Shared;
use super::failure::Failure;
use super::lane::Lane;
use super::metrics::Metrics;
use super::real::Real;
use super::servers::Servers;
use super::worker::{Rules, Worker, taken_from};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
const TAKEN_PAUSE_FIRST: Duration = Duration::from_secs(2);
const TAKEN_PAUSE_LAST: Duration = Duration::from_secs(60);

/// A lane's thread as its owner sees it.
pub struct Running {
    /// Asks it to stop.
    pub stop: CancellationToken,
    /// Answers once it has ended; breaks without an answer when it has crashed.
    pub ended: Receiver<Result<(), Failure>>,
    /// It was fenced. It may start again at that time, if the group says that the lane is still ours.
    pub fenced_until: Option<Instant>,
    /// How long it pauses when somebody takes it again.
    pub pause: Duration,
    /// It stays down until somebody does what this says. The other lanes go on.
    pub refused: Option<String>,
    /// When its thread was started.
    pub started: Instant,
}

impl Running {
    /// Starts a thread.
    pub fn start(shared: &Arc<Shared>, lane: Lane, runtime: &Handle) -> Self {
        let stop = CancellationToken::new();
        let (tell, ended) = channel();
        let (its_shared, its_stop, runtime) = (Arc::clone(shared), stop.clone(), runtime.clone());
        let thread = thread::Builder::new().name(format!("lane-{}", lane.number)).spawn(move || {
            let servers = Real::new(&its_shared, &lane, &runtime, &its_stop);
            // Nobody listens when the process ends; a panic drops the sender, which is heard.
            let _ = tell.send(run(&servers, &lane, &its_shared.rules, &its_shared.metrics));
        });
        if let Err(error) = thread {
            // The closure and its sender are gone: the lane is reported as crashed.
            tracing::error!("no thread for a lane: {error}");
        }
        let (fenced_until, pause, started) = (None, TAKEN_PAUSE_FIRST, Instant::now());
        Self { stop, ended, fenced_until, pause, refused: None, started }
    }

    /// Puts off its next start, if somebody else has taken it; for longer each time it has not lasted.
    pub fn fenced(&mut self, why: &Failure) {
        let now = Instant::now();
        if now - self.started > self.pause * 2 {
            self.pause = TAKEN_PAUSE_FIRST;
        }
        self.fenced_until = Some(now);
        if matches!(why, Failure::Taken(_)) {
            self.fenced_until = Some(now + self.pause);
            self.pause = (self.pause * 2).min(TAKEN_PAUSE_LAST);
        }
    }
}

/// Runs a lane until the stop. After any failure of Kafka it starts again from its journal.
///
/// # Errors
/// What starting again can't mend, or needs the group's consent.
fn run(servers: &impl Servers, lane: &Lane, rules: &Rules, metrics: &Metrics) -> Result<(), Failure> {
    while !servers.is_stopped() {
        let worked = Worker::start(servers, lane, rules, metrics).and_then(|mut worker| {
            servers.report(true, "");
            worker.work()
        });
        let failure = match worked {
            Ok(()) | Err(Failure::Stopped) => return Ok(()),
            Err(Failure::Fenced(why)) => taken_from(&rules.owner, servers, why),
            Err(failure) => failure,
        };
        servers.report(false, &failure.to_string());
        let Failure::Retry(why) = failure else { return Err(failure) };
        tracing::warn!(lane = lane.number, "the lane starts again from its journal: {why}");
        thread::sleep(PAUSE_AFTER_FAILURE);
    }
    Ok(())
}

/// Takes a lane for this program's schema, finishing the batch that was begun under another one: to be done for every
/// lane before tables change. Stores of the older schema don't go on after that.
///
/// # Errors
/// A server doesn't answer, the lane is taken, or another program has to finish the batch.
pub fn take_for_schema(
    servers: &impl Servers,
    lane: &Lane,
    rules: &Rules,
    metrics: &Metrics,
) -> Result<(), Failure> {
    let mut worker = Worker::start(servers, lane, rules, metrics)?;
    while worker.has_begun() {
        if servers.is_stopped() {
            return Err(Failure::Stopped);
        }
        worker.step()?;
    }
    Ok(())
}
