//! What sets some flows apart.

use super::Problems;
use crate::App;
use crate::access::Access;
use crate::difference::{self, DiffAnswer, DiffQuestion};
use crate::error::ApiError;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(diff))
}

/// How a selection of flows differs from others
///
/// Attributes, services, versions and endpoints, ranked by the share of the selected flows that have them minus that of
/// the others. Raw spans are kept for 7 days. Needs the role analyst.
#[utoipa::path(post, path = "/api/v1/diff", tag = "errors", request_body = DiffQuestion,
    responses((status = 200, body = DiffAnswer), Problems))]
async fn diff(
    State(app): State<App>,
    access: Access,
    question: Result<Json<Map<String, Value>>, JsonRejection>,
) -> Result<Json<DiffAnswer>, ApiError> {
    let Json(question) = question.map_err(|refused| ApiError::bad_request(refused.body_text()))?;
    let question = serde_json::from_value(Value::Object(question))
        .map_err(|refused| ApiError::bad_request(format!("not understood: {refused}")))?;
    Ok(Json(difference::diff(&app, &access, question).await?))
}
