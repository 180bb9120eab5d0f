//! Attributes into facts, by table: new names, old names, and names of other tracers.
#![allow(clippy::unwrap_used, clippy::type_complexity)] // a test stops where it is wrong; tables are read once

use std::cell::RefCell;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use reader::{Semconv, spans_of};
use stitcher::span::{
    Failure, Kind, MessagingOperation, OperationSource, PeerKind, Span as Read, Status as Outcome,
};

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// `key=text`, `key=#7` for an integer, `key=[text]` for a list.
fn attributes(all: &[&str]) -> Vec<KeyValue> {
    let text = |text: &str| Value::StringValue(text.to_owned());
    let parse = |pair: &&str| {
        let (key, value) = pair.split_once('=').unwrap();
        let value = if let Some(number) = value.strip_prefix('#') {
            Value::IntValue(number.parse().unwrap())
        } else if let Some(item) = value.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
            Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(text(item)) }] })
        } else if value == "true" || value == "false" {
            Value::BoolValue(value == "true")
        } else {
            text(value)
        };
        attribute(key, value)
    };
    all.iter().map(parse).collect()
}

/// What is read from a span; `change` sets what isn't an attribute.
fn with<T>(kind: i32, said: &[&str], change: impl Fn(&mut Span), look: impl Fn(&Read<'_>) -> T) -> T {
    let mut span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        kind,
        name: "op".to_owned(),
        attributes: attributes(said),
        ..Span::default()
    };
    change(&mut span);
    of_resource(&[], span, look)
}

fn of_resource<T>(resource: &[&str], span: Span, look: impl Fn(&Read<'_>) -> T) -> T {
    let data = TracesData {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes: attributes(resource), ..Resource::default() }),
            scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    };
    let seen = RefCell::new(None);
    let read = spans_of(&Semconv::embedded(), &data, &mut |span| *seen.borrow_mut() = Some(look(span)));
    assert_eq!((read.spans, read.rejected.len()), (1, 0));
    seen.into_inner().unwrap()
}

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;

#[test]
fn new_names_outrank_old_ones_in_any_order() {
    for said in [
        [
            "http.method=GET",
            "http.request.method=POST",
            "http.status_code=#200",
            "http.response.status_code=#503",
        ],
        [
            "http.request.method=POST",
            "http.method=GET",
            "http.response.status_code=#503",
            "http.status_code=#200",
        ],
    ] {
        let read =
            with(SERVER, &said, |_| {}, |span| (span.facts.http_method.to_owned(), span.facts.http_status));
        assert_eq!(read, ("POST".to_owned(), Some(503)));
    }
}

#[test]
fn peers_are_named_by_the_strongest_statement() {
    use PeerKind::{Database, External, Ip, Service};
    let cases: &[(&[&str], Option<(&str, PeerKind)>)] = &[
        (&["service.peer.name=pay", "peer.service=old", "server.address=h"], Some(("pay", Service))),
        (&["peer.service=pay", "db.system=redis"], Some(("pay", Service))),
        (&["faas.invoked_name=resize", "server.address=h"], Some(("resize", Service))),
        (
            &[
                "db.system.name=postgresql",
                "server.address=orders-db",
                "server.port=#5432",
                "db.namespace=orders",
            ],
            Some(("postgresql:orders-db/orders", Database)),
        ),
        (
            &["db.system=postgres", "net.peer.name=orders-db", "db.name=orders"],
            Some(("postgresql:orders-db/orders", Database)),
        ),
        (&["db.system=mssql"], Some(("microsoft.sql_server", Database))),
        (
            &["db.system=redis", "net.peer.name=cache", "db.redis.database_index=#3"],
            Some(("redis:cache/3", Database)),
        ),
        (
            &["db.system=mysql", "db.connection_string=jdbc:mysql://db1:3306/shop"],
            Some(("mysql:db1", Database)),
        ),
        (
            &["rpc.system=aws-api", "rpc.service=S3", "server.address=s3.eu.amazonaws.com"],
            Some(("S3", External)),
        ),
        (&["rpc.system.name=aws-api", "rpc.method=DynamoDB/GetItem"], Some(("DynamoDB", External))),
        (&["server.address=pay.example.com", "server.port=#443"], Some(("pay.example.com:443", External))),
        (&["net.peer.name=pay.example.com", "net.peer.port=#80"], Some(("pay.example.com:80", External))),
        (&["http.host=loki:3100", "net.peer.port=#3100"], Some(("loki:3100", External))),
        (&["url.full=https://u:p@pay.example.com/charge?x=1"], Some(("pay.example.com", External))),
        (&["server.address=10.0.0.7", "server.port=#80"], Some(("10.0.0.7:80", Ip))),
        (&["network.peer.address=10.0.0.7"], Some(("10.0.0.7", Ip))),
        (&["http.url=/relative"], None),
        (&[], None),
    ];
    for (said, expected) in cases {
        let peer = with(
            CLIENT,
            said,
            |_| {},
            |span| span.facts.peer.as_ref().map(|peer| (peer.name.to_string(), peer.kind)),
        );
        assert_eq!(peer, expected.map(|(name, kind)| (name.to_owned(), kind)), "{said:?}");
    }
}

#[test]
fn an_answering_span_names_only_explicit_peers() {
    let name = |said: &[&str]| {
        with(SERVER, said, |_| {}, |span| span.facts.peer.as_ref().map(|peer| peer.name.to_string()))
    };
    assert_eq!(
        name(&["server.address=myself", "db.system=postgresql", "network.peer.address=10.0.0.9"]),
        None
    );
    assert_eq!(name(&["peer.service=caller"]), Some("caller".to_owned()));
}

#[test]
fn rpc_methods_are_fully_qualified() {
    let cases: &[(&[&str], &str, &str)] = &[
        (&["rpc.system.name=grpc", "rpc.method=geo.Geo/Nearby"], "x", "geo.Geo/Nearby"),
        (&["rpc.system=grpc", "rpc.service=geo.Geo", "rpc.method=Nearby"], "x", "geo.Geo/Nearby"),
        (&["component=gRPC"], "/geo.Geo/Nearby", "geo.Geo/Nearby"),
        (&["component=net/http"], "/geo.Geo/Nearby", ""),
        (&[], "GET /a", ""),
    ];
    for (said, name, method) in cases {
        let read = with(
            SERVER,
            said,
            |span| span.name = (*name).to_owned(),
            |span| span.facts.rpc_method.to_string(),
        );
        assert_eq!(read, *method, "{said:?}");
    }
}

#[test]
fn status_codes_are_read_in_every_spelling() {
    let cases: &[(&[&str], Option<u8>)] = &[
        (&["rpc.status_code=UNAVAILABLE"], Some(14)),
        (&["rpc.response.status_code=DEADLINE_EXCEEDED"], Some(4)),
        (&["rpc.grpc.status_code=#13"], Some(13)),
        (&["rpc.status_code=5"], Some(5)),
        (&["rpc.status_code=FINE"], None),
    ];
    for (said, code) in cases {
        assert_eq!(with(CLIENT, said, |_| {}, |span| span.facts.grpc_status), *code, "{said:?}");
    }
    let http = |said: &[&str]| with(CLIENT, said, |_| {}, |span| span.facts.http_status);
    assert_eq!(http(&["http.status_code=404"]), Some(404));
    assert_eq!(http(&["error.type=503"]), Some(503));
    assert_eq!(http(&["http.status_code=#0"]), None);
}

#[test]
fn outcomes_come_from_status_or_tags() {
    let status = |said: &[&str], code: Option<i32>| {
        let set = |span: &mut Span| span.status = code.map(|code| Status { code, message: String::new() });
        with(CLIENT, said, set, |span| span.status)
    };
    assert_eq!(status(&[], None), Outcome::Unset);
    assert_eq!(status(&[], Some(2)), Outcome::Error);
    assert_eq!(status(&["error=true"], None), Outcome::Error);
    assert_eq!(status(&["error=false"], None), Outcome::Unset);
    assert_eq!(status(&["error="], None), Outcome::Error);
    assert_eq!(status(&["error=true"], Some(1)), Outcome::Ok);
    assert_eq!(status(&["otel.status_code=ERROR"], None), Outcome::Error);
    let kind = |said: &[&str]| with(0, said, |_| {}, |span| span.kind);
    assert_eq!((kind(&["span.kind=server"]), kind(&[])), (Kind::Server, Kind::Unspecified));
}

#[test]
fn a_step_of_a_call_is_no_call() {
    let kind = |kind, name: &str| with(kind, &[], |span| span.name = name.to_owned(), |span| span.kind);
    assert_eq!((kind(CLIENT, "dns.lookup"), kind(CLIENT, "GET")), (Kind::Internal, Kind::Client));
    assert_eq!(kind(SERVER, "dns.lookup"), Kind::Server);
}

#[test]
fn failures_are_told_apart() {
    let thrown = |name: &str| {
        let event =
            Event { attributes: attributes(&[&format!("exception.type={name}")]), ..Event::default() };
        move |span: &mut Span| span.events = vec![event.clone()]
    };
    let failure = |said: &[&str], name: Option<&str>| match name {
        Some(name) => with(CLIENT, said, thrown(name), |span| span.facts.failure),
        None => with(CLIENT, said, |_| {}, |span| span.facts.failure),
    };
    assert_eq!(failure(&[], None), None);
    assert_eq!(failure(&["error.type=timeout"], None), Some(Failure::Timeout));
    assert_eq!(failure(&["error.type=500"], None), None);
    assert_eq!(failure(&["error.type=java.net.ConnectException"], None), Some(Failure::Other));
    assert_eq!(failure(&[], Some("java.net.SocketTimeoutException")), Some(Failure::Timeout));
    assert_eq!(
        failure(&[], Some("io.github.resilience4j.bulkhead.BulkheadFullException")),
        Some(Failure::Rejection)
    );
    assert_eq!(failure(&["http.status_code=#200"], Some("java.net.SocketTimeoutException")), None);
    assert_eq!(failure(&["response_flags=UT"], None), Some(Failure::Timeout));
    assert_eq!(failure(&["response_flags=UO"], None), Some(Failure::Rejection));
    assert_eq!(failure(&["response_flags=UF,URX"], None), Some(Failure::Other));
    assert_eq!(failure(&["response_flags=-"], None), None);
}

#[test]
fn operations_come_from_the_strongest_source() {
    use OperationSource::{Attribute, Baggage, Header, Vendor, Widget};
    let cases: &[(&[&str], Option<(OperationSource, &str)>)] = &[
        (
            &["weir.operation=login", "http.request.header.baggage=[weir.operation=other]"],
            Some((Attribute, "login")),
        ),
        (
            &["http.request.header.baggage=[a=b,weir.operation=create%20vm]", "app.widget.name=w"],
            Some((Baggage, "create vm")),
        ),
        (&["http.request.header.x-operation-name=[login]", "sentry-transaction=t"], Some((Header, "login"))),
        (&["baggage=sentry-transaction=%2Fpay"], Some((Vendor, "/pay"))),
        (&["app.widget.name=Save"], Some((Widget, "Save"))),
        (&["weir.operation="], None),
    ];
    for (said, expected) in cases {
        let read = with(
            SERVER,
            said,
            |_| {},
            |span| span.facts.operation.as_ref().map(|(source, name)| (*source, name.to_string())),
        );
        assert_eq!(read, expected.map(|(source, name)| (source, name.to_owned())), "{said:?}");
    }
}

#[test]
fn messages_in_every_convention() {
    let read = |kind, said: &[&str]| {
        with(
            kind,
            said,
            |_| {},
            |span| {
                span.facts
                    .messaging
                    .map(|m| (m.system.to_owned(), m.destination.to_owned(), m.operation, m.batch))
            },
        )
    };
    let is = |system: &str, destination: &str, operation, batch| {
        Some((system.to_owned(), destination.to_owned(), operation, batch))
    };
    let said = [
        "messaging.system=kafka",
        "messaging.destination.name=orders",
        "messaging.operation.type=send",
        "messaging.batch.message_count=#7",
    ];
    assert_eq!(read(PRODUCER, &said), is("kafka", "orders", Some(MessagingOperation::Send), Some(7)));
    let said = ["messaging.system=rabbitmq", "messaging.destination=orders", "messaging.operation=deliver"];
    assert_eq!(read(CONSUMER, &said), is("rabbitmq", "orders", Some(MessagingOperation::Process), None));
    assert_eq!(read(CONSUMER, &["kafka.topic=orders"]), is("kafka", "orders", None, None));
    let said = [
        "messaging.system=rabbitmq",
        "messaging.destination.name=amq.gen-x1",
        "messaging.destination.anonymous=true",
    ];
    assert_eq!(read(CONSUMER, &said), is("rabbitmq", "(temporary)", None, None));
    let said =
        ["messaging.system=rabbitmq", "messaging.destination=", "messaging.rabbitmq.routing_key=orders"];
    assert_eq!(read(PRODUCER, &said), is("rabbitmq", "orders", None, None));
    assert_eq!(read(CLIENT, &["http.method=GET"]), None);
}

#[test]
fn markers_say_yes_or_no() {
    let marks = |kind, said: &[&str]| {
        with(
            kind,
            said,
            |_| {},
            |span| {
                let facts = &span.facts;
                (
                    facts.proxy.is_some(),
                    facts.streaming,
                    facts.probe,
                    facts.timer,
                    facts.calling_client.to_owned(),
                )
            },
        )
    };
    let nothing = (false, false, false, false, String::new());
    assert_eq!(marks(SERVER, &["component=net/http", "node_id=worker-7"]), nothing);
    for said in [
        "component=proxy",
        "upstream_cluster=outbound|80||pay",
        "istio.canonical_service=pay",
        "node_id=sidecar~10.0.0.7~pay~x",
    ] {
        assert!(marks(CLIENT, &[said]).0, "{said}");
    }
    for said in ["http.response.status_code=#101", "network.protocol.name=websocket"] {
        assert!(marks(SERVER, &[said]).1, "{said}");
    }
    for said in [
        "user_agent.original=kube-probe/1.30",
        "url.path=/healthz",
        "http.target=/readyz?verbose",
        "rpc.method=grpc.health.v1.Health/Check",
    ] {
        assert!(marks(SERVER, &[said]).2, "{said}");
    }
    assert!(marks(CONSUMER, &["faas.trigger=timer"]).3);
    for (agent, client) in
        [("Mozilla/5.0 (X11)", "browser"), ("curl/8.5", "cli"), ("Dalvik/2.1", "mobile"), ("okhttp/4", "")]
    {
        assert_eq!(marks(SERVER, &[&format!("user_agent.original={agent}")]).4, client, "{agent}");
        assert_eq!(marks(CLIENT, &[&format!("user_agent.original={agent}")]).4, "", "{agent}");
    }
}

#[test]
fn resources_name_their_emitter() {
    let span = || Span { trace_id: vec![1; 16], span_id: vec![2; 8], ..Span::default() };
    let said = [
        "service.namespace=shop",
        "k8s.namespace.name=prod",
        "service.name=pay",
        "service.version=1.2",
        "k8s.cluster.name=eu",
        "host.name=h",
        "k8s.pod.name=pay-0",
        "deployment.environment=old",
        "deployment.environment.name=live",
    ];
    of_resource(&said, span(), |span| {
        let r = span.resource;
        assert_eq!(
            (r.cluster, r.namespace, r.service, r.version, r.pod, r.environment),
            ("eu", "prod", "pay", "1.2", "pay-0", "live")
        );
        assert!(!r.is_client);
    });
    for said in
        ["telemetry.sdk.language=webjs", "browser.platform=Linux", "os.name=Android", "weir.client=cli"]
    {
        assert!(of_resource(&[said], span(), |span| span.resource.is_client), "{said}");
    }
    assert!(!of_resource(&["telemetry.sdk.language=nodejs", "os.name=Ubuntu"], span(), |span| span
        .resource
        .is_client));
}

#[test]
fn request_keys_agree_whatever_the_order() {
    let key = |said: &[&str]| with(CLIENT, said, |_| {}, |span| span.facts.request_key);
    assert_eq!(key(&["server.address=h"]), 0);
    assert_eq!(
        key(&["http.method=GET", "url.full=http://h/a"]),
        key(&["url.full=http://h/a", "http.method=GET"])
    );
    assert_ne!(
        key(&["http.method=GET", "url.full=http://h/a"]),
        key(&["http.method=GET", "url.full=http://h/b"])
    );
    assert_ne!(key(&["param.driverID=T1"]), key(&["param.driverID=T2"]));
    assert_eq!(key(&["http.method=GET", "http.resend_count=#1"]), key(&["http.method=GET"]));
}

#[test]
fn people_and_weights() {
    with(
        SERVER,
        &["user.id=#42", "http.request.header.baggage=[session.id=s%2D1]"],
        |_| {},
        |span| {
            assert_eq!((span.facts.user_id, span.facts.session_id), ("42", "s-1"));
        },
    );
    let weight = |state: &str, said: &[&str]| {
        with(SERVER, said, |span| span.trace_state = state.to_owned(), |span| span.facts.weight_milli)
    };
    assert_eq!(weight("ot=th:8", &["SampleRate=#10"]), Some(2_000));
    assert_eq!(weight("", &["SampleRate=#10"]), Some(10_000));
    assert_eq!(weight("", &[]), None);
    let resends = |said: &[&str]| with(CLIENT, said, |_| {}, |span| span.facts.resends);
    assert_eq!(resends(&["http.request.resend_count=#2"]), Some(2));
    assert_eq!(resends(&["previous-rpc-attempts=1"]), Some(1));
    assert_eq!(resends(&["http.request.header.x-envoy-attempt-count=[3]"]), Some(2));
}

#[test]
fn content_is_the_spans_own() {
    let content = |name: &str, service: &str| {
        let span =
            Span { trace_id: vec![1; 16], span_id: vec![2; 8], name: name.to_owned(), ..Span::default() };
        of_resource(&[&format!("service.name={service}")], span, |span| span.content)
    };
    assert_eq!(content("a", "x"), content("a", "x"));
    assert_ne!(content("a", "x"), content("b", "x"));
    assert_ne!(content("a", "x"), content("a", "y"));
}
