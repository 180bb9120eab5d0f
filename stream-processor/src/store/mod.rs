//! Role `store`: `flow_deltas`, `flow_traces` and the raw spans of `otlp_spans` into ClickHouse, each exactly once.
//!
//! A batch is fixed offset ranges of one lane. Its ranges are journaled before the first insert and its end after
//! the last one; a batch that was begun is rebuilt from the same ranges into the same blocks, and ClickHouse drops
//! the blocks whose tokens it knows. Raw spans alone may stand twice: a span that Kafka holds twice is stored twice.

mod attribute_text;
mod batch;
mod block;
mod content;
mod deltas;
pub mod doctor;
mod failure;
mod flows;
mod insert;
mod journal;
mod lane;
mod membership;
mod metrics;
mod migrate;
mod names;
mod options;
mod real;
mod rollup;
mod row_binary;
mod running;
mod sequence;
mod servers;
mod spans;
mod standing;
mod topics;
mod worker;

pub use migrate::migrate;
pub use options::Options;

/// One lane without threads and without a consumer group: what a simulator needs to run it on servers of its own.
pub mod alone {
    pub use super::block::{BatchId, Block};
    pub use super::content::{Content, Record};
    pub use super::failure::Failure;
    pub use super::journal::{Entry, Range};
    pub use super::lane::{Lane, Source as Topic, lanes};
    pub use super::metrics::Metrics;
    pub use super::sequence::Sequences;
    pub use super::servers::{Servers, Source, Stored, Watermarks, Writer};
    pub use super::worker::{Rules, Worker, taken_from};
}

use anyhow::Context;
use failure::Failure;
use insert::{Inserter, PART};
use lane::Lane;
use metrics::Metrics;
use migrate::Schema;
use process::Health;
use real::Real;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::Rules;

const TRY_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Health of the topics.
const KAFKA: &str = "kafka";

/// Runs the role until `stop`, then finishes the batch at hand and returns.
///
/// # Errors
/// The address of the admin server is taken, the tables or topics can't work, or a lane can't go on.
pub async fn run(options: Options, health: Health, stop: CancellationToken) -> anyhow::Result<()> {
    health.ready(PART, false, "connecting");
    health.ready(KAFKA, false, "connecting");
    let mut registry = process::Metrics::new("store");
    let metrics = Metrics::register(registry.role());
    let router = process::admin_router(registry.share(), health.clone());
    // A lane or the admin server that fails takes the others down with it; the caller's token stays its own.
    let stop = stop.child_token();
    let mut tasks = JoinSet::new();
    tasks.spawn(process::serve_admin(options.admin, router, stop.clone()));
    tasks.spawn(store(options, metrics, health, stop.clone()));
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.map_err(anyhow::Error::from).and_then(|result| result);
        stop.cancel();
        outcome = outcome.and(ended);
    }
    outcome
}

async fn store(
    options: Options,
    metrics: Metrics,
    health: Health,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Some(found) = topics::wait_until_there(&options, &health, &stop).await? else { return Ok(()) };
    let lanes = lane::lanes(found.deltas, found.flows, found.spans);
    let prepared = prepare(&options, found.journal, &lanes, (&metrics, &health), &stop).await?;
    let Some(shared) = prepared else { return Ok(()) };
    // The threads end with this future too, should somebody drop it.
    let stop = stop.child_token();
    let _ends = stop.clone().drop_guard();
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || membership::run(shared, lanes, runtime, &stop))
        .await
        .context("the thread that keeps the group membership crashed")?
}

/// What all lanes of a process use and none of them changes.
struct Shared {
    options: Options,
    rules: Rules,
    journal_partitions: i32,
    inserter: Inserter,
    metrics: Metrics,
    health: Health,
}

/// Names this run of this process, and no other: processes of two machines may well have the same number.
fn owner() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", std::process::id(), since.as_micros())
}

/// Brings the tables to the newest schema. Where a store has written, every lane is taken before anything changes.
async fn bring_up(
    schema: Schema,
    shared: &Arc<Shared>,
    lanes: &[Lane],
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    if schema.needs_finished_batches() {
        for lane in lanes {
            let (shared, lane) = (Arc::clone(shared), lane.clone());
            let (runtime, stop) = (Handle::current(), stop.clone());
            let taken = tokio::task::spawn_blocking(move || {
                let servers = Real::new(&shared, &lane, &runtime, &stop);
                running::take_for_schema(&servers, &lane, &shared.rules, &shared.metrics)
            });
            taken.await?.context("the tables are not changed before every batch is done")?;
        }
    }
    schema.apply().await
}

/// Waits for ClickHouse and prepares it; `None` when stopped before. Only what waiting can mend is waited for.
async fn prepare(
    options: &Options,
    journal_partitions: i32,
    lanes: &[Lane],
    (metrics, health): (&Metrics, &Health),
    stop: &CancellationToken,
) -> anyhow::Result<Option<Arc<Shared>>> {
    let rules = options.rules(&owner());
    while !stop.is_cancelled() {
        let prepared = async {
            let schema = Schema::look(&options.clickhouse).await?;
            let inserter = Inserter::open(&options.clickhouse, health.clone(), metrics.clone()).await?;
            let (options, rules) = (options.clone(), rules.clone());
            let (metrics, health) = (metrics.clone(), health.clone());
            let shared = Arc::new(Shared { options, rules, journal_partitions, inserter, metrics, health });
            bring_up(schema, &shared, lanes, stop).await?;
            anyhow::Ok(shared)
        };
        match prepared.await {
            Ok(shared) => {
                health.ready(PART, true, "");
                return Ok(Some(shared));
            }
            Err(error) if is_passing(&error) => {
                health.ready(PART, false, &format!("{error:#}"));
                tracing::warn!("tables: {error:#}");
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(TRY_AGAIN_AFTER) => {}
        }
    }
    Ok(None)
}

fn is_passing(error: &anyhow::Error) -> bool {
    use clickhouse::error::Error;
    error.chain().any(|cause| {
        matches!(cause.downcast_ref::<Error>(), Some(Error::Network(_) | Error::TimedOut))
            || cause.downcast_ref::<Failure>().is_some_and(|failure| !matches!(failure, Failure::Refused(_)))
    })
}
