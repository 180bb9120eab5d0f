//! The dashboards for Grafana: their form, and every question they ask, of a real Prometheus and a real ClickHouse.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod river;
mod scraper;

use process::{ClickHouseOptions, Health, KafkaOptions};
use river::{River, renamed, shifted, traces};
use scraper::Prometheus;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

const METRICS: &str = "weir-prometheus";
const TABLES: &str = "weir-clickhouse";

fn grafana(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/services/grafana").join(folder);
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> =
        files.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect();
    files.sort();
    files
}

fn dashboards() -> Vec<Value> {
    let dashboards: Vec<Value> = grafana("dashboards")
        .into_iter()
        .map(|(path, text)| serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}")))
        .collect();
    assert_eq!(dashboards.len(), 3);
    dashboards
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value:#}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value:#}"))
}

/// The uids that the files of `provisioning/datasources` give.
fn datasources() -> BTreeSet<String> {
    let files = grafana("provisioning/datasources");
    let lines = files.iter().flat_map(|(_, text)| text.lines());
    lines.filter_map(|line| line.trim().strip_prefix("uid: ")).map(str::to_owned).collect()
}

/// Every `datasource` in a dashboard, however deep.
fn asked_of<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("datasource"));
            fields.values().for_each(|value| asked_of(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| asked_of(value, found)),
        _ => {}
    }
}

/// Left, top, right and bottom in a grid of 24 columns.
fn place(panel: &Value) -> [i64; 4] {
    let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_i64().unwrap());
    assert!(w > 0 && h > 0 && x >= 0 && y >= 0 && x + w <= 24, "{panel:#}");
    [x, y, x + w, y + h]
}

/// What Grafana's dashboard kind asks of such a file (kinds/dashboard/dashboard_kind.cue), as far as these use it.
#[test]
fn dashboards_have_the_form_that_grafana_reads() {
    let known = datasources();
    assert!(known.contains(METRICS) && known.contains(TABLES), "{known:?}");
    let mut uids = BTreeSet::new();
    for dashboard in dashboards() {
        let title = text(&dashboard["title"]);
        assert!(
            uids.insert(text(&dashboard["uid"]).to_owned()) && text(&dashboard["uid"]).len() <= 40,
            "{title}"
        );
        assert!(dashboard["schemaVersion"].as_i64().unwrap() >= 36 && dashboard["id"].is_null(), "{title}");
        assert!(dashboard["time"]["from"].is_string() && dashboard["time"]["to"].is_string(), "{title}");
        let mut asked = Vec::new();
        asked_of(&dashboard, &mut asked);
        for datasource in asked {
            assert!(known.contains(text(&datasource["uid"])), "{title}: {datasource}");
            let kind =
                if datasource["uid"] == METRICS { "prometheus" } else { "grafana-clickhouse-datasource" };
            assert_eq!(datasource["type"], kind, "{title}");
        }
        let panels = list(&dashboard["panels"]);
        let ids: BTreeSet<i64> = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "{title}");
        for (at, panel) in panels.iter().enumerate() {
            let panel_title = text(&panel["title"]);
            assert!(panel["type"].is_string() && panel["options"].is_object(), "{panel_title}");
            let targets = list(&panel["targets"]);
            let names: BTreeSet<&str> = targets.iter().map(|target| text(&target["refId"])).collect();
            assert!(!targets.is_empty() && names.len() == targets.len(), "{title}: {panel_title}");
            let [left, top, right, bottom] = place(panel);
            for other in &panels[..at] {
                let [l, t, r, b] = place(other);
                let apart = right <= l || r <= left || bottom <= t || b <= top;
                assert!(apart, "{title}: {panel_title} lies over {}", other["title"]);
            }
        }
    }
}

/// A time range and what a user has chosen, to fill questions with as Grafana does.
struct Chosen {
    from_s: u64,
    to_s: u64,
    environment: String,
}

impl Chosen {
    /// Macros of grafana/clickhouse-datasource (pkg/macros/macros.go) and variables in the format `sqlstring`.
    fn sql(&self, question: &str) -> String {
        let (from, to) = (format!("toDateTime({})", self.from_s), format!("toDateTime({})", self.to_s));
        let mut sql = question.to_owned();
        while let Some((before, rest)) = sql.split_once("$__timeFilter(") {
            let (column, after) = rest.split_once(')').unwrap();
            sql = format!("{before}{column} >= {from} AND {column} <= {to}{after}");
        }
        let sql = sql.replace("$__fromTime", &from).replace("$__toTime", &to).replace("$__interval_s", "15");
        let sql = sql.replace("${environment:sqlstring}", &format!("'{}'", self.environment));
        let sql = sql.replace("${operation:sqlstring}", "'GET /a','GET /nobody asks'");
        assert!(!sql.contains('$'), "{sql}");
        sql
    }

    fn promql(&self, question: &str) -> String {
        let asked = question.replace("$__rate_interval", "2m").replace("$__range", "5m");
        let asked = asked.replace("$environment", &self.environment).replace("$service", ".*");
        assert!(!asked.contains('$'), "{asked}");
        asked
    }
}

/// What the analyst hears, asked as the plugin's client does (clickhouse-go over HTTP): it brings two settings along, one of
/// them the datasource's `queryTimeout` of 60 s and five more, less what has passed.
async fn asked_by_analyst(sql: &str) -> Vec<Value> {
    let (status, body) = analyst(sql, "max_execution_time=64&enable_http_compression=1").await;
    assert_eq!(status, 200, "{body}\n{sql}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    list(&answer["data"]).to_vec()
}

/// Ten visits of a page whose service calls another one, and that a database; two of them fail.
fn visits(environment: &str) -> Vec<opentelemetry_proto::tonic::trace::v1::TracesData> {
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let span = |id: &str, parent: &str, kind: u8, ms: u64, failed: bool, attributes: Vec<Value>| {
        json!({"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": id, "parentSpanId": parent, "name": "span",
            "kind": kind, "startTimeUnixNano": "1735689600000000000",
            "endTimeUnixNano": (1_735_689_600_000_000_000 + ms * 1_000_000).to_string(),
            "status": {"code": if failed { 2 } else { 0 }}, "attributes": attributes})
    };
    let resource = |service: &str, spans: Vec<Value>| {
        let attributes = [
            attribute("service.name", service),
            attribute("service.namespace", "shop"),
            attribute("deployment.environment.name", environment),
        ];
        json!({"resource": {"attributes": attributes}, "scopeSpans": [{"spans": spans}]})
    };
    let route = |route: &str| vec![attribute("http.request.method", "GET"), attribute("http.route", route)];
    let visit = |number: u64| {
        let failed = number < 2;
        let web = vec![
            span("0000000000000001", "", 2, 9, failed, route("/a")),
            span("0000000000000002", "0000000000000001", 3, 6, failed, Vec::new()),
        ];
        let database = [attribute("db.system.name", "postgresql"), attribute("server.address", "pg")];
        let pay = vec![
            span("0000000000000003", "0000000000000002", 2, 3, failed, route("/b")),
            span("0000000000000004", "0000000000000003", 3, 1, false, database.to_vec()),
        ];
        let request = json!({"resourceSpans": [resource("web", web), resource("pay", pay)]});
        let mut documents = [reader::decode_otlp_json(request.to_string().as_bytes()).unwrap()];
        renamed(&mut documents, 5_000 + number);
        shifted(&mut documents, Duration::ZERO);
        let [document] = documents;
        document
    };
    (0..10).map(visit).collect()
}

async fn analyst(sql: &str, settings: &str) -> (u16, String) {
    let url = std::env::var("WEIR_TEST_CLICKHOUSE").unwrap();
    let url = format!("{url}/?user=analyst&database=weir&default_format=JSON&{settings}");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.post(url).body(sql.to_owned()).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Nodes and edges hold together, and tell the truth of `visits`. Fields are those of `NodeGraphDataFrameFieldNames`
/// (grafana-data/src/utils/nodeGraph.ts); the query's name tells the panel what is what (nodeGraph/utils.ts).
fn check_graph(nodes: &[Value], edges: &[Value]) {
    let ids: BTreeSet<&str> = nodes.iter().map(|node| text(&node["id"])).collect();
    assert_eq!(ids.len(), nodes.len(), "{nodes:#?}");
    for node in nodes {
        assert!(
            node["title"].is_string() && node["subtitle"].is_string() && node["mainstat"].is_number(),
            "{node:#}"
        );
        let arcs = ["arc__success", "arc__failed"].map(|arc| node[arc].as_f64().unwrap());
        assert!((arcs[0] + arcs[1] - 1.0).abs() < 1e-9, "{node:#}");
    }
    let web = nodes.iter().find(|node| node["id"] == "shop/web").unwrap();
    assert_eq!((&web["detail__requests"], &web["arc__failed"]), (&json!(10), &json!(0.2)), "{web:#}");
    for edge in edges {
        assert!(ids.contains(text(&edge["source"])) && ids.contains(text(&edge["target"])), "{edge:#}");
        assert!(edge["id"].is_string() && edge["mainstat"].is_number(), "{edge:#}");
    }
    let counts: BTreeSet<(&str, i64, i64)> = edges
        .iter()
        .map(|edge| {
            let [calls, errors] =
                ["detail__calls", "detail__errors"].map(|field| edge[field].as_f64().unwrap() as i64);
            (text(&edge["target"]), calls, errors)
        })
        .collect();
    let database = edges.iter().find_map(|edge| text(&edge["target"]).strip_prefix("database:")).unwrap();
    let database = format!("database:{database}");
    assert_eq!(counts, [("shop/web", 10, 2), ("shop/pay", 10, 2), (database.as_str(), 10, 0)].into());
}

async fn ask_panel(panel: &Value, chosen: &Chosen, prometheus: &Prometheus) {
    let mut frames = Vec::new();
    for target in list(&panel["targets"]) {
        let what = format!("{}, {}", panel["title"], target["refId"]);
        if target["datasource"]["uid"] == METRICS {
            let expression = chosen.promql(text(&target["expr"]));
            let samples = prometheus.query(&expression).await;
            // NaN is what a graph shows nothing for.
            assert!(
                samples.iter().any(|(_, value)| value.is_finite() && *value > 0.0),
                "{what}: {expression}\n{samples:?}"
            );
        } else {
            let rows = asked_by_analyst(&chosen.sql(text(&target["rawSql"]))).await;
            assert!(!rows.is_empty(), "{what} has no rows");
            let is_series = target["format"] == 0;
            assert!(!is_series || rows[0]["time"].is_string(), "{what}: {:#}", rows[0]);
            frames.push(rows);
        }
    }
    if panel["type"] == "nodeGraph" {
        check_graph(&frames[0], &frames[1]);
    }
}

/// A query API of this test alone: in the one of the whole Weir other tests may have left no room for series.
async fn own_api() -> String {
    let variable = |name: &str| std::env::var(name).unwrap();
    let kafka = KafkaOptions::plaintext(variable("WEIR_TEST_KAFKA"));
    let clickhouse = ClickHouseOptions::local(variable("WEIR_TEST_CLICKHOUSE"));
    let mut options = query_api::Options::new(kafka, clickhouse);
    options.listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (url, health) = (format!("http://{}", options.listen), Health::new());
    tokio::spawn(query_api::run(options, health.clone(), CancellationToken::new()));
    let ready = tokio::time::timeout(Duration::from_secs(60), health.wait_ready()).await;
    assert!(ready.is_ok(), "not ready: {}", health.reasons());
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn every_question_of_the_dashboards_has_an_answer() {
    let Some(river) = River::new() else { return };
    let Some(prometheus) = Prometheus::scraping(&own_api().await).await else { return };
    let began_s = now_s();
    let environment = format!("dashboards-{began_s}");
    let documents = visits(&environment);
    for document in &documents {
        river.send(document).await;
    }
    let ids = traces(&documents);
    let closed = "SELECT count() FROM traces FINAL WHERE trace_id IN {traces:Array(String)}";
    river.until(closed, &ids, ids.len() as u64).await;
    let counted = format!("traces_service_graph_request_total{{environment=\"{environment}\"}} == 10");
    prometheus.until(&counted, |samples| samples.len() == 3).await;
    let stored = format!("SELECT toUInt64(sum(calls)) FROM edges_1m WHERE environment = '{environment}'");
    river.until(&stored, &[], 30).await;

    for lifted in ["max_execution_time=0", "max_execution_time=66", "max_memory_usage=0"] {
        let (status, refusal) = analyst("SELECT 1", lifted).await;
        assert_ne!(status, 200, "{lifted}: {refusal}");
    }
    let chosen = Chosen { from_s: began_s - 900, to_s: now_s() + 1, environment };
    for dashboard in dashboards() {
        for variable in list(&dashboard["templating"]["list"]) {
            let query = &variable["query"];
            if let Some(query) = query.as_str() {
                let rows = asked_by_analyst(&chosen.sql(query)).await;
                let found = rows.iter().any(|row| {
                    row.as_object()
                        .unwrap()
                        .values()
                        .any(|value| value == "GET /a" || *value == chosen.environment)
                });
                assert!(found, "{query}: {rows:?}");
            } else {
                let query = chosen.promql(text(&query["query"]));
                let inner =
                    query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
                let (series, label) = inner.rsplit_once(", ").unwrap();
                let path = format!("label/{label}/values");
                let answer = prometheus.ask(&path, &[("match[]", series)]).await;
                assert!(!list(&answer["data"]).is_empty(), "{query}: {answer:#}");
            }
        }
        for panel in list(&dashboard["panels"]) {
            ask_panel(panel, &chosen, &prometheus).await;
        }
    }
    assert_eq!(prometheus.complaints(), [""; 0]);
}
