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
        Format::OpenMetrics => app.exemplars.shown(&app.stored, &app.limits, &allowed, now_us).await,
        Format::Prometheus => Shown::none(),
    };
    // Who waits too long hears so from the gate.
    let Ok(turn) = app.graph_pages.clone().acquire_owned().await else { return Err(ApiError::stopping()) };
    let (edges, endpoints) = {
        let counters = locked(&app.counters);
        let now_s = now_us / 1_000_000;
        (counters.edges.shown(&allowed, now_s), counters.endpoints.shown(&allowed, now_s))
    };
    let writing = move || {
        // The page is written to its end even when nobody waits for it any more.
        let _turn = turn;
        page::page(&edges, &endpoints, &exemplars, format)
    };
    // A page of many MB takes its time.
    let Ok(page) = tokio::task::spawn_blocking(writing).await else {
        return Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response());
    };
    let headers = [(header::CONTENT_TYPE, format.media_type()), (header::VARY, "accept")];
    Ok((headers, page).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ApiMetrics;
    use crate::{Options, gate};
    use axum::body::Body;
    use axum::http::Request;
    use process::{ClickHouseOptions, KafkaOptions};
    use std::sync::Arc;
    use std::time::Duration;
    use tokio_util::sync::CancellationToken;
    use tower::ServiceExt as _;

    #[tokio::test]
    async fn so_many_pages_are_in_the_making_and_no_more() {
        let options = Options::new(
            KafkaOptions::plaintext("127.0.0.1:1"),
            ClickHouseOptions::local("http://127.0.0.1:1"),
        );
        let mut app =
            crate::serve::app(&options, ApiMetrics::default(), Arc::default(), CancellationToken::new())
                .unwrap();
        app.limits.answer_time = Duration::from_millis(200);
        let ask = async || {
            let request =
                Request::get("/metrics/graph").header("host", "localhost").body(Body::empty()).unwrap();
            gate::around(router(), &app).with_state(app.clone()).oneshot(request).await.unwrap().status()
        };
        let all = u32::try_from(app.limits.graph_pages).unwrap();
        let turns = app.graph_pages.clone().acquire_many_owned(all).await.unwrap();
        assert_eq!(ask().await, StatusCode::GATEWAY_TIMEOUT);
        drop(turns);
        for _ in 0..=all {
            assert_eq!(ask().await, StatusCode::OK, "each gives its turn back");
        }
    }
}
