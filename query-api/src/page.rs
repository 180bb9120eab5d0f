//! The dashboard: plain files, built from `dashboard/`, part of the program.

use crate::error::ApiError;
use axum::Router;
use axum::extract::{Path, Request};
use axum::http::{HeaderName, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Nothing from anywhere else, nothing inline. `blob:` is the map on its way to becoming a PNG.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Names of built files hold a digest of what is in them.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// The page names the files that belong to it: an old one would ask for files that are gone.
const ASK_EACH_TIME: &str = "no-cache";

/// Path and content of every built file; none where the dashboard wasn't built.
const FILES: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

/// What is shown where the dashboard wasn't built.
const NOT_BUILT: &str = include_str!("not_built.html");

/// First segments that are no views of the dashboard: a mistyped path of an API is told so, not shown a page.
const NO_VIEWS: &[&str] =
    &["api", "auth", "graphql", "health", "jaeger", "metrics", "page", "ready", "tempo"];

/// Serves the page and its files.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/", get(async || index())).route("/page/{*file}", get(file))
}

/// What no route answers: views of the dashboard have addresses of their own, and the page finds out which it is.
pub async fn anything_else(request: Request) -> Response {
    let accepts =
        request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if *request.method() == Method::GET && accepts.contains("text/html") && is_view(request.uri().path()) {
        return index();
    }
    ApiError::not_found("there is nothing here; the API begins with /api/v1").into_response()
}

fn is_view(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    !NO_VIEWS.contains(&first)
}

fn index() -> Response {
    let built = find("/index.html");
    sent("text/html; charset=utf-8", ASK_EACH_TIME, built.unwrap_or(NOT_BUILT.as_bytes()))
}

async fn file(Path(file): Path<String>) -> Response {
    let path = format!("/page/{file}");
    match find(&path) {
        Some(content) => sent(media_type(&path), FOR_EVER, content),
        None => {
            ApiError::not_found("the page has no such file; was it loaded before an update?").into_response()
        }
    }
}

fn find(path: &str) -> Option<&'static [u8]> {
    FILES.iter().find(|(known, _)| *known == path).map(|(_, content)| *content)
}

fn sent(media_type: &'static str, keep: &'static str, content: &'static [u8]) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, keep),
    ];
    (headers, content).into_response()
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_keeps_to_its_own_policy() {
        let pages = FILES.iter().filter(|(path, _)| path.ends_with(".html")).map(|(_, content)| *content);
        for page in pages.chain([NOT_BUILT.as_bytes()]) {
            let page = String::from_utf8_lossy(page);
            for inline in ["<style", "style=\"", "onclick=", "javascript:", "<script>"] {
                assert!(!page.contains(inline), "{inline}");
            }
            let mut sources = page.split("src=\"").skip(1);
            assert!(sources.all(|source| source.starts_with("/page/")), "loads from elsewhere");
        }
    }

    #[test]
    fn every_file_that_the_page_names_is_served() {
        let Some(page) = find("/index.html") else { return };
        let page = String::from_utf8_lossy(page);
        let names = page.split(['"', '\'']).filter(|name| name.starts_with("/page/"));
        for name in names {
            assert!(find(name).is_some(), "{name} isn't served");
            assert_ne!(media_type(name), "application/octet-stream", "{name}");
        }
    }

    #[test]
    fn views_are_what_no_api_has() {
        assert!(["/operations", "/flows/0af7", "/apis"].into_iter().all(is_view));
        assert!(!["/api/v1/nothing", "/auth/else", "/page/old.js", "/metrics/all"].into_iter().any(is_view));
    }
}
