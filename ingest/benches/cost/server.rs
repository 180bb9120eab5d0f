//! The real program, and what the kernel says of it.

use crate::client::Protocol;
use anyhow::Context as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const READY_WITHIN: Duration = Duration::from_secs(30);
/// The kernel counts CPU time in steps of 10 ms.
const TICK_US: f64 = 10_000.0;

/// A running ingest. It doesn't outlive this.
pub struct Server {
    child: Child,
    grpc: SocketAddr,
    http: SocketAddr,
    admin: SocketAddr,
}

/// What it has used and done so far.
pub struct Used {
    pub user_us: f64,
    pub system_us: f64,
    pub peak_mib: f64,
    pub spans: f64,
    pub messages: f64,
    pub message_bytes: f64,
}

impl Server {
    /// Starts it with the defaults, for topics under this prefix.
    pub fn start(kafka: &str, prefix: &str) -> anyhow::Result<Self> {
        let (grpc, http, admin) = (free_port()?, free_port()?, free_port()?);
        let child = Command::new(env!("CARGO_BIN_EXE_ingest"))
            .args(["--kafka", kafka, "--topic-prefix", prefix, "--admin", &admin.to_string()])
            .args(["--listen-grpc", &grpc.to_string(), "--listen-http", &http.to_string()])
            .env("WEIR_LOG", "warn")
            .spawn()?;
        let server = Self { child, grpc, http, admin };
        let began = Instant::now();
        while !server.get("/ready").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            anyhow::ensure!(began.elapsed() < READY_WITHIN, "ingest does not get ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn address(&self, protocol: Protocol) -> SocketAddr {
        if protocol.is_grpc() { self.grpc } else { self.http }
    }

    pub fn used(&self) -> anyhow::Result<Used> {
        let of_process = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", self.id()));
        let stat = of_process("stat")?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |field: usize| fields[field].parse::<f64>().map(|ticks| ticks * TICK_US);
        let status = of_process("status")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        let metrics = self.get("/metrics")?;
        let metric = |name: &str| {
            let line =
                metrics.lines().find_map(|line| line.strip_prefix(&format!("weir_ingest_{name}_total ")));
            line.with_context(|| format!("there is no metric {name}"))?.parse::<f64>().context("no number")
        };
        Ok(Used {
            user_us: ticks(11)?,
            system_us: ticks(12)?,
            peak_mib: peak.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0,
            spans: metric("spans_accepted")?,
            messages: metric("messages")?,
            message_bytes: metric("message_bytes")?,
        })
    }

    fn get(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.admin)?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Server {
    /// SIGKILL.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
