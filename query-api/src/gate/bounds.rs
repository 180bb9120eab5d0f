//! How long and how large a request may be.

use crate::App;
use crate::error::ApiError;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Refuses long addresses, and ends what takes too long.
pub async fn layer(State(app): State<App>, request: Request, next: Next) -> Response {
    let uri = request.uri();
    let bytes = uri.path_and_query().map_or(0, |asked| asked.as_str().len());
    if bytes > app.limits.uri_bytes {
        return ApiError::uri_too_long(app.limits.uri_bytes).into_response();
    }
    match tokio::time::timeout(app.limits.answer_time, next.run(request)).await {
        Ok(answer) => answer,
        // What was being done is dropped, and ClickHouse stops working on it.
        Err(_) => {
            ApiError::too_slow("this took too long; ask about a shorter time or less at once").into_response()
        }
    }
}

/// Reads a request's body up to a bound, so that one that is too long is refused in the same words everywhere.
/// Strangers are sent away before.
pub async fn body(State(app): State<App>, request: Request, next: Next) -> Response {
    let longest = app.limits.body_bytes;
    let (head, body) = request.into_parts();
    if body.is_end_stream() || head.headers.contains_key(header::UPGRADE) {
        return next.run(Request::from_parts(head, body)).await;
    }
    if body.size_hint().lower() > longest as u64 {
        return ApiError::too_large(longest).into_response();
    }
    match to_bytes(body, longest).await {
        Ok(bytes) => next.run(Request::from_parts(head, Body::from(bytes))).await,
        Err(_) => ApiError::too_large(longest).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use crate::metrics::ApiMetrics;
    use axum::Router;
    use axum::http::StatusCode;
    use axum::middleware::from_fn_with_state;
    use axum::routing::{get, post};
    use process::{ClickHouseOptions, KafkaOptions};
    use std::sync::Arc;
    use std::time::Duration;
    use tokio_util::sync::CancellationToken;
    use tower::ServiceExt as _;

    fn router() -> Router {
        let options = Options::new(
            KafkaOptions::plaintext("127.0.0.1:1"),
            ClickHouseOptions::local("http://127.0.0.1:1"),
        );
        let mut app =
            crate::serve::app(&options, ApiMetrics::default(), Arc::default(), CancellationToken::new())
                .unwrap();
        app.limits.answer_time = Duration::from_millis(20);
        app.limits.body_bytes = 4;
        Router::new()
            .route("/never", get(std::future::pending::<()>))
            .route("/length", post(async |body: String| body.len().to_string()))
            .layer(from_fn_with_state(app.clone(), body))
            .layer(from_fn_with_state(app, layer))
    }

    async fn status(request: Request) -> StatusCode {
        router().oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn what_takes_too_long_is_ended() {
        let never = Request::get("/never").body(Body::empty()).unwrap();
        assert_eq!(status(never).await, StatusCode::GATEWAY_TIMEOUT);
        // A body that never comes is no better than an answer that never comes.
        let stream = futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
        let slow = Request::post("/length").body(Body::from_stream(stream)).unwrap();
        assert_eq!(status(slow).await, StatusCode::GATEWAY_TIMEOUT);
    }

    #[tokio::test]
    async fn a_body_may_be_as_long_as_the_bound_and_no_longer() {
        for (body, expected) in [("", 200), ("1234", 200), ("12345", 413)] {
            let whole = Request::post("/length").body(Body::from(body)).unwrap();
            assert_eq!(status(whole).await, expected, "{body}");
            let parts = futures_util::stream::iter(
                body.chars().map(|char| Ok::<_, std::io::Error>(char.to_string())),
            );
            let streamed = Request::post("/length").body(Body::from_stream(parts)).unwrap();
            assert_eq!(status(streamed).await, expected, "{body}, in parts");
        }
    }
}
