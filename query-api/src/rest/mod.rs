//! The REST questions. The OpenAPI document is made of these routes.

mod compare;
mod config;
pub mod dependencies;
mod diff;
pub mod edge_stats;
pub mod endpoints;
mod errors;
mod events;
mod flows;
pub mod graph;
pub mod heatmap;
pub mod operation_stats;
mod problems;
pub mod service_stats;
pub mod services;
mod statistics;
pub mod status;

use crate::error::ApiError;
use crate::hub::frame::Headline;
use crate::hub::{Event, Outcome};
use crate::protocol::Filters;
use crate::{App, auth, flow, traces};
use axum::Router;
pub use config::ConfigAnswer;
pub use problems::Problems;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Weir",
        description = "Request-flow graphs: who calls whom for which operation, how often, how fast, where it fails. \
        Times are µs since the epoch, durations µs, latencies ms with decimals.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(Headline, Event, Outcome, Filters))
)]
struct Document;

/// Everything under `/api/v1` but the WebSocket, and its description.
pub fn router() -> (Router<App>, utoipa::openapi::OpenApi) {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .merge(graph::router())
        .merge(events::router())
        .merge(status::router())
        .merge(flows::router())
        .merge(statistics::router())
        .merge(config::router())
        .merge(errors::router())
        .merge(diff::router())
        .merge(operation_stats::router())
        .merge(services::router())
        .merge(dependencies::router())
        .merge(compare::router())
        .merge(endpoints::router())
        .merge(edge_stats::router())
        .merge(heatmap::router())
        .merge(service_stats::router())
        .routes(routes!(flow::flow))
        .routes(routes!(traces::trace))
        .routes(routes!(auth::login::me))
        .split_for_parts();
    let router = router
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .fallback(crate::page::anything_else);
    (router, document)
}

/// The OpenAPI document of all routes, as it is checked in.
pub fn document() -> String {
    let mut text = router().1.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_checked_in() {
        let checked_in = include_str!("../../../schemas/openapi.json");
        assert!(checked_in == document(), "run tools/openapi");
    }
}
