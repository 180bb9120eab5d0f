//! Jaeger's HTTP API over the real log and the real tables, as Grafana's Jaeger datasource and Jaeger's clients ask.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use serde_json::{Value, json};
use support::{Api, Bench, logins, now_s};

/// Ten flows of two spans each, with their summaries, as the store writes them; the last one's second span failed.
async fn ten_flows(bench: &Bench, began_s: u32) {
    let id = "leftPad(lower(hex(number + 1)), 32, '0')";
    let at = format!("fromUnixTimestamp64Micro(toInt64({began_s}000000 + number * 1000))");
    bench
        .execute(&format!(
            "INSERT INTO traces (trace_id, revision, environment, operation, status, start, duration_us, spans, services, \
             root_service, root_name, weight, complete) SELECT {id}, 1, 'production', 'login', 'success', {at}, 5000, 2, \
             ['auth', 'web'], 'web', 'POST /login', 1, true FROM numbers(10)"
        ))
        .await;
    for (span, parent, kind, service, name, ns) in [
        ("01", "", "Server", "web", "POST /login", 5_000_000),
        ("02", "01", "Server", "auth", "verify", 2_000_000),
    ] {
        bench
            .execute(&format!(
                "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, \
                 ResourceAttributes, SpanAttributes, Duration, StatusCode, `Events.Timestamp`, `Events.Name`, \
                 `Events.Attributes`) SELECT {at}, {id}, '00000000000000' || '{span}', \
                 if('{parent}' = '', '', '00000000000000' || '{parent}'), '{name}', '{kind}', '{service}', \
                 map('service.name', '{service}', 'deployment.environment.name', 'production'), \
                 map('number', toString(number)), {ns}, if('{span}' = '02' AND number = 9, 'Error', 'Unset'), \
                 [{at}], ['retry'], [map('attempt', '1')] FROM numbers(10)"
            ))
            .await;
    }
}

async fn begun(name: &str) -> Option<(Bench, Api, u32)> {
    let bench = Bench::new(name).await?;
    let began_s = now_s() - 60;
    ten_flows(&bench, began_s).await;
    bench.commit(1, &[logins(now_s(), 3)]).await;
    let api = bench.start().await;
    Some((bench, api, began_s))
}

async fn ask(api: &Api, path: &str) -> Value {
    let (status, answer) = api.get(path).await;
    assert_eq!(status, 200, "{path}: {answer:#}");
    answer
}

fn ids(answer: &Value) -> Vec<&str> {
    let traces = answer["data"].as_array().unwrap_or_else(|| panic!("no data: {answer:#}"));
    let id = |trace: &Value| trace["traceID"].as_str().unwrap_or_default().len();
    assert!(traces.iter().all(|trace| id(trace) == 32), "{answer:#}");
    traces.iter().map(|trace| trace["traceID"].as_str().unwrap().trim_start_matches('0')).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn grafana_finds_services_operations_traces_and_dependencies() {
    let Some((bench, api, began_s)) = begun("jaeger").await else { return };
    // Grafana asks this to see whether the datasource works, and for its list.
    let services = ask(&api, "/jaeger/api/services").await;
    let expected = json!({"data": ["auth", "web"], "total": 2, "limit": 0, "offset": 0, "errors": null});
    assert_eq!(services, expected);
    assert_eq!(ask(&api, "/jaeger/api/services/web/operations").await["data"], json!(["POST /login"]));
    let operations = ask(&api, "/jaeger/api/operations?service=auth&spanKind=server").await;
    assert_eq!(operations["data"], json!([{"name": "verify", "spanKind": "server"}]));
    let none = ask(&api, "/jaeger/api/operations?service=auth&spanKind=client").await;
    assert_eq!(none["data"], json!([]), "never null");

    let (start, end) = (u64::from(began_s - 10) * 1_000_000, u64::from(now_s()) * 1_000_000);
    let search =
        |more: &str| format!("/jaeger/api/traces?service=auth&start={start}&end={end}&lookback=custom{more}");
    let all = ask(&api, &search("&limit=20&minDuration=&maxDuration=")).await;
    assert_eq!(
        ids(&all),
        ["A", "9", "8", "7", "6", "5", "4", "3", "2", "1"].map(str::to_lowercase),
        "{all:#}"
    );
    assert_eq!(ids(&ask(&api, &search("&limit=2")).await), ["a", "9"]);
    for (more, expected) in [
        ("&operation=verify&tags=%7B%22number%22%3A%223%22%7D", vec!["4"]),
        ("&tag=number:3&tag=service.name:auth", vec!["4"]),
        ("&tags=%7B%22error%22%3A%22true%22%7D", vec!["a"]),
        ("&operation=POST%20%2Flogin", vec![]),
        ("&minDuration=3ms", vec![]),
        ("&minDuration=1ms&maxDuration=2ms&limit=1", vec!["a"]),
    ] {
        assert_eq!(ids(&ask(&api, &search(more)).await), expected, "{more}");
    }
    let two = ask(&api, "/jaeger/api/traces?traceID=1&traceID=2&traceID=ffff").await;
    assert_eq!(
        (ids(&two), &two["errors"][0]["traceID"]),
        (vec!["1", "2"], &format!("{:0>32}", "ffff").into())
    );

    let again = ask(&api, "/jaeger/api/traces?traceID=2&traceID=02&traceID=1&traceID=2").await;
    assert_eq!((ids(&again), &again["errors"]), (vec!["2", "1"], &Value::Null));

    let now_ms = u64::from(now_s() + 2) * 1_000;
    let edges = ask(&api, &format!("/jaeger/api/dependencies?endTs={now_ms}&lookback=3600000")).await;
    assert_eq!(edges["data"], json!([{"parent": "web", "child": "auth", "callCount": 3}]));
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_is_what_jaeger_shows() {
    let Some((bench, api, began_s)) = begun("jaeger_trace").await else { return };
    let at = u64::from(began_s) * 1_000_000 + 9_000;
    let trace_id = format!("{:0>32}", "a");
    let answer = ask(&api, &format!("/jaeger/api/traces/{trace_id}")).await;
    assert_eq!((&answer["total"], &answer["errors"]), (&1.into(), &Value::Null));
    let trace = &answer["data"][0];
    let text = |key: &str, value: &str| json!({"key": key, "type": "string", "value": value});
    let process = |name: &str| json!({"serviceName": name, "tags": [text("deployment.environment.name", "production")]});
    assert_eq!(trace["processes"], json!({"p1": process("web"), "p2": process("auth")}));
    let logs = json!([{"timestamp": at, "fields": [text("event", "retry"), text("attempt", "1")]}]);
    let second = json!({
        "traceID": trace_id, "spanID": "0000000000000002", "operationName": "verify",
        "references": [{"refType": "CHILD_OF", "traceID": trace_id, "spanID": "0000000000000001"}],
        "startTime": at, "duration": 2_000,
        "tags": [text("number", "9"), text("span.kind", "server"),
            {"key": "error", "type": "bool", "value": true}, text("otel.status_code", "ERROR")],
        "logs": logs, "processID": "p2", "warnings": null,
    });
    assert_eq!(trace["spans"][1], second);
    assert_eq!((&trace["spans"][0]["references"], &trace["warnings"]), (&json!([]), &Value::Null));

    let (status, unknown) = api.get("/jaeger/api/traces/ffff").await;
    let expected = json!({"data": null, "total": 0, "limit": 0, "offset": 0,
        "errors": [{"code": 404, "msg": "trace not found"}]});
    assert_eq!((status, unknown), (404, expected));
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newer_api_speaks_otlp() {
    let Some((bench, api, began_s)) = begun("jaeger_v3").await else { return };
    assert_eq!(ask(&api, "/jaeger/api/v3/services").await, json!({"services": ["auth", "web"]}));
    let expected = json!({"operations": [{"name": "POST /login", "spanKind": "server"}]});
    for kind in ["spanKind", "span_kind"] {
        assert_eq!(
            ask(&api, &format!("/jaeger/api/v3/operations?service=web&{kind}=server")).await,
            expected
        );
    }
    let trace_id = format!("{:0>32}", "a");
    let one = ask(&api, &format!("/jaeger/api/v3/traces/{trace_id}")).await;
    let resources = one["result"]["resourceSpans"].as_array().unwrap();
    assert_eq!(resources.len(), 2, "{one:#}");
    let spans = resources.iter().flat_map(|resource| resource["scopeSpans"][0]["spans"].as_array().unwrap());
    let second = spans.into_iter().find(|span| span["spanId"] == "0000000000000002").unwrap();
    let start_ns = u64::from(began_s) * 1_000_000_000 + 9_000_000;
    assert_eq!(
        (&second["traceId"], &second["parentSpanId"], &second["kind"], &second["status"]["code"]),
        (&json!(trace_id), &"0000000000000001".into(), &2.into(), &2.into())
    );
    let times = (&second["startTimeUnixNano"], &second["endTimeUnixNano"]);
    assert_eq!(times, (&json!(start_ns.to_string()), &json!((start_ns + 2_000_000).to_string())));
    assert_eq!(second["attributes"], json!([{"key": "number", "value": {"stringValue": "9"}}]));

    for query in [
        "query.service_name=auth&query.start_time_min=now-1h&query.start_time_max=now&query.num_traces=1",
        "query.serviceName=auth&query.startTimeMin=now-1h&query.startTimeMax=now&query.searchDepth=1",
        "query.startTimeMin=now-1h&query.startTimeMax=now&query.searchDepth=1",
    ] {
        assert_eq!(ask(&api, &format!("/jaeger/api/v3/traces?{query}")).await, one, "{query}");
    }
    for none in ["/jaeger/api/v3/traces/ffff", "/jaeger/api/v3/traces?query.service_name=nobody"] {
        let (status, answer) = api.get(none).await;
        assert_eq!(status, 404, "{none}");
        assert_eq!(answer, json!({"error": {"httpCode": 404, "message": "No traces found"}}), "{none}");
    }
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_search_page_of_jaegers_user_interface_finds_summaries() {
    let Some((bench, api, began_s)) = begun("jaeger_summaries").await else { return };
    // A span that was delivered twice, and one whose parent never came.
    bench
        .execute(
            "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, Duration) \
             SELECT Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, Duration FROM otel_traces \
             WHERE TraceId = leftPad('a', 32, '0') AND SpanId = '0000000000000001'",
        )
        .await;
    bench
        .execute(
            "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, Duration) \
             SELECT Timestamp + toIntervalMillisecond(10), TraceId, '0000000000000003', '00000000000000ff', 'late', \
             'Server', 'web', 1000 FROM otel_traces WHERE TraceId = leftPad('a', 32, '0') AND SpanKind = 'Server' LIMIT 1",
        )
        .await;
    // JaegerClient.fetchTraceSummaries of Jaeger's user interface from 2.19 on.
    let time = |seconds: u32| jiff::Timestamp::from_second(i64::from(seconds)).unwrap();
    let range =
        format!("query.startTimeMin={}&query.startTimeMax={}", time(began_s - 10), time(began_s + 10));
    let search = format!("/jaeger/api/v3/trace-summaries?query.serviceName=auth&{range}");
    let found = ask(&api, &format!("{search}&query.searchDepth=1")).await;
    let start_ns = u64::from(began_s) * 1_000_000_000 + 9_000_000;
    let expected = json!({"summaries": [{
        "traceId": format!("{:0>32}", "a"), "rootServiceName": "web", "rootOperationName": "POST /login",
        "minStartTimeUnixNano": start_ns.to_string(), "maxEndTimeUnixNano": (start_ns + 10_001_000).to_string(),
        "spanCount": 3, "errorSpanCount": 1, "orphanSpanCount": 1,
        "services": [{"name": "auth", "spanCount": 1, "errorSpanCount": 1},
            {"name": "web", "spanCount": 2, "errorSpanCount": 0}],
    }]});
    assert_eq!(found, expected, "{found:#}");
    for (more, expected) in [
        ("", 10),
        ("&query.operationName=verify&query.attributes=%7B%22number%22%3A%223%22%7D", 1),
        ("&query.durationMin=3ms", 0),
        ("&query.attributes=%7B%22error%22%3A%22true%22%7D", 1),
    ] {
        let found = ask(&api, &format!("{search}{more}")).await;
        assert_eq!(found["summaries"].as_array().unwrap().len(), expected, "{more}");
    }
    api.stop().await;
    bench.drop().await;
}
