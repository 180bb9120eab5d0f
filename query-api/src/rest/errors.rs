//! Errors, grouped.

use super::Problems;
use crate::App;
use crate::access::Access;
use crate::ask::Ask;
use crate::error::ApiError;
use crate::failures::{self, ErrorsAnswer};
use crate::flows::WhichWords;
use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(errors))
}

/// Error spans of the flows that match, grouped by operation, service, callee, exception and message
///
/// Times are those of the spans; raw spans are kept for 7 days. Needs the role analyst.
#[utoipa::path(get, path = "/api/v1/errors", tag = "errors", params(WhichWords),
    responses((status = 200, body = ErrorsAnswer), Problems))]
async fn errors(
    State(app): State<App>,
    access: Access,
    Ask(which): Ask<WhichWords>,
) -> Result<Json<ErrorsAnswer>, ApiError> {
    Ok(Json(failures::list(&app, &access, which).await?))
}
