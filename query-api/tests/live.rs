//! The live protocol over a real socket, fed by a real log.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use futures_util::{SinkExt, StreamExt};
use schemas::v1::{FlowEvent, FlowEventKind, FlowTrace};
use serde_json::{Value, json};
use std::time::Duration;
use support::{Api, Bench, Calls, calls_to, logins, now_s};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(api: &Api) -> Self {
        Self(connect_async(address(api)).await.unwrap().0)
    }

    async fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        loop {
            let message =
                tokio::time::timeout(Duration::from_secs(10), self.0.next()).await.expect("a frame in time");
            match message.expect("an open socket").unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next frame of a type that `wanted` takes.
    async fn hear_until(&mut self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..100 {
            let frame = self.hear().await;
            if frame["type"] == kind && wanted(&frame["data"]) {
                return frame;
            }
        }
        panic!("no such {kind}");
    }
}

fn address(api: &Api) -> String {
    format!("{}/api/v1/live", api.url.replacen("http", "ws", 1))
}

fn subscribe(resume: &Value) -> Value {
    json!({"type": "subscribe", "id": "map", "filters": {"operation": "login", "environment": "production"}, "resume": resume})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_then_deltas_and_flows() {
    let Some(bench) = Bench::new("socket").await else { return };
    bench.commit(1, &[logins(now_s(), 3)]).await;
    let api = bench.start().await;
    let mut socket = Socket::open(&api).await;
    socket.say(&subscribe(&Value::Null)).await;
    let snapshot = socket.hear().await;
    assert_eq!((&snapshot["type"], &snapshot["id"]), (&"snapshot".into(), &"map".into()), "{snapshot:#}");
    assert_eq!((calls_to(&snapshot["data"], "auth"), &snapshot["data"]["sequences"]["0"]), (3, &1.into()));
    assert_eq!(
        (&snapshot["data"]["totals"]["flowCount"], &snapshot["data"]["staleness"]["fresh"]),
        (&3.into(), &true.into())
    );

    bench.commit(2, &[logins(now_s(), 2)]).await;
    let delta = socket
        .hear_until("graph_delta", |data| calls_to(data, "auth") > 0 && data["sequences"]["0"] == 2)
        .await;
    assert_eq!((calls_to(&delta["data"], "auth"), &delta["id"]), (5, &"map".into()));

    let event = |operation: &str| FlowEvent {
        kind: FlowEventKind::Complete.into(),
        trace_id: vec![7; 16],
        environment: "production".to_owned(),
        operation: operation.to_owned(),
        progress: 100,
        summary: Some(FlowTrace { duration_us: 812, ..FlowTrace::default() }),
        ..FlowEvent::default()
    };
    bench.event(&event("create_vm")).await;
    bench.event(&event("login")).await;
    let flow = socket.hear_until("flow_complete", |_| true).await;
    assert_eq!((&flow["data"]["operationName"], &flow["data"]["duration"]), (&"login".into(), &812.into()));
    assert_eq!(flow["data"]["flowId"], "07".repeat(16));
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_joins_its_service_when_that_turns_up() {
    let Some(bench) = Bench::new("join").await else { return };
    let calls = |operation, server, calls| Calls { operation, server, window_s: now_s(), calls, errors: 0 };
    let peer = "external:payment:8080";
    bench.commit(1, &[calls("login", peer, 3)]).await;
    let api = bench.start().await;
    let mut socket = Socket::open(&api).await;
    socket.say(&subscribe(&Value::Null)).await;
    assert_eq!(calls_to(&socket.hear().await["data"], peer), 3);

    bench.commit(2, &[calls("create_vm", "shop/payment", 1)]).await;
    let delta = socket.hear_until("graph_delta", |data| calls_to(data, "shop/payment") > 0).await;
    let data = &delta["data"];
    assert_eq!((calls_to(data, "shop/payment"), &data["sequences"]["0"]), (3, &2.into()), "{data:#}");
    assert_eq!(data["removedNodes"], json!([peer]));
    assert_eq!(data["removedEdges"], json!([{"from": "web", "to": peer}]));
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconnecting_client_goes_on_where_it_was() {
    let Some(bench) = Bench::new("resume").await else { return };
    bench.commit(1, &[logins(now_s(), 3)]).await;
    let api = bench.start().await;
    let mut socket = Socket::open(&api).await;
    socket.say(&subscribe(&Value::Null)).await;
    let sequences = socket.hear().await["data"]["sequences"].clone();
    drop(socket);
    bench.commit(2, &[logins(now_s(), 2)]).await;
    api.until("/api/v1/graph?operation=login", |graph| calls_to(graph, "auth") == 5).await;
    let mut socket = Socket::open(&api).await;
    socket.say(&subscribe(&sequences)).await;
    let first = socket.hear().await;
    assert_eq!(first["type"], "graph_delta", "{first:#}");
    let mut stranger = Socket::open(&api).await;
    stranger.say(&subscribe(&json!({"0": 99}))).await;
    let snapshot = stranger.hear().await;
    assert_eq!((&snapshot["type"], calls_to(&snapshot["data"], "auth")), (&"snapshot".into(), 5));
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_answered_and_the_socket_stays() {
    let Some(bench) = Bench::new("mistakes").await else { return };
    let api = bench.start().await;
    let mut socket = Socket::open(&api).await;
    for message in
        [json!({"type": "shutdown"}), json!([1]), json!({"type": "subscribe", "filters": {"window": "3m"}})]
    {
        socket.say(&message).await;
        let answer = socket.hear().await;
        assert_eq!(
            (&answer["type"], &answer["data"]["code"]),
            (&"error".into(), &"bad_request".into()),
            "{message}"
        );
    }
    socket.say(&json!({"type": "ping", "id": "7"})).await;
    assert_eq!(socket.hear().await, json!({"type": "pong", "id": "7", "data": {}}));

    for subscription in 0..8 {
        socket
            .say(&json!({"type": "subscribe", "id": subscription.to_string(), "filters": {"window": "15m"}}))
            .await;
    }
    socket.say(&json!({"type": "subscribe", "id": "ninth", "filters": {"window": "15m"}})).await;
    let refused = socket.hear_until("error", |_| true).await;
    assert_eq!((&refused["id"], &refused["data"]["code"]), (&"ninth".into(), &"too_many".into()));
    socket.say(&json!({"type": "unsubscribe", "id": "0"})).await;
    socket.say(&json!({"type": "subscribe", "id": "ninth", "filters": {"window": "15m"}})).await;
    assert_eq!(socket.hear_until("snapshot", |_| true).await["type"], "snapshot");
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_closes_the_socket() {
    let Some(bench) = Bench::new("too_much").await else { return };
    let api = bench.start().await;
    let mut socket = Socket::open(&api).await;
    for _ in 0..100 {
        // The server may have closed in the middle of it.
        let _ = socket.0.send(Message::text(json!({"type": "ping"}).to_string())).await;
    }
    let mut code = None;
    while let Some(Ok(message)) = socket.0.next().await {
        if let Message::Close(Some(close)) = message {
            code = Some(u16::from(close.code));
        }
    }
    assert_eq!(code, Some(1008));

    let mut socket = Socket::open(&api).await;
    let _ = socket.0.send(Message::text("x".repeat(20 << 10))).await;
    let end = tokio::time::timeout(Duration::from_secs(10), async {
        let mut code = None;
        while let Some(Ok(message)) = socket.0.next().await {
            assert!(!matches!(message, Message::Text(_)), "a message that long is not answered");
            if let Message::Close(Some(close)) = message {
                code = Some(u16::from(close.code));
            }
        }
        code
    });
    assert_eq!(end.await, Ok(Some(1008)), "the socket of a message that is too long ends, and says why");
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_known_origins_may_connect() {
    let Some(bench) = Bench::new("origin").await else { return };
    let api = bench.start().await;
    for (origin, allowed) in [
        (api.url.as_str(), true),
        ("null", false),
        ("http://evil.example", false),
        ("http://127.0.0.1:1", false),
    ] {
        let mut request = address(&api).into_client_request().unwrap();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        match connect_async(request).await {
            Ok(_) => assert!(allowed, "{origin} may connect"),
            Err(Error::Http(answer)) => {
                assert_eq!((answer.status().as_u16(), allowed), (403, false), "{origin}")
            }
            Err(other) => panic!("{origin}: {other}"),
        }
    }
    api.stop().await;
    bench.drop().await;
}

/// A young graph changes as a whole with every tick, because rates divide by its age: a megabyte each time.
fn large_graph() -> Vec<Calls> {
    let servers = (0..2_500).map(|n| &*format!("service-{n}").leak());
    servers.map(|server| Calls { server, ..logins(now_s(), 1) }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_pings_stand_between_frames() {
    let Some(bench) = Bench::new("pings").await else { return };
    // Frames that leave in many pieces.
    bench.commit(1, &large_graph()).await;
    let api = bench.start().await;
    let mut socket = Socket::open(&api).await;
    socket.say(&subscribe(&Value::Null)).await;
    let (mut frames, mut answers) = (0, 0);
    while frames < 12 {
        socket.0.send(Message::Ping("there?".into())).await.unwrap();
        let next = tokio::time::timeout(Duration::from_secs(10), socket.0.next()).await;
        match next.expect("a frame in time").expect("an open socket").unwrap() {
            Message::Text(text) => {
                serde_json::from_str::<Value>(&text).unwrap();
                frames += 1;
            }
            Message::Pong(payload) => {
                assert_eq!(payload, "there?");
                answers += 1;
            }
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(answers > 0);
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_closed_and_nobody_else_notices() {
    let Some(bench) = Bench::new("slow").await else { return };
    bench.commit(1, &large_graph()).await;
    let api = bench.start().await;
    let mut slow = Socket::open(&api).await;
    slow.say(&subscribe(&Value::Null)).await;
    let mut quick = Socket::open(&api).await;
    quick.say(&subscribe(&Value::Null)).await;
    assert_eq!(quick.hear().await["data"]["edges"].as_array().unwrap().len(), 2_500);
    let reading = tokio::spawn(async move {
        loop {
            quick.hear_until("graph_delta", |_| true).await;
        }
    });
    api.until_metrics("weir_query_api_slow_clients_total 1").await;
    assert!(!reading.is_finished(), "the client that reads still hears");
    reading.abort();
    drop(slow);
    api.stop().await;
    bench.drop().await;
}
