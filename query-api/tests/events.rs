//! Server-sent events and the status, over the real log and the real tables.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use serde_json::Value;
use std::time::Duration;
use support::{Api, Bench, calls_to, logins, now_s};

struct Events {
    response: reqwest::Response,
    text: String,
}

/// Type, id and data of an event.
type Event = (String, String, Value);

impl Events {
    async fn open(api: &Api, query: &str, last: Option<&str>) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.get(format!("{}/api/v1/events?{query}", api.url));
        let request = last.into_iter().fold(request, |request, id| request.header("last-event-id", id));
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    async fn next(&mut self) -> Event {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
                let data = field("data: ");
                let found = (field("event: ").to_owned(), field("id: ").to_owned(), data.to_owned());
                self.text = rest.to_owned();
                if !found.0.is_empty() {
                    return (found.0, found.1, serde_json::from_str(&found.2).unwrap());
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.response.chunk()).await;
            let chunk = chunk.expect("an event in time").unwrap().expect("an open stream");
            self.text += std::str::from_utf8(&chunk).unwrap();
        }
    }

    async fn until(&mut self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Event {
        for _ in 0..100 {
            let event = self.next().await;
            if event.0 == kind && wanted(&event.2) {
                return event;
            }
        }
        panic!("no such {kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_begin_with_a_snapshot_and_go_on_where_they_ended() {
    let Some(bench) = Bench::new("events").await else { return };
    bench.commit(1, &[logins(now_s(), 3)]).await;
    let api = bench.start().await;
    let filter = "operation=login&environment=production&window=5m";
    let mut events = Events::open(&api, filter, None).await;
    let (kind, id, snapshot) = events.next().await;
    assert_eq!(
        (kind.as_str(), id.as_str(), calls_to(&snapshot, "auth")),
        ("snapshot", "0:1", 3),
        "{snapshot:#}"
    );
    bench.commit(2, &[logins(now_s(), 2)]).await;
    let changed = |delta: &Value| calls_to(delta, "auth") == 5;
    let (_, id, _) = events.until("graph_delta", changed).await;
    assert_eq!(id, "0:2");

    let mut resumed = Events::open(&api, filter, Some("0:1")).await;
    let (kind, _, delta) = resumed.next().await;
    assert_eq!((kind.as_str(), changed(&delta)), ("graph_delta", true), "not a snapshot: {delta:#}");
    let mut unknown = Events::open(&api, filter, Some("7:9999")).await;
    assert_eq!(unknown.next().await.0, "snapshot", "what can't be gone on from begins anew");
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_that_cannot_be_are_refused() {
    let Some(bench) = Bench::new("events_refused").await else { return };
    let api = bench.start().await;
    for query in ["window=2m", "colour=red", "status=sad"] {
        let (status, refused) = api.get(&format!("/api/v1/events?{query}")).await;
        assert_eq!((status, &refused["code"]), (400, &"bad_request".into()), "{refused:#}");
    }
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_says_what_is_late_and_who_is_silent() {
    let Some(bench) = Bench::new("status").await else { return };
    bench.commit(1, &[logins(now_s(), 3)]).await;
    // Its second commit never comes.
    bench.commit(3, &[logins(now_s(), 3)]).await;
    let api =
        bench.start_with(|options| options.roles = vec!["http://127.0.0.1:9/metrics".parse().unwrap()]).await;
    let missed = |status: &Value| {
        let mut counts = status["counts"].as_array().unwrap().iter();
        counts.any(|count| count["name"] == "weir_query_api_holes" && count["kind"] == "dropped")
    };
    let status = api.until("/api/v1/status", missed).await;
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["graphs"]["shards"]["0"]["seq"], 3, "{status:#}");
    let roles = status["roles"].as_array().unwrap();
    let told: Vec<_> = roles.iter().map(|role| (&role["role"], &role["answers"])).collect();
    assert_eq!(told, [(&"query-api".into(), &true.into()), (&"".into(), &false.into())], "{status:#}");
    assert_eq!(status["fresh"], false, "{status:#}");
    api.stop().await;
    bench.drop().await;
}
