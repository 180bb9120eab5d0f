//! Names that join the only service they can mean, read from a real log and a real store.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use serde_json::{Value, json};
use support::{Bench, Calls, calls_to, now_s};

const HOST: &str = "external:payment.shop.svc.cluster.local:8080";

fn calls(operation: &'static str, server: &'static str, calls: i64) -> Calls {
    Calls { operation, server, window_s: now_s(), calls, errors: 0 }
}

fn node<'a>(graph: &'a Value, id: &str) -> &'a Value {
    let nodes = graph["nodes"].as_array().unwrap();
    nodes.iter().find(|node| node["id"] == id).unwrap_or(&Value::Null)
}

fn confidence(graph: &Value, server: &str) -> f64 {
    let edges = graph["edges"].as_array().unwrap();
    edges.iter().find(|edge| edge["to"] == server).unwrap()["confidence"].as_f64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_joins_its_service_in_memory() {
    let Some(bench) = Bench::new("join_live").await else { return };
    let others = [calls("create_vm", "shop/payment", 5), calls("create_vm", "billing/payment", 1)];
    bench.commit(1, &[calls("login", HOST, 3), calls("login", "external:payment", 2)]).await;
    bench.commit(2, &others).await;
    let api = bench.start().await;

    let login = api.get("/api/v1/graph?operation=login&environment=production").await.1;
    assert_eq!((calls_to(&login, "shop/payment"), calls_to(&login, HOST)), (3, 0), "{login:#}");
    assert_eq!(calls_to(&login, "external:payment"), 2, "two services have that name");
    assert_eq!(confidence(&login, "shop/payment"), 0.0);
    let payment = node(&login, "shop/payment");
    assert_eq!((&payment["joined"], &payment["metrics"]["requestCount"]), (&json!([HOST]), &3.into()));
    let all = api.get("/api/v1/graph").await.1;
    assert_eq!((calls_to(&all, "shop/payment"), confidence(&all, "shop/payment")), (8, 5.0 / 8.0), "{all:#}");
    for query in ["service=payment&namespace=shop", "service=payment.shop.svc.cluster.local:8080"] {
        let around = api.get(&format!("/api/v1/dependencies?{query}")).await.1;
        assert_eq!(calls_to(&around, "shop/payment"), 8, "{query}: {around:#}");
        assert_eq!(around["edges"].as_array().map(Vec::len), Some(1), "{query}: {around:#}");
    }
    api.stop().await;
    bench.drop().await;
}

/// A row of `edges_1s`: calls of `web`.
fn edge_row(window_s: u32, environment: &str, operation: &str, server: [&str; 3], calls: u32) -> String {
    let [namespace, name, kind] = server;
    format!(
        "INSERT INTO edges_1s (window, environment, operation, client, client_kind, server_namespace, server, server_kind, \
         calls, paired, raw_calls, lane, batch) VALUES ({window_s}, '{environment}', '{operation}', 'web', 'service', \
         '{namespace}', '{name}', '{kind}', {calls}, {calls}, {calls}, 0, 1)"
    )
}

/// A row of `services_1s`: requests of a service in the namespace shop.
fn service_row(window_s: u32, environment: &str, name: &str, requests: u32) -> String {
    format!(
        "INSERT INTO services_1s (window, environment, operation, namespace, service, kind, requests, raw_requests, lane, \
         batch) VALUES ({window_s}, '{environment}', 'create_vm', 'shop', '{name}', 'service', {requests}, {requests}, 0, 1)"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn environments_of_the_store_decide_each_for_itself() {
    let Some(bench) = Bench::new("join_stored").await else { return };
    let old_s = now_s() - 3_000;
    let (peer, auth) = (["", "payment:8080", "external"], ["", "auth", "service"]);
    for environment in ["production", "staging"] {
        bench.execute(&edge_row(old_s, environment, "login", peer, 4)).await;
        bench.execute(&edge_row(old_s + 1, environment, "login", auth, 2)).await;
    }
    bench.execute(&service_row(old_s, "production", "payment", 9)).await;
    bench.execute(&service_row(old_s, "production", "auth", 7)).await;
    // What was taken back, and a database, are no services to join.
    bench.execute(&service_row(old_s, "staging", "payment", 1)).await;
    bench.execute(&service_row(old_s, "staging", "payment", 1).replace("1, 1, 0, 1)", "-1, -1, 0, 1)")).await;
    bench.execute(&edge_row(old_s, "staging", "login", ["", "payment", "database"], 1)).await;
    let api = bench.start().await;

    let range =
        format!("startTime={}&endTime={}", u64::from(old_s) * 1_000_000, u64::from(old_s + 60) * 1_000_000);
    let of = async |filter: &str| api.get(&format!("/api/v1/graph?{range}{filter}")).await.1;
    let production = of("&operation=login&environment=production").await;
    assert_eq!(production["source"], "clickhouse");
    assert_eq!(calls_to(&production, "shop/payment"), 4, "{production:#}");
    assert_eq!((calls_to(&production, "shop/auth"), calls_to(&production, "auth")), (2, 0), "{production:#}");
    assert_eq!((confidence(&production, "shop/payment"), confidence(&production, "shop/auth")), (0.0, 1.0));
    let staging = of("&operation=login&environment=staging").await;
    assert_eq!(
        (calls_to(&staging, "external:payment:8080"), calls_to(&staging, "auth")),
        (4, 2),
        "{staging:#}"
    );

    let both = of("").await;
    let ids = ["shop/payment", "external:payment:8080", "shop/auth", "auth"];
    assert_eq!(ids.map(|id| calls_to(&both, id)), [4, 4, 2, 2], "{both:#}");
    assert_eq!(node(&both, "shop/payment")["metrics"]["requestCount"], 9, "as it counted them itself");
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_and_memory_join_as_one() {
    let Some(bench) = Bench::new("join_both").await else { return };
    let old_s = now_s() - 3_000;
    bench.execute(&edge_row(old_s, "production", "login", ["", "payment:8080", "external"], 4)).await;
    bench.commit(1, &[calls("login", HOST, 3)]).await;
    bench.commit(2, &[calls("create_vm", "shop/payment", 1)]).await;
    let api = bench.start().await;
    let graph = api.get("/api/v1/graph?operation=login&window=1h").await.1;
    assert_eq!(
        (calls_to(&graph, "shop/payment"), &graph["source"]),
        (7, &"clickhouse+live".into()),
        "{graph:#}"
    );
    assert_eq!(node(&graph, "shop/payment")["joined"], json!([HOST, "external:payment:8080"]));
    api.stop().await;
    bench.drop().await;
}
