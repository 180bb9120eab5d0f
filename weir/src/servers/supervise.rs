//! A child process that is kept alive: started, asked for its health, restarted when it dies, stopped on demand.

mod child;
mod handle;

pub use handle::{Death, Handle};

use anyhow::{Context, bail};
use child::{describe, die_with_parent, kill, terminate};
use process::Health;
use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What to run and how to know that it works.
pub struct Server {
    /// Name in messages and in [`Health`].
    pub name: &'static str,
    /// Builds the command anew for every start.
    pub command: Box<dyn Fn() -> Command + Send>,
    /// Asks the server whether it works.
    pub check: Box<dyn Fn() -> Result<(), String> + Send>,
    /// Where its standard output and error go.
    pub output: PathBuf,
    /// How long to wait for what.
    pub limits: Limits,
}

/// Times of supervision.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A started child must answer within this; a JVM on a busy machine may need most of it.
    pub answer_within: Duration,
    /// A child that worked and then is silent for this long is killed and started again.
    pub silent_for: Duration,
    /// After SIGTERM and this long, SIGKILL.
    pub stop_within: Duration,
    /// A server that never worked is given up after this many starts.
    pub first_starts: u32,
    /// Longest pause before a restart.
    pub longest_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            answer_within: Duration::from_secs(120),
            silent_for: Duration::from_secs(60),
            stop_within: Duration::from_secs(20),
            first_starts: 3,
            longest_pause: Duration::from_secs(30),
        }
    }
}

/// A supervised server; dropping it stops the child.
pub struct Supervised {
    handle: Handle,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Supervised {
    /// Starts supervision on a thread of its own. Its part of `health` turns ready with the child's first answer.
    pub fn start(server: Server, health: Health) -> anyhow::Result<Self> {
        health.ready(server.name, false, "starting");
        let handle = Handle::new(server.name);
        let keeper_handle = handle.clone();
        let (stop, stopped) = channel();
        // The kernel sends a child its parent-death signal when the *thread* that started it ends, so the child's
        // whole life must pass on one thread; those of tokio's pools come and go.
        let thread = std::thread::Builder::new()
            .name(format!("supervise-{}", server.name))
            .spawn(move || Keeper { server, health, handle: keeper_handle, stopped }.run())?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// What others may do to the child.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Whether supervision has given up.
    pub fn gave_up(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops the child and tells why supervision ended, if it did so by itself.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        drop(self.stop.take());
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => bail!("the supervisor panicked"),
            None => Ok(()),
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // Whoever wanted to know the outcome has called `stop`.
        let _ = self.stop();
    }
}

/// How often a server that is held down looks whether it may start.
const HELD_LOOK: Duration = Duration::from_millis(100);
/// Output of earlier lives that is kept for whoever asks why one of them ended.
const KEPT_OUTPUT: u64 = 16 << 20;

/// The state of the supervising thread.
struct Keeper {
    server: Server,
    health: Health,
    handle: Handle,
    stopped: Receiver<()>,
}

/// How a child's life ended.
enum End {
    Asked,
    Died { why: String, worked_for: Option<Duration> },
}

impl Keeper {
    fn run(self) -> anyhow::Result<()> {
        let name = self.server.name;
        let mut has_worked = false;
        let mut failures = 0;
        loop {
            while self.handle.is_held() {
                self.health.ready(name, false, "held down");
                if self.asked_to_stop(HELD_LOOK) {
                    return Ok(());
                }
            }
            match self.one_life().or_else(|error| self.not_started(error, has_worked))? {
                End::Asked => return Ok(()),
                End::Died { why, worked_for } => {
                    has_worked |= worked_for.is_some();
                    failures = if worked_for.is_some_and(|time| time > Duration::from_secs(60)) {
                        1
                    } else {
                        failures + 1
                    };
                    self.health.ready(name, false, &why);
                    self.handle.died(&why);
                    if !has_worked && failures >= self.server.limits.first_starts {
                        bail!("{name} does not start: {why}\n{}", last_lines(&self.server.output));
                    }
                    tracing::warn!(server = name, why, failures, "server died; it is started again");
                }
            }
            if self.asked_to_stop(pause(failures, self.server.limits.longest_pause)) {
                return Ok(());
            }
        }
    }

    /// A server that has worked is tried again whatever kept it from starting: a full disk is emptied some day.
    fn not_started(&self, error: anyhow::Error, has_worked: bool) -> anyhow::Result<End> {
        if !has_worked {
            return Err(error);
        }
        Ok(died(format!("{error:#}"), None))
    }

    fn one_life(&self) -> anyhow::Result<End> {
        let mut child = self.spawn()?;
        let started = Instant::now();
        let mut worked_since: Option<Instant> = None;
        let mut answered = started;
        loop {
            if let Some(status) = self.handle.waits(|| child.try_wait())? {
                return Ok(died(describe(status), worked_since));
            }
            let patience = match (self.server.check)() {
                Ok(()) => {
                    answered = Instant::now();
                    worked_since.get_or_insert(answered);
                    self.health.ready(self.server.name, true, "");
                    Duration::from_secs(1)
                }
                Err(why) => {
                    self.health.ready(self.server.name, false, &why);
                    let limits = self.server.limits;
                    let allowed =
                        if worked_since.is_some() { limits.silent_for } else { limits.answer_within };
                    if answered.elapsed() > allowed {
                        self.handle.ends();
                        kill(&mut child);
                        return Ok(died(format!("{why} for {} s", allowed.as_secs()), worked_since));
                    }
                    Duration::from_millis(100)
                }
            };
            if self.asked_to_stop(patience) {
                self.handle.ends();
                terminate(self.server.name, &mut child, self.server.limits.stop_within);
                return Ok(End::Asked);
            }
        }
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let Server { name, output, .. } = &self.server;
        let log = open_output(output).with_context(|| format!("can't write {}", output.display()))?;
        let mut command = (self.server.command)();
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // In its own folder: ours may be removed while we run, and ClickHouse doesn't start in one that is gone.
        command.current_dir(output.parent().unwrap_or(Path::new("/")));
        // A group of its own: Ctrl-C reaches us alone, and the roles drain before their servers go.
        command.process_group(0);
        die_with_parent(&mut command);
        let child = command.spawn().with_context(|| format!("can't start {name}"))?;
        self.handle.lives(child.id());
        self.tell_process(child.id());
        tracing::info!(server = name, process = child.id(), "server started");
        Ok(child)
    }

    /// Writes the file that tells others the process's number. A disk without room must not end the server with it.
    fn tell_process(&self, process: u32) {
        let file = self.server.output.with_extension("pid");
        if let Err(error) = write_whole(&file, &format!("{process}\n")) {
            tracing::warn!(server = self.server.name, %error, "{} can't be written", file.display());
        }
    }

    /// Waits for the stop, at most this long.
    fn asked_to_stop(&self, patience: Duration) -> bool {
        !matches!(self.stopped.recv_timeout(patience), Err(RecvTimeoutError::Timeout))
    }
}

/// Goes on behind the output of earlier lives, so that a restart doesn't wipe out why it was needed.
fn open_output(path: &Path) -> std::io::Result<File> {
    let grown = std::fs::metadata(path).is_ok_and(|file| file.len() > KEPT_OUTPUT);
    if grown {
        return File::create(path);
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// Writes a file that readers see either as it was or complete.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let scratch = path.with_extension("new");
    std::fs::write(&scratch, text)?;
    std::fs::rename(scratch, path)
}

fn died(why: String, worked_since: Option<Instant>) -> End {
    End::Died { why, worked_for: worked_since.map(|since| since.elapsed()) }
}

/// 0.5 s, 1 s, 2 s … up to the longest.
fn pause(failures: u32, longest: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(10);
    (Duration::from_millis(500) * 2_u32.pow(doublings)).min(longest)
}

fn last_lines(path: &Path) -> String {
    const SHOWN: usize = 12;
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(16_384)..]).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    format!("{}\n(from {})", lines[lines.len().saturating_sub(SHOWN)..].join("\n"), path.display())
}

#[cfg(test)]
mod tests;
