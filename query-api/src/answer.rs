//! Answers over any range: live state where it is complete, ClickHouse for what is older, joined at one second.

use crate::App;
use crate::builder::GraphBuilder;
use crate::error::ApiError;
use crate::filter::Filter;
use crate::graph::{Graph, Latency};
use crate::histogram::Histogram;
use crate::hub::frame::{self, WindowAnswer};
use crate::known_services::KnownNode;
use crate::live::feed::{locked, now_us};
use crate::live::shards::Staleness;
use crate::live::{Live, OperationFlows};
use crate::number::{Count, rate, share};
use crate::range::Asked;
use crate::rows::{self, Adder};
use crate::series::Additive;
use crate::stored::{OperationRow, Segment, answerable, histogram, segments};
use crate::sums::of_filter;
use crate::totals::{FlowTotals, Sum, Totals};
use crate::{counts::OperationCounts, filter::PROBE};
use serde::Serialize;
use std::collections::BTreeMap;
use tokio_util::task::AbortOnDropHandle;
use utoipa::ToSchema;

/// A graph over a range.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct GraphAnswer {
    pub operation_name: Option<String>,
    pub environment: Option<String>,
    pub window: WindowAnswer,
    /// `live`, `clickhouse` or `clickhouse+live`.
    pub source: &'static str,
    #[serde(flatten)]
    pub graph: Graph,
    /// All flows of the operation and environment together, whatever is left out of the graph.
    pub totals: frame::Totals,
    pub staleness: Staleness,
}

/// Operations over a range.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the names say it")]
pub struct OperationsAnswer {
    pub operations: Vec<OperationAnswer>,
    pub environments: Vec<String>,
    pub window: WindowAnswer,
    /// `live`, `clickhouse` or `clickhouse+live`.
    pub source: &'static str,
    pub staleness: Staleness,
}

/// One operation in one environment.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct OperationAnswer {
    pub name: String,
    pub environment: String,
    /// Flows that ended in the range.
    pub count: Count,
    pub error_count: Count,
    pub timeouts: Count,
    pub error_rate: f64,
    /// Flows a second.
    pub rate: f64,
    #[serde(flatten)]
    pub latency: Latency,
    /// Newest second in which anything of it ended, in µs.
    pub last_seen: i64,
    /// Health checks and the like: hidden by default.
    pub probe: bool,
}

/// Which seconds come from where: ClickHouse up to `live_from_s`, live state after it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// The first second.
    pub from_s: u32,
    /// The first one that comes from live state.
    pub live_from_s: u32,
    /// The second after the last one.
    pub to_s: u32,
    /// What rates divide by.
    pub seconds: f64,
}

impl Plan {
    /// For a range that was asked for, with what live state holds now.
    pub fn new(asked: Asked, live: &Live, filter: &Filter, now_us: i64) -> Self {
        let now_s = u32::try_from(now_us / 1_000_000).unwrap_or_default();
        let live_from_s = live.complete_from_s();
        match asked {
            // The range ends now, so a little less than the live state has counts as the live state.
            Asked::Last(window_s) if now_s + 1 >= live_from_s.saturating_add(window_s.saturating_sub(30)) => {
                let range = live.latest(filter, window_s, now_us);
                Self {
                    from_s: range.from_s,
                    live_from_s: range.from_s,
                    to_s: range.to_s,
                    seconds: range.seconds,
                }
            }
            Asked::Last(window_s) => {
                Self::joined(now_s + 1 - window_s.min(now_s), now_s + 1, live_from_s, now_s)
            }
            Asked::Between(from_s, to_s) => Self::joined(from_s, to_s, live_from_s, now_s),
        }
    }

    /// For what only tables know. Finer windows than `width_s` aren't there, so the range is rounded outward to it.
    pub fn of_tables(asked: Asked, width_s: u32, now_us: i64) -> Self {
        let now_s = u32::try_from(now_us / 1_000_000).unwrap_or_default();
        let (from_s, to_s) = asked.seconds(now_us);
        let (from_s, to_s) = answerable(from_s, to_s, now_s);
        let (from_s, to_s) = (from_s - from_s % width_s, to_s.div_ceil(width_s).saturating_mul(width_s));
        let seconds = f64::from(to_s.min(now_s + 1).saturating_sub(from_s).max(1));
        Self { from_s, live_from_s: to_s, to_s, seconds }
    }

    fn joined(from_s: u32, to_s: u32, live_from_s: u32, now_s: u32) -> Self {
        // Percentiles are kept by ten seconds; where both sources meet, no ten seconds may be counted twice.
        let live_from_s = live_from_s.div_ceil(10).saturating_mul(10);
        if from_s >= live_from_s {
            return Self { from_s, live_from_s: from_s, to_s, seconds: f64::from(to_s - from_s) };
        }
        let (from_s, stored_to_s) = answerable(from_s, to_s, now_s);
        let (live_from_s, to_s) =
            if to_s <= live_from_s { (stored_to_s, stored_to_s) } else { (live_from_s, to_s) };
        // Nothing ends after now, so a rate doesn't divide by the future.
        let seconds = f64::from(to_s.min(now_s + 1).saturating_sub(from_s).max(1));
        Self { from_s, live_from_s, to_s, seconds }
    }

    /// What ClickHouse is asked for.
    pub fn stored(self) -> Vec<Segment> {
        segments(self.from_s, self.live_from_s)
    }

    /// `live`, `clickhouse` or `clickhouse+live`.
    pub fn source(self) -> &'static str {
        match (self.from_s < self.live_from_s, self.live_from_s < self.to_s) {
            (false, _) => "live",
            (true, false) => "clickhouse",
            (true, true) => "clickhouse+live",
        }
    }

    /// As answers show it.
    pub fn window(self) -> WindowAnswer {
        let us = |second: u32| i64::from(second) * 1_000_000;
        WindowAnswer {
            from: us(self.from_s),
            to: us(self.to_s),
            seconds: (self.seconds * 10.0).round() / 10.0,
        }
    }
}

/// The graph of the flows that match.
///
/// # Errors
/// ClickHouse is needed and can't answer.
pub async fn graph(app: &App, filter: Filter, asked: Asked) -> Result<GraphAnswer, ApiError> {
    let (Summed { plan, totals, staleness }, flows) = summed_with_flows(app, &filter, asked).await?;
    Ok(GraphAnswer {
        window: plan.window(),
        source: plan.source(),
        graph: Graph::of(&totals, plan.seconds, &app.rules),
        totals: frame::Totals::of(&flows, plan.seconds),
        operation_name: filter.operation,
        environment: filter.environment,
        staleness,
    })
}

/// The sums behind a graph.
pub struct Summed {
    /// Which seconds, and where they come from.
    pub plan: Plan,
    /// By node and edge.
    pub totals: Totals,
    /// How current they are.
    pub staleness: Staleness,
}

/// The sums behind [`graph`].
///
/// # Errors
/// ClickHouse is needed and can't answer.
pub async fn summed(app: &App, filter: &Filter, asked: Asked) -> Result<Summed, ApiError> {
    Ok(gathered(app, filter, asked).await?.summed(filter))
}

/// The same, and all flows that ended in these seconds.
///
/// # Errors
/// ClickHouse is needed and can't answer.
pub async fn summed_with_flows(
    app: &App,
    filter: &Filter,
    asked: Asked,
) -> Result<(Summed, FlowTotals), ApiError> {
    let (LiveGraph { plan, mut builder, staleness }, mut flows) = {
        let live = locked(&app.live);
        let graph = LiveGraph::of(&live, asked, filter, now_us());
        let flows = live.all_flows(filter, graph.plan.live_from_s, graph.plan.to_s);
        (graph, flows)
    };
    let staleness = with_stored(app, plan, staleness).await?;
    let (segments, conditions) = (plan.stored(), of_filter(filter));
    let (stored, ()) = tokio::try_join!(
        rows::flows(app, &segments, &conditions),
        add_stored(app, filter, plan, &mut builder)
    )?;
    flows.add(&stored);
    Ok((Gathered { plan, builder, staleness }.summed(filter), flows))
}

/// What sums are made of: nothing is joined or narrowed yet.
pub struct Gathered {
    /// Which seconds, and where they come from.
    pub plan: Plan,
    /// By environment, node and edge.
    pub builder: GraphBuilder,
    /// How current it is.
    pub staleness: Staleness,
}

/// What [`summed`] adds up.
///
/// # Errors
/// ClickHouse is needed and can't answer.
pub async fn gathered(app: &App, filter: &Filter, asked: Asked) -> Result<Gathered, ApiError> {
    let LiveGraph { plan, mut builder, staleness } =
        LiveGraph::of(&locked(&app.live), asked, filter, now_us());
    let staleness = with_stored(app, plan, staleness).await?;
    add_stored(app, filter, plan, &mut builder).await?;
    Ok(Gathered { plan, builder, staleness })
}

impl Gathered {
    fn summed(self, filter: &Filter) -> Summed {
        let mut totals = self.builder.join();
        filter.narrow(&mut totals);
        Summed { plan: self.plan, totals, staleness: self.staleness }
    }
}

/// Adds what the tables have of a graph.
async fn add_stored(
    app: &App,
    filter: &Filter,
    plan: Plan,
    builder: &mut GraphBuilder,
) -> Result<(), ApiError> {
    if plan.from_s >= plan.live_from_s {
        return Ok(());
    }
    let (from_s, to_s) = (plan.from_s, plan.live_from_s);
    let (segments, conditions) = (plan.stored(), of_filter(filter));
    // All tables are asked at once: they wait for the same disks and cores. Rows of edges and of services are added
    // up on two threads.
    let services = rows::services(app.clone(), segments.clone(), conditions.clone());
    let services = AbortOnDropHandle::new(tokio::spawn(services));
    let (edges, known) = tokio::try_join!(
        rows::edges(app, &segments, &conditions, false),
        known_services(app, from_s, to_s, filter)
    )?;
    let services = services.await.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))?;
    let mut adder = Adder::default();
    edges.into_iter().for_each(|row| adder.edge(builder, row));
    services.into_iter().for_each(|row| adder.service(builder, row));
    known.into_iter().for_each(|row| adder.known(builder, row));
    Ok(())
}

/// What live state has of a graph, and which seconds are missing from it: of one moment, before ClickHouse is asked.
/// Live state forgets its oldest second meanwhile, which would then be in neither.
struct LiveGraph {
    plan: Plan,
    builder: GraphBuilder,
    staleness: Staleness,
}

impl LiveGraph {
    fn of(live: &Live, asked: Asked, filter: &Filter, now_us: i64) -> Self {
        let plan = Plan::new(asked, live, filter, now_us);
        let mut builder = GraphBuilder::default();
        live.add_to(&mut builder, filter, plan.live_from_s, plan.to_s);
        Self { plan, builder, staleness: live.staleness(now_us) }
    }
}

/// Where tables have a part in the answer: how far they were before the rows are asked for, so that those hold at least
/// that.
pub async fn with_stored(app: &App, plan: Plan, staleness: Staleness) -> Result<Staleness, ApiError> {
    if plan.from_s >= plan.live_from_s {
        return Ok(staleness);
    }
    let progress = app.stored.progress().await;
    let progress = progress.map_err(|error| ApiError::store_unavailable(&error))?;
    Ok(staleness.with_stored(&progress, now_us()))
}

/// The services that names can mean, those outside the filter's operation too.
async fn known_services(
    app: &App,
    from_s: u32,
    to_s: u32,
    filter: &Filter,
) -> Result<Vec<KnownNode>, ApiError> {
    let known = app.stored.known_services(from_s, to_s, filter.environment.as_deref()).await;
    known.map_err(|error| ApiError::store_unavailable(&error))
}

/// The operations that match.
///
/// # Errors
/// ClickHouse is needed and can't answer.
pub async fn operations(app: &App, filter: Filter, asked: Asked) -> Result<OperationsAnswer, ApiError> {
    let LiveOperations { plan, mut totals, mut environments, staleness } =
        LiveOperations::of(&locked(&app.live), asked, &filter, now_us());
    let staleness = with_stored(app, plan, staleness).await?;
    for segment in plan.stored() {
        let rows = app
            .stored
            .operations(segment, &filter)
            .await
            .map_err(|error| ApiError::store_unavailable(&error))?;
        for row in rows {
            totals.entry((row.environment.clone(), row.operation.clone())).or_default().add_stored(&row);
        }
    }
    let operations = listed(totals, plan.seconds);
    environments.extend(operations.iter().map(|operation| operation.environment.clone()));
    environments.retain(|environment| filter.allowed.environment(environment));
    environments.sort();
    environments.dedup();
    Ok(OperationsAnswer { operations, environments, window: plan.window(), source: plan.source(), staleness })
}

/// The same as [`LiveGraph`] of operations.
struct LiveOperations {
    plan: Plan,
    totals: BTreeMap<(String, String), OperationTotals>,
    environments: Vec<String>,
    staleness: Staleness,
}

impl LiveOperations {
    fn of(live: &Live, asked: Asked, filter: &Filter, now_us: i64) -> Self {
        let plan = Plan::new(asked, live, filter, now_us);
        let mut totals: BTreeMap<(String, String), OperationTotals> = BTreeMap::new();
        for flows in live.flows(filter, plan.live_from_s, plan.to_s) {
            totals.entry((flows.environment.clone(), flows.operation.clone())).or_default().add_live(&flows);
        }
        Self { plan, totals, environments: live.environments(), staleness: live.staleness(now_us) }
    }
}

/// An operation's sums over all sources.
#[derive(Debug, Default)]
struct OperationTotals {
    counts: OperationCounts,
    duration: Histogram,
    last_seen_s: u32,
}

impl OperationTotals {
    fn add_stored(&mut self, row: &OperationRow) {
        self.counts.add(&row.counts());
        self.duration.add(&histogram(&row.duration, row.duration_sum));
        self.last_seen_s = self.last_seen_s.max(row.last_seen);
    }

    fn add_live(&mut self, flows: &OperationFlows) {
        self.counts.add(&flows.counts);
        self.duration.add(&flows.durations);
        self.last_seen_s = self.last_seen_s.max(flows.newest_s);
    }

    fn answer(self, environment: String, name: String, seconds: f64) -> OperationAnswer {
        OperationAnswer {
            count: Count(self.counts.flows),
            error_count: Count(self.counts.errors),
            timeouts: Count(self.counts.timeouts),
            error_rate: share(self.counts.errors, self.counts.flows),
            rate: rate(self.counts.flows, seconds),
            latency: Latency::of(&self.duration),
            last_seen: i64::from(self.last_seen_s) * 1_000_000,
            probe: name == PROBE,
            environment,
            name,
        }
    }
}

/// Most flows first. What corrections have emptied, such as `unknown` once its flows have names, is left out.
fn listed(totals: BTreeMap<(String, String), OperationTotals>, seconds: f64) -> Vec<OperationAnswer> {
    let mut answers: Vec<OperationAnswer> = totals
        .into_iter()
        .filter(|(_, totals)| totals.counts.flows != 0)
        .map(|((environment, name), totals)| totals.answer(environment, name, seconds))
        .collect();
    answers.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    answers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Change, What};
    use crate::limits::Limits;

    const NOW_S: u32 = 1_700_000_000;
    const NOW_US: i64 = NOW_S as i64 * 1_000_000;

    fn plan(asked: Asked) -> Plan {
        let mut live = Live::new(Limits::default());
        live.begin("kafka", NOW_S - 895, 1);
        Plan::new(asked, &live, &Filter::default(), NOW_US)
    }

    #[test]
    fn the_last_minutes_come_from_memory() {
        for asked in [Asked::Last(60), Asked::Last(900), Asked::Between(NOW_S - 800, NOW_S - 100)] {
            assert_eq!((plan(asked).source(), plan(asked).stored()), ("live", vec![]), "{asked:?}");
        }
    }

    #[test]
    fn older_ranges_come_from_clickhouse() {
        let old = plan(Asked::Between(NOW_S - 4_000, NOW_S - 2_000));
        assert_eq!((old.source(), old.seconds), ("clickhouse", 2_000.0));
        assert_eq!(old.stored().iter().map(|segment| segment.to_s - segment.from_s).sum::<u32>(), 2_000);
    }

    #[test]
    fn ranges_over_both_meet_at_one_second() {
        let both = plan(Asked::Last(3_600));
        assert_eq!((both.source(), both.seconds), ("clickhouse+live", 3_600.0));
        let joint_s = both.stored().last().unwrap().to_s;
        assert_eq!((joint_s, joint_s % 10), (both.live_from_s, 0));
    }

    #[test]
    fn no_second_is_lost_when_live_state_forgets_it_while_clickhouse_is_asked() {
        let mut live = Live::new(Limits::default());
        let oldest_s = NOW_S - Limits::default().live_s;
        live.begin("kafka", oldest_s, 1);
        let counts = OperationCounts { flows: 1_000, raw_flows: 1, ..OperationCounts::default() };
        use crate::totals::FlowTotals;
        let what = What::Operation { flows: FlowTotals { counts, ..FlowTotals::default() } };
        live.add(
            Change { environment: "prod".into(), operation: "login".into(), window_s: oldest_s, what },
            NOW_US,
        );
        let answer = LiveOperations::of(&live, Asked::Last(3_600), &Filter::default(), NOW_US);
        assert_eq!(answer.plan.stored().last().unwrap().to_s, oldest_s);
        live.forget(NOW_US + 1_000_000);
        assert_eq!(live.flows(&Filter::default(), oldest_s, NOW_S), vec![]);
        assert_eq!(answer.totals.into_values().map(|totals| totals.counts.raw_flows).sum::<i64>(), 1);
    }

    #[test]
    fn before_anything_is_loaded_clickhouse_answers_everything() {
        let live = Live::new(Limits::default());
        let plan = Plan::new(Asked::Last(900), &live, &Filter::default(), NOW_US);
        assert_eq!(plan.source(), "clickhouse");
    }
}
