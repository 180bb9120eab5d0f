//! One trace by its id, in JSON or protobuf.

use super::{Refused, range};
use crate::App;
use crate::access::Access;
use crate::error::ApiError;
use crate::otlp::json::{self, Spelling};
use crate::otlp::resource_spans;
use crate::spans::{self, SpanRow};
use crate::words::{Sent, Words, same};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;
use serde_json::json;

const PROTOBUF: &str = "application/protobuf";

/// `TraceByIDResponse` of Tempo's `pkg/tempopb/tempo.proto`, without what it says about Tempo's own work. `Trace` has
/// the form of OTLP's `TracesData`.
#[derive(Clone, PartialEq, Message)]
struct TraceById {
    #[prost(message, optional, tag = "1")]
    trace: Option<TracesData>,
    /// 0: complete, 1: partial.
    #[prost(int32, tag = "3")]
    status: i32,
    #[prost(string, tag = "4")]
    message: String,
}

pub fn router() -> Router<App> {
    Router::new().route("/tempo/api/traces/{id}", get(first)).route("/tempo/api/v2/traces/{id}", get(second))
}

async fn second(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
    headers: HeaderMap,
    sent: Sent,
) -> Result<Response, Refused> {
    let mut rows = find(&app, &access, &id, sent).await?;
    let limit = app.limits.trace_spans as usize;
    let message = if rows.len() > limit {
        format!("the trace has more spans; these are the {limit} earliest")
    } else {
        String::new()
    };
    rows.truncate(limit);
    let resource_spans = resource_spans(rows);
    let status = i32::from(!message.is_empty());
    if wants_protobuf(&headers) {
        let trace = Some(TracesData { resource_spans });
        return Ok(protobuf(&TraceById { trace, status, message }));
    }
    let mut answer =
        json!({"trace": {"resourceSpans": json::resource_spans(&resource_spans, Spelling::Protobuf)}});
    if !message.is_empty() {
        answer["status"] = "PARTIAL".into();
        answer["message"] = message.into();
    }
    Ok(Json(answer).into_response())
}

async fn first(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
    headers: HeaderMap,
    sent: Sent,
) -> Result<Response, Refused> {
    let rows = find(&app, &access, &id, sent).await?;
    let limit = app.limits.trace_spans as usize;
    if rows.len() > limit {
        // This version has no place to say that spans are missing.
        let message =
            format!("the trace has more than {limit} spans; /tempo/api/v2/traces shows the earliest");
        return Err(ApiError::bad_request(message).into());
    }
    let resource_spans = resource_spans(rows);
    if wants_protobuf(&headers) {
        return Ok(protobuf(&TracesData { resource_spans }));
    }
    let batches = json::resource_spans(&resource_spans, Spelling::Protobuf);
    Ok(Json(json!({"batches": batches})).into_response())
}

/// An id is found without a time, which would only make the search faster.
async fn find(app: &App, access: &Access, id: &str, sent: Sent) -> Result<Vec<SpanRow>, Refused> {
    let words = Words::read(sent, &["start", "end"], same)?;
    range::given(&words)?;
    let rows = spans::allowed(app, access, id).await?;
    rows.ok_or_else(|| Refused(StatusCode::NOT_FOUND, "trace not found".to_owned()))
}

fn wants_protobuf(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains(PROTOBUF))
}

fn protobuf(message: &impl Message) -> Response {
    ([(header::CONTENT_TYPE, PROTOBUF)], message.encode_to_vec()).into_response()
}
