//! What others may do to a supervised child, and what has become of its lives: for whoever proves that Weir survives
//! the loss of any process.

use super::child::send;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Deaths that are remembered; more than one every few seconds is a loop whose beginning tells enough.
const REMEMBERED: usize = 1_000;

/// A child seen from outside. Clones mean the same child, and all its lives.
#[derive(Clone, Debug)]
pub struct Handle {
    name: &'static str,
    // The supervisor learns on its thread that the process is gone, others send signals from theirs: under one lock
    // no signal can reach a stranger that was given the number of a process that has just been waited for.
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    process: Option<libc::pid_t>,
    held: bool,
    deaths: VecDeque<Death>,
}

/// One end of a child that it was not asked for by its supervisor.
#[derive(Clone, Debug)]
pub struct Death {
    /// When it was noticed.
    pub at: Instant,
    /// `killed by signal 9`, `ended with exit code 1`.
    pub why: String,
}

impl Handle {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, state: Arc::default() }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// SIGKILL; false when there is no process at the moment.
    pub fn kill(&self) -> bool {
        self.signal(libc::SIGKILL)
    }

    /// SIGSTOP: the process stands still and keeps its connections; false when there is none.
    pub fn pause(&self) -> bool {
        self.signal(libc::SIGSTOP)
    }

    /// SIGCONT, after [`Handle::pause`].
    pub fn resume(&self) -> bool {
        self.signal(libc::SIGCONT)
    }

    /// From now on it is not started again when it ends.
    pub fn hold(&self) {
        self.state().held = true;
    }

    /// Ends [`Handle::hold`].
    pub fn release(&self) {
        self.state().held = false;
    }

    /// How its lives ended, oldest first.
    pub fn deaths(&self) -> Vec<Death> {
        self.state().deaths.iter().cloned().collect()
    }

    pub(super) fn is_held(&self) -> bool {
        self.state().held
    }

    /// A life begins.
    pub(super) fn lives(&self, process: u32) {
        self.state().process = libc::pid_t::try_from(process).ok();
    }

    /// A life is about to end, or has: nobody may send a signal any more.
    pub(super) fn ends(&self) {
        self.state().process = None;
    }

    /// Runs `wait`; an answer means that the process has been waited for and is no more.
    pub(super) fn waits<T>(
        &self,
        wait: impl FnOnce() -> std::io::Result<Option<T>>,
    ) -> std::io::Result<Option<T>> {
        let mut state = self.state();
        let ended = wait()?;
        if ended.is_some() {
            state.process = None;
        }
        Ok(ended)
    }

    pub(super) fn died(&self, why: &str) {
        let mut state = self.state();
        if state.deaths.len() >= REMEMBERED {
            state.deaths.pop_front();
        }
        state.deaths.push_back(Death { at: Instant::now(), why: why.to_owned() });
    }

    fn signal(&self, signal: libc::c_int) -> bool {
        let state = self.state();
        state.process.is_some_and(|process| send(process, signal))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
