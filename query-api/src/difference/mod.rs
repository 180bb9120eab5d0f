//! What sets some flows apart from others: attributes, services, versions and endpoints that the ones have more often.

mod facts;

use crate::App;
use crate::access::{Access, Role};
use crate::error::ApiError;
use crate::flows::{Lateness, WhichWords, lateness_with_spans};
use crate::live::feed::now_us;
use facts::{FactRow, Sampled};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Two sets of flows.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct DiffQuestion {
    /// The flows to explain: a box of time and latency (`startTime`, `endTime`, `minDuration`, `maxDuration`), any other
    /// filter, or both.
    #[serde(deserialize_with = "words")]
    pub selection: WhichWords,
    /// What they are compared with, less the selection itself; the rest of the same time by default. Without a time of
    /// its own it has the selection's.
    #[serde(default, deserialize_with = "words_if_any")]
    pub baseline: Option<WhichWords>,
}

/// From an object: a list of values in order would do for serde, and is nothing that anybody means.
fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WhichWords, D::Error> {
    read_words(Map::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn words_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<WhichWords>, D::Error> {
    Option::<Map<String, Value>>::deserialize(deserializer)?
        .map(read_words)
        .transpose()
        .map_err(D::Error::custom)
}

fn read_words(words: Map<String, Value>) -> serde_json::Result<WhichWords> {
    serde_json::from_value(Value::Object(words))
}

/// How they differ. Shares are those of the sampled flows of each side.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiffAnswer {
    /// The flows to explain.
    pub selection: DiffSide,
    /// The others.
    pub baseline: DiffSide,
    /// Most flows of a side that are looked at: those with the lowest hashes of their ids.
    pub sample_limit: u32,
    /// Attributes of spans and resources.
    pub attributes: Vec<Difference>,
    /// Services, by `key`; `value` is the namespace.
    pub services: Vec<Difference>,
    /// Versions (`value`) of services (`key`).
    pub versions: Vec<Difference>,
    /// Names of answering spans (`value`) of services (`key`).
    pub endpoints: Vec<Difference>,
    /// How far the tables are.
    pub staleness: Lateness,
}

/// One of the two sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct DiffSide {
    /// Flows in all.
    pub flows: u64,
    /// Flows that were looked at: those of the sample whose raw spans are there.
    pub sampled: u64,
}

/// Something that flows of one side say more often than those of the other.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct Difference {
    /// `span`, `resource`, `service`, `version` or `endpoint`.
    pub scope: String,
    pub key: String,
    pub value: String,
    /// Sampled flows that have it.
    pub selection_count: u64,
    pub baseline_count: u64,
    pub selection_share: f64,
    pub baseline_share: f64,
    /// The one share minus the other.
    pub difference: f64,
    /// z of the two shares: beyond ±2 chance explains one difference in twenty, beyond ±3 one in 370.
    pub significance: f64,
}

/// How two sets of flows differ.
///
/// # Errors
/// The words contradict each other, the caller may not ask, or ClickHouse can't answer.
pub async fn diff(app: &App, access: &Access, question: DiffQuestion) -> Result<DiffAnswer, ApiError> {
    access.at_least(Role::Analyst)?;
    let DiffQuestion { selection, baseline } = question;
    // Without a baseline: everything of the same time, probes where the selection may have them.
    let baseline =
        baseline.unwrap_or_else(|| WhichWords { probes: selection.probes, ..WhichWords::default() });
    let baseline = if baseline.name_a_time() { baseline } else { baseline.at_the_time_of(&selection) };
    let now_us = now_us();
    let selection = selection.read("s", &access.allowed, now_us, &app.limits)?;
    let mut baseline = baseline.read("b", &access.allowed, now_us, &app.limits)?;
    baseline.except(&selection);
    let staleness = lateness_with_spans(app, selection.from_s.min(baseline.from_s)).await?;
    let Sampled { sides: [inside, outside], facts } = facts::read(app, &selection, &baseline).await?;
    let of = |scopes: &[&str]| {
        let rows = facts.iter().filter(|fact| scopes.contains(&fact.scope.as_str()));
        ranked(rows.map(|fact| Difference::of(fact, inside.sampled, outside.sampled)).collect())
    };
    Ok(DiffAnswer {
        attributes: of(&["span", "resource"]),
        services: of(&["service"]),
        versions: of(&["version"]),
        endpoints: of(&["endpoint"]),
        selection: inside,
        baseline: outside,
        sample_limit: facts::SAMPLE,
        staleness,
    })
}

/// The largest differences first, whichever side has more.
fn ranked(mut differences: Vec<Difference>) -> Vec<Difference> {
    let size = |each: &Difference| (each.difference.abs(), each.significance.abs());
    differences.sort_by(|a, b| {
        let by_size = size(b).partial_cmp(&size(a)).unwrap_or(std::cmp::Ordering::Equal);
        by_size.then_with(|| (&a.key, &a.value).cmp(&(&b.key, &b.value)))
    });
    differences
}

impl Difference {
    fn of(fact: &FactRow, inside: u64, outside: u64) -> Self {
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let rounded = |value: f64, to: f64| (value * to).round() / to;
        let (selected, other) = (share(fact.inside, inside), share(fact.outside, outside));
        Self {
            scope: fact.scope.clone(),
            key: fact.key.clone(),
            value: fact.value.clone(),
            selection_count: fact.inside,
            baseline_count: fact.outside,
            selection_share: rounded(selected, 1e6),
            baseline_share: rounded(other, 1e6),
            difference: rounded(selected - other, 1e6),
            significance: rounded(z((fact.inside, inside), (fact.outside, outside)), 1e3),
        }
    }
}

/// The two-proportion z: the difference of two shares, in standard errors of what it would be by chance if both were
/// samples of one set. 0 where nothing can be told: one side is empty, or everybody or nobody has it.
fn z((a, of_a): (u64, u64), (b, of_b): (u64, u64)) -> f64 {
    if of_a == 0 || of_b == 0 {
        return 0.0;
    }
    let (a, of_a, b, of_b) = (a as f64, of_a as f64, b as f64, of_b as f64);
    let both = (a + b) / (of_a + of_b);
    let error = (both * (1.0 - both) * (1.0 / of_a + 1.0 / of_b)).sqrt();
    if error > 0.0 { (a / of_a - b / of_b) / error } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(value: &str, inside: u64, outside: u64) -> Difference {
        let row = FactRow { scope: "span".into(), key: "k".into(), value: value.into(), inside, outside };
        Difference::of(&row, 50, 100)
    }

    #[test]
    fn the_largest_difference_stands_first_whichever_side_has_it() {
        let order = ranked(vec![fact("even", 25, 50), fact("more", 50, 10), fact("less", 0, 60)]);
        let shown: Vec<_> = order.iter().map(|each| (each.value.as_str(), each.difference)).collect();
        assert_eq!(shown, [("more", 0.9), ("less", -0.6), ("even", 0.0)]);
        assert_eq!((order[0].selection_share, order[0].baseline_share), (1.0, 0.1));
    }

    #[test]
    fn significance_grows_with_the_flows_looked_at() {
        // 30 of 100 against 20 of 100: (0.3 − 0.2) / sqrt(0.25 · 0.75 · 0.02) = 1.633.
        assert!((z((30, 100), (20, 100)) - 1.633).abs() < 1e-3);
        assert!(z((300, 1_000), (200, 1_000)) > 5.0);
        assert_eq!([z((0, 0), (1, 2)), z((5, 5), (9, 9)), z((0, 5), (0, 9))], [0.0; 3]);
    }
}
