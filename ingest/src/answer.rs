//! What the sender reads: outcomes as OTLP/HTTP and OTLP/gRPC answers. Pure.

use crate::encoding::Encoding;
use crate::refusal::Refusal;
use crate::rejected::Rejected;
use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use serde_json::json;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

/// How an OTLP/HTTP request is written, and so its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

/// An accepted request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Spans in Kafka.
    pub spans: u64,
    /// Spans that were dropped.
    pub rejected: Rejected,
}

impl Format {
    /// The format a content type names; its parameters don't matter.
    pub fn of(content_type: Option<&HeaderValue>) -> Option<Self> {
        let essence = content_type?.to_str().ok()?.split(';').next()?.trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-protobuf" => Some(Self::Protobuf),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        })
    }
}

/// The answer to an accepted OTLP/HTTP request.
pub fn http_accepted(accepted: &Accepted, format: Format) -> Response {
    let message = response_message(accepted);
    let body = match format {
        Format::Protobuf => message.encode_to_vec(),
        Format::Json => response_json(&message).to_string().into_bytes(),
    };
    respond(StatusCode::OK, format.content_type(), body)
}

/// The answer to a refused OTLP/HTTP request: a `google.rpc.Status` in the request's format, plain text where
/// that is unknown.
pub fn http_refused(refusal: &Refusal, format: Option<Format>) -> Response {
    let status = tonic_types::Status {
        code: refusal.grpc_code() as i32,
        message: refusal.to_string(),
        details: Vec::new(),
    };
    let (content_type, body) = match format {
        Some(Format::Protobuf) => (Format::Protobuf.content_type(), status.encode_to_vec()),
        Some(Format::Json) => {
            let status = json!({"code": status.code, "message": status.message, "details": []});
            (Format::Json.content_type(), status.to_string().into_bytes())
        }
        None => (HeaderValue::from_static("text/plain; charset=utf-8"), status.message.into_bytes()),
    };
    let mut response = respond(refusal.http_status(), content_type, body);
    let headers = response.headers_mut();
    if let Some(wait) = refusal.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs()));
    }
    match refusal {
        Refusal::Encoding => {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(Encoding::SUPPORTED));
        }
        // The rest of the body may never come: the connection can't carry another request.
        Refusal::TooSlow | Refusal::BrokenOff => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    response
}

/// The answer to an accepted OTLP/gRPC request: one message, then the trailers.
pub fn grpc_accepted(accepted: &Accepted) -> Response {
    let message = response_message(accepted);
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(length + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or_default());
    message.encode(&mut frame).unwrap_or_default();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(frame.freeze()).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// The answer to a refused OTLP/gRPC request.
pub fn grpc_refused(refusal: &Refusal) -> Response {
    let (code, message) = (refusal.grpc_code(), refusal.to_string());
    let mut status = match refusal.retry_after() {
        Some(wait) => Status::with_error_details(code, message, ErrorDetails::with_retry_info(Some(wait))),
        None => Status::new(code, message),
    };
    if *refusal == Refusal::Encoding {
        let supported = "identity,gzip,zstd,deflate";
        status.metadata_mut().insert("grpc-accept-encoding", supported.parse().expect("plain ASCII"));
    }
    status.into_http()
}

/// OTLP wants no `partial_success` at all where everything was accepted.
fn response_message(accepted: &Accepted) -> ExportTraceServiceResponse {
    let rejected = &accepted.rejected;
    let partial_success = (rejected.total() > 0).then(|| ExportTracePartialSuccess {
        rejected_spans: i64::try_from(rejected.total()).unwrap_or(i64::MAX),
        error_message: rejected.message(),
    });
    ExportTraceServiceResponse { partial_success }
}

/// 64-bit integers are strings in protobuf's JSON.
fn response_json(message: &ExportTraceServiceResponse) -> serde_json::Value {
    match &message.partial_success {
        Some(partial) => json!({"partialSuccess": {
            "rejectedSpans": partial.rejected_spans.to_string(),
            "errorMessage": partial.error_message,
        }}),
        None => json!({}),
    }
}

fn respond(status: StatusCode, content_type: HeaderValue, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body_of(response: Response) -> Bytes {
        response.into_body().collect().await.unwrap().to_bytes()
    }

    fn accepted(rejected: &[(&'static str, u64)]) -> Accepted {
        let mut accepted = Accepted { spans: 5, rejected: Rejected::default() };
        rejected.iter().for_each(|(reason, spans)| accepted.rejected.add(reason, *spans));
        accepted
    }

    #[tokio::test]
    async fn a_whole_success_is_an_empty_message() {
        assert_eq!(body_of(http_accepted(&accepted(&[]), Format::Protobuf)).await, "");
        assert_eq!(body_of(http_accepted(&accepted(&[]), Format::Json)).await, "{}");
    }

    #[tokio::test]
    async fn a_partial_success_counts_and_explains() {
        let partial = accepted(&[("zero_trace_id", 2)]);
        let json = body_of(http_accepted(&partial, Format::Json)).await;
        assert_eq!(
            json,
            r#"{"partialSuccess":{"errorMessage":"2 spans rejected: 2 zero_trace_id","rejectedSpans":"2"}}"#
        );
        let protobuf = body_of(http_accepted(&partial, Format::Protobuf)).await;
        let message = ExportTraceServiceResponse::decode(protobuf).unwrap();
        assert_eq!(message.partial_success.unwrap().rejected_spans, 2);
    }

    #[tokio::test]
    async fn a_refusal_is_a_status_in_the_format_of_the_request() {
        let refusal = Refusal::Undecodable("truncated".into());
        let response = http_refused(&refusal, Some(Format::Protobuf));
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()["content-type"], "application/x-protobuf");
        let status = tonic_types::Status::decode(body_of(response).await).unwrap();
        assert_eq!((status.code, status.message.as_str()), (3, "the request can't be decoded: truncated"));
        let json = body_of(http_refused(&refusal, Some(Format::Json))).await;
        let status: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!((&status["code"], &status["message"]), (&json!(3), &json!(refusal.to_string())));
    }

    #[test]
    fn statuses_and_waits_are_those_of_the_specification() {
        for (refusal, http, grpc, waits) in [
            (Refusal::Undecodable(String::new()), 400, "3", false),
            (Refusal::ContentType, 415, "3", false),
            (Refusal::Encoding, 415, "12", false),
            (Refusal::TooLarge { limit: 1 }, 413, "8", false),
            (Refusal::TooSlow, 408, "4", false),
            (Refusal::Busy, 429, "8", true),
            (Refusal::Unavailable("x"), 503, "14", true),
        ] {
            let over_http = http_refused(&refusal, Some(Format::Json));
            assert_eq!(over_http.status(), http, "{refusal:?}");
            assert_eq!(over_http.headers().contains_key("retry-after"), waits, "{refusal:?}");
            let over_grpc = grpc_refused(&refusal);
            assert_eq!(
                (over_grpc.status().as_u16(), &over_grpc.headers()["grpc-status"]),
                (200, &grpc.parse().unwrap())
            );
            let status = Status::from_header_map(over_grpc.headers()).unwrap();
            assert_eq!(status.get_details_retry_info().is_some(), waits, "{refusal:?}");
        }
    }

    #[tokio::test]
    async fn a_grpc_answer_is_a_frame_and_trailers() {
        let collected = grpc_accepted(&accepted(&[])).into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(collected.to_bytes(), &[0, 0, 0, 0, 0][..]);
    }

    #[test]
    fn content_types_are_read_without_parameters() {
        for (content_type, format) in [
            (Some("application/json; charset=utf-8"), Some(Format::Json)),
            (Some("Application/X-Protobuf"), Some(Format::Protobuf)),
            (Some("text/plain"), None),
            (None, None),
        ] {
            let header = content_type.map(HeaderValue::from_static);
            assert_eq!(Format::of(header.as_ref()), format, "{content_type:?}");
        }
    }
}
