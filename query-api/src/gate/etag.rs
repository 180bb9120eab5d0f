//! "You have this already": an answer's digest, compared with the one the caller knows.

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Longest answer that is looked at as a whole. Longer ones, and those that are sent bit by bit, have no tag.
const LONGEST: u64 = 16 << 20;

/// Gives answers to GET a weak tag, and 304 to those who know it: weak, because compression changes the bytes.
pub async fn layer(request: Request, next: Next) -> Response {
    if request.method() != Method::GET {
        return next.run(request).await;
    }
    let known = request.headers().get_all(header::IF_NONE_MATCH).into_iter().cloned().collect();
    tagged(next.run(request).await, known).await
}

async fn tagged(answer: Response, known: Vec<HeaderValue>) -> Response {
    let whole = answer.body().size_hint().exact().is_some_and(|bytes| bytes <= LONGEST);
    if answer.status() != StatusCode::OK || !whole || answer.headers().contains_key(header::ETAG) {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    // Its size is known, so it is in memory already.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let tag = tag(&bytes);
    let same = known.iter().any(|known| matches(known, &tag));
    if let Ok(value) = HeaderValue::from_str(&tag) {
        head.headers.insert(header::ETAG, value);
    }
    if !same {
        return Response::from_parts(head, Body::from(bytes));
    }
    let mut unchanged = StatusCode::NOT_MODIFIED.into_response();
    *unchanged.headers_mut() = without_content(head.headers);
    unchanged
}

fn without_content(mut headers: HeaderMap) -> HeaderMap {
    headers.remove(header::CONTENT_TYPE);
    headers.remove(header::CONTENT_LENGTH);
    headers
}

fn tag(bytes: &[u8]) -> String {
    format!("W/\"{}\"", crate::auth::settings::base64url(&digest(&SHA256, bytes).as_ref()[..16]))
}

/// Weak comparison (RFC 9110, 8.8.3.2): `W/` doesn't matter.
fn matches(known: &HeaderValue, tag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let Ok(known) = known.to_str() else { return false };
    known.split(',').any(|one| one.trim() == "*" || bare(one) == bare(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn asked(body: &'static str, known: &[&'static str]) -> (StatusCode, Option<String>, usize) {
        let known = known.iter().map(|tag| HeaderValue::from_static(tag)).collect();
        let answer = tagged(([(header::CACHE_CONTROL, "no-cache")], body).into_response(), known).await;
        let tag = answer.headers().get(header::ETAG).map(|tag| tag.to_str().unwrap().to_owned());
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-cache");
        (answer.status(), tag, to_bytes(answer.into_body(), 1_000).await.unwrap().len())
    }

    #[tokio::test]
    async fn who_knows_an_answer_does_not_get_it_again() {
        let (status, tag, bytes) = asked("graph", &[]).await;
        assert_eq!((status, bytes), (StatusCode::OK, 5));
        let tag: &'static str = tag.unwrap().leak();
        assert!(tag.starts_with("W/\""), "{tag}");
        let list: &'static str = format!("\"a\", {}", tag.trim_start_matches("W/")).leak();
        for known in [tag, list, "*"] {
            assert_eq!(asked("graph", &[known]).await, (StatusCode::NOT_MODIFIED, Some(tag.to_owned()), 0));
        }
        assert_eq!(asked("other", &[tag]).await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn errors_and_streams_have_no_tag() {
        let error = tagged(StatusCode::NOT_FOUND.into_response(), Vec::new()).await;
        assert!(!error.headers().contains_key(header::ETAG));
        let stream = futures_util::stream::iter([Ok::<_, std::io::Error>("a")]);
        let stream = tagged(Body::from_stream(stream).into_response(), Vec::new()).await;
        assert!(!stream.headers().contains_key(header::ETAG));
    }
}
