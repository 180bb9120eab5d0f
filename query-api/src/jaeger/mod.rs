//! Jaeger's HTTP API under `/jaeger`, so that Grafana's Jaeger datasource and Jaeger's clients can ask Weir.

mod legacy;
mod model;
mod refused;
mod search;
mod summary;
mod v3;

use crate::App;
use axum::Router;

/// `/jaeger/api` and `/jaeger/api/v3`.
pub fn router() -> Router<App> {
    legacy::router().merge(v3::router())
}
