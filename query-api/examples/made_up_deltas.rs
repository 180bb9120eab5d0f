//! Feeds the page without a stream processor: writes made-up changes of a cloud console to `flow_deltas` and
//! `flow_events`, four commits a second. For work on the page and the live protocol.
//!
//! `cargo run -p query-api --example made_up_deltas -- 127.0.0.1:9092`

use prost::Message;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use schemas::topics::{FLOW_DELTAS, FLOW_EVENTS};
use schemas::v1::{
    EdgeDelta, FlowDeltas, FlowEvent, FlowEventKind, FlowStatus, FlowTrace, Histogram, Node, NodeKind,
    OperationDelta, ServiceDelta,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const COMMITS_PER_SECOND: u64 = 4;

/// Operation, flows a second, and its calls: caller, callee, calls a flow, median µs, errors in a thousand.
type Calls = &'static [Call];
type Call = (&'static str, &'static str, f64, u64, u64);
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
            for operation in &OPERATIONS {
                commit.flows(operation, &mut random);
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

/// One commit of one shard in the making.
struct Commit {
    message: FlowDeltas,
    events: Vec<FlowEvent>,
    now_us: i64,
}

impl Commit {
    fn new(shard: u32, seq: u64) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_us = i64::try_from(since.as_micros()).unwrap_or_default();
        let strings = ["", "production", "console"].map(str::to_owned).to_vec();
        let message =
            FlowDeltas { shard, seq, parts: 1, clock_us: now_us - 200_000, strings, ..FlowDeltas::default() };
        Self { message, events: Vec::new(), now_us }
    }

    fn flows(&mut self, (operation, per_second, calls): &(&str, f64, Calls), random: &mut Random) {
        let flows = random.about(per_second / 2.0 / COMMITS_PER_SECOND as f64);
        if flows == 0 {
            return;
        }
        for call in *calls {
            self.call(operation, call, flows, random);
        }
        self.flow(operation, flows, calls[0], random);
    }

    fn call(
        &mut self,
        operation: &str,
        &(client, server, each, median_us, errors): &Call,
        flows: i64,
        random: &mut Random,
    ) {
        let calls = random.about(flows as f64 * each).max(0);
        if calls == 0 {
            return;
        }
        let failed = (0..calls).filter(|_| random.below(1_000) < errors).count() as i64;
        let latency = random.latencies(calls, median_us);
        let server_is_service = kind(server) == NodeKind::Service;
        let edge = EdgeDelta {
            environment: 1,
            operation: self.text(operation),
            client: self.node(client),
            server: self.node(server),
            window_s: self.window_s(),
            weight_milli: 1_000,
            calls,
            errors: failed,
            retries: if each > 1.1 && each < 1.5 { failed } else { 0 },
            rejected: if errors > 60 { failed / 2 } else { 0 },
            timeouts: i64::from(errors > 10 && failed > 0 && random.below(4) == 0),
            paired: if server_is_service { calls } else { 0 },
            callee_latency: server_is_service.then(|| latency.clone()),
            caller_latency: Some(latency.clone()),
            ..EdgeDelta::default()
        };
        if server_is_service {
            self.message.services.push(ServiceDelta {
                environment: 1,
                operation: edge.operation,
                node: edge.server,
                window_s: edge.window_s,
                weight_milli: 1_000,
                requests: calls,
                errors: failed,
                latency: Some(latency),
                ..ServiceDelta::default()
            });
        }
        self.message.edges.push(edge);
    }

    fn flow(&mut self, operation: &str, flows: i64, (_, _, _, median_us, errors): Call, random: &mut Random) {
        let failed = (0..flows).filter(|_| random.below(1_000) < errors).count() as i64;
        let name = self.text(operation);
        self.message.operations.push(OperationDelta {
            environment: 1,
            operation: name,
            window_s: self.window_s(),
            weight_milli: 1_000,
            flows,
            errors: failed,
            duration: Some(random.latencies(flows, median_us)),
            ..OperationDelta::default()
        });
        let id = (u128::from(random.next()) << 64 | u128::from(random.next())).to_be_bytes();
        let summary = FlowTrace { duration_us: median_us.cast_signed(), ..FlowTrace::default() };
        self.events.push(FlowEvent {
            kind: FlowEventKind::Complete.into(),
            trace_id: id.to_vec(),
            environment: "production".to_owned(),
            operation: operation.to_owned(),
            status: if failed > 0 { FlowStatus::Error } else { FlowStatus::Success }.into(),
            progress: 100,
            parts: 1,
            summary: Some(summary),
            ..FlowEvent::default()
        });
    }

    fn window_s(&self) -> u32 {
        u32::try_from(self.now_us / 1_000_000).unwrap_or_default()
    }

    fn text(&mut self, text: &str) -> u32 {
        let strings = &mut self.message.strings;
        let at = strings.iter().position(|known| known == text).unwrap_or_else(|| {
            strings.push(text.to_owned());
            strings.len() - 1
        });
        u32::try_from(at).unwrap_or_default()
    }

    fn node(&mut self, name: &str) -> u32 {
        let kind = kind(name);
        let namespace = if kind == NodeKind::Service { 2 } else { 0 };
        let node = Node { cluster: 0, namespace, name: self.text(name), kind: kind.into() };
        let nodes = &mut self.message.nodes;
        let at = nodes.iter().position(|known| *known == node).unwrap_or_else(|| {
            nodes.push(node);
            nodes.len() - 1
        });
        u32::try_from(at).unwrap_or_default()
    }
}

fn kind(name: &str) -> NodeKind {
    match name {
        "browser" => NodeKind::Client,
        "postgresql" | "redis" => NodeKind::Database,
        "kafka:vm-events" => NodeKind::Topic,
        "payments.example.com" => NodeKind::External,
        _ => NodeKind::Service,
    }
}

/// xorshift64*: good enough to look alive.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A whole number near `mean`, whose mean it is.
    fn about(&mut self, mean: f64) -> i64 {
        (mean * (0.7 + self.below(600) as f64 / 1_000.0) + self.below(1_000) as f64 / 1_000.0).floor() as i64
    }

    fn latencies(&mut self, values: i64, median_us: u64) -> Histogram {
        let mut buckets = std::collections::BTreeMap::new();
        let mut sum_us = 0;
        for _ in 0..values {
            let tail = if self.below(20) == 0 { 2 + self.below(3) } else { 1 };
            let value_us = (median_us * (60 + self.below(80)) / 100 * tail).max(1);
            *buckets.entry(bucket(value_us)).or_insert(0) += 1;
            sum_us += value_us.cast_signed();
        }
        Histogram {
            bucket: buckets.keys().copied().collect(),
            count: buckets.values().copied().collect(),
            sum_us,
        }
    }
}

fn bucket(value_us: u64) -> u32 {
    if value_us < 256 {
        return value_us as u32;
    }
    let exponent = value_us.ilog2() - 7;
    exponent * 128 + (value_us >> exponent) as u32
}
