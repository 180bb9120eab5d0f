//! The real query-api, on a core of its own where that is asked for.

use crate::measured::{Process, free_address, metrics, sum};
use crate::topics::Topics;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// A running one.
pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
}

/// What it has counted.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// Backlogs that became snapshots.
    pub coalesced: f64,
    /// Sockets that were closed because nobody read.
    pub slow: f64,
}

impl Server {
    /// Starts it with the defaults, on these topics. It knows no ClickHouse, so what it has comes from Kafka alone.
    pub fn start(program: &Path, kafka: &str, topics: &Topics) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(program);
        command
            .args(["--kafka", kafka, "--topic-prefix", &topics.prefix, "--listen", &address.to_string()])
            .args(["--clickhouse", "http://127.0.0.1:9"])
            .env("WEIR_LOG", "error");
        Ok(Self { process: Process::start(&mut command)?, address })
    }

    /// Waits until it has read so many records of `flow_deltas`.
    pub fn wait_for_records(&mut self, records: f64) -> anyhow::Result<()> {
        let address = self.address;
        self.process.wait_until("the query-api reads flow_deltas", || {
            metrics(address).is_ok_and(|page| sum(&page, "weir_query_api_records_total") >= records)
        })
    }

    pub fn counted(&self) -> anyhow::Result<Counted> {
        let page = metrics(self.address)?;
        let counted = |name: &str| sum(&page, &format!("weir_query_api_{name}_total"));
        Ok(Counted { coalesced: counted("coalesced"), slow: counted("slow_clients") })
    }
}
