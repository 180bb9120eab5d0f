//! What senders are told, through the whole service in one process. Kafka isn't there: most answers need none,
//! and the others must say so.
#![allow(clippy::unwrap_used)]

mod support;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
use ingest::Options;
use ingest::door::Door;
use ingest::metrics::Metrics;
use ingest::pressure::Pressure;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prometheus_client::registry::Registry;
use prost::Message;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use support::{receiver, without_kafka};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic_types::StatusExt;
use tower::ServiceExt;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

fn app(options: &Options) -> Router {
    ingest::http::app(receiver(options).0, &options.origins().unwrap())
}

async fn post(
    app: &Router,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> (StatusCode, HeaderMap, Bytes) {
    let mut request = Request::post("/v1/traces");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
}

fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

fn good_span() -> Span {
    Span { trace_id: vec![1; 16], span_id: vec![2; 8], name: "good".into(), ..Span::default() }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn spans_without_ids_are_a_partial_success_in_the_format_of_the_request() {
    let app = app(&without_kafka());
    let body = request(vec![Span::default()]).encode_to_vec();
    let (status, headers, answer) = post(&app, &[("content-type", PROTOBUF)], body).await;
    assert_eq!((status, &headers["content-type"]), (StatusCode::OK, &HeaderValue::from_static(PROTOBUF)));
    assert!(String::from_utf8_lossy(&answer).contains("1 span rejected: 1 zero_trace_id"), "{answer:?}");

    let json = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"","spanId":""}]}]}]}"#;
    let headers = [("content-type", JSON), ("content-encoding", "gzip")];
    let (status, headers, answer) = post(&app, &headers, gzip(json.as_bytes())).await;
    assert_eq!((status, &headers["content-type"]), (StatusCode::OK, &HeaderValue::from_static(JSON)));
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedSpans"], "1");
}

#[tokio::test]
async fn garbage_is_refused_with_a_status() {
    let app = app(&without_kafka());
    let truncated = &request(vec![good_span()]).encode_to_vec()[..20];
    for body in [&[0xff; 100][..], truncated, b"not protobuf"] {
        let (status, headers, answer) = post(&app, &[("content-type", PROTOBUF)], body.to_vec()).await;
        assert_eq!(
            (status, &headers["content-type"]),
            (StatusCode::BAD_REQUEST, &HeaderValue::from_static(PROTOBUF))
        );
        let answer = tonic_types::Status::decode(answer).unwrap();
        assert_eq!(answer.code, Code::InvalidArgument as i32, "{answer:?}");
    }
}

#[tokio::test]
async fn ten_thousand_levels_of_nesting_are_refused() {
    let app = app(&without_kafka());
    let (open, close) = (r#"{"arrayValue":{"values":["#.repeat(10_000), "]}}".repeat(10_000));
    let json = format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"a","value":{open}{{"intValue":1}}{close}}}]}}}}]}}"#
    );
    assert_eq!(post(&app, &[("content-type", JSON)], json).await.0, StatusCode::BAD_REQUEST);
    // Field 5 of AnyValue holds an ArrayValue, whose field 1 holds AnyValues.
    let mut value = Vec::new();
    for _ in 0..10_000 {
        for key in [0x0a, 0x2a] {
            let mut outer = vec![key];
            prost::encoding::encode_varint(value.len() as u64, &mut outer);
            outer.append(&mut value);
            value = outer;
        }
    }
    for key in [0x12, 0x0a, 0x0a, 0x0a] {
        let mut outer = vec![key];
        prost::encoding::encode_varint(value.len() as u64, &mut outer);
        outer.append(&mut value);
        value = outer;
    }
    let (status, _, answer) = post(&app, &[("content-type", PROTOBUF)], value).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(tonic_types::Status::decode(answer).unwrap().message.contains("nested deeper than 32"));
}

#[tokio::test]
async fn what_is_too_large_or_explodes_is_refused_as_such() {
    let mut options = without_kafka();
    options.max_body_bytes = 1 << 20;
    options.max_memory_bytes = 8 << 20;
    let app = app(&options);
    let zeros = vec![0; 100 << 20];
    let (status, headers, _) = post(&app, &[("content-type", PROTOBUF)], zeros.clone()).await;
    assert_eq!((status, headers.get("retry-after")), (StatusCode::PAYLOAD_TOO_LARGE, None));
    let bomb = gzip(&zeros);
    assert!(bomb.len() < options.max_body_bytes);
    let headers = [("content-type", PROTOBUF), ("content-encoding", "gzip")];
    assert_eq!(post(&app, &headers, bomb).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    // Small as text, large as a tree of objects: no such tree is built.
    let empty_spans = "{},".repeat(300_000);
    let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{empty_spans}{{}}]}}]}}]}}"#);
    assert!(json.len() < options.max_body_bytes);
    let (status, _, answer) = post(&app, &[("content-type", JSON)], json).await;
    assert_eq!(status, StatusCode::OK);
    assert!(String::from_utf8_lossy(&answer).contains("300001 zero_trace_id"), "{answer:?}");
}

#[tokio::test]
async fn unknown_encodings_and_types_are_named() {
    let app = app(&without_kafka());
    let (status, headers, _) = post(&app, &[("content-type", JSON), ("content-encoding", "br")], "{}").await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(headers["accept-encoding"], "gzip, zstd, deflate");
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/json2"] {
        let (status, ..) = post(&app, &[("content-type", content_type)], "{}").await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
    }
}

#[tokio::test]
async fn without_kafka_senders_are_asked_to_retry_and_memory_is_given_back() {
    let options = without_kafka();
    let (receiver, pressure) = receiver(&options);
    let app = ingest::http::app(receiver, &[]);
    let (status, headers, _) =
        post(&app, &[("content-type", PROTOBUF)], request(vec![good_span()]).encode_to_vec()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    given_back(&pressure).await;
}

/// Messages are held until the Kafka client gives them up, about when their senders were answered.
async fn given_back(pressure: &Pressure) {
    tokio::time::timeout(Duration::from_secs(10), async {
        while pressure.used() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_makes_room() {
    let mut options = without_kafka();
    options.ack_timeout_ms = 2_000;
    // A message holds one request: most of them wait for the few that may be on the way.
    options.pack_bytes = 2_000;
    let (receiver, pressure) = receiver(&options);
    let app = ingest::http::app(receiver, &[]);
    let body = request(vec![Span { name: "x".repeat(1_500), ..good_span() }]).encode_to_vec();
    let posts: Vec<_> = (0..100)
        .map(|_| {
            let (app, body) = (app.clone(), body.clone());
            tokio::spawn(async move { post(&app, &[("content-type", PROTOBUF)], body).await.0 })
        })
        .collect();
    for answered in posts {
        assert_eq!(answered.await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    }
    given_back(&pressure).await;
}

#[tokio::test]
async fn beyond_the_budget_senders_are_asked_to_come_back() {
    let mut options = without_kafka();
    options.max_body_bytes = 100_000;
    options.max_memory_bytes = 800_000;
    options.ack_timeout_ms = 5_000;
    let (receiver, pressure) = receiver(&options);
    let app = ingest::http::app(receiver, &[]);
    let body = request(vec![Span { name: "x".repeat(90_000), ..good_span() }]).encode_to_vec();
    let posts = (0..20).map(|_| {
        let (app, body) = (app.clone(), body.clone());
        tokio::spawn(async move { post(&app, &[("content-type", PROTOBUF)], body).await })
    });
    let mut statuses = Vec::new();
    for answered in posts.collect::<Vec<_>>() {
        let (status, headers, _) = answered.await.unwrap();
        assert!(headers.contains_key("retry-after"));
        statuses.push(status);
        assert!(pressure.used() <= options.max_memory_bytes);
    }
    let busy = statuses.iter().filter(|status| **status == StatusCode::TOO_MANY_REQUESTS).count();
    let unavailable = statuses.iter().filter(|status| **status == StatusCode::SERVICE_UNAVAILABLE).count();
    assert!(busy > 0 && unavailable > 0 && busy + unavailable == 20, "{statuses:?}");
}

#[tokio::test]
async fn only_named_origins_may_send_from_a_browser() {
    let mut options = without_kafka();
    options.cors_origin = vec!["https://shop.example".into()];
    let allowed = app(&options);
    let preflight = |origin: &'static str| {
        Request::options("/v1/traces")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,content-encoding")
            .body(Body::empty())
            .unwrap()
    };
    let response = allowed.clone().oneshot(preflight("https://shop.example")).await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "https://shop.example");
    for origin in ["https://evil.example", "null", "https://shop.example.evil.example", "http://shop.example"]
    {
        let response = allowed.clone().oneshot(preflight(origin)).await.unwrap();
        assert!(!response.headers().contains_key("access-control-allow-origin"), "{origin}");
    }
    let closed = app(&without_kafka());
    let response = closed.oneshot(preflight("https://shop.example")).await.unwrap();
    assert!(!response.headers().contains_key("access-control-allow-origin"));
}

/// A gRPC port as `ingest` serves it, and a client of another implementation than ours.
async fn grpc(options: &Options) -> (TraceServiceClient<Channel>, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (receiver, pressure) = receiver(options);
    let metrics = Metrics::register(&mut Registry::default(), pressure);
    let door =
        Door { listener, app: ingest::grpc::app(receiver), seats: Arc::new(Semaphore::new(10)), metrics };
    let stop = CancellationToken::new();
    tokio::spawn(door.serve(stop.clone(), Duration::from_secs(1)));
    let client = TraceServiceClient::connect(format!("http://{address}")).await.unwrap();
    (client, stop)
}

#[tokio::test]
async fn grpc_takes_every_encoding() {
    let (client, _stop) = grpc(&without_kafka()).await;
    let bad_spans = || request(vec![Span::default(), Span { trace_id: vec![1; 16], ..Span::default() }]);
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd, CompressionEncoding::Deflate] {
        let answer = client.clone().send_compressed(encoding).export(bad_spans()).await.unwrap().into_inner();
        let partial = answer.partial_success.unwrap();
        assert_eq!(partial.rejected_spans, 2, "{encoding:?}");
        assert_eq!(partial.error_message, "2 spans rejected: 1 zero_span_id, 1 zero_trace_id");
    }
    let answer = client.clone().export(ExportTraceServiceRequest::default()).await.unwrap().into_inner();
    assert_eq!(answer.partial_success, None);
}

#[tokio::test]
async fn grpc_tells_what_is_worth_a_retry() {
    let mut options = without_kafka();
    options.max_body_bytes = 100_000;
    options.max_memory_bytes = 800_000;
    let (mut client, _stop) = grpc(&options).await;
    let refused = client.export(request(vec![good_span()])).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.get_details_retry_info().unwrap().retry_delay.is_some());
    let large = request(vec![Span { name: "x".repeat(200_000), ..good_span() }]);
    let refused = client.export(large).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.get_details_retry_info().is_none(), "the same again would never be taken");
    let bad_id = request(vec![Span { span_id: vec![1, 2, 3], ..good_span() }]);
    let refused = client.export(bad_id).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("id of 3 bytes"), "{refused:?}");
}

#[tokio::test]
async fn a_full_house_lets_further_connections_wait_and_a_stopped_one_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = Metrics::register(&mut Registry::default(), Pressure::new(1 << 20));
    let door = Door { listener, app: app(&without_kafka()), seats: Arc::new(Semaphore::new(1)), metrics };
    let stop = CancellationToken::new();
    let serving = tokio::spawn(door.serve(stop.clone(), Duration::from_secs(5)));
    let url = format!("http://{address}/v1/traces");
    let client = || reqwest::Client::builder().no_proxy().build().unwrap();
    let post = |client: reqwest::Client| client.post(&url).header("content-type", JSON).body("{}").send();
    let first = client();
    assert_eq!(post(first.clone()).await.unwrap().status(), 200);
    // The first client's connection stays open and holds the only seat.
    let second = tokio::spawn(post(client()));
    assert_eq!(post(first.clone()).await.unwrap().status(), 200);
    assert!(!second.is_finished());
    drop(first);
    assert_eq!(second.await.unwrap().unwrap().status(), 200);
    stop.cancel();
    serving.await.unwrap();
    assert!(post(client()).await.is_err());
}

#[tokio::test]
async fn without_kafka_the_start_is_refused_in_one_sentence() {
    let mut options = without_kafka();
    options.start_timeout_ms = 100;
    let any_port = "127.0.0.1:0".parse().unwrap();
    (options.listen_grpc, options.listen_http, options.admin) = (any_port, any_port, any_port);
    let refused = ingest::run(options, process::Health::new(), CancellationToken::new()).await.unwrap_err();
    assert!(refused.to_string().starts_with("no Kafka broker answers"), "{refused}");
}
