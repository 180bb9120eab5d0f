//! The three ways to send OTLP, with one answer: acknowledged, try again, or refused.

use crate::otlp;
use crate::workload::{Emitter, Span, Wire};
use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use std::io::Write;
use std::time::Duration;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Where OTLP goes.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// `http://127.0.0.1:4317`.
    pub grpc: String,
    /// `http://127.0.0.1:4318`, without `/v1/traces`.
    pub http: String,
}

/// Why an export was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Not now, or nobody knows: try again.
    #[error("{why}")]
    Busy {
        /// What was said.
        why: String,
        /// When to come back, if that was said.
        retry_after: Option<Duration>,
    },
    /// The same request will never be taken.
    #[error("{0}")]
    Refused(String),
}

/// A connection to one endpoint.
pub enum Transport {
    /// OTLP/gRPC.
    Grpc(Box<TraceServiceClient<Channel>>),
    /// OTLP/HTTP.
    Http {
        /// Connection pool.
        client: reqwest::Client,
        /// `…/v1/traces`.
        url: String,
        /// JSON in gzip instead of protobuf.
        json: bool,
    },
}

impl Transport {
    /// Prepares a connection; it is made when it is first used.
    ///
    /// # Errors
    /// When the endpoint is no address.
    pub fn connect(wire: Wire, endpoints: &Endpoints) -> anyhow::Result<Self> {
        match wire {
            Wire::Grpc => {
                let channel = Endpoint::from_shared(endpoints.grpc.clone())
                    .with_context(|| format!("{} is no gRPC endpoint", endpoints.grpc))?
                    .timeout(ATTEMPT)
                    .connect_lazy();
                let client = TraceServiceClient::new(channel).send_compressed(CompressionEncoding::Gzip);
                Ok(Self::Grpc(Box::new(client)))
            }
            Wire::HttpProtobuf | Wire::HttpJson => Ok(Self::Http {
                client: reqwest::Client::builder().timeout(ATTEMPT).no_proxy().build()?,
                url: format!("{}/v1/traces", endpoints.http.trim_end_matches('/')),
                json: wire == Wire::HttpJson,
            }),
        }
    }

    /// Sends one batch once.
    ///
    /// # Errors
    /// When it was not acknowledged.
    pub async fn export(&mut self, emitter: &Emitter, spans: &[Span], epoch_us: i64) -> Result<(), Failed> {
        match self {
            Self::Grpc(client) => export_grpc(client, otlp::request(emitter, spans, epoch_us)).await,
            Self::Http { client, url, json: false } => {
                let body = otlp::request(emitter, spans, epoch_us).encode_to_vec();
                let request = client.post(&*url).header("content-type", "application/x-protobuf").body(body);
                export_http(request, false).await
            }
            Self::Http { client, url, json: true } => {
                let body = gzip(otlp::json_request(emitter, spans, epoch_us).to_string().as_bytes());
                let request = client
                    .post(&*url)
                    .header("content-type", "application/json")
                    .header("content-encoding", "gzip")
                    .body(body);
                export_http(request, true).await
            }
        }
    }
}

async fn export_grpc(
    client: &mut TraceServiceClient<Channel>,
    request: ExportTraceServiceRequest,
) -> Result<(), Failed> {
    match client.export(request).await {
        Ok(response) => accepted_whole(response.get_ref()),
        Err(status) if is_final(status.code()) => Err(Failed::Refused(status.to_string())),
        Err(status) => Err(Failed::Busy { why: status.to_string(), retry_after: None }),
    }
}

/// Codes after which the OTLP specification forbids another attempt. `Internal` and `Unknown` are what a broken
/// connection looks like from here, so they are not among them.
fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::NotFound
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented
    )
}

async fn export_http(request: reqwest::RequestBuilder, json: bool) -> Result<(), Failed> {
    let busy = |why: String| Failed::Busy { why, retry_after: None };
    let response = request.send().await.map_err(|problem| busy(format!("{problem:#}")))?;
    let status = response.status();
    let retry_after = response
        .headers()
        .get("retry-after")
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    let body = response.bytes().await.map_err(|problem| busy(format!("{problem:#}")))?;
    match status.as_u16() {
        200 if json => accepted_json(&body),
        200 => match ExportTraceServiceResponse::decode(body) {
            Ok(response) => accepted_whole(&response),
            Err(problem) => Err(Failed::Refused(format!("unreadable answer: {problem}"))),
        },
        429 | 502 | 503 | 504 => Err(Failed::Busy { why: status.to_string(), retry_after }),
        _ => Err(Failed::Refused(format!("{status}: {}", String::from_utf8_lossy(&body)))),
    }
}

fn accepted_whole(response: &ExportTraceServiceResponse) -> Result<(), Failed> {
    match &response.partial_success {
        Some(partial) if partial.rejected_spans > 0 => {
            Err(Failed::Refused(format!("{} spans: {}", partial.rejected_spans, partial.error_message)))
        }
        _ => Ok(()),
    }
}

fn accepted_json(body: &[u8]) -> Result<(), Failed> {
    let answer: serde_json::Value = serde_json::from_slice(body)
        .map_err(|problem| Failed::Refused(format!("unreadable answer: {problem}")))?;
    match &answer["partialSuccess"]["rejectedSpans"] {
        serde_json::Value::Null => Ok(()),
        rejected if rejected == "0" || rejected == 0 => Ok(()),
        rejected => {
            Err(Failed::Refused(format!("{rejected} spans: {}", answer["partialSuccess"]["errorMessage"])))
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes every byte")
}
