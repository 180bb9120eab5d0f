//! OTLP in, Kafka out: spans arrive over gRPC or HTTP, are checked, cut by partition, packed, and acknowledged to
//! their sender once Kafka has acknowledged them.
//!
//! ```text
//! door ▶ http │ grpc ▶ receiver: body ▶ encoding ▶ slice ▶ sink: packer ▶ producer ▶ otlp_spans
//!                          └─ undecodable ▶ dead_letters ▶ flow_dead_letters
//! ```
//!
//! No span is decoded on the way: its bytes are checked in place and copied once, into the message of its
//! partition. Every request pays for the memory it holds from one budget ([`pressure`]), and who finds it empty
//! is told to come back.

pub mod answer;
pub mod body;
pub mod buffer;
pub mod dead_letters;
pub mod door;
pub mod encoding;
pub mod grpc;
pub mod http;
pub mod json;
pub mod mend;
pub mod metrics;
pub mod options;
pub mod origin;
pub mod packer;
pub mod prepare;
pub mod pressure;
pub mod producer;
pub mod receiver;
pub mod refusal;
pub mod rejected;
pub mod shape;
pub mod sink;
pub mod slice;
pub mod topic;
pub mod wire;

pub use options::Options;

use crate::dead_letters::DeadLetters;
use crate::door::Door;
use crate::metrics::Metrics;
use crate::pressure::Pressure;
use crate::producer::Producer;
use crate::receiver::Receiver;
use crate::sink::Sink;
use anyhow::{Context, bail};
use process::{Health, KeptMemory};
use schemas::topics::OTLP_SPANS;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Connections may take this much longer than Kafka to end when the process stops.
const DRAIN_MARGIN: Duration = Duration::from_secs(2);

/// For requests, which come thousands of times a second: pages that went to the system and came back were a quarter of all
/// CPU time. By default glibc learns to keep large sizes too: a burst of 18 MB requests then left 460 MiB resident, against
/// 32 MiB.
pub const KEPT_MEMORY: KeptMemory = KeptMemory { large_bytes: 1 << 20, kept_bytes: 8 << 20 };

/// Runs until `stop`, then takes nothing more, brings what it has to Kafka, answers it and returns.
///
/// # Errors
/// Options that can't work, a taken port, no Kafka or no topic.
pub async fn run(options: Options, health: Health, stop: CancellationToken) -> anyhow::Result<()> {
    options.check()?;
    health.ready("kafka", false, "connecting");
    let pressure = Pressure::new(options.max_memory_bytes);
    let mut registry = process::Metrics::new("ingest");
    let metrics = Metrics::register(registry.role(), pressure.clone());
    let router = process::admin_router(registry.share(), health.clone());
    // The admin port outlives `stop`: whoever drains us wants to see it.
    let drained = CancellationToken::new();
    let mut admin = tokio::spawn(process::serve_admin(options.admin, router, drained.clone()));
    tokio::select! {
        result = serve(&options, pressure, metrics, &health, stop) => {
            result?;
            drained.cancel();
            admin.await?
        }
        failed = &mut admin => failed?,
    }
}

async fn serve(
    options: &Options,
    pressure: Pressure,
    metrics: Metrics,
    health: &Health,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let origins = options.origins()?;
    let (grpc, http) = (listen(options.listen_grpc).await?, listen(options.listen_http).await?);
    let producer = Producer::new(options)?;
    let start_time = Duration::from_millis(options.start_timeout_ms);
    let Some(partitions) = topic::wait_for_partitions(&producer, OTLP_SPANS, start_time, &stop).await? else {
        return Ok(());
    };
    let (sink, mut lanes) = Sink::start(&producer, partitions, options.packing(), &metrics);
    let (dead_letters, letters) = DeadLetters::start(&producer, options.dead_letters_per_second, &metrics);
    let receiver =
        Receiver::new(options.receiver_limits(partitions), pressure, sink, dead_letters, metrics.clone());
    let receiver = Arc::new(receiver);

    let seats = Arc::new(Semaphore::new(options.max_connections.into()));
    let door = |listener, app| {
        let door = Door { listener, app, seats: seats.clone(), metrics: metrics.clone() };
        tokio::spawn(door.serve(stop.clone(), options.ack_time() + DRAIN_MARGIN))
    };
    let doors = (door(grpc, grpc::app(receiver.clone())), door(http, http::app(receiver, &origins)));
    tracing::info!(partitions, grpc = %options.listen_grpc, http = %options.listen_http, "spans are taken");
    tokio::select! {
        () = topic::watch(&producer, partitions, health, &stop) => {}
        // After a stop they end when the last connection is gone, which may be before the watch returns.
        Some(ended) = lanes.join_next() => if !stop.is_cancelled() {
            bail!("the writer of a partition ended: {ended:?}")
        },
    }

    health.ready("kafka", false, "stopping");
    let (_, _) = tokio::join!(doors.0, doors.1);
    drain(lanes, letters).await;
    Ok(())
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("can't listen on {address} for spans"))
}

/// The writers end once the last connection, and with it the last sender of their channels, is gone.
async fn drain(mut lanes: JoinSet<()>, letters: JoinHandle<()>) {
    let ended = timeout(DRAIN_MARGIN, async move {
        while lanes.join_next().await.is_some() {}
        letters.await
    });
    if ended.await.is_err() {
        tracing::warn!(
            "messages were left that Kafka had not acknowledged; neither were they to their senders"
        );
    }
}
