//! Hostile input in every parameter of every documented path: a clear refusal or an answer, never a failure of the
//! server, and nobody else notices.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use serde_json::{Value, json};
use support::{Api, Bench, calls_to, logins, now_s};

/// What tries to be more than a text.
const TRICKS: &[&str] = &[
    "' OR 1=1 --",
    "'; DROP TABLE traces; --",
    "\\' UNION ALL SELECT sleep(3) --",
    "{c0:String}",
    "`otel_traces`",
    "../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "http://169.254.169.254/",
    "\u{0}",
    "\u{202e}\u{feff}",
    "<script>alert(1)</script>",
    "%s%n{{7*7}}${7*7}",
    "-9223372036854775809",
    "1e400",
    "NaN",
    "[]",
    "\r\nset-cookie: a=b",
];

/// A path of the document with its parameters: where they are and how they are called.
struct Question {
    method: String,
    path: String,
    in_path: Vec<String>,
    in_query: Vec<String>,
}

fn questions(document: &Value) -> Vec<Question> {
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let named = |place: &str| {
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                let named = parameters.filter(|parameter| parameter["in"] == place);
                named.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect()
            };
            let (method, path) = (method.clone(), path.clone());
            // Server-sent events never end.
            if !path.ends_with("/events") {
                found.push(Question { method, path, in_path: named("path"), in_query: named("query") });
            }
        }
    }
    found
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The path with `text` in one of its parameters, and harmless texts in the others.
fn filled(question: &Question, tricky: &str, text: &str) -> String {
    let in_path = question.in_path.iter().fold(question.path.clone(), |path, name| {
        path.replace(&format!("{{{name}}}"), &if name == tricky { encoded(text) } else { "web".to_owned() })
    });
    if question.in_query.iter().any(|name| name == tricky) {
        return format!("{in_path}?{tricky}={}", encoded(text));
    }
    in_path
}

async fn check(api: &Api, question: &Question, path: &str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let method = question.method.to_uppercase().parse().unwrap();
    let request = client.request(method, format!("{}{path}", api.url));
    let request = if question.method == "post" { request.json(&json!({})) } else { request };
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = answer.text().await.unwrap();
    assert!(status < 500, "{path}: {status} {body}");
    assert!(!headers.contains_key("set-cookie"), "{path}: {headers:?}");
    let kind = headers.get("content-type").map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
    assert!(kind.contains("json"), "{path}: {kind} {body}");
    for leaked in ["DB::Exception", "FROM edges", "root:x:", "stack backtrace"] {
        assert!(!body.contains(leaked), "{path}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tricks_in_every_parameter_are_texts() {
    let Some(bench) = Bench::new("hostile").await else { return };
    bench.commit(1, &[logins(now_s(), 3)]).await;
    let api = bench.start().await;
    let document = api.get("/api/v1/openapi.json").await.1;
    let questions = questions(&document);
    assert!(questions.len() > 5, "{document:#}");
    for question in &questions {
        for name in question.in_path.iter().chain(&question.in_query) {
            for trick in TRICKS {
                check(&api, question, &filled(question, name, trick)).await;
            }
            check(&api, question, &filled(question, name, &"x".repeat(5_000))).await;
        }
    }
    let graph = api.get("/api/v1/graph?operation=login&window=5m").await.1;
    assert_eq!(calls_to(&graph, "auth"), 3, "nothing is gone");
    for table in ["traces", "otel_traces", "edges_1m"] {
        bench.execute(&format!("SELECT count() FROM {table}")).await;
    }
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_is_refused_before_it_is_read() {
    let Some(bench) = Bench::new("too_much").await else { return };
    let api = bench.start().await;
    let huge = json!({"query": "x".repeat(10 << 20)});
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    // The answer may come while the body is still on its way, which then finds the connection closed.
    match client.post(format!("{}/graphql", api.url)).json(&huge).send().await {
        Ok(answer) => assert_eq!(answer.status().as_u16(), 413),
        Err(error) => assert!(error.is_request(), "{error}"),
    }
    let long = format!("{}/api/v1/graph?operation={}", api.url, "x".repeat(60_000));
    let status = client.get(long).send().await.unwrap().status().as_u16();
    assert!(matches!(status, 400 | 414 | 431), "{status}");
    assert_eq!(api.get("/api/v1/graph").await.0, 200, "it still answers");
    api.stop().await;
    bench.drop().await;
}
