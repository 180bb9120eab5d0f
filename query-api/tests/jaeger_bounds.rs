//! Jaeger's HTTP API at its bounds, over real tables: what a caller may know of, answers that would be too large, and
//! parameters that are broken.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use support::{Api, Bench, now_s};

/// One flow of one span; its service is named after both.
struct Place {
    environment: &'static str,
    namespace: &'static str,
}

const PLACES: [Place; 3] = [
    Place { environment: "production", namespace: "shop" },
    Place { environment: "production", namespace: "bank" },
    Place { environment: "staging", namespace: "shop" },
];

/// Limits of a grant, and which of the places it lets through.
const GRANTS: [(&str, &str, &[usize]); 5] = [
    ("all", "", &[0, 1, 2]),
    ("production", "environments = [\"production\"]", &[0, 1]),
    ("shop", "namespaces = [\"shop\"]", &[0, 2]),
    ("staging-shop", "environments = [\"staging\"]\nnamespaces = [\"shop\"]", &[2]),
    ("nowhere", "environments = [\"nowhere\"]", &[]),
];

impl Place {
    fn service(&self) -> String {
        format!("{}-{}", self.environment, self.namespace)
    }
}

fn id(number: usize) -> String {
    format!("{number:0>32x}")
}

async fn fill(bench: &Bench, began_s: u32) {
    for (number, place) in PLACES.iter().enumerate() {
        let (Place { environment, namespace }, service, id) = (place, place.service(), id(number + 1));
        bench
            .execute(&format!(
                "INSERT INTO traces (trace_id, revision, environment, operation, status, start, duration_us, spans, \
                 services, root_service, root_namespace, root_name, weight, complete) VALUES ('{id}', 1, \
                 '{environment}', 'login', 'success', toDateTime64({began_s}, 6), 5000, 1, ['{service}'], '{service}', '{namespace}', \
                 'GET /', 1, true)"
            ))
            .await;
        bench
            .execute(&format!(
                "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, SpanName, SpanKind, ServiceName, \
                 ResourceAttributes, Duration) VALUES (toDateTime64({began_s}, 9), '{id}', '0000000000000001', 'GET /', 'Server', \
                 '{service}', {{'service.name': '{service}', 'deployment.environment.name': '{environment}', \
                 'service.namespace': '{namespace}'}}, 5000000)"
            ))
            .await;
        bench
            .execute(&format!(
                "INSERT INTO edges_1s (window, environment, operation, client, client_namespace, client_kind, server, \
                 server_namespace, server_kind, calls, paired, raw_calls, lane, batch) VALUES ({began_s}, \
                 '{environment}', 'login', 'caller', '{namespace}', 'service', '{service}', '{namespace}', 'service', \
                 5, 5, 5, 0, 1)"
            ))
            .await;
    }
}

/// `…-secret` is the token of each grant.
fn settings() -> String {
    let digest = |text: &str| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let tables = GRANTS.iter().map(|(grant, limits, _)| (*grant, *limits, "analyst"));
    let tables = tables.chain([("viewer", "", "viewer")]).map(|(grant, limits, role)| {
        format!(
            "[[grant]]\nname = \"{grant}\"\nrole = \"{role}\"\n{limits}\n[[token]]\nname = \"{grant}\"\n\
             grant = \"{grant}\"\nsha256 = \"{}\"\n",
            digest(&format!("{grant}-secret"))
        )
    });
    tables.collect()
}

async fn with_token(api: &Api, path: &str, grant: &str) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("{}{path}", api.url)).bearer_auth(format!("{grant}-secret"));
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Every text under a name, or every text of a list of texts where the name is "".
fn texts(list: &Value, name: &str) -> BTreeSet<String> {
    let text = |each: &Value| if name.is_empty() { each.clone() } else { each[name].clone() };
    let list = list.as_array().unwrap_or_else(|| panic!("no list: {list:#}"));
    list.iter().map(|each| text(each).as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_question_is_answered_within_the_grant() {
    let Some(bench) = Bench::new("jaeger_grants").await else { return };
    // Older than what is served from memory.
    fill(&bench, now_s() - 2 * 3_600).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth.toml");
    std::fs::write(&file, settings()).unwrap();
    let api = bench.start_with(|options| options.auth = Some(file)).await;
    let all: BTreeSet<String> = PLACES.iter().map(Place::service).collect();
    for (grant, _, places) in GRANTS {
        let visible: BTreeSet<String> = places.iter().map(|place| PLACES[*place].service()).collect();
        for (path, list, name) in [
            ("/jaeger/api/services", "/data", ""),
            ("/jaeger/api/v3/services", "/services", ""),
            ("/jaeger/api/dependencies", "/data", "child"),
        ] {
            let (status, answer) = with_token(&api, path, grant).await;
            let mut seen = texts(answer.pointer(list).unwrap(), name);
            // The caller is in every place.
            seen.remove("caller");
            assert_eq!((status, seen), (200, visible.clone()), "{grant}: {path}");
        }
        let together = format!("/jaeger/api/traces?traceID={}&traceID={}&traceID={}", id(1), id(2), id(3));
        let (status, answer) = with_token(&api, &together, grant).await;
        let seen = texts(&answer["data"], "traceID");
        let visible_ids: BTreeSet<String> = places.iter().map(|place| id(place + 1)).collect();
        assert_eq!((status, &seen), (200, &visible_ids), "{grant}: {together}");
        let (_, answer) = with_token(&api, "/jaeger/api/v3/trace-summaries", grant).await;
        assert_eq!(texts(&answer["summaries"], "traceId"), visible_ids, "{grant}: of any service");

        for (number, service) in PLACES.iter().map(Place::service).enumerate() {
            let (is_visible, id) = (visible.contains(&service), id(number + 1));
            // The paths of lists that are empty where the service is hidden, and how many are in them otherwise.
            for (path, list) in [
                (format!("/jaeger/api/services/{service}/operations"), "/data"),
                (format!("/jaeger/api/operations?service={service}"), "/data"),
                (format!("/jaeger/api/traces?service={service}"), "/data"),
                (format!("/jaeger/api/dependencies?service={service}"), "/data"),
                (format!("/jaeger/api/v3/operations?service={service}"), "/operations"),
                (format!("/jaeger/api/v3/trace-summaries?query.serviceName={service}"), "/summaries"),
            ] {
                let (status, answer) = with_token(&api, &path, grant).await;
                let found = answer.pointer(list).unwrap().as_array().unwrap().len();
                assert_eq!((status, found), (200, usize::from(is_visible)), "{grant}: {path}: {answer:#}");
            }
            for path in [
                format!("/jaeger/api/traces/{id}"),
                format!("/jaeger/api/v3/traces/{id}"),
                format!("/jaeger/api/v3/traces?query.serviceName={service}"),
            ] {
                let (status, answer) = with_token(&api, &path, grant).await;
                assert_eq!(status, if is_visible { 200 } else { 404 }, "{grant}: {path}");
                let told = answer.to_string();
                let hidden = all.difference(&visible).find(|name| told.contains(name.as_str()));
                assert_eq!(hidden, None, "{grant}: {path}: {told}");
            }
        }
    }
    for path in ["/jaeger/api/services", "/jaeger/api/v3/trace-summaries"] {
        assert_eq!(with_token(&api, path, "viewer").await.0, 403, "{path}");
        assert_eq!(with_token(&api, path, "stranger").await.0, 401, "{path}");
    }
    api.stop().await;
    bench.drop().await;
}

/// Seven flows of so many spans, of 300 services and so many names; the first has a span more.
const LARGE: usize = 10_000;

async fn large_flows(bench: &Bench, began_s: u32) {
    for (number, spans) in (1..=7).zip([LARGE + 1, LARGE, LARGE, LARGE, LARGE, LARGE, LARGE]) {
        let id = id(number);
        let at = format!("fromUnixTimestamp64Micro(toInt64({began_s}000000 + {number}))");
        bench
            .execute(&format!(
                "INSERT INTO traces (trace_id, revision, environment, operation, status, start, duration_us, spans, \
                 services, root_service, root_name, weight, complete) SELECT '{id}', 1, 'production', 'login', \
                 'success', {at}, 5000, {spans}, ['svc-0'], 'svc-0', 'span 0', 1, true"
            ))
            .await;
        bench
            .execute(&format!(
                "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, \
                 Duration, StatusCode) SELECT {at} + toIntervalNanosecond(number), '{id}', \
                 leftPad(lower(hex(number + 1)), 16, '0'), if(number = 0, '', '0000000000000001'), \
                 'span ' || toString(number), 'Server', 'svc-' || toString(number % 300), 1000, \
                 if(number % 300 = 7, 'Error', 'Unset') FROM numbers({spans})"
            ))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_cut_and_said_or_refused() {
    let Some(bench) = Bench::new("jaeger_large").await else { return };
    large_flows(&bench, now_s() - 60).await;
    let api = bench.start().await;

    let (_, answer) = api.get(&format!("/jaeger/api/traces/{}", id(1))).await;
    let trace = &answer["data"][0];
    let (spans, services) = (trace["spans"].as_array().unwrap(), trace["processes"].as_object().unwrap());
    assert_eq!((spans.len(), services.len()), (LARGE, 300));
    assert_eq!(trace["warnings"], json!(["the trace has more spans; these are the 10000 earliest"]));
    assert_eq!(spans.last().unwrap()["operationName"], "span 9999", "the latest one is missing");
    let (status, refused) = api.get(&format!("/jaeger/api/v3/traces/{}", id(1))).await;
    assert_eq!((status, &refused["error"]["httpCode"]), (400, &400.into()), "{refused:#}");
    let (_, whole) = api.get(&format!("/jaeger/api/traces/{}", id(2))).await;
    assert_eq!(whole["data"][0]["warnings"], Value::Null);
    let (status, whole) = api.get(&format!("/jaeger/api/v3/traces/{}", id(2))).await;
    assert_eq!((status, whole["result"]["resourceSpans"].as_array().unwrap().len()), (200, 300));

    // Five of the seven fit: the youngest.
    let (_, found) = api.get("/jaeger/api/traces?service=svc-0&limit=7").await;
    let ids = |answer: &Value| -> Vec<String> {
        let traces = answer["data"].as_array().unwrap().iter();
        traces.map(|trace| trace["traceID"].as_str().unwrap().trim_start_matches('0').to_owned()).collect()
    };
    assert_eq!(ids(&found), ["7", "6", "5", "4", "3"]);
    let message = "2 more traces match, but are too large for one answer";
    assert_eq!(found["errors"], json!([{"code": 206, "msg": message}]));
    let (status, refused) = api.get("/jaeger/api/v3/traces?query.serviceName=svc-0").await;
    assert_eq!((status, &refused["error"]["httpCode"]), (400, &400.into()), "{refused:#}");
    let (status, few) = api.get("/jaeger/api/v3/traces?query.serviceName=svc-0&query.searchDepth=2").await;
    assert_eq!((status, few["result"]["resourceSpans"].as_array().unwrap().len()), (200, 300));
    let asked: Vec<String> = (2..=7).map(|number| format!("traceID={}", id(number))).collect();
    let (_, found) = api.get(&format!("/jaeger/api/traces?{}", asked.join("&"))).await;
    assert_eq!(ids(&found), ["2", "3", "4", "5", "6"]);
    assert_eq!(found["errors"][0]["traceID"], id(7));

    // Summaries are counted where the spans are, and of everything; a limit beyond the most is the most.
    let (_, found) =
        api.get("/jaeger/api/v3/trace-summaries?query.serviceName=svc-0&query.searchDepth=1500").await;
    let summaries = found["summaries"].as_array().unwrap();
    let counts: Vec<_> = summaries.iter().map(|summary| summary["spanCount"].as_u64().unwrap()).collect();
    assert_eq!(counts, [10_000, 10_000, 10_000, 10_000, 10_000, 10_000, 10_001]);
    let (services, last) = (summaries[0]["services"].as_array().unwrap(), &summaries[6]);
    assert_eq!(services.len(), 300);
    assert_eq!((&last["errorSpanCount"], &last["orphanSpanCount"]), (&34.into(), &0.into()));

    let names: Value = api.get("/jaeger/api/services/svc-0/operations").await.1;
    assert_eq!(names["data"].as_array().unwrap().len(), 34);
    let renamed = "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, SpanName, SpanKind, ServiceName) \
        SELECT now(), '', '', 'name ' || toString(number), 'Server', 'many' FROM numbers(10001)";
    bench.execute(renamed).await;
    let (status, refused) = api.get("/jaeger/api/operations?service=many").await;
    assert_eq!((status, &refused["errors"][0]["code"]), (400, &400.into()), "{refused:#}");
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_is_too_large_hides_no_others() {
    let Some(bench) = Bench::new("jaeger_hiding").await else { return };
    let began_s = now_s() - 60;
    // The youngest and one in the middle don't fit beside the others, or not at all.
    for (number, spans) in (1..=4).zip([1, 50_000, 10_001, 50_001]) {
        let id = id(number);
        let at = format!("toDateTime64({began_s} + {number}, 9)");
        let stored = if number == 3 { 10_001 } else { 1 };
        bench
            .execute(&format!(
                "INSERT INTO traces (trace_id, revision, environment, operation, status, start, duration_us, spans, \
                 services, root_service, root_name, weight, complete) SELECT '{id}', 1, 'production', 'login', \
                 'success', {at}, 5000, {spans}, ['web'], 'web', 'GET /', 1, true"
            ))
            .await;
        bench
            .execute(&format!(
                "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, SpanName, SpanKind, ServiceName, Duration) \
                 SELECT {at}, '{id}', leftPad(lower(hex(number + 1)), 16, '0'), 'GET /', 'Server', 'web', 1000 \
                 FROM numbers({stored})"
            ))
            .await;
    }
    let api = bench.start().await;
    let (_, found) = api.get("/jaeger/api/traces?service=web").await;
    assert_eq!(texts(&found["data"], "traceID"), BTreeSet::from([id(1), id(3)]));
    let message = "2 more traces match, but are too large for one answer";
    assert_eq!(found["errors"], json!([{"code": 206, "msg": message}]));
    // Fewer don't help: that is not promised.
    for depth in ["", "&query.searchDepth=1"] {
        let (status, refused) = api.get(&format!("/jaeger/api/v3/traces?query.serviceName=web{depth}")).await;
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(status == 400 && message.contains("unless the youngest alone has more"), "{message}");
    }
    // A search of v3 answers with traces that it refuses by their ids.
    assert_eq!(api.get(&format!("/jaeger/api/v3/traces/{}", id(3))).await.0, 400);
    let until = format!("query.startTimeMax={}&query.searchDepth=1", began_s + 4);
    let (status, whole) = api.get(&format!("/jaeger/api/v3/traces?query.serviceName=web&{until}")).await;
    let spans = whole["result"]["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    assert_eq!((status, spans.len(), &spans[0]["traceId"]), (200, 10_001, &id(3).into()));
    api.stop().await;
    bench.drop().await;
}

/// Questions that are answered, and what makes each of them one that can't be.
const BROKEN: &[(&str, &[&str])] = &[
    ("/jaeger/api/services?", &["other=1"]),
    ("/jaeger/api/services/web/operations?", &["other=1"]),
    ("/jaeger/api/services/%FF/operations?", &[""]),
    ("/jaeger/api/operations?", &[""]),
    ("/jaeger/api/operations?service=web", &["&service=api", "&spanKind=server&spanKind=client", "&other=1"]),
    ("/jaeger/api/traces?", &["", "traceID=xyz", "operation=a"]),
    (
        "/jaeger/api/traces?service=web",
        &[
            "&service=api",
            "&operation=a&operation=b",
            "&start=soon",
            "&start=-1",
            "&end=soon",
            "&limit=x",
            "&limit=-1",
            "&limit=1.5",
            "&limit=1&limit=2",
            "&minDuration=long",
            "&minDuration=1y",
            "&maxDuration=long",
            "&minDuration=2s&maxDuration=1s",
            "&tags=%7B",
            "&tags=%5B%5D",
            "&tags=%7B%22a%22%3A1%7D",
            "&tag=a",
            "&tag=%3Aa",
            "&raw=maybe",
            "&other=1",
            "&start=1700000000000000&end=1600000000000000",
            "&start=99999999999999999999",
            "&tag=a:1&tag=b:1&tag=c:1&tag=d:1&tag=e:1&tag=f:1&tag=g:1&tag=h:1&tag=i:1&tag=j:1&tag=k:1",
        ],
    ),
    ("/jaeger/api/traces/xyz?", &[""]),
    ("/jaeger/api/traces/%FF?", &[""]),
    ("/jaeger/api/traces/1?", &["start=soon", "end=soon", "raw=maybe", "other=1"]),
    (
        "/jaeger/api/dependencies?",
        &[
            "endTs=soon",
            "endTs=-1",
            "endTs=0",
            "endTs=1&endTs=2",
            "lookback=long",
            "lookback=-1",
            "lookback=0",
            "lookback=9223372036854775807",
            "endTs=9223372036854775807",
            "service=a&service=b",
            "other=1",
        ],
    ),
    ("/jaeger/api/v3/services?", &["other=1"]),
    ("/jaeger/api/v3/operations?", &[""]),
    (
        "/jaeger/api/v3/operations?service=web",
        &["&service=api", "&spanKind=server&span_kind=client", "&other=1"],
    ),
    ("/jaeger/api/v3/traces/xyz?", &[""]),
    ("/jaeger/api/v3/traces/%FF?", &[""]),
    ("/jaeger/api/v3/traces/1?", &["startTime=soon", "end_time=soon", "rawTraces=maybe", "other=1"]),
    ("/jaeger/api/v3/traces?query.serviceName=web", V3),
    ("/jaeger/api/v3/trace-summaries?query.serviceName=web", V3),
];

const V3: &[&str] = &[
    "&query.service_name=api",
    "&query.operationName=a&query.operation_name=b",
    "&query.startTimeMin=soon",
    "&query.start_time_max=soon",
    "&query.startTimeMin=now&query.startTimeMax=now-1h",
    "&query.searchDepth=x",
    "&query.searchDepth=-1",
    "&query.num_traces=x",
    "&query.durationMin=long",
    "&query.durationMax=long",
    "&query.durationMin=2s&query.durationMax=1s",
    "&query.attributes=%7B",
    "&query.attributes=%7B%22a%22%3A1%7D",
    "&query.rawTraces=maybe",
    "&query.other=1",
    "&service=web",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_broken_parameter_is_refused_in_the_words_of_its_version() {
    let Some(bench) = Bench::new("jaeger_broken").await else { return };
    let api = bench.start().await;
    let long = format!("&operation={}", "x".repeat(600));
    let long = [("/jaeger/api/traces?service=web", [long.as_str()].to_vec())];
    let all = BROKEN.iter().map(|(path, broken)| (*path, broken.to_vec())).chain(long);
    for (path, broken) in all {
        for more in &broken {
            let (status, answer) = api.get(&format!("{path}{more}")).await;
            assert_eq!(status, 400, "{path}{more}: {answer:#}");
            if path.contains("/v3/") {
                assert_eq!(answer["error"]["httpCode"], 400, "{path}{more}: {answer:#}");
                assert!(answer["error"]["message"].is_string(), "{path}{more}: {answer:#}");
            } else {
                assert_eq!((&answer["data"], &answer["errors"][0]["code"]), (&Value::Null, &400.into()));
                assert!(answer["errors"][0]["msg"].is_string(), "{path}{more}: {answer:#}");
            }
        }
        // Without what breaks it the question is one, unless it is broken as it stands.
        if !broken.contains(&"") {
            let (status, answer) = api.get(path).await;
            assert!(status == 200 || status == 404, "{path}: {status} {answer:#}");
        }
    }
    api.stop().await;
    bench.drop().await;
}
