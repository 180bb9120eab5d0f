//! The user of docs/access.md who sees one environment only, in a ClickHouse of its own with Weir's tables.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use clickhouse::Client;
use schemas::migrations;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Migrations with the tables and views that the test reads.
const MIGRATIONS: [&str; 7] =
    ["functions", "otel_traces", "edges", "services", "operations", "endpoints", "views"];

struct Server {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Server {
    /// `None`, and a line that says so, where ClickHouse has not been fetched.
    async fn start(users: &str) -> Option<Self> {
        let Some(library) = library() else {
            println!("skipped: ClickHouse has not been fetched; `weir up` does");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        write_settings(folder.path(), users);
        let child = Command::new(env!("CARGO_BIN_EXE_weir"))
            .arg("run-clickhouse")
            .arg(library)
            .args(["clickhouse-local", "--listen_host=127.0.0.1", "--log-level=error"])
            .arg(format!("--config-file={}", folder.path().join("config.xml").display()))
            .arg(format!("--path={}", folder.path().join("tables").display()))
            .arg(format!("--http_port={port}"))
            // The engine ends by itself should this test not be able to end it.
            .arg("--query=SYSTEM START LISTEN HTTP; SELECT sleepEachRow(1) FROM numbers(120) FORMAT Null SETTINGS max_block_size = 1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, url: format!("http://127.0.0.1:{port}"), _folder: folder };
        let began = Instant::now();
        while server.ask("default", "SELECT count() FROM numbers(1)").await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "ClickHouse does not answer");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Some(server)
    }

    fn client(&self, user: &str) -> Client {
        Client::default().with_url(&self.url).with_user(user).with_database("weir")
    }

    async fn ask(&self, user: &str, sql: &str) -> Result<u64, clickhouse::error::Error> {
        self.client(user).with_database("default").query(sql).fetch_one().await
    }

    async fn execute(&self, sql: &str) {
        self.client("default")
            .query_raw(sql)
            .execute()
            .await
            .unwrap_or_else(|error| panic!("{error}\n{sql}"));
    }

    async fn texts(&self, user: &str, sql: &str) -> Result<Vec<String>, clickhouse::error::Error> {
        self.client(user).query(sql).fetch_all().await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where `weir up` has put ClickHouse.
fn library() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = variable("WEIR_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("weir")))
        .or_else(|| variable("HOME").map(|folder| folder.join(".cache/weir")))?;
    let servers = std::fs::read_dir(cache)
        .ok()?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("clickhouse-"));
    let packages =
        servers.filter_map(|server| std::fs::read_dir(server.path().join("node_modules/@chdb")).ok());
    let mut libraries =
        packages.flatten().filter_map(Result::ok).map(|package| package.path().join("libchdb.so"));
    libraries.find(|library| library.exists())
}

fn write_settings(folder: &Path, user: &str) {
    let users = format!(
        "<clickhouse><users><default><password></password><networks><ip>127.0.0.1</ip></networks>\
         <profile>default</profile><quota>default</quota></default>{user}</users>\
         <profiles><default></default><analyst><readonly>1</readonly></analyst></profiles>\
         <quotas><default></default><analyst></analyst></quotas></clickhouse>"
    );
    std::fs::write(folder.join("users.xml"), users).unwrap();
    let folder = folder.display();
    let config = format!(
        "<clickhouse><users_config>{folder}/users.xml</users_config><logger><level>error</level>\
         <log>{folder}/log</log><errorlog>{folder}/error.log</errorlog></logger></clickhouse>"
    );
    std::fs::write(format!("{folder}/config.xml"), config).unwrap();
}

/// The user as the documentation writes it.
fn documented() -> &'static str {
    let page = include_str!("../../docs/access.md");
    page.split_once("```xml\n").unwrap().1.split_once("```").unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_user_sees_one_environment() {
    let Some(server) = Server::start(documented()).await else { return };
    server
        .client("default")
        .with_database("default")
        .query_raw("CREATE DATABASE weir")
        .execute()
        .await
        .unwrap();
    for migration in migrations::ALL.iter().filter(|migration| MIGRATIONS.contains(&migration.name)) {
        for statement in migration.statements() {
            server.execute(statement).await;
        }
    }
    for environment in ["production", "staging"] {
        server
            .execute(&format!(
                "INSERT INTO operations_1m (window, environment, operation, flows, raw_flows) \
                 VALUES (toStartOfMinute(now()), '{environment}', 'login', 1, 1)"
            ))
            .await;
        server
            .execute(&format!(
                "INSERT INTO otel_traces (Timestamp, TraceId, ResourceAttributes) \
                 VALUES (now(), '{environment}', {{'deployment.environment.name': '{environment}'}})"
            ))
            .await;
    }
    let both = ["production", "staging"];
    for (sql, what) in [
        ("SELECT toString(environment) FROM operations_1m ORDER BY 1", "a table"),
        ("SELECT DISTINCT toString(environment) FROM operation_stats ORDER BY 1", "a view"),
        ("SELECT toString(Environment) FROM otel_traces ORDER BY 1", "raw spans"),
    ] {
        assert_eq!(server.texts("default", sql).await.unwrap(), both, "{what}, by its owner");
        assert_eq!(server.texts("analyst_production", sql).await.unwrap(), ["production"], "{what}");
    }
    for refused in [
        "SELECT TraceId FROM otel_traces_trace_id_ts",
        "SELECT toString(environment) FROM edges_1m",
        "SELECT toString(environment) FROM operations_1s",
        "SELECT * FROM url('http://127.0.0.1:1', 'CSV', 'a String')",
    ] {
        assert!(server.texts("analyst_production", refused).await.is_err(), "{refused}");
    }
    let write = "INSERT INTO operations_1m (window, environment) VALUES (now(), 'production')";
    assert!(server.client("analyst_production").query_raw(write).execute().await.is_err());
}
