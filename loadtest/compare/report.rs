//! What came out, as a table and as JSON.

use serde::Serialize;
use std::fmt;

/// One process reading a topic once.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// User and system time, µs a span, without what a start on an empty topic takes.
    pub cpu_us: f64,
    /// By the clock, with the start.
    pub wall_s: f64,
    /// Most memory it has had.
    pub peak_mib: f64,
    /// Weir: `cpu_us` when all flows were closed.
    pub until_closed_us: Option<f64>,
    /// Weir: spans in open traces when the last span was committed.
    pub open_spans: Option<u64>,
    /// Weir: what memory it had then, beyond that of a start, divided by them.
    pub bytes_an_open_span: Option<f64>,
}

/// What a subject took.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Who.
    pub subject: &'static str,
    /// CPU time of a start on an empty topic.
    pub start_s: f64,
    /// In turn with the other subjects'.
    pub runs: Vec<Run>,
}

/// What all subjects took on the same topic.
#[derive(Clone, Debug, Serialize)]
pub struct Column {
    /// Of the scene.
    pub name: &'static str,
    /// In words.
    pub what: String,
    pub spans: u64,
    pub messages_log_s: f64,
    /// Before compression.
    pub bytes_a_span: f64,
    pub rows: Vec<Row>,
}

/// What several runs say.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let last = sorted.len().saturating_sub(1);
        // Of an even number the lower one of the middle.
        Self { least: at(0), median: at(last / 2), most: at(last) }
    }
}

impl Row {
    fn spread(&self, of: fn(&Run) -> Option<f64>) -> Spread {
        Spread::of(self.runs.iter().filter_map(of))
    }

    fn cpu(&self) -> Spread {
        self.spread(|run| Some(run.cpu_us))
    }
}

impl Column {
    fn row(&self, subject: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.subject == subject)
    }
}

impl fmt::Display for Column {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            to,
            "{}: {} spans of {:.0} bytes, {}; written in {:.0} s",
            self.name, self.spans, self.bytes_a_span, self.what, self.messages_log_s
        )?;
        writeln!(
            to,
            "  {:<28} {:>8} {:>17} {:>9} {:>8} {:>8} {:>7} {:>8} {:>11} {:>11}",
            "",
            "CPU µs",
            "(least – most)",
            "÷ floor",
            "÷ Weir",
            "MiB",
            "wall s",
            "start s",
            "until closed",
            "B/open span"
        )?;
        let median = |subject: &str| self.row(subject).map_or(f64::NAN, |row| row.cpu().median);
        for row in &self.rows {
            let cpu = row.cpu();
            let maybe = |of: fn(&Run) -> Option<f64>, digits: usize| {
                let median = row.spread(of).median;
                if median.is_nan() { String::new() } else { format!("{median:.digits$}") }
            };
            writeln!(
                to,
                "  {:<28} {:>8.3} {:>17} {:>9.2} {:>8.2} {:>8.0} {:>7.1} {:>8.2} {:>11} {:>11}",
                row.subject,
                cpu.median,
                format!("({:.3} – {:.3})", cpu.least, cpu.most),
                cpu.median / median("floor"),
                cpu.median / median("weir"),
                row.spread(|run| Some(run.peak_mib)).median,
                row.spread(|run| Some(run.wall_s)).median,
                row.start_s,
                maybe(|run| run.until_closed_us, 3),
                maybe(|run| run.bytes_an_open_span, 0),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_none_of_the_extremes() {
        let spread = Spread::of([3.0, 1.0, 9.0].into_iter());
        assert_eq!(spread, Spread { least: 1.0, median: 3.0, most: 9.0 });
        assert!(Spread::of(std::iter::empty()).median.is_nan());
    }
}
