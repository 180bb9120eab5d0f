//! Statistics of one operation.

use super::Problems;
use crate::App;
use crate::access::Access;
use crate::answer::summed;
use crate::ask::{Ask, At};
use crate::error::ApiError;
use crate::filter::Filter;
use crate::graph::Latency;
use crate::hub::frame::WindowAnswer;
use crate::live::feed::now_us;
use crate::live::shards::Staleness;
use crate::node::Kind;
use crate::number::{Count, rate, share};
use crate::over_time::{Question, flows};
use crate::range::{Asked, rfc3339};
use crate::sums::Sums;
use crate::totals::FlowTotals;
use crate::totals::Totals;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(operation_stats))
}

/// Which environment and time, and how finely.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct StatsParameters {
    /// Exactly this environment.
    pub environment: Option<String>,
    /// The last `90s`, `15m`, `2h`, `7d` …; 15 minutes by default.
    pub window: Option<String>,
    /// Instead of `window`: RFC 3339, a number since 1970 in s, ms, µs or ns, `now` or `now-1h`.
    pub start_time: Option<String>,
    /// As `startTime`; now by default.
    pub end_time: Option<String>,
    /// Length of a point: `10s`, `1m`, `10m`, `1h` …; by default the one that makes at most 300 points.
    pub step: Option<String>,
}

/// Statistics of an operation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct OperationStats {
    pub operation_name: String,
    pub environment: Option<String>,
    pub period: Period,
    pub window: WindowAnswer,
    pub stats: FlowStats,
    /// Seconds between two points.
    pub step: u32,
    /// Every step of the range; one without flows has zeros and no latencies. Counts add up to `stats`.
    pub series: Vec<FlowPoint>,
    /// Newest second in which anything of it ended, µs; from tables the start of their minute or hour. null: never.
    pub last_seen: Option<i64>,
    /// `live`, `clickhouse` or `clickhouse+live`.
    pub source: &'static str,
    pub staleness: Staleness,
}

/// A range as people write it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Period {
    /// First second, RFC 3339.
    pub start: String,
    /// The second after the last one.
    pub end: String,
}

/// Flows of a range.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct FlowStats {
    /// Flows that ended in the range.
    pub total_requests: Count,
    pub success_count: Count,
    /// Those that timed out included.
    pub error_count: Count,
    pub timeouts: Count,
    pub error_rate: f64,
    /// Flows a second.
    pub rate: f64,
    #[serde(flatten)]
    pub latency: Latency,
    /// Most requests first.
    pub services: Vec<ServiceShare>,
}

/// A service's part in an operation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct ServiceShare {
    /// As graphs show it.
    pub id: String,
    pub name: String,
    pub namespace: String,
    pub cluster: String,
    pub request_count: Count,
    pub error_count: Count,
    pub error_rate: f64,
    pub avg_latency: Option<f64>,
    pub p95_latency: Option<f64>,
    /// Share of the requests that all these services had for the operation.
    pub share: f64,
}

/// Flows that ended in one step.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct FlowPoint {
    /// Start of the step, µs.
    pub time: i64,
    pub request_count: Count,
    pub error_count: Count,
    pub timeouts: Count,
    pub error_rate: f64,
    pub rate: f64,
    #[serde(flatten)]
    pub latency: Latency,
}

/// An operation's counts, rates and latencies, over all and over time, and what each service had to do for it
#[utoipa::path(get, path = "/api/v1/operations/{name}/stats", tag = "operations",
    params(("name" = String, Path, description = "The operation, url-encoded"), StatsParameters),
    responses((status = 200, body = OperationStats), Problems))]
async fn operation_stats(
    State(app): State<App>,
    access: Access,
    At(name): At<String>,
    Ask(parameters): Ask<StatsParameters>,
) -> Result<Json<OperationStats>, ApiError> {
    Ok(Json(stats(&app, &access, name, parameters).await?))
}

/// Statistics of an operation.
///
/// # Errors
/// The parameters can't be, the caller may know nothing of it, or ClickHouse is needed and can't answer.
pub async fn stats(
    app: &App,
    access: &Access,
    name: String,
    parameters: StatsParameters,
) -> Result<OperationStats, ApiError> {
    let StatsParameters { environment, window, start_time, end_time, step } = parameters;
    let asked =
        Asked::parse(window.as_deref(), start_time.as_deref(), end_time.as_deref(), now_us(), &app.limits)?;
    let filter = Filter::new(Some(name.clone()), environment, false, &app.limits)?.within(&access.allowed);
    if filter.operation.is_none() {
        return Err(ApiError::bad_request("the operation's name is missing"));
    }
    let question = Question { filter, asked, step: step.as_deref(), version: None };
    let sums = flows(app, &question).await?;
    // The same seconds, though time has gone on.
    let same = Asked::Between(sums.plan.from_s, sums.plan.to_s);
    let services = services(app, access, &question.filter, same).await?;
    Ok(answer(name, question.filter.environment, sums, services))
}

/// What each service had to do for an operation. Who may only know of some namespaces may only know of operations that
/// those have a part in.
async fn services(
    app: &App,
    access: &Access,
    filter: &Filter,
    asked: Asked,
) -> Result<Vec<ServiceShare>, ApiError> {
    let services = shares(&summed(app, filter, asked).await?.totals, access);
    if services.is_empty() && access.allowed.namespaces.is_some() {
        return Err(ApiError::not_found("nothing of this operation was seen in this time"));
    }
    Ok(services)
}

/// Fails unless the caller may know of a service that has a part in the operation.
///
/// # Errors
/// They may not, or ClickHouse is needed and can't answer.
pub(super) async fn check(app: &App, access: &Access, filter: &Filter, asked: Asked) -> Result<(), ApiError> {
    services(app, access, filter, asked).await.map(|_| ())
}

fn answer(
    operation_name: String,
    environment: Option<String>,
    sums: Sums<FlowTotals>,
    services: Vec<ServiceShare>,
) -> OperationStats {
    let now_s = u32::try_from(now_us() / 1_000_000).unwrap_or(u32::MAX);
    let (plan, counts) = (sums.plan, &sums.total.counts);
    OperationStats {
        operation_name,
        environment,
        period: Period { start: rfc3339(plan.from_s), end: rfc3339(plan.to_s) },
        window: plan.window(),
        stats: FlowStats {
            total_requests: Count(counts.flows),
            success_count: Count(counts.flows - counts.errors),
            error_count: Count(counts.errors),
            timeouts: Count(counts.timeouts),
            error_rate: share(counts.errors, counts.flows),
            rate: rate(counts.flows, plan.seconds),
            latency: Latency::of(&sums.total.durations),
            services,
        },
        step: sums.step.length_s,
        series: sums.points(now_s).map(|(start_s, seconds, flows)| point(start_s, seconds, flows)).collect(),
        last_seen: (sums.newest_s > 0).then(|| i64::from(sums.newest_s) * 1_000_000),
        source: plan.source(),
        staleness: sums.staleness,
    }
}

fn point(start_s: u32, seconds: f64, flows: Option<&FlowTotals>) -> FlowPoint {
    let FlowTotals { counts, durations } = flows.cloned().unwrap_or_default();
    FlowPoint {
        time: i64::from(start_s) * 1_000_000,
        request_count: Count(counts.flows),
        error_count: Count(counts.errors),
        timeouts: Count(counts.timeouts),
        error_rate: share(counts.errors, counts.flows),
        rate: rate(counts.flows, seconds),
        latency: Latency::of(&durations),
    }
}

fn shares(totals: &Totals, access: &Access) -> Vec<ServiceShare> {
    let nodes = totals.nodes();
    let services: Vec<_> = nodes
        .iter()
        .filter(|(node, _)| node.kind == Kind::Service && access.allowed.namespace(&node.namespace))
        .collect();
    let all: i64 = services.iter().map(|(_, totals)| totals.counts.requests).sum();
    let mut shares: Vec<ServiceShare> = services
        .into_iter()
        .map(|(node, totals)| {
            let latency = Latency::of(&totals.latency);
            ServiceShare {
                id: node.to_string(),
                name: node.name.clone(),
                namespace: node.namespace.clone(),
                cluster: node.cluster.clone(),
                request_count: Count(totals.counts.requests),
                error_count: Count(totals.counts.errors),
                error_rate: share(totals.counts.errors, totals.counts.requests),
                avg_latency: latency.avg_latency,
                p95_latency: latency.p95_latency,
                share: share(totals.counts.requests, all),
            }
        })
        .collect();
    shares.sort_by(|a, b| b.request_count.cmp(&a.request_count).then_with(|| a.id.cmp(&b.id)));
    shares
}
