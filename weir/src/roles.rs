//! The roles: as subcommands of their own, and together in the process of `weir up`.

mod task;

use crate::up;
use anyhow::Context;
use clap::{Args, FromArgMatches};
use process::{ClickHouseOptions, Health, KafkaOptions, stop_on_signal};
use std::net::SocketAddr;
use std::time::Duration;
use stream_processor::{processor, store};

pub use task::Role;

/// The subcommands that are a role.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Command {
    /// Runs one role: takes spans over OTLP and brings them to Kafka
    Ingest(Box<ingest::Options>),
    /// Runs one role: turns spans into flow graphs, Kafka to Kafka
    Processor(Box<processor::Options>),
    /// Runs one role: carries flow graphs and raw spans into ClickHouse
    Store(Box<store::Options>),
    /// Runs one role: answers REST and WebSocket clients and serves the page
    QueryApi(Box<query_api::Options>),
}

/// Runs one role until a signal.
pub async fn run(command: Command) -> anyhow::Result<()> {
    let (health, stop) = (Health::new(), stop_on_signal());
    match command {
        Command::Ingest(_) => ingest::KEPT_MEMORY.apply(),
        Command::Processor(_) => processor::KEPT_MEMORY.apply(),
        Command::Store(_) | Command::QueryApi(_) => {}
    }
    match command {
        Command::Ingest(options) => ingest::run(*options, health, stop).await,
        Command::Processor(options) => processor::run(*options, health, stop).await,
        Command::Store(options) => store::run(*options, health, stop).await,
        Command::QueryApi(options) => query_api::run(*options, health, stop).await,
    }
}

impl Command {
    /// Its name in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ingest(_) => "ingest",
            Self::Processor(_) => "processor",
            Self::Store(_) => "store",
            Self::QueryApi(_) => "query-api",
        }
    }
}

/// Applies the migrations; a server that has just answered for the first time may still refuse some work.
pub async fn migrate(clickhouse: &ClickHouseOptions) -> anyhow::Result<()> {
    const TRIES: u32 = 5;
    for _ in 1..TRIES {
        match store::migrate(clickhouse).await {
            Ok(()) => return Ok(()),
            Err(error) => tracing::info!("ClickHouse is not ready for migrations: {error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let context = || format!("the migrations of {} failed", clickhouse.clickhouse);
    store::migrate(clickhouse).await.with_context(context)
}

/// Starts every role of `weir up`, in the order of the flow.
///
/// # Errors
/// A role's environment variable has a bad value.
pub fn start_all(
    up: &up::Options,
    kafka: &KafkaOptions,
    clickhouse: &ClickHouseOptions,
) -> anyhow::Result<Vec<Role>> {
    let up::RolePorts { grpc, http, listen, .. } = up.ports;
    let mut ingest: ingest::Options =
        with_flags(&[("--listen-grpc", grpc), ("--listen-http", http), ("--admin", up.ports.admin(0))])?;
    ingest.kafka = kafka.clone();
    let mut processor: processor::Options = with_flags(&[("--admin", up.ports.admin(1))])?;
    processor.kafka = kafka.clone();
    let mut store: store::Options = with_flags(&[("--admin", up.ports.admin(2))])?;
    store.kafka = kafka.clone();
    store.clickhouse = clickhouse.clone();
    let mut query_api: query_api::Options = with_flags(&[("--listen", listen)])?;
    query_api.roles = [0, 1, 2].map(|nth| up.ports.metrics(nth)).to_vec();
    query_api.kafka = kafka.clone();
    query_api.clickhouse = clickhouse.clone();
    Ok(vec![
        Role::start("ingest", |health, stop| ingest::run(ingest, health, stop)),
        Role::start("processor", |health, stop| processor::run(processor, health, stop)),
        Role::start("store", |health, stop| store::run(store, health, stop)),
        Role::start("query-api", |health, stop| query_api::run(query_api, health, stop)),
    ])
}

/// A role's options from these flags, its environment variables and its defaults.
fn with_flags<T: Args + FromArgMatches>(flags: &[(&str, SocketAddr)]) -> anyhow::Result<T> {
    let command = T::augment_args(clap::Command::new("role").no_binary_name(true));
    let args = flags.iter().flat_map(|(flag, address)| [(*flag).to_owned(), address.to_string()]);
    Ok(T::from_arg_matches(&command.try_get_matches_from(args)?)?)
}

/// Returns when every role is ready.
///
/// # Errors
/// The first role that ends before.
pub async fn all_ready(roles: &mut [Role]) -> anyhow::Result<()> {
    let healths: Vec<Health> = roles.iter().map(|role| role.health.clone()).collect();
    let ready = async {
        for health in healths {
            health.wait_ready().await;
        }
    };
    tokio::select! {
        () = ready => Ok(()),
        failure = first_failure(roles) => Err(failure),
    }
}

/// Returns when a role ends by itself, with its reason.
pub async fn first_failure(roles: &mut [Role]) -> anyhow::Error {
    let mut look = tokio::time::interval(Duration::from_millis(200));
    loop {
        look.tick().await;
        for role in roles.iter_mut() {
            if let Some(failure) = role.failure().await {
                return failure;
            }
        }
    }
}
