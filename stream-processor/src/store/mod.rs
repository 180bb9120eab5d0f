//! Role `store`: `flow_deltas`, `flow_traces` and the raw spans of `otlp_spans` into ClickHouse, each exactly once.
//!
//! A batch is fixed offset ranges of one lane. Its ranges are journaled before the first insert and its end after
//! the last one; a batch that was begun is rebuilt from the same ranges into the same blocks, and ClickHouse drops
//! the blocks whose tokens it knows. Raw spans alone may stand twice: a span that Kafka holds twice is stored twice.
//!
//! ```text
//! preparation ── topics and tables as they must be; begun batches are done before tables change (migrate)
//! membership ─── who has which lane (one thread)
//!   └─ running ── one thread a lane: starts it again where that helps
//!        └─ worker ── collect ▶ begin ▶ send block by block ▶ done
//!             ├─ standing   where the lane goes on, by its journal
//!             ├─ servers    what it needs of Kafka, ClickHouse and time; `real` has the real ones
//!             └─ content    records ▶ rows ▶ blocks: deltas, flows, spans
//! ```

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
mod preparation;
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
use insert::{Inserter, PART};
use metrics::Metrics;
use process::Health;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::Rules;

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
    let prepared = preparation::prepare(&options, found.journal, &lanes, (&metrics, &health), &stop).await?;
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
