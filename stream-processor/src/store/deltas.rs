//! `flow_deltas` → the 1 s tables and `endpoints_1m`.

use super::block::{BatchId, Block, Table};
use super::content::{Content, Oddities, Record};
use super::names::Names;
use super::rollup::{Change, Rollup};
use super::row_binary::RowBinary;
use super::sequence::{Hole, Place, Sequences};
use prost::Message;
use schemas::v1;

const SIX_HOURS_S: i64 = 6 * 3600;
const DAY_S: i64 = 86_400;

const EDGES: Table = Table {
    name: "edges_1s",
    columns: "window, environment, operation, client, client_namespace, client_cluster, client_kind, server, \
              server_namespace, server_cluster, server_kind, version, calls, errors, client_errors, retries, timeouts, \
              rejected, messages, paired, raw_calls, callee_latency, callee_sum_us, caller_latency, caller_sum_us, \
              wait, wait_sum_us, lane, batch",
    partition_s: SIX_HOURS_S,
};
const SERVICES: Table = Table {
    name: "services_1s",
    columns: "window, environment, operation, service, namespace, cluster, kind, version, requests, errors, \
              client_errors, raw_requests, latency, latency_sum_us, self_time, self_sum_us, critical_path, \
              critical_sum_us, lane, batch",
    partition_s: SIX_HOURS_S,
};
const OPERATIONS: Table = Table {
    name: "operations_1s",
    columns: "window, environment, operation, flows, errors, timeouts, raw_flows, duration, duration_sum_us, lane, batch",
    partition_s: SIX_HOURS_S,
};
const ENDPOINTS: Table = Table {
    name: "endpoints_1m",
    columns: "window, environment, service, namespace, cluster, version, entry, requests, errors, raw_requests, \
              latency, latency_sum_us",
    partition_s: DAY_S,
};

/// Deltas of one batch, added up.
#[derive(Debug)]
pub struct Deltas {
    names: Names,
    edges: Rollup<11, 8, 3>,
    services: Rollup<7, 3, 3>,
    operations: Rollup<2, 3, 1>,
    endpoints: Rollup<6, 2, 1>,
    sequences: Sequences,
    oddities: Oddities,
}

impl Deltas {
    /// Nothing yet; `sequences` knows each shard's last commit.
    pub fn new(sequences: Sequences) -> Self {
        Self {
            names: Names::default(),
            edges: Rollup::default(),
            services: Rollup::default(),
            operations: Rollup::default(),
            endpoints: Rollup::default(),
            sequences,
            oddities: Oddities::default(),
        }
    }

    fn add_message(&mut self, message: &v1::FlowDeltas) {
        let texts: Vec<u32> = message.strings.iter().map(|text| self.names.number(text)).collect();
        let nodes: Vec<Node> = message.nodes.iter().map(|node| self.node(node, &texts)).collect();
        for edge in &message.edges {
            self.edges.add(&edge_change(edge, &texts, &nodes));
        }
        for service in &message.services {
            self.services.add(&service_change(service, &texts, &nodes));
        }
        for operation in &message.operations {
            self.operations.add(&operation_change(operation, &texts));
        }
        for endpoint in &message.endpoints {
            self.endpoints.add(&endpoint_change(endpoint, &texts, &nodes));
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
        let place = Place { seq: message.seq, part: message.part, parts: message.parts };
        self.sequences.move_to(record.partition, place);
        self.add_message(&message);
    }

    fn rows(&self) -> usize {
        self.edges.rows() + self.services.rows() + self.operations.rows() + self.endpoints.rows()
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
        let writers = [
            self.edges.write(EDGES, &self.names, &places, &lane_and_batch),
            self.services.write(SERVICES, &self.names, &places, &lane_and_batch),
            self.operations.write(OPERATIONS, &self.names, &places, &lane_and_batch),
            self.endpoints.write(ENDPOINTS, &self.names, &places, &nothing),
        ];
        writers.into_iter().flat_map(|writer| writer.finish(id)).collect()
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
            let mut deltas = Box::new(Deltas::new(Sequences::default()));
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
    fn references_into_nowhere_are_counted_as_undecodable() {
        let mut broken = message(1, 7);
        broken.edges[0].server = 2;
        let mut deltas = Box::new(Deltas::new(Sequences::default()));
        deltas.add(record(0, &broken.encode_to_vec()));
        deltas.add(record(0, b"\xff\xff"));
        assert_eq!((deltas.oddities().undecodable, deltas.rows()), (2, 0));
    }

    #[test]
    fn a_missing_commit_is_a_hole() {
        let mut deltas = Deltas::new(Sequences::default());
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
