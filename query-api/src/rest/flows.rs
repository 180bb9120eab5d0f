//! Lists of flows and traces.

use super::Problems;
use crate::App;
use crate::access::Access;
use crate::ask::Asks;
use crate::error::ApiError;
use crate::flows::{self, FlowsAnswer, PageWords, SortWords, TracesAnswer, WhichWords};
use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(traces))
}

/// Flows, newest first, page by page
///
/// `nodes` and `edges` are there for flows whose graph is stored (failed, slow and sampled ones), else null.
#[utoipa::path(get, path = "/api/v1/flows", operation_id = "flows", tag = "flows",
    params(WhichWords, PageWords, SortWords), responses((status = 200, body = FlowsAnswer), Problems))]
async fn list(State(app): State<App>, access: Access, mut asks: Asks) -> Result<Json<FlowsAnswer>, ApiError> {
    let (which, page, sort) = (asks.take()?, asks.take()?, asks.take()?);
    asks.end()?;
    Ok(Json(flows::list(&app, &access, which, page, sort).await?))
}

/// Traces, newest first, page by page
///
/// What is listed are closed flows. With `attribute`, those in whose raw spans it is found: they are kept for 7 days,
/// and searched from an hour before to an hour after the range.
#[utoipa::path(get, path = "/api/v1/traces", operation_id = "traces", tag = "traces",
    params(WhichWords, PageWords, SortWords,
        ("attribute" = Option<Vec<String>>, Query, explode, style = Form,
            description = "`key:value` of a span or its resource; all of several have to be found in the trace")),
    responses((status = 200, body = TracesAnswer), Problems))]
async fn traces(
    State(app): State<App>,
    access: Access,
    mut asks: Asks,
) -> Result<Json<TracesAnswer>, ApiError> {
    let (which, page, sort) = (asks.take()?, asks.take()?, asks.take()?);
    let attributes = asks.take_all("attribute")?;
    asks.end()?;
    Ok(Json(flows::traces(&app, &access, which, &attributes, (page, sort)).await?))
}
