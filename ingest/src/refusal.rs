//! Why a request as a whole was not accepted, and what the sender should make of it.
//! Sources: OTLP 1.11, "Failures" of OTLP/gRPC and of OTLP/HTTP.

use crate::pressure::Overload;
use http::StatusCode;
use std::time::Duration;
use tonic::Code;

/// A request that was not accepted: none of its spans is in Kafka for certain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The body is not what its headers say.
    #[error("the request can't be decoded: {0}")]
    Undecodable(String),
    /// The content type is missing or unknown.
    #[error("content type must be application/x-protobuf or application/json")]
    ContentType,
    /// The content encoding is unknown.
    #[error("content encoding must be gzip, zstd or deflate")]
    Encoding,
    /// Larger than the limit, as sent or decompressed.
    #[error("the request is larger than {limit} bytes; send smaller batches")]
    TooLarge {
        /// The limit it broke.
        limit: usize,
    },
    /// The body arrived too slowly.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The connection broke while the body arrived.
    #[error("the body broke off")]
    BrokenOff,
    /// Too much is in progress.
    #[error("too many requests in progress; retry later")]
    Busy,
    /// Kafka did not acknowledge.
    #[error("the spans could not be stored: {0}; retry later")]
    Unavailable(&'static str),
}

impl Refusal {
    /// How long the sender should wait before it sends the same again; none where it never should.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy => Some(Duration::from_secs(1)),
            // Brokers that restart or elect a leader take seconds.
            Self::Unavailable(_) => Some(Duration::from_secs(3)),
            _ => None,
        }
    }

    /// The status of an HTTP answer.
    pub fn http_status(&self) -> StatusCode {
        match self {
            Self::Undecodable(_) | Self::BrokenOff => StatusCode::BAD_REQUEST,
            Self::ContentType | Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The status of a gRPC answer. Without `RetryInfo`, `RESOURCE_EXHAUSTED` tells an OTLP sender not to retry.
    pub fn grpc_code(&self) -> Code {
        match self {
            Self::Undecodable(_) | Self::ContentType => Code::InvalidArgument,
            Self::Encoding => Code::Unimplemented,
            Self::TooLarge { .. } | Self::Busy => Code::ResourceExhausted,
            Self::TooSlow => Code::DeadlineExceeded,
            Self::BrokenOff => Code::Cancelled,
            Self::Unavailable(_) => Code::Unavailable,
        }
    }

    /// How it is counted.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Undecodable(_) => "undecodable",
            Self::ContentType => "content_type",
            Self::Encoding => "content_encoding",
            Self::TooLarge { .. } => "too_large",
            Self::TooSlow => "too_slow",
            Self::BrokenOff => "broken_off",
            Self::Busy => "busy",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// A request that found no memory; `limit` is what one request may have.
    pub fn overload(overload: Overload, limit: usize) -> Self {
        match overload {
            Overload::Now => Self::Busy,
            Overload::Always => Self::TooLarge { limit },
        }
    }
}
