//! Shards that commit all the time, as the processor does: transactions of several parts, some aborted, some open
//! for a while.

use crate::truth::{CORRECTED_S, Change, OPERATIONS, Truth};
use crate::{now_s, now_us};
use process::KafkaOptions;
use prost::Message as _;
use rand::Rng;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use schemas::v1;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(30);

/// Threads that produce, one a shard.
pub struct Shards {
    committed: Vec<Arc<AtomicU64>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Shards {
    pub fn start(kafka: &KafkaOptions, topic: &str, count: u32, seed: u64, truth: &Truth) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let committed: Vec<_> = (0..count).map(|_| Arc::new(AtomicU64::new(0))).collect();
        let threads = (0..count).zip(&committed).map(|(number, committed)| {
            let producer: ThreadedProducer<_> =
                kafka.client().set("transactional.id", format!("{topic}.{number}")).create().unwrap();
            producer.init_transactions(WITHIN).unwrap();
            let rng = ChaCha8Rng::seed_from_u64(seed + u64::from(number));
            let (truth, topic) = (truth.clone(), topic.to_owned());
            let mut shard = Shard { number, topic, producer, rng, truth, seq: 0, past: Vec::new() };
            let (stop, committed) = (stop.clone(), committed.clone());
            thread::spawn(move || {
                while !stop.load(SeqCst) {
                    shard.commit();
                    committed.store(shard.seq, SeqCst);
                }
            })
        });
        let threads = threads.collect();
        Self { committed, stop, threads }
    }

    /// Each shard's last commit that is done.
    pub fn committed(&self) -> Vec<u64> {
        self.committed.iter().map(|seq| seq.load(SeqCst)).collect()
    }

    pub fn stop(&mut self) {
        self.stop.store(true, SeqCst);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
    }
}

struct Shard {
    number: u32,
    topic: String,
    producer: ThreadedProducer<DefaultProducerContext>,
    rng: ChaCha8Rng,
    truth: Truth,
    seq: u64,
    /// Changes that may still be moved to the other operation.
    past: Vec<Change>,
}

impl Shard {
    fn commit(&mut self) {
        while self.rng.random_bool(0.2) {
            let never = self.parts();
            self.send(&never);
            self.producer.abort_transaction(WITHIN).unwrap();
        }
        let parts = self.parts();
        self.send(&parts);
        self.seq += 1;
        let changes: Vec<Change> = parts.concat();
        self.truth.will_commit(self.number, self.seq, changes.clone());
        if self.rng.random_bool(0.1) {
            // A transaction that stays open holds everybody's last stable offset.
            thread::sleep(Duration::from_millis(self.rng.random_range(50..600)));
        }
        self.producer.commit_transaction(WITHIN).unwrap();
        self.past.extend(changes.into_iter().filter(|change| change.calls > 0));
        let oldest_s = now_s() - CORRECTED_S / 2;
        self.past.retain(|change| change.window_s > oldest_s);
    }

    fn send(&self, parts: &[Vec<Change>]) {
        self.producer.begin_transaction().unwrap();
        for (part, changes) in parts.iter().enumerate() {
            let value = self.message(part, parts.len(), changes).encode_to_vec();
            let partition = i32::try_from(self.number).unwrap();
            let record = BaseRecord::<(), _>::to(&self.topic).partition(partition).payload(&value);
            self.producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        self.producer.flush(WITHIN).unwrap();
    }

    /// Changes of all ages that a question can be about, and corrections whose two halves are in different parts.
    fn parts(&mut self) -> Vec<Vec<Change>> {
        let mut parts = vec![Vec::new(); self.rng.random_range(1..=5)];
        for part in &mut parts {
            for _ in 0..self.rng.random_range(0..4) {
                let age_s = match self.rng.random_range(0..10) {
                    0..4 => self.rng.random_range(0..8),
                    4..7 => self.rng.random_range(8..870),
                    7 => self.rng.random_range(870..940),
                    _ => self.rng.random_range(940..5_000),
                };
                let calls = self.rng.random_range(1..20);
                part.push(Change {
                    window_s: now_s() - age_s,
                    operation: self.rng.random_range(0..OPERATIONS.len()),
                    calls,
                    errors: self.rng.random_range(0..=calls),
                });
            }
        }
        if !self.past.is_empty() && self.rng.random_bool(0.5) {
            let wrong = self.past.swap_remove(self.rng.random_range(0..self.past.len()));
            let right = Change { operation: 1 - wrong.operation, ..wrong };
            parts[0].push(Change { calls: -wrong.calls, errors: -wrong.errors, ..wrong });
            parts.last_mut().unwrap().push(right);
        }
        parts
    }

    fn message(&self, part: usize, parts: usize, changes: &[Change]) -> v1::FlowDeltas {
        let service = format!("service-{}", self.number);
        let names = ["", "prod", "web", &service, OPERATIONS[0], OPERATIONS[1]];
        // Parts are large, else they would not be parts: a reader is between two of them for a while.
        let more = (0..2_000).map(|number| format!("a name that is not used here, number {number}"));
        let number = |number: usize| u32::try_from(number).unwrap();
        let name = |name| v1::Node { name, kind: v1::NodeKind::Service.into(), ..Default::default() };
        v1::FlowDeltas {
            shard: self.number,
            seq: self.seq + 1,
            part: number(part),
            parts: number(parts),
            clock_us: now_us(),
            strings: names.map(str::to_owned).into_iter().chain(more).collect(),
            nodes: vec![name(2), name(3)],
            edges: changes
                .iter()
                .map(|change| v1::EdgeDelta {
                    environment: 1,
                    operation: number(4 + change.operation),
                    server: 1,
                    window_s: change.window_s,
                    weight_milli: 1_000,
                    calls: change.calls,
                    errors: change.errors,
                    paired: change.calls,
                    ..Default::default()
                })
                .collect(),
            operations: changes
                .iter()
                .map(|change| v1::OperationDelta {
                    environment: 1,
                    operation: number(4 + change.operation),
                    window_s: change.window_s,
                    weight_milli: 1_000,
                    flows: change.calls,
                    errors: change.errors,
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }
    }
}
