//! What changed in who calls whom, from one time, version or environment to another.

use super::Problems;
use crate::App;
use crate::access::Access;
use crate::answer::{Plan, Summed, summed, with_stored};
use crate::ask::Ask;
use crate::error::ApiError;
use crate::filter::{Around, Filter, checked};
use crate::graph::{EdgeAnswer, Graph};
use crate::histogram::Histogram;
use crate::hub::frame::WindowAnswer;
use crate::live::feed::{locked, now_us};
use crate::live::shards::Staleness;
use crate::range::Asked;
use crate::rows::{self, Adder};
use crate::sums::of_filter;
use crate::totals::{EdgeTotals, Totals};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Fewer calls on a side say nothing about shares and latencies.
const LEAST_CALLS: f64 = 30.0;
/// |z| of two shares from which their difference is one in a hundred by chance.
const SIGNIFICANT_Z: f64 = 2.58;
/// Kolmogorov and Smirnov: c(0.01), by which their critical distance is reckoned.
const SMIRNOV_C: f64 = 1.63;
/// Calls a second that become twice as many, or half, are told whatever chance would do.
const RATE_RATIO: f64 = 2.0;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(compare))
}

/// What is compared with what. What no `baseline…` is given for is the same on both sides; at least one has to be.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct CompareParameters {
    /// Exactly this operation, on both sides.
    pub operation: Option<String>,
    /// Only what touches services of this name, on both sides.
    pub service: Option<String>,
    /// Only what touches services of this namespace, on both sides.
    pub namespace: Option<String>,
    /// Only what touches services of this cluster, on both sides.
    pub cluster: Option<String>,
    /// Exactly this environment.
    pub environment: Option<String>,
    /// The environment to compare with. Clusters are left out of nodes then, because environments mostly have their own.
    pub baseline_environment: Option<String>,
    /// Calls to `service` in this version; rollups know the callee's version only.
    pub version: Option<String>,
    /// The version to compare with.
    pub baseline_version: Option<String>,
    /// The last `90s`, `15m`, `2h`, `7d` …; 15 minutes by default.
    pub window: Option<String>,
    /// Instead of `window`: RFC 3339, a number since 1970 in s, ms, µs or ns, `now` or `now-1h`.
    pub start_time: Option<String>,
    /// As `startTime`; now by default.
    pub end_time: Option<String>,
    /// Begin of the time to compare with.
    pub baseline_start_time: Option<String>,
    /// Its end; now by default.
    pub baseline_end_time: Option<String>,
    /// Whether health checks count too.
    #[serde(default)]
    pub probes: bool,
}

/// What changed from the baseline.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompareAnswer {
    /// What the numbers cover.
    pub window: WindowAnswer,
    /// What those of the baseline cover.
    pub baseline_window: WindowAnswer,
    /// Edges that the baseline lacks.
    pub added: Vec<EdgeAnswer>,
    /// Edges that only the baseline has, with its numbers.
    pub removed: Vec<EdgeAnswer>,
    /// Edges of both sides in which something changed significantly, what changed most first.
    pub changed: Vec<EdgeChange>,
    /// Edges of both sides in which nothing did.
    pub unchanged_count: usize,
    /// How current the numbers are.
    pub staleness: Staleness,
    /// How current those of the baseline are.
    pub baseline_staleness: Staleness,
}

/// An edge of both sides.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EdgeChange {
    /// Its numbers.
    pub current: EdgeAnswer,
    /// Those of the baseline.
    pub baseline: EdgeAnswer,
    /// Share of errors: two-proportion z, significant from 2.58 and 30 calls a side on.
    pub error_rate: Change,
    /// Latencies: the distance of Kolmogorov and Smirnov between both histograms, significant (one in a hundred by
    /// chance) from 30 values a side on.
    pub latency: Change,
    /// Calls a second: the ratio, significant at twice or half and 30 calls on one side.
    pub rate: Change,
}

/// How far two sides are apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Change {
    /// z, distance or ratio; null where one side has nothing to compare.
    pub value: Option<f64>,
    /// Whether it is more than chance would make of it.
    pub significant: bool,
}

/// One side of a comparison.
struct Side {
    plan: Plan,
    totals: Totals,
    edges: BTreeMap<(String, String), EdgeAnswer>,
    staleness: Staleness,
}

/// Edges that were added, are gone, or changed significantly, between two times, versions or environments
#[utoipa::path(get, path = "/api/v1/dependencies/compare", tag = "graph", params(CompareParameters),
    responses((status = 200, body = CompareAnswer), Problems))]
async fn compare(
    State(app): State<App>,
    access: Access,
    Ask(parameters): Ask<CompareParameters>,
) -> Result<Json<CompareAnswer>, ApiError> {
    Ok(Json(of(&app, &access, parameters).await?))
}

/// What changed from the baseline.
///
/// # Errors
/// The parameters can't be, or ClickHouse is needed and can't answer.
pub async fn of(app: &App, access: &Access, asked: CompareParameters) -> Result<CompareAnswer, ApiError> {
    let baselines = [&asked.baseline_environment, &asked.baseline_version, &asked.baseline_start_time];
    if baselines.iter().all(|baseline| baseline.is_none()) {
        return Err(ApiError::bad_request(
            "say what to compare with: baselineStartTime, baselineEnvironment or baselineVersion",
        ));
    }
    if asked.version.is_some() != asked.baseline_version.is_some()
        || asked.version.is_some() && asked.service.is_none()
    {
        return Err(ApiError::bad_request(
            "a comparison of versions needs service, version and baselineVersion",
        ));
    }
    if asked.baseline_end_time.is_some() && asked.baseline_start_time.is_none() {
        return Err(ApiError::bad_request("baselineEndTime needs baselineStartTime"));
    }
    let baseline = baseline_of(&asked);
    let sides = tokio::try_join!(summed_side(app, access, &asked), summed_side(app, access, &baseline))?;
    let alike = asked.environment == baseline.environment;
    let side = |summed: Summed| Side::of(if alike { summed } else { without_clusters(summed) }, app);
    Ok(changes(side(sides.0), side(sides.1)))
}

/// The same question about the other side.
fn baseline_of(asked: &CompareParameters) -> CompareParameters {
    let mut other = asked.clone();
    if asked.baseline_start_time.is_some() {
        other.window = None;
        other.start_time.clone_from(&asked.baseline_start_time);
        other.end_time.clone_from(&asked.baseline_end_time);
    }
    if asked.baseline_environment.is_some() {
        other.environment.clone_from(&asked.baseline_environment);
    }
    if asked.baseline_version.is_some() {
        other.version.clone_from(&asked.baseline_version);
    }
    other
}

async fn summed_side(app: &App, access: &Access, asked: &CompareParameters) -> Result<Summed, ApiError> {
    let (start, end) = (asked.start_time.as_deref(), asked.end_time.as_deref());
    let range = Asked::parse(asked.window.as_deref(), start, end, now_us(), &app.limits)?;
    let (service, namespace) = (asked.service.clone(), asked.namespace.clone());
    let around = Around::read(service, namespace, asked.cluster.clone(), &app.limits)?;
    let filter = Filter::new(asked.operation.clone(), asked.environment.clone(), asked.probes, &app.limits)?
        .around(around)
        .within(&access.allowed);
    let version = checked("version", asked.version.clone(), &app.limits)?;
    match version {
        Some(version) => of_version(app, &filter, range, &version).await,
        None => summed(app, &filter, range).await,
    }
}

fn without_clusters(summed: Summed) -> Summed {
    Summed { totals: summed.totals.without_clusters(), ..summed }
}

impl Side {
    fn of(Summed { plan, totals, staleness }: Summed, app: &App) -> Self {
        let edges = Graph::of(&totals, plan.seconds, &app.rules).edges;
        let edges = edges.into_iter().map(|edge| ((edge.from.clone(), edge.to.clone()), edge)).collect();
        Self { plan, totals, edges, staleness }
    }
}

/// Calls to the filter's service in one version, from tables: memory doesn't know versions of edges apart.
async fn of_version(app: &App, filter: &Filter, range: Asked, version: &str) -> Result<Summed, ApiError> {
    let plan = Plan::of_tables(range, 1, now_us());
    let staleness = locked(&app.live).staleness(now_us());
    let staleness = with_stored(app, plan, staleness).await?;
    let mut conditions = of_filter(filter);
    conditions.equal("e.version", Some(version));
    conditions.equal("e.server", filter.around.service.as_deref());
    let (mut adder, mut builder) = (Adder::default(), Default::default());
    for row in rows::edges(app, &plan.stored(), &conditions, true).await? {
        adder.edge(&mut builder, row);
    }
    let mut totals = builder.join();
    filter.narrow(&mut totals);
    Ok(Summed { plan, totals, staleness })
}

fn changes(mut current: Side, mut baseline: Side) -> CompareAnswer {
    let (windows, both) =
        ((current.plan.window(), baseline.plan.window()), both(&mut current, &mut baseline));
    let all = both.len();
    let mut changed: Vec<(f64, EdgeChange)> = both.into_iter().filter_map(significant).collect();
    changed.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    CompareAnswer {
        window: windows.0,
        baseline_window: windows.1,
        added: current.edges.into_values().collect(),
        removed: baseline.edges.into_values().collect(),
        unchanged_count: all - changed.len(),
        changed: changed.into_iter().map(|(_, change)| change).collect(),
        staleness: current.staleness,
        baseline_staleness: baseline.staleness,
    }
}

/// Takes the edges that both have out of them.
fn both(current: &mut Side, baseline: &mut Side) -> Vec<(EdgeChange, [f64; 3])> {
    let seconds = (current.plan.seconds, baseline.plan.seconds);
    let mut found = Vec::new();
    for (ends, now) in &current.totals.edges {
        let Some(before) = baseline.totals.edges.get(ends) else { continue };
        let id = (ends.0.to_string(), ends.1.to_string());
        let sides = current.edges.remove(&id).zip(baseline.edges.remove(&id));
        found.extend(sides.map(|sides| change(sides, (now, before), seconds)));
    }
    found
}

/// The change, and how far beyond chance each of its three parts is: 1 is just significant.
fn change(
    (current, baseline): (EdgeAnswer, EdgeAnswer),
    (now, before): (&EdgeTotals, &EdgeTotals),
    seconds: (f64, f64),
) -> (EdgeChange, [f64; 3]) {
    let share = |totals: &EdgeTotals| (totals.counts.errors as f64 / 1e3, totals.counts.calls as f64 / 1e3);
    let (error_rate, by_errors) = of_shares(share(now), share(before));
    let (latency, by_latency) = of_latencies(now.latency().0, before.latency().0);
    let (rate, by_rate) = of_rates((share(now).1, seconds.0), (share(before).1, seconds.1));
    (EdgeChange { current, baseline, error_rate, latency, rate }, [by_errors, by_latency, by_rate])
}

fn significant((change, scores): (EdgeChange, [f64; 3])) -> Option<(f64, EdgeChange)> {
    let is_significant =
        change.error_rate.significant || change.latency.significant || change.rate.significant;
    is_significant.then(|| (scores.into_iter().fold(0.0, f64::max), change))
}

/// Two-proportion z.
fn of_shares((failed, calls): (f64, f64), (failed_before, calls_before): (f64, f64)) -> (Change, f64) {
    if calls <= 0.0 || calls_before <= 0.0 {
        return (Change { value: None, significant: false }, 0.0);
    }
    let pooled = (failed + failed_before) / (calls + calls_before);
    let deviation = (pooled * (1.0 - pooled) * (1.0 / calls + 1.0 / calls_before)).sqrt();
    let difference = failed / calls - failed_before / calls_before;
    let z = if deviation > 0.0 { difference / deviation } else { 0.0 };
    told(z, z.abs() / SIGNIFICANT_Z, calls.min(calls_before))
}

/// The largest distance between the shares of values below any latency.
fn of_latencies(now: &Histogram, before: &Histogram) -> (Change, f64) {
    let (all, all_before) = (now.count() as f64 / 1e3, before.count() as f64 / 1e3);
    if all <= 0.0 || all_before <= 0.0 {
        return (Change { value: None, significant: false }, 0.0);
    }
    let mut counts: BTreeMap<u16, (f64, f64)> = BTreeMap::new();
    now.buckets()
        .iter()
        .for_each(|(bucket, count)| counts.entry(*bucket).or_default().0 += *count as f64 / 1e3);
    before
        .buckets()
        .iter()
        .for_each(|(bucket, count)| counts.entry(*bucket).or_default().1 += *count as f64 / 1e3);
    let (mut below, mut distance) = ((0.0, 0.0), 0.0_f64);
    for (count, count_before) in counts.into_values() {
        below = (below.0 + count, below.1 + count_before);
        distance = distance.max((below.0 / all - below.1 / all_before).abs());
    }
    let critical = SMIRNOV_C * ((all + all_before) / (all * all_before)).sqrt();
    told(distance, distance / critical, all.min(all_before))
}

fn of_rates((calls, seconds): (f64, f64), (calls_before, seconds_before): (f64, f64)) -> (Change, f64) {
    if calls <= 0.0 || calls_before <= 0.0 {
        return (Change { value: None, significant: false }, 0.0);
    }
    let ratio = (calls / seconds.max(1.0)) / (calls_before / seconds_before.max(1.0));
    told(ratio, ratio.max(1.0 / ratio) / RATE_RATIO, calls.max(calls_before))
}

fn told(value: f64, beyond: f64, calls: f64) -> (Change, f64) {
    let significant = beyond >= 1.0 && calls >= LEAST_CALLS;
    let value = Some((value * 1e4).round() / 1e4);
    (Change { value, significant }, if significant { beyond } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(values: &[(u64, i64)]) -> Histogram {
        let buckets =
            values.iter().map(|(us, count)| (u32::from(stitcher::histogram::bucket_of(*us)), *count * 1_000));
        Histogram::from_buckets(buckets, 0).0
    }

    #[test]
    fn shares_differ_by_more_than_chance_or_not() {
        let (change, _) = of_shares((20.0, 100.0), (2.0, 100.0));
        assert_eq!(change, Change { value: Some(4.0679), significant: true });
        assert!(!of_shares((3.0, 100.0), (2.0, 100.0)).0.significant);
        assert!(!of_shares((5.0, 5.0), (0.0, 5.0)).0.significant, "five calls say nothing");
        assert_eq!(of_shares((0.0, 100.0), (0.0, 100.0)).0.value, Some(0.0));
        assert_eq!(of_shares((0.0, 0.0), (0.0, 100.0)).0.value, None);
    }

    #[test]
    fn latencies_are_apart_by_the_largest_step_between_their_shares() {
        let (fast, slow) = (latencies(&[(100, 90), (1_000, 10)]), latencies(&[(100, 10), (1_000, 90)]));
        assert_eq!(of_latencies(&fast, &slow).0, Change { value: Some(0.8), significant: true });
        assert_eq!(of_latencies(&fast, &fast).0, Change { value: Some(0.0), significant: false });
        assert!(!of_latencies(&latencies(&[(100, 9)]), &latencies(&[(900, 9)])).0.significant, "few values");
    }

    #[test]
    fn rates_matter_at_twice_or_half() {
        assert!(of_rates((600.0, 60.0), (250.0, 60.0)).0.significant);
        assert!(of_rates((250.0, 60.0), (600.0, 60.0)).0.significant);
        assert!(!of_rates((600.0, 60.0), (2_000.0, 300.0)).0.significant, "by the second");
        assert!(!of_rates((8.0, 60.0), (2.0, 60.0)).0.significant, "a few calls are chance");
    }
}
