use super::*;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
use std::io::{Read, Write};
use std::net::TcpListener;

/// An endpoint that gives these answers, one a connection.
fn endpoint(answers: Vec<Vec<u8>>) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap();
            assert!(request[..read].starts_with(b"POST /v1/traces"));
            stream.write_all(&answer).unwrap();
        }
    });
    Endpoint::new(&url).unwrap()
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len())
            .into_bytes();
    answer.extend(body);
    answer
}

fn batch() -> Batch {
    Batch { spans: 10, body: vec![10, 0] }
}

#[tokio::test]
async fn a_busy_endpoint_is_asked_again() {
    let busy = || answer("503 Service Unavailable\r\nretry-after: 0", b"");
    let endpoint = endpoint(vec![busy(), busy(), answer("200 OK", b"")]);
    let receipt = endpoint.post(&batch()).await.unwrap();
    assert_eq!(receipt, Receipt { accepted: 10, retries: 2, ..Receipt::default() });
}

#[tokio::test]
async fn rejected_spans_are_told_with_their_reason() {
    let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: "zero_trace_id".to_owned() };
    let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let receipt = endpoint(vec![answer("200 OK", &body)]).post(&batch()).await.unwrap();
    let rejected = [("zero_trace_id".to_owned(), 3)].into();
    assert_eq!(receipt, Receipt { accepted: 7, rejected, ..Receipt::default() });
}

#[tokio::test]
async fn a_refused_request_is_counted_and_not_repeated() {
    let receipt = endpoint(vec![answer("400 Bad Request", b"\x12\x05wrong")]).post(&batch()).await.unwrap();
    assert_eq!((receipt.accepted, receipt.refused, receipt.retries), (0, 10, 0));
    assert_eq!(receipt.rejected.into_keys().collect::<Vec<_>>(), ["400 Bad Request wrong"]);
}

#[tokio::test]
async fn silence_is_an_error_with_the_address() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = Endpoint::new(&format!("http://{address}")).unwrap().post(&batch()).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
