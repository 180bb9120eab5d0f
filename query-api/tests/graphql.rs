//! GraphQL over the real log and the real tables: questions, limits, and subscriptions over graphql-transport-ws.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use futures_util::{SinkExt, StreamExt};
use schemas::v1::FlowEvent;
use serde_json::{Value, json};
use std::time::Duration;
use support::{Api, Bench, logins, now_s};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

async fn ask(api: &Api, query: &str) -> Value {
    let (status, answer) = api.post("/graphql", &json!({"query": query})).await;
    assert_eq!(status, 200, "{answer:#}");
    answer
}

fn message(answer: &Value) -> &str {
    answer["errors"][0]["message"].as_str().unwrap_or_else(|| panic!("no error: {answer:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_answers_are_named_by_the_asker() {
    let Some(bench) = Bench::new("graphql").await else { return };
    bench.commit(1, &[logins(now_s(), 3)]).await;
    let api = bench.start().await;
    let answer = ask(
        &api,
        r#"{ dependencies(operation: "login", environment: "production", window: "5m") {
            source edges { from to callCount p95Latency } nodes { id status kind metrics { requestCount } }
            totals { flowCount p95Latency } staleness { fresh } } }"#,
    )
    .await;
    let graph = &answer["data"]["dependencies"];
    let edge = json!({"from": "web", "to": "auth", "callCount": 3, "p95Latency": 0.1});
    assert_eq!(
        (&graph["edges"], &graph["totals"], &graph["staleness"]),
        (&json!([edge]), &json!({"flowCount": 3, "p95Latency": 0.1}), &json!({"fresh": true})),
        "{answer:#}"
    );
    let auth = json!({"id": "auth", "status": "healthy", "kind": "service", "metrics": {"requestCount": 3}});
    assert_eq!(graph["nodes"][0], auth, "{answer:#}");

    let answer =
        ask(&api, r#"{ operations(environment: "production") { name count lastSeen avgLatency } }"#).await;
    let operation = &answer["data"]["operations"][0];
    assert_eq!(
        (&operation["name"], &operation["count"], &operation["avgLatency"]),
        (&"login".into(), &3.into(), &0.1.into())
    );
    assert!(operation["lastSeen"].as_i64().unwrap() > i64::from(u32::MAX), "a Long");

    let query = r#"{ flow(flowId: "ab") { id } trace(traceId: "ab") { id } service(name: "nobody") { id }
        operation(name: "nothing") { name } }"#;
    let answer = ask(&api, query).await;
    assert_eq!(
        (&answer["data"], &answer["errors"]),
        (&json!({"flow": null, "trace": null, "service": null, "operation": null}), &Value::Null),
        "{answer:#}"
    );

    let query = r#"{ one: operation(name: "login") { name count errorRate avgLatency } services { name }
        operations { name } }"#;
    let answer = ask(&api, query).await;
    let login = json!({"name": "login", "count": 3, "errorRate": 0.0, "avgLatency": 0.1});
    assert_eq!(answer["data"]["one"], login, "{answer:#}");
    for field in ["one", "services", "operations"] {
        let staleness = &answer["extensions"]["staleness"][field];
        assert_eq!(staleness["fresh"], true, "{field}: {answer:#}");
    }
    assert_eq!(ask(&api, "{ __typename }").await["extensions"], Value::Null, "of no answer");
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_have_limits() {
    let Some(bench) = Bench::new("graphql_limits").await else { return };
    let api = bench.start().await;
    let many: String = (0..40).map(|at| format!("q{at}: operations {{ name }} ")).collect();
    assert!(message(&ask(&api, &format!("{{ {many} }}")).await).contains("16 questions"));
    let fields: String = (0..1_100).map(|at| format!("f{at}: name ")).collect();
    assert!(message(&ask(&api, &format!("{{ operations {{ {fields} }} }}")).await).contains("complex"));
    let nested = |levels| {
        let (open, close) = ("{ fields { type ".repeat(levels), " } }".repeat(levels));
        format!("{{ __type(name: \"Flow\") {open}{{ name }}{close} }}")
    };
    assert!(message(&ask(&api, &nested(10)).await).contains("deep"));
    assert_eq!(ask(&api, &nested(3)).await["errors"], Value::Null);
    let bomb = format!("{}{}", "{ a ".repeat(20_000), "}".repeat(20_000));
    let (status, refused) = api.post("/graphql", &json!({"query": bomb})).await;
    assert_eq!((status, &refused["code"]), (413, &"too_large".into()), "a problem document: {refused:#}");
    let bomb = format!("{}{}", "{ a ".repeat(5_000), "}".repeat(5_000));
    assert!(!message(&ask(&api, &bomb).await).is_empty());
    // A fragment that contains itself.
    assert!(!message(&ask(&api, "{ ...a } fragment a on Query { ...a }").await).is_empty());
    for refused in ["{ operations(window: \"fortnight\") { name } }", "{ nothing }", "{", "mutation { a }"] {
        assert!(!message(&ask(&api, refused).await).is_empty(), "{refused}");
    }
    assert_eq!(api.post("/graphql", &json!([1])).await.0, 400);
    assert_eq!(ask(&api, "{ __typename }").await["data"]["__typename"], "Query", "it still answers");
    api.stop().await;
    bench.drop().await;
}

struct Subscriber(
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>,
);

impl Subscriber {
    async fn open(api: &Api) -> Self {
        let mut request =
            format!("{}/graphql", api.url.replacen("http", "ws", 1)).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        let mut subscriber = Self(connect_async(request).await.unwrap().0);
        subscriber.say(&json!({"type": "connection_init"})).await;
        assert_eq!(subscriber.hear().await["type"], "connection_ack");
        subscriber
    }

    async fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        loop {
            let message =
                tokio::time::timeout(Duration::from_secs(10), self.0.next()).await.expect("in time");
            if let Message::Text(text) = message.unwrap().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    async fn until(&mut self, field: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..100 {
            let message = self.hear().await;
            let value = &message["payload"]["data"][field];
            assert_eq!(message["type"], "next", "{message:#}");
            if wanted(value) {
                return value.clone();
            }
        }
        panic!("{field} did not become what was wanted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_tell_what_changes() {
    let Some(bench) = Bench::new("graphql_live").await else { return };
    bench.commit(1, &[logins(now_s(), 3)]).await;
    let api = bench.start().await;
    let mut graph = Subscriber::open(&api).await;
    let query = r#"subscription { graphDelta(operation: "login") { snapshot asOf edges { to callCount } removedNodes totals { flowCount } } }"#;
    graph.say(&json!({"type": "subscribe", "id": "1", "payload": {"query": query}})).await;
    let first = graph.until("graphDelta", |_| true).await;
    assert_eq!((&first["snapshot"], &first["totals"]["flowCount"]), (&true.into(), &3.into()), "{first:#}");
    let mut stats = Subscriber::open(&api).await;
    let query =
        r#"subscription { operationStats(operation: "login") { totals { flowCount } staleness { fresh } } }"#;
    stats.say(&json!({"type": "subscribe", "id": "1", "payload": {"query": query}})).await;
    bench.commit(2, &[logins(now_s(), 2)]).await;
    // Deltas before it may tell of rates: they fall as the range grows.
    let delta = graph.until("graphDelta", |delta| delta["edges"][0]["callCount"] == 5).await;
    assert_eq!((&delta["snapshot"], &delta["removedNodes"]), (&false.into(), &json!([])));
    stats.until("operationStats", |stats| stats["totals"]["flowCount"] == 5).await;
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_without_the_protocol_is_refused() {
    let Some(bench) = Bench::new("graphql_protocol").await else { return };
    let api = bench.start().await;
    assert!(connect_async(format!("{}/graphql", api.url.replacen("http", "ws", 1))).await.is_err());
    assert_eq!(api.get("/graphql").await.0, 400);
    api.stop().await;
    bench.drop().await;
}

/// A hundred flows of two spans each, with their summaries, as the store writes them.
async fn a_hundred_flows(bench: &Bench) {
    let id = "leftPad(lower(hex(number + 1)), 32, '0')";
    let at = format!("fromUnixTimestamp64Micro(toInt64({}000000 + number * 1000))", now_s() - 60);
    bench
        .execute(&format!(
            "INSERT INTO traces (trace_id, revision, environment, operation, status, start, duration_us, spans, services, \
             root_service, root_name, weight, complete) SELECT {id}, 1, 'production', 'login', 'success', {at}, 5000, 2, \
             ['auth', 'web'], 'web', 'POST /login', 1, true FROM numbers(100)"
        ))
        .await;
    for (span, parent, kind, service) in [("01", "", "Server", "web"), ("02", "01", "Server", "auth")] {
        bench
            .execute(&format!(
                "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, \
                 ResourceAttributes, Duration, StatusCode) SELECT {at}, {id}, '000000000000000' || '{span}', \
                 if('{parent}' = '', '', '000000000000000' || '{parent}'), 'POST /login', '{kind}', '{service}', \
                 map('service.name', '{service}', 'deployment.environment.name', 'production'), 5000000, 'Unset' \
                 FROM numbers(100)"
            ))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_a_hundred_flows_with_their_graphs_takes_few_queries() {
    let Some(bench) = Bench::new("graphql_flows").await else { return };
    a_hundred_flows(&bench).await;
    let api = bench.start().await;
    let before = api.metric("weir_query_api_clickhouse_queries_total").await;
    let query = r#"{ flows(first: 100, operation: "login") { totalCount pageInfo { hasNextPage endCursor }
        nodes { id status metadata { totalSpans } graph { nodes { id } edges { from to callCount } } } } }"#;
    let answer = ask(&api, query).await;
    let flows = &answer["data"]["flows"];
    let nodes = flows["nodes"].as_array().unwrap_or_else(|| panic!("{answer:#}"));
    assert_eq!(
        (nodes.len(), &flows["totalCount"], &flows["pageInfo"]["hasNextPage"]),
        (100, &100.into(), &false.into()),
        "the last page, though it is full"
    );
    for flow in nodes {
        let edges = flow["graph"]["edges"].as_array().unwrap();
        assert!(edges.contains(&json!({"from": "web", "to": "auth", "callCount": 1})), "{flow:#}");
        assert_eq!((&flow["metadata"]["totalSpans"], &flow["status"]), (&2.into(), &"success".into()));
    }
    let asked = api.metric("weir_query_api_clickhouse_queries_total").await - before;
    assert!(asked <= 10, "{asked} queries");
    for (statuses, wanted) in [("success", true), ("[success, timeout]", true), ("[error, timeout]", false)] {
        let query = format!("{{ flows(status: {statuses}) {{ totalCount }} }}");
        let total = ask(&api, &query).await["data"]["flows"]["totalCount"].clone();
        assert_eq!(total.as_u64().unwrap() > 0, wanted, "{statuses}: {total}");
    }

    let cursor = flows["pageInfo"]["endCursor"].as_str().unwrap();
    let next = ask(
        &api,
        &format!("{{ flows(first: 100, operation: \"login\", after: \"{cursor}\") {{ nodes {{ id }} }} }}"),
    )
    .await;
    assert_eq!(next["data"]["flows"]["nodes"], json!([]), "{next:#}");
    for (arguments, hint) in [("first: 101", "100"), ("first: -1", "1 to 100"), ("page: 0", "1 to 10000")] {
        let refused = ask(&api, &format!("{{ flows({arguments}) {{ totalCount }} }}")).await;
        assert!(message(&refused).contains(hint), "{arguments}: {refused:#}");
    }
    let traces = ask(
        &api,
        r#"{ traces(service: "auth", first: 2) { totalCount nodes { id serviceCount rootName } } }"#,
    )
    .await;
    let first = &traces["data"]["traces"]["nodes"][0];
    assert_eq!(
        (&first["serviceCount"], &first["rootName"]),
        (&2.into(), &"POST /login".into()),
        "{traces:#}"
    );
    let id = first["id"].as_str().unwrap();
    let one = ask(
        &api,
        &format!("{{ flow(flowId: \"{id}\") {{ id duration status graph {{ nodes {{ id }} }} }} }}"),
    )
    .await;
    assert_eq!(
        (&one["data"]["flow"]["id"], &one["data"]["flow"]["duration"]),
        (&id.into(), &5_000.into()),
        "{one:#}"
    );
    api.stop().await;
    bench.drop().await;
}

/// Ids of all pages of a list, each with `more` of the page before.
async fn pages(api: &Api, list: &str, arguments: &str, more: impl Fn(usize, &Value) -> String) -> Vec<Value> {
    let (mut ids, mut next) = (Vec::new(), String::new());
    for page in 1..=3 {
        let query = format!(
            "{{ {list}(first: 40, {arguments}{next}) {{ edges {{ cursor node {{ id }} }} nodes {{ id }}
             pageInfo {{ hasNextPage endCursor }} }} }}"
        );
        let answer = ask(api, &query).await;
        let (connection, errors) = (&answer["data"][list], &answer["errors"]);
        assert_eq!(errors, &Value::Null, "{answer:#}");
        let edges = connection["edges"].as_array().unwrap();
        let nodes: Value = edges.iter().map(|edge| edge["node"].clone()).collect();
        assert_eq!((&connection["nodes"], edges.len()), (&nodes, [40, 40, 20][page - 1]), "{answer:#}");
        assert_eq!(connection["pageInfo"]["hasNextPage"], page < 3, "{arguments}: {answer:#}");
        assert_eq!(connection["pageInfo"]["endCursor"], edges.last().unwrap()["cursor"]);
        ids.extend(edges.iter().map(|edge| edge["node"]["id"].clone()));
        next = more(page, &connection["pageInfo"]["endCursor"]);
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_lead_to_every_flow_in_every_order() {
    let Some(bench) = Bench::new("graphql_pages").await else { return };
    a_hundred_flows(&bench).await;
    let api = bench.start().await;
    let all: Vec<Value> = (1..=100).map(|id| format!("{id:032x}").into()).collect();
    for list in ["flows", "traces"] {
        let by_cursor = |_, cursor: &Value| format!(", after: {cursor}");
        assert_eq!(pages(&api, list, r#"sort: "startTime""#, by_cursor).await, all);
        // All take the same time, so that their ids decide.
        let by_number = |page, cursor: &Value| {
            assert_eq!(cursor, &Value::Null);
            format!(", page: {}", page + 1)
        };
        assert_eq!(pages(&api, list, r#"sort: "duration""#, by_number).await, all);
    }
    let narrow = |argument| format!("{{ traces({argument}) {{ totalCount }} }}");
    for (argument, total) in [
        (r#"userHash: "nobody""#, 0),
        (r#"sessionId: "none""#, 0),
        (r#"uiEvent: "none""#, 0),
        ("probes: true", 100),
        (r#"attribute: ["service.name:auth", "service.name:web"]"#, 100),
        (r#"attribute: ["service.name:a,b"]"#, 0),
    ] {
        let answer = ask(&api, &narrow(argument)).await;
        assert_eq!(answer["data"]["traces"]["totalCount"], total, "{argument}: {answer:#}");
    }
    let query = "{ flows(first: 1) { nodes { id sequence { number } } } traces(first: 1) { nodes { id } } }";
    let answer = ask(&api, query).await;
    let flow = &answer["data"]["flows"]["nodes"][0];
    assert_eq!((&flow["sequence"], &answer["errors"]), (&Value::Null, &Value::Null), "{answer:#}");
    assert!(flow.as_object().unwrap().contains_key("sequence"), "null, not left out: {answer:#}");
    for list in ["flows", "traces"] {
        assert!(answer["extensions"]["staleness"][list]["fresh"].is_boolean(), "{answer:#}");
    }
    api.stop().await;
    bench.drop().await;
}

/// All fields of a type, and of the types of those.
fn all_fields(types: &[Value], name: &str) -> String {
    let known = types.iter().find(|each| each["name"] == name).unwrap();
    let Some(fields) = known["fields"].as_array() else { return String::new() };
    let fields = fields.iter().map(|field| {
        let mut kind = &field["type"];
        while kind["name"].is_null() {
            kind = &kind["ofType"];
        }
        format!("{} {}", field["name"].as_str().unwrap(), all_fields(types, kind["name"].as_str().unwrap()))
    });
    format!("{{ {} }}", fields.collect::<String>())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_every_field_that_the_schema_says() {
    let Some(bench) = Bench::new("graphql_fields").await else { return };
    bench.commit(1, &[logins(now_s(), 3)]).await;
    a_hundred_flows(&bench).await;
    let api = bench.start().await;
    let kind = "name ofType { name ofType { name ofType { name } } }";
    let query = format!("{{ __schema {{ types {{ name fields {{ name type {{ {kind} }} }} }} }} }}");
    let schema = ask(&api, &query).await;
    let types = schema["data"]["__schema"]["types"].as_array().unwrap();
    for (question, answer) in [
        ("flows(first: 2)", "FlowConnection"),
        ("flow(flowId: \"1\")", "Flow"),
        ("traces(first: 2)", "TraceConnection"),
        ("trace(traceId: \"1\")", "Trace"),
        ("operations", "Operation"),
        ("operation(name: \"login\")", "OperationStats"),
        ("services", "Service"),
        ("service(name: \"auth\")", "ServiceDetail"),
        ("dependencies", "DependencyGraph"),
    ] {
        let told = ask(&api, &format!("{{ it: {question} {} }}", all_fields(types, answer))).await;
        assert_eq!(told["errors"], Value::Null, "{question}: {told:#}");
        let told = &told["data"]["it"];
        assert!(!told.is_null() && told != &json!([]), "{question} has something to say");
    }
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn single_flows_are_told_of_the_place_that_was_asked_for() {
    let Some(bench) = Bench::new("graphql_events").await else { return };
    bench.commit(1, &[logins(now_s(), 3)]).await;
    let api = bench.start().await;
    let mut flows = Subscriber::open(&api).await;
    let query = r#"subscription { flowUpdates(namespace: "shop", cluster: "eu", probes: true) { type operationName status } }"#;
    flows.say(&json!({"type": "subscribe", "id": "1", "payload": {"query": query}})).await;
    // A question is answered behind the subscription, so that this has begun.
    flows.say(&json!({"type": "subscribe", "id": "2", "payload": {"query": "{ __typename }"}})).await;
    while flows.hear().await["type"] != "complete" {}
    for (operation, namespace, cluster) in
        [("a", "other", "eu"), ("b", "shop", "us"), ("__probe__", "shop", "eu")]
    {
        let event = FlowEvent {
            trace_id: vec![1; 16],
            environment: "production".to_owned(),
            operation: operation.to_owned(),
            current_service: "auth".to_owned(),
            current_namespace: namespace.to_owned(),
            current_cluster: cluster.to_owned(),
            parts: 1,
            ..FlowEvent::default()
        };
        bench.event(&event).await;
    }
    let told = flows.until("flowUpdates", |_| true).await;
    assert_eq!(told, json!({"type": "flow_update", "operationName": "__probe__", "status": null}));
    api.stop().await;
    bench.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_has_so_many_subscriptions_and_any_number_of_questions() {
    let Some(bench) = Bench::new("graphql_many").await else { return };
    let api = bench.start().await;
    let mut socket = Subscriber::open(&api).await;
    let say = |id: usize, query: &str| json!({"type": "subscribe", "id": id.to_string(), "payload": {"query": query}});
    for id in 0..40 {
        socket.say(&say(id, "{ operations { name } }")).await;
        let answer = socket.hear().await;
        assert_eq!(answer["payload"]["data"], json!({"operations": []}), "question {id}: {answer:#}");
        assert_eq!(socket.hear().await["type"], "complete");
    }
    // Aliases don't make more of them.
    let nine: String = (0..9).map(|at| format!("s{at}: graphDelta {{ asOf }} ")).collect();
    socket.say(&say(100, &format!("subscription {{ {nine} }}"))).await;
    let mut refused = Value::Null;
    for _ in 0..30 {
        let heard = socket.hear().await;
        if heard["payload"]["errors"] != Value::Null {
            refused = heard;
            break;
        }
    }
    assert!(message(&refused["payload"]).contains("too many subscriptions"), "{refused:#}");
    // Those that have ended leave their places.
    socket.say(&json!({"type": "complete", "id": "100"})).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    socket.say(&say(101, "subscription { graphDelta { snapshot } }")).await;
    let mut heard = socket.hear().await;
    while heard["id"] != "101" {
        heard = socket.hear().await;
    }
    assert_eq!(heard["payload"]["data"]["graphDelta"]["snapshot"], true, "{heard:#}");
    api.stop().await;
    bench.drop().await;
}
