//! What Grafana's datasource and Jaeger's page ask: `/jaeger/api`.

use super::model::Trace;
use super::refused::{Refused, Version};
use super::search::{self, Found, Question};
use crate::App;
use crate::access::Access;
use crate::ask::At;
use crate::error::ApiError;
use crate::live::feed::now_us;
use crate::rest::dependencies::{self, DependenciesParameters};
use crate::spans;
use crate::words::{Sent, Words, same};
use axum::extract::State;
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

/// This version's refusals.
struct Legacy;

impl Version for Legacy {
    fn refusal(status: u16, message: &str) -> Value {
        let errors = json!([{"code": status, "msg": message}]);
        json!({"data": null, "total": 0, "limit": 0, "offset": 0, "errors": errors})
    }
}

type Answer = Result<Json<Value>, Refused<Legacy>>;

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
    service: Result<At<String>, ApiError>,
    sent: Sent,
) -> Answer {
    let At(service) = service?;
    Words::read(sent, &[], same)?;
    let names = search::names(&app, &access, &service, None).await?;
    let names: BTreeSet<String> = names.into_iter().map(|name| name.name).collect();
    envelope(&names.into_iter().collect::<Vec<_>>(), None)
}

async fn operations(State(app): State<App>, access: Access, sent: Sent) -> Answer {
    let words = Words::read(sent, &["service", "spanKind"], same)?;
    let names = search::names(&app, &access, words.needed("service")?, words.one("spanKind")?).await?;
    let names: Vec<Value> =
        names.into_iter().map(|name| json!({"name": name.name, "spanKind": name.kind})).collect();
    envelope(&names, None)
}

async fn trace(
    State(app): State<App>,
    access: Access,
    id: Result<At<String>, ApiError>,
    sent: Sent,
) -> Answer {
    let At(id) = id?;
    let words = Words::read(sent, &["start", "end", "prettyPrint", "raw"], same)?;
    // A time would only make the search faster: an id is found without.
    Question::at(words.one("start")?, words.one("end")?, None)?;
    words.flag("raw")?;
    match spans::allowed(&app, &access, &id).await? {
        Some(rows) => envelope(&[Trace::of(rows, app.limits.trace_spans as usize)], None),
        None => Err(ApiError::not_found("trace not found").into()),
    }
}

async fn traces(State(app): State<App>, access: Access, sent: Sent) -> Answer {
    let words = Words::read(sent, SEARCH, same)?;
    words.flag("raw")?;
    let (found, errors) = if words.all("traceID").next().is_some() {
        let found = search::traces(&app, &access, words.all("traceID")).await?;
        let message = "trace not found, or too large beside the others: ask for it alone";
        let missing = found.gone.iter().map(|id| json!({"msg": message, "traceID": id})).collect();
        (found, missing)
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
        let found = search::find(&app, &access, question).await?;
        let left_out = left_out(&found);
        (found, left_out)
    };
    let limit = app.limits.trace_spans as usize;
    let traces: Vec<Trace> = found.traces.into_iter().map(|rows| Trace::of(rows, limit)).collect();
    envelope(&traces, (!errors.is_empty()).then_some(errors))
}

/// What an answer doesn't hold, in words.
fn left_out(found: &Found) -> Vec<Value> {
    let reasons =
        [(found.too_many, "are too large for one answer"), (found.gone.len(), "their spans are not stored")];
    let reasons = reasons.into_iter().filter(|(traces, _)| *traces > 0);
    reasons
        .map(|(traces, why)| json!({"code": 206, "msg": format!("{traces} more traces match, but {why}")}))
        .collect()
}

async fn dependencies(State(app): State<App>, access: Access, sent: Sent) -> Answer {
    let words = Words::read(sent, &["endTs", "lookback", "service"], same)?;
    let service = words.one("service")?;
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
        .filter(|node| search::is_service(node.kind))
        .map(|node| (node.id.as_str(), node.service.name.as_str()))
        .collect();
    let mut calls: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for edge in &graph.edges {
        let (client, server) = (services.get(edge.from.as_str()), services.get(edge.to.as_str()));
        let asked = |name: &str| service.is_none_or(|service| service == name);
        if let Some((client, server)) = client.zip(server).filter(|(a, b)| asked(a) || asked(b)) {
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
