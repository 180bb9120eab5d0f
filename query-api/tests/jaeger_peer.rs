//! A real Jaeger beside a whole Weir: both get the same spans and are asked the same questions, as Jaeger's user
//! interface and Grafana's datasource ask them, and their answers are compared by every value.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod river;

use loadtest::workload::Workload;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use reqwest::Client;
use river::{River, data, read, renamed, shifted, spans, traces};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Jaeger with its store in memory. It ends with this value.
struct Jaeger {
    process: Child,
    query: String,
    otlp: String,
    client: Client,
}

impl Drop for Jaeger {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Jaeger {
    /// `None`, and a line that says so, where there is none.
    async fn start() -> Option<Self> {
        let program = std::env::var_os("WEIR_TEST_JAEGER").filter(|path| std::path::Path::new(path).exists());
        let Some(program) = program else {
            println!(
                "skipped: a real Jaeger: WEIR_TEST_JAEGER is not set or missing (tools/install --tests builds it)"
            );
            return None;
        };
        // Held all at once, so that they differ.
        let listeners: Vec<_> = (0..7).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<_> = listeners.iter().map(|each| each.local_addr().unwrap().to_string()).collect();
        drop(listeners);
        let servers = [
            "query.http-server",
            "collector.otlp.http",
            "query.grpc-server",
            "collector.otlp.grpc",
            "collector.http-server",
            "collector.grpc-server",
            "admin.http",
        ];
        let flags = servers.iter().zip(&addresses).map(|(server, at)| format!("--{server}.host-port={at}"));
        let process = Command::new(program)
            .args(flags)
            .env("SPAN_STORAGE_TYPE", "memory")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let client = Client::builder().no_proxy().build().unwrap();
        let [query, otlp] = [0, 1].map(|at| format!("http://{}", addresses[at]));
        let jaeger = Self { process: process.unwrap(), query, otlp, client };
        jaeger.until("/api/services", |_| true).await;
        Some(jaeger)
    }

    async fn send(&self, document: &TracesData) {
        let request = self.client.post(format!("{}/v1/traces", self.otlp));
        let request = request.header("content-type", "application/x-protobuf").body(document.encode_to_vec());
        assert_eq!(request.send().await.unwrap().status(), 200);
    }

    async fn get(&self, path: &str) -> Option<(u16, Value)> {
        let answer = self.client.get(format!("{}{path}", self.query)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.ok()?))
    }

    async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        while !self.get(path).await.is_some_and(|(status, answer)| status == 200 && wanted(&answer)) {
            assert!(began.elapsed() < Duration::from_secs(60), "Jaeger doesn't answer {path} as it should");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Traces of other people and of the demo workload, with services of this run: what another test sends is not among
/// what these are asked about.
fn documents(run: &str) -> Option<Vec<TracesData>> {
    let mut documents = read(&data("hotrod/jaeger-span-2023-01-24.json")?);
    renamed(&mut documents, 5_000);
    let mut made = Vec::new();
    for flow in Workload::new(11, 20.0).take(30) {
        for span in flow.spans {
            let request =
                loadtest::otlp::request(&span.emitter, std::slice::from_ref(&span), 1_790_000_000_000_000);
            made.push(TracesData { resource_spans: request.resource_spans });
        }
    }
    renamed(&mut made, 5_001);
    documents.extend(made);
    shifted(&mut documents, Duration::ZERO);
    for resource in documents.iter_mut().flat_map(|document| &mut document.resource_spans) {
        let attributes = &mut resource.resource.as_mut()?.attributes;
        as_otlp(attributes);
        for attribute in attributes.iter_mut().filter(|attribute| attribute.key == "service.name") {
            if let Some(Any::StringValue(name)) =
                attribute.value.as_mut().and_then(|value| value.value.as_mut())
            {
                *name = format!("{run}{name}");
            }
        }
        for span in resource.scope_spans.iter_mut().flat_map(|scope| &mut scope.spans) {
            as_otlp(&mut span.attributes);
            span.events.iter_mut().for_each(|event| as_otlp(&mut event.attributes));
        }
    }
    Some(documents)
}

/// Without what Jaeger's own formats say in attributes: Jaeger doesn't expect it in OTLP, where fields say it.
fn as_otlp(attributes: &mut Vec<KeyValue>) {
    let names = ["span.kind", "error", "event", "hostname", "jaeger.version"];
    attributes.retain(|attribute| !names.contains(&attribute.key.as_str()));
}

/// A text of any value: Weir's store keeps no other types.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value[name].as_array().unwrap_or_else(|| panic!("{name} is no list in {value:#}")).iter()
}

fn sorted(values: impl Iterator<Item = Value>) -> Value {
    let mut values: Vec<Value> = values.collect();
    values.sort_by_key(Value::to_string);
    values.into()
}

/// Tags by name, as texts.
fn tags(holder: &Value, name: &str) -> Value {
    sorted(list(holder, name).map(|tag| json!([tag["key"], text(&tag["value"])])))
}

/// Spans of the older API, without what may differ: the order of lists, how processes are named, types of values.
fn legacy(answer: &Value) -> Value {
    let span = |trace: &Value, span: &Value| {
        let process = &trace["processes"][span["processID"].as_str().unwrap()];
        let logs = list(span, "logs").map(|log| json!([log["timestamp"], tags(log, "fields")]));
        let mut fields = span.as_object().unwrap().clone();
        fields.remove("processID");
        fields.insert("process".into(), json!([process["serviceName"], tags(process, "tags")]));
        fields.insert("tags".into(), tags(span, "tags"));
        fields.insert("references".into(), sorted(list(span, "references").cloned()));
        fields.insert("logs".into(), sorted(logs));
        Value::from(fields)
    };
    let traces = list(answer, "data");
    let spans = traces.flat_map(|trace| {
        list(trace, "spans").map(move |each| json!([span(trace, each), trace["warnings"]]))
    });
    sorted(spans)
}

/// Spans of the newer API with their resource and scope, in the same way; what is a default may be missing.
fn otlp(answer: &Value) -> Value {
    let attributes = |holder: &Value| {
        let all = holder["attributes"].as_array().cloned().unwrap_or_default();
        // Jaeger's own model has kinds of links, which OTLP hasn't.
        let all = all.iter().filter(|each| each["key"] != "opentracing.ref_type");
        let value = |each: &Value| each["value"].as_object().unwrap().values().map(text).next();
        sorted(all.map(|each| json!([each["key"], value(each)])))
    };
    let plain = |value: &Value| -> Value {
        let mut fields = value.as_object().cloned().unwrap_or_default();
        fields.insert("attributes".into(), attributes(value));
        fields.retain(|_, value| ![json!(""), json!(0), json!([]), json!({})].contains(value));
        fields.into()
    };
    let mut found = Vec::new();
    for resource in list(&answer["result"], "resourceSpans") {
        for scope in list(resource, "scopeSpans") {
            for span in list(scope, "spans") {
                let mut span = span.clone();
                for part in ["events", "links"] {
                    let parts = span[part].as_array().cloned().unwrap_or_default();
                    span[part] = sorted(parts.iter().map(plain));
                }
                span["status"] = plain(&span["status"]);
                found.push(json!([plain(&resource["resource"]), plain(&scope["scope"]), plain(&span)]));
            }
        }
    }
    sorted(found.into_iter())
}

/// The list of an answer of either API, in any order.
fn names(answer: &Value) -> Value {
    let lists = ["data", "services", "operations"].map(|name| answer[name].as_array());
    let list = lists.into_iter().flatten().next().unwrap_or_else(|| panic!("no list: {answer:#}"));
    let filled = |each: &Value| match each.get("name") {
        // The newer API's JSON leaves out what is empty.
        Some(name) => json!({"name": name, "spanKind": each["spanKind"].as_str().unwrap_or_default()}),
        None => each.clone(),
    };
    sorted(list.iter().map(filled))
}

/// The same of services, or of what they call, without those of other tests: names join services of any of them.
fn of_run(run: &str) -> impl Fn(&Value) -> Value + '_ {
    move |answer: &Value| {
        let is_ours = |name: &Value| name.as_str().is_some_and(|name| name.starts_with(run));
        let ours = |each: &&Value| is_ours(each) || is_ours(&each["parent"]) && is_ours(&each["child"]);
        names(answer).as_array().unwrap().iter().filter(ours).cloned().collect()
    }
}

/// Services with the services that take messages of theirs.
fn asynchronous(documents: &[TracesData]) -> BTreeSet<(String, String)> {
    let mut services = BTreeMap::new();
    let mut messages = Vec::new();
    for resource in documents.iter().flat_map(|document| &document.resource_spans) {
        let attributes = resource.resource.iter().flat_map(|resource| &resource.attributes);
        let mut names = attributes.filter(|attribute| attribute.key == "service.name");
        let name = names.find_map(|attribute| match attribute.value.as_ref()?.value.as_ref()? {
            Any::StringValue(name) => Some(name.clone()),
            _ => None,
        });
        let name = name.unwrap();
        for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
            services.insert((&span.trace_id, &span.span_id), name.clone());
            if span.kind() == SpanKind::Consumer {
                messages.push(((&span.trace_id, &span.parent_span_id), name.clone()));
            }
        }
    }
    messages.into_iter().filter_map(|(parent, child)| Some((services.get(&parent)?.clone(), child))).collect()
}

/// Dependencies but for these.
fn without<'a>(
    pairs: &'a BTreeSet<(String, String)>,
    seen: impl Fn(&Value) -> Value + 'a,
) -> impl Fn(&Value) -> Value + 'a {
    move |answer: &Value| {
        let pair = |each: &Value| (text(&each["parent"]), text(&each["child"]));
        let all = seen(answer);
        all.as_array().unwrap().iter().filter(|each| !pairs.contains(&pair(each))).cloned().collect()
    }
}

/// What says no, but for the sentence.
fn refusal(answer: &Value) -> Value {
    let mut answer = answer.clone();
    for place in ["/errors/0/msg", "/error/message"] {
        if let Some(message) = answer.pointer_mut(place) {
            assert!(message.as_str().is_some_and(|text| !text.is_empty()), "{answer:#}");
            *message = Value::Null;
        }
    }
    answer
}

struct Both {
    jaeger: Jaeger,
    river: River,
    /// How their answers differ.
    differences: Mutex<Vec<String>>,
}

impl Both {
    /// Asks both, and notes where what `seen` sees differs; gives how much it sees in Jaeger's answer.
    async fn ask(&self, path: &str, seen: impl Fn(&Value) -> Value) -> usize {
        let (status, theirs) = self.jaeger.get(path).await.unwrap_or_else(|| panic!("no answer to {path}"));
        let (our_status, ours) = self.river.get(&format!("/jaeger{path}")).await;
        if our_status != status {
            let difference = format!("{path}: {our_status} {ours:#} instead of {status} {theirs:#}");
            self.differences.lock().unwrap().push(difference);
            return 0;
        }
        let (ours, theirs) = (seen(&ours), seen(&theirs));
        if ours != theirs {
            let lines = |value: &Value| -> BTreeSet<String> {
                let each = |each: &Value| serde_json::to_string(each).unwrap();
                value.as_array().map_or_else(|| [each(value)].into(), |all| all.iter().map(each).collect())
            };
            let (ours, theirs) = (lines(&ours), lines(&theirs));
            self.differences.lock().unwrap().push(format!(
                "{path}\nonly Jaeger: {:#?}\nonly Weir: {:#?}",
                theirs.difference(&ours).take(2).collect::<Vec<_>>(),
                ours.difference(&theirs).take(2).collect::<Vec<_>>()
            ));
        }
        theirs.as_array().map_or(1, Vec::len)
    }
}

/// Services with the names of their spans, as Jaeger knows them.
async fn known(jaeger: &Jaeger) -> BTreeMap<String, BTreeSet<String>> {
    let mut known = BTreeMap::new();
    let (_, services) = jaeger.get("/api/services").await.unwrap();
    for service in list(&services, "data").map(text) {
        let (_, names) = jaeger.get(&format!("/api/services/{service}/operations")).await.unwrap();
        known.insert(service, list(&names, "data").map(text).collect());
    }
    known
}

/// As it stands in a query.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn weir_answers_what_jaeger_answers() {
    let Some(river) = River::new() else { return };
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let run = format!("j{}-", now().as_micros());
    let Some(documents) = documents(&run) else { return };
    let Some(jaeger) = Jaeger::start().await else { return };
    let ids = traces(&documents);
    let count = documents.iter().flat_map(spans).count();
    for document in &documents {
        river.send(document).await;
        jaeger.send(document).await;
    }
    let all = ids.iter().map(|id| format!("traceID={id}")).collect::<Vec<_>>().join("&");
    let spans_of =
        |answer: &Value| list(answer, "data").map(|trace| list(trace, "spans").count()).sum::<usize>();
    jaeger.until(&format!("/api/traces?{all}"), |answer| spans_of(answer) == count).await;
    river.until_stored(&documents).await;
    let closed = "SELECT uniqExact(trace_id) FROM traces WHERE trace_id IN {traces:Array(String)}";
    river.until(closed, &ids, ids.len() as u64).await;
    let both = Both { jaeger, river, differences: Mutex::default() };
    let known = known(&both.jaeger).await;

    // JaegerAPI.fetchServices, fetchServiceOperations and fetchServiceServerOps; JaegerClient.fetchServices and
    // fetchSpanNames of Jaeger's user interface. Grafana's JaegerClient.Services and Operations.
    assert_eq!(both.ask("/api/services", of_run(&run)).await, known.len());
    both.ask("/api/v3/services", of_run(&run)).await;
    for service in known.keys() {
        for path in [
            format!("/api/services/{service}/operations"),
            format!("/api/operations?service={service}"),
            format!("/api/operations?service={service}&spanKind=server"),
            format!("/api/v3/operations?service={service}"),
            format!("/api/v3/operations?service={service}&span_kind=client"),
        ] {
            both.ask(&path, names).await;
        }
    }

    // fetchTrace of both; raw, because Jaeger puts clocks right and Weir shows what hosts wrote.
    let mut spans_compared = 0;
    for id in &ids {
        both.ask(&format!("/api/traces/{id}?raw=true"), legacy).await;
        spans_compared += both.ask(&format!("/api/v3/traces/{id}?raw_traces=true"), otlp).await;
    }

    both.ask(&format!("/api/traces?traceID={}&traceID={}&raw=true", ids[0], ids[1]), legacy).await;

    // searchTraces of Jaeger's user interface before 2.19, and Grafana's JaegerClient.Search.
    let end = u64::try_from(now().as_micros()).unwrap();
    let range = format!("start={}&end={end}&limit=500&lookback=custom&raw=true", end - 3_600_000_000);
    let mut found = BTreeMap::new();
    for (service, operations) in &known {
        let search = format!("/api/traces?service={service}&{range}");
        let mut narrower = vec![
            String::new(),
            "&minDuration=20ms".into(),
            "&maxDuration=20ms".into(),
            "&minDuration=1ms&maxDuration=0.1s".into(),
            "&tag=error:true".into(),
            format!("&tags={}", encoded(r#"{"span.kind":"server"}"#)),
            format!("&tags={}", encoded(r#"{"span.kind":"client","error":"true"}"#)),
            format!("&tags={}", encoded(r#"{"http.method":"GET","http.status_code":"200"}"#)),
            format!("&tags={}", encoded(r#"{"http.method":"nothing"}"#)),
        ];
        narrower.extend(operations.iter().map(|name| format!("&operation={}", encoded(name))));
        for more in narrower {
            let traces = both.ask(&format!("{search}{more}"), legacy).await;
            *found.entry(more.split('=').next().unwrap_or_default().to_owned()).or_insert(0) += traces;
        }
        let time = |us: u64| jiff::Timestamp::from_microsecond(i64::try_from(us).unwrap()).unwrap();
        let (min, max) = (time(end - 3_600_000_000), time(end));
        for more in ["", "&query.duration_min=20ms", "&query.duration_max=0.02s"] {
            let path = format!(
                "/api/v3/traces?query.service_name={service}&query.start_time_min={min}&query.start_time_max={max}\
                 &query.num_traces=500&query.raw_traces=true{more}"
            );
            let is_there = both.jaeger.get(&path).await.unwrap().0 == 200;
            both.ask(&path, |answer| if is_there { otlp(answer) } else { refusal(answer) }).await;
        }
    }
    println!("{count} spans of {} services; spans found: {found:?}", known.len());

    // fetchDependencies. Where Jaeger shows a call, Weir shows the topic that the message went through.
    let asynchronous = asynchronous(&documents);
    let end_ms = now().as_millis() + 1_000;
    let edges = both
        .ask(
            &format!("/api/dependencies?endTs={end_ms}&lookback=3600000"),
            without(&asynchronous, of_run(&run)),
        )
        .await;

    for path in [
        "/api/traces/ffff",
        "/api/traces/xyz",
        "/api/traces/1?start=soon",
        "/api/traces/1?raw=maybe",
        "/api/traces",
        "/api/traces?traceID=xyz",
        "/api/traces?service=a&limit=x",
        "/api/traces?service=a&start=soon",
        "/api/traces?service=a&minDuration=long",
        "/api/traces?service=a&minDuration=2s&maxDuration=1s",
        "/api/traces?service=a&tags=%7B",
        "/api/traces?service=a&tag=b",
        "/api/operations",
        "/api/dependencies?endTs=soon",
        "/api/v3/traces/ffff",
        "/api/v3/traces/xyz",
        "/api/v3/traces/1?raw_traces=maybe",
        "/api/v3/traces?query.service_name=a&query.start_time_min=soon&query.start_time_max=soon",
        "/api/v3/traces?query.service_name=a&query.start_time_min=2026-01-01T00:00:00Z&\
         query.start_time_max=2026-01-01T00:00:01Z",
    ] {
        both.ask(path, refusal).await;
    }
    let unknown = format!("/api/traces?traceID={}", "f".repeat(32));
    both.ask(&unknown, |answer| json!([answer["data"], answer["errors"][0]["traceID"]])).await;
    for nothing in ["/api/traces?service=nobody", "/api/operations?service=nobody"] {
        both.ask(nothing, Value::clone).await;
    }

    let differences = both.differences.into_inner().unwrap();
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    assert_eq!(spans_compared, count);
    assert!(edges > 3, "{edges} dependencies");
    assert!(found.values().all(|traces| *traces > 0), "a kind of search has found nothing: {found:?}");
}
