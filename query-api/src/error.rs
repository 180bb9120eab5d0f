//! What a caller hears when something can't be answered: `{"error":{"code","message"}}`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A refusal with an HTTP status, a stable code and a sentence.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    status: StatusCode,
    /// Stable, for programs.
    pub code: &'static str,
    /// For people; never holds query text or stack traces.
    pub message: String,
}

impl ApiError {
    /// The request can't be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "bad_request", message: message.into() }
    }

    /// What was asked for isn't there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, code: "not_found", message: message.into() }
    }

    /// Questions are asked with GET.
    pub fn method_not_allowed() -> Self {
        let message = "only GET is answered here".to_owned();
        Self { status: StatusCode::METHOD_NOT_ALLOWED, code: "method_not_allowed", message }
    }

    /// The caller may not ask.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, code: "forbidden", message: message.into() }
    }

    /// A bound of this process is reached.
    pub fn too_many(message: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code: "too_many", message: message.into() }
    }

    /// The process is about to end, and what was begun for the caller with it.
    pub fn stopping() -> Self {
        let message = "this server is stopping; ask again".to_owned();
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code: "stopping", message }
    }

    /// ClickHouse doesn't answer. The reason goes to the log, not to the caller.
    pub fn store_unavailable(reason: &clickhouse::error::Error) -> Self {
        tracing::warn!(error = %reason, "a query to ClickHouse failed");
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "store_unavailable",
            message: "ClickHouse can't answer now; the last 15 minutes are still served live".to_owned(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"error": {"code": self.code, "message": self.message}}))).into_response()
    }
}
