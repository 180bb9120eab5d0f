//! Findings for people and for programs.

use super::explain::Explained;
use process::Level;
use serde::Serialize;
use std::fmt::Write as _;

#[derive(Serialize)]
struct Report<'a> {
    level: &'static str,
    findings: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    part: &'a str,
    level: &'static str,
    what: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    means: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    mend: &'a str,
}

impl<'a> Line<'a> {
    fn of(Explained { finding, means, mend }: &'a Explained) -> Self {
        Self { part: &finding.part, level: word(finding.level), what: &finding.what, means, mend }
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Degraded => "degraded",
        Level::Refused => "refused",
    }
}

fn worst(found: &[Explained]) -> Level {
    found.iter().map(|each| each.finding.level).max().unwrap_or(Level::Ok)
}

/// One JSON document.
///
/// # Errors
/// Never: it holds text only.
pub fn json(found: &[Explained]) -> anyhow::Result<String> {
    let findings = found.iter().map(Line::of).collect();
    Ok(serde_json::to_string_pretty(&Report { level: word(worst(found)), findings })? + "\n")
}

/// What is wrong first, with what it means and what mends it; then one short line for everything else.
pub fn text(found: &[Explained]) -> String {
    let mut text = String::new();
    let (healthy, mut sick): (Vec<_>, Vec<_>) =
        found.iter().partition(|each| each.finding.level == Level::Ok);
    sick.sort_by_key(|each| std::cmp::Reverse(each.finding.level));
    for Explained { finding, means, mend } in &sick {
        let _ = writeln!(text, "{:<9} {}: {}", word(finding.level), finding.part, finding.what);
        let _ = writeln!(text, "          means: {means}\n          mend:  {mend}\n");
    }
    for Explained { finding, .. } in &healthy {
        let _ = writeln!(text, "{:<9} {}: {}", "ok", finding.part, finding.what);
    }
    let verdict = match worst(found) {
        Level::Ok => "healthy".to_owned(),
        Level::Degraded => format!("{} of {} parts are degraded", sick.len(), found.len()),
        Level::Refused => format!("{} of {} parts need you", sick.len(), found.len()),
    };
    text + &verdict + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use process::Finding;

    fn found() -> Vec<Explained> {
        let found = [
            Finding::ok("Kafka", "1 broker at k:9092"),
            Finding::degraded("processors", "no processor is in the group weir-processor"),
            Finding::refused("shard 1", "shard 1 can't go on as it was: the topic was created anew."),
        ];
        found.map(Explained::of).into()
    }

    #[test]
    fn the_worst_comes_first_and_what_is_healthy_is_short() {
        let text = text(&found());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("refused   shard 1: shard 1 can't go on"), "{text}");
        assert_eq!(lines[2], "          mend:  weir processor --accept-gap, once");
        assert!(lines[4].starts_with("degraded  processors:"), "{text}");
        assert_eq!(lines[8..], ["ok        Kafka: 1 broker at k:9092", "2 of 3 parts need you"]);
    }

    #[test]
    fn programs_get_the_same() {
        let report: serde_json::Value = serde_json::from_str(&json(&found()).unwrap()).unwrap();
        assert_eq!((&report["level"], &report["findings"][0]["level"]), (&"refused".into(), &"ok".into()));
        assert_eq!(report["findings"][1]["mend"], "weir processor");
        assert!(report["findings"][0].get("mend").is_none());
    }
}
