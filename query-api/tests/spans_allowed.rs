//! Which raw spans a caller may know of, over real tables: where places stand under older names, and where the summary of
//! a trace says something else than its earliest span.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use support::{Api, Bench, now_s};

/// A trace of one service, which is named after it.
struct Trace {
    id: &'static str,
    /// Resource of its only span.
    resource: &'static str,
    /// Environment and namespace of its summary, if it has one.
    summary: Option<(&'static str, &'static str)>,
}

const OLD_NAMESPACE: &str = "{'k8s.namespace': 'bank', 'service.namespace': 'shop', \
    'deployment.environment.name': 'production'}";
const OLD_ENVIRONMENT: &str = "{'k8s.namespace.name': '', 'k8s.namespace': '', 'service.namespace': 'bank', \
    'deployment.environment': '', 'environment': 'staging'}";
const SHOP: &str = "{'service.namespace': 'shop', 'deployment.environment.name': 'production'}";

const TRACES: [Trace; 4] = [
    Trace { id: "a1", resource: OLD_NAMESPACE, summary: None },
    Trace { id: "a2", resource: OLD_ENVIRONMENT, summary: None },
    Trace { id: "a3", resource: SHOP, summary: Some(("production", "bank")) },
    Trace { id: "a4", resource: "{}", summary: Some(("staging", "shop")) },
];

/// Limits of a grant, the traces that it lets through, and those whose every span it lets through.
const GRANTS: [(&str, &str, &[&str], &[&str]); 6] = [
    ("all", "", &["a1", "a2", "a3", "a4"], &["a1", "a2", "a3", "a4"]),
    ("shop", "namespaces = [\"shop\"]", &["a4"], &["a3"]),
    ("bank", "namespaces = [\"bank\"]", &["a1", "a2", "a3"], &["a1", "a2"]),
    ("production", "environments = [\"production\"]", &["a1", "a3"], &["a1", "a3"]),
    ("staging", "environments = [\"staging\"]", &["a2", "a4"], &["a2"]),
    ("nobody", "namespaces = [\"nobody\"]", &[], &[]),
];

async fn fill(bench: &Bench) {
    let at_s = now_s() - 60;
    for Trace { id, resource, summary } in TRACES {
        let trace_id = format!("{id:0>32}");
        bench
            .execute(&format!(
                "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, SpanName, SpanKind, ServiceName, \
                 ResourceAttributes, SpanAttributes, Duration) VALUES (toDateTime64({at_s}, 9), '{trace_id}', \
                 '0000000000000001', 'name-{id}', 'Server', '{id}', {resource}, {{'key-{id}': 'value-{id}'}}, 1000)"
            ))
            .await;
        let Some((environment, namespace)) = summary else { continue };
        // A day earlier it closed under other names.
        for (revision, ago_s, environment, namespace) in
            [(1, 86_400, "production", "shop"), (2, 0, environment, namespace)]
        {
            bench
                .execute(&format!(
                    "INSERT INTO traces (trace_id, revision, environment, operation, status, start, duration_us, spans, \
                     services, root_service, root_namespace, root_name, weight, complete) VALUES \
                     ('{trace_id}', {revision}, '{environment}', 'pay', 'success', \
                     toDateTime64({at_s} - {ago_s}, 6), 1, 1, ['{id}'], '{id}', '{namespace}', 'name-{id}', 1, true)"
                ))
                .await;
        }
    }
}

/// `…-secret` is the token of each grant.
fn settings() -> String {
    let tables = GRANTS.map(|(grant, limits, ..)| {
        let digest =
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{grant}-secret").as_bytes());
        let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!(
            "[[grant]]\nname = \"{grant}\"\nrole = \"analyst\"\n{limits}\n[[token]]\nname = \"{grant}\"\n\
             grant = \"{grant}\"\nsha256 = \"{digest}\"\n"
        )
    });
    tables.concat()
}

async fn ask(api: &Api, path: &str, grant: &str) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("{}{path}", api.url)).bearer_auth(format!("{grant}-secret"));
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_are_known_where_the_graph_puts_them() {
    let Some(bench) = Bench::new("spans_allowed").await else { return };
    fill(&bench).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth.toml");
    std::fs::write(&file, settings()).unwrap();
    let api = bench.start_with(|options| options.auth = Some(file)).await;
    for (grant, traces, spans) in GRANTS.map(|(grant, _, traces, spans)| (grant, traces, spans)) {
        let together: Vec<String> = TRACES.iter().map(|trace| format!("traceID={}", trace.id)).collect();
        let (_, together) = ask(&api, &format!("/jaeger/api/traces?{}", together.join("&")), grant).await;
        for Trace { id, .. } in TRACES {
            let known = traces.contains(&id);
            assert_eq!(together.contains(&format!("name-{id}")), known, "{grant}: {id}: {together}");
            for path in [
                "/api/v1/traces",
                "/api/v1/flows",
                "/jaeger/api/traces",
                "/jaeger/api/v3/traces",
                "/tempo/api/traces",
                "/tempo/api/v2/traces",
            ] {
                let (status, body) = ask(&api, &format!("{path}/{id}"), grant).await;
                assert_eq!(status, if known { 200 } else { 404 }, "{grant}: {path}/{id}: {body}");
                if !known {
                    let missing = ask(&api, &format!("{path}/ffff"), grant).await.1.replace("ffff", "00{id}");
                    assert_eq!(
                        body.replace(id, "{id}"),
                        missing,
                        "{grant}: {path}/{id} tells that it is there"
                    );
                }
            }
            // Lists are of single spans.
            let known = spans.contains(&id);
            for (path, told) in [
                (format!("/jaeger/api/services/{id}/operations"), "name"),
                (format!("/jaeger/api/v3/operations?service={id}"), "name"),
                ("/tempo/api/v2/search/tags?scope=span".to_owned(), "key"),
                (format!("/tempo/api/v2/search/tag/span.key-{id}/values"), "value"),
                ("/tempo/api/v2/search/tag/name/values".to_owned(), "name"),
            ] {
                let (status, body) = ask(&api, &path, grant).await;
                assert_eq!(status, 200, "{grant}: {path}: {body}");
                assert_eq!(body.contains(&format!("{told}-{id}")), known, "{grant}: {path}: {body}");
            }
        }
    }
    api.stop().await;
    bench.drop().await;
}
