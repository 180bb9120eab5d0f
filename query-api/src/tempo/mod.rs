//! Tempo's HTTP API under `/tempo`, so that Grafana's Tempo datasource and Tempo's clients can ask Weir.

mod conditions;
mod logfmt;
mod matched;
mod range;
mod search;
mod tags;
mod traceql;
mod traces;

use crate::App;
use crate::error::ApiError;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

/// The version of Tempo that answers are like. Old versions of Grafana ask for it, to know what they may ask.
const TEMPO: &str = "2.9.0";

/// All that Grafana's plugin asks when it isn't told to stream.
pub fn router() -> Router<App> {
    Router::new()
        .route("/tempo/ready", get(ready))
        .route("/tempo/api/echo", get(async || "echo"))
        .route("/tempo/api/status/buildinfo", get(build_info))
        .route("/tempo/api/metrics/{*kind}", get(metrics))
        .merge(traces::router())
        .merge(search::router())
        .merge(tags::router())
}

/// A refusal as Tempo says it: plain text.
struct Refused(StatusCode, String);

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self(error.status(), error.message)
    }
}

impl From<traceql::Refused> for Refused {
    fn from(refused: traceql::Refused) -> Self {
        ApiError::from(refused).into()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(status, message) = self;
        (status, message).into_response()
    }
}

type Answer = Result<Json<Value>, Refused>;

async fn ready(State(app): State<App>) -> Result<&'static str, Refused> {
    app.stored.check().await.map_err(|error| ApiError::store_unavailable(&error))?;
    Ok("ready")
}

async fn build_info() -> Json<Value> {
    Json(json!({"version": TEMPO, "revision": format!("weir {}", env!("CARGO_PKG_VERSION"))}))
}

async fn metrics() -> Refused {
    ApiError::bad_request("TraceQL metrics are not supported; rates and latencies are Weir's own metrics")
        .into()
}
