//! Feeds the page without a stream processor: writes made-up changes of a cloud console to `flow_deltas` and
//! `flow_events`, four commits a second. For work on the page and the live protocol.
//!
//! `cargo run -p query-api --example made_up_deltas -- 127.0.0.1:9092`

mod commit;

use commit::{Calls, Commit, Random};
use prost::Message;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use schemas::topics::{FLOW_DELTAS, FLOW_EVENTS};
use std::time::Duration;

const COMMITS_PER_SECOND: u64 = 4;

/// Operation, flows a second, and its calls.
const OPERATIONS: [(&str, f64, Calls); 5] = [
    (
        "login",
        24.0,
        &[
            ("browser", "gateway", 1.0, 84_000, 2),
            ("gateway", "auth", 1.0, 61_000, 3),
            ("auth", "user", 1.0, 22_000, 1),
            ("auth", "session", 1.0, 9_000, 0),
            ("user", "postgresql", 2.0, 4_200, 0),
            ("session", "redis", 2.0, 700, 4),
        ],
    ),
    (
        "create_vm",
        6.0,
        &[
            ("browser", "gateway", 1.0, 640_000, 24),
            ("gateway", "auth", 1.0, 12_000, 1),
            ("gateway", "vm", 1.0, 590_000, 22),
            ("vm", "scheduler", 1.2, 140_000, 16),
            ("vm", "volume", 1.0, 180_000, 12),
            ("vm", "network", 1.0, 96_000, 6),
            ("vm", "billing", 1.3, 210_000, 62),
            ("billing", "payments.example.com", 1.4, 190_000, 71),
            ("scheduler", "postgresql", 3.0, 5_100, 0),
            ("volume", "postgresql", 2.0, 6_300, 0),
            ("vm", "kafka:vm-events", 1.0, 2_100, 0),
            ("kafka:vm-events", "notification", 1.0, 7_500, 0),
            ("kafka:vm-events", "billing", 1.0, 6_900, 0),
        ],
    ),
    (
        "attach_volume",
        3.0,
        &[
            ("browser", "gateway", 1.0, 230_000, 8),
            ("gateway", "auth", 1.0, 12_000, 1),
            ("gateway", "volume", 1.0, 204_000, 8),
            ("volume", "vm", 1.0, 41_000, 2),
            ("volume", "postgresql", 3.0, 6_000, 0),
        ],
    ),
    (
        "delete_vm",
        1.5,
        &[
            ("browser", "gateway", 1.0, 410_000, 5),
            ("gateway", "auth", 1.0, 12_000, 1),
            ("gateway", "vm", 1.0, 380_000, 5),
            ("vm", "network", 1.0, 88_000, 3),
            ("vm", "kafka:vm-events", 1.0, 2_000, 0),
        ],
    ),
    (
        "update_config",
        4.0,
        &[
            ("browser", "gateway", 1.0, 47_000, 1),
            ("gateway", "user", 1.0, 30_000, 1),
            ("user", "postgresql", 1.0, 5_000, 0),
            ("user", "redis", 1.0, 600, 0),
        ],
    ),
];

fn main() -> anyhow::Result<()> {
    let brokers = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9092".to_owned());
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .set("transactional.id", "weir.made-up")
        .create()?;
    producer.init_transactions(Duration::from_secs(10))?;
    let mut random = Random(std::process::id().into());
    for seq in 1.. {
        producer.begin_transaction()?;
        for shard in 0..2 {
            let mut commit = Commit::new(shard, seq);
            for (operation, per_second, calls) in &OPERATIONS {
                let mean = per_second / 2.0 / COMMITS_PER_SECOND as f64;
                commit.flows(operation, mean, calls, &mut random);
            }
            let bytes = commit.message.encode_to_vec();
            let record =
                BaseRecord::<(), [u8]>::to(FLOW_DELTAS).partition(shard.cast_signed()).payload(&bytes);
            producer.send(record).map_err(|(error, _)| error)?;
            for event in commit.events {
                let record = BaseRecord::<[u8], [u8]>::to(FLOW_EVENTS).key(&event.trace_id[..]);
                let bytes = event.encode_to_vec();
                producer.send(record.payload(&bytes[..])).map_err(|(error, _)| error)?;
            }
        }
        producer.commit_transaction(Duration::from_secs(10))?;
        std::thread::sleep(Duration::from_millis(1_000 / COMMITS_PER_SECOND));
    }
    Ok(())
}
