//! How the calls of one edge went over time.

use super::Problems;
use crate::App;
use crate::access::Access;
use crate::ask::{Ask, At};
use crate::error::ApiError;
use crate::exemplars::{self, Exemplar, Subject};
use crate::filter::{Filter, checked};
use crate::graph::Latency;
use crate::hub::frame::WindowAnswer;
use crate::live::feed::now_us;
use crate::live::shards::Staleness;
use crate::number::{Count, rate, share};
use crate::over_time::{Question, calls};
use crate::range::Asked;
use crate::shown::{Meant, Shown};
use crate::totals::EdgeTotals;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(edge_stats))
}

/// Which calls, and how finely.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct EdgeStatsParameters {
    /// Exactly this environment.
    pub environment: Option<String>,
    /// Exactly this operation.
    pub operation: Option<String>,
    /// Exactly this version of the callee. Memory doesn't know versions apart: such answers come from tables.
    pub version: Option<String>,
    /// The last `90s`, `15m`, `2h`, `7d` …; 15 minutes by default.
    pub window: Option<String>,
    /// Instead of `window`: RFC 3339, a number since 1970 in s, ms, µs or ns, `now` or `now-1h`.
    pub start_time: Option<String>,
    /// As `startTime`; now by default.
    pub end_time: Option<String>,
    /// Length of a point: `10s`, `1m`, `10m`, `1h` …; by default the one that makes at most 300 points.
    pub step: Option<String>,
    /// Whether health checks count too.
    #[serde(default)]
    pub probes: bool,
}

/// Calls of an edge over time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct EdgeStats {
    /// Id of the caller as graphs show it.
    pub from: String,
    /// Id of the callee as graphs show it.
    pub to: String,
    pub environment: Option<String>,
    pub operation_name: Option<String>,
    pub version: Option<String>,
    pub window: WindowAnswer,
    /// All of the range.
    pub metrics: EdgeMeasures,
    /// Seconds between two points.
    pub step: u32,
    /// Every step of the range; one without calls has zeros and no latencies. Counts add up to `metrics`.
    pub series: Vec<EdgePoint>,
    /// Flows to look at, at most 3 a step: among those whose graphs were stored, which are failed, slow and sampled
    /// ones, the worst. They are not told apart by version.
    pub exemplars: Vec<Exemplar>,
    /// `live`, `clickhouse` or `clickhouse+live`.
    pub source: &'static str,
    pub staleness: Staleness,
}

/// Calls of one step.
#[derive(Debug, Serialize, ToSchema)]
pub struct EdgePoint {
    /// Start of the step, µs.
    pub time: i64,
    /// Its calls.
    #[serde(flatten)]
    pub measures: EdgeMeasures,
}

/// Everything that is measured of an edge.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct EdgeMeasures {
    /// Attempts; logical calls are `callCount − retryCount`.
    pub call_count: Count,
    pub error_count: Count,
    pub client_errors: Count,
    pub retry_count: Count,
    pub timeouts: Count,
    pub rejected: Count,
    /// Messages carried, for topics.
    pub messages: Count,
    pub raw_call_count: i64,
    pub error_rate: f64,
    /// Calls a second.
    pub rate: f64,
    /// Share of the calls that were seen from both sides.
    pub confidence: f64,
    /// As graphs show it: the callee's where there is one, else the caller's.
    #[serde(flatten)]
    pub latency: Latency,
    /// Which of the two that is.
    pub latency_side: Option<&'static str>,
    /// As the callee measured it.
    pub callee: Latency,
    /// As the caller measured it, network and queueing included.
    pub caller: Latency,
    /// Between producer and consumer of a message, approximate: two clocks.
    pub wait: Latency,
}

impl EdgeMeasures {
    /// The numbers of a range that is `seconds` long.
    pub fn of(totals: &EdgeTotals, seconds: f64) -> Self {
        let counts = &totals.counts;
        let (latency, latency_side) = totals.latency();
        Self {
            call_count: Count(counts.calls),
            error_count: Count(counts.errors),
            client_errors: Count(counts.client_errors),
            retry_count: Count(counts.retries),
            timeouts: Count(counts.timeouts),
            rejected: Count(counts.rejected),
            messages: Count(counts.messages),
            raw_call_count: counts.raw_calls,
            error_rate: share(counts.errors, counts.calls),
            rate: rate(counts.calls, seconds),
            confidence: share(counts.paired, counts.calls),
            latency: Latency::of(latency),
            latency_side,
            callee: Latency::of(&totals.callee),
            caller: Latency::of(&totals.caller),
            wait: Latency::of(&totals.wait),
        }
    }
}

/// Calls from one node to another over time, with examples
#[utoipa::path(get, path = "/api/v1/edges/{from}/{to}/stats", tag = "graph",
    params(
        ("from" = String, Path, description = "Id of the caller's node as graphs show it, url-encoded"),
        ("to" = String, Path, description = "Id of the callee's node as graphs show it, url-encoded"),
        EdgeStatsParameters
    ),
    responses((status = 200, body = EdgeStats), Problems))]
async fn edge_stats(
    State(app): State<App>,
    access: Access,
    At((from, to)): At<(String, String)>,
    Ask(parameters): Ask<EdgeStatsParameters>,
) -> Result<Json<EdgeStats>, ApiError> {
    Ok(Json(stats(&app, &access, (&from, &to), parameters).await?))
}

/// The two ends of an edge that ids mean, where the caller may know of one of them.
///
/// # Errors
/// One of them isn't there.
pub(super) fn ends(
    shown: &Shown,
    access: &Access,
    (from, to): (&str, &str),
) -> Result<(Meant, Meant), ApiError> {
    let (clients, servers) = (shown.id(from)?, shown.id(to)?);
    let known = |meant: &Meant| meant.shown.iter().all(|node| access.allowed.namespace(&node.namespace));
    if known(&clients) || known(&servers) {
        return Ok((clients, servers));
    }
    Err(ApiError::not_found(format!("no calls from {from} to {to} were seen in this time")))
}

/// Calls from one node to another over time.
///
/// # Errors
/// There is no such node, the parameters can't be, or ClickHouse is needed and can't answer.
pub async fn stats(
    app: &App,
    access: &Access,
    (from, to): (&str, &str),
    parameters: EdgeStatsParameters,
) -> Result<EdgeStats, ApiError> {
    let EdgeStatsParameters { environment, operation, version, .. } = parameters;
    let EdgeStatsParameters { window, start_time, end_time, step, probes, .. } = parameters;
    let (start, end) = (start_time.as_deref(), end_time.as_deref());
    let asked = Asked::parse(window.as_deref(), start, end, now_us(), &app.limits)?;
    let version = checked("version", version, &app.limits)?;
    let filter = Filter::new(operation, environment, probes, &app.limits)?.within(&access.allowed);
    let shown = Shown::of(app, &filter, asked, version.is_some()).await?;
    let (clients, servers) = ends(&shown, access, (from, to))?;
    let question = Question { filter, asked, step: step.as_deref(), version: version.as_deref() };
    let sums = calls(app, &question, Some(&clients), Some(&servers)).await?;
    let subject = Subject::Edge(&clients, &servers);
    let exemplars = exemplars::of(app, &question.filter, &subject, (sums.plan, sums.step)).await?;
    let now_s = u32::try_from(now_us() / 1_000_000).unwrap_or(u32::MAX);
    let points = sums.points(now_s).map(|(start_s, seconds, calls)| EdgePoint {
        time: i64::from(start_s) * 1_000_000,
        measures: EdgeMeasures::of(&calls.cloned().unwrap_or_default(), seconds),
    });
    Ok(EdgeStats {
        from: clients.id().unwrap_or_else(|| from.to_owned()),
        to: servers.id().unwrap_or_else(|| to.to_owned()),
        environment: question.filter.environment.clone(),
        operation_name: question.filter.operation.clone(),
        window: sums.plan.window(),
        metrics: EdgeMeasures::of(&sums.total, sums.plan.seconds),
        step: sums.step.length_s,
        series: points.collect(),
        exemplars,
        source: sums.plan.source(),
        version,
        staleness: sums.staleness,
    })
}
