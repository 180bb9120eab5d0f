//! What Grafana's datasource and Jaeger's page ask: `/jaeger/api`.

use super::model::Trace;
use super::search::{self, Found, Question};
use crate::App;
use crate::access::Access;
use crate::error::ApiError;
use crate::live::feed::now_us;
use crate::node::Kind;
use crate::rest::dependencies::{self, DependenciesParameters};
use crate::spans;
use crate::words::{Sent, Words, same};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The time of dependencies if nobody says: Jaeger's own number.
const DEPENDENCIES_MS: i64 = 24 * 3_600_000;

/// Parameters of a search. Those of Jaeger's page about how it shows traces say nothing about which.
const SEARCH: &[&str] = &[
    "service",
    "operation",
    "tags",
    "tag",
    "start",
    "end",
    "limit",
    "minDuration",
    "maxDuration",
    "lookback",
    "traceID",
    "prettyPrint",
    "raw",
];

pub fn router() -> Router<App> {
    Router::new()
        .route("/jaeger/api/services", get(services))
        .route("/jaeger/api/services/{service}/operations", get(operations_of))
        .route("/jaeger/api/operations", get(operations))
        .route("/jaeger/api/traces", get(traces))
        .route("/jaeger/api/traces/{id}", get(trace))
        .route("/jaeger/api/dependencies", get(dependencies))
}

/// A refusal in Jaeger's envelope.
struct Refused(StatusCode, String);

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self(error.status(), error.message)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(status, message) = self;
        let errors = json!([{"code": status.as_u16(), "msg": message}]);
        let body = json!({"data": null, "total": 0, "limit": 0, "offset": 0, "errors": errors});
        (status, Json(body)).into_response()
    }
}

type Answer = Result<Json<Value>, Refused>;

fn envelope<T: Serialize>(data: &[T], errors: Option<Vec<Value>>) -> Answer {
    Ok(Json(json!({"data": data, "total": data.len(), "limit": 0, "offset": 0, "errors": errors})))
}

async fn services(State(app): State<App>, access: Access, sent: Sent) -> Answer {
    Words::read(sent, &[], same)?;
    let services: Vec<String> = search::services(&app, &access).await?.into_iter().collect();
    envelope(&services, None)
}

async fn operations_of(
    State(app): State<App>,
    access: Access,
    Path(service): Path<String>,
    sent: Sent,
) -> Answer {
    Words::read(sent, &[], same)?;
    let names = search::names(&app, &access, &service, None).await?;
    let names: BTreeSet<String> = names.into_iter().map(|name| name.name).collect();
    envelope(&names.into_iter().collect::<Vec<_>>(), None)
}

async fn operations(State(app): State<App>, access: Access, sent: Sent) -> Answer {
    let words = Words::read(sent, &["service", "spanKind"], same)?;
    let names = search::names(&app, &access, words.needed("service")?, words.one("spanKind")?).await?;
    let names: Vec<Value> = names
        .into_iter()
        .map(|name| json!({"name": name.name, "spanKind": name.kind.to_lowercase()}))
        .collect();
    envelope(&names, None)
}

async fn trace(State(app): State<App>, access: Access, Path(id): Path<String>, sent: Sent) -> Answer {
    // A time would only make the search faster: an id is found without.
    Words::read(sent, &["start", "end", "prettyPrint", "raw"], same)?;
    match spans::allowed(&app, &access, &id).await? {
        Some(rows) => envelope(&[Trace::of(rows, app.limits.trace_spans as usize)], None),
        None => Err(Refused(StatusCode::NOT_FOUND, "trace not found".to_owned())),
    }
}

async fn traces(State(app): State<App>, access: Access, sent: Sent) -> Answer {
    let words = Words::read(sent, SEARCH, same)?;
    let found = if words.all("traceID").next().is_some() {
        search::traces(&app, &access, words.all("traceID")).await?
    } else {
        let question = Question::at(words.one("start")?, words.one("end")?, words.one("lookback")?)?
            .limited(&words, "limit")?
            .lasting(&words, "minDuration", "maxDuration")?;
        let question = Question {
            service: Some(words.needed("service")?.to_owned()),
            operation: words.one("operation")?.map(str::to_owned),
            tags: words.tags("tags", "tag")?,
            ..question
        };
        search::find(&app, &access, question).await?
    };
    let errors = left_out(&found);
    let limit = app.limits.trace_spans as usize;
    let traces: Vec<Trace> = found.traces.into_iter().map(|rows| Trace::of(rows, limit)).collect();
    envelope(&traces, errors)
}

/// What an answer doesn't hold, in words.
fn left_out(found: &Found) -> Option<Vec<Value>> {
    let mut errors = Vec::new();
    if found.too_many > 0 {
        let message = format!("{} more traces match, but are too large for one answer", found.too_many);
        errors.push(json!({"code": 206, "msg": message}));
    }
    if found.gone > 0 {
        let message = format!("{} more traces match, but their spans are not stored", found.gone);
        errors.push(json!({"code": 206, "msg": message}));
    }
    (!errors.is_empty()).then_some(errors)
}

async fn dependencies(State(app): State<App>, access: Access, sent: Sent) -> Answer {
    let words = Words::read(sent, &["endTs", "lookback"], same)?;
    let end_ms = words.number("endTs")?.unwrap_or_else(|| now_us() / 1_000);
    let start_ms = end_ms.saturating_sub(words.number("lookback")?.unwrap_or(DEPENDENCIES_MS));
    let parameters = DependenciesParameters {
        start_time: Some(start_ms.max(0).to_string()),
        end_time: Some(end_ms.to_string()),
        probes: true,
        ..DependenciesParameters::default()
    };
    let graph = dependencies::of(&app, &access, parameters).await?.graph;
    let services: HashMap<&str, &str> = graph
        .nodes
        .iter()
        .filter(|node| node.kind == Kind::Service)
        .map(|node| (node.id.as_str(), node.service.name.as_str()))
        .collect();
    let mut calls: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for edge in &graph.edges {
        let (client, server) = (services.get(edge.from.as_str()), services.get(edge.to.as_str()));
        if let Some((client, server)) = client.zip(server) {
            *calls.entry((client, server)).or_default() += edge.call_count.0;
        }
    }
    let edges: Vec<Value> = calls
        .into_iter()
        // Thousandths, because sampled calls stand for others: Jaeger's are whole.
        .map(|((parent, child), calls)| json!({"parent": parent, "child": child, "callCount": (calls + 500) / 1_000}))
        .collect();
    envelope(&edges, None)
}
