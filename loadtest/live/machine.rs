//! What the benchmark asks of the machine: many open sockets, and a core for each side.

use anyhow::Context as _;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Files that are open beside the sockets: libraries, logs, Kafka's connections.
const OTHER_FILES: u64 = 200;

/// Lets this process and those it starts have so many sockets.
pub fn allow_sockets(sockets: usize) -> anyhow::Result<()> {
    let needed = sockets as u64 + OTHER_FILES;
    let most = process::allow_open_files(needed);
    anyhow::ensure!(
        needed <= most,
        "{sockets} subscribers need {needed} open files, but the hard limit is {most}: raise it (ulimit -Hn) or \
         take fewer with --subscribers"
    );
    Ok(())
}

/// One core for the server, the others for everybody else of the benchmark.
pub struct Cores {
    all: CpuSet,
    server: CpuSet,
    others: CpuSet,
}

impl Cores {
    /// The last one of those that this process may use is the server's.
    pub fn divide() -> anyhow::Result<Self> {
        let all = sched_getaffinity(None)?;
        let mut others = all;
        let last = (0..CpuSet::MAX_CPU).rfind(|core| others.is_set(*core)).context("there is no core")?;
        anyhow::ensure!(others.count() > 1, "the server and its subscribers need a core each");
        others.unset(last);
        let mut server = CpuSet::new();
        server.set(last);
        sched_setaffinity(None, &others)?;
        Ok(Self { all, server, others })
    }

    /// What is started meanwhile runs on the server's core.
    pub fn of_server<T>(&self, start: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        sched_setaffinity(None, &self.server)?;
        let started = start();
        sched_setaffinity(None, &self.others)?;
        started
    }

    /// All cores for everybody again.
    pub fn unite(self) -> anyhow::Result<()> {
        Ok(sched_setaffinity(None, &self.all)?)
    }
}
