//! A process that is measured from outside.

use anyhow::Context as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

/// How long a run may take.
const LIMIT: Duration = Duration::from_secs(900);
/// Between two looks at a process; each costs it an answer.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// A collector with 5,000 services writes a page of a million lines.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time of all its threads.
    pub cpu: Duration,
    /// Since it was started.
    pub wall: Duration,
    /// Resident memory now …
    pub memory_kib: u64,
    /// … and at most.
    pub peak_kib: u64,
}

/// It doesn't outlive this.
pub struct Process {
    child: Child,
    began: Instant,
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// There is no such program.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let began = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("{} can't be started", command.get_program().display()))?;
        Ok(Self { child, began })
    }

    /// What it has used, as the kernel accounts it: time in steps of 10 ms.
    ///
    /// # Errors
    /// It has ended.
    pub fn usage(&mut self) -> anyhow::Result<Usage> {
        self.assert_running()?;
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id()));
        let (stat, status) = (read("stat")?, read("status")?);
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|kib| kib.trim().trim_end_matches(" kB").parse().ok()).context("no memory is told")
        };
        Ok(Usage {
            cpu: Duration::from_millis(ticks * 10),
            wall: self.began.elapsed(),
            memory_kib: kib("VmRSS:")?,
            peak_kib: kib("VmHWM:")?,
        })
    }

    /// Asks again and again until it is so.
    ///
    /// # Errors
    /// It has ended, or it takes too long.
    pub fn wait_until(&mut self, what: &str, mut is_so: impl FnMut() -> bool) -> anyhow::Result<()> {
        while !is_so() {
            self.assert_running()?;
            anyhow::ensure!(self.began.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Its standard output.
    pub fn output(&mut self) -> anyhow::Result<std::process::ChildStdout> {
        self.child.stdout.take().context("its output is not kept")
    }

    fn assert_running(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => anyhow::bail!("it has ended by itself: {status}"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that nobody listens on.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The page of metrics at an address.
///
/// # Errors
/// Nobody answers there, or not with metrics.
pub fn metrics(address: SocketAddr) -> anyhow::Result<String> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(ANSWER_WITHIN))?;
    connection.write_all(b"GET /metrics HTTP/1.0\r\nAccept: text/plain\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("this is not HTTP")?;
    anyhow::ensure!(head.lines().next().is_some_and(|line| line.contains(" 200 ")), "{head}");
    Ok(body.to_owned())
}

/// One line of a page of metrics.
#[derive(Debug, PartialEq)]
pub struct Sample<'a> {
    labels: Vec<(&'a str, String)>,
    /// What it says.
    pub value: f64,
}

impl Sample<'_> {
    /// The value of a label; "" if it has none.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| *label == name).map_or("", |(_, value)| value)
    }
}

/// The lines of one metric.
pub fn samples<'a>(page: &'a str, name: &'a str) -> impl Iterator<Item = Sample<'a>> {
    page.lines().filter_map(move |line| sample(line.strip_prefix(name)?))
}

/// What the lines of a metric add up to.
pub fn sum(page: &str, name: &str) -> f64 {
    samples(page, name).map(|sample| sample.value).sum()
}

/// The rest of a line after the name: labels, if there are any, and the value.
fn sample(rest: &str) -> Option<Sample<'_>> {
    let mut labels = Vec::new();
    let mut rest = match rest.strip_prefix('{') {
        None => rest.strip_prefix(' ')?,
        Some(mut rest) => loop {
            if let Some(after) = rest.strip_prefix("} ") {
                break after;
            }
            let (label, quoted) = rest.trim_start_matches(',').split_once("=\"")?;
            let mut is_escaped = false;
            let end = quoted.find(|letter| {
                let is_end = letter == '"' && !is_escaped;
                is_escaped = letter == '\\' && !is_escaped;
                is_end
            })?;
            labels.push((label, quoted[..end].replace("\\\"", "\"").replace("\\\\", "\\")));
            rest = &quoted[end + 1..];
        },
    };
    rest = rest.split(' ').next()?;
    Some(Sample { labels, value: rest.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_metrics_is_read() {
        let page = "# TYPE calls_total counter\ncalls_total{job=\"a\",name=\"GET /v2/{id}, \\\"x\\\"\"} 1.8e+06\n\
                    calls_total{job=\"b\"} 2 1790000000\ncalls_total_more 5\ncalls 7\n";
        let found: Vec<_> = samples(page, "calls_total").collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].label("job"), found[0].value), ("a", 1_800_000.0));
        assert_eq!((found[0].label("name"), found[0].label("none")), ("GET /v2/{id}, \"x\"", ""));
        assert_eq!((sum(page, "calls_total"), sum(page, "calls"), sum(page, "no")), (1_800_002.0, 7.0, 0.0));
    }

    #[test]
    fn a_process_is_measured_and_its_end_is_noticed() {
        let mut busy = Process::start(Command::new("sh").args(["-c", "while :; do :; done"])).unwrap();
        let mut usage = Usage::default();
        busy.wait_until("it has worked", || true).unwrap();
        while usage.cpu < Duration::from_millis(50) {
            usage = busy.usage().unwrap();
        }
        assert!(usage.wall >= usage.cpu && usage.peak_kib >= usage.memory_kib && usage.memory_kib > 0);
        let mut over = Process::start(&mut Command::new("true")).unwrap();
        assert!(over.wait_until("it goes on", || false).is_err());
        assert!(over.usage().is_err());
    }
}
