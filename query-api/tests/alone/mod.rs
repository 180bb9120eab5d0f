//! A query API without Kafka and ClickHouse: who may ask is decided before either is needed.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use process::{ClickHouseOptions, Health, KafkaOptions};
use query_api::Options;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Grants and tokens, each named as its grant: the token of `viewer` is `viewer-secret`, and so on.
pub const TOKENS: &str = r#"
[[grant]]
name = "viewer"
role = "viewer"
claims = ["weir-viewers"]
[[grant]]
name = "analyst"
role = "analyst"
environments = ["production"]
namespaces = ["shop"]
claims = ["weir-analysts"]
[[grant]]
name = "admin"
role = "admin"
[[token]]
name = "viewer"
grant = "viewer"
sha256 = "VIEWER"
[[token]]
name = "analyst"
grant = "analyst"
sha256 = "ANALYST"
[[token]]
name = "admin"
grant = "admin"
sha256 = "ADMIN"
[[token]]
name = "old"
grant = "admin"
sha256 = "OLD"
expires = "2020-01-01T00:00:00Z"
"#;

/// A running query API.
pub struct Alone {
    pub address: SocketAddr,
    pub url: String,
    pub folder: tempfile::TempDir,
    client: Client,
    stop: CancellationToken,
}

/// An address nobody listens on.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// `TOKENS` with the digests of the secrets.
pub fn tokens() -> String {
    ["viewer", "analyst", "admin", "old"].iter().fold(TOKENS.to_owned(), |text, name| {
        text.replace(
            &format!("\"{}\"", name.to_uppercase()),
            &format!("\"{}\"", sha256(&format!("{name}-secret"))),
        )
    })
}

fn sha256(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn client() -> Client {
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

pub fn options() -> Options {
    let nobody = "127.0.0.1:1";
    Options::new(KafkaOptions::plaintext(nobody), ClickHouseOptions::local(format!("http://{nobody}")))
}

impl Alone {
    /// With this file for `--auth`.
    pub async fn with_auth(auth: &str) -> Self {
        Self::start(free_address(), Some(auth), |_| ()).await
    }

    /// With other options too.
    pub async fn start(address: SocketAddr, auth: Option<&str>, change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options();
        options.listen = address;
        options.auth = auth.map(|text| {
            let path = folder.path().join("auth.toml");
            std::fs::write(&path, text).unwrap();
            path
        });
        change(&mut options);
        let scheme = if options.tls_cert.is_some() { "https" } else { "http" };
        let (stop, health) = (CancellationToken::new(), Health::new());
        let running = tokio::spawn(query_api::run(options, health, stop.clone()));
        for _ in 0..400 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                let url = format!("{scheme}://{address}");
                return Self { address, url, folder, client: client(), stop };
            }
            assert!(!running.is_finished(), "{:?}", running.await);
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("nobody listens on {address}");
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(method.parse().unwrap(), format!("{}{path}", self.url))
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request("GET", path)
    }

    /// What somebody with a token hears.
    pub async fn ask(&self, path: &str, token: &str) -> Response {
        self.get(path).bearer_auth(token).send().await.unwrap()
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The code of a problem document, with its status checked.
pub async fn problem(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let document: Value = answer.json().await.unwrap();
    assert_eq!(document["status"], status);
    (status, document["code"].as_str().unwrap().to_owned())
}
