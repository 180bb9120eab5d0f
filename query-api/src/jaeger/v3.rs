//! Jaeger's newer API, `/jaeger/api/v3`: traces are OTLP.

use super::search::{self, Question};
use crate::App;
use crate::access::Access;
use crate::error::ApiError;
use crate::otlp::json::Spelling;
use crate::otlp::{self, json};
use crate::spans::{self, SpanRow};
use crate::words::{Sent, Words, snake};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

const SEARCH: &[&str] = &[
    "query.service_name",
    "query.operation_name",
    "query.attributes",
    "query.start_time_min",
    "query.start_time_max",
    "query.duration_min",
    "query.duration_max",
    "query.num_traces",
    "query.search_depth",
    "query.raw_traces",
];

pub fn router() -> Router<App> {
    Router::new()
        .route("/jaeger/api/v3/services", get(services))
        .route("/jaeger/api/v3/operations", get(operations))
        .route("/jaeger/api/v3/traces", get(traces))
        .route("/jaeger/api/v3/traces/{id}", get(trace))
}

/// A refusal in this version's words.
struct Refused(StatusCode, String);

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self(error.status(), error.message)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(status, message) = self;
        (status, Json(json!({"error": {"httpCode": status.as_u16(), "message": message}}))).into_response()
    }
}

type Answer = Result<Json<Value>, Refused>;

async fn services(State(app): State<App>, access: Access, sent: Sent) -> Answer {
    Words::read(sent, &[], snake)?;
    Ok(Json(json!({"services": search::services(&app, &access).await?})))
}

async fn operations(State(app): State<App>, access: Access, sent: Sent) -> Answer {
    let words = Words::read(sent, &["service", "span_kind"], snake)?;
    let names = search::names(&app, &access, words.needed("service")?, words.one("span_kind")?).await?;
    let names: Vec<Value> = names
        .into_iter()
        .map(|name| json!({"name": name.name, "spanKind": name.kind.to_lowercase()}))
        .collect();
    Ok(Json(json!({"operations": names})))
}

async fn trace(State(app): State<App>, access: Access, Path(id): Path<String>, sent: Sent) -> Answer {
    Words::read(sent, &["start_time", "end_time", "raw_traces"], snake)?;
    let limit = app.limits.trace_spans as usize;
    let rows = spans::allowed(&app, &access, &id).await?.unwrap_or_default();
    if rows.len() > limit {
        // OTLP has no place to say that spans are missing.
        let message = format!("the trace has more than {limit} spans; /jaeger/api/traces shows the earliest");
        return Err(ApiError::bad_request(message).into());
    }
    found(rows)
}

async fn traces(State(app): State<App>, access: Access, sent: Sent) -> Answer {
    let words = Words::read(sent, SEARCH, snake)?;
    let (start, end) = (words.one("query.start_time_min")?, words.one("query.start_time_max")?);
    let name =
        if words.one("query.num_traces")?.is_some() { "query.num_traces" } else { "query.search_depth" };
    let question = Question::at(start, end, None)?.limited(&words, name)?.lasting(
        &words,
        "query.duration_min",
        "query.duration_max",
    )?;
    let question = Question {
        service: Some(words.needed("query.service_name")?.to_owned()),
        operation: words.one("query.operation_name")?.map(str::to_owned),
        tags: words.tags("query.attributes", "query.attributes.pair")?,
        ..question
    };
    let answer = search::find(&app, &access, question).await?;
    if answer.too_many > 0 {
        let message = "these traces are too large for one answer: ask for fewer, query.num_traces";
        return Err(ApiError::bad_request(message).into());
    }
    found(answer.traces.into_iter().flatten().collect())
}

fn found(rows: Vec<SpanRow>) -> Answer {
    if rows.is_empty() {
        return Err(Refused(StatusCode::NOT_FOUND, "No traces found".to_owned()));
    }
    let spans = json::resource_spans(&otlp::resource_spans(rows), Spelling::Otlp);
    Ok(Json(json!({"result": {"resourceSpans": spans}})))
}
