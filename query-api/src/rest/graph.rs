//! Graphs and operations over a range.

use super::Problems;
use crate::App;
use crate::access::Access;
use crate::answer::{self, GraphAnswer, OperationsAnswer};
use crate::ask::Ask;
use crate::error::ApiError;
use crate::filter::{Around, Filter};
use crate::live::feed::now_us;
use crate::range::Asked;
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(graph)).routes(routes!(operations))
}

/// Which flows, and of which time. Unknown parameters are refused rather than ignored.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct GraphParameters {
    /// Exactly this operation.
    operation: Option<String>,
    /// Exactly this environment.
    environment: Option<String>,
    /// The last `90s`, `15m`, `2h`, `7d` …; 15 minutes by default.
    window: Option<String>,
    /// Instead of `window`: RFC 3339, a number since 1970 in s, ms, µs or ns, `now` or `now-1h`.
    start_time: Option<String>,
    /// As `startTime`; now by default.
    end_time: Option<String>,
    /// Whether health checks count too.
    #[serde(default)]
    probes: bool,
    /// Only what touches services of this namespace.
    namespace: Option<String>,
    /// Only what touches services of this name.
    service: Option<String>,
    /// Only what touches services of this cluster.
    cluster: Option<String>,
}

/// Which operations, and of which time.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct OperationsParameters {
    /// Exactly this operation.
    operation: Option<String>,
    /// Exactly this environment.
    environment: Option<String>,
    /// The last `90s`, `15m`, `2h`, `7d` …; 15 minutes by default.
    window: Option<String>,
    /// Instead of `window`: RFC 3339, a number since 1970 in s, ms, µs or ns, `now` or `now-1h`.
    start_time: Option<String>,
    /// As `startTime`; now by default.
    end_time: Option<String>,
    /// Whether health checks are listed too.
    #[serde(default)]
    probes: bool,
}

impl GraphParameters {
    fn read(self, app: &App, access: &Access) -> Result<(Filter, Asked), ApiError> {
        let (window, start, end) =
            (self.window.as_deref(), self.start_time.as_deref(), self.end_time.as_deref());
        let asked = Asked::parse(window, start, end, now_us(), &app.limits)?;
        let around = Around::read(self.service, self.namespace, self.cluster, &app.limits)?;
        let filter = Filter::new(self.operation, self.environment, self.probes, &app.limits)?
            .around(around)
            .within(&access.allowed);
        Ok((filter, asked))
    }
}

/// The graph of all flows that match
#[utoipa::path(get, path = "/api/v1/graph", tag = "graph", params(GraphParameters),
    responses((status = 200, body = GraphAnswer), Problems))]
async fn graph(
    State(app): State<App>,
    access: Access,
    Ask(parameters): Ask<GraphParameters>,
) -> Result<Json<GraphAnswer>, ApiError> {
    let (filter, asked) = parameters.read(&app, &access)?;
    Ok(Json(answer::graph(&app, filter, asked).await?))
}

/// Operations with counts, rates and latencies, and the known environments
#[utoipa::path(get, path = "/api/v1/operations", tag = "operations", params(OperationsParameters),
    responses((status = 200, body = OperationsAnswer), Problems))]
async fn operations(
    State(app): State<App>,
    access: Access,
    Ask(parameters): Ask<OperationsParameters>,
) -> Result<Json<OperationsAnswer>, ApiError> {
    Ok(Json(operations_of(&app, &access, parameters).await?))
}

/// The operations that match.
///
/// # Errors
/// A parameter can't be, or ClickHouse is needed and can't answer.
pub async fn operations_of(
    app: &App,
    access: &Access,
    parameters: OperationsParameters,
) -> Result<OperationsAnswer, ApiError> {
    let OperationsParameters { operation, environment, window, start_time, end_time, probes } = parameters;
    let asked =
        Asked::parse(window.as_deref(), start_time.as_deref(), end_time.as_deref(), now_us(), &app.limits)?;
    let filter = Filter::new(operation, environment, probes, &app.limits)?.within(&access.allowed);
    answer::operations(app, filter, asked).await
}
