//! What the comparison found, in lines that a person can read.

use crate::truth::Truth;
use std::fmt;

/// Differences that are printed for one place; the rest is counted.
const SHOWN: usize = 40;

/// One place that was compared.
#[derive(Clone, Debug)]
pub struct Check {
    /// `ClickHouse edges_1s`.
    pub place: String,
    /// How many things were compared.
    pub compared: usize,
    /// What is missing of all of them: calls, flows or spans, as the place has it.
    pub lost: u64,
    /// What is there too often.
    pub doubled: u64,
    /// A line for each that differs.
    pub differences: Vec<String>,
}

impl Check {
    pub(super) fn new(place: impl Into<String>) -> Self {
        Self { place: place.into(), compared: 0, lost: 0, doubled: 0, differences: Vec::new() }
    }
}

/// Everything that was compared.
#[derive(Clone, Debug)]
pub struct Report {
    /// Places, in the order of the flow.
    pub checks: Vec<Check>,
    /// What a reader should know beside it.
    pub notes: Vec<String>,
    totals: String,
}

impl Report {
    pub(super) fn new(truth: &Truth) -> Self {
        let flows: i64 = truth.operations.values().map(|counts| counts.flows).sum();
        let totals = format!("{flows} flows, {} spans, {}", truth.spans, truth.total_calls());
        let mut report = Self { checks: Vec::new(), notes: Vec::new(), totals };
        if truth.lost > 0 {
            let why = format!("{} spans were refused or given up before they arrived", truth.lost);
            let differences = vec![why];
            report.add(Check { compared: 1, lost: truth.lost, differences, ..Check::new("sender") });
        }
        if truth.forgotten_flows > 0 {
            report.note(Some(format!(
                "{} flows were counted but not compared one by one: only the first {} are remembered",
                truth.forgotten_flows,
                truth.flows.len()
            )));
        }
        report
    }

    pub(super) fn add(&mut self, check: Check) {
        self.checks.push(check);
    }

    pub(super) fn note(&mut self, note: Option<String>) {
        self.notes.extend(note);
    }

    /// Whether nothing differs anywhere.
    pub fn is_equal(&self) -> bool {
        self.checks.iter().all(|check| check.differences.is_empty())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "truth: {}", self.totals)?;
        for Check { place, compared, differences, .. } in &self.checks {
            if differences.is_empty() {
                writeln!(f, "  equal    {place} ({compared} compared)")?;
                continue;
            }
            writeln!(f, "  DIFFERS  {place} ({} of {compared})", differences.len())?;
            for line in differences.iter().take(SHOWN) {
                writeln!(f, "           {line}")?;
            }
            if let Some(more) = differences.len().checked_sub(SHOWN).filter(|more| *more > 0) {
                writeln!(f, "           … and {more} more")?;
            }
        }
        for note in &self.notes {
            writeln!(f, "  note     {note}")?;
        }
        let differing = self.checks.iter().map(|check| check.differences.len()).sum::<usize>();
        match differing {
            0 => write!(f, "every count equals the truth"),
            1 => write!(f, "1 count differs from the truth"),
            many => write!(f, "{many} counts differ from the truth"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(differences: &[&str]) -> Check {
        let differences = differences.iter().map(|line| (*line).into()).collect();
        Check { compared: 3, differences, ..Check::new("topic") }
    }

    #[test]
    fn equality_is_said_in_one_sentence() {
        let mut report = Report::new(&Truth::default());
        report.add(check(&[]));
        assert!(report.is_equal());
        assert!(report.to_string().ends_with("every count equals the truth"));
    }

    #[test]
    fn every_difference_is_a_line() {
        let mut report = Report::new(&Truth::default());
        report.add(check(&["a → b: 2 calls, not 1"]));
        let text = report.to_string();
        assert!(!report.is_equal() && text.contains("a → b: 2 calls, not 1"));
        assert!(text.ends_with("1 count differs from the truth"));
    }

    #[test]
    fn lost_spans_are_a_difference() {
        assert!(!Report::new(&Truth { lost: 2, ..Truth::default() }).is_equal());
    }
}
