//! Tempo's HTTP API over the real log and the real tables, as Grafana's Tempo plugin asks: each case names the function
//! of <https://github.com/grafana/grafana-tempo-datasource> that sends such a request or reads such an answer.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod plugin;
mod river;
mod support;

use loadtest::workload::Workload;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use plugin::{
    FoundSpan, FoundTrace, PROTOBUF, SpanSet, TraceById, ask, escaped, raw, refusal, search, search_path,
    ten_flows,
};
use prost::Message;
use river::{River, hex, renamed, shifted, spans};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use support::{Api, Bench, now_s};

async fn begun(name: &str) -> Option<(Bench, Api, u32)> {
    let bench = Bench::new(name).await?;
    let began_s = now_s() - 60;
    ten_flows(&bench, began_s).await;
    let api = bench.start().await;
    Some((bench, api, began_s))
}

/// Numbers of the flows that were found, in the order of the answer.
fn numbers(traces: &[FoundTrace]) -> Vec<u8> {
    traces
        .iter()
        .map(|trace| u8::from_str_radix(trace.trace_id.trim_start_matches('0'), 16).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plugin_finds_a_tempo_that_is_there() {
    let Some((bench, api, _)) = begun("tempo_health").await else { return };
    // CheckHealth
    let (status, _, body) = raw(&format!("{}/tempo/api/echo", api.url), "*/*", "").await;
    assert_eq!((status, body.as_slice()), (200, b"echo".as_slice()));
    // getTempoVersion of Grafana 10
    let version = ask(&api, "/tempo/api/status/buildinfo").await["version"].as_str().unwrap().to_owned();
    assert!(version.split('.').all(|part| part.parse::<u32>().is_ok()), "{version}");
    let (status, _, body) = raw(&format!("{}/tempo/ready", api.url), "*/*", "").await;
    assert_eq!((status, body.as_slice()), (200, b"ready".as_slice()));
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_find_the_traces_that_match_and_no_others() {
    let Some((bench, api, began_s)) = begun("tempo_search").await else { return };
    let all = [10, 9, 8, 7, 6, 5, 4, 3, 2, 1];
    for (query, expected) in [
        // generateQueryFromFilters without filters
        ("{}", &all[..]),
        // filterToQuerySection: the service and span name fields, static tags
        (r#"{resource.service.name="auth" && name="verify"}"#, &all),
        (r#"{resource.service.name="web" && name="verify"}"#, &[]),
        // valueHelper: several values of a tag, chosen and as a pattern
        (r#"{(span.number="3" || span.number="5")}"#, &[6, 4]),
        (r#"{(span.number!="3" && span.number!="5")}"#, &[10, 9, 8, 7, 5, 3, 2, 1]),
        (r#"{span.number=~"[0-2]"}"#, &[3, 2, 1]),
        (r#"{span.number=~"(?i)[0-2]|x"}"#, &[3, 2, 1]),
        // Patterns match as a whole.
        (r#"{name=~"ver"}"#, &[]),
        (r#"{name=~"ver.*"}"#, &all),
        (r#"{name!~"ver.*|POST.*"}"#, &[5]),
        // tagHelper: the duration field for spans and for traces
        ("{duration>12ms}", &[10, 9]),
        ("{duration<=2ms}", &all),
        ("{traceDuration>=13ms}", &[10, 9]),
        ("{traceDuration<6ms && duration<3ms}", &[1]),
        // adHocValueHelper: keywords and whole numbers without quotes
        ("{status=error}", &[9]),
        ("{kind=internal && status!=error}", &[10, 8, 7, 6, 5, 4, 3, 2, 1]),
        ("{span.number>=8}", &[10, 9]),
        ("{.number=08}", &[9]),
        // The code editor: what people write
        ("{ .flag = true }", &[4]),
        (r#"{ statusMessage = "no such user" }"#, &[9]),
        (r#"{ rootName = "GET /status" && rootServiceName = "web" }"#, &[5]),
        (r#"{ trace:rootName = "GET /status" || trace:rootService = "none" }"#, &[5]),
        (r#"{ trace:id = "00000000000000000000000000000007" }"#, &[7]),
        (r#"{ span:parentID = "" && span:kind = server && span.number < 2 }"#, &[2, 1]),
        (r#"{ .deployment.environment.name = "staging" }"#, &[10]),
        (r#"{ resource.only.bank != nil }"#, &[10]),
        (r#"{ resource.only.bank = nil }"#, &[9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (r#"{ span."path/of" = "auth staging" }"#, &[10]),
        (r#"{ .number > "7" }"#, &[10, 9]),
        (r#"{ span.absent != "x" }"#, &[]),
        (r#"{ span.service.name = "web" || name = "' OR 1=1 --" }"#, &[]),
        (r#"{ (status = error || .number = 1) && name = "verify" }"#, &[9, 2]),
    ] {
        let found = search(&api, &search_path(query, began_s, "&limit=20")).await;
        assert_eq!(numbers(&found), expected, "{query}");
    }
    // Without a limit, 20; the youngest first; lengths of traces.
    assert_eq!(numbers(&search(&api, &search_path("{}", began_s, "")).await), all);
    assert_eq!(numbers(&search(&api, &search_path("{}", began_s, "&limit=2")).await), [10, 9]);
    let lasting = search_path("{}", began_s, "&minDuration=6ms&maxDuration=7000us");
    assert_eq!(numbers(&search(&api, &lasting).await), [3, 2]);
    // Other times, and the usual one.
    assert_eq!(numbers(&search(&api, "/tempo/api/search").await), all);
    let earlier = format!("/tempo/api/search?q=%7B%7D&start={}&end={}", began_s - 100, began_s - 10);
    assert_eq!(numbers(&search(&api, &earlier).await), [0_u8; 0]);
    // buildSearchQuery of Grafana 9: tags in logfmt
    let tags = |tags: &str| format!("/tempo/api/search?tags={}&limit=20", escaped(tags));
    for (text, expected) in [
        (r#" service.name="auth" name="verify""#, &all[..]),
        ("number=3", &[4]),
        ("error=true", &[9]),
        (r#"status.code=error root.name="POST /login""#, &[9]),
        ("root.service.name=auth", &[]),
    ] {
        assert_eq!(numbers(&search(&api, &tags(text)).await), expected, "{text}");
    }
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_found_trace_says_what_the_plugin_shows() {
    let Some((bench, api, began_s)) = begun("tempo_found").await else { return };
    // A span that was delivered twice is one.
    bench
        .execute("INSERT INTO otel_traces SELECT * FROM otel_traces WHERE SpanId = '0000000000000002'")
        .await;
    // transformTraceSearchResponse, transformSpanSearchResponse
    let query = r#"{resource.service.name="auth" && .number="8" && status=error && duration>1ms}"#;
    let found = search(&api, &search_path(query, began_s, "&limit=20&spss=3")).await;
    let [trace] = &found[..] else { panic!("{found:#?}") };
    assert_eq!(trace.trace_id, "00000000000000000000000000000009");
    assert_eq!((trace.root_service_name.as_str(), trace.root_trace_name.as_str()), ("web", "POST /login"));
    let start_ns = (u64::from(began_s) * 1_000_000_000 + 8_000_000).to_string();
    assert_eq!((&trace.start_time_unix_nano, trace.duration_ms), (&start_ns, 13));
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let span = FoundSpan {
        span_id: "0000000000000002".into(),
        name: "verify".into(),
        start_time_unix_nano: start_ns,
        duration_nanos: "2000000".into(),
        attributes: vec![text("service.name", "auth"), text("number", "8"), text("status", "error")],
    };
    assert_eq!(trace.span_set, SpanSet { spans: vec![span], matched: 1 });
    assert_eq!(trace.span_sets, std::slice::from_ref(&trace.span_set));
    // Fewer spans than match.
    let found = search(&api, &search_path("{}", began_s, "&limit=1&spss=1")).await;
    assert_eq!((found[0].span_set.spans.len(), found[0].span_set.matched), (1, 2));
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_comes_in_protobuf_and_in_json() {
    let Some((bench, api, began_s)) = begun("tempo_trace").await else { return };
    let start_ns = u64::from(began_s) * 1_000_000_000 + 8_000_000;
    let (whole, short) = (format!("{:0>32}", "9"), "0000000000000009");
    let range = format!("?start={}&end={}", began_s - 10, began_s + 60);
    // createRequest: version 2 first; with a range where the time shift is on.
    for path in [format!("v2/traces/{whole}"), format!("v2/traces/{short}{range}"), "v2/traces/9".to_owned()]
    {
        let (status, kind, body) = raw(&format!("{}/tempo/api/{path}", api.url), PROTOBUF, "").await;
        assert_eq!((status, kind.as_str()), (200, PROTOBUF), "{path}");
        let answer = TraceById::decode(body.as_slice()).unwrap();
        assert_eq!((answer.status, answer.message.as_str()), (0, ""));
        let trace = answer.trace.unwrap();
        // getTrace reads these.
        assert_eq!(trace.resource_spans.len(), 2);
        let span = spans(&trace).find(|span| span.name == "verify").unwrap();
        assert_eq!(
            (hex(&span.trace_id), hex(&span.span_id), hex(&span.parent_span_id)),
            (whole.clone(), "0000000000000002".into(), "0000000000000001".into())
        );
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (start_ns, start_ns + 2_000_000));
        assert_eq!((span.kind().as_str_name(), span.flags), ("SPAN_KIND_INTERNAL", 0));
        let failed = span.status.clone().unwrap();
        assert_eq!(
            (failed.code().as_str_name(), failed.message.as_str()),
            ("STATUS_CODE_ERROR", "no such user")
        );
        assert_eq!(texts(&span.attributes)["number"], "8");
        assert_eq!((span.events[0].name.as_str(), span.events[0].time_unix_nano), ("retry", start_ns));
        assert_eq!(texts(&span.events[0].attributes)["attempt"], "1");
        assert_eq!((hex(&span.links[0].span_id), span.links.len()), ("00000000000000fe".into(), 1));
    }
    // The fallback of getTrace for old versions of Tempo.
    let (_, kind, body) = raw(&format!("{}/tempo/api/traces/{whole}", api.url), PROTOBUF, "").await;
    let first = TracesData::decode(body.as_slice()).unwrap();
    assert_eq!((kind.as_str(), spans(&first).count()), (PROTOBUF, 2));

    let second = ask(&api, &format!("/tempo/api/v2/traces/{whole}")).await;
    let resources = second["trace"]["resourceSpans"].as_array().unwrap();
    assert_eq!(ask(&api, &format!("/tempo/api/traces/{whole}")).await["batches"], json!(resources));
    let spans: Vec<&Value> = resources.iter().map(|each| &each["scopeSpans"][0]["spans"][0]).collect();
    let span = spans.iter().find(|span| span["name"] == "verify").unwrap();
    assert_eq!(
        (&span["traceId"], &span["spanId"], &span["kind"], &span["status"]["code"]),
        (
            &json!("AAAAAAAAAAAAAAAAAAAACQ=="),
            &json!("AAAAAAAAAAI="),
            &json!("SPAN_KIND_INTERNAL"),
            &json!("STATUS_CODE_ERROR")
        )
    );
    assert_eq!(span["startTimeUnixNano"], json!(start_ns.to_string()));

    for path in ["/tempo/api/v2/traces/ffff", "/tempo/api/traces/ffff"] {
        assert_eq!(refusal(&api, path).await, (404, "trace not found".into()));
    }
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_is_too_long_is_partial() {
    let Some((bench, api, began_s)) = begun("tempo_partial").await else { return };
    bench
        .execute(&format!(
            "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, SpanName, SpanKind, ServiceName, Duration) SELECT \
             fromUnixTimestamp64Micro(toInt64({began_s}000000 + number)), leftPad('abc', 32, '0'), \
             leftPad(lower(hex(number)), 16, '0'), 'step', 'Internal', 'web', 1 FROM numbers(10001)"
        ))
        .await;
    let (_, _, body) = raw(&format!("{}/tempo/api/v2/traces/abc", api.url), PROTOBUF, "").await;
    let answer = TraceById::decode(body.as_slice()).unwrap();
    assert_eq!((answer.status, spans(&answer.trace.unwrap()).count()), (1, 10_000));
    assert!(answer.message.contains("10000 earliest"), "{}", answer.message);
    assert_eq!(ask(&api, "/tempo/api/v2/traces/abc").await["status"], "PARTIAL");
    let (status, why) = refusal(&api, "/tempo/api/traces/abc").await;
    assert!(status == 400 && why.contains("10000"), "{why}");
    api.stop().await;
    bench.drop().await;
}

/// `{type, value}` of each.
fn typed(answer: &Value) -> Vec<(&str, &str)> {
    let values = answer["tagValues"].as_array().unwrap();
    values.iter().map(|each| (each["type"].as_str().unwrap(), each["value"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn editors_are_offered_names_and_values() {
    let Some((bench, api, began_s)) = begun("tempo_tags").await else { return };
    // handleTags; fetchTags sends the limit, and the time where the datasource says so.
    let resource =
        json!(["deployment.environment.name", "only.bank", "only.shop", "service.name", "service.namespace"]);
    let span = json!(["flag", "number", "path/of"]);
    let times = format!("start={}&end={}", began_s - 10, now_s() + 1);
    for more in ["limit=5000".to_owned(), format!("limit=5000&{times}")] {
        let tags = ask(&api, &format!("/tempo/api/v2/search/tags?{more}")).await;
        assert_eq!(tags["scopes"][0], json!({"name": "resource", "tags": resource}));
        assert_eq!(tags["scopes"][1], json!({"name": "span", "tags": span}));
        // getIntrinsicTags
        let intrinsics = tags["scopes"][2]["tags"].as_array().unwrap();
        assert_eq!(tags["scopes"][2]["name"], "intrinsic");
        for known in ["duration", "kind", "name", "rootName", "rootServiceName", "status", "span:name"] {
            assert!(intrinsics.contains(&json!(known)), "{known}");
        }
    }
    let one = ask(&api, "/tempo/api/v2/search/tags?scope=span").await;
    assert_eq!(one["scopes"], json!([{"name": "span", "tags": span}]));
    let few = ask(&api, "/tempo/api/v2/search/tags?scope=span&limit=1").await;
    assert_eq!(few["scopes"][0]["tags"].as_array().unwrap().len(), 1);
    let narrowed =
        format!("/tempo/api/v2/search/tags?q={}", escaped(r#"{.deployment.environment.name="staging"}"#));
    let names = &ask(&api, &narrowed).await["scopes"][0]["tags"];
    assert!(names.to_string().contains("only.bank") && !names.to_string().contains("only.shop"), "{names}");
    // Grafana 9
    let flat = ask(&api, "/tempo/api/search/tags").await;
    let expected: BTreeSet<&str> = [&resource, &span]
        .iter()
        .flat_map(|list| list.as_array().unwrap())
        .map(|name| name.as_str().unwrap())
        .collect();
    assert_eq!(flat["tagNames"], json!(expected));

    // handleTagValues: the tag in the path, and all that the page has asked for.
    let values = |tag: &str, query: &str| {
        format!(
            "/tempo/api/v2/search/tag/{tag}/values?limit=5000&tag={}&q={}&{times}",
            escaped(tag),
            escaped(query)
        )
    };
    for (tag, query, expected) in [
        ("resource.service.name", "", vec![("string", "auth"), ("string", "web")]),
        // getOptionsV2: narrowed by the other filters, or by what has been typed so far
        ("resource.service.name", r#"{name="verify"}"#, vec![("string", "auth")]),
        ("resource.service.name", r#"{name="verify" && resource.service.name=}"#, vec![("string", "auth")]),
        ("resource.service.name", r#"{name="ver"#, vec![("string", "auth"), ("string", "web")]),
        (
            "name",
            r#"{span.number>3 && span.number<6}"#,
            vec![("string", "GET /status"), ("string", "POST /login"), ("string", "verify")],
        ),
        ("span:name", r#"{kind=internal}"#, vec![("string", "verify")]),
        (".number", r#"{rootName="a" && span.number>7}"#, vec![("int", "8"), ("int", "9")]),
        ("span.flag", "{}", vec![("bool", "false"), ("bool", "true")]),
        ("span.path/of", r#"{.number=9}"#, vec![("string", "auth staging"), ("string", "web staging")]),
        (".service.name", "{}", vec![("string", "auth"), ("string", "web")]),
        ("span.service.name", "{}", vec![]),
        ("status", "{}", vec![("keyword", "error"), ("keyword", "ok"), ("keyword", "unset")]),
        ("rootName", "{}", vec![("string", "GET /status"), ("string", "POST /login")]),
        ("rootServiceName", "{}", vec![("string", "web")]),
        ("statusMessage", "{}", vec![("string", "no such user")]),
        ("duration", "{}", vec![]),
    ] {
        let answer = ask(&api, &values(tag, query)).await;
        assert_eq!(typed(&answer), expected, "{tag} {query}");
    }
    // The longest value has 512 characters, however many bytes those take.
    bench
        .execute(
            "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, SpanName, SpanKind, ServiceName, SpanAttributes) \
             SELECT now() - 10, 'ff', toString(number), 'long', 'Server', 'web', \
             map('long', repeat('é', 512 + number)) FROM numbers(2)",
        )
        .await;
    let long = ask(&api, &values("span.long", "{}")).await;
    assert_eq!(typed(&long), [("string", "é".repeat(512).as_str())]);
    let kinds = ask(&api, &values("kind", "{}")).await;
    assert!(typed(&kinds).contains(&("keyword", "server")), "{kinds}");
    assert_eq!(
        ask(&api, "/tempo/api/search/tag/service.name/values").await["tagValues"],
        json!(["auth", "web"])
    );
    assert_eq!(
        ask(&api, "/tempo/api/v2/search/tag/.number/values?limit=2").await["tagValues"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_answered_is_refused_in_words() {
    let Some((bench, api, began_s)) = begun("tempo_refused").await else { return };
    for (query, why) in [
        // handleTraceQlMetricsQuery and what the code editor lets people write
        ("{} | rate()", "parse error at col 4: pipelines are not supported"),
        ("{status=error} && {kind=server}", "parse error at col 16: several filters"),
        ("{} >> {status=error}", "parse error at col 4: structural"),
        ("{event:name=\"x\"}", "parse error at col 2: event:name is not supported"),
        ("{ .a =~ \"(\" }", "\"(\" is no regular expression"),
        ("{ .a !~ \"a)(b\" }", "\"a)(b\" is no regular expression"),
        ("{ .a =~ `a\\` }", "is no regular expression"),
        // What is put around it would be part of it.
        (r#"{ .a =~ "\\Qa" }"#, "is no regular expression"),
        ("{ .a =~ \"(?=a)\" }", "is no regular expression"),
        ("{ .a =~ \"(a{1000}){1000}\" }", "is no regular expression"),
        ("{ rootName=\"a\" || name=\"b\" }", "parse error at col 3: rootName is the whole trace's"),
        (&format!("{{name=\"{}\"}}", "x".repeat(513)), "512 characters"),
    ] {
        let (status, said) = refusal(&api, &search_path(query, began_s, "")).await;
        assert!(status == 400 && said.contains(why), "{query}: {status} {said}");
    }
    for (path, why) in [
        ("/tempo/api/metrics/query_range?q=%7B%7D%7Crate()", "TraceQL metrics are not supported"),
        ("/tempo/api/metrics/query?q=%7B%7D", "TraceQL metrics are not supported"),
        ("/tempo/api/search?limit=501", "invalid limit: 1 to 500"),
        ("/tempo/api/search?limit=0", "invalid limit"),
        ("/tempo/api/search?limit=4294967296", "invalid limit"),
        ("/tempo/api/search?spss=101", "invalid spss: 1 to 100"),
        ("/tempo/api/search?start=2&end=1", "start must be before end"),
        ("/tempo/api/search?start=1700000000", "start must be before end"),
        ("/tempo/api/search?start=1700000000&end=1700700000", "exceeds 7 days"),
        ("/tempo/api/search?start=soon&end=1700700000", "start is a whole number"),
        ("/tempo/api/search?minDuration=long", "invalid minDuration"),
        ("/tempo/api/search?minDuration=2s&maxDuration=1s", "minDuration must not be above"),
        ("/tempo/api/search?q=%7B%7D&tags=a%3D1", "can't specify tags and q"),
        ("/tempo/api/search?tags=a", "invalid tags"),
        ("/tempo/api/search?service.name=web", "there is no parameter \"service.name\""),
        ("/tempo/api/v2/search/tags?scope=all", "invalid scope"),
        ("/tempo/api/v2/search/tags?start=1&end=9999999", "exceeds 7 days"),
        ("/tempo/api/v2/search/tag/event:name/values", "event:name is not supported"),
        ("/tempo/api/v2/search/tag/service.name/values", "service is no scope"),
        ("/tempo/api/v2/traces/xyz", "1 to 32 hex digits"),
        ("/tempo/api/v2/traces/1?start=9&end=2", "start must be before end"),
        ("/tempo/api/traces/1?mode=blocks", "there is no parameter \"mode\""),
    ] {
        let (status, said) = refusal(&api, path).await;
        assert!(status == 400 && said.contains(why), "{path}: {status} {said}");
    }
    assert_eq!(refusal(&api, "/tempo/api/v2/search/tag/name").await.0, 404);
    api.stop().await;
    bench.drop().await;
}

/// `…-secret` is the token of each grant.
fn settings() -> String {
    let digest = |text: &str| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        hex(digest.as_ref())
    };
    let grants = [
        ("all", "analyst", ""),
        ("production", "analyst", "environments = [\"production\"]"),
        ("bank", "analyst", "namespaces = [\"bank\"]"),
        ("nothing", "analyst", "environments = [\"production\"]\nnamespaces = [\"bank\"]"),
        ("viewer", "viewer", ""),
    ];
    let tables = grants.map(|(name, role, limits)| {
        format!(
            "[[grant]]\nname = \"{name}\"\nrole = \"{role}\"\n{limits}\n[[token]]\nname = \"{name}\"\ngrant = \"{name}\"\n\
             sha256 = \"{}\"\n",
            digest(&format!("{name}-secret"))
        )
    });
    tables.concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hears_of_other_environments_or_namespaces() {
    let Some(bench) = Bench::new("tempo_allowed").await else { return };
    ten_flows(&bench, now_s() - 60).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth.toml");
    std::fs::write(&file, settings()).unwrap();
    let api = bench.start_with(|options| options.auth = Some(file)).await;
    let ask = async |path: &str, grant: &str| {
        let (status, _, body) = raw(&format!("{}{path}", api.url), "*/*", &format!("{grant}-secret")).await;
        (status, String::from_utf8(body).unwrap())
    };
    // Which of the tenth flow and of the others may be known.
    for (grant, tenth, others) in
        [("all", true, true), ("production", false, true), ("bank", true, false), ("nothing", false, false)]
    {
        for (id, known) in [("a", tenth), ("1", others)] {
            for version in ["", "/v2"] {
                let (status, body) = ask(&format!("/tempo/api{version}/traces/{id}"), grant).await;
                assert_eq!(status, if known { 200 } else { 404 }, "{grant}: {id}: {body}");
            }
        }
        let staging = escaped(r#"{.deployment.environment.name="staging"}"#);
        let root = escaped(r#"{rootServiceName="web"}"#);
        for (path, tells_tenth, tells_others) in [
            (
                "/tempo/api/search?q=%7B%7D",
                "traceID\":\"0000000000000000000000000000000a",
                "traceID\":\"00000000000000000000000000000001",
            ),
            (
                &format!("/tempo/api/search?q={root}"),
                "traceID\":\"0000000000000000000000000000000a",
                "traceID\":\"00000000000000000000000000000001",
            ),
            (
                "/tempo/api/search?tags=name%3Dverify",
                "traceID\":\"0000000000000000000000000000000a",
                "traceID\":\"00000000000000000000000000000001",
            ),
            ("/tempo/api/v2/search/tags", "only.bank", "only.shop"),
            ("/tempo/api/search/tags", "only.bank", "only.shop"),
            ("/tempo/api/v2/search/tag/.number/values", "\"9\"", "\"0\""),
            ("/tempo/api/v2/search/tag/span.path%2Fof/values", "auth staging", "auth production"),
            ("/tempo/api/search/tag/number/values", "\"9\"", "\"0\""),
        ] {
            let (status, body) = ask(path, grant).await;
            assert_eq!(status, 200, "{grant}: {path}: {body}");
            assert_eq!(body.contains(tells_tenth), tenth, "{grant}: {path}: {body}");
            assert_eq!(body.contains(tells_others), others, "{grant}: {path}: {body}");
        }
        for path in ["rootName", "name", "statusMessage", "resource.service.name"] {
            let (_, body) = ask(&format!("/tempo/api/v2/search/tag/{path}/values?q={staging}"), grant).await;
            let hears = body.contains("\"value\"");
            let wanted = if path == "rootName" { tenth || others } else { tenth && path != "statusMessage" };
            assert_eq!(hears, wanted, "{grant}: {path}: {body}");
        }
    }
    for (path, status) in
        [("/tempo/api/echo", 200), ("/tempo/api/search", 403), ("/tempo/api/v2/search/tags", 403)]
    {
        assert_eq!(ask(path, "viewer").await.0, status, "{path}");
    }
    api.stop().await;
    bench.drop().await;
}

/// Values as the store keeps them.
fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let value = |pair: &KeyValue| stored(pair.value.as_ref().and_then(|value| value.value.as_ref()));
    attributes.iter().map(|pair| (pair.key.clone(), value(pair))).collect()
}

fn stored(value: Option<&Attribute>) -> String {
    match value {
        Some(Attribute::StringValue(text)) => text.clone(),
        Some(Attribute::IntValue(number)) => number.to_string(),
        Some(Attribute::BoolValue(value)) => value.to_string(),
        Some(Attribute::ArrayValue(array)) => {
            let texts: Vec<String> = array.values.iter().map(|value| stored(value.value.as_ref())).collect();
            json!(texts).to_string()
        }
        other => panic!("the workload has no such values: {other:?}"),
    }
}

/// Span, parent, name, kind, status, start and end in ns, attributes, and those of the resource.
type Told = (String, String, String, i32, i32, u64, u64, BTreeMap<String, String>, BTreeMap<String, String>);

fn told(trace: &TracesData) -> Vec<Told> {
    let mut told: Vec<Told> = Vec::new();
    for of in &trace.resource_spans {
        let resource = texts(&of.resource.as_ref().unwrap().attributes);
        told.extend(of.scope_spans.iter().flat_map(|scope| &scope.spans).map(|span| {
            (
                hex(&span.span_id),
                hex(&span.parent_span_id),
                span.name.clone(),
                span.kind,
                span.status.as_ref().map_or(0, |status| status.code),
                span.start_time_unix_nano,
                span.end_time_unix_nano,
                texts(&span.attributes),
                resource.clone(),
            )
        }));
    }
    told.sort();
    told.dedup();
    told
}

/// The demo workload goes through a whole Weir: Tempo's trace is what was sent, and what `/api/v1/traces` tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_the_one_that_was_sent() {
    let Some(river) = River::new() else { return };
    let url = std::env::var("WEIR_TEST_API").unwrap();
    let mut documents: Vec<TracesData> = Workload::new(5, 20.0)
        .take(40)
        .map(|flow| {
            let requests = flow.spans.iter().map(|span| {
                loadtest::otlp::request(&span.emitter, std::slice::from_ref(span), 1_790_000_000_000_000)
            });
            TracesData { resource_spans: requests.flat_map(|request| request.resource_spans).collect() }
        })
        .collect();
    renamed(&mut documents, 91);
    shifted(&mut documents, Duration::ZERO);
    for document in &documents {
        river.send(document).await;
    }
    river.until_stored(&documents).await;
    for document in &documents {
        let id = hex(&spans(document).next().unwrap().trace_id);
        let (_, _, body) = raw(&format!("{url}/tempo/api/v2/traces/{id}"), PROTOBUF, "").await;
        let told = (told(&TraceById::decode(body.as_slice()).unwrap().trace.unwrap()), told(document));
        assert_eq!(told.0, told.1, "{id}");
        let (_, ours) = river.get(&format!("/api/v1/traces/{id}")).await;
        let mut ours: Vec<(String, String, i64, BTreeMap<String, String>)> = ours["spans"]
            .as_array()
            .unwrap()
            .iter()
            .map(|span| {
                let text = |name: &str| span[name].as_str().unwrap().to_owned();
                let attributes = serde_json::from_value(span["attributes"].clone()).unwrap();
                (text("spanId"), text("name"), span["duration"].as_i64().unwrap(), attributes)
            })
            .collect();
        ours.sort();
        let duration_us = |told: &Told| i64::try_from((told.6 - told.5) / 1_000).unwrap();
        let mut theirs: Vec<_> = told
            .0
            .iter()
            .map(|told| (told.0.clone(), told.2.clone(), duration_us(told), told.7.clone()))
            .collect();
        theirs.sort();
        assert_eq!(ours, theirs, "{id}");
    }
}
