//! `weir up`: the whole river on one machine.

mod given;

use crate::river::River;
use crate::servers::children::{Place, Plan};
use crate::servers::packages;
use crate::servers::ports::Wanted;
use crate::topics::Wish;
pub use given::{GivenClickHouse, GivenKafka};
use process::stop_on_signal;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Flags of `weir up`.
#[derive(clap::Args, Clone, Debug)]
// Groups are named after structs, and several here are called Options.
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// Yours instead of a child.
    #[command(flatten)]
    pub kafka: GivenKafka,
    /// Yours instead of a child.
    #[command(flatten)]
    pub clickhouse: GivenClickHouse,
    /// Where children listen and what they keep.
    #[command(flatten)]
    pub machine: Machine,
    /// Where the roles listen.
    #[command(flatten)]
    pub ports: RolePorts,
    /// What the topics should be like.
    #[command(flatten)]
    pub topics: Wish,
}

const EXAMPLES: &str = "\
Examples:
  weir up                                                   everything here, data in ./.weir
  weir up --kafka broker:9092 --clickhouse http://ch:8123   the same with your own servers
  weir up --data-dir /tmp/second --admin-port 23133 \\
      --kafka-port 19092 --clickhouse-port 18123 --listen 127.0.0.1:18080 \\
      --grpc 127.0.0.1:14317 --http 127.0.0.1:14318         a second one beside it

The other flags of the roles are set by their environment variables: see
`weir ingest --help` and so on. Ctrl-C drains and stops everything, a second
Ctrl-C stops at once. The log goes to standard error (WEIR_LOG=info for more).";

/// Children and their folders.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "This machine")]
pub struct Machine {
    /// Folder for Kafka's records, ClickHouse's tables and their logs.
    #[arg(long, env = "WEIR_DATA_DIR", value_name = "FOLDER", default_value = ".weir")]
    pub data_dir: PathBuf,
    /// Folder for the fetched servers [default: ~/.cache/weir]
    #[arg(long, env = "WEIR_CACHE", value_name = "FOLDER")]
    pub cache_dir: Option<PathBuf>,
    /// Port of the Kafka that is started.
    #[arg(long, env = "WEIR_KAFKA_PORT", value_name = "PORT", default_value_t = 9092)]
    pub kafka_port: u16,
    /// HTTP port of the ClickHouse that is started.
    #[arg(long, env = "WEIR_CLICKHOUSE_PORT", value_name = "PORT", default_value_t = 8123)]
    pub clickhouse_port: u16,
    /// Port of ClickHouse's native protocol, which nothing of Weir needs; closed unless given.
    #[arg(long, env = "WEIR_CLICKHOUSE_NATIVE_PORT", value_name = "PORT")]
    pub clickhouse_native_port: Option<u16>,
    /// Starts Kafka and ClickHouse with topics and tables and none of the roles, for working on those.
    #[arg(long, env = "WEIR_SERVERS_ONLY")]
    pub servers_only: bool,
}

/// Addresses of the roles.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Roles")]
pub struct RolePorts {
    /// OTLP over gRPC.
    #[arg(long, env = "WEIR_GRPC", value_name = "HOST:PORT", default_value = "127.0.0.1:4317")]
    pub grpc: SocketAddr,
    /// OTLP over HTTP.
    #[arg(long, env = "WEIR_HTTP", value_name = "HOST:PORT", default_value = "127.0.0.1:4318")]
    pub http: SocketAddr,
    /// The API and the page.
    #[arg(long, env = "WEIR_LISTEN", value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Health and metrics: ingest's port; the processor has the next one and the store the one after that.
    #[arg(long, env = "WEIR_ADMIN_PORT", value_name = "PORT", default_value_t = 13133, value_parser = clap::value_parser!(u16).range(1..=65533))]
    pub admin_port: u16,
}

impl RolePorts {
    /// Address of the n-th role's health and metrics.
    pub fn admin(&self, nth: u16) -> SocketAddr {
        local(self.admin_port + nth)
    }

    /// The n-th role's metrics page.
    #[allow(clippy::expect_used, reason = "an address makes a URL")]
    pub fn metrics(&self, nth: u16) -> reqwest::Url {
        format!("http://{}/metrics", self.admin(nth)).parse().expect("an address makes a URL")
    }
}

impl Options {
    /// Every port that will be listened on.
    pub fn wanted(&self) -> Vec<Wanted> {
        let Machine { kafka_port, clickhouse_port, clickhouse_native_port, .. } = self.machine;
        let mut wanted = Vec::new();
        let mut want = |what, flag, address| wanted.push(Wanted { what, flag, address });
        if self.kafka.0.is_none() {
            want("Kafka", "--kafka-port", local(kafka_port));
        }
        if self.clickhouse.0.is_none() {
            want("ClickHouse", "--clickhouse-port", local(clickhouse_port));
            if let Some(port) = clickhouse_native_port {
                want("ClickHouse's native protocol", "--clickhouse-native-port", local(port));
            }
        }
        if !self.machine.servers_only {
            want("OTLP over gRPC", "--grpc", self.ports.grpc);
            want("OTLP over HTTP", "--http", self.ports.http);
            want("the API", "--listen", self.ports.listen);
            want("health of ingest", "--admin-port", self.ports.admin(0));
            want("health of the processor", "--admin-port", self.ports.admin(1));
            want("health of the store", "--admin-port", self.ports.admin(2));
        }
        wanted
    }

    /// Which servers to start.
    pub fn plan(&self) -> Plan {
        let machine = &self.machine;
        Plan {
            data_dir: machine.data_dir.clone(),
            cache_dir: machine.cache_dir.clone().unwrap_or_else(packages::default_cache_dir),
            kafka: place(self.kafka.0.as_ref(), machine.kafka_port),
            clickhouse: place(self.clickhouse.0.as_ref(), machine.clickhouse_port),
            clickhouse_native_port: machine.clickhouse_native_port,
        }
    }
}

/// Runs the command.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let stop = stop_on_signal();
    let Some(mut river) = River::start(options, &stop).await? else { return Ok(()) };
    river.announce();
    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(()),
        failure = river.failed() => Err(failure),
    };
    let drained = river.drain().await;
    outcome.and(drained)
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn place<T: Clone>(given: Option<&T>, port: u16) -> Place<T> {
    match given {
        Some(options) => Place::Yours(Box::new(options.clone())),
        None => Place::Child(local(port)),
    }
}

#[cfg(test)]
mod tests;
