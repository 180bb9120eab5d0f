//! Ten thousand sockets and more at the real program: who finds no room is told so, and nobody else notices.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::TcpListener as PortFinder;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{Bench, calls_to, logins, now_s};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

/// Sockets that the program is left room for.
const ROOM: usize = 10_000;
/// Files that the program keeps for other things than sockets.
const OTHER_FILES: usize = 512;
/// Who comes too late.
const TOO_MANY: usize = 20;
const PATIENCE: Duration = Duration::from_secs(30);

struct QueryApi {
    child: Child,
    address: String,
}

impl QueryApi {
    fn start(bench: &Bench) -> Self {
        let address = PortFinder::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let child = Command::new("sh")
            .args(["-c", &format!("ulimit -n {} && exec \"$0\" \"$@\"", ROOM + OTHER_FILES)])
            .arg(env!("CARGO_BIN_EXE_query-api"))
            .args(["--kafka", &bench.kafka.kafka, "--topic-prefix", bench.prefix()])
            .args(["--clickhouse", &bench.clickhouse.clickhouse])
            .args(["--clickhouse-database", &bench.clickhouse.clickhouse_database])
            .args(["--listen", &address])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address }
    }

    /// A request's status and body, over a connection of its own.
    async fn get(&self, path: &str) -> Option<(u16, Value)> {
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let answer = client.get(format!("http://{}{path}", self.address)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.unwrap_or_default()))
    }

    async fn until(&self, path: &str, wanted: impl Fn(u16, &Value) -> bool) {
        for _ in 0..600 {
            if self.get(path).await.is_some_and(|(status, body)| wanted(status, &body)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} did not become what was wanted: {:?}", self.get(path).await);
    }

    /// A socket that says nothing and reads nothing, and the status of its handshake.
    async fn silent_socket(&self) -> (TcpStream, u16) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let handshake = format!(
            "GET /api/v1/live HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.address
        );
        stream.write_all(handshake.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut head)).await.expect("an answer in time").unwrap();
        (stream, String::from_utf8_lossy(&head[9..]).parse().unwrap())
    }
}

impl Drop for QueryApi {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_silent_sockets_and_those_who_find_no_room() {
    if process::allow_open_files((ROOM + 1_000) as u64) < (ROOM + 1_000) as u64 {
        println!("skipped: the hard limit of open files is below {}", ROOM + 1_000);
        return;
    }
    let Some(bench) = Bench::new("crowd").await else { return };
    bench.commit(1, &[logins(now_s(), 3)]).await;
    let api = QueryApi::start(&bench);
    let graph = "/api/v1/graph?operation=login&window=15m";
    api.until(graph, |_, graph| graph["edges"].is_array() && calls_to(graph, "auth") == 3).await;
    let (mut watcher, _) = connect_async(format!("ws://{}/api/v1/live", api.address)).await.unwrap();
    let subscribe = json!({"type": "subscribe", "filters": {"operation": "login", "window": "15m"}});
    watcher.send(Message::text(subscribe.to_string())).await.unwrap();

    let mut crowd = Vec::with_capacity(ROOM);
    while crowd.len() < ROOM - 1 {
        let several = (0..100.min(ROOM - 1 - crowd.len())).map(|_| api.silent_socket());
        for (socket, status) in futures_util::future::join_all(several).await {
            assert_eq!(status, 101, "socket {}", crowd.len());
            crowd.push(socket);
        }
    }
    for _ in 0..TOO_MANY {
        let (mut refused, status) = api.silent_socket().await;
        let mut rest = vec![0; 4_096];
        let read = timeout(PATIENCE, refused.read(&mut rest)).await.expect("a reason in time").unwrap();
        let reason = String::from_utf8_lossy(&rest[..read]).into_owned();
        assert!(status == 503 && reason.contains("too many open sockets"), "{status} {reason}");
    }

    bench.commit(2, &[logins(now_s(), 2)]).await;
    api.until(graph, |status, graph| status == 200 && calls_to(graph, "auth") == 5).await;
    let hears = async {
        while let Some(message) = watcher.next().await {
            let Message::Text(text) = message.unwrap() else { continue };
            let frame: Value = serde_json::from_str(&text).unwrap();
            if frame["data"]["edges"].is_array() && calls_to(&frame["data"], "auth") == 5 {
                return;
            }
        }
        panic!("the socket was closed");
    };
    timeout(PATIENCE, hears).await.expect("who was there before still hears");

    drop(crowd);
    let again = async {
        while api.silent_socket().await.1 != 101 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, again).await.expect("there is room again");
    drop(api);
    bench.drop().await;
}
