//! What can be set from outside.

use super::worker::Rules;
use crate::group;
use process::{ClickHouseOptions, KafkaOptions};
use rdkafka::ClientConfig;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Flags of role `store`.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// How to reach Kafka.
    #[command(flatten)]
    pub kafka: KafkaOptions,
    /// How to reach ClickHouse.
    #[command(flatten)]
    pub clickhouse: ClickHouseOptions,
    /// Stable name of this replica (its ordinal, say): after a restart it gets its lanes back at once.
    #[arg(long, env = "WEIR_GROUP_INSTANCE_ID", value_name = "NAME")]
    pub group_instance_id: Option<String>,
    /// Seconds after which a silent process loses its lanes.
    #[arg(
        long,
        env = "WEIR_SESSION_TIMEOUT_S",
        value_name = "SECONDS",
        default_value_t = 6,
        value_parser = clap::value_parser!(u32).range(1..=1800)
    )]
    pub session_timeout_s: u32,
    /// Rows that end a batch.
    #[arg(long, env = "WEIR_BATCH_ROWS", value_name = "ROWS", default_value_t = 100_000)]
    pub batch_rows: usize,
    /// Bytes of messages that end a batch; bounds the memory of a lane.
    #[arg(long, env = "WEIR_BATCH_BYTES", value_name = "BYTES", default_value_t = 32 << 20)]
    pub batch_bytes: usize,
    /// Milliseconds after its first record that end a batch.
    #[arg(long, env = "WEIR_BATCH_MS", value_name = "MS", default_value_t = 1000)]
    pub batch_ms: u64,
    /// Text before every topic's name, where several installations share one Kafka.
    #[arg(long, env = "WEIR_TOPIC_PREFIX", value_name = "TEXT", default_value = "")]
    pub topic_prefix: String,
    /// Goes on where the log begins when records that are not stored yet are gone from it, and behind missing commits
    /// of a shard; both are counted.
    #[arg(long, env = "WEIR_ACCEPT_GAP")]
    pub accept_gap: bool,
    /// Keeps every single change of the flow graph for 6 hours too (tables edge_deltas, service_deltas,
    /// operation_deltas, endpoint_deltas), with the commit that carried it: many rows.
    #[arg(long, env = "WEIR_RAW_DELTAS")]
    pub raw_deltas: bool,
    /// Address of /health, /ready and /metrics.
    #[arg(
        long,
        env = "WEIR_ADMIN",
        value_name = "HOST:PORT",
        default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 13135))
    )]
    pub admin: SocketAddr,
}

impl Options {
    /// The defaults, with these servers.
    pub fn new(kafka: KafkaOptions, clickhouse: ClickHouseOptions) -> Self {
        Self {
            kafka,
            clickhouse,
            group_instance_id: None,
            session_timeout_s: 6,
            batch_rows: 100_000,
            batch_bytes: 32 << 20,
            batch_ms: 1000,
            topic_prefix: String::new(),
            accept_gap: false,
            raw_deltas: false,
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 13135)),
        }
    }

    /// A topic's name in this installation.
    pub(super) fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.topic_prefix)
    }

    /// What lanes go by in a process of this name.
    pub(super) fn rules(&self, owner: &str) -> Rules {
        Rules {
            owner: owner.to_owned(),
            schema: schemas::migrations::newest(),
            raw_deltas: self.raw_deltas,
            accept_gap: self.accept_gap,
            batch_rows: self.batch_rows,
            batch_bytes: self.batch_bytes,
            batch_time: Duration::from_millis(self.batch_ms),
        }
    }

    /// The consumer that is a member of the group.
    pub(super) fn member(&self) -> ClientConfig {
        let instance = self.group_instance_id.as_deref();
        group::member(self.kafka.client(), &self.topic("weir-store"), self.session_timeout_s, instance)
    }

    /// A consumer that is handed its partitions and offsets, and that may not choose others by itself.
    pub(super) fn reader(&self) -> ClientConfig {
        let mut client = self.kafka.client();
        client
            // librdkafka wants a group even where nobody joins one.
            .set("group.id", self.topic("weir-store"))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("fetch.queue.backoff.ms", "10")
            // What is fetched ahead of a batch, a lane.
            .set("queued.max.messages.kbytes", "8192");
        client
    }

    /// A producer whose transactions are a lane's journal entries.
    pub(super) fn producer(&self, lane: u16) -> ClientConfig {
        let mut client = self.kafka.client();
        client
            .set("transactional.id", self.topic(&format!("weir.store.{lane}")))
            .set("transaction.timeout.ms", "10000")
            .set("message.timeout.ms", "8000")
            .set("linger.ms", "0");
        client
    }
}
