//! A child process and the signals that end it.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// How a process ended.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// SIGTERM, and SIGKILL if that does not end it in time.
pub fn terminate(name: &str, child: &mut Child, within: Duration) {
    signal(child, libc::SIGTERM);
    let asked = Instant::now();
    while asked.elapsed() < within {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    tracing::warn!(server = name, "server did not stop in time; it is killed");
    kill(child);
}

/// SIGKILL.
pub fn kill(child: &mut Child) {
    // An error means that it has ended already, and then there is nothing to wait for either.
    let _ = child.kill();
    let _ = child.wait();
}

fn signal(child: &Child, signal: libc::c_int) {
    // The id is ours: the child has not been waited for, so it can't be reused.
    let Ok(id) = libc::pid_t::try_from(child.id()) else { return };
    send(id, signal);
}

/// Sends a signal; whether there was a process to take it.
#[allow(unsafe_code)] // std can only kill; a clean stop needs SIGTERM
pub fn send(process: libc::pid_t, signal: libc::c_int) -> bool {
    // SAFETY: kill has no preconditions.
    unsafe { libc::kill(process, signal) == 0 }
}

/// SIGKILL to the child when we end in whatever way: both servers recover from that, while one left alone would keep
/// its ports and its files from the next start.
#[allow(unsafe_code)] // only a call between fork and exec can arm the signal
pub fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let arm = move || {
        // SAFETY: prctl and getppid are async-signal-safe and take plain numbers.
        let (armed, now) = unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), libc::getppid()) };
        // The parent may have died before the signal was armed.
        if armed != 0 || u32::try_from(now) != Ok(parent) {
            return Err(std::io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(())
    };
    // SAFETY: the closure allocates nothing, takes no locks and calls only async-signal-safe functions.
    unsafe { command.pre_exec(arm) };
}
