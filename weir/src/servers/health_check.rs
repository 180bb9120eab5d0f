//! One question to a server that only a working server answers, without a client library: librdkafka would fill the
//! log with its attempts to reach a broker that is still starting.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Asks a Kafka broker for the API versions it speaks (request 18, version 0); it answers once it serves requests.
pub fn kafka(address: SocketAddr) -> Result<(), String> {
    const API_VERSIONS: u16 = 18;
    const CORRELATION: u32 = 0x5745_4952;
    let mut request = Vec::new();
    request.extend(API_VERSIONS.to_be_bytes());
    request.extend(0_u16.to_be_bytes());
    request.extend(CORRELATION.to_be_bytes());
    request.extend(4_u16.to_be_bytes());
    request.extend(b"weir");
    let length = u32::try_from(request.len()).unwrap_or_default().to_be_bytes();

    let mut answer = [0; 10];
    ask(address, &[&length, &request[..]].concat(), |stream| stream.read_exact(&mut answer))?;
    let correlation = u32::from_be_bytes([answer[4], answer[5], answer[6], answer[7]]);
    let error = u16::from_be_bytes([answer[8], answer[9]]);
    match (correlation, error) {
        (CORRELATION, 0) => Ok(()),
        (CORRELATION, code) => Err(format!("answers with error {code}")),
        _ => Err("speaks another protocol than Kafka's".to_owned()),
    }
}

/// Asks ClickHouse's HTTP interface for `/ping`.
pub fn clickhouse(address: SocketAddr) -> Result<(), String> {
    let mut answer = String::new();
    ask(address, b"GET /ping HTTP/1.0\r\n\r\n", |stream| {
        stream.take(4096).read_to_string(&mut answer).map(drop)
    })?;
    if answer.contains(" 200 ") && answer.ends_with("Ok.\n") {
        return Ok(());
    }
    Err(format!("answers to /ping: {}", answer.lines().next().unwrap_or("nothing")))
}

/// Asks a role's `/health` or `/ready`; the reasons when it says no.
pub fn role(address: SocketAddr, path: &str) -> Result<(), String> {
    let question = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    let mut answer = String::new();
    ask(address, question.as_bytes(), |stream| stream.take(4096).read_to_string(&mut answer).map(drop))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.lines().next().is_some_and(|status| status.contains(" 200 ")) {
        return Ok(());
    }
    Err(body.trim().replace('\n', ", "))
}

fn ask(
    address: SocketAddr,
    question: &[u8],
    read: impl FnOnce(&mut TcpStream) -> std::io::Result<()>,
) -> Result<(), String> {
    let exchange = || {
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        stream.write_all(question)?;
        read(&mut stream)
    };
    exchange().map_err(|error: std::io::Error| format!("no answer from {address}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that answers one question of the given length.
    fn server(question: usize, answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = vec![0; question];
            stream.read_exact(&mut asked).unwrap();
            stream.write_all(answer).unwrap();
        });
        address
    }

    #[test]
    fn a_broker_that_answers_is_healthy() {
        assert_eq!(kafka(server(18, b"\0\0\0\x0aWEIR\0\0\0\0\0\0")), Ok(()));
        assert!(kafka(server(18, b"\0\0\0\x0aWEIR\0\x23")).unwrap_err().contains("error 35"));
        assert!(kafka(server(18, b"HTTP/1.1 400 Bad Request\r\n")).unwrap_err().contains("another protocol"));
    }

    #[test]
    fn a_clickhouse_that_answers_is_healthy() {
        assert_eq!(clickhouse(server(22, b"HTTP/1.0 200 OK\r\n\r\nOk.\n")), Ok(()));
        let refused = clickhouse(server(22, b"HTTP/1.0 503 Busy\r\n\r\n")).unwrap_err();
        assert!(refused.contains("503 Busy"), "{refused}");
    }

    #[test]
    fn silence_is_named_with_the_address() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(kafka(address).unwrap_err().contains(&address.to_string()));
    }
}
