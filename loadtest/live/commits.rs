//! Commits as two shards make them, written to `flow_deltas` in transactions at a steady rate.

use crate::made_up::{Calls, Commit, Random};
use crate::subscribers::now_us;
use crate::topics::Topics;
use process::KafkaOptions;
use prost::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use schemas::topics::FLOW_DELTAS;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Of `flow_deltas`.
pub const SHARDS: u32 = 2;
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// So many that every commit changes every edge.
const FLOWS: f64 = 20.0;
/// What a flow of any operation does.
const CALLS: Calls = &[
    ("browser", "gateway", 1.0, 84_000, 2),
    ("gateway", "auth", 1.0, 61_000, 3),
    ("auth", "user", 1.0, 22_000, 1),
    ("auth", "session", 1.0, 9_000, 0),
    ("user", "postgresql", 2.0, 4_200, 0),
    ("session", "redis", 2.0, 700, 4),
];

/// The operation that a group of subscribers asks for.
pub fn operation(group: usize) -> String {
    format!("operation-{group:03}")
}

/// Commits until `stop`, so many times a second.
pub fn write(
    kafka: &KafkaOptions,
    topics: &Topics,
    groups: usize,
    rate: u32,
    stop: CancellationToken,
) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let topic = topics.name(FLOW_DELTAS);
    let mut client = kafka.client();
    client.set("transactional.id", &topic).set("compression.type", "zstd").set("linger.ms", "1");
    let producer: BaseProducer = client.create()?;
    producer.init_transactions(ANSWER_WITHIN)?;
    Ok(thread::spawn(move || {
        let (began, mut random) = (Instant::now(), Random(7));
        for seq in 1.. {
            if stop.is_cancelled() {
                break;
            }
            commit(&producer, &topic, groups, seq, &mut random)?;
            let due = Duration::from_secs(seq) / rate;
            thread::sleep(due.saturating_sub(began.elapsed()));
        }
        Ok(())
    }))
}

/// One commit of both shards, whose log time is now.
fn commit(
    producer: &BaseProducer,
    topic: &str,
    groups: usize,
    seq: u64,
    random: &mut Random,
) -> anyhow::Result<()> {
    let mut commits: Vec<Commit> = (0..SHARDS).map(|shard| Commit::new(shard, seq)).collect();
    for commit in &mut commits {
        (0..groups).for_each(|group| commit.flows(&operation(group), FLOWS, CALLS, random));
    }
    producer.begin_transaction()?;
    for (shard, commit) in commits.iter_mut().enumerate() {
        commit.message.clock_us = now_us();
        let bytes = commit.message.encode_to_vec();
        let record = BaseRecord::<(), [u8]>::to(topic).partition(i32::try_from(shard)?).payload(&bytes);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    Ok(producer.commit_transaction(ANSWER_WITHIN)?)
}
