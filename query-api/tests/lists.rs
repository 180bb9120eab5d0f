//! Lists of flows and traces, errors and differences, from tables whose rows are known.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use serde_json::{Value, json};
use support::{Api, Bench, now_s};

/// A row of `traces`.
struct Flow {
    id: u128,
    revision: u32,
    start_us: i64,
    operation: &'static str,
    status: &'static str,
    duration_us: i64,
    services: &'static str,
    /// Cluster and namespace of all its services.
    place: (&'static str, &'static str),
    weight: f64,
}

fn login(id: u128, start_us: i64) -> Flow {
    let (operation, status, services) = ("login", "success", "['web', 'auth']");
    let (duration_us, place, weight) = (5_000, ("eu", "shop"), 1.0);
    Flow { id, revision: 1, start_us, operation, status, duration_us, services, place, weight }
}

impl Bench {
    async fn flows(&self, flows: &[Flow]) {
        let values: Vec<String> = flows.iter().map(Flow::values).collect();
        let sql = format!(
            "INSERT INTO traces (trace_id, revision, environment, operation, status, start, duration_us, spans, errors, \
             services, root_service, root_namespace, root_name, ui_event, session_id, user_hash, complete, weight, service_nodes) VALUES {}",
            values.join(", ")
        );
        self.execute(&sql).await;
    }

    /// Spans of a flow: `(service, kind, status, attributes, exception)`.
    async fn spans(&self, id: u128, start_us: i64, spans: &[(&str, &str, &str, &str, &str)]) {
        for (number, (service, kind, status, attributes, exception)) in spans.iter().enumerate() {
            let (names, events) = match *exception {
                "" => ("[]", "[]".to_owned()),
                text => (
                    "['exception']",
                    format!("[map('exception.type', 'Timeout', 'exception.message', '{text}')]"),
                ),
            };
            let sql = format!(
                "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, \
                 ResourceAttributes, SpanAttributes, Duration, StatusCode, `Events.Timestamp`, `Events.Name`, \
                 `Events.Attributes`) SELECT fromUnixTimestamp64Micro({start_us}), '{id:032x}', '{number:016x}', '', \
                 'GET /', '{kind}', '{service}', map('service.name', '{service}', 'service.version', '1.{number}'), \
                 {attributes}, 1000000, '{status}', arrayMap(name -> fromUnixTimestamp64Nano(toInt64(0)), names), {names} AS names, {events}"
            );
            self.execute(&sql).await;
        }
    }
}

impl Flow {
    fn values(&self) -> String {
        let Self { id, revision, start_us, operation, status, duration_us, services, weight, .. } = self;
        let (cluster, namespace) = self.place;
        format!(
            "('{id:032x}', {revision}, 'production', '{operation}', '{status}', fromUnixTimestamp64Micro({start_us}), \
             {duration_us}, {}, 0, {services}, 'web', 'shop', 'POST /{operation}', 'click', 'session-{id}', 'user-{}', 1, \
             {weight}, arrayMap(name -> ('{cluster}', '{namespace}', name), {services}))",
            revision + 1,
            id % 2
        )
    }
}

fn start_us() -> i64 {
    i64::from(now_s()) * 1_000_000 - 60_000_000
}

async fn ids(api: &Api, query: &str) -> (Vec<u128>, u64) {
    let (status, answer) = api.get(&format!("/api/v1/flows?{query}")).await;
    assert_eq!(status, 200, "{query}: {answer:#}");
    let id = |flow: &Value| u128::from_str_radix(flow["flowId"].as_str().unwrap(), 16).unwrap();
    (answer["flows"].as_array().unwrap().iter().map(id).collect(), answer["total"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_are_of_the_flows_that_are_listed() {
    let Some(bench) = Bench::new("statistics").await else { return };
    let second = |number: i64| start_us() + number * 1_000_000;
    bench
        .flows(&[
            login(1, second(1)),
            Flow { status: "error", duration_us: 900_000, weight: 2.5, ..login(2, second(2)) },
            Flow { status: "timeout", duration_us: 257, place: ("us", "compute"), ..login(3, second(3)) },
            Flow { operation: "__probe__", ..login(4, second(4)) },
            login(5, start_us() - 3_600_000_000),
            // What was corrected counts as it was said last.
            login(6, second(6)),
            Flow { revision: 2, status: "error", ..login(6, second(6)) },
        ])
        .await;
    let api = bench.start().await;
    for (query, [flows, errors, timeouts], p50_ms, avg_ms) in [
        ("window=5m", [5.5, 4.5, 1.0], 5.008, 410.956),
        ("window=5m&status=success", [1.0, 0.0, 0.0], 5.008, 5.0),
        ("window=5m&status=timeout", [1.0, 1.0, 1.0], 0.257, 0.257),
        ("window=5m&status=error", [3.5, 3.5, 0.0], 899.072, 644.286),
        ("window=5m&cluster=us", [1.0, 1.0, 1.0], 0.257, 0.257),
        ("window=5m&service=auth&namespace=shop", [4.5, 3.5, 0.0], 899.072, 502.222),
        ("window=5m&namespace=nowhere", [0.0, 0.0, 0.0], 0.0, 0.0),
    ] {
        let (status, answer) = api.get(&format!("/api/v1/statistics?{query}")).await;
        assert_eq!(status, 200, "{query}: {answer:#}");
        let totals = &answer["totals"];
        let counts = ["flowCount", "errorCount", "timeouts"].map(|name| totals[name].as_f64().unwrap());
        assert_eq!(counts, [flows, errors, timeouts], "{query}");
        let latency = |name: &str| totals[name].as_f64().unwrap_or_default();
        assert_eq!((latency("p50Latency"), latency("avgLatency")), (p50_ms, avg_ms), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_are_found_by_all_they_say() {
    let Some(bench) = Bench::new("flows").await else { return };
    let start_us = start_us();
    let second = |number: i64| start_us + number * 1_000_000;
    bench
        .flows(&[
            login(1, second(1)),
            Flow { status: "error", duration_us: 900_000, ..login(2, second(2)) },
            Flow {
                operation: "create_vm",
                services: "['web', 'vm']",
                status: "timeout",
                place: ("us", "compute"),
                ..login(3, second(3))
            },
            Flow { operation: "__probe__", ..login(4, second(4)) },
            login(5, start_us - 3_600_000_000),
        ])
        .await;
    let api = bench.start().await;
    for (query, wanted) in [
        ("", vec![3, 2, 1]),
        ("sort=startTime", vec![1, 2, 3]),
        ("sort=-duration", vec![2, 3, 1]),
        ("probes=true", vec![4, 3, 2, 1]),
        ("operation=__probe__", vec![4]),
        ("operation=login", vec![2, 1]),
        ("environment=staging", vec![]),
        ("status=error", vec![2]),
        ("status=error,timeout", vec![3, 2]),
        ("status=timeout%2Cerror,error", vec![3, 2]),
        ("status=success,error,timeout", vec![3, 2, 1]),
        ("service=vm", vec![3]),
        ("service=v", vec![]),
        ("namespace=compute", vec![3]),
        // All of them began in a browser of this namespace.
        ("namespace=shop", vec![3, 2, 1]),
        ("service=auth&namespace=shop", vec![2, 1]),
        ("service=vm&namespace=shop", vec![]),
        ("cluster=us", vec![3]),
        ("service=web&cluster=eu", vec![2, 1]),
        ("service=vm&namespace=compute&cluster=eu", vec![]),
        ("sessionId=session-2", vec![2]),
        ("userHash=user-1", vec![3, 1]),
        ("uiEvent=click&status=success", vec![1]),
        ("minDuration=100ms", vec![2]),
        ("maxDuration=5000", vec![3, 1]),
        ("window=2h", vec![3, 2, 1, 5]),
    ] {
        assert_eq!(ids(&api, query).await, (wanted.clone(), wanted.len() as u64), "{query}");
    }
    let one = api.get("/api/v1/flows?status=error").await.1["flows"][0].clone();
    for (field, wanted) in [
        ("operationName", json!("login")),
        ("environment", json!("production")),
        ("traceId", json!(format!("{:032x}", 2))),
        ("startTime", json!(second(2))),
        ("endTime", json!(second(2) + 900_000)),
        ("duration", json!(900_000)),
        ("spanCount", json!(2)),
        ("rootService", json!("web")),
        ("services", json!(["web", "auth"])),
        ("complete", json!(true)),
        ("nodes", Value::Null),
    ] {
        assert_eq!(one[field], wanted, "{field}");
    }
    let trace = api.get("/api/v1/traces?operation=create_vm").await.1;
    assert_eq!(
        (&trace["total"], &trace["traces"][0]["serviceCount"], &trace["traces"][0]["rootName"]),
        (&json!(1), &json!(2), &json!("POST /create_vm"))
    );
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_cursors_lead_through_all_flows_once() {
    let Some(bench) = Bench::new("pages").await else { return };
    // Many begin in the same microsecond: the id decides.
    let (start_us, many) = (start_us(), 57);
    let flows: Vec<Flow> =
        (0..many).map(|id| login(id, start_us + i64::try_from(id / 10).unwrap())).collect();
    bench.flows(&flows).await;
    let api = bench.start().await;
    for sort in ["startTime", "-startTime"] {
        let mut wanted: Vec<u128> = (0..many).collect();
        if sort == "-startTime" {
            wanted.reverse();
        }
        let (mut by_page, mut by_cursor, mut cursor) = (Vec::new(), Vec::new(), String::new());
        for page in 1..=6 {
            let (ids, total) = ids(&api, &format!("sort={sort}&pageSize=10&page={page}")).await;
            assert_eq!(total, 57);
            by_page.extend(ids);
            let path = format!("/api/v1/flows?sort={sort}&pageSize=10{cursor}");
            let answer = api.get(&path).await.1;
            assert_eq!(answer["total"], 57, "the total of all, wherever the page is: {answer:#}");
            by_cursor.extend(
                answer["flows"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|flow| u128::from_str_radix(flow["flowId"].as_str().unwrap(), 16).unwrap()),
            );
            cursor = answer["nextCursor"].as_str().map_or_else(String::new, |next| format!("&cursor={next}"));
            assert_eq!(cursor.is_empty(), page == 6, "{answer:#}");
        }
        assert_eq!((by_page, by_cursor), (wanted.clone(), wanted));
    }
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_flow_is_listed_once_as_it_was_said_last() {
    let Some(bench) = Bench::new("revised").await else { return };
    let start_us = start_us();
    bench.flows(&[login(1, start_us), login(2, start_us)]).await;
    // A late root moves the start, to the day before too, and then what is said changes once more.
    bench.flows(&[Flow { revision: 2, status: "error", ..login(1, start_us - 3_000_000) }]).await;
    bench.flows(&[Flow { revision: 3, status: "timeout", ..login(1, start_us - 3_000_000) }]).await;
    let api = bench.start().await;
    assert_eq!(ids(&api, "").await, (vec![2, 1], 2));
    assert_eq!(ids(&api, "status=timeout").await, (vec![1], 1));
    assert_eq!(ids(&api, "status=error").await, (vec![], 0));
    let listed = api.get("/api/v1/flows?status=timeout").await.1["flows"][0].clone();
    assert_eq!((&listed["startTime"], &listed["spanCount"]), (&json!(start_us - 3_000_000), &json!(4)));
    let moved = format!("startTime={}&endTime={}", start_us - 1_000_000, start_us + 1_000_000);
    assert_eq!(ids(&api, &moved).await, (vec![2], 1), "nothing is left at the old start");
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_graphs_come_with_their_flows() {
    let Some(bench) = Bench::new("graphs").await else { return };
    let start_us = start_us();
    bench.flows(&[login(1, start_us), login(2, start_us + 1)]).await;
    let graph = |revision: u32, calls: u32| {
        format!(
            "INSERT INTO flow_graphs (trace_id, revision, environment, operation, start, nodes, edges) VALUES \
             ('{:032x}', {revision}, 'production', 'login', fromUnixTimestamp64Micro({start_us}), \
             [('', 'shop', 'web', 'service', '1', 1, 0, 5000, 5000, 0), ('', '', 'auth', 'service', '2', {calls}, 0, 9, 9, 0)], \
             [(1, 2, {calls}, 0, 0, 0, 0, 0, 900)])",
            1
        )
    };
    bench.execute(&graph(1, 1)).await;
    bench.execute(&graph(2, 3)).await;
    let api = bench.start().await;
    let flows = api.get("/api/v1/flows").await.1["flows"].clone();
    assert_eq!((&flows[0]["nodes"], &flows[0]["edges"]), (&Value::Null, &Value::Null), "{flows:#}");
    let edge = &flows[1]["edges"][0];
    assert_eq!(
        (&edge["from"], &edge["to"], &edge["callCount"]),
        (&json!("shop/web"), &json!("auth"), &json!(3)),
        "the newest revision's: {flows:#}"
    );
    assert_eq!(flows[1]["nodes"].as_array().map(Vec::len), Some(2));
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_are_found_by_what_their_spans_say() {
    let Some(bench) = Bench::new("attributes").await else { return };
    let start_us = start_us();
    bench.flows(&[login(1, start_us), login(2, start_us), login(3, start_us)]).await;
    let none = "map()::Map(LowCardinality(String), String)";
    bench.spans(1, start_us, &[("web", "Server", "Unset", "map('http.route', '/a:b', 'x', '')", "")]).await;
    bench.spans(1, start_us, &[("auth", "Server", "Unset", "map('tenant', 'a&b')", "")]).await;
    bench.spans(2, start_us, &[("web", "Server", "Unset", "map('http.route', '/a:b')", "")]).await;
    bench.spans(3, start_us, &[("mail", "Server", "Unset", none, "")]).await;
    let api = bench.start().await;
    for (query, wanted) in [
        ("attribute=http.route:/a%3Ab", 2),
        ("attribute=http.route:/a:b&attribute=tenant:a%26b", 1),
        ("attribute=service.name:mail", 1),
        ("attribute=x:", 1),
        ("attribute=http.route:", 0),
        ("attribute=http.route:' OR 1 --", 0),
        ("attribute='] = 1 --:x", 0),
    ] {
        let query = query.replace(' ', "%20");
        let (status, answer) = api.get(&format!("/api/v1/traces?{query}")).await;
        assert_eq!((status, &answer["total"]), (200, &json!(wanted)), "{query}: {answer:#}");
    }
    let six = ["attribute=a:1"; 6].join("&");
    assert_eq!(api.get(&format!("/api/v1/traces?{six}")).await.0, 400);
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_grouped_by_where_and_how_they_happen() {
    let Some(bench) = Bench::new("errors").await else { return };
    let start_us = start_us();
    let attributes = "map('server.address', 'pay.example.com')";
    bench
        .flows(&[login(1, start_us), login(2, start_us), Flow { operation: "other", ..login(3, start_us) }])
        .await;
    for id in 1..=3 {
        let message = format!("no answer from 10.0.0.{id}:443 in {id}00 ms");
        let spans = [
            ("web", "Client", "Error", attributes, message.as_str()),
            ("auth", "Server", "Error", "map('error.type', '503')", ""),
            ("web", "Server", "Unset", attributes, ""),
        ];
        bench.spans(id, start_us, &spans).await;
        // Delivered twice.
        bench.spans(id, start_us, &spans[..1]).await;
    }
    let api = bench.start().await;
    let answer = api.get("/api/v1/errors?operation=login").await.1;
    assert_eq!(
        (&answer["total"], &answer["groupCount"], &answer["truncated"]),
        (&json!(4), &json!(2), &json!(false))
    );
    let errors = answer["errors"].as_array().unwrap();
    let thrown =
        errors.iter().find(|group| group["service"] == "web").unwrap_or_else(|| panic!("{answer:#}"));
    for (field, wanted) in [
        ("exceptionType", json!("Timeout")),
        ("message", json!("no answer from <address> in <number> ms")),
        ("peer", json!("pay.example.com")),
        ("count", json!(2)),
        ("firstSeen", json!(start_us)),
        ("lastSeen", json!(start_us)),
    ] {
        assert_eq!(thrown[field], wanted, "{field}: {answer:#}");
    }
    assert_eq!(thrown["traceIds"].as_array().map(Vec::len), Some(2));
    let trend: Vec<u64> = thrown["trend"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
    let at = (start_us - answer["startTime"].as_i64().unwrap()) / answer["step"].as_i64().unwrap();
    assert_eq!((trend[usize::try_from(at).unwrap()], trend.iter().sum::<u64>()), (2, 2), "{trend:?}");
    let answered = errors.iter().find(|group| group["service"] == "auth").unwrap();
    assert_eq!(
        (&answered["exceptionType"], &answered["peer"], &answered["count"]),
        (&json!("503"), &json!(""), &json!(2))
    );
    assert_eq!(api.get("/api/v1/errors").await.1["total"], 6);
    assert_eq!(api.get("/api/v1/errors?status=error").await.1["total"], 0, "the flows themselves went well");
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_selection_has_more_often_stands_first() {
    let Some(bench) = Bench::new("diff").await else { return };
    let start_us = start_us();
    for id in 1..=20_u128 {
        let slow = id <= 5;
        bench
            .flows(&[Flow { duration_us: if slow { 2_000_000 } else { 5_000 }, ..login(id, start_us) }])
            .await;
        let attributes =
            if slow { "map('region', 'eu', 'id', '1')" } else { "map('region', 'us', 'same', 'x')" };
        bench
            .spans(id, start_us, &[(if slow { "slow" } else { "fast" }, "Server", "Unset", attributes, "")])
            .await;
    }
    let api = bench.start().await;
    let (status, answer) = api.post("/api/v1/diff", &json!({"selection": {"minDuration": "1s"}})).await;
    assert_eq!(status, 200, "{answer:#}");
    assert_eq!(
        (&answer["selection"], &answer["baseline"]),
        (&json!({"flows": 5, "sampled": 5}), &json!({"flows": 15, "sampled": 15}))
    );
    let region = answer["attributes"].as_array().unwrap().iter().find(|each| each["value"] == "eu").unwrap();
    assert_eq!(
        (&region["scope"], &region["selectionCount"], &region["baselineCount"], &region["difference"]),
        (&json!("span"), &json!(5), &json!(0), &json!(1.0))
    );
    // sqrt(20): every flow of the one side and none of the other.
    assert_eq!(region["significance"], 4.472);
    let keys = |list: &str| -> Vec<Value> {
        answer[list].as_array().unwrap().iter().map(|each| each["key"].clone()).collect()
    };
    assert_eq!(
        (keys("services"), keys("endpoints")),
        (vec![json!("fast"), json!("slow")], vec![json!("fast"), json!("slow")])
    );
    assert_eq!(answer["versions"][1]["value"], "1.0");
    let with_baseline = json!({"selection": {"minDuration": 1_000_000, "startTime": start_us, "endTime": start_us + 1_000_000},
        "baseline": {"operation": "logout"}});
    let empty = api.post("/api/v1/diff", &with_baseline).await.1;
    assert_eq!(
        (&empty["selection"]["flows"], &empty["baseline"]["flows"]),
        (&json!(5), &json!(0)),
        "{empty:#}"
    );
    for bad in [
        json!({}),
        json!({"selection": {"query": "SELECT 1"}}),
        json!({"selection": {"status": "' OR 1"}}),
        json!({"selection": {}, "baseline": {"window": "5m", "startTime": 1}}),
        json!([1]),
        json!({"selection": {"operation": "x".repeat(3_000_000)}}),
    ] {
        let (status, problem) = api.post("/api/v1/diff", &bad).await;
        assert!(status == 400 || status == 413, "{status}: {problem:#}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem:#}");
    }
    api.stop().await;
    bench.drop().await;
}

/// Texts that would do harm if they got into a query, a path or an answer as they are.
const HOSTILE: [&str; 8] = [
    "' OR 1=1 --",
    "'; DROP TABLE traces; --",
    "\\' UNION ALL SELECT version() --",
    "{c0:String}",
    "../../etc/passwd",
    "?1 ?2",
    "<script>alert(1)</script>",
    "\u{0}\u{202e}😀",
];

#[tokio::test(flavor = "multi_thread")]
async fn hostile_questions_find_nothing_or_are_refused() {
    let Some(bench) = Bench::new("hostile").await else { return };
    bench.flows(&[login(1, start_us())]).await;
    let api = bench.start().await;
    let texts = ["operation", "environment", "service", "userHash", "sessionId", "uiEvent"];
    let strict = ["status", "window", "startTime", "endTime", "minDuration", "maxDuration", "probes"];
    let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    for path in ["flows", "traces", "errors"] {
        for hostile in HOSTILE {
            for name in texts {
                let (status, answer) = api.get(&format!("/api/v1/{path}?{name}={}", encoded(hostile))).await;
                assert_eq!(
                    (status, &answer["total"]),
                    (200, &json!(0)),
                    "{path} {name} {hostile}: {answer:#}"
                );
            }
            for name in strict {
                let (status, answer) = api.get(&format!("/api/v1/{path}?{name}={}", encoded(hostile))).await;
                assert_eq!(
                    (status, &answer["code"]),
                    (400, &json!("bad_request")),
                    "{path} {name} {hostile}"
                );
            }
        }
        for bad in [
            "SELECT=1",
            "page_size=3",
            "status=success&status=error",
            "startTime=now&endTime=now-1h",
            "window=15m&startTime=now-1h",
            "minDuration=2s&maxDuration=1s",
            "window=9999d",
        ] {
            assert_eq!(api.get(&format!("/api/v1/{path}?{bad}")).await.0, 400, "{path}?{bad}");
        }
    }
    for bad in [
        "page=0",
        "page=-1",
        "pageSize=501",
        "pageSize=500&page=21",
        "page=4294967295",
        "sort=start",
        "cursor=d0-'",
        "cursor=d1-0000000000000000000000000000000a&page=2",
    ] {
        for path in ["flows", "traces"] {
            assert_eq!(api.get(&format!("/api/v1/{path}?{bad}")).await.0, 400, "{path}?{bad}");
        }
    }
    for id in ["..%2f..%2fetc%2fpasswd", "%27%20OR%201", "0af7651916cd43dd8448eb211c80319c0", "%00"] {
        assert_eq!(api.get(&format!("/api/v1/flows/{id}")).await.0, 400, "{id}");
    }
    assert_eq!(ids(&api, "").await, (vec![1], 1), "and the flow is still there");
    api.stop().await;
    bench.drop().await;
}
