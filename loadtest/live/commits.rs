//! Commits as two shards make them, written to `flow_deltas` in transactions at a steady rate.

use crate::made_up::{Call, Calls, Commit, Random};
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
/// Of an operation in a commit: so many that every edge of it changes.
const FLOWS: f64 = 20.0;
const WIDE_FLOWS: f64 = 3.0;
/// What a flow of any operation does where many subscribers are what matters.
const CALLS: Calls = &[
    ("browser", "gateway", 1.0, 84_000, 2),
    ("gateway", "auth", 1.0, 61_000, 3),
    ("auth", "user", 1.0, 22_000, 1),
    ("auth", "session", 1.0, 9_000, 0),
    ("user", "postgresql", 2.0, 4_200, 0),
    ("session", "redis", 2.0, 700, 4),
];

/// What is going on.
#[derive(Clone, Debug)]
pub struct Made {
    /// The calls of each operation.
    operations: Vec<Calls>,
    /// Of each operation in each commit that it is in.
    flows: f64,
    /// An operation is in every so many commits.
    turns: u64,
    past_s: i64,
}

impl Made {
    /// Operations of six edges each, all of them in every commit.
    pub fn small(operations: usize) -> Self {
        Self { operations: vec![CALLS; operations], flows: FLOWS, turns: 1, past_s: 0 }
    }

    /// 1,000 services and 5,000 edges, a twentieth of these in each operation; each of them changes once a second, and
    /// the last 15 minutes are there already.
    pub fn wide(rate: u32) -> Self {
        let operations = (0..WIDE_OPERATIONS).map(|operation| {
            let calls = (0..WIDE_EDGES / WIDE_OPERATIONS).map(|at| {
                let edge = at * WIDE_OPERATIONS + operation;
                let (client, callee) = (edge / CALLEES, edge % CALLEES);
                let server = (client * 7 + callee * 13 + 1) % WIDE_SERVICES;
                (service(client), service(server), 1.0, 5_000 + 100 * at as u64, 3)
            });
            &*calls.collect::<Vec<Call>>().leak()
        });
        Self { operations: operations.collect(), flows: WIDE_FLOWS, turns: rate.into(), past_s: 900 }
    }

    /// Seconds that are there from the beginning, with a commit each.
    pub fn past_s(&self) -> i64 {
        self.past_s
    }
}

/// Of [`Made::wide`].
pub const WIDE_OPERATIONS: usize = 20;
/// Of [`Made::wide`].
pub const WIDE_SERVICES: usize = 1_000;
const WIDE_EDGES: usize = 5_000;
const CALLEES: usize = WIDE_EDGES / WIDE_SERVICES;

/// The name of a service of [`Made::wide`]; it is there until the program ends, as those of [`CALLS`] are.
pub fn service(number: usize) -> &'static str {
    format!("service-{number}").leak()
}

/// The operation that a group of subscribers asks for.
pub fn operation(group: usize) -> String {
    format!("operation-{group:03}")
}

/// Commits until `stop`, so many times a second.
pub fn write(
    kafka: &KafkaOptions,
    topics: &Topics,
    made: Made,
    rate: u32,
    stop: CancellationToken,
) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let topic = topics.name(FLOW_DELTAS);
    let mut client = kafka.client();
    client.set("transactional.id", &topic).set("compression.type", "zstd").set("linger.ms", "1");
    let producer: BaseProducer = client.create()?;
    producer.init_transactions(ANSWER_WITHIN)?;
    Ok(thread::spawn(move || {
        let mut writer = Writer { producer, topic, made, seq: 0, random: Random(7) };
        for second in (1..=writer.made.past_s).rev() {
            writer.commit(second * 1_000_000, |_| true)?;
        }
        let began = Instant::now();
        for turn in 1_u32.. {
            if stop.is_cancelled() {
                break;
            }
            let turns = writer.made.turns;
            writer.commit(0, |operation| operation as u64 % turns == u64::from(turn) % turns)?;
            let due = Duration::from_secs(turn.into()) / rate;
            thread::sleep(due.saturating_sub(began.elapsed()));
        }
        Ok(())
    }))
}

struct Writer {
    producer: BaseProducer,
    topic: String,
    made: Made,
    seq: u64,
    random: Random,
}

impl Writer {
    /// One commit of both shards with what happened so long ago in some operations.
    fn commit(&mut self, ago_us: i64, of: impl Fn(usize) -> bool) -> anyhow::Result<()> {
        self.seq += 1;
        let (seq, at_us) = (self.seq, now_us() - ago_us);
        let mut commits: Vec<Commit> = (0..SHARDS).map(|shard| Commit::at(shard, seq, at_us)).collect();
        for commit in &mut commits {
            for (at, calls) in self.made.operations.iter().enumerate().filter(|(at, _)| of(*at)) {
                commit.flows(&operation(at), self.made.flows, calls, &mut self.random);
            }
        }
        self.producer.begin_transaction()?;
        for (shard, commit) in commits.iter_mut().enumerate() {
            commit.message.clock_us = now_us() - ago_us;
            let bytes = commit.message.encode_to_vec();
            let record = BaseRecord::<(), [u8]>::to(&self.topic);
            let record = record.partition(i32::try_from(shard)?).payload(&bytes);
            self.producer.send(record).map_err(|(error, _)| error)?;
        }
        Ok(self.producer.commit_transaction(ANSWER_WITHIN)?)
    }
}
