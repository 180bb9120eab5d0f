//! What a caller may know of, over real tables and a real log: environments and namespaces in every answer.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use support::{Api, Bench, Calls, now_s};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const FLOW_OF_PRODUCTION: &str = "000000000000000000000000000000aa";
const FLOW_OF_STAGING: &str = "000000000000000000000000000000bb";

/// What each grant lets through: environments, namespaces, and the callees, operations and flows that are left.
struct Case {
    grant: &'static str,
    limits: &'static str,
    callees: &'static [&'static str],
    operations: &'static [&'static str],
    flows: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        grant: "all",
        limits: "",
        callees: &["bank/ledger", "old/archive", "shop/auth", "shop/trial"],
        operations: &["login", "pay", "rehearse"],
        flows: &[FLOW_OF_PRODUCTION, FLOW_OF_STAGING],
    },
    Case {
        grant: "production",
        limits: "environments = [\"production\"]",
        callees: &["bank/ledger", "old/archive", "shop/auth"],
        operations: &["login", "pay"],
        flows: &[FLOW_OF_PRODUCTION],
    },
    Case {
        grant: "staging",
        limits: "environments = [\"staging\"]",
        callees: &["shop/trial"],
        operations: &["rehearse"],
        flows: &[FLOW_OF_STAGING],
    },
    Case {
        grant: "bank",
        limits: "environments = [\"production\"]\nnamespaces = [\"bank\"]",
        callees: &["bank/ledger"],
        operations: &["login", "pay"],
        flows: &[],
    },
    Case {
        grant: "nothing",
        limits: "environments = [\"nowhere\"]",
        callees: &[],
        operations: &[],
        flows: &[],
    },
];

/// `…-secret` is the token of each grant.
fn settings() -> String {
    let digest = |text: &str| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let tables = CASES.iter().map(|Case { grant, limits, .. }| {
        format!(
            "[[grant]]\nname = \"{grant}\"\nrole = \"admin\"\n{limits}\n[[token]]\nname = \"{grant}\"\n\
             grant = \"{grant}\"\nsha256 = \"{}\"\n",
            digest(&format!("{grant}-secret"))
        )
    });
    tables.collect()
}

/// Calls of the last minute from the log, and older ones, also of staging, from the tables.
async fn fill(bench: &Bench) {
    let call = |operation, server| Calls { operation, server, window_s: now_s(), calls: 3, errors: 0 };
    bench.commit(1, &[call("login", "shop/auth"), call("pay", "bank/ledger")]).await;
    let old_s = now_s() - 2 * 3_600;
    for (environment, operation, namespace, server) in
        [("production", "pay", "old", "archive"), ("staging", "rehearse", "shop", "trial")]
    {
        bench
            .execute(&format!(
                "INSERT INTO edges_1s (window, environment, operation, client, client_kind, server, server_namespace, \
                 server_kind, calls, paired, raw_calls, lane, batch) VALUES ({old_s}, '{environment}', '{operation}', \
                 'web', 'service', '{server}', '{namespace}', 'service', 5, 5, 5, 0, 1)"
            ))
            .await;
        bench
            .execute(&format!(
                "INSERT INTO operations_1s (window, environment, operation, flows, raw_flows, lane, batch) \
                 VALUES ({old_s}, '{environment}', '{operation}', 5, 5, 0, 1)"
            ))
            .await;
    }
    for (trace, environment) in [(FLOW_OF_PRODUCTION, "production"), (FLOW_OF_STAGING, "staging")] {
        bench
            .execute(&format!(
                "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, SpanName, SpanKind, ServiceName, \
                 ResourceAttributes, Duration) VALUES (now(), '{trace}', '0000000000000001', 'GET /', 'Server', 'web', \
                 {{'deployment.environment.name': '{environment}', 'service.namespace': 'shop'}}, 1000000)"
            ))
            .await;
        bench
            .execute(&format!(
                "INSERT INTO otel_traces_trace_id_ts (TraceId, Start, End) VALUES ('{trace}', now(), now())"
            ))
            .await;
    }
}

async fn ask(api: &Api, path: &str, token: &str) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("{}{path}", api.url)).bearer_auth(token).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn texts(list: &Value, name: &str) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|each| each[name].as_str().unwrap().to_owned()).collect()
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Callees of the first frame of a subscription to everything.
async fn live_callees(api: &Api, token: &str) -> BTreeSet<String> {
    let mut request =
        format!("{}/api/v1/live", api.url.replacen("http", "ws", 1)).into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let (mut socket, _) = connect_async(request).await.unwrap();
    let subscribe = json!({"type": "subscribe", "id": "map", "filters": {"window": "15m"}});
    socket.send(Message::text(subscribe.to_string())).await.unwrap();
    loop {
        let heard = tokio::time::timeout(Duration::from_secs(10), socket.next()).await.unwrap();
        if let Message::Text(text) = heard.unwrap().unwrap() {
            let frame: Value = serde_json::from_str(&text).unwrap();
            return texts(&frame["data"]["edges"], "to");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_beyond_their_environments_and_namespaces() {
    let Some(bench) = Bench::new("allowed").await else { return };
    fill(&bench).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth.toml");
    std::fs::write(&file, settings()).unwrap();
    let api = bench.start_with(|options| options.auth = Some(file)).await;
    for Case { grant, callees, operations, flows, .. } in CASES {
        let token = &format!("{grant}-secret");
        for path in ["/api/v1/graph?window=5h", "/api/v1/dependencies?window=5h"] {
            let (status, graph) = ask(&api, path, token).await;
            assert_eq!((status, texts(&graph["edges"], "to")), (200, set(callees)), "{grant}: {path}");
            // Who asks for another environment by name gets no more of it.
            let (_, staging) = ask(&api, &format!("{path}&environment=staging"), token).await;
            let of_staging: BTreeSet<_> =
                set(callees).into_iter().filter(|callee| callee == "shop/trial").collect();
            assert_eq!(texts(&staging["edges"], "to"), of_staging, "{grant}: {path}");
        }
        let (status, answer) = ask(&api, "/api/v1/operations?window=5h", token).await;
        assert_eq!((status, texts(&answer["operations"], "name")), (200, set(operations)), "{grant}");
        let counts =
            answer["operations"].as_array().unwrap().iter().map(|each| each["count"].as_i64().unwrap());
        let (_, graph) = ask(&api, "/api/v1/graph?window=5h", token).await;
        assert_eq!(graph["totals"]["flowCount"], counts.sum::<i64>(), "{grant}");
        let environments = answer["environments"].as_array().unwrap();
        let knows = |name: &str| environments.iter().any(|environment| environment == name);
        assert_eq!(knows("staging"), operations.contains(&"rehearse"), "{grant}: {environments:?}");
        for flow in [FLOW_OF_PRODUCTION, FLOW_OF_STAGING] {
            let expected = if flows.contains(&flow) { 200 } else { 404 };
            for path in ["/api/v1/flows", "/api/v1/traces", "/jaeger/api/traces", "/jaeger/api/v3/traces"] {
                let path = format!("{path}/{flow}");
                let (status, answer) = ask(&api, &path, token).await;
                assert_eq!(status, expected, "{grant}: {path}: {answer:#}");
            }
        }
        let of_memory: BTreeSet<_> = set(callees)
            .into_iter()
            .filter(|callee| ["shop/auth", "bank/ledger"].contains(&callee.as_str()))
            .collect();
        assert_eq!(live_callees(&api, token).await, of_memory, "{grant}: live");
    }
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_ends_when_its_asker_has_gone() {
    let Some(bench) = Bench::new("gone").await else { return };
    // A table that takes a second for each row, and has 30 of them in what is asked: the rest of the first minute.
    let start_s = now_s() - now_s() % 3_600 - 2 * 3_600 + 30;
    bench.execute("DROP TABLE operations_1s SYNC").await;
    bench
        .execute(&format!(
            "CREATE VIEW operations_1s AS SELECT toDateTime({start_s} + number, 'UTC') AS window, \
             'production' AS environment, 'login' AS operation, toDecimal64(1, 3) AS flows, \
             toDecimal64(0, 3) AS errors, toDecimal64(0, 3) AS timeouts, toInt64(1) AS raw_flows, \
             CAST(([1], [1]), 'Tuple(Array(UInt16), Array(Int64))') AS duration, \
             toDecimal64(0, 3) AS duration_sum_us, toUInt16(0) AS lane, toUInt64(1) AS batch \
             FROM numbers(30) WHERE NOT ignore(sleepEachRow(1)) SETTINGS max_block_size = 1"
        ))
        .await;
    let api = bench.start().await;
    let database = bench.clickhouse.clickhouse_database.clone();
    let running = async || {
        let sql = "SELECT count() FROM system.processes WHERE current_database = ? AND query LIKE '%operations_1s%'";
        bench
            .clickhouse
            .client()
            .with_database("default")
            .query(sql)
            .bind(&database)
            .fetch_one::<u64>()
            .await
            .unwrap()
    };
    let until = async |wanted: bool| {
        let began = Instant::now();
        while (running().await > 0) != wanted {
            assert!(began.elapsed() < Duration::from_secs(8), "running: {}, wanted: {wanted}", !wanted);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/api/v1/operations?startTime={start_s}", api.url);
    let asking = tokio::spawn(async move { client.get(url).send().await });
    until(true).await;
    assert!(!asking.is_finished());
    let gone = Instant::now();
    asking.abort();
    until(false).await;
    assert!(
        gone.elapsed() < Duration::from_secs(5),
        "{:?}: its own limit of 10 s has ended it",
        gone.elapsed()
    );
    api.stop().await;
    bench.drop().await;
}
