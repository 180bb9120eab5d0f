//! REST answers from a real log and a real store.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use serde_json::{Value, json};
use support::{Bench, Calls, calls_to, logins, now_s};

/// A row of `edges_1s`: calls of `web` to `auth`.
fn edge_row(window_s: u32, calls: u32, batch: u32) -> String {
    format!(
        "INSERT INTO edges_1s (window, environment, operation, client, client_kind, server, server_kind, calls, errors, \
         paired, raw_calls, callee_latency, callee_sum_us, lane, batch) VALUES ({window_s}, 'production', 'login', 'web', \
         'service', 'auth', 'service', {calls}, 1, {calls}, {calls}, ([200], [{calls}000]), 200 * {calls}, 0, {batch})"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_store_leaves_fifteen_minutes_of_the_log() {
    let Some(bench) = Bench::new("log").await else { return };
    bench.commit(1, &[logins(now_s(), 3)]).await;
    let other = Calls { operation: "create_vm", server: "vm", window_s: now_s(), calls: 7, errors: 2 };
    bench.commit(2, &[logins(now_s() - 100, 2), other]).await;
    let api = bench.start().await;

    let (status, graph) = api.get("/api/v1/graph?operation=login&environment=production").await;
    assert_eq!((status, calls_to(&graph, "auth"), calls_to(&graph, "vm")), (200, 5, 0), "{graph:#}");
    let staleness = &graph["staleness"];
    assert_eq!(
        (&staleness["loadedFrom"], &staleness["fresh"], &staleness["shards"]["0"]["seq"]),
        (&"kafka".into(), &true.into(), &2.into())
    );
    let edge = &graph["edges"][0];
    assert_eq!(
        (&edge["from"], &edge["p95Latency"], &edge["confidence"]),
        (&"web".into(), &0.1.into(), &1.0.into())
    );

    let last_minute = api.get("/api/v1/graph?operation=login&window=1m").await.1;
    assert_eq!(calls_to(&last_minute, "auth"), 3);
    let operations = api.get("/api/v1/operations").await.1;
    let counts: Vec<_> = operations["operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| (&each["name"], &each["count"]))
        .collect();
    assert_eq!(counts, [(&Value::from("create_vm"), &Value::from(7)), (&"login".into(), &5.into())]);
    assert_eq!(operations["environments"], Value::from(vec!["production"]));
    let around = api.get("/api/v1/dependencies?service=vm").await.1;
    assert_eq!((calls_to(&around, "vm"), calls_to(&around, "auth")), (7, 0));

    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cut_counts_nothing_twice_and_leaves_nothing_out() {
    let Some(bench) = Bench::new("cut").await else { return };
    let now_s = now_s();
    // The log holds three commits; the store has finished batch 1, with the first of them, and has begun batch 2.
    for (seq, calls) in [(1, 10), (2, 20), (3, 40)] {
        bench.commit(seq, &[logins(now_s - 30, calls)]).await;
    }
    bench.execute(&edge_row(now_s - 30, 10, 1)).await;
    bench.execute("INSERT INTO store_progress (lane, batch, topic, partition, next_offset) VALUES (0, 1, 'flow_deltas', 0, 1)").await;
    bench.execute(&edge_row(now_s - 30, 20, 2)).await;
    let api = bench.start().await;

    let graph = api.get("/api/v1/graph?operation=login").await.1;
    assert_eq!((calls_to(&graph, "auth"), &graph["source"]), (70, &"live".into()), "{graph:#}");
    assert_eq!(graph["staleness"]["loadedFrom"], "clickhouse");
    // 10 calls of 200 µs from the store and 60 of 100 µs from the log.
    let edge = &graph["edges"][0];
    assert_eq!(
        (&edge["p50Latency"], &edge["p95Latency"], &edge["errorCount"]),
        (&0.1.into(), &0.2.into(), &1.into())
    );

    bench.commit(4, &[logins(now_s, 5)]).await;
    api.until("/api/v1/graph?operation=login", |graph| calls_to(graph, "auth") == 75).await;
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn older_ranges_come_from_the_store_and_join_the_live_ones() {
    let Some(bench) = Bench::new("older").await else { return };
    let now_s = now_s();
    bench.execute(&edge_row(now_s - 3_000, 8, 1)).await;
    bench.execute(&edge_row(now_s - 2_000, 4, 1)).await;
    bench.commit(1, &[logins(now_s - 5, 2)]).await;
    let api = bench.start().await;

    let us = |second: u32| u64::from(second) * 1_000_000;
    let between =
        |from_s, to_s| format!("/api/v1/graph?operation=login&startTime={}&endTime={}", us(from_s), us(to_s));
    let old = api.get(&between(now_s - 3_000, now_s - 2_000)).await.1;
    assert_eq!((calls_to(&old, "auth"), &old["source"]), (8, &"clickhouse".into()), "{old:#}");
    assert_eq!(old["edges"][0]["avgLatency"], 0.2);
    let all = api.get("/api/v1/graph?operation=login&window=1h").await.1;
    assert_eq!((calls_to(&all, "auth"), &all["source"]), (14, &"clickhouse+live".into()), "{all:#}");
    let nobody = api.get(&between(now_s - 3_000, now_s - 2_000).replace("login", "log'in")).await;
    assert_eq!((nobody.0, nobody.1["edges"].as_array().map(Vec::len)), (200, Some(0)));
    api.stop().await;
    bench.drop().await;
}

/// Nodes and edges without what depends on the range's length.
fn without_rates(mut graph: Value) -> (Value, Value) {
    for each in graph["nodes"].as_array_mut().unwrap() {
        each["metrics"].as_object_mut().unwrap().remove("rate");
    }
    for each in graph["edges"].as_array_mut().unwrap() {
        each.as_object_mut().unwrap().remove("rate");
    }
    (graph["nodes"].take(), graph["edges"].take())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_added_up_here_as_in_clickhouse() {
    let Some(bench) = Bench::new("added_up").await else { return };
    let day_s = now_s() / 86_400 * 86_400 - 2 * 86_400;
    // Three hours of two environments, operations and versions; every fifth row takes back some of the one before it.
    let rows = format!(
        "{day_s} + 60 + number % 10000 AS window, if(number % 7 = 0, 'staging', 'production') AS environment, \
         concat('operation-', toString(number % 3)) AS operation, concat('v', toString(number % 2)) AS version, \
         if(number % 5 = 4, -1, toInt64(1 + number % 4)) AS n, \
         (arrayMap(i -> toUInt16((number * 37 + i * 11) % 900), range(toUInt64(abs(n)))), \
          arrayMap(i -> toInt64(if(n < 0, -1000, 1000)), range(toUInt64(abs(n))))) AS latency, 250.125 * n AS sum \
         FROM numbers(4000)"
    );
    bench
        .execute(&format!(
            "INSERT INTO edges_1s (window, environment, operation, version, client, client_kind, server, server_namespace, \
             server_kind, calls, errors, retries, messages, paired, raw_calls, callee_latency, callee_sum_us, \
             caller_latency, caller_sum_us, wait, wait_sum_us) \
             SELECT window, environment, operation, version, concat('caller-', toString(number % 5)), 'service', \
             concat('callee-', toString(number % 11)), if(number % 2 = 0, 'shop', ''), 'service', n, n / 2, 0.125, n, n, n, \
             latency, sum, latency, 2 * sum, latency, sum / 2 FROM (SELECT number, {rows})"
        ))
        .await;
    bench
        .execute(&format!(
            "INSERT INTO services_1s (window, environment, operation, version, service, namespace, kind, requests, errors, \
             raw_requests, latency, latency_sum_us, self_time, self_sum_us, critical_path, critical_sum_us) \
             SELECT window, environment, operation, version, concat('callee-', toString(number % 11)), \
             if(number % 2 = 0, 'shop', ''), 'service', n, n / 4, n, latency, sum, latency, sum / 3, latency, sum / 5 \
             FROM (SELECT number, {rows})"
        ))
        .await;
    let api = bench.start().await;
    for more in ["", "&environment=staging", "&operation=operation-1", "&group=version", "&service=callee-3"]
    {
        let ask = async |from_s: u32, to_s: u32| {
            let path = format!("/api/v1/dependencies?startTime={from_s}&endTime={to_s}{more}");
            let (status, graph) = api.get(&path).await;
            assert_eq!(status, 200, "{path}: {graph:#}");
            without_rates(graph)
        };
        // 3 windows of an hour, 29 of several lengths, and 99 of an hour, which ClickHouse adds up.
        let few = ask(day_s, day_s + 3 * 3_600).await;
        assert!(few.1.as_array().unwrap().len() > 4, "{few:?}");
        assert_eq!(few, ask(day_s + 60, day_s + 10_140).await, "{more}");
        assert_eq!(few, ask(day_s - 96 * 3_600, day_s + 3 * 3_600).await, "{more}");
    }
    // 50,001 edges are more than an answer may have.
    bench
        .execute(&format!(
            "INSERT INTO edges_1h (window, client, server, calls, raw_calls) \
             SELECT {day_s} - 86400, 'web', toString(number), 1, 1 FROM numbers(50001)"
        ))
        .await;
    for hours in [1, 70] {
        let from_s = day_s - 86_400;
        let path = format!("/api/v1/graph?startTime={from_s}&endTime={}", from_s + hours * 3_600);
        let (status, problem) = api.get(&path).await;
        assert_eq!(status, 400, "{problem:#}");
        assert!(problem["detail"].as_str().unwrap().contains("more than 50000"), "{problem:#}");
    }
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_dead_when_the_reader_starts_is_told() {
    let Some(bench) = Bench::new("dead").await else { return };
    let now_s = now_s();
    bench.commit(7, &[logins(now_s - 30, 10)]).await;
    bench.execute(&edge_row(now_s - 30, 10, 1)).await;
    let progress = |seq: u32, age_s: u32| {
        format!(
            "INSERT INTO store_progress (lane, batch, topic, partition, next_offset, seq, parts, clock) \
             VALUES (0, {seq}, 'flow_deltas', 0, 1, {seq}, 1, fromUnixTimestamp64Micro({}000000))",
            now_s - age_s
        )
    };
    bench.execute(&progress(7, 60)).await;
    let api = bench.start().await;
    let graph = api.get("/api/v1/graph?operation=login").await.1;
    let staleness = &graph["staleness"];
    assert_eq!(
        (calls_to(&graph, "auth"), &staleness["fresh"], &staleness["shards"]["0"]["state"]),
        (10, &false.into(), &"late".into()),
        "{staleness:#}"
    );
    assert_eq!(staleness["shards"]["0"]["seq"], 7);
    for line in [r#"weir_query_api_shard_seq{shard="0"} 7"#, r#"weir_query_api_shard_fresh{shard="0"} 0"#] {
        api.until_metrics(line).await;
    }

    bench.commit(8, &[logins(now_s, 5)]).await;
    let alive = |graph: &Value| graph["staleness"]["fresh"] == true && calls_to(graph, "auth") == 15;
    api.until("/api/v1/graph?operation=login", alive).await;
    // The store does nothing meanwhile: history lacks a commit, and says so.
    let hour = api.get("/api/v1/graph?operation=login&window=1h").await.1;
    let staleness = &hour["staleness"];
    let stored = &staleness["stored"]["shards"]["0"];
    assert_eq!(
        (&stored["seq"], &stored["commitsBehind"], &staleness["fresh"]),
        (&7.into(), &1.into(), &false.into()),
        "{staleness:#}"
    );
    assert!(staleness["message"].as_str().unwrap().contains("the tables are"), "{staleness:#}");
    bench.execute(&progress(8, 0)).await;
    // What the store said is used for a second.
    api.until("/api/v1/operations?window=1h", |hour| hour["staleness"]["fresh"] == true).await;
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_commit_is_told_and_never_hidden() {
    let Some(bench) = Bench::new("hole").await else { return };
    bench.commit(1, &[logins(now_s(), 1)]).await;
    bench.commit(3, &[logins(now_s(), 1)]).await;
    bench.send("flow_deltas", b"\xff\xff garbage").await;
    let api = bench.start().await;
    let answer = api.get("/api/v1/graph").await.1;
    let staleness = &answer["staleness"];
    assert_eq!((&staleness["fresh"], &staleness["shards"]["0"]["state"]), (&false.into(), &"hole".into()));
    assert!(staleness["message"].as_str().unwrap().contains("missing"), "{staleness}");
    for line in ["weir_query_api_holes_total 1", "weir_query_api_undecodable_records_total 1"] {
        api.until_metrics(line).await;
    }
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_has_its_spans_once() {
    let Some(bench) = Bench::new("trace").await else { return };
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let row = |span: &str, kind: &str, scope: &str| {
        format!(
            "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, SpanName, SpanKind, ServiceName, ResourceAttributes, \
             SpanAttributes, Duration, StatusCode, ScopeName, `Events.Timestamp`, `Events.Name`, `Events.Attributes`) VALUES \
             (fromUnixTimestamp64Nano({}000000123), '{trace}', '{span}', 'GET /', '{kind}', 'web', \
             {{'k8s.namespace.name': 'shop'}}, {{'http.route': '/'}}, 5000000, 'Ok', '{scope}', [fromUnixTimestamp64Nano({0}000000500)], \
             ['retry'], [{{'n': '1'}}])",
            now_s()
        )
    };
    // The third is a re-delivery; the scope keeps it from being taken for a repeated insert.
    for (span, kind, scope) in [("01", "Server", "a"), ("02", "Client", "a"), ("01", "Server", "b")] {
        bench.execute(&row(span, kind, scope)).await;
    }
    let api = bench.start().await;
    let (status, answer) = api.get(&format!("/api/v1/traces/{}", trace.to_uppercase())).await;
    assert_eq!(
        (status, &answer["traceId"], &answer["spanCount"]),
        (200, &trace.into(), &2.into()),
        "{answer:#}"
    );
    let span = &answer["spans"][0];
    assert_eq!(
        (&span["duration"], &span["service"]["namespace"], &span["status"]["code"]),
        (&5_000.into(), &"shop".into(), &"OK".into())
    );
    assert_eq!(
        (&span["attributes"]["http.route"], &span["events"][0]["name"]),
        (&"/".into(), &"retry".into())
    );
    assert_eq!(answer["startTime"].as_u64().unwrap() % 1_000_000, 0);

    // The store has what is in the log; then it lacks a record.
    let paths = [format!("/api/v1/traces/{trace}"), format!("/api/v1/flows/{trace}")];
    let fresh = |answer: &Value| answer["staleness"]["fresh"] == true;
    for path in &paths {
        let staleness = api.until(path, fresh).await["staleness"].clone();
        assert_eq!(staleness["shards"]["0"], json!({"recordsBehind": 0, "behindSeconds": 0.0}));
    }
    bench.send("otlp_spans", b"not stored").await;
    for path in &paths {
        let staleness =
            api.until(path, |answer| answer["staleness"]["shards"]["0"]["recordsBehind"] == 1).await;
        assert!(staleness["staleness"]["shards"]["0"]["behindSeconds"].as_f64().unwrap() > 0.0);
    }

    let (status, missing) = api.get("/api/v1/traces/abc").await;
    assert_eq!((status, &missing["code"]), (404, &"not_found".into()));
    for bad in ["xyz", "..%2f..%2fetc", &"a".repeat(33)] {
        let (status, refused) = api.get(&format!("/api/v1/traces/{bad}")).await;
        assert_eq!((status, &refused["code"]), (400, &"bad_request".into()), "{bad}");
    }
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_answered_is_refused_in_json() {
    let Some(bench) = Bench::new("refused").await else { return };
    let api = bench.start().await;
    for (path, status) in [
        ("/api/v1/graph?window=fortnight", 400),
        ("/api/v1/graph?colour=red", 400),
        ("/api/v1/graph?startTime=1699996400&endTime=1699990000", 400),
        ("/api/v1/operations?service=auth", 400),
        ("/api/v1/nothing", 404),
    ] {
        let (found, answer) = api.get(path).await;
        assert_eq!(found, status, "{path}: {answer}");
        assert!(answer["detail"].as_str().is_some_and(|message| !message.is_empty()), "{path}: {answer}");
    }
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_served_with_a_strict_policy() {
    let Some(bench) = Bench::new("page").await else { return };
    let api = bench.start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let page = client.get(format!("{}/", api.url)).send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers()["cache-control"], "no-cache", "an old page would ask for files that are gone");
    let text = page.text().await.unwrap();
    let read = async |path: &str, accept: &str| {
        client.get(format!("{}{path}", api.url)).header("accept", accept).send().await.unwrap()
    };
    for view in ["/operations", "/flows/0af7651916cd43dd8448eb211c80319c"] {
        assert_eq!(read(view, "text/html").await.text().await.unwrap(), text, "{view} is a view of the page");
    }
    for (path, accept) in
        [("/operations", "application/json"), ("/api/v1/nothing", "text/html"), ("/page/x.js", "*/*")]
    {
        assert_eq!(read(path, accept).await.status(), 404, "{path} for {accept}");
    }
    // Without the dashboard the page names no files.
    if let Some(script) = text.split('"').find(|name| name.starts_with("/page/") && name.ends_with(".js")) {
        let script = read(script, "*/*").await;
        assert_eq!(script.headers()["content-type"], "text/javascript; charset=utf-8");
        assert!(script.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    }
    let elsewhere = client
        .get(format!("{}/api/v1/graph", api.url))
        .header("host", "evil.example:8080")
        .send()
        .await
        .unwrap();
    assert_eq!(elsewhere.status(), 403, "a name that was bent to this machine");
    api.stop().await;
    bench.drop().await;
}
