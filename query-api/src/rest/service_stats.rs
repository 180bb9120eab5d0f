//! How one service did over time.

use super::Problems;
use crate::App;
use crate::access::Access;
use crate::ask::{Ask, At};
use crate::error::ApiError;
use crate::exemplars::{self, Exemplar, Subject};
use crate::filter::{Around, Filter, checked};
use crate::graph::NodeMetrics;
use crate::hub::frame::WindowAnswer;
use crate::live::feed::now_us;
use crate::live::shards::Staleness;
use crate::over_time::{Question, requests};
use crate::range::Asked;
use crate::shown::Shown;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(service_stats))
}

/// Which requests, and how finely.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ServiceStatsParameters {
    /// The service's namespace, where several have one of this name.
    pub namespace: Option<String>,
    /// The service's cluster; those of several are taken together without.
    pub cluster: Option<String>,
    /// Exactly this environment.
    pub environment: Option<String>,
    /// Exactly this operation.
    pub operation: Option<String>,
    /// Exactly this version of the service. Memory doesn't know versions apart: such answers come from tables.
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

/// Requests of a service over time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct ServiceStats {
    pub name: String,
    pub namespace: String,
    pub environment: Option<String>,
    pub operation_name: Option<String>,
    pub version: Option<String>,
    pub window: WindowAnswer,
    /// All of the range.
    pub metrics: NodeMetrics,
    /// Seconds between two points.
    pub step: u32,
    /// Every step of the range; one without requests has zeros and no latencies. Counts add up to `metrics`.
    pub series: Vec<ServicePoint>,
    /// Flows to look at, at most 3 a step: among those whose graphs were stored, which are failed, slow and sampled
    /// ones, the worst. They are not told apart by version.
    pub exemplars: Vec<Exemplar>,
    /// `live`, `clickhouse` or `clickhouse+live`.
    pub source: &'static str,
    pub staleness: Staleness,
}

/// Requests of one step.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServicePoint {
    /// Start of the step, µs.
    pub time: i64,
    /// Its requests.
    #[serde(flatten)]
    pub metrics: NodeMetrics,
}

/// A service's requests over time
#[utoipa::path(get, path = "/api/v1/services/{name}/stats", tag = "services",
    params(("name" = String, Path, description = "The service's name, url-encoded"), ServiceStatsParameters),
    responses((status = 200, body = ServiceStats), Problems))]
async fn service_stats(
    State(app): State<App>,
    access: Access,
    At(name): At<String>,
    Ask(parameters): Ask<ServiceStatsParameters>,
) -> Result<Json<ServiceStats>, ApiError> {
    Ok(Json(stats(&app, &access, &name, parameters).await?))
}

/// A service's requests over time.
///
/// # Errors
/// There is no such service, or several; the parameters can't be; ClickHouse is needed and can't answer.
pub async fn stats(
    app: &App,
    access: &Access,
    name: &str,
    parameters: ServiceStatsParameters,
) -> Result<ServiceStats, ApiError> {
    let ServiceStatsParameters { namespace, cluster, environment, operation, version, .. } = parameters;
    let ServiceStatsParameters { window, start_time, end_time, step, probes, .. } = parameters;
    let (start, end) = (start_time.as_deref(), end_time.as_deref());
    let asked = Asked::parse(window.as_deref(), start, end, now_us(), &app.limits)?;
    let version = checked("version", version, &app.limits)?;
    let place = Around::read(None, namespace, cluster, &app.limits)?;
    let filter = Filter::new(operation, environment, probes, &app.limits)?.within(&access.allowed);
    let shown = Shown::of(app, &filter, asked, version.is_some()).await?;
    let meant = shown.service(name, &place, &access.allowed)?;
    let question = Question { filter, asked, step: step.as_deref(), version: version.as_deref() };
    let sums = requests(app, &question, &meant).await?;
    let exemplars =
        exemplars::of(app, &question.filter, &Subject::Node(&meant), (sums.plan, sums.step)).await?;
    let now_s = u32::try_from(now_us() / 1_000_000).unwrap_or(u32::MAX);
    let points = sums.points(now_s).map(|(start_s, seconds, requests)| ServicePoint {
        time: i64::from(start_s) * 1_000_000,
        metrics: NodeMetrics::of(&requests.cloned().unwrap_or_default(), seconds),
    });
    Ok(ServiceStats {
        name: name.to_owned(),
        namespace: meant.shown.first().map(|node| node.namespace.clone()).unwrap_or_default(),
        environment: question.filter.environment.clone(),
        operation_name: question.filter.operation.clone(),
        window: sums.plan.window(),
        metrics: NodeMetrics::of(&sums.total, sums.plan.seconds),
        step: sums.step.length_s,
        series: points.collect(),
        exemplars,
        source: sums.plan.source(),
        version,
        staleness: sums.staleness,
    })
}
