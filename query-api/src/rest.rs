//! The REST questions.

use crate::answer::{self, GraphAnswer, OperationsAnswer};
use crate::error::ApiError;
use crate::filter::Filter;
use crate::live::feed::now_us;
use crate::node::Node;
use crate::range::Asked;
use crate::{App, flow, traces};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;

/// Everything under `/api/v1` but the WebSocket.
pub fn router() -> Router<App> {
    Router::new()
        .route("/api/v1/graph", get(graph))
        .route("/api/v1/operations", get(operations))
        .route("/api/v1/dependencies", get(dependencies))
        .route("/api/v1/flows/{flow_id}", get(flow::flow))
        .route("/api/v1/traces/{trace_id}", get(traces::trace))
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .fallback(async || ApiError::not_found("there is nothing here; the API begins with /api/v1"))
}

/// Parameters of all three; unknown ones are refused rather than ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    operation: Option<String>,
    environment: Option<String>,
    window: Option<String>,
    from: Option<i64>,
    to: Option<i64>,
    #[serde(default)]
    probes: bool,
    namespace: Option<String>,
    service: Option<String>,
}

type Asking = Result<Query<Parameters>, QueryRejection>;

impl Parameters {
    fn read(asking: Asking) -> Result<Self, ApiError> {
        asking.map(|Query(parameters)| parameters).map_err(|refused| {
            let words = refused.body_text();
            ApiError::bad_request(
                words.strip_prefix("Failed to deserialize query string: ").unwrap_or(&words),
            )
        })
    }

    fn filter(&self, app: &App) -> Result<Filter, ApiError> {
        Filter::new(self.operation.clone(), self.environment.clone(), self.probes, &app.limits)
    }

    fn range(&self, app: &App) -> Result<Asked, ApiError> {
        Asked::parse(self.window.as_deref(), self.from, self.to, now_us(), &app.limits)
    }

    fn refuse_service(&self) -> Result<(), ApiError> {
        if self.namespace.is_some() || self.service.is_some() {
            return Err(ApiError::bad_request(
                "namespace and service are parameters of /api/v1/dependencies",
            ));
        }
        Ok(())
    }
}

async fn graph(State(app): State<App>, asking: Asking) -> Result<Json<GraphAnswer>, ApiError> {
    let parameters = Parameters::read(asking)?;
    parameters.refuse_service()?;
    Ok(Json(answer::graph(&app, parameters.filter(&app)?, parameters.range(&app)?, None).await?))
}

async fn operations(State(app): State<App>, asking: Asking) -> Result<Json<OperationsAnswer>, ApiError> {
    let parameters = Parameters::read(asking)?;
    parameters.refuse_service()?;
    Ok(Json(answer::operations(&app, parameters.filter(&app)?, parameters.range(&app)?).await?))
}

/// A service, or all of a namespace, with its neighbours.
async fn dependencies(State(app): State<App>, asking: Asking) -> Result<Json<GraphAnswer>, ApiError> {
    let parameters = Parameters::read(asking)?;
    let wanted =
        |want: &Option<String>, is: &str| want.as_deref().is_none_or(|want| want.is_empty() || want == is);
    let around = |node: &Node| {
        wanted(&parameters.service, &node.name) && wanted(&parameters.namespace, &node.namespace)
    };
    Ok(Json(answer::graph(&app, parameters.filter(&app)?, parameters.range(&app)?, Some(&around)).await?))
}
