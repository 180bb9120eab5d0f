//! `/metrics/graph`: the flow graph as Prometheus metrics, in the names that Grafana's service graph asks for
//! (docs/adr/0021).

pub mod counters;
pub mod exemplars;
mod labels;
mod nets;
mod page;
mod sums;
mod table;
mod text;
mod topics;

use crate::App;
use crate::access::Access;
use crate::ask::Asks;
use crate::error::ApiError;
use crate::live::feed::now_us;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use counters::locked;
use exemplars::Shown;
use text::Format;

/// `/metrics/graph`.
pub fn router() -> Router<App> {
    Router::new().route("/metrics/graph", get(graph))
}

async fn graph(
    State(app): State<App>,
    access: Access,
    asks: Asks,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    asks.end()?;
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let (format, allowed, now_us) = (Format::accepted(accept), access.allowed, now_us());
    let exemplars = match format {
        Format::OpenMetrics => app.exemplars.shown(&app.stored, &allowed, now_us).await,
        Format::Prometheus => Shown::none(),
    };
    let (edges, endpoints) = {
        let counters = locked(&app.counters);
        let now_s = now_us / 1_000_000;
        (counters.edges.shown(&allowed, now_s), counters.endpoints.shown(&allowed, now_s))
    };
    let writing = move || page::page(&edges, &endpoints, &exemplars, format);
    // A page of many MB takes its time.
    let Ok(page) = tokio::task::spawn_blocking(writing).await else {
        return Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response());
    };
    let headers = [(header::CONTENT_TYPE, format.media_type()), (header::VARY, "accept")];
    Ok((headers, page).into_response())
}
