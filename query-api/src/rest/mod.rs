//! The REST questions. The OpenAPI document is made of these routes.

mod dependencies;
mod edge_stats;
mod endpoints;
mod graph;
mod heatmap;
mod operation_stats;
mod problems;
mod service_stats;
mod services;

use crate::error::ApiError;
use crate::{App, flow, traces};
use axum::Router;
pub use problems::Problems;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[derive(OpenApi)]
#[openapi(info(
    title = "Weir",
    description = "Request-flow graphs: who calls whom for which operation, how often, how fast, where it fails. \
        Times are µs since the epoch, durations µs, latencies ms with decimals.",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct Document;

/// Everything under `/api/v1` but the WebSocket, and its description.
pub fn router() -> (Router<App>, utoipa::openapi::OpenApi) {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .merge(graph::router())
        .merge(operation_stats::router())
        .merge(services::router())
        .merge(dependencies::router())
        .merge(endpoints::router())
        .merge(edge_stats::router())
        .merge(heatmap::router())
        .merge(service_stats::router())
        .routes(routes!(flow::flow))
        .routes(routes!(traces::trace))
        .split_for_parts();
    let router = router
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .fallback(async || ApiError::not_found("there is nothing here; the API begins with /api/v1"));
    (router, document)
}
