//! What a real Prometheus has of `/metrics/graph`, asked as Grafana's Tempo datasource asks for its service graph.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod deltas;
mod scraper;
mod support;

use deltas::{Deltas, Edge, Entry};
use scraper::{Prometheus, Sample};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Api, Bench, now_s};

/// A quote, a backslash and a line break: texts of spans go into labels.
const ODD: &str = "GET /\"a\\b\"\n";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PROBE_TRACE: &str = "1bf7651916cd43dd8448eb211c80319c";

const WEB: &str = "service/shop/web";
const AUTH: &str = "service/shop/auth";

/// Twice: once so that the series begin, and once more when they show what they have.
const EDGES: [Edge; 6] = [
    ("production", "user//user", WEB, 60, 0, 9_000),
    ("production", WEB, AUTH, 60, 12, 3_000),
    ("production", AUTH, "database//postgresql", 120, 0, 700),
    ("production", WEB, "topic//kafka:orders", 30, 0, 400),
    ("production", WEB, "external//pay.example.com", 6, 6, 40_000_000),
    ("staging", "user//user", "service/bank/ledger", 5, 0, 9_000),
];
const ENTRIES: [Entry; 4] = [
    ("production", WEB, ODD, 50, 10, 9_000),
    ("production", WEB, "GET /b", 10, 0, 30_000),
    ("production", AUTH, "POST /verify", 60, 12, 3_000),
    ("staging", "service/bank/ledger", "GET /c", 5, 0, 9_000),
];

/// A flow of which one call from `web` to `auth` took 3 ms.
async fn flow_with_graph(bench: &Bench) {
    revision(bench, TRACE, 1, "login", 60).await;
}

/// A newer one; a late span told later that it began earlier, and as a probe.
async fn flow_that_was_a_probe(bench: &Bench) {
    revision(bench, PROBE_TRACE, 1, "login", 10).await;
    revision(bench, PROBE_TRACE, 2, "__probe__", 40).await;
}

/// A revision of a flow that began so many seconds ago, with its graph.
async fn revision(bench: &Bench, trace: &str, revision: u32, operation: &str, ago_s: u32) {
    let start = format!("now64(6) - INTERVAL {ago_s} SECOND");
    bench
        .execute(&format!(
            "INSERT INTO flow_graphs (trace_id, revision, environment, operation, start, nodes, edges) VALUES ('{trace}', \
             {revision}, 'production', '{operation}', {start}, [('', 'shop', 'web', 'service', '', 1, 0, 1, 1, 1), \
             ('', 'shop', 'auth', 'service', '', 1, 0, 1, 1, 1)], [(1, 2, 1, 0, 0, 0, 0, 0, 3000)])"
        ))
        .await;
    bench
        .execute(&format!(
            "INSERT INTO traces (trace_id, revision, environment, operation, status, start, root_namespace) VALUES \
             ('{trace}', {revision}, 'production', '{operation}', 'success', {start}, 'shop')"
        ))
        .await;
}

fn values(samples: &[Sample], labels: &[&str]) -> Vec<(Vec<String>, f64)> {
    let mut found: Vec<_> = samples
        .iter()
        .map(|(of, value)| {
            (labels.iter().map(|name| of.get(*name).cloned().unwrap_or_default()).collect(), *value)
        })
        .collect();
    found.sort_by(|a: &(Vec<String>, f64), b| a.0.cmp(&b.0));
    found
}

/// Fails unless these are the series, each with its value to 5 %: Prometheus guesses what happened between the last
/// scrape and the end of the range.
fn near(what: &str, found: &[(Vec<String>, f64)], expected: &[(&[&str], f64)]) {
    let names: Vec<Vec<&str>> =
        found.iter().map(|(labels, _)| labels.iter().map(String::as_str).collect()).collect();
    assert_eq!(
        names,
        expected.iter().map(|(labels, _)| labels.to_vec()).collect::<Vec<_>>(),
        "{what}: {found:?}"
    );
    for ((labels, value), (_, wanted)) in found.iter().zip(expected) {
        assert!((value - wanted).abs() <= wanted.abs() * 0.05, "{what} {labels:?}: {value}, not {wanted}");
    }
}

/// What was sent before the API ran belongs to somebody else.
async fn begun(name: &str) -> Option<(Bench, Api, Prometheus)> {
    let bench = Bench::new(name).await?;
    flow_with_graph(&bench).await;
    flow_that_was_a_probe(&bench).await;
    bench.send("flow_deltas", &Deltas::commit(1, &EDGES, &ENTRIES)).await;
    let api = bench.start().await;
    let prometheus = Prometheus::scraping(&api.url).await?;
    Some((bench, api, prometheus))
}

/// Prometheus' own view of the page in its older format.
async fn check_with_promtool(url: &str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer =
        client.get(format!("{url}/metrics/graph")).header("accept", "text/plain").send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let page = answer.text().await.unwrap();
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let said = [said.stdout, said.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(said, ["", ""], "promtool says something about\n{page}");
    assert!(page.contains("traces_service_graph_request_total"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn grafanas_questions_are_answered_with_the_truth() {
    let Some((bench, api, prometheus)) = begun("prometheus").await else { return };
    assert_eq!(
        prometheus.query("traces_service_graph_request_total").await,
        [],
        "history is nobody's increase"
    );
    bench.send("flow_deltas", &Deltas::commit(2, &EDGES, &ENTRIES)).await;
    // New series show zeros at first, so that nothing of them is lost to rate().
    let zeros = prometheus.until("traces_service_graph_request_total", |samples| samples.len() == 6).await;
    assert!(zeros.iter().all(|(_, value)| *value == 0.0), "{zeros:?}");
    prometheus.until("traces_service_graph_request_total > 0", |samples| samples.len() == 6).await;
    bench.send("flow_deltas", &Deltas::commit(3, &EDGES, &ENTRIES)).await;
    // The same commit once more, elsewhere in the log.
    bench.send("flow_deltas", &Deltas::commit(3, &EDGES, &ENTRIES)).await;
    // A late span: five of the calls to the outside went to auth.
    let corrected = [
        ("production", WEB, "external//pay.example.com", -5, -5, 40_000_000),
        ("production", WEB, AUTH, 5, 0, 3_000),
    ];
    bench.send("flow_deltas", &Deltas::commit(4, &corrected, &[])).await;
    let last = "traces_service_graph_request_total{server=\"auth\"} == 125";
    prometheus.until(last, |samples| samples.len() == 1).await;

    // Counters tell the sums to the unit, and what was taken back is owed.
    let totals = prometheus.query("traces_service_graph_request_total{environment=\"production\"}").await;
    let labels =
        ["client", "server", "connection_type", "client_service_namespace", "server_service_namespace"];
    let expected: [(&[&str], f64); 5] = [
        (&["auth", "postgresql", "database", "shop", ""], 240.0),
        (&["user", "web", "virtual_node", "", "shop"], 120.0),
        (&["web", "auth", "", "shop", "shop"], 125.0),
        (&["web", "kafka:orders", "messaging_system", "shop", ""], 60.0),
        (&["web", "pay.example.com", "virtual_node", "shop", ""], 12.0),
    ];
    let totals = values(&totals, &labels);
    assert_eq!(totals.iter().map(|(_, value)| *value).collect::<Vec<_>>(), expected.map(|(_, value)| value));
    near("totals", &totals, &expected);

    service_graph(&prometheus).await;
    red_table(&prometheus).await;
    links(&prometheus).await;
    exemplars(&prometheus).await;
    check_with_promtool(&api.url).await;
    assert_eq!(prometheus.complaints(), [""; 0]);
    only_what_is_allowed(&bench).await;
    drop(prometheus);
    api.stop().await;
    bench.drop().await;
}

/// `makePromServiceMapRequest` (tempo/datasource.ts) over `serviceMapMetrics` (tempo/graphTransform.ts), with and without
/// `serviceMapIncludeNamespace`; `${serviceMapQuery}` is what a user filters by. `$__range` is 5 m.
async fn service_graph(prometheus: &Prometheus) {
    let filter = "{environment=\"production\"}";
    let edges = ["client", "server"];
    let rate = async |metric: &str| {
        let expression = format!("sum by (client, server) (rate({metric}{filter}[5m]))");
        values(&prometheus.query(&expression).await, &edges)
    };
    let counts = |counts: [f64; 5]| {
        let names: [&[&str]; 5] = [
            &["auth", "postgresql"],
            &["user", "web"],
            &["web", "auth"],
            &["web", "kafka:orders"],
            &["web", "pay.example.com"],
        ];
        names.into_iter().zip(counts.map(|count| count / 300.0)).collect::<Vec<_>>()
    };
    // `totalsMetric`, `failedMetric` and `secondsMetric`: a node's or an edge's mean is the third by the first.
    let total = rate("traces_service_graph_request_total").await;
    near("total", &total, &counts([240.0, 120.0, 125.0, 60.0, 12.0]));
    let failed = rate("traces_service_graph_request_failed_total").await;
    near("failed", &failed, &counts([0.0, 0.0, 24.0, 0.0, 12.0]));
    let seconds = rate("traces_service_graph_request_server_seconds_sum").await;
    // The database, the topic and the outside as their callers measured them.
    near(
        "seconds",
        &seconds,
        &counts([240.0 * 0.0014, 120.0 * 0.009, 125.0 * 0.003, 60.0 * 0.0008, 12.0 * 80.0]),
    );
    let buckets = rate("traces_service_graph_request_server_seconds_bucket").await;
    assert_eq!(buckets.len(), 5);

    let group = format!(
        "group by (client, connection_type, server, client_service_namespace, server_service_namespace) \
         (traces_service_graph_request_total{filter})"
    );
    assert_eq!(prometheus.query(&group).await.len(), 5);
    let with_namespace = format!(
        "sum by (client, server, client_service_namespace, server_service_namespace) \
         (rate(traces_service_graph_request_total{filter}[5m]))"
    );
    assert_eq!(prometheus.query(&with_namespace).await.len(), 5);
    let both = "sum by (client, server) (rate(traces_service_graph_request_total{client=\"web\"}[5m])) OR \
                sum by (client, server) (rate(traces_service_graph_request_total{server=\"web\"}[5m]))";
    assert_eq!(prometheus.query(both).await.len(), 4, "serviceMapQuery may be a list");
}

/// `buildExpr` with `rateMetric`, `errorRateMetric` and `durationMetric` (tempo/graphTransform.ts), as `rateQuery` and
/// `errorAndDurationQuery` (tempo/datasource.ts) ask.
async fn red_table(prometheus: &Prometheus) {
    // `defaultTableFilter` after the user's own filter; `client_` and `server_` are cut from it.
    let rate = "topk(5, sum(rate(traces_spanmetrics_calls_total{environment=\"production\",\
                span_kind=\"SPAN_KIND_SERVER\"}[5m])) by (span_name))";
    let found = values(&prometheus.query(rate).await, &["span_name"]);
    near(
        "rate",
        &found,
        &[(&[ODD], 100.0 / 300.0), (&["GET /b"], 20.0 / 300.0), (&["POST /verify"], 120.0 / 300.0)],
    );
    // `getEscapedValues` and `getEscapedRegexValues`.
    let odd = r#"GET /\"a\\b\"\n"#;
    let errors = format!(
        "topk(5, sum(rate(traces_spanmetrics_calls_total{{status_code=\"STATUS_CODE_ERROR\",service_namespace=\"shop\",\
         span_name=~\"{odd}|GET /b|POST /verify\"}}[5m])) by (span_name))",
        odd = odd.replace(r"\\b", r"\\\\b")
    );
    let found = values(&prometheus.query(&errors).await, &["span_name"]);
    near("errors", &found, &[(&[ODD], 20.0 / 300.0), (&["GET /b"], 0.0), (&["POST /verify"], 24.0 / 300.0)]);
    for (name, bucket) in [("GET /b", 0.016..0.032), ("POST /verify", 0.002..0.004)] {
        let duration = format!(
            "histogram_quantile(.9, sum(rate(traces_spanmetrics_latency_bucket{{span_name=~\"{name}\"}}[5m])) by (le))"
        );
        let found = prometheus.query(&duration).await;
        assert!(found.len() == 1 && bucket.contains(&found[0].1), "{name}: {found:?}");
    }
}

/// `getFieldConfig` and `makeHistogramLink` (tempo/datasource.ts): what a click on a node or an edge opens.
async fn links(prometheus: &Prometheus) {
    for expression in [
        "sum by (client, server)(rate(traces_service_graph_request_total{client=\"web\",server=\"auth\"}[1m]))",
        "sum by (client, server)(rate(traces_service_graph_request_failed_total{client=\"web\",server=\"auth\"}[1m]))",
        "sum by (client, server, server_service_namespace)(rate(traces_service_graph_request_total{server=\"auth\",\
         server_service_namespace=\"shop\"}[1m]))",
    ] {
        assert_eq!(prometheus.query(expression).await.len(), 1, "{expression}");
    }
    let quantile = "histogram_quantile(0.9, sum(rate(traces_service_graph_request_server_seconds_bucket{client=\"web\",\
                    server=\"auth\"}[5m])) by (le, client, server))";
    let found = prometheus.query(quantile).await;
    assert!(found.len() == 1 && (0.002..0.004).contains(&found[0].1), "{found:?}");
}

/// What Grafana asks for dots on a graph.
async fn exemplars(prometheus: &Prometheus) {
    let (from, to) = ((now_s() - 300).to_string(), (now_s() + 1).to_string());
    let asked = [
        ("query", "traces_service_graph_request_server_seconds_bucket{server=\"auth\"}"),
        ("start", from.as_str()),
        ("end", to.as_str()),
    ];
    let answer = prometheus.ask("query_exemplars", &asked).await;
    let found = &answer["data"][0];
    assert_eq!(found["seriesLabels"]["le"], "0.004", "{answer:#}");
    let exemplar = &found["exemplars"][0];
    assert_eq!(
        (&exemplar["labels"]["trace_id"], &exemplar["value"]),
        (&TRACE.into(), &"0.003".into()),
        "{answer:#}"
    );
    assert_eq!(
        (found["exemplars"].as_array().unwrap().len(), &answer["data"][1]),
        (1, &serde_json::Value::Null)
    );
}

/// A token for one environment or namespace sees nothing of the others.
async fn only_what_is_allowed(bench: &Bench) {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"secret");
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    for (seq, limits, expected) in [
        (
            5,
            "environments = [\"staging\"]",
            &["client=\"user\",server=\"ledger\"", "span_name=\"GET /c\""][..],
        ),
        (6, "namespaces = [\"bank\"]", &["client=\"user\",server=\"ledger\"", "span_name=\"GET /c\""]),
        (7, "environments = [\"production\"]\nnamespaces = [\"bank\"]", &[]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.toml");
        let grant = format!("[[grant]]\nname = \"one\"\nrole = \"admin\"\n{limits}\n");
        let token = format!("[[token]]\nname = \"one\"\ngrant = \"one\"\nsha256 = \"{digest}\"\n");
        std::fs::write(&path, grant + &token).unwrap();
        let api = bench.start_with(|options| options.auth = Some(path)).await;
        bench.send("flow_deltas", &Deltas::commit(seq, &EDGES, &ENTRIES)).await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let ask = async |path: &str, token: &str| {
            let request = client.get(format!("{}{path}", api.url)).bearer_auth(token);
            let answer = request.header("accept", "application/openmetrics-text").send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        for token in ["", "guess"] {
            assert_eq!(ask("/metrics/graph", token).await.0, 401);
        }
        for tries in 0.. {
            if ask("/metrics", "secret").await.1.contains("\nweir_query_api_graph_series 10\n") {
                break;
            }
            assert!(tries < 100, "the commit did not arrive");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (status, page) = ask("/metrics/graph", "secret").await;
        assert_eq!(status, 200);
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            assert!(expected.iter().any(|part| line.contains(part)), "{limits}: {line}");
        }
        assert!(expected.iter().all(|part| page.contains(part)), "{limits}:\n{page}");
        assert!(page.ends_with("# EOF\n"), "{page}");
        api.stop().await;
    }
}
