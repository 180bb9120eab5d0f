//! `/health`, `/ready` and `/metrics` of every process.

use crate::Health;
use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `/health` answers 200 while the process lives, `/ready` 200 or 503 with the reasons, `/metrics` the registry.
pub fn admin_router(metrics: Arc<Registry>, health: Health) -> Router {
    Router::new()
        .route("/health", get(|| async { "ok\n" }))
        .route("/ready", get(ready).with_state(health))
        .route("/metrics", get(scrape).with_state(metrics))
}

/// Serves `router` on `address` until `stop`, then lets open requests end.
///
/// # Errors
/// The address can't be listened on, or the listener broke.
pub async fn serve_admin(address: SocketAddr, router: Router, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("can't listen on {address} for health and metrics"))?;
    tracing::info!(%address, "health and metrics are served");
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await?;
    Ok(())
}

async fn ready(State(health): State<Health>) -> Response {
    if health.is_ready() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", health.reasons())).into_response()
}

async fn scrape(State(metrics): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &metrics) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metrics;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    async fn answer(router: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_turns_from_503_with_reasons_to_200() {
        let health = Health::new();
        let router = admin_router(Metrics::new("test").share(), health.clone());
        assert_eq!(
            answer(&router, "/ready").await,
            (StatusCode::SERVICE_UNAVAILABLE, "starting\n".to_owned())
        );
        health.ready("kafka", false, "no broker answers");
        let refused = (StatusCode::SERVICE_UNAVAILABLE, "kafka: no broker answers\n".to_owned());
        assert_eq!(answer(&router, "/ready").await, refused);
        health.ready("kafka", true, "");
        assert_eq!(answer(&router, "/ready").await, (StatusCode::OK, "ready\n".to_owned()));
        assert_eq!(answer(&router, "/health").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_end_as_openmetrics_asks() {
        let router = admin_router(Metrics::new("test").share(), Health::new());
        let (status, text) = answer(&router, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[tokio::test]
    async fn a_taken_address_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = serve_admin(address, Router::new(), CancellationToken::new()).await.unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    #[tokio::test]
    async fn serving_ends_with_the_token() {
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve_admin("127.0.0.1:0".parse().unwrap(), Router::new(), stop.clone()));
        stop.cancel();
        serving.await.unwrap().unwrap();
    }
}
