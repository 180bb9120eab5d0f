//! What came out, as tables and as JSON.

use crate::measured::Usage;
use crate::weir;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// Subjects that others are compared with.
pub const FLOOR: &str = "floor";
/// The product.
pub const WEIR: &str = "weir";

const MIB: f64 = 1_048_576.0;

/// One process reading a topic once.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Run {
    /// User and system time, µs a span, without what a start on an empty topic takes.
    pub cpu_us: f64,
    /// By the clock, with the start.
    pub wall_s: f64,
    /// Most memory it has had.
    pub peak_mib: f64,
    /// Memory when all was read, beyond that of a start.
    pub memory_mib: f64,
    /// Weir: `cpu_us` when all flows were closed.
    pub until_closed_us: Option<f64>,
    /// Weir: spans in open traces when the last span was committed.
    pub open_spans: Option<u64>,
    /// Weir: how often a limit of a shard changed what it did.
    pub limited: Option<u64>,
    /// Weir: how often a shard started again.
    pub restarts: Option<u64>,
}

impl Run {
    /// One of Weir's.
    pub fn of_weir(seen: &weir::Run, start: Usage, spans: u64) -> Self {
        Self {
            until_closed_us: Some(Self::of(&seen.closed, start, spans).cpu_us),
            open_spans: Some(seen.open_spans),
            limited: Some(seen.limited),
            restarts: Some(seen.restarts),
            ..Self::of(&seen.committed, start, spans)
        }
    }

    /// What was used for so many spans since a start.
    pub fn of(usage: &Usage, start: Usage, spans: u64) -> Self {
        Self {
            cpu_us: usage.cpu.saturating_sub(start.cpu).as_secs_f64() * 1e6 / spans as f64,
            wall_s: usage.wall.as_secs_f64(),
            peak_mib: usage.peak_kib as f64 / 1024.0,
            memory_mib: usage.memory_kib.saturating_sub(start.memory_kib) as f64 / 1024.0,
            ..Self::default()
        }
    }
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
    /// What they say together.
    pub conclusion: Option<Conclusion>,
}

/// Several runs in one: medians, where nothing else is said.
#[derive(Clone, Debug, Serialize)]
pub struct Conclusion {
    /// µs a span.
    pub cpu_us: Spread,
    /// CPU time as a multiple of the floor's …
    pub to_floor: Option<f64>,
    /// … and of Weir's, by round: what ran in turn is compared.
    pub to_weir: Option<f64>,
    pub peak_mib: f64,
    pub wall_s: f64,
    pub until_closed_us: Option<f64>,
    pub open_spans: Option<f64>,
    /// When all was read, beyond that of a start …
    pub memory_mib: f64,
    /// … and divided by the open spans, if all flows stay open.
    pub bytes_an_open_span: Option<f64>,
    pub limited: Option<f64>,
    pub restarts: Option<f64>,
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
    /// All flows stay open, so that memory can be divided by their spans.
    pub is_about_memory: bool,
    pub rows: Vec<Row>,
}

/// What several runs say.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    /// Of no runs there is none.
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        // Of an even number the lower one of the middle.
        Some(Self { least: sorted[0], median: sorted[last / 2], most: sorted[last] })
    }
}

impl Row {
    /// Nothing was run yet.
    pub fn new(subject: &'static str, start: Duration) -> Self {
        Self { subject, start_s: start.as_secs_f64(), runs: Vec::new(), conclusion: None }
    }

    fn median(&self, of: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
        Some(Spread::of(self.runs.iter().filter_map(of))?.median)
    }

    fn times(&self, other: Option<&Self>) -> Option<f64> {
        let rounds = self.runs.iter().zip(&other?.runs);
        Some(Spread::of(rounds.map(|(own, other)| own.cpu_us / other.cpu_us))?.median)
    }

    fn conclusion(&self, column: &Column) -> Option<Conclusion> {
        let bytes = |run: &Run| Some(run.memory_mib * MIB / run.open_spans? as f64);
        Some(Conclusion {
            cpu_us: Spread::of(self.runs.iter().map(|run| run.cpu_us))?,
            to_floor: self.times(column.row(FLOOR)),
            to_weir: self.times(column.row(WEIR)),
            peak_mib: self.median(|run| Some(run.peak_mib))?,
            wall_s: self.median(|run| Some(run.wall_s))?,
            until_closed_us: self.median(|run| run.until_closed_us),
            open_spans: self.median(|run| Some(run.open_spans? as f64)),
            memory_mib: self.median(|run| Some(run.memory_mib))?,
            bytes_an_open_span: self.median(bytes).filter(|_| column.is_about_memory),
            limited: self.median(|run| Some(run.limited? as f64)),
            restarts: self.median(|run| Some(run.restarts? as f64)),
        })
    }
}

impl Conclusion {
    /// What memory grew by for each open span more than before: without what doesn't depend on them.
    fn bytes_an_open_span_since(&self, before: &Self) -> Option<f64> {
        let spans = self.open_spans? - before.open_spans?;
        (spans > 0.0).then(|| (self.memory_mib - before.memory_mib) * MIB / spans)
    }
}

impl Column {
    /// Sums up the runs of every row.
    pub fn conclude(&mut self) {
        let conclusions: Vec<_> = self.rows.iter().map(|row| row.conclusion(self)).collect();
        for (row, conclusion) in self.rows.iter_mut().zip(conclusions) {
            row.conclusion = conclusion;
        }
    }

    fn row(&self, subject: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.subject == subject)
    }

    fn of(&self, subject: &str) -> Option<&Conclusion> {
        self.row(subject)?.conclusion.as_ref()
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
            "  {:<28} {:>8} {:>17} {:>9} {:>8} {:>8} {:>7} {:>8} {:>12} {:>10} {:>11} {:>7} {:>8}",
            "",
            "CPU µs",
            "(least – most)",
            "÷ floor",
            "÷ Weir",
            "MiB",
            "wall s",
            "start s",
            "until closed",
            "open spans",
            "B/open span",
            "limited",
            "restarts"
        )?;
        for row in &self.rows {
            let Some(said) = &row.conclusion else { continue };
            let cpu = said.cpu_us;
            writeln!(
                to,
                "  {:<28} {:>8.3} {:>17} {:>9} {:>8} {:>8.0} {:>7.1} {:>8.2} {:>12} {:>10} {:>11} {:>7} {:>8}",
                row.subject,
                cpu.median,
                format!("({:.3} – {:.3})", cpu.least, cpu.most),
                maybe(said.to_floor, 2),
                maybe(said.to_weir, 2),
                said.peak_mib,
                said.wall_s,
                row.start_s,
                maybe(said.until_closed_us, 3),
                maybe(said.open_spans, 0),
                maybe(said.bytes_an_open_span, 0),
                maybe(said.limited, 0),
                maybe(said.restarts, 0),
            )?;
        }
        Ok(())
    }
}

/// Medians of all scenes, one a line: how a figure moves along a series.
pub struct Medians<'a>(pub &'a [Column]);

impl fmt::Display for Medians<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As the subjects come up for the first time.
        let mut subjects: Vec<&str> = Vec::new();
        for row in self.0.iter().flat_map(|column| &column.rows) {
            if !subjects.contains(&row.subject) {
                subjects.push(row.subject);
            }
        }
        writeln!(to, "CPU µs a span (MiB at most), medians")?;
        write!(to, "  {:<16}", "")?;
        for subject in &subjects {
            write!(to, " {subject:>30}")?;
        }
        writeln!(to, " {:>11} {:>12} {:>12}", "open spans", "B/open span", "B/one more")?;
        let mut before: Option<&Conclusion> = None;
        for column in self.0 {
            write!(to, "  {:<16}", column.name)?;
            for subject in &subjects {
                let said = column.of(subject);
                let said = said.map(|said| format!("{:.3} ({:.0})", said.cpu_us.median, said.peak_mib));
                write!(to, " {:>30}", said.unwrap_or_default())?;
            }
            let weir = column.of(WEIR);
            let open = weir.filter(|_| column.is_about_memory);
            writeln!(
                to,
                " {:>11} {:>12} {:>12}",
                maybe(weir.and_then(|said| said.open_spans), 0),
                maybe(open.and_then(|said| said.bytes_an_open_span), 0),
                maybe(before.zip(open).and_then(|(before, open)| open.bytes_an_open_span_since(before)), 0)
            )?;
            before = open;
        }
        Ok(())
    }
}

fn maybe(number: Option<f64>, digits: usize) -> String {
    number.map(|number| format!("{number:.digits$}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column() -> Column {
        let row = |subject, cpu: [f64; 3], open_spans| Row {
            runs: cpu.map(|cpu_us| Run { cpu_us, open_spans, memory_mib: 100.0, ..Run::default() }).into(),
            ..Row::new(subject, Duration::ZERO)
        };
        let mut column = Column {
            name: "open-1M",
            what: String::new(),
            spans: 1_000_000,
            messages_log_s: 1.0,
            bytes_a_span: 500.0,
            is_about_memory: true,
            rows: vec![
                row(FLOOR, [0.5, 0.1, 0.2], None),
                row(WEIR, [1.0, 0.6, 1.0], Some(1_048_576)),
                row("collector", [2.0, 3.0, 1.0], None),
            ],
        };
        column.conclude();
        column
    }

    #[test]
    fn a_median_is_none_of_the_extremes() {
        let spread = Spread::of([3.0, 1.0, 9.0].into_iter());
        assert_eq!(spread, Some(Spread { least: 1.0, median: 3.0, most: 9.0 }));
        assert_eq!(Spread::of(std::iter::empty()), None);
    }

    #[test]
    fn ratios_are_of_what_ran_in_the_same_round() {
        let column = column();
        let said = |subject| column.of(subject).unwrap();
        assert_eq!((said(WEIR).to_floor, said(WEIR).to_weir), (Some(5.0), Some(1.0)));
        assert_eq!(said("collector").to_weir, Some(2.0));
        assert_eq!((said(WEIR).bytes_an_open_span, said(FLOOR).bytes_an_open_span), (Some(100.0), None));
    }

    #[test]
    fn medians_and_ratios_are_in_the_file_and_in_both_tables() {
        let json = serde_json::to_value(column()).unwrap();
        let weir = &json["rows"][1]["conclusion"];
        assert_eq!(weir["cpu_us"]["median"], 1.0);
        assert_eq!((&weir["to_floor"], &weir["bytes_an_open_span"]), (&5.0.into(), &100.0.into()));
        let (table, medians) = (column().to_string(), Medians(&[column()]).to_string());
        assert!(table.contains(" 5.00 ") && table.contains(" 1048576 "), "{table}");
        assert!(medians.contains(" 1.000 (0) ") && medians.trim_end().ends_with(" 100"), "{medians}");
    }

    #[test]
    fn along_a_series_memory_is_divided_by_what_was_added() {
        let (few, mut many) = (column(), column());
        for run in &mut many.rows[1].runs {
            (run.open_spans, run.memory_mib) = (Some(5 << 20), 300.0);
        }
        many.conclude();
        let medians = Medians(&[few, many]).to_string();
        assert!(medians.trim_end().ends_with("  60           50"), "{medians}");
    }
}
