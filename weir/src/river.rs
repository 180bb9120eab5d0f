//! Everything `weir up` runs: servers, topics, tables and roles, started in the order of the flow and drained in it.

use crate::roles::{self, Role};
use crate::servers::children::Servers;
use crate::servers::lock::DataLock;
use crate::servers::ports;
use crate::servers::progress::Step;
use crate::servers::supervise::Handle;
use crate::topics;
use crate::up::Options;
use anyhow::Context;
use loadtest::demo::Targets;
use tokio_util::sync::CancellationToken;

/// A running river.
pub struct River {
    options: Options,
    servers: Servers,
    roles: Vec<Role>,
    _lock: DataLock,
}

impl River {
    /// Starts everything and returns when all of it is ready, or `None` if `stop` came first.
    ///
    /// # Errors
    /// Another weir uses the data folder, a port is taken, a server or a role does not start.
    pub async fn start(options: Options, stop: &CancellationToken) -> anyhow::Result<Option<Self>> {
        let lock = DataLock::take(&options.machine.data_dir)?;
        let (wanted, plan) = (options.wanted(), options.plan());
        let servers = tokio::task::spawn_blocking(move || {
            ports::require_free(&wanted)?;
            Servers::start(plan)
        });
        let servers = servers.await??;
        let mut river = Self { options, servers, roles: Vec::new(), _lock: lock };

        let outcome = tokio::select! {
            () = stop.cancelled() => None,
            outcome = river.fill() => Some(outcome),
        };
        match outcome {
            Some(Ok(())) => Ok(Some(river)),
            Some(Err(error)) => {
                // The first failure is the reason; those of the way out follow from it.
                let _ = river.drain().await;
                Err(error)
            }
            None => river.drain().await.map(|()| None),
        }
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        self.servers.ready().await?;
        self.create_topics().await?;
        let step = Step::start("applying ClickHouse migrations");
        roles::migrate(&self.servers.clickhouse).await?;
        step.done();
        if self.options.machine.servers_only {
            return Ok(());
        }
        let step = Step::start("starting ingest, processor, store and query-api");
        self.roles = roles::start_all(&self.options, &self.servers.kafka, &self.servers.clickhouse)?;
        roles::all_ready(&mut self.roles).await?;
        step.done();
        Ok(())
    }

    async fn create_topics(&self) -> anyhow::Result<()> {
        let kafka = self.servers.kafka.clone();
        let wish = self.options.topics.clone();
        let name = format!("the topics on {} are not fit for Weir", kafka.kafka);
        tokio::task::spawn_blocking(move || topics::ensure(&kafka, &wish, false)).await?.context(name)?;
        Ok(())
    }

    /// Returns the reason when a role or a server ends by itself.
    pub async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            failure = roles::first_failure(&mut self.roles) => failure,
            failure = self.servers.failed() => failure,
        }
    }

    /// Stops in the order of the flow, so that what is on its way arrives: ingest, processor, store, query-api, and
    /// the servers last.
    ///
    /// # Errors
    /// The first role or server that did not stop cleanly; the others are stopped all the same.
    pub async fn drain(self) -> anyhow::Result<()> {
        let step = Step::start("draining");
        let mut outcome = Ok(());
        for role in self.roles {
            outcome = outcome.and(role.drain().await);
        }
        let servers = self.servers;
        let stopped = tokio::task::spawn_blocking(move || servers.stop()).await?;
        step.done();
        outcome.and(stopped)
    }

    /// The servers it has started, from outside.
    pub fn servers(&self) -> impl Iterator<Item = &Handle> {
        self.servers.handles()
    }

    /// Where a client of this river sends and asks.
    pub fn targets(&self) -> Targets {
        let ports = &self.options.ports;
        Targets {
            otlp_grpc: format!("http://{}", ports.grpc),
            otlp_http: format!("http://{}", ports.http),
            api: format!("http://{}", ports.listen),
            clickhouse: self.servers.clickhouse.clone(),
            kafka: self.servers.kafka.clone(),
        }
    }

    /// Prints where everything is.
    pub fn announce(&self) {
        let Options { ports, machine, .. } = &self.options;
        println!();
        if machine.servers_only {
            println!("  Kafka and ClickHouse are ready.");
        } else {
            println!("  Weir is ready.");
            println!();
            println!("  live graph    http://{}/", ports.listen);
            println!("  API           http://{}/api/v1/graph", ports.listen);
            println!(
                "  send spans    OTLP/gRPC http://{}   OTLP/HTTP http://{}/v1/traces",
                ports.grpc, ports.http
            );
            let [ingest, processor, store] = [0, 1, 2].map(|nth| ports.admin(nth).port());
            println!(
                "  health        /ready and /metrics: ingest {ingest}, processor {processor}, store {store}"
            );
        }
        println!("  Kafka         {}", self.servers.kafka.kafka);
        println!("  ClickHouse    {}", self.servers.clickhouse.clickhouse);
        println!("  data          {}", machine.data_dir.display());
        println!();
        println!("  Ctrl-C drains and stops everything.");
        println!();
    }
}
