//! Sums of one edge, service or operation over a range and over each step of it: live state where it is complete,
//! ClickHouse for what is older, as in [`crate::answer`].

use crate::App;
use crate::answer::{Plan, with_stored};
use crate::conditions::Conditions;
use crate::counts::{EdgeCounts, OperationCounts, ServiceCounts};
use crate::error::ApiError;
use crate::filter::{Filter, PROBE};
use crate::histogram::Histogram;
use crate::live::shards::Staleness;
use crate::series::Additive;
use crate::steps::Step;
use crate::stored::{Segment, Tier, histogram, segments_of};
use crate::totals::{EdgeTotals, FlowTotals, ServiceTotals};
use clickhouse::Row;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The columns of a table of rollups that add up. All of it is fixed text of this program.
#[derive(Debug, Clone, Copy, Default)]
pub struct Columns {
    /// Name before the tier.
    pub table: &'static str,
    /// Counts adjusted for sampling.
    pub counts: &'static [&'static str],
    /// The count that isn't.
    pub raw: &'static str,
    /// Histograms with the columns of their sums.
    pub histograms: &'static [(&'static str, &'static str)],
    /// Those of them of which graphs show the mean alone.
    pub means: &'static [&'static str],
}

/// What is summed up from a table of rollups.
pub trait Rollup: Default + Send + 'static {
    /// Where it is.
    const COLUMNS: Columns;
    /// Adds counts and histograms in the order of [`Rollup::COLUMNS`]; counts that aren't there are 0.
    fn add_row(&mut self, counts: &[i64], raw: i64, histograms: &[Histogram]);
}

/// Sums of a range.
#[derive(Debug)]
pub struct Sums<T> {
    /// Which seconds, and where they come from.
    pub plan: Plan,
    /// The points' length.
    pub step: Step,
    /// All of it.
    pub total: T,
    /// By the start of their step; steps in which nothing happened are missing.
    pub points: BTreeMap<u32, T>,
    /// The newest window that anything is in: the second as far as memory goes, else the start of the tables' window.
    pub newest_s: u32,
    /// How current it is.
    pub staleness: Staleness,
}

/// One point in a table.
#[derive(Debug, Row, Deserialize)]
struct PointRow {
    start: u32,
    newest: u32,
    counts: Vec<i64>,
    raw: i64,
    histograms: Vec<(Vec<u16>, Vec<i64>)>,
    sums: Vec<i64>,
}

impl<T: Rollup> Sums<T> {
    /// Nothing yet. `staleness` is that of memory.
    pub fn new(plan: Plan, step: Step, staleness: Staleness) -> Self {
        Self { plan, step, total: T::default(), points: BTreeMap::new(), newest_s: 0, staleness }
    }

    /// Adds a part of live state. `add` is asked for the whole of the live range and for each step of it, first
    /// second and the one after the last.
    pub fn add_live(&mut self, newest_s: Option<u32>, add: impl Fn(&mut T, u32, u32)) {
        let (live_from_s, to_s) = (self.plan.live_from_s, self.plan.to_s);
        let Some(newest_s) = newest_s.filter(|newest_s| *newest_s >= live_from_s && live_from_s < to_s)
        else {
            return;
        };
        self.newest_s = self.newest_s.max(newest_s.min(to_s - 1));
        add(&mut self.total, live_from_s, to_s);
        for (start_s, from_s, to_s) in self.step.spans().filter(|(.., to_s)| *to_s > live_from_s) {
            if from_s.max(live_from_s) <= newest_s {
                add(self.points.entry(start_s).or_default(), from_s.max(live_from_s), to_s);
            }
        }
    }

    /// Adds what ClickHouse has of the range before the live one. `conditions` speak of the table as `e`.
    ///
    /// # Errors
    /// ClickHouse is needed and can't answer.
    pub async fn add_stored(mut self, app: &App, conditions: &Conditions) -> Result<Self, ApiError> {
        self.staleness = with_stored(app, self.plan, self.staleness).await?;
        for segment in segments_of(self.step.tier(), self.plan.from_s, self.plan.live_from_s) {
            for row in rows::<T>(app, segment, self.step, conditions).await? {
                self.newest_s = self.newest_s.max(row.newest);
                let histograms: Vec<Histogram> =
                    row.histograms.iter().zip(&row.sums).map(|(lists, sum)| histogram(lists, *sum)).collect();
                self.total.add_row(&row.counts, row.raw, &histograms);
                self.points.entry(row.start).or_default().add_row(&row.counts, row.raw, &histograms);
            }
        }
        Ok(self)
    }

    /// Every point in order with the seconds of the range that lie in it: its start, its length and its sums.
    pub fn points(&self, now_s: u32) -> impl Iterator<Item = (u32, f64, Option<&T>)> {
        self.step.spans().map(move |(start_s, from_s, to_s)| {
            // Nothing ends after now, so a rate doesn't divide by the future.
            let seconds = f64::from(to_s.min(now_s + 1).saturating_sub(from_s).max(1));
            (start_s, seconds, self.points.get(&start_s))
        })
    }
}

async fn rows<T: Rollup>(
    app: &App,
    segment: Segment,
    step: Step,
    conditions: &Conditions,
) -> Result<Vec<PointRow>, ApiError> {
    let (query, _turn) = app.stored.query(&sql(&T::COLUMNS, segment.tier, conditions)).await;
    let query = query.param("from", segment.from_s).param("to", segment.to_s).param("step", step.length_s);
    conditions.bind(query).fetch_all().await.map_err(|error| ApiError::store_unavailable(&error))
}

fn sql(columns: &Columns, tier: Tier, conditions: &Conditions) -> String {
    format!(
        "SELECT toUInt32(intDiv(toUInt32(e.window), {{step:UInt32}}) * {{step:UInt32}}) AS start, \
                toUInt32(max(e.window)) AS newest, {} \
         FROM {}_{} AS e \
         WHERE e.window >= toDateTime({{from:UInt32}}) AND e.window < toDateTime({{to:UInt32}}) AND {} \
         GROUP BY start LIMIT {{rows:UInt32}}",
        columns.sums(),
        columns.table,
        tier.suffix(),
        conditions.sql(),
    )
}

impl Columns {
    /// `counts`, `raw`, `histograms` and `sums` of a query over the table as `e`.
    pub fn sums(&self) -> String {
        let list = |items: Vec<String>| items.join(", ");
        let sum = |column: &str| format!("toInt64(sum(e.{column}) * 1000)");
        let counts = list(self.counts.iter().map(|column| sum(column)).collect());
        let lists = list(self.histograms.iter().map(|(lists, _)| format!("sumMap(e.{lists})")).collect());
        let sums = list(self.histograms.iter().map(|(_, column)| sum(column)).collect());
        format!(
            "[{counts}] AS counts, toInt64(sum(e.{})) AS raw, [{lists}] AS histograms, [{sums}] AS sums",
            self.raw
        )
    }
}

/// The flows that a filter is about, as conditions on a table of rollups named `e`.
pub fn of_filter(filter: &Filter) -> Conditions {
    let mut conditions = Conditions::default();
    match (&filter.operation, filter.probes) {
        (Some(operation), _) => conditions.equal("e.operation", Some(operation)),
        (None, false) => conditions.with_text("e.operation != ?", Some(PROBE)),
        (None, true) => {}
    }
    conditions.equal("e.environment", filter.environment.as_deref());
    conditions.among("e.environment", &filter.allowed.environments);
    conditions
}

impl Rollup for EdgeTotals {
    const COLUMNS: Columns = Columns {
        table: "edges",
        counts: &[
            "calls",
            "errors",
            "client_errors",
            "retries",
            "timeouts",
            "rejected",
            "messages",
            "paired",
        ],
        raw: "raw_calls",
        histograms: &[
            ("callee_latency", "callee_sum_us"),
            ("caller_latency", "caller_sum_us"),
            ("wait", "wait_sum_us"),
        ],
        means: &["wait"],
    };

    fn add_row(&mut self, counts: &[i64], raw_calls: i64, histograms: &[Histogram]) {
        if let [calls, errors, client_errors, retries, timeouts, rejected, messages, paired] = *counts {
            self.counts.add(&EdgeCounts {
                calls,
                errors,
                client_errors,
                retries,
                timeouts,
                rejected,
                messages,
                paired,
                raw_calls,
            });
        }
        if let [callee, caller, wait] = histograms {
            self.callee.add(callee);
            self.caller.add(caller);
            self.wait.add(wait);
        }
    }
}

impl Rollup for ServiceTotals {
    const COLUMNS: Columns = Columns {
        table: "services",
        counts: &["requests", "errors", "client_errors"],
        raw: "raw_requests",
        histograms: &[
            ("latency", "latency_sum_us"),
            ("self_time", "self_sum_us"),
            ("critical_path", "critical_sum_us"),
        ],
        means: &["self_time", "critical_path"],
    };

    fn add_row(&mut self, counts: &[i64], raw_requests: i64, histograms: &[Histogram]) {
        if let [requests, errors, client_errors] = *counts {
            self.counts.add(&ServiceCounts { requests, errors, client_errors, raw_requests });
        }
        if let [latency, self_time, critical_path] = histograms {
            self.latency.add(latency);
            self.self_time.add(self_time);
            self.critical_path.add(critical_path);
        }
    }
}

impl Rollup for FlowTotals {
    const COLUMNS: Columns = Columns {
        table: "operations",
        counts: &["flows", "errors", "timeouts"],
        raw: "raw_flows",
        histograms: &[("duration", "duration_sum_us")],
        means: &[],
    };

    fn add_row(&mut self, counts: &[i64], raw_flows: i64, histograms: &[Histogram]) {
        if let [flows, errors, timeouts] = *counts {
            self.counts.add(&OperationCounts { flows, errors, timeouts, raw_flows });
        }
        if let [durations] = histograms {
            self.durations.add(durations);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_hold_no_values() {
        let filter = Filter { operation: Some("lo'gin".into()), ..Filter::default() };
        for columns in [EdgeTotals::COLUMNS, ServiceTotals::COLUMNS, FlowTotals::COLUMNS] {
            let sql = sql(&columns, Tier::Hour, &of_filter(&filter));
            assert!(!sql.contains('\'') && sql.contains("{c0:String}"), "{sql}");
        }
    }

    #[test]
    fn probes_are_hidden_unless_asked_for() {
        let sql = |filter: Filter| of_filter(&filter).sql().to_owned();
        assert_eq!(sql(Filter::default()), "(e.operation != {c0:String})");
        assert_eq!(sql(Filter { probes: true, ..Filter::default() }), "1");
    }
}
