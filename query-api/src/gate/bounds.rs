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
