//! Who asked what: one line a question, to the log target `audit`.

use super::Known;
use super::request_id::RequestId;
use crate::App;
use crate::auth::permissions::{Need, need};
use crate::door::Peer;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use reqwest::Url;
use std::fmt::Write as _;
use std::time::Instant;

/// Longest query in a line.
const QUERY_CHARS: usize = 1_024;
/// Parameters whose values are nobody's business.
const SECRET: &[&str] =
    &["code", "state", "token", "access_token", "id_token", "password", "secret", "api_key", "client_secret"];

/// Writes the line once the answer begins. Probes and the page's files are no questions.
pub async fn layer(State(app): State<App>, request: Request, next: Next) -> Response {
    let template = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let is_question = template.is_none_or(|path| need(&path) != Need::Nothing || path.starts_with("/auth"));
    if !is_question || !app.audited {
        return next.run(request).await;
    }
    let began = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let query = shown(request.uri().query().unwrap_or_default());
    let id = request.extensions().get::<RequestId>().cloned();
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0.to_string());
    let answer = next.run(request).await;
    let known = answer.extensions().get::<Known>();
    tracing::info!(
        target: "audit",
        who = known.map_or("nobody", |known| &known.0.who),
        role = known.map_or("none", |known| known.0.role.as_str()),
        %method,
        path,
        query,
        status = answer.status().as_u16(),
        duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        request_id = id.as_ref().map_or("", |id| &*id.0),
        peer,
        "asked"
    );
    answer
}

/// A query without secrets, and of bounded length.
fn shown(query: &str) -> String {
    let mut text = String::new();
    // Only its parameters are read: the rest of the URL is no one's.
    let Ok(url) = Url::parse(&format!("http://query/?{query}")) else { return text };
    for (name, value) in url.query_pairs() {
        let lower = name.to_ascii_lowercase();
        let value = if SECRET.contains(&lower.as_str()) { "***" } else { &*value };
        let _ = write!(text, "{}{name}={value}", if text.is_empty() { "" } else { "&" });
    }
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).take(QUERY_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_line_breaks_are_not_shown() {
        assert_eq!(shown("operation=login&window=2h"), "operation=login&window=2h");
        assert_eq!(shown("Code=abc&state=x&a=1"), "Code=***&state=***&a=1");
        assert_eq!(shown("%63ode=abc"), "code=***");
        assert_eq!(shown("a=b%0D%0Ac"), "a=b  c");
        assert_eq!(shown(&"x".repeat(5_000)).len(), QUERY_CHARS);
    }
}
