//! An id a request, so that what the caller saw and what the log says can be found together.

use crate::auth::settings::base64url;
use aws_lc_rs::rand;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;
use tracing::Instrument as _;

/// `x-request-id`.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id of a caller.
const LONGEST: usize = 64;

/// The id of a request.
#[derive(Debug, Clone)]
pub struct RequestId(pub Arc<str>);

/// Takes the caller's id or makes one, says it back and puts it into the log.
pub async fn layer(mut request: Request, next: Next) -> Response {
    let id = given(request.headers()).unwrap_or_else(made);
    request.extensions_mut().insert(RequestId(id.clone()));
    let span = tracing::info_span!("request", id = &*id);
    let mut answer = next.run(request).instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert(REQUEST_ID, value);
    }
    answer
}

/// An id that can stand in a log line and in a header as it is.
fn given(headers: &HeaderMap) -> Option<Arc<str>> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (!id.is_empty() && id.len() <= LONGEST && id.bytes().all(plain)).then(|| id.into())
}

fn made() -> Arc<str> {
    let mut bytes = [0_u8; 12];
    // Where there is no randomness, an id of zeros is still no reason to refuse an answer.
    let _ = rand::fill(&mut bytes);
    base64url(&bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_ids_are_taken() {
        let taken =
            |id: &str| given(&HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_str(id).unwrap())]));
        assert_eq!(taken("abc-1_2.3").as_deref(), Some("abc-1_2.3"));
        for odd in ["", "a b", "a\"b", "a{b}", &"x".repeat(65)] {
            assert_eq!(taken(odd), None, "{odd}");
        }
        assert_ne!(made(), made());
    }
}
