//! Jaeger's newer API, `/jaeger/api/v3`: traces are OTLP.

use super::refused::{Refused, Version};
use super::search::{self, Question};
use crate::App;
use crate::access::Access;
use crate::ask::At;
use crate::error::ApiError;
use crate::otlp::json::Spelling;
use crate::otlp::{self, json};
use crate::spans::{self, SpanRow};
use crate::words::{Sent, Words, snake};
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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
        .route("/jaeger/api/v3/trace-summaries", get(summaries))
}

/// This version's refusals.
struct V3;

impl Version for V3 {
    fn refusal(status: u16, message: &str) -> Value {
        json!({"error": {"httpCode": status, "message": message}})
    }
}

type Answer = Result<Json<Value>, Refused<V3>>;

async fn services(State(app): State<App>, access: Access, sent: Sent) -> Answer {
    Words::read(sent, &[], snake)?;
    Ok(Json(json!({"services": search::services(&app, &access).await?})))
}

async fn operations(State(app): State<App>, access: Access, sent: Sent) -> Answer {
    let words = Words::read(sent, &["service", "span_kind"], snake)?;
    let names = search::names(&app, &access, words.needed("service")?, words.one("span_kind")?).await?;
    let names: Vec<Value> =
        names.into_iter().map(|name| json!({"name": name.name, "spanKind": name.kind})).collect();
    Ok(Json(json!({"operations": names})))
}

async fn trace(
    State(app): State<App>,
    access: Access,
    id: Result<At<String>, ApiError>,
    sent: Sent,
) -> Answer {
    let At(id) = id?;
    let words = Words::read(sent, &["start_time", "end_time", "raw_traces"], snake)?;
    Question::at(words.one("start_time")?, words.one("end_time")?, None)?;
    words.flag("raw_traces")?;
    let limit = app.limits.trace_spans as usize;
    let rows = spans::allowed(&app, &access, &in_hex(id)).await?.unwrap_or_default();
    if rows.len() > limit {
        // OTLP has no place to say that spans are missing.
        let message = format!("the trace has more than {limit} spans; /jaeger/api/traces shows the earliest");
        return Err(ApiError::bad_request(message).into());
    }
    found(rows)
}

/// Ids are bytes in Jaeger's protobuf, so that its JSON has them in base64.
fn in_hex(id: String) -> String {
    match STANDARD.decode(&id) {
        Ok(bytes) if bytes.len() == 16 => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        _ => id,
    }
}

async fn traces(State(app): State<App>, access: Access, sent: Sent) -> Answer {
    let answer = search::find(&app, &access, question(sent)?).await?;
    if answer.too_many > 0 {
        let message = format!(
            "these traces have more than {} spans; fewer of them (query.num_traces) fit unless the youngest alone has \
             more, and /jaeger/api/traces answers with those that fit",
            search::SPANS
        );
        return Err(ApiError::bad_request(message).into());
    }
    found(answer.traces.into_iter().flatten().collect())
}

async fn summaries(State(app): State<App>, access: Access, sent: Sent) -> Answer {
    Ok(Json(json!({"summaries": search::summaries(&app, &access, question(sent)?).await?})))
}

fn question(sent: Sent) -> Result<Question, ApiError> {
    let words = Words::read(sent, SEARCH, snake)?;
    words.flag("query.raw_traces")?;
    let (start, end) = (words.one("query.start_time_min")?, words.one("query.start_time_max")?);
    let name =
        if words.one("query.num_traces")?.is_some() { "query.num_traces" } else { "query.search_depth" };
    let question = Question::at(start, end, None)?.limited(&words, name)?.lasting(
        &words,
        "query.duration_min",
        "query.duration_max",
    )?;
    Ok(Question {
        // Without one it is any: so says Jaeger's user interface for `All services`.
        service: words.one("query.service_name")?.map(str::to_owned),
        operation: words.one("query.operation_name")?.map(str::to_owned),
        tags: words.tags("query.attributes", "query.attributes.pair")?,
        ..question
    })
}

fn found(rows: Vec<SpanRow>) -> Answer {
    if rows.is_empty() {
        return Err(ApiError::not_found("No traces found").into());
    }
    let spans = json::resource_spans(&otlp::resource_spans(rows), Spelling::Otlp);
    Ok(Json(json!({"result": {"resourceSpans": spans}})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hex_or_base64() {
        let hex = "0af7651916cd43dd8448eb211c80319c";
        for (id, read) in
            [(hex, hex), ("CvdlGRbNQ92ESOshHIAxnA==", hex), ("1", "1"), ("CvdlGRY=", "CvdlGRY=")]
        {
            assert_eq!(in_hex(id.to_owned()), read, "{id}");
        }
    }
}
