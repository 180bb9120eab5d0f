//! A real Prometheus that scrapes `/metrics/graph` as `deploy/services/prometheus` says, only more often.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const CONFIG: &str = include_str!("../../../deploy/services/prometheus/prometheus.yml");

/// Labels of a series with its value.
pub type Sample = (BTreeMap<String, String>, f64);

/// A running Prometheus. It ends with this.
pub struct Prometheus {
    url: String,
    child: Child,
    folder: tempfile::TempDir,
    client: reqwest::Client,
}

impl Prometheus {
    /// `None`, and a line that says so, where there is no Prometheus.
    pub async fn scraping(api: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let target = api.strip_prefix("http://").unwrap();
        assert!(CONFIG.contains("127.0.0.1:8080") && CONFIG.contains("scrape_interval: 15s"));
        let config =
            CONFIG.replace("127.0.0.1:8080", target).replace("scrape_interval: 15s", "scrape_interval: 1s");
        let path = folder.path().join("prometheus.yml");
        std::fs::write(&path, config).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let started = Command::new("prometheus")
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--enable-feature=exemplar-storage")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let Ok(child) = started else {
            println!("skipped: prometheus is missing (Debian's package of that name)");
            return None;
        };
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let prometheus = Self { url: format!("http://{address}"), child, folder, client };
        prometheus.until("up", |samples| samples.iter().any(|(_, up)| *up == 1.0)).await;
        Some(prometheus)
    }

    /// The answer to a question of Prometheus' API.
    pub async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let url = format!("{}/api/v1/{path}", self.url);
        let url = reqwest::Url::parse_with_params(&url, parameters).unwrap();
        match self.client.get(url).send().await {
            Ok(answer) => answer.json().await.unwrap(),
            // It has not begun to listen.
            Err(_) => Value::Null,
        }
    }

    /// The samples of an expression now. Fails where it is an error.
    pub async fn query(&self, expression: &str) -> Vec<Sample> {
        let answer = self.ask("query", &[("query", expression)]).await;
        assert_eq!(answer["status"], "success", "{expression}: {answer:#}");
        let result = answer["data"]["result"].as_array().unwrap();
        result.iter().map(sample).collect()
    }

    /// Asks until `wanted` is so; fails with the last answer and the log when that takes too long.
    pub async fn until(&self, expression: &str, wanted: impl Fn(&[Sample]) -> bool) -> Vec<Sample> {
        let mut last = Value::Null;
        for _ in 0..600 {
            last = self.ask("query", &[("query", expression)]).await;
            let samples: Vec<Sample> =
                last["data"]["result"].as_array().into_iter().flatten().map(sample).collect();
            if wanted(&samples) {
                return samples;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{expression} did not become what was wanted: {last:#}\n{}", self.log());
    }

    /// Warnings and errors of its log.
    pub fn complaints(&self) -> Vec<String> {
        let bad = |line: &&str| line.contains("level=warn") || line.contains("level=error");
        self.log().lines().filter(bad).map(str::to_owned).collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

fn sample(sample: &Value) -> Sample {
    let labels = sample["metric"].as_object().unwrap().iter();
    let labels = labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
    (labels, sample["value"][1].as_str().unwrap().parse().unwrap())
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
