//! Prometheus pages before and after: which counters moved.

use std::collections::BTreeMap;

/// Value by name and labels.
pub(super) type Counters = BTreeMap<String, f64>;

/// Words in names and labels of counters that tell about bad input.
const TELLING: [&str; 18] = [
    "reason",
    "limit",
    "dropped",
    "reject",
    "dead",
    "duplicate",
    "overflow",
    "other",
    "truncat",
    "clamp",
    "late",
    "refus",
    "undecod",
    "cycle",
    "self_parent",
    "negative",
    "too_large",
    "invalid",
];

/// Reads every page that answers.
pub(super) async fn read(urls: &[String]) -> Counters {
    let Ok(client) = reqwest::Client::builder().no_proxy().build() else { return Counters::new() };
    let mut counters = Counters::new();
    for url in urls {
        let Ok(response) = client.get(url).send().await else {
            tracing::warn!(url, "no counters there");
            continue;
        };
        counters.extend(parse(&response.text().await.unwrap_or_default()));
    }
    counters
}

fn parse(page: &str) -> Counters {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name.into(), value.parse().ok()?)))
        .collect()
}

/// Telling counters that moved, one a line.
pub(super) fn changes(before: &Counters, after: &Counters) -> Vec<String> {
    let moved = after.iter().filter_map(|(name, value)| {
        let change = value - before.get(name).unwrap_or(&0.0);
        let telling = !name.contains("_bucket{") && TELLING.iter().any(|word| name.contains(word));
        (telling && change != 0.0).then(|| format!("{name} {change:+}"))
    });
    moved.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moved_counters_are_told_with_their_change() {
        let before = parse("# HELP x y\nrejected_total{reason=\"zero_trace_id\"} 2\nspans_total 5\n");
        let after =
            parse("rejected_total{reason=\"zero_trace_id\"} 3\nspans_total 9\ndead_letters_total 1\n");
        assert_eq!(
            changes(&before, &after),
            ["dead_letters_total +1", "rejected_total{reason=\"zero_trace_id\"} +1"]
        );
    }
}
