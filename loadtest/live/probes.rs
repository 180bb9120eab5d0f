//! Spans that are recognised again. Each is a call of an edge that nobody else calls; those of a shard form an
//! environment of their own, so that its n-th call is the n-th span that was written to the partition.

use crate::frame::number;
use crate::subscribers::{listen_to, now_us, open};
use crate::topics::Topics;
use anyhow::{Context as _, ensure};
use loadtest::latency;
use process::KafkaOptions;
use prost::Message as _;
use rand::Rng as _;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use schemas::topics::{FLOW_DELTAS, OTLP_SPANS, partition_of};
use schemas::v1::FlowDeltas;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Partitions, each with spans of its own.
pub const PROBED: u32 = 2;
/// Between two spans on average; not in step with commits or updates.
const EVERY_MS: u64 = 10;
/// Until commits and frames are followed.
const SETTLE: Duration = Duration::from_secs(1);
/// How long the last ones may take.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);
/// A frame of one edge is looked at as a whole.
const HEAD_BYTES: usize = 64 << 10;

/// What became of the spans.
pub struct Probes {
    pub sent: usize,
    /// Of those that were seen.
    pub stages: Vec<Stages>,
}

/// When a span was where, in µs since the epoch.
pub struct Stages {
    pub sent_us: i64,
    pub committed_us: i64,
    pub taken_us: i64,
    pub heard_us: i64,
}

/// A place at which a shard's calls are counted.
struct Count {
    calls: usize,
    at_us: i64,
    /// For when a server took the number.
    as_of_us: i64,
}

/// Sends spans for so long and follows them.
pub fn send(
    kafka: &KafkaOptions,
    topics: &Topics,
    server: SocketAddr,
    seconds: Duration,
) -> anyhow::Result<Probes> {
    let stop = CancellationToken::new();
    thread::scope(|scope| {
        let commits = scope.spawn(|| follow_commits(kafka, topics, &stop));
        let frames = scope.spawn(|| follow_frames(server, &stop));
        thread::sleep(SETTLE);
        let sent = write(kafka, topics, seconds);
        thread::sleep(PATIENCE);
        stop.cancel();
        let (sent, commits, frames) = (
            sent?,
            commits.join().map_err(|_| anyhow::anyhow!("reading commits has panicked"))??,
            frames.join().map_err(|_| anyhow::anyhow!("reading frames has panicked"))??,
        );
        let stages = (0..PROBED as usize).flat_map(|shard| {
            let (commits, frames) = (&commits[shard], &frames[shard]);
            sent[shard].iter().enumerate().filter_map(|(number, sent_us)| {
                let first = |counts: &'_ [Count]| counts.iter().position(|count| count.calls > number);
                let (commit, frame) = (&commits[first(commits)?], &frames[first(frames)?]);
                Some(Stages {
                    sent_us: *sent_us,
                    committed_us: commit.at_us,
                    taken_us: frame.as_of_us,
                    heard_us: frame.at_us,
                })
            })
        });
        Ok(Probes { sent: sent.iter().map(Vec::len).sum(), stages: stages.collect() })
    })
}

fn environment(shard: u32) -> String {
    format!("probed-{shard}")
}

/// Returns when the spans of each shard were handed over.
fn write(kafka: &KafkaOptions, topics: &Topics, seconds: Duration) -> anyhow::Result<Vec<Vec<i64>>> {
    let mut client = kafka.client();
    // As ingest writes.
    client.set("acks", "all").set("linger.ms", "0").set("compression.type", "lz4");
    let producer: ThreadedProducer<DefaultProducerContext> = client.create()?;
    let (topic, mut sent) = (topics.name(OTLP_SPANS), vec![Vec::new(); PROBED as usize]);
    let (began, mut random) = (Instant::now(), rand::rng());
    while began.elapsed() < seconds {
        let id = random.random_range(1..=u128::MAX);
        let shard = partition_of(id, PROBED);
        let value = latency::request(&environment(shard), id)?.encode_to_vec();
        let record = BaseRecord::<(), [u8]>::to(&topic).partition(shard.cast_signed()).payload(&value);
        sent[shard as usize].push(now_us());
        producer.send(record).map_err(|(error, _)| error)?;
        thread::sleep(Duration::from_millis(random.random_range(0..=2 * EVERY_MS)));
    }
    producer.flush(PATIENCE)?;
    Ok(sent)
}

/// Returns how the calls of each shard grew in `flow_deltas`, as a reader of committed records sees it.
fn follow_commits(
    kafka: &KafkaOptions,
    topics: &Topics,
    stop: &CancellationToken,
) -> anyhow::Result<Vec<Vec<Count>>> {
    let mut client = kafka.client();
    client.set("group.id", "weir-bench-live").set("isolation.level", "read_committed");
    let consumer: BaseConsumer = client.set("enable.auto.commit", "false").create()?;
    let mut ends = TopicPartitionList::new();
    for shard in 0..PROBED {
        ends.add_partition_offset(&topics.name(FLOW_DELTAS), shard.cast_signed(), Offset::End)?;
    }
    consumer.assign(&ends)?;
    let (mut counts, mut calls) = (vec![Vec::new(), Vec::new()], [0; PROBED as usize]);
    while !stop.is_cancelled() {
        let Some(record) = consumer.poll(POLL) else { continue };
        let at_us = now_us();
        let deltas = FlowDeltas::decode(record?.payload().unwrap_or_default())?;
        let (shard, environment) = (deltas.shard as usize, environment(deltas.shard));
        let known = deltas.strings.iter().position(|text| *text == environment);
        let probed = deltas.edges.iter().filter(|edge| known == Some(edge.environment as usize));
        calls[shard] += usize::try_from(probed.map(|edge| edge.calls).sum::<i64>())?;
        counts[shard].push(Count { calls: calls[shard], at_us, as_of_us: at_us });
    }
    Ok(counts)
}

/// Returns how the calls of each shard grew on the sockets of two subscribers.
fn follow_frames(server: SocketAddr, stop: &CancellationToken) -> anyhow::Result<Vec<Vec<Count>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (first, second) = tokio::try_join!(follow(server, 0, stop), follow(server, 1, stop))?;
        Ok(vec![first, second])
    })
}

async fn follow(server: SocketAddr, shard: u32, stop: &CancellationToken) -> anyhow::Result<Vec<Count>> {
    let filters = serde_json::json!({ "environment": environment(shard), "window": "15m", "events": false });
    let (socket, mut counts) = (open(server, &filters).await?, Vec::new());
    let listening = listen_to(&socket, HEAD_BYTES, |frame, _| {
        let at_us = now_us();
        let as_of_us = number(frame, "\"asOf\":").context("a frame without a time")?;
        if let Some(calls) = number(frame, "\"callCount\":") {
            counts.push(Count { calls: usize::try_from(calls)?, at_us, as_of_us });
        }
        Ok(())
    });
    tokio::select! {
        () = stop.cancelled() => {}
        ended = listening => {
            ended?;
            ensure!(stop.is_cancelled(), "the server has closed the socket");
        }
    }
    Ok(counts)
}
