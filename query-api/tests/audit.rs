//! One line a question: who asked what, with the request's id and without secrets.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod alone;

use alone::{Alone, tokens};
use serde_json::Value;
use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The line of a request.
    fn of(&self, id: &str) -> Option<Value> {
        let text = self.text();
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["target"] == "audit" && line["request_id"] == id)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_what_is_written_down_without_secrets() {
    let lines = Lines::default();
    let writer = tracing_subscriber::fmt().json().flatten_event(true).with_max_level(tracing::Level::DEBUG);
    writer.with_writer(lines.clone()).init();
    let api = Alone::with_auth(&tokens()).await;
    let ask = async |id: &str, path: &str, token: &str| {
        let request = api.get(path).header("x-request-id", id).header("cookie", "weir-session=hunter2");
        request.bearer_auth(token).send().await.unwrap().status().as_u16()
    };
    let status = ask("good", "/api/v1/config?token=hunter2&a=b", "admin-secret").await;
    let line = lines.of("good").unwrap();
    assert_eq!((&line["who"], &line["role"]), (&"token:admin".into(), &"admin".into()), "{line}");
    assert_eq!((&line["method"], &line["path"]), (&"GET".into(), &"/api/v1/config".into()), "{line}");
    assert_eq!((&line["query"], &line["status"]), (&"token=***&a=b".into(), &status.into()), "{line}");
    assert!(
        line["duration_ms"].is_u64() && line["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{line}"
    );

    ask("lesser", "/api/v1/config", "viewer-secret").await;
    let line = lines.of("lesser").unwrap();
    assert_eq!((&line["who"], &line["status"]), (&"token:viewer".into(), &403.into()), "{line}");
    ask("stranger", "/api/v1/operations", "hunter2").await;
    let line = lines.of("stranger").unwrap();
    assert_eq!(
        (&line["who"], &line["role"], &line["status"]),
        (&"nobody".into(), &"none".into(), &401.into())
    );
    ask("file", "/page/main.js", "admin-secret").await;
    assert!(lines.of("file").is_none(), "the page's files are no questions");

    let text = lines.text();
    for secret in ["hunter2", "admin-secret", "viewer-secret"] {
        let line = text.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret}: {line:?}");
    }
}
