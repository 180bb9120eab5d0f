//! Latency over time.

use super::Problems;
use super::edge_stats::ends;
use crate::App;
use crate::access::Access;
use crate::answer::Plan;
use crate::ask::Ask;
use crate::error::ApiError;
use crate::filter::{Around, Filter, checked};
use crate::histogram::Histogram;
use crate::hub::frame::WindowAnswer;
use crate::latency_rows::LatencyRows;
use crate::live::feed::now_us;
use crate::live::shards::Staleness;
use crate::number::{Count, ms};
use crate::over_time::{Question, calls, flows, requests};
use crate::range::{Asked, duration_s};
use crate::shown::Shown;
use crate::sums::Sums;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The shortest step: live state keeps latencies by ten seconds.
const SHORTEST_S: u32 = 10;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(heatmap))
}

/// Of what: `operation` alone, a `service`, or an edge `from` one node `to` another.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct HeatmapParameters {
    /// Flows of this operation; beside `service` or an edge only what they did for it.
    pub operation: Option<String>,
    /// Requests of the service of this name.
    pub service: Option<String>,
    /// Its namespace, where several have one of this name.
    pub namespace: Option<String>,
    /// Its cluster; those of several are taken together without.
    pub cluster: Option<String>,
    /// Id of the caller's node as graphs show it.
    pub from: Option<String>,
    /// Id of the callee's node as graphs show it.
    pub to: Option<String>,
    /// Exactly this environment.
    pub environment: Option<String>,
    /// The last `90s`, `15m`, `2h`, `7d` …, rounded outward to ten seconds; 15 minutes by default.
    pub window: Option<String>,
    /// Instead of `window`: RFC 3339, a number since 1970 in s, ms, µs or ns, `now` or `now-1h`.
    pub start_time: Option<String>,
    /// As `startTime`; now by default.
    pub end_time: Option<String>,
    /// Length of a column, at least `10s`; by default the one that makes at most 300 columns.
    pub step: Option<String>,
    /// Whether health checks count too.
    #[serde(default)]
    pub probes: bool,
}

/// How many took how long when.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Heatmap {
    pub window: WindowAnswer,
    /// Seconds between two columns.
    pub step: u32,
    /// Start of each column, µs.
    pub times: Vec<i64>,
    /// Rows, the fastest first; at most 24, none where nothing was measured.
    pub buckets: Vec<LatencyRange>,
    /// By row, then by column: how many took so long.
    pub counts: Vec<Vec<Count>>,
    /// By column: how many there were, those without a measured latency included.
    pub totals: Vec<Count>,
    /// By column: how many failed. How long those took is not kept apart.
    pub errors: Vec<Count>,
    /// `live`, `clickhouse` or `clickhouse+live`.
    pub source: &'static str,
    pub staleness: Staleness,
}

/// A range of latency, ms.
#[derive(Debug, Serialize, ToSchema)]
pub struct LatencyRange {
    /// The least.
    pub from: f64,
    /// Less than this.
    pub to: f64,
}

/// Latency over time of an operation, a service or an edge: exact counts from the histograms
#[utoipa::path(get, path = "/api/v1/heatmap", tag = "graph", params(HeatmapParameters),
    responses((status = 200, body = Heatmap), Problems))]
async fn heatmap(
    State(app): State<App>,
    access: Access,
    Ask(parameters): Ask<HeatmapParameters>,
) -> Result<Json<Heatmap>, ApiError> {
    Ok(Json(of(&app, &access, parameters).await?))
}

/// Latency over time.
///
/// # Errors
/// The parameters can't be, there is no such service or node, or ClickHouse is needed and can't answer.
pub async fn of(app: &App, access: &Access, parameters: HeatmapParameters) -> Result<Heatmap, ApiError> {
    let HeatmapParameters { operation, service, namespace, cluster, from, to, probes, .. } = parameters;
    let (start, end) = (parameters.start_time.as_deref(), parameters.end_time.as_deref());
    let now_us = now_us();
    // The seconds of a cell are those of its column.
    let asked = Asked::parse(parameters.window.as_deref(), start, end, now_us, &app.limits)?
        .outward(SHORTEST_S, now_us);
    let filter = Filter::new(operation, parameters.environment, probes, &app.limits)?.within(&access.allowed);
    let place = Around::read(None, namespace, cluster, &app.limits)?;
    let [service, from, to] = [("service", service), ("from", from), ("to", to)]
        .map(|(name, text)| checked(name, text, &app.limits));
    let (service, from, to) = (service?, from?, to?);
    let step = parameters.step.as_deref();
    if step.and_then(duration_s).is_some_and(|length_s| length_s < SHORTEST_S) {
        return Err(ApiError::bad_request("the step of a heatmap is at least 10s"));
    }
    let question = Question { filter, asked, step, version: None };
    let columns = match (service, from, to) {
        (Some(service), None, None) => {
            let shown = Shown::of(app, &question.filter, asked, false).await?;
            let meant = shown.service(&service, &place, &access.allowed)?;
            let sums = requests(app, &question, &meant).await?;
            Columns::of(sums, |sum| (sum.counts.requests, sum.counts.errors, &sum.latency))
        }
        (None, Some(from), Some(to)) if place.is_anywhere() => {
            let shown = Shown::of(app, &question.filter, asked, false).await?;
            let (clients, servers) = ends(&shown, access, (&from, &to))?;
            let sums = calls(app, &question, Some(&clients), Some(&servers)).await?;
            // One side for all columns, so that none is compared with the other side's.
            let callee = sums.total.latency().1 == Some("callee");
            Columns::of(sums, |sum| {
                (sum.counts.calls, sum.counts.errors, if callee { &sum.callee } else { &sum.caller })
            })
        }
        (None, None, None) if place.is_anywhere() && question.filter.operation.is_some() => {
            if access.allowed.namespaces.is_some() {
                super::operation_stats::check(app, access, &question.filter, asked).await?;
            }
            Columns::of(flows(app, &question).await?, |sum| {
                (sum.counts.flows, sum.counts.errors, &sum.durations)
            })
        }
        _ => {
            return Err(ApiError::bad_request(
                "a heatmap is of an operation, of a service (with its namespace and cluster), or of an edge: from and to",
            ));
        }
    };
    Ok(columns.answer())
}

/// A heatmap before its rows are known.
struct Columns {
    plan: Plan,
    step_s: u32,
    staleness: Staleness,
    columns: Vec<Column>,
    all: Histogram,
}

#[derive(Default)]
struct Column {
    start_s: u32,
    count: i64,
    errors: i64,
    latency: Histogram,
}

impl Columns {
    fn of<T>(sums: Sums<T>, read: impl Fn(&T) -> (i64, i64, &Histogram)) -> Self {
        let column = |start_s: u32, sum: Option<&T>| {
            let Some((count, errors, latency)) = sum.map(&read) else {
                return Column { start_s, ..Column::default() };
            };
            Column { start_s, count, errors, latency: latency.clone() }
        };
        let points = sums.step.spans().map(|(start_s, ..)| column(start_s, sums.points.get(&start_s)));
        Self {
            plan: sums.plan,
            step_s: sums.step.length_s,
            columns: points.collect(),
            all: read(&sums.total).2.clone(),
            staleness: sums.staleness,
        }
    }

    fn answer(self) -> Heatmap {
        let rows = LatencyRows::of(&self.all);
        let by_column: Vec<Vec<i64>> =
            self.columns.iter().map(|column| rows.counts(&column.latency)).collect();
        let row = |at: usize| by_column.iter().map(|counts| Count(counts[at])).collect();
        let range = |(from_us, to_us)| LatencyRange { from: ms(from_us as f64), to: ms(to_us as f64) };
        let buckets: Vec<LatencyRange> =
            rows.ranges_us().map(|(from_us, to_us): (u64, u64)| range((from_us, to_us))).collect();
        Heatmap {
            window: self.plan.window(),
            step: self.step_s,
            times: self.columns.iter().map(|column| i64::from(column.start_s) * 1_000_000).collect(),
            counts: (0..buckets.len()).map(row).collect(),
            buckets,
            totals: self.columns.iter().map(|column| Count(column.count)).collect(),
            errors: self.columns.iter().map(|column| Count(column.errors)).collect(),
            source: self.plan.source(),
            staleness: self.staleness,
        }
    }
}
