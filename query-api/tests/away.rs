//! ClickHouse goes away and comes back: answers say what is missing, readiness says why, nobody has to restart anything.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::{Api, Bench, calls_to, logins, now_s};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A way to ClickHouse that can be closed.
struct Way {
    url: String,
    open: Arc<AtomicBool>,
}

impl Way {
    async fn to(url: &str) -> Self {
        let server = url.strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let open = Arc::new(AtomicBool::new(true));
        let is_open = open.clone();
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            let mut look = tokio::time::interval(std::time::Duration::from_millis(20));
            loop {
                tokio::select! {
                    Ok((mut client, _)) = listener.accept() => {
                        if is_open.load(Ordering::SeqCst) {
                            let server = server.clone();
                            connections.spawn(async move {
                                let mut server = TcpStream::connect(server).await?;
                                copy_bidirectional(&mut client, &mut server).await
                            });
                        }
                    }
                    _ = look.tick() => if !is_open.load(Ordering::SeqCst) { connections.abort_all() },
                }
            }
        });
        Self { url, open }
    }

    fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::SeqCst);
    }
}

async fn ready(api: &Api) -> (u16, String) {
    let answer =
        reqwest::Client::builder().no_proxy().build().unwrap().get(format!("{}/ready", api.url)).send();
    let answer = answer.await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn until_ready(api: &Api, wanted: u16) -> String {
    for _ in 0..600 {
        let (status, text) = ready(api).await;
        if status == wanted {
            return text;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("/ready never answered {wanted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_clickhouse_the_last_minutes_are_answered_and_the_rest_is_said_to_be_missing() {
    let Some(mut bench) = Bench::new("away").await else { return };
    bench.commit(1, &[logins(now_s(), 3)]).await;
    let direct = bench.clickhouse.clickhouse.clone();
    let way = Way::to(&direct).await;
    bench.clickhouse.clickhouse.clone_from(&way.url);
    let api = bench.start().await;
    let live = "/api/v1/graph?operation=login&window=1m";
    let hours = [
        "/api/v1/graph?window=2h",
        "/api/v1/flows?window=2h",
        "/api/v1/traces/ab",
        "/api/v1/operations?window=1d",
    ];
    api.until(live, |graph| calls_to(graph, "auth") == 3).await;
    for path in hours {
        assert_ne!(api.get(path).await.0, 503, "{path}");
    }

    way.set_open(false);
    let why = until_ready(&api, 503).await;
    assert!(why.contains("clickhouse"), "{why}");
    bench.commit(2, &[logins(now_s(), 2)]).await;
    api.until(live, |graph| calls_to(graph, "auth") == 5).await;
    for path in hours {
        let (status, problem) = api.get(path).await;
        assert_eq!((status, &problem["code"]), (503, &"store_unavailable".into()), "{path}: {problem:#}");
    }
    let status = api.get("/api/v1/status").await.1;
    assert_eq!((&status["fresh"], &status["spans"]), (&false.into(), &Value::Null), "{status:#}");
    assert!(status["message"].as_str().unwrap().contains("ClickHouse"), "{status:#}");

    way.set_open(true);
    until_ready(&api, 200).await;
    for path in hours {
        assert_ne!(api.get(path).await.0, 503, "{path}");
    }
    api.stop().await;
    bench.clickhouse.clickhouse = direct;
    bench.drop().await;
}
