//! How requests are treated, good and hostile ones: ids, sizes, rates, tags, other origins, TLS.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod alone;

use alone::{Alone, free_address, problem, tokens};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

async fn open() -> Alone {
    Alone::start(free_address(), None, |_| ()).await
}

/// What the server answers to these bytes, up to when it closes or `within`.
async fn raw(api: &Alone, bytes: &[u8], within: Duration) -> String {
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(within, stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_taken_or_made_and_said_back() {
    let api = open().await;
    let id = async |given: &str| {
        let answer = api.get("/api/v1/nothing").header("x-request-id", given).send().await.unwrap();
        answer.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(id("abc-1").await, "abc-1");
    for odd in ["", "a b", "a;b", "<script>", &"x".repeat(65)] {
        let made = id(odd).await;
        assert!(made != odd && made.len() == 16, "{odd}: {made}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_addresses_and_bodies_are_refused_in_words() {
    let api = open().await;
    let long = format!("/api/v1/operations?operation={}", "x".repeat(8 << 10));
    assert_eq!(problem(api.get(&long).send().await.unwrap()).await, (414, "uri_too_long".to_owned()));
    // Said at once from the length that was announced; nothing of it is read.
    let head = "POST /api/v1/graph HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10485760\r\n\r\n";
    let answer = raw(&api, head.as_bytes(), Duration::from_secs(5)).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("\"code\":\"too_large\""), "{answer}");
    // Without a length it is counted.
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let endless = format!(
        "POST /api/v1/graph HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{}",
        chunk.repeat(17)
    );
    let answer = raw(&api, endless.as_bytes(), Duration::from_secs(5)).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("\"code\":\"too_large\""), "{answer}");
    assert_eq!(api.get("/health").send().await.unwrap().status(), 200, "nothing else suffers");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_sent_away_before_their_body_is_read() {
    let api = Alone::with_auth(&tokens()).await;
    let head = "POST /api/v1/graph HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n";
    let began = Instant::now();
    let answer = raw(&api, head.as_bytes(), Duration::from_secs(3)).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn split_and_smuggled_headers_get_nowhere() {
    let api = open().await;
    for head in [
        "GET / HTTP/1.1\r\nhost: localhost\r\nx-request-id: a\nset-cookie: b=c\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: localhost\r\nx-request-id: a%0d%0aset-cookie: b=c\r\n\r\n",
        "GET /api/v1/%0d%0aset-cookie:b=c HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "POST /api/v1/graph HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /api/v1/graph HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        "GET / HTTP/1.1\r\nhost: localhost\r\nhost : evil.example\r\n\r\n",
    ] {
        let answer = raw(&api, head.as_bytes(), Duration::from_millis(500)).await;
        let headers = answer.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
        assert!(!headers.contains("\nset-cookie"), "{head:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "one request, one answer: {head:?}: {answer}");
    }
    let many = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(200_000));
    let answer = raw(&api, many.as_bytes(), Duration::from_secs(5)).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(api.get("/health").send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_a_byte_now_and_then_is_closed_and_nobody_waits_for_it() {
    let api = open().await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(api.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: loc").await.unwrap();
        slow.push(stream);
    }
    let began = Instant::now();
    assert_eq!(api.get("/health").send().await.unwrap().status(), 200);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    // Nothing at all, and the beginning of what could become HTTP/2.
    let mut silent = TcpStream::connect(api.address).await.unwrap();
    let mut preface = TcpStream::connect(api.address).await.unwrap();
    preface.write_all(b"PRI * HTTP/2.0").await.unwrap();
    let mut stream = slow.pop().unwrap();
    let closed = async {
        loop {
            tokio::select! {
                read = stream.read_u8() => if read.is_err() { return },
                () = tokio::time::sleep(Duration::from_secs(1)) => drop(stream.write_all(b"a").await),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), closed).await.expect("closed after 15 s");
    for stream in [&mut silent, &mut preface] {
        let end = tokio::time::timeout(Duration::from_secs(5), stream.read_u8()).await;
        assert!(end.expect("closed after 15 s").is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let api = Alone::start(free_address(), Some(&tokens()), |options| options.requests_per_second = 2).await;
    let mut refused = None;
    for _ in 0..30 {
        let answer = api.ask("/auth/me", "viewer-secret").await;
        if answer.status() == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("refused within 30 requests");
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(problem(refused).await, (429, "slow_down".to_owned()));
    assert_eq!(api.ask("/auth/me", "admin-secret").await.status(), 200, "each caller for itself");
    let guesses = futures_util::future::join_all((0..30).map(|_| api.ask("/auth/me", "guess"))).await;
    let statuses: Vec<u16> = guesses.iter().map(|answer| answer.status().as_u16()).collect();
    assert!(statuses.contains(&401) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(api.ask("/auth/me", "admin-secret").await.status(), 200, "guessers don't lock others out");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_change_is_not_sent_again() {
    let api = open().await;
    let first = api.get("/api/v1/config").send().await.unwrap();
    let tag = first.headers()["etag"].clone();
    assert_eq!(first.headers()["cache-control"], "no-store", "it may tell of people");
    let again = api.get("/api/v1/config").header("if-none-match", &tag).send().await.unwrap();
    assert_eq!((again.status().as_u16(), again.headers()["etag"].clone()), (304, tag));
    assert!(again.bytes().await.unwrap().is_empty());
    let sums = api.get("/api/v1/openapi.json").send().await.unwrap();
    let tag = sums.headers()["etag"].clone();
    let squeezed = api.get("/api/v1/openapi.json").header("accept-encoding", "gzip");
    let whole = squeezed.try_clone().unwrap().send().await.unwrap();
    assert_eq!(
        (&whole.headers()["content-encoding"], &whole.headers()["etag"]),
        (&"gzip".parse().unwrap(), &tag)
    );
    let known = squeezed.header("if-none-match", &tag).send().await.unwrap();
    assert_eq!(known.status(), 304, "compressed or not");
    assert_eq!(sums.headers()["cache-control"], "private, no-cache");
    assert_eq!(api.get("/api/v1/flows/zz").send().await.unwrap().headers()["cache-control"], "no-store");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_listed_origins_read_answers_and_others_do_not() {
    let page = "https://board.example.com";
    let list =
        |options: &mut query_api::Options| options.cors_origin = vec!["https://board.example.com".to_owned()];
    let api = Alone::start(free_address(), Some(&tokens()), list).await;
    let preflight = async |origin: &str| {
        let request = api.request("OPTIONS", "/api/v1/operations").header("origin", origin);
        let request = request.header("access-control-request-method", "GET");
        request.header("access-control-request-headers", "authorization").send().await.unwrap()
    };
    let answer = preflight(page).await;
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["access-control-allow-origin"].to_str().unwrap()),
        (200, page)
    );
    assert!(
        !answer.headers().contains_key("access-control-allow-credentials"),
        "cookies are for our own page"
    );
    for other in
        ["https://evil.example", "null", "https://board.example.com.evil.example", "http://board.example.com"]
    {
        assert!(!preflight(other).await.headers().contains_key("access-control-allow-origin"), "{other}");
    }
    let none = open().await.get("/health").header("origin", page).send().await.unwrap();
    assert!(!none.headers().contains_key("access-control-allow-origin"));
}

struct Certificate {
    certificate: String,
    key: String,
}

fn certificate() -> Certificate {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    Certificate { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

fn trusting(certificate: &Certificate) -> reqwest::Client {
    let root = reqwest::Certificate::from_pem(certificate.certificate.as_bytes()).unwrap();
    reqwest::Client::builder().no_proxy().tls_certs_only([root]).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_served_and_a_renewed_certificate_is_used_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let write = |made: &Certificate| {
        std::fs::write(&cert, &made.certificate).unwrap();
        std::fs::write(&key, &made.key).unwrap();
    };
    let (first, second) = (certificate(), certificate());
    write(&first);
    let address = free_address();
    let api = Alone::start(address, Some(&tokens()), |options| {
        (options.tls_cert, options.tls_key) = (Some(cert.clone()), Some(key.clone()));
    })
    .await;
    let url = format!("https://localhost:{}/health", address.port());
    assert_eq!(trusting(&first).get(&url).send().await.unwrap().status(), 200);
    assert!(trusting(&second).get(&url).send().await.is_err(), "it is not there yet");

    // Somebody who only connects must not hold up the others.
    let _silent = TcpStream::connect(api.address).await.unwrap();
    socket_over_tls(&first, address.port()).await;

    // Half a renewal: the certificate without its key. The old pair stays in use.
    std::fs::write(&cert, &second.certificate).unwrap();
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(trusting(&first).get(&url).send().await.unwrap().status(), 200);
    write(&second);
    let began = Instant::now();
    while trusting(&second).get(&url).send().await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(15), "the new certificate is not used");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(trusting(&first).get(&url).send().await.is_err(), "the old one is gone");
}

/// A WebSocket over a TLS connection, as browsers open it.
async fn socket_over_tls(trusted: &Certificate, port: u16) {
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    let mut roots = RootCertStore::empty();
    let der = tokio_rustls::rustls::pki_types::CertificateDer::from_pem_slice(trusted.certificate.as_bytes());
    roots.add(der.unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let request = tokio_tungstenite::tungstenite::ClientRequestBuilder::new(
        format!("wss://localhost:{port}/api/v1/live").parse().unwrap(),
    )
    .with_header("authorization", "Bearer viewer-secret");
    let (_, answer) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    assert_eq!(answer.status(), 101);
}
