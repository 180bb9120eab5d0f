//! Both servers of one data folder, or yours.

use super::clickhouse::ClickHouse;
use super::kafka::Kafka;
use super::packages;
use super::progress::Step;
use super::supervise::{Handle, Supervised};
use anyhow::Context;
use process::{ClickHouseOptions, Health, KafkaOptions};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Which servers to start, and where.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Folder for records, tables and logs of both.
    pub data_dir: PathBuf,
    /// Folder of the fetched packages.
    pub cache_dir: PathBuf,
    /// Where to start Kafka, or how to reach yours.
    pub kafka: Place<KafkaOptions>,
    /// Where to start ClickHouse, or how to reach yours.
    pub clickhouse: Place<ClickHouseOptions>,
    /// Where our ClickHouse speaks its native protocol too.
    pub clickhouse_native_port: Option<u16>,
}

/// A server of ours or of the user's.
#[derive(Clone, Debug)]
pub enum Place<T> {
    /// A child process that listens here.
    Child(SocketAddr),
    /// A server that is there already.
    Yours(Box<T>),
}

/// The running children and how to reach both servers.
pub struct Servers {
    /// How to reach Kafka.
    pub kafka: KafkaOptions,
    /// How to reach ClickHouse.
    pub clickhouse: ClickHouseOptions,
    children: Vec<Supervised>,
    health: Health,
}

impl Servers {
    /// Fetches what is missing and starts the children. Blocks for as long as that takes.
    pub fn start(plan: Plan) -> anyhow::Result<Self> {
        let data_dir = std::path::absolute(&plan.data_dir)?;
        let cache_dir = std::path::absolute(&plan.cache_dir)?;
        let mut servers = Vec::new();
        let kafka = match plan.kafka {
            Place::Yours(options) => *options,
            Place::Child(address) => {
                let libs = packages::kafka(&cache_dir)?;
                servers.push(Kafka { libs, folder: data_dir.join("kafka"), address }.prepare()?);
                KafkaOptions::plaintext(address.to_string())
            }
        };
        let clickhouse = match plan.clickhouse {
            Place::Yours(options) => *options,
            Place::Child(address) => {
                let library = packages::clickhouse(&cache_dir)?;
                let folder = data_dir.join("clickhouse");
                let native_port = plan.clickhouse_native_port;
                servers.push(ClickHouse { library, folder, address, native_port }.prepare()?);
                ClickHouseOptions::local(format!("http://{address}"))
            }
        };
        let health = Health::new();
        let children = servers.into_iter().map(|server| Supervised::start(server, health.clone()));
        let children = children.collect::<anyhow::Result<_>>()?;
        Ok(Self { kafka, clickhouse, children, health })
    }

    /// Waits until every child answers.
    ///
    /// # Errors
    /// One of them does not start; its last words are in the error.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        if self.children.is_empty() {
            return Ok(());
        }
        let step = Step::start("starting Kafka and ClickHouse");
        let health = self.health.clone();
        tokio::select! {
            () = health.wait_ready() => {}
            failure = self.failed() => return Err(failure),
        }
        step.done();
        Ok(())
    }

    /// Returns when a child could not be kept alive; while all is well it never does.
    pub async fn failed(&mut self) -> anyhow::Error {
        let mut look = tokio::time::interval(Duration::from_millis(200));
        loop {
            look.tick().await;
            if let Some(child) = self.children.iter_mut().find(|child| child.gave_up()) {
                let outcome = child.stop().context("a server can't be kept alive");
                return outcome.err().unwrap_or_else(|| anyhow::anyhow!("a server ended"));
            }
        }
    }

    /// The children from outside.
    pub fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.children.iter().map(Supervised::handle)
    }

    /// Stops the children, both at the same time.
    pub fn stop(self) -> anyhow::Result<()> {
        let stops: Vec<_> =
            self.children.into_iter().map(|mut child| std::thread::spawn(move || child.stop())).collect();
        for stop in stops {
            stop.join().map_err(|_| anyhow::anyhow!("stopping a server panicked"))??;
        }
        Ok(())
    }
}
