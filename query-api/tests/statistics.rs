//! Statistics from a real log and a real store: what was put in comes out, over all and over time.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use serde_json::{Value, json};
use stitcher::histogram::bucket_of;
use support::{Api, Bench, Calls, logins, now_s};

const WEB_TO_AUTH: &str = "/api/v1/edges/web/shop%2Fauth/stats";

/// A row of `edges_1s`: calls of `web`, each of 200 µs.
fn edge_row(window_s: u32, server: [&str; 3], version: &str, calls: u32, errors: u32) -> String {
    let [namespace, name, kind] = server;
    format!(
        "INSERT INTO edges_1s (window, environment, operation, client, client_kind, server_namespace, server, server_kind, \
         version, calls, errors, retries, timeouts, paired, raw_calls, callee_latency, callee_sum_us, lane, batch) VALUES \
         ({window_s}, 'production', 'login', 'web', 'service', '{namespace}', '{name}', '{kind}', '{version}', {calls}, \
         {errors}, 1, 1, {calls}, {calls}, ([200], [{calls}000]), 200 * {calls}, 0, 1)"
    )
}

/// A row of `services_1s`: requests, each of 300 µs.
fn service_row(window_s: u32, namespace: &str, name: &str, version: &str, requests: u32) -> String {
    format!(
        "INSERT INTO services_1s (window, environment, operation, namespace, service, kind, version, requests, errors, \
         raw_requests, latency, latency_sum_us, lane, batch) VALUES ({window_s}, 'production', 'login', '{namespace}', \
         '{name}', 'service', '{version}', {requests}, 1, {requests}, ([278], [{requests}000]), 300 * {requests}, 0, 1)"
    )
}

fn operation_row(window_s: u32, flows: u32) -> String {
    format!(
        "INSERT INTO operations_1s (window, environment, operation, flows, errors, timeouts, raw_flows, duration, \
         duration_sum_us, lane, batch) VALUES ({window_s}, 'production', 'login', {flows}, 2, 1, {flows}, \
         ([200], [{flows}000]), 200 * {flows}, 0, 1)"
    )
}

/// A server span of `auth` on a pod.
fn span_row(span: &str, pod: &str) -> String {
    format!(
        "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, SpanName, SpanKind, ServiceName, ResourceAttributes, Duration) \
         VALUES (fromUnixTimestamp64Nano({}000000000), 'aa', '{span}', 'POST /login', 'Server', 'auth', \
         {{'k8s.namespace.name': 'shop', 'k8s.pod.name': '{pod}', 'service.version': '1', \
         'deployment.environment.name': 'production'}}, 5000000)",
        now_s() - 20
    )
}

fn flow_graph(window_s: u32, trace_id: &str, revision: u32, errors: u32, duration_us: u32) -> String {
    let node =
        |namespace: &str, name: &str| format!("('', '{namespace}', '{name}', 'service', '', 1, 0, 9, 9, 9)");
    format!(
        "INSERT INTO flow_graphs (trace_id, revision, environment, operation, start, nodes, edges) VALUES \
         ('{trace_id}', {revision}, 'production', 'login', fromUnixTimestamp64Micro({window_s}000000), [{}, {}], \
         [(1, 2, 1, {errors}, 0, 0, 0, 0, {duration_us})])",
        node("", "web"),
        node("shop", "auth")
    )
}

fn range(from_s: u32, to_s: u32) -> String {
    format!("startTime={}&endTime={}", u64::from(from_s) * 1_000_000, u64::from(to_s) * 1_000_000)
}

fn sum(answer: &Value, field: &str) -> i64 {
    let points = answer["series"].as_array().unwrap_or_else(|| panic!("no series: {answer:#}"));
    points.iter().map(|point| point[field].as_i64().unwrap()).sum()
}

async fn ok(api: &Api, path: &str) -> Value {
    let (status, answer) = api.get(path).await;
    assert_eq!(status, 200, "{path}: {answer:#}");
    answer
}

const AUTH: [&str; 3] = ["shop", "auth", "service"];

/// Fifty minutes ago: 8 calls of version 1 and 4 of version 2 half a minute later, 2 by a name that joins, 3 of a
/// database. Just now: 5 calls in memory.
async fn history(bench: &Bench) -> u32 {
    let old_s = now_s() - 3_000;
    for row in [
        edge_row(old_s, AUTH, "1", 8, 1),
        edge_row(old_s + 30, AUTH, "2", 4, 3),
        edge_row(old_s + 31, ["", "auth:8080", "external"], "", 2, 0),
        edge_row(old_s + 31, ["", "redis/0", "database"], "", 3, 0),
        service_row(old_s, "shop", "auth", "1", 8),
        service_row(old_s + 30, "shop", "auth", "2", 4),
        service_row(old_s + 30, "shop", "cart", "1", 6),
        service_row(old_s + 30, "bank", "cart", "1", 7),
        operation_row(old_s, 10),
        operation_row(old_s + 50, 20),
        flow_graph(old_s, "f1", 1, 0, 9_000),
        flow_graph(old_s + 1, "f2", 1, 0, 1_000),
        flow_graph(old_s + 1, "f2", 2, 1, 1_000),
        flow_graph(old_s + 2, "f3", 1, 0, 4_000),
        flow_graph(old_s + 3, "f4", 1, 0, 3_000),
    ] {
        bench.execute(&row).await;
    }
    for entry in ["/login", "/logout"] {
        let row = format!(
            "INSERT INTO endpoints_1m (window, environment, service, namespace, version, entry, requests, errors, \
             raw_requests, latency, latency_sum_us) VALUES (toStartOfMinute(toDateTime({old_s})), 'production', 'auth', \
             'shop', '1', '{entry}', {0}, 1, {0}, ([200], [{0}000]), 200 * {0})",
            entry.len()
        );
        bench.execute(&row).await;
    }
    for (span, pod) in [("01", "auth-a"), ("02", "auth-b"), ("03", "auth-b")] {
        bench.execute(&span_row(span, pod)).await;
    }
    let now = Calls { operation: "login", server: "shop/auth", window_s: now_s() - 5, calls: 5, errors: 1 };
    bench.commit(1, &[now]).await;
    old_s
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_over_time_adds_up() {
    let Some(bench) = Bench::new("stats_operation").await else { return };
    let old_s = history(&bench).await;
    let api = bench.start().await;
    let all = ok(&api, "/api/v1/operations/login/stats?environment=production&window=1h").await;
    let stats = &all["stats"];
    assert_eq!(
        (&stats["totalRequests"], &stats["errorCount"], &stats["successCount"], &stats["timeouts"]),
        (&json!(35), &json!(4), &json!(31), &json!(2)),
        "{all:#}"
    );
    assert_eq!((sum(&all, "requestCount"), sum(&all, "errorCount")), (35, 4), "{all:#}");
    assert_eq!((&all["source"], &stats["p95Latency"]), (&json!("clickhouse+live"), &json!(0.2)));
    assert!(all["series"].as_array().unwrap().iter().any(|point| point["p50Latency"].is_null()));
    // 12 requests that the service counted long ago; memory has calls to it only.
    let auth = stats["services"].as_array().unwrap().iter().find(|each| each["name"] == "auth").unwrap();
    assert_eq!((&auth["requestCount"], &auth["namespace"]), (&json!(12), &json!("shop")));

    let path = format!("/api/v1/operations/login/stats?{}&step=10s", range(old_s, old_s + 60));
    let minute = ok(&api, &path).await;
    assert_eq!((minute["step"].as_i64(), sum(&minute, "requestCount")), (Some(10), 30), "{minute:#}");
    assert_eq!(minute["stats"]["rate"], 0.5);
    assert_eq!(minute["lastSeen"].as_u64(), Some(u64::from(old_s + 50) * 1_000_000));
    let nobody = ok(&api, "/api/v1/operations/lo'gin/stats").await;
    assert_eq!((&nobody["stats"]["totalRequests"], &nobody["lastSeen"]), (&json!(0), &Value::Null));
    api.stop().await;
    bench.drop().await;
}

/// As the live protocol gives them, and never made of other percentiles.
#[tokio::test(flavor = "multi_thread")]
async fn a_graph_of_any_time_has_all_flows_together() {
    let Some(bench) = Bench::new("stats_totals").await else { return };
    let old_s = history(&bench).await;
    let slow = operation_row(old_s, 70).replace("'login'", "'search'");
    let slow = slow.replace("[200]", &format!("[{}]", bucket_of(5_000))).replace("200 *", "5000 *");
    bench.execute(&slow).await;
    bench.execute(&slow.replace("'search'", "'__probe__'")).await;
    let api = bench.start().await;
    let old = range(old_s, old_s + 60);
    let hour = "window=1h".to_owned();
    for (query, range, flows, errors, average, p50) in [
        ("graph?", &hour, 105, 6, 3.395, 5.0),
        ("dependencies?", &hour, 105, 6, 3.395, 5.0),
        ("dependencies?group=namespace&", &hour, 105, 6, 3.395, 5.0),
        ("dependencies?group=version&", &old, 100, 6, 3.56, 5.0),
        ("graph?operation=login&", &hour, 35, 4, 0.186, 0.2),
        ("graph?operation=search&", &old, 70, 2, 5.0, 5.0),
        ("graph?operation=login&environment=staging&", &hour, 0, 0, 0.0, 0.0),
        ("graph?probes=true&", &old, 170, 8, 4.153, 5.0),
        ("graph?service=auth&namespace=shop&", &old, 100, 6, 3.56, 5.0),
    ] {
        let totals = ok(&api, &format!("/api/v1/{query}{range}")).await["totals"].clone();
        let counts = (&totals["flowCount"], &totals["errorCount"]);
        assert_eq!(counts, (&json!(flows), &json!(errors)), "{query}{range}: {totals:#}");
        for (name, wanted) in [("avgLatency", average), ("p50Latency", p50)] {
            let found = totals[name].as_f64().unwrap_or_default();
            assert!((found - wanted).abs() <= wanted * 0.01, "{query}{range}: {name} of {totals:#}");
        }
    }
    let totals = ok(&api, &format!("/api/v1/graph?operation=login&{old}")).await["totals"].clone();
    let stats = ok(&api, &format!("/api/v1/operations/login/stats?{old}")).await["stats"].clone();
    for name in ["timeouts", "errorRate", "rate", "avgLatency", "p50Latency", "p95Latency", "p99Latency"] {
        assert_eq!(totals[name], stats[name], "{name}");
    }
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_has_all_calls_of_the_names_that_joined() {
    let Some(bench) = Bench::new("stats_edge").await else { return };
    let old_s = history(&bench).await;
    let api = bench.start().await;
    let all = ok(&api, &format!("{WEB_TO_AUTH}?window=1h")).await;
    assert_eq!((&all["metrics"]["callCount"], sum(&all, "callCount")), (&json!(19), 19), "{all:#}");
    assert_eq!((sum(&all, "errorCount"), sum(&all, "retryCount"), sum(&all, "timeouts")), (5, 3, 3));
    let graph = ok(&api, "/api/v1/graph?window=1h").await;
    assert_eq!(support::calls_to(&graph, "shop/auth"), 19, "as the graph shows it");

    let old = range(old_s, old_s + 60);
    let second = ok(&api, &format!("{WEB_TO_AUTH}?{old}&version=2&step=1m")).await;
    assert_eq!((&second["metrics"]["callCount"], &second["source"]), (&json!(4), &json!("clickhouse")));
    let redis = ok(&api, &format!("/api/v1/edges/web/database:redis%252F0/stats?{old}")).await;
    assert_eq!((&redis["to"], sum(&redis, "callCount")), (&json!("database:redis%2F0"), 3), "{redis:#}");

    let examples = ok(&api, &format!("{WEB_TO_AUTH}?{old}&step=1h")).await;
    let found: Vec<_> =
        examples["exemplars"].as_array().unwrap().iter().map(|each| &each["traceId"]).collect();
    // The failed one, by its last revision, and the two slowest, in order of time.
    assert_eq!(found, ["f1", "f2", "f3"], "{examples:#}");
    assert_eq!(
        (&examples["exemplars"][1]["errors"], &examples["exemplars"][0]["latency"]),
        (&json!(1), &json!(9.0))
    );
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_have_versions_pods_and_neighbours() {
    let Some(bench) = Bench::new("stats_services").await else { return };
    let old_s = history(&bench).await;
    let api = bench.start().await;
    let all = ok(&api, "/api/v1/services?window=1h&namespace=shop").await;
    let names: Vec<_> = all["services"].as_array().unwrap().iter().map(|each| each["name"].clone()).collect();
    assert_eq!(names, ["auth", "cart"], "{all:#}");
    let auth = &all["services"][0];
    assert_eq!(
        (&auth["versions"], &auth["podCount"], &auth["environment"], &auth["metrics"]["requestCount"]),
        (&json!(["1", "2"]), &json!(2), &json!("production"), &json!(12)),
        "{all:#}"
    );
    assert_eq!((&auth["status"], &all["services"][1]["podCount"]), (&json!("degraded"), &Value::Null));

    let one = ok(&api, "/api/v1/services/auth?window=1h").await["service"].clone();
    let pods: Vec<_> =
        one["pods"].as_array().unwrap().iter().map(|pod| (&pod["name"], &pod["requestCount"])).collect();
    assert_eq!(pods, [(&json!("auth-a"), &json!(1)), (&json!("auth-b"), &json!(2))], "{one:#}");
    assert_eq!(one["dependencies"], json!({"upstream": ["web"], "downstream": []}));

    let (status, refused) = api.get("/api/v1/services/cart?window=1h").await;
    assert_eq!(status, 400);
    assert!(refused["detail"].as_str().unwrap().contains("namespace=bank or namespace=shop"), "{refused}");
    assert_eq!(
        ok(&api, "/api/v1/services/cart?window=1h&namespace=bank").await["service"]["namespace"],
        "bank"
    );

    let old = range(old_s, old_s + 60);
    let stats = ok(&api, &format!("/api/v1/services/auth/stats?{old}")).await;
    assert_eq!(
        (&stats["metrics"]["requestCount"], sum(&stats, "requestCount")),
        (&json!(12), 12),
        "{stats:#}"
    );
    let second = ok(&api, &format!("/api/v1/services/auth/stats?{old}&version=2")).await;
    assert_eq!((sum(&second, "requestCount"), sum(&second, "errorCount")), (4, 1), "{second:#}");
    // It counted nothing itself: it is known by the calls to it.
    let live = ok(&api, "/api/v1/services/auth/stats?window=1m").await;
    assert_eq!((&live["source"], sum(&live, "requestCount")), (&json!("live"), 5), "{live:#}");

    let endpoints = ok(&api, &format!("/api/v1/services/auth/endpoints?{old}")).await;
    let found: Vec<_> = endpoints["endpoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| (&each["name"], &each["requestCount"], &each["p99Latency"]))
        .collect();
    assert_eq!(
        found,
        [(&json!("/logout"), &json!(7), &json!(0.2)), (&json!("/login"), &json!(6), &json!(0.2))],
        "{endpoints:#}"
    );
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heatmap_has_every_measured_call_once() {
    let Some(bench) = Bench::new("stats_heatmap").await else { return };
    let old_s = history(&bench).await;
    let api = bench.start().await;
    for (of, range, calls, errors) in [
        ("operation=login", "window=1h".to_owned(), 35, 4),
        ("service=auth", range(old_s, old_s + 60), 12, 2),
        ("from=web&to=shop/auth", "window=1h".to_owned(), 19, 5),
    ] {
        let answer = ok(&api, &format!("/api/v1/heatmap?{of}&{range}")).await;
        let rows = answer["counts"].as_array().unwrap();
        let cells = rows.iter().flat_map(|row| row.as_array().unwrap());
        assert_eq!(cells.map(|cell| cell.as_i64().unwrap()).sum::<i64>(), calls, "{of}: {answer:#}");
        let failed = answer["errors"].as_array().unwrap().iter().map(|each| each.as_i64().unwrap());
        assert_eq!(failed.sum::<i64>(), errors, "{of}");
        assert!(rows.len() <= 24 && rows.len() == answer["buckets"].as_array().unwrap().len());
        let times = answer["times"].as_array().unwrap().len();
        assert!(rows.iter().all(|row| row.as_array().unwrap().len() == times));
    }
    api.stop().await;
    bench.drop().await;
}

/// Two clusters with a service of one name, and health checks of one of them.
async fn clusters(bench: &Bench) -> u32 {
    let old_s = now_s() - 3_000;
    for (operation, cluster, calls) in [("login", "eu", 2), ("login", "us", 3), ("__probe__", "eu", 7)] {
        let edge = edge_row(old_s, AUTH, "1", calls, 0)
            .replace("client_kind, server_namespace", "client_kind, server_cluster, server_namespace")
            .replace("'web', 'service'", &format!("'web', 'service', '{cluster}'"));
        let service = service_row(old_s, "shop", "auth", "1", calls)
            .replace("operation, namespace", "operation, cluster, namespace")
            .replace("'login'", &format!("'login', '{cluster}'"));
        for row in [edge, service] {
            bench.execute(&row.replace("'login'", &format!("'{operation}'"))).await;
        }
        let entry = format!(
            "INSERT INTO endpoints_1m (window, environment, service, namespace, cluster, entry, requests, raw_requests) \
             VALUES (toStartOfMinute(toDateTime({old_s})), 'production', 'auth', 'shop', '{cluster}', '/{operation}', \
             {calls}, {calls})"
        );
        bench.execute(&entry).await;
    }
    old_s
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_asked_for_wherever_services_are() {
    let Some(bench) = Bench::new("stats_clusters").await else { return };
    let old_s = clusters(&bench).await;
    let api = bench.start().await;
    let old = range(old_s, old_s + 60);
    for (query, wanted) in [
        ("graph?", vec!["web eu/shop/auth 2", "web us/shop/auth 3"]),
        ("graph?cluster=eu", vec!["web eu/shop/auth 2"]),
        ("graph?cluster=us&service=web", vec![]),
        ("graph?cluster=us&service=auth&namespace=shop", vec!["web us/shop/auth 3"]),
        ("dependencies?cluster=us", vec!["web us/shop/auth 3"]),
        ("dependencies?cluster=us&depth=2&direction=downstream", vec![]),
        ("dependencies?cluster=eu&group=cluster", vec!["web cluster:eu 2"]),
        ("dependencies?cluster=eu&group=version", vec!["web eu/shop/auth@1 2"]),
        ("dependencies?cluster=asia", vec![]),
    ] {
        assert_eq!(calls(&ok(&api, &format!("/api/v1/{query}&{old}")).await), wanted, "{query}");
    }
    let compare =
        format!("/api/v1/dependencies/compare?cluster=eu&{old}&baselineStartTime={}", old_s + 1_000);
    let added = ok(&api, &compare).await["added"].clone();
    assert_eq!(added.as_array().unwrap().len(), 1, "{added:#}");

    let requests = async |path: &str| {
        let answer = ok(&api, &format!("/api/v1/{path}&{old}")).await;
        let metrics = [&answer["metrics"], &answer["service"]["metrics"], &answer["services"][0]["metrics"]];
        let counts = metrics.iter().find_map(|metrics| metrics["requestCount"].as_i64());
        let cells = || answer["totals"].as_array().unwrap().iter().map(|cell| cell.as_i64().unwrap()).sum();
        counts.or_else(|| answer["metrics"]["callCount"].as_i64()).unwrap_or_else(cells)
    };
    for (path, wanted) in [
        ("services?cluster=us", 3),
        ("services?cluster=eu&probes=true", 9),
        ("services/auth?cluster=eu", 2),
        ("services/auth?probes=true", 12),
        ("services/auth/stats?namespace=shop", 5),
        ("services/auth/stats?cluster=us", 3),
        ("services/auth/stats?cluster=eu&probes=true", 9),
        ("services/auth/stats?cluster=eu&operation=__probe__", 7),
        ("heatmap?service=auth&cluster=eu", 2),
        ("heatmap?service=auth&probes=true", 12),
        ("heatmap?service=auth&operation=login", 5),
        ("heatmap?from=web&to=eu/shop/auth&probes=true", 9),
        ("heatmap?from=web&to=eu/shop/auth&operation=login", 2),
        ("edges/web/eu%2Fshop%2Fauth/stats?operation=login", 2),
        ("edges/web/eu%2Fshop%2Fauth/stats?probes=true", 9),
    ] {
        assert_eq!(requests(path).await, wanted, "{path}");
    }
    let endpoints = ok(&api, &format!("/api/v1/services/auth/endpoints?cluster=eu&{old}")).await;
    let names: Vec<_> =
        endpoints["endpoints"].as_array().unwrap().iter().map(|each| each["name"].clone()).collect();
    assert_eq!(names, ["/__probe__", "/login"], "health checks are entry points too");
    for refused in ["heatmap?operation=login&cluster=eu", "heatmap?from=web&to=eu/shop/auth&cluster=eu"] {
        assert_eq!(api.get(&format!("/api/v1/{refused}&{old}")).await.0, 400, "{refused}");
    }
    assert_eq!(api.get(&format!("/api/v1/services/auth/stats?cluster=asia&{old}")).await.0, 404);
    api.stop().await;
    bench.drop().await;
}

fn calls(graph: &Value) -> Vec<String> {
    let edges = graph["edges"].as_array().unwrap();
    edges
        .iter()
        .map(|edge| {
            format!(
                "{} {} {}",
                edge["from"].as_str().unwrap(),
                edge["to"].as_str().unwrap(),
                edge["callCount"]
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dependencies_go_deep_and_can_be_grouped() {
    let Some(bench) = Bench::new("stats_dependencies").await else { return };
    let old_s = history(&bench).await;
    let chain = edge_row(old_s, ["shop", "cart", "service"], "1", 2, 0)
        .replace("client_kind, server_namespace", "client_namespace, client_kind, server_namespace")
        .replace("'web', 'service'", "'auth', 'shop', 'service'");
    bench.execute(&chain).await;
    let api = bench.start().await;
    let of = async |query: &str| {
        ok(&api, &format!("/api/v1/dependencies?{}&{query}", range(old_s, old_s + 60))).await
    };
    let one = of("service=cart&namespace=shop").await;
    assert_eq!(calls(&one), ["shop/auth shop/cart 2"], "{one:#}");
    assert_eq!(
        (&one["metadata"]["service"], &one["metadata"]["depth"], &one["metadata"]["edgeCount"]),
        (&json!("cart"), &json!(1), &json!(1))
    );
    assert!(one["metadata"]["lastUpdated"].as_str().unwrap().ends_with('Z'));
    let two = of("service=cart&namespace=shop&depth=2&direction=upstream").await;
    assert_eq!(calls(&two), ["shop/auth shop/cart 2", "web shop/auth 14"]);
    assert_eq!(calls(&of("service=cart&namespace=shop&depth=9&direction=downstream").await), [""; 0]);

    let namespaces = of("group=namespace").await;
    assert_eq!(
        calls(&namespaces),
        ["namespace:shop namespace:shop 2", "web database:redis%2F0 3", "web namespace:shop 14"],
        "{namespaces:#}"
    );
    let versions = of("group=version").await;
    assert_eq!(
        calls(&versions),
        [
            "shop/auth shop/cart@1 2",
            "web database:redis%2F0 3",
            "web shop/auth 2",
            "web shop/auth@1 8",
            "web shop/auth@2 4"
        ],
        "{versions:#}"
    );
    let node = versions["nodes"].as_array().unwrap().iter().find(|node| node["id"] == "shop/auth@2").unwrap();
    assert_eq!((&node["service"]["name"], &node["service"]["version"]), (&json!("auth"), &json!("2")));
    assert_eq!(calls(&of("group=cluster").await), calls(&of("").await), "nobody says a cluster");
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_cannot_be_answered_say_why() {
    let Some(bench) = Bench::new("stats_refused").await else { return };
    bench.commit(1, &[logins(now_s(), 1)]).await;
    let api = bench.start().await;
    for (path, status, why) in [
        ("/api/v1/operations/login/stats?step=fast", 400, "step"),
        ("/api/v1/operations/login/stats?step=1s&window=2h", 400, "points"),
        ("/api/v1/operations/login/stats?step=1s&window=2d", 400, "multiple"),
        ("/api/v1/operations/login/stats?colour=red", 400, "colour"),
        ("/api/v1/services/nobody", 404, "nobody"),
        ("/api/v1/services/nobody/stats", 404, "nobody"),
        ("/api/v1/services/nobody/endpoints?window=1h", 404, "nobody"),
        ("/api/v1/edges/web/nowhere/stats", 404, "nowhere"),
        ("/api/v1/heatmap", 400, "heatmap"),
        ("/api/v1/heatmap?from=web", 400, "heatmap"),
        ("/api/v1/heatmap?operation=login&step=1s", 400, "10s"),
        ("/api/v1/dependencies?depth=11&service=auth", 400, "depth"),
        ("/api/v1/dependencies?depth=2", 400, "service"),
        ("/api/v1/dependencies?group=colour", 400, "colour"),
        ("/api/v1/dependencies?direction=sideways&service=auth", 400, "sideways"),
    ] {
        let (found, answer) = api.get(path).await;
        assert_eq!(found, status, "{path}: {answer}");
        assert!(answer["detail"].as_str().is_some_and(|detail| detail.contains(why)), "{path}: {answer}");
    }
    api.stop().await;
    bench.drop().await;
}
