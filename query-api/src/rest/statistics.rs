//! Statistics of flows.

use super::Problems;
use crate::App;
use crate::access::Access;
use crate::ask::Ask;
use crate::error::ApiError;
use crate::flows::{self, StatisticsAnswer, WhichWords};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(statistics))
}

/// Which flows. What single users did is not asked here, because who only sees graphs may ask.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct StatisticsParameters {
    /// Exactly this operation.
    operation: Option<String>,
    /// Exactly this environment.
    environment: Option<String>,
    /// Those that began in, or went through, a service of this name.
    service: Option<String>,
    /// Those that began in, or went through, a service of this namespace; with `service` the one of that name there.
    namespace: Option<String>,
    /// Those that went through a service of this cluster; with `service` and `namespace` that one there.
    cluster: Option<String>,
    /// `success`, `error` or `timeout`; several with commas between them.
    #[param(pattern = "^(success|error|timeout)(,(success|error|timeout))*$")]
    status: Option<String>,
    /// Those that began in the last `90s`, `15m`, `2h`, `7d` …; 15 minutes by default. Flows are kept for 30 days.
    window: Option<String>,
    /// Instead of `window`: RFC 3339, a number since 1970 in s, ms, µs or ns, `now` or `now-1h`; whole seconds.
    start_time: Option<String>,
    /// As `startTime`; now by default.
    end_time: Option<String>,
    /// Whether health checks count too.
    #[serde(default)]
    probes: bool,
}

/// How many flows match, how they ended and how long they took
///
/// The same flows as `/flows` lists: those that began in the range and have closed.
#[utoipa::path(get, path = "/api/v1/statistics", tag = "flows", params(StatisticsParameters),
    responses((status = 200, body = StatisticsAnswer), Problems))]
async fn statistics(
    State(app): State<App>,
    access: Access,
    Ask(asked): Ask<StatisticsParameters>,
) -> Result<Json<StatisticsAnswer>, ApiError> {
    let which = WhichWords {
        operation: asked.operation,
        environment: asked.environment,
        service: asked.service,
        namespace: asked.namespace,
        cluster: asked.cluster,
        status: asked.status,
        window: asked.window,
        start_time: asked.start_time,
        end_time: asked.end_time,
        probes: asked.probes,
        ..WhichWords::default()
    };
    Ok(Json(flows::statistics(&app, &access, which).await?))
}
