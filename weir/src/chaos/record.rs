//! What was done, how long it took to mend, and what the counts say at the end.

use super::installation::Component;
use super::schedule::{Fault, Kind, Target};
use crate::servers::supervise::Death;
use loadtest::verify::Report;
use std::fmt::{self, Write};
use std::time::{Duration, Instant};

/// Reason of a death that is ours.
const KILLED: &str = "killed by signal 9";

/// Everything that was done. Prints a line for each as it happens.
pub struct Record {
    began: Instant,
    entries: Vec<Entry>,
}

struct Entry {
    fault: Fault,
    recovery: Option<Duration>,
}

/// One fault of the record.
pub struct Struck(usize);

impl Record {
    /// Begins now.
    pub fn new() -> Self {
        Self { began: Instant::now(), entries: Vec::new() }
    }

    /// A fault begins.
    pub fn strikes(&mut self, fault: Fault, overlaps: bool) -> Struck {
        let with = if overlaps { ", overlapping" } else { "" };
        println!("{} #{:<3} {fault}{with}", self.time(), self.entries.len() + 1);
        self.entries.push(Entry { fault, recovery: None });
        Struck(self.entries.len() - 1)
    }

    /// So long after the last of these faults was over everybody was ready; `last` is what was said before.
    pub fn recovered(&mut self, struck: Vec<Struck>, recovery: Duration, last: &[String]) {
        let said = if last.is_empty() { String::new() } else { format!("; last {}", last.join("; ")) };
        println!("{}      all ready {:.1} s after that{said}", self.time(), recovery.as_secs_f64());
        for Struck(index) in struck {
            self.entries[index].recovery = Some(recovery);
        }
    }

    /// How many faults of a kind there were.
    pub fn count(&self, matches: impl Fn(Kind) -> bool) -> usize {
        self.entries.iter().filter(|entry| matches(entry.fault.kind)).count()
    }

    fn time(&self) -> String {
        format!("{:8.1} s", self.began.elapsed().as_secs_f64())
    }

    /// Faults, recoveries and their times by component; then who ended without having been killed.
    pub fn table(&self, components: &[Component]) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{:<12}{:>7}{:>8}{:>6}{:>11}{:>12}{:>9}{:>9}{:>17}",
            "component",
            "kills",
            "pauses",
            "away",
            "disk full",
            "recoveries",
            "median",
            "longest",
            "ended by itself"
        );
        for role in ["ingest", "processor", "store", "query-api", "kafka", "clickhouse"] {
            let ended = by_itself(components, role).count();
            let _ = writeln!(text, "{role:<12}{}{ended:>17}", self.row(role));
        }
        let deaths = components.iter().flat_map(|component| {
            let name = component.target.name();
            own_deaths(component).map(move |death| (name, death))
        });
        for (name, Death { at, why }) in deaths {
            let at = at.saturating_duration_since(self.began).as_secs_f64();
            let _ = writeln!(text, "  {name} {why} at {at:.1} s and was started again");
        }
        text
    }

    fn row(&self, role: &str) -> Row {
        let mut row = Row::default();
        for entry in self.entries.iter().filter(|entry| component(entry.fault.target) == role) {
            match entry.fault.kind {
                Kind::Kill => row.kills += 1,
                Kind::Pause(_) => row.pauses += 1,
                Kind::Away(_) => row.away += 1,
                Kind::DiskFull(_) => row.disk_full += 1,
            }
            row.recoveries.extend(entry.recovery);
        }
        row.recoveries.sort_unstable();
        row
    }
}

/// One component's line.
#[derive(Default)]
struct Row {
    kills: usize,
    pauses: usize,
    away: usize,
    disk_full: usize,
    recoveries: Vec<Duration>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, pauses, away, disk_full, recoveries } = self;
        let seconds = |time: Option<&Duration>| {
            time.map_or("-".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()))
        };
        let (median, longest) = (recoveries.get(recoveries.len() / 2), recoveries.last());
        let (median, longest, times) = (seconds(median), seconds(longest), recoveries.len());
        write!(f, "{kills:>7}{pauses:>8}{away:>6}{disk_full:>11}{times:>12}{median:>9}{longest:>9}")
    }
}

/// A line for each place that was compared: what is lost, what is there twice, and what differs otherwise.
pub fn differences(report: &Report) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:<52}{:>9}{:>7}{:>9}{:>8}",
        "compared with the truth", "counts", "lost", "doubled", "differ"
    );
    for check in &report.checks {
        let (place, differing) = (&check.place, check.differences.len());
        let _ = writeln!(
            text,
            "{place:<52}{:>9}{:>7}{:>9}{differing:>8}",
            check.compared, check.lost, check.doubled
        );
    }
    text
}

fn component(target: Target) -> &'static str {
    match target {
        Target::Processor(_) => "processor",
        _ => target.name(),
    }
}

fn by_itself(components: &[Component], role: &str) -> impl Iterator<Item = Death> {
    components.iter().filter(move |found| component(found.target) == role).flat_map(own_deaths)
}

/// Ends that nobody has caused by a kill.
fn own_deaths(component: &Component) -> impl Iterator<Item = Death> {
    component.handle.deaths().into_iter().filter(|death| death.why != KILLED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_recoveries_and_their_times_are_told_by_component() {
        let mut record = Record::new();
        for (kind, target, recovery) in [
            (Kind::Kill, Target::Processor(0), 2),
            (Kind::Kill, Target::Processor(1), 4),
            (Kind::Pause(Duration::from_secs(8)), Target::Processor(1), 9),
            (Kind::Kill, Target::Store, 1),
        ] {
            let fault = Fault { kind, target, after: Duration::ZERO };
            let struck = record.strikes(fault, false);
            record.recovered(vec![struck], Duration::from_secs(recovery), &[]);
        }
        let words = |role| record.row(role).to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words("processor"), "2 1 0 0 3 4.0 s 9.0 s");
        assert_eq!(words("store"), "1 0 0 0 1 1.0 s 1.0 s");
        assert_eq!(words("kafka"), "0 0 0 0 0 - -");
        assert_eq!(record.count(|kind| kind == Kind::Kill), 3);
    }

    #[test]
    fn a_fault_that_is_not_mended_is_no_recovery() {
        let mut record = Record::new();
        let _ =
            record.strikes(Fault { kind: Kind::Kill, target: Target::Store, after: Duration::ZERO }, false);
        assert!(record.row("store").recoveries.is_empty());
    }
}
