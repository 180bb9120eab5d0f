//! What came out, as a table and as JSON.

use crate::dashboards::Dashboards;
use crate::river::River;
use crate::subscribers::{Quantiles, Seen};
use serde::Serialize;
use std::fmt;

/// Everything measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Results {
    fan_outs: Vec<FanOut>,
    rivers: Vec<Rivers>,
    dashboards: Option<Dashboards>,
}

impl Results {
    pub fn add_fan_out(&mut self, fan_out: FanOut) {
        println!("\n{fan_out}");
        self.fan_outs.push(fan_out);
    }

    pub fn add_rivers(&mut self, rivers: Rivers) {
        println!("\n{rivers}");
        self.rivers.push(rivers);
    }

    pub fn add_dashboards(&mut self, dashboards: Dashboards) {
        println!("\n{dashboards}");
        self.dashboards = Some(dashboards);
    }
}

/// One run of many subscribers.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    pub frames_a_second: f64,
    pub frame_bytes: f64,
    /// Frames a second of one subscriber.
    pub updates_a_second: f64,
    /// User and system time of the server, a frame.
    pub cpu_us: f64,
    /// How much of a core the server …
    pub core_share: f64,
    /// … and the subscribers took.
    pub client_core_share: f64,
    /// Most memory the server has had.
    pub peak_mib: f64,
    /// Backlogs that became snapshots.
    pub coalesced: f64,
    /// Sockets that were closed because nobody read.
    pub slow: f64,
    pub seen: Seen,
}

/// The runs of one shape.
#[derive(Clone, Debug, Serialize)]
pub struct FanOut {
    pub subscribers: usize,
    pub groups: usize,
    pub runs: Vec<Run>,
}

impl FanOut {
    fn median(&self, of: impl Fn(&Run) -> f64) -> f64 {
        median(self.runs.iter().map(of).collect())
    }

    fn sum(&self, of: impl Fn(&Run) -> u64) -> u64 {
        self.runs.iter().map(of).sum()
    }
}

impl fmt::Display for FanOut {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            to,
            "{} subscribers, {} filters, medians of {} runs: {:.0} frames/s of {:.0} bytes, {:.2} a second for each; \
             all had a snapshot after {:.1} s",
            self.subscribers,
            self.groups,
            self.runs.len(),
            self.median(|run| run.frames_a_second),
            self.median(|run| run.frame_bytes),
            self.median(|run| run.updates_a_second),
            self.median(|run| run.seen.connected_s),
        )?;
        let quantiles = |of: fn(&Seen) -> Quantiles| {
            format!(
                "p50 {:.0}, p99 {:.0}, most {:.0} ms",
                self.median(|run| of(&run.seen).p50),
                self.median(|run| of(&run.seen).p99),
                self.median(|run| of(&run.seen).most)
            )
        };
        writeln!(to, "  numbers taken → frame here   {}", quantiles(|seen| seen.delivery_ms))?;
        writeln!(to, "  commit written → frame here  {}", quantiles(|seen| seen.since_commit_ms))?;
        writeln!(
            to,
            "  server: {:.1} µs CPU a frame, {:.0} % of its core, {:.0} MiB at most; subscribers: {:.0} % of theirs",
            self.median(|run| run.cpu_us),
            self.median(|run| run.core_share) * 100.0,
            self.median(|run| run.peak_mib),
            self.median(|run| run.client_core_share) * 100.0,
        )?;
        writeln!(
            to,
            "  in all runs: {} frames missed, {} snapshots in place of backlogs, {} sockets closed",
            self.sum(|run| run.seen.missed),
            self.sum(|run| run.seen.snapshots),
            self.sum(|run| run.seen.closed),
        )
    }
}

/// The runs of the river.
#[derive(Clone, Debug, Serialize)]
pub struct Rivers {
    /// Spans a second that were meant to be written.
    pub rate: u64,
    pub runs: Vec<River>,
}

impl Rivers {
    fn median(&self, of: impl Fn(&River) -> f64) -> f64 {
        median(self.runs.iter().map(of).collect())
    }
}

impl fmt::Display for Rivers {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            to,
            "{} spans/s, medians of {} runs: the processor read {:.0} spans/s at {:.2} µs CPU each, the query-api took \
             {:.0} % of a core; {:.0} spans were followed",
            self.rate,
            self.runs.len(),
            self.median(|run| run.spans_a_second),
            self.median(|run| run.processor_us),
            self.median(|run| run.api_core_share) * 100.0,
            self.median(|run| run.probes as f64),
        )?;
        let names = [
            "span written → frame here",
            "  until it was committed",
            "  until its numbers were taken",
            "  until the frame was here",
        ];
        for (stage, name) in names.into_iter().enumerate() {
            let median = |of: fn(Quantiles) -> f64| self.median(|run| of(run.stages()[stage]));
            writeln!(
                to,
                "  {name:<32} p50 {:>4.0}, p99 {:>4.0}, most {:>4.0} ms",
                median(|times| times.p50),
                median(|times| times.p99),
                median(|times| times.most),
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Dashboards {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dashboards { people, seconds, core_share, memory_mib, seen } = self;
        let of = |times: Quantiles| {
            format!("p50 {:.0}, p99 {:.0}, most {:.0} ms", times.p50, times.p99, times.most)
        };
        let (each_s, mib) = (*seconds as f64, 1_f64 / (1 << 20) as f64);
        writeln!(
            to,
            "{people} dashboards on one core, {seconds} s: {:.1} filter changes/s, {:.0} frames/s, {:.1} MiB/s; {:.0} % of \
             the core",
            seen.changes as f64 / each_s,
            seen.frames as f64 / each_s,
            seen.bytes as f64 * mib / each_s,
            core_share * 100.0
        )?;
        writeln!(to, "  filter changed → graph here  {}", of(seen.answer_ms))?;
        writeln!(to, "  numbers taken → delta here   {}", of(seen.delivery_ms))?;
        writeln!(
            to,
            "  changed before the graph came: {}, sockets closed: {}",
            seen.unanswered, seen.closed
        )?;
        let memory: Vec<String> = memory_mib.iter().map(|mib| format!("{mib:.0}")).collect();
        writeln!(to, "  server's memory, every 10 s: {} MiB", memory.join(" "))
    }
}

/// Of an even number the lower one of the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
