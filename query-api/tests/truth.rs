//! The demo workload goes through a whole Weir, and lists, errors, differences and sequences say what its stories mean.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod river;

use loadtest::workload::{Flow, Status, Workload};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use river::{River, hex, renamed, shifted, spans, traces};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What was sent: a document a flow, in environments that nobody else uses.
struct Sent {
    flows: Vec<Flow>,
    documents: Vec<TracesData>,
    suffix: String,
}

impl Sent {
    fn new() -> Self {
        let run = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        let flows: Vec<Flow> = Workload::new(11, 20.0).take(150).collect();
        let mut documents: Vec<TracesData> = flows.iter().map(document).collect();
        renamed(&mut documents, 77);
        shifted(&mut documents, Duration::ZERO);
        let suffix = format!("-{run}");
        documents.iter_mut().for_each(|document| rename_environment(document, &suffix));
        Self { flows, documents, suffix }
    }

    /// Flows that count by default, with their ids.
    fn known(&self) -> impl Iterator<Item = (&Flow, &TracesData)> {
        self.flows.iter().zip(&self.documents).filter(|(flow, _)| flow.operation != "__probe__")
    }

    fn environment(&self, flow: &Flow) -> String {
        format!("{}{}", flow.environment.name(), self.suffix)
    }

    fn ids(&self, wanted: impl Fn(&Flow, &TracesData) -> bool) -> BTreeSet<String> {
        self.known()
            .filter(|(flow, document)| wanted(flow, document))
            .map(|(_, document)| id(document))
            .collect()
    }
}

fn document(flow: &Flow) -> TracesData {
    let requests = flow.spans.iter().map(|span| {
        loadtest::otlp::request(&span.emitter, std::slice::from_ref(span), 1_790_000_000_000_000)
    });
    TracesData { resource_spans: requests.flat_map(|request| request.resource_spans).collect() }
}

fn rename_environment(document: &mut TracesData, suffix: &str) {
    let resources = document.resource_spans.iter_mut().filter_map(|resource| resource.resource.as_mut());
    for attribute in resources.flat_map(|resource| &mut resource.attributes) {
        if attribute.key.starts_with("deployment.environment")
            && let Some(Attribute::StringValue(name)) =
                attribute.value.as_mut().and_then(|value| value.value.as_mut())
        {
            name.push_str(suffix);
        }
    }
}

fn id(document: &TracesData) -> String {
    hex(&spans(document).next().unwrap().trace_id)
}

fn services(document: &TracesData) -> BTreeSet<String> {
    let resources = document.resource_spans.iter().filter_map(|resource| resource.resource.as_ref());
    let names = resources
        .flat_map(|resource| &resource.attributes)
        .filter(|attribute| attribute.key == "service.name");
    names
        .map(|attribute| match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Attribute::StringValue(name)) => name.clone(),
            other => panic!("{other:?} is no name"),
        })
        .collect()
}

/// All ids of a list, page by page, and its total.
async fn listed(river: &River, path: &str, list: &str) -> (BTreeSet<String>, u64) {
    let (mut ids, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let (status, answer) = river.get(&format!("{path}&pageSize=7{cursor}")).await;
        assert_eq!(status, 200, "{path}: {answer:#}");
        for each in answer[list].as_array().unwrap() {
            assert!(ids.insert(each["traceId"].as_str().unwrap().to_owned()), "twice: {each:#}");
        }
        match answer["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (ids, answer["total"].as_u64().unwrap()),
        }
    }
}

/// A page in a browser: a client, and no service that a flow goes through.
const CLIENT: &str = "console-web";

async fn compare_lists(river: &River, sent: &Sent) {
    let environments: BTreeSet<String> = sent.flows.iter().map(|flow| sent.environment(flow)).collect();
    let operations: BTreeSet<&str> = sent.known().map(|(flow, _)| flow.operation.as_str()).collect();
    for environment in &environments {
        let here = |flow: &Flow| sent.environment(flow) == *environment;
        for list in ["flows", "traces"] {
            let path = format!("/api/v1/{list}?window=1h&environment={environment}");
            let wanted = |ids: BTreeSet<String>| (ids.clone(), ids.len() as u64);
            assert_eq!(listed(river, &path, list).await, wanted(sent.ids(|flow, _| here(flow))), "{path}");
            for operation in &operations {
                for status in ["success", "error", "timeout"] {
                    let path = format!("{path}&operation={operation}&status={status}");
                    let ids = sent.ids(|flow, _| {
                        here(flow) && flow.operation == *operation && flow.status.as_str() == status
                    });
                    assert_eq!(listed(river, &path, list).await, wanted(ids), "{path}");
                }
            }
        }
    }
    let production = format!("production{}", sent.suffix);
    let here = |flow: &Flow| sent.environment(flow) == production;
    let mut services_of_all: BTreeSet<String> =
        sent.known().flat_map(|(_, document)| services(document)).collect();
    assert!(services_of_all.remove(CLIENT), "{services_of_all:?}");
    for service in services_of_all {
        let path = format!("/api/v1/flows?window=1h&environment={production}&service={service}");
        let ids = sent.ids(|flow, document| here(flow) && services(document).contains(&service));
        assert_eq!(listed(river, &path, "flows").await.0, ids, "{path}");
        let path =
            format!("/api/v1/traces?window=1h&environment={production}&attribute=service.name:{service}");
        assert_eq!(listed(river, &path, "traces").await.0, ids, "{path}");
    }
}

/// Statistics of flows are those of the rollups where these know them too, and of what is listed where they don't.
async fn compare_statistics(river: &River, sent: &Sent) {
    let environments: BTreeSet<String> = sent.flows.iter().map(|flow| sent.environment(flow)).collect();
    let totals = async |path: String| {
        let (status, answer) = river.get(&path).await;
        assert_eq!(status, 200, "{path}: {answer:#}");
        let mut totals = answer["totals"].clone();
        // One range ends with the second, the other now.
        totals.as_object_mut().unwrap().remove("rate");
        totals
    };
    for environment in &environments {
        let operations = sent.known().filter(|(flow, _)| sent.environment(flow) == *environment);
        let operations: BTreeSet<&str> = operations.map(|(flow, _)| flow.operation.as_str()).collect();
        let named = operations.iter().map(|operation| format!("&operation={operation}"));
        for operation in named.chain([String::new(), "&probes=true".to_owned()]) {
            let which = format!("window=1h&environment={environment}{operation}");
            assert_eq!(
                totals(format!("/api/v1/statistics?{which}")).await,
                totals(format!("/api/v1/graph?{which}")).await,
                "{which}"
            );
        }
    }
    let production = format!("production{}", sent.suffix);
    let here = |flow: &Flow| sent.environment(flow) == production;
    for (filter, among) in [
        ("service=auth-service", &["auth-service"][..]),
        ("service=billing-service&namespace=billing", &["billing-service"]),
        ("service=billing-service&namespace=compute", &[]),
        ("namespace=compute", &["vm-service", "scheduler-service"]),
        ("namespace=identity", &["auth-service", "user-service", "session-service"]),
        // Flows begin in its browser.
        ("service=console-web", &[CLIENT]),
    ] {
        for status in ["success", "error", "timeout"] {
            let ids = sent.ids(|flow, document| {
                let touches = |service: &&str| services(document).contains(*service);
                here(flow) && flow.status.as_str() == status && among.iter().any(touches)
            });
            let which = format!("window=1h&environment={production}&{filter}&status={status}");
            let found = totals(format!("/api/v1/statistics?{which}")).await;
            assert_eq!(found["flowCount"], ids.len(), "{which}");
        }
    }
}

async fn compare_errors(river: &River, sent: &Sent) {
    let production = format!("production{}", sent.suffix);
    let mut wanted: BTreeMap<String, i64> = BTreeMap::new();
    for (flow, _) in sent.known().filter(|(flow, _)| sent.environment(flow) == production) {
        let failed = flow.spans.iter().filter(|span| span.status == Status::Error).count();
        *wanted.entry(flow.operation.clone()).or_default() += i64::try_from(failed).unwrap();
    }
    wanted.retain(|_, count| *count > 0);
    let answer = river.get(&format!("/api/v1/errors?window=1h&environment={production}")).await.1;
    let mut found: BTreeMap<String, i64> = BTreeMap::new();
    for group in answer["errors"].as_array().unwrap() {
        let count = group["count"].as_i64().unwrap();
        let trend: i64 = group["trend"].as_array().unwrap().iter().map(|step| step.as_i64().unwrap()).sum();
        assert_eq!(trend, count, "{group:#}");
        *found.entry(group["operation"].as_str().unwrap().to_owned()).or_default() += count;
    }
    assert_eq!((&found, &answer["truncated"]), (&wanted, &json!(false)), "{answer:#}");
    assert_eq!(answer["total"], wanted.values().sum::<i64>());
}

async fn compare_difference(river: &River, sent: &Sent) {
    let production = format!("production{}", sent.suffix);
    let here = |flow: &Flow| sent.environment(flow) == production;
    let is_login = |flow: &Flow| flow.operation == "login";
    let logins = sent.ids(|flow, _| here(flow) && is_login(flow)).len();
    let others = sent.ids(|flow, _| here(flow) && !is_login(flow)).len();
    let question = json!({"selection": {"window": "1h", "environment": production, "operation": "login"},
        "baseline": {"environment": production}});
    let answer = river.post("/api/v1/diff", &question).await.1;
    for (side, many) in [("selection", logins), ("baseline", others)] {
        assert_eq!(answer[side], json!({"flows": many, "sampled": many}), "{answer:#}");
    }
    for service in answer["services"].as_array().unwrap() {
        let with = |flow: &Flow, document: &TracesData| {
            here(flow) && services(document).contains(service["key"].as_str().unwrap())
        };
        let selected = sent.ids(|flow, document| with(flow, document) && is_login(flow)).len();
        let other = sent.ids(|flow, document| with(flow, document) && !is_login(flow)).len();
        assert_eq!(
            (&service["selectionCount"], &service["baselineCount"]),
            (&json!(selected), &json!(other)),
            "{service:#}"
        );
    }
}

/// Calls by caller and callee.
fn counted<'a>(calls: impl Iterator<Item = (&'a Value, &'a Value, i64)>) -> BTreeMap<(String, String), i64> {
    let mut found = BTreeMap::new();
    for (from, to, many) in calls {
        let (Some(from), Some(to)) = (from.as_str(), to.as_str()) else { continue };
        *found.entry((from.to_owned(), to.to_owned())).or_default() += many;
    }
    found
}

/// Every call of the graph is in the sequence, but those of users, who have no span, and those that a breaker kept back.
async fn compare_sequences(river: &River, sent: &Sent) {
    for (_, document) in sent.known().take(60) {
        let (status, answer) = river.get(&format!("/api/v1/flows/{}", id(document))).await;
        assert_eq!(status, 200, "{answer:#}");
        let edges = answer["graph"]["edges"].as_array().unwrap().iter();
        let edges = edges
            .filter(|edge| edge["rejected"] == 0 && !edge["from"].as_str().unwrap().starts_with("user:"));
        let edges =
            counted(edges.map(|edge| (&edge["from"], &edge["to"], edge["callCount"].as_i64().unwrap())));
        let calls = answer["sequence"].as_array().unwrap();
        let told = counted(calls.iter().map(|call| (&call["from"], &call["to"], 1)));
        let of_graph: BTreeMap<_, _> =
            told.into_iter().filter(|(ends, _)| edges.contains_key(ends)).collect();
        assert_eq!(of_graph, edges, "{answer:#}");
        let mut depth = 0;
        for (number, call) in (1..).zip(calls) {
            let deeper = call["depth"].as_i64().unwrap();
            assert!(call["number"] == number && deeper <= depth + 1, "{call:#}");
            depth = deeper;
        }
    }
}

/// Once everything is stored the answer says so: the marker at the end of each partition is no flow that is missing.
async fn wait_until_fresh(river: &River) {
    let is_stored =
        |shards: &Value| shards.as_object().unwrap().values().all(|shard| shard["behindSeconds"] == 0.0);
    let mut staleness = Value::Null;
    for _ in 0..100 {
        staleness = river.get("/api/v1/errors").await.1["staleness"].clone();
        if staleness["fresh"] == true && is_stored(&staleness["flows"]) && is_stored(&staleness["spans"]) {
            assert_ne!(staleness["flows"], json!({}), "{staleness:#}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("not fresh: {staleness:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_errors_differences_and_sequences_are_what_the_stories_mean() {
    let Some(river) = River::new() else { return };
    let sent = Sent::new();
    for document in &sent.documents {
        river.send(document).await;
    }
    let ids = traces(&sent.documents);
    river.until_stored(&sent.documents).await;
    let closed = "SELECT count() FROM traces FINAL WHERE trace_id IN {traces:Array(String)}";
    river.until(closed, &ids, ids.len() as u64).await;
    wait_until_fresh(&river).await;
    compare_lists(&river, &sent).await;
    compare_statistics(&river, &sent).await;
    compare_errors(&river, &sent).await;
    compare_difference(&river, &sent).await;
    compare_sequences(&river, &sent).await;
}
