//! What every question may be answered with instead of an answer.

use crate::error::Problem;
use utoipa::IntoResponses;

/// Problem documents (RFC 9457).
#[derive(IntoResponses)]
#[allow(dead_code, reason = "it stands in the OpenAPI document only")]
pub enum Problems {
    /// The request can't be understood.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(#[to_schema] Problem),
    /// Nobody knows who is asking.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(#[to_schema] Problem),
    /// The caller may not ask.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(#[to_schema] Problem),
    /// It isn't there.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(#[to_schema] Problem),
    /// The path does not answer to this method.
    #[response(status = 405, content_type = "application/problem+json")]
    MethodNotAllowed(#[to_schema] Problem),
    /// The request is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(#[to_schema] Problem),
    /// The path and its parameters are too long.
    #[response(status = 414, content_type = "application/problem+json")]
    UriTooLong(#[to_schema] Problem),
    /// The caller asks too often.
    #[response(status = 429, content_type = "application/problem+json")]
    SlowDown(#[to_schema] Problem),
    /// ClickHouse, Kafka or this server can't answer now.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(#[to_schema] Problem),
    /// The question takes longer than one may.
    #[response(status = 504, content_type = "application/problem+json")]
    TooSlow(#[to_schema] Problem),
}
