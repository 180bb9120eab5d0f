//! Role `processor`: spans from Kafka in, flow graphs to Kafka out.
//!
//! ```text
//! membership ── who owns which partition (one thread)
//!   └─ driver ── one thread a partition: poll ▶ apply ▶ commit
//!        ├─ broker       what it needs of Kafka and of time; `kafka` is the real one
//!        ├─ intake       record ▶ spans ▶ stitcher::Shard, or a dead letter
//!        ├─ work         the shard and what is not committed yet
//!        ├─ encode       stitcher::Commit ▶ records, by `deltas` and `wire`
//!        ├─ journal      what a successor needs ▶ records, and back
//!        ├─ rebuild      a shard in the making
//!        ├─ standby      a copy of a shard that another process owns
//!        ├─ kafka        input, ledgers, and one transaction a commit, under a watchdog
//!        └─ recovery     a shard as its predecessor left it
//! ```
//!
//! Each partition has its own consumer and its own transactional producer, so that one thread owns everything a
//! shard needs and a rebalance only starts and ends threads. The group's consumer never fetches.

pub mod broker;
mod deltas;
pub mod doctor;
mod driver;
mod encode;
mod failure;
mod intake;
mod journal;
mod kafka;
mod membership;
mod metrics;
mod options;
mod rebuild;
mod recovery;
mod running;
mod standby;
mod topics;
mod wire;
mod work;

pub use options::{FirstBoot, Options, RecordAt};

/// One shard without threads and without a consumer group: what a simulator needs to run it on a broker of its own, and
/// a benchmark to measure it on the real one.
pub mod shard {
    pub use super::Room;
    pub use super::driver::{Driver, Told};
    pub use super::encode::{Output, Record, encoded_bytes};
    pub use super::failure::Failure;
    pub use super::journal::{Reach, mistake};
    pub use super::kafka::Kafka;
    pub use super::metrics::ProcessorMetrics;
    pub use super::recovery::{Recovery, Rules};
    pub use super::running::Progress;
    pub use super::standby::{Copy, Kept};
    pub use super::work::Work;
}

use anyhow::Context;
use metrics::ProcessorMetrics;
use process::{Health, KeptMemory};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use topics::Topics;

/// What every shard of a process uses and none of them changes.
pub struct Room {
    options: Options,
    topics: Topics,
    /// Of `otlp_spans`.
    partitions: u32,
    metrics: ProcessorMetrics,
}

impl Room {
    /// Topics are named as the options say, and `otlp_spans` has so many partitions.
    pub fn new(options: Options, partitions: u32, metrics: ProcessorMetrics) -> Self {
        Self { topics: Topics::named(&options.topic_prefix), options, partitions, metrics }
    }
}

const PART: &str = "processor";

/// For fetched spans, which are read and gone, and for shards, whose memory comes and goes with flows: with the thresholds
/// that glibc learns by itself the processor took 7 % more CPU time, and a tenth less memory.
pub const KEPT_MEMORY: KeptMemory = KeptMemory { large_bytes: 32 << 20, kept_bytes: 256 << 20 };

/// Runs until `stop`, then commits what the shards have and returns. Open traces stay open.
///
/// # Errors
/// One sentence, when the topics can't work, a shard can't go on, or the address for metrics is taken.
pub async fn run(options: Options, health: Health, stop: CancellationToken) -> anyhow::Result<()> {
    health.ready(PART, false, "starting");
    let mut registry = process::Metrics::new("processor");
    let metrics = ProcessorMetrics::register(registry.role());
    // The admin server outlives the shards: it tells how the drain goes.
    let drained = CancellationToken::new();
    let router = process::admin_router(registry.share(), health.clone());
    let admin = tokio::spawn(process::serve_admin(options.admin, router, drained.clone()));

    let worked = tokio::select! {
        worked = work(options, metrics, &health, &stop) => worked,
        failed = ended_early(admin, &drained) => failed,
    };
    drained.cancel();
    health.ready(PART, false, "stopped");
    worked
}

async fn work(
    options: Options,
    metrics: ProcessorMetrics,
    health: &Health,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let topics = Topics::named(&options.topic_prefix);
    let Some(partitions) = topics::wait_until_usable(&options, &topics, health, stop).await? else {
        return Ok(());
    };
    tracing::info!(partitions, topic = topics.spans, "the topics are as they must be");
    let room = Arc::new(Room::new(options, partitions, metrics));
    // The threads end with this future too, should somebody drop it.
    let stop = stop.child_token();
    let _ends = stop.clone().drop_guard();
    let health = health.clone();
    tokio::task::spawn_blocking(move || membership::run(room, &health, &stop))
        .await
        .context("the thread that keeps the group membership crashed")?
}

/// Ends only when the admin server does so on its own, which means that it failed.
async fn ended_early(
    admin: tokio::task::JoinHandle<anyhow::Result<()>>,
    drained: &CancellationToken,
) -> anyhow::Result<()> {
    let served = admin.await.context("the server for health and metrics crashed")?;
    if served.is_ok() {
        drained.cancelled().await;
    }
    served
}
