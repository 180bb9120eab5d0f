//! `flow_deltas` → the 1 s tables and `endpoints_1m`.

use super::block::{BatchId, Block, BlockWriter, Table};
use super::content::{Content, Oddities, Record};
use super::names::Names;
use super::rollup::{Change, Rollup};
use super::row_binary::RowBinary;
use super::sequence::{Hole, Place, Sequences};
use prost::Message;
use schemas::v1;

const SIX_HOURS_S: i64 = 6 * 3600;
const DAY_S: i64 = 86_400;

macro_rules! columns {
    (edges) => {
        "window, environment, operation, client, client_namespace, client_cluster, client_kind, server, \
         server_namespace, server_cluster, server_kind, version, calls, errors, client_errors, retries, timeouts, \
         rejected, messages, paired, raw_calls, callee_latency, callee_sum_us, caller_latency, caller_sum_us, \
         wait, wait_sum_us"
    };
    (services) => {
        "window, environment, operation, service, namespace, cluster, kind, version, requests, errors, \
         client_errors, raw_requests, latency, latency_sum_us, self_time, self_sum_us, critical_path, critical_sum_us"
    };
    (operations) => {
        "window, environment, operation, flows, errors, timeouts, raw_flows, duration, duration_sum_us"
    };
    (endpoints) => {
        "window, environment, service, namespace, cluster, version, entry, requests, errors, raw_requests, \
         latency, latency_sum_us"
    };
    ($what:ident, $($more:literal),+) => {
        concat!(columns!($what), $(", ", $more),+)
    };
}

/// Where sums go: edges, services, operations, endpoints.
pub(super) const SUMS: [Table; 4] = [
    Table { name: "edges_1s", columns: columns!(edges, "lane", "batch"), partition_s: SIX_HOURS_S },
    Table { name: "services_1s", columns: columns!(services, "lane", "batch"), partition_s: SIX_HOURS_S },
    Table { name: "operations_1s", columns: columns!(operations, "lane", "batch"), partition_s: SIX_HOURS_S },
    Table { name: "endpoints_1m", columns: columns!(endpoints), partition_s: DAY_S },
];
/// Where single changes go, with the commit that carried them.
pub(super) const RAW: [Table; 4] = [
    Table {
        name: "edge_deltas",
        columns: columns!(edges, "shard", "seq", "part", "clock"),
        partition_s: SIX_HOURS_S,
    },
    Table {
        name: "service_deltas",
        columns: columns!(services, "shard", "seq", "part", "clock"),
        partition_s: SIX_HOURS_S,
    },
    Table {
        name: "operation_deltas",
        columns: columns!(operations, "shard", "seq", "part", "clock"),
        partition_s: SIX_HOURS_S,
    },
    Table {
        name: "endpoint_deltas",
        columns: columns!(endpoints, "shard", "seq", "part", "clock"),
        partition_s: SIX_HOURS_S,
    },
];

/// Deltas of one batch, added up.
#[derive(Debug)]
pub struct Deltas {
    names: Names,
    sums: Sums,
    /// Each message by itself too, where that is wanted.
    raw: Option<Vec<(Carrier, Sums)>>,
    sequences: Sequences,
    oddities: Oddities,
}

/// The message a change came in: shard, commit, part, and the shard's clock.
type Carrier = (u32, u64, u32, i64);

/// Rows of the four families.
#[derive(Debug, Default)]
struct Sums {
    edges: Rollup<11, 8, 3>,
    services: Rollup<7, 3, 3>,
    operations: Rollup<2, 3, 1>,
    endpoints: Rollup<6, 2, 1>,
}

impl Sums {
    fn add(&mut self, message: &v1::FlowDeltas, texts: &[u32], nodes: &[Node]) {
        for edge in &message.edges {
            self.edges.add(&edge_change(edge, texts, nodes));
        }
        for service in &message.services {
            self.services.add(&service_change(service, texts, nodes));
        }
        for operation in &message.operations {
            self.operations.add(&operation_change(operation, texts));
        }
        for endpoint in &message.endpoints {
            self.endpoints.add(&endpoint_change(endpoint, texts, nodes));
        }
    }

    fn rows(&self) -> usize {
        self.edges.rows() + self.services.rows() + self.operations.rows() + self.endpoints.rows()
    }

    fn write(self, writers: &mut [BlockWriter; 4], names: &Names, places: &[u32], tails: [&RowBinary; 4]) {
        let [edges, services, operations, endpoints] = writers;
        self.edges.write(edges, names, places, tails[0]);
        self.services.write(services, names, places, tails[1]);
        self.operations.write(operations, names, places, tails[2]);
        self.endpoints.write(endpoints, names, places, tails[3]);
    }
}

impl Deltas {
    /// Nothing yet; `sequences` knows each shard's last commit. `raw`: every message's rows are kept beside the sums.
    pub fn new(sequences: Sequences, raw: bool) -> Self {
        Self {
            names: Names::default(),
            sums: Sums::default(),
            raw: raw.then(Vec::new),
            sequences,
            oddities: Oddities::default(),
        }
    }

    fn add_message(&mut self, message: &v1::FlowDeltas) {
        let texts: Vec<u32> = message.strings.iter().map(|text| self.names.number(text)).collect();
        let nodes: Vec<Node> = message.nodes.iter().map(|node| self.node(node, &texts)).collect();
        self.sums.add(message, &texts, &nodes);
        if let Some(raw) = &mut self.raw {
            let mut alone = Sums::default();
            alone.add(message, &texts, &nodes);
            raw.push(((message.shard, message.seq, message.part, message.clock_us), alone));
        }
    }

    fn node(&mut self, node: &v1::Node, texts: &[u32]) -> Node {
        Node {
            cluster: texts[node.cluster as usize],
            namespace: texts[node.namespace as usize],
            name: texts[node.name as usize],
            kind: self.names.number(kind_text(node.kind())),
        }
    }
}

/// The rows of single messages, in the order of commits: partitions come in any.
fn raw_blocks(mut raw: Vec<(Carrier, Sums)>, names: &Names, places: &[u32], id: BatchId) -> Vec<Block> {
    raw.sort_unstable_by_key(|(carrier, _)| *carrier);
    let mut writers = RAW.map(BlockWriter::new);
    for ((shard, seq, part, clock_us), sums) in raw {
        let mut carrier = RowBinary::default();
        carrier.u32(shard);
        carrier.u64(seq);
        carrier.u32(part);
        carrier.i64(clock_us);
        sums.write(&mut writers, names, places, [&carrier; 4]);
    }
    writers.into_iter().flat_map(|writer| writer.finish(id)).collect()
}

/// A node as numbers of [`Names`].
#[derive(Debug, Clone, Copy)]
struct Node {
    cluster: u32,
    namespace: u32,
    name: u32,
    kind: u32,
}

/// A node kind as the tables spell it.
pub fn kind_text(kind: v1::NodeKind) -> &'static str {
    match kind {
        v1::NodeKind::Unknown => "unknown",
        v1::NodeKind::Service => "service",
        v1::NodeKind::User => "user",
        v1::NodeKind::Client => "client",
        v1::NodeKind::Database => "database",
        v1::NodeKind::Topic => "topic",
        v1::NodeKind::External => "external",
    }
}

/// Whether every reference of a message points into its dictionaries.
fn is_whole(message: &v1::FlowDeltas) -> bool {
    let text = |number: u32| (number as usize) < message.strings.len();
    let node = |number: u32| (number as usize) < message.nodes.len();
    message.nodes.iter().all(|n| text(n.cluster) && text(n.namespace) && text(n.name))
        && message.edges.iter().all(|e| {
            text(e.environment) && text(e.operation) && text(e.version) && node(e.client) && node(e.server)
        })
        && message
            .services
            .iter()
            .all(|s| text(s.environment) && text(s.operation) && text(s.version) && node(s.node))
        && message.operations.iter().all(|o| text(o.environment) && text(o.operation))
        && message
            .endpoints
            .iter()
            .all(|e| text(e.environment) && text(e.version) && text(e.entry) && node(e.node))
}

fn edge_change<'a>(edge: &'a v1::EdgeDelta, texts: &[u32], nodes: &[Node]) -> Change<'a, 11, 8, 3> {
    let (client, server) = (nodes[edge.client as usize], nodes[edge.server as usize]);
    Change {
        window_s: edge.window_s,
        dimensions: [
            texts[edge.environment as usize],
            texts[edge.operation as usize],
            client.name,
            client.namespace,
            client.cluster,
            client.kind,
            server.name,
            server.namespace,
            server.cluster,
            server.kind,
            texts[edge.version as usize],
        ],
        weight_milli: edge.weight_milli,
        counts: [
            edge.calls,
            edge.errors,
            edge.client_errors,
            edge.retries,
            edge.timeouts,
            edge.rejected,
            edge.messages,
            edge.paired,
        ],
        histograms: [edge.callee_latency.as_ref(), edge.caller_latency.as_ref(), edge.wait.as_ref()],
    }
}

fn service_change<'a>(service: &'a v1::ServiceDelta, texts: &[u32], nodes: &[Node]) -> Change<'a, 7, 3, 3> {
    let node = nodes[service.node as usize];
    Change {
        window_s: service.window_s,
        dimensions: [
            texts[service.environment as usize],
            texts[service.operation as usize],
            node.name,
            node.namespace,
            node.cluster,
            node.kind,
            texts[service.version as usize],
        ],
        weight_milli: service.weight_milli,
        counts: [service.requests, service.errors, service.client_errors],
        histograms: [service.latency.as_ref(), service.self_time.as_ref(), service.critical_path.as_ref()],
    }
}

fn operation_change<'a>(operation: &'a v1::OperationDelta, texts: &[u32]) -> Change<'a, 2, 3, 1> {
    Change {
        window_s: operation.window_s,
        dimensions: [texts[operation.environment as usize], texts[operation.operation as usize]],
        weight_milli: operation.weight_milli,
        counts: [operation.flows, operation.errors, operation.timeouts],
        histograms: [operation.duration.as_ref()],
    }
}

fn endpoint_change<'a>(
    endpoint: &'a v1::EndpointDelta,
    texts: &[u32],
    nodes: &[Node],
) -> Change<'a, 6, 2, 1> {
    let node = nodes[endpoint.node as usize];
    Change {
        window_s: endpoint.window_s - endpoint.window_s % 60,
        dimensions: [
            texts[endpoint.environment as usize],
            node.name,
            node.namespace,
            node.cluster,
            texts[endpoint.version as usize],
            texts[endpoint.entry as usize],
        ],
        weight_milli: endpoint.weight_milli,
        counts: [endpoint.requests, endpoint.errors],
        histograms: [endpoint.latency.as_ref()],
    }
}

impl Content for Deltas {
    fn check(&self, record: Record<'_>) -> Result<(), Hole> {
        // What can't be decoded is counted when it is added.
        Place::decode(record.value).map_or(Ok(()), |place| self.sequences.check(record.partition, place))
    }

    fn add(&mut self, record: Record<'_>) {
        let message = v1::FlowDeltas::decode(record.value).ok().filter(is_whole);
        let Some(message) = message else {
            self.oddities.undecodable += 1;
            return;
        };
        let v1::FlowDeltas { seq, part, parts, clock_us, .. } = message;
        self.sequences.move_to(record.partition, Place { seq, part, parts, clock_us });
        self.add_message(&message);
    }

    fn rows(&self) -> usize {
        self.sums.rows() + self.raw.iter().flatten().map(|(_, sums)| sums.rows()).sum::<usize>()
    }

    fn oddities(&self) -> &Oddities {
        &self.oddities
    }

    fn sequences(&self) -> Sequences {
        self.sequences.clone()
    }

    fn finish(self: Box<Self>, id: BatchId) -> Vec<Block> {
        let places = self.names.places();
        let mut lane_and_batch = RowBinary::default();
        lane_and_batch.u16(id.lane);
        lane_and_batch.u64(id.batch);
        let nothing = RowBinary::default();
        let mut writers = SUMS.map(BlockWriter::new);
        let tails = [&lane_and_batch, &lane_and_batch, &lane_and_batch, &nothing];
        self.sums.write(&mut writers, &self.names, &places, tails);
        let sums = writers.into_iter().flat_map(|writer| writer.finish(id));
        sums.chain(raw_blocks(self.raw.unwrap_or_default(), &self.names, &places, id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: BatchId = BatchId { generation: 1, lane: 0, batch: 9 };

    fn message(seq: u64, window_s: u32) -> v1::FlowDeltas {
        v1::FlowDeltas {
            seq,
            parts: 1,
            strings: ["", "prod", "login", "user", "gateway"].map(str::to_owned).to_vec(),
            nodes: vec![
                v1::Node { name: 3, kind: v1::NodeKind::User.into(), ..Default::default() },
                v1::Node { name: 4, kind: v1::NodeKind::Service.into(), ..Default::default() },
            ],
            edges: vec![v1::EdgeDelta {
                environment: 1,
                operation: 2,
                client: 0,
                server: 1,
                window_s,
                weight_milli: 1000,
                calls: 1,
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    fn record(partition: i32, value: &[u8]) -> Record<'_> {
        Record { partition, offset: 0, timestamp_ms: 0, value }
    }

    #[test]
    fn equal_records_give_equal_blocks_in_any_order_of_partitions() {
        let messages = [(0, message(1, 7)), (1, message(1, 8)), (0, message(2, 7))];
        let blocks = |order: [usize; 3]| {
            let mut deltas = Box::new(Deltas::new(Sequences::default(), false));
            for index in order {
                let (partition, message) = &messages[index];
                deltas.add(record(*partition, &message.encode_to_vec()));
            }
            assert_eq!(deltas.oddities(), &Oddities::default());
            assert_eq!(deltas.rows(), 2);
            deltas.finish(ID)
        };
        let there = blocks([0, 1, 2]);
        assert_eq!(there, blocks([1, 0, 2]));
        assert_eq!(
            there.iter().map(|block| (block.table.name, block.rows)).collect::<Vec<_>>(),
            [("edges_1s", 2)]
        );
    }

    #[test]
    fn raw_deltas_are_one_row_a_message_and_key() {
        let mut deltas = Box::new(Deltas::new(Sequences::default(), true));
        for (partition, seq) in [(1, 1), (0, 1), (0, 2)] {
            deltas.add(record(partition, &message(seq, 7).encode_to_vec()));
        }
        assert_eq!(deltas.rows(), 1 + 3);
        let blocks = deltas.finish(ID);
        let rows: Vec<_> = blocks.iter().map(|block| (block.table.name, block.rows)).collect();
        assert_eq!(rows, [("edges_1s", 1), ("edge_deltas", 3)]);
    }

    #[test]
    fn references_into_nowhere_are_counted_as_undecodable() {
        let mut broken = message(1, 7);
        broken.edges[0].server = 2;
        let mut deltas = Box::new(Deltas::new(Sequences::default(), false));
        deltas.add(record(0, &broken.encode_to_vec()));
        deltas.add(record(0, b"\xff\xff"));
        assert_eq!((deltas.oddities().undecodable, deltas.rows()), (2, 0));
    }

    #[test]
    fn a_missing_commit_is_a_hole() {
        let mut deltas = Deltas::new(Sequences::default(), false);
        let follows = [4, 5, 7].map(|seq| {
            let value = message(seq, 7).encode_to_vec();
            let follows = deltas.check(record(0, &value)).is_ok();
            deltas.add(record(0, &value));
            follows
        });
        assert_eq!(follows, [true, true, false]);
        assert!(deltas.check(record(0, b"\xff\xff")).is_ok(), "what can't be decoded is counted elsewhere");
    }
}
