//! `stitcher::Deltas` ▶ one or more `FlowDeltas`, each with its own dictionary and small enough for a record.

use prost::Message;
use schemas::v1;
use std::collections::HashMap;
use std::sync::Arc;
use stitcher::delta::{self, Deltas, EdgeCounts, EdgeKey, Name, Node};
use stitcher::histogram::Histogram;

/// A part is closed once it has reached this size. What a single change can add on top is bounded: names of 256
/// bytes and three histograms of at most 4,352 buckets are below 200 kB, so no part passes `MAX_RECORD_BYTES`.
const FULL_BYTES: usize = 680_000;

/// The identity of a commit, as every output record carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Partition of `otlp_spans`.
    pub shard: u32,
    /// The shard's commit.
    pub seq: u64,
    /// The shard's log time.
    pub clock_us: i64,
}

/// Splits the changes into parts. There is always at least one, even of nothing: a reader tells a hole in `seq`
/// from a quiet shard by it.
pub fn parts(stamp: Stamp, deltas: &Deltas) -> Vec<v1::FlowDeltas> {
    let mut book = Book::new(stamp);
    for (key, counts) in &deltas.edges {
        book.edge(key, counts);
    }
    for (key, counts) in &deltas.services {
        book.service(key, counts);
    }
    for (key, counts) in &deltas.operations {
        book.operation(key, counts);
    }
    for (key, counts) in &deltas.endpoints {
        book.endpoint(key, counts);
    }
    book.close()
}

/// Parts that are full, and the one being filled.
struct Book {
    stamp: Stamp,
    full: Vec<v1::FlowDeltas>,
    open: v1::FlowDeltas,
    bytes: usize,
    strings: HashMap<Name, u32>,
    nodes: HashMap<Arc<Node>, u32>,
}

impl Book {
    fn new(stamp: Stamp) -> Self {
        let mut book = Self {
            stamp,
            full: Vec::new(),
            open: v1::FlowDeltas::default(),
            bytes: 0,
            strings: HashMap::new(),
            nodes: HashMap::new(),
        };
        book.begin();
        book
    }

    fn begin(&mut self) {
        self.open = v1::FlowDeltas {
            shard: self.stamp.shard,
            seq: self.stamp.seq,
            clock_us: self.stamp.clock_us,
            strings: vec![String::new()],
            ..Default::default()
        };
        self.bytes = self.open.encoded_len();
        self.strings.clear();
        self.strings.insert(Arc::from(""), 0);
        self.nodes.clear();
    }

    fn close(mut self) -> Vec<v1::FlowDeltas> {
        self.full.push(self.open);
        let parts = self.full.len() as u32;
        for (part, deltas) in self.full.iter_mut().enumerate() {
            deltas.part = part as u32;
            deltas.parts = parts;
        }
        self.full
    }

    /// Makes room before a change is written: its names must land in the same part as itself.
    fn turn_page_if_full(&mut self) {
        if self.bytes >= FULL_BYTES {
            self.full.push(std::mem::take(&mut self.open));
            self.begin();
        }
    }

    fn weigh(&mut self, message: &impl Message) {
        let length = message.encoded_len();
        self.bytes += 1 + prost::length_delimiter_len(length) + length;
    }

    fn text(&mut self, text: &Name) -> u32 {
        if let Some(index) = self.strings.get(text) {
            return *index;
        }
        let index = self.open.strings.len() as u32;
        self.bytes += 1 + prost::length_delimiter_len(text.len()) + text.len();
        self.open.strings.push(text.to_string());
        self.strings.insert(text.clone(), index);
        index
    }

    fn node(&mut self, node: &Arc<Node>) -> u32 {
        if let Some(index) = self.nodes.get(node) {
            return *index;
        }
        let message = v1::Node {
            cluster: self.text(&node.cluster),
            namespace: self.text(&node.namespace),
            name: self.text(&node.name),
            kind: kind(node.kind).into(),
        };
        self.weigh(&message);
        let index = self.open.nodes.len() as u32;
        self.open.nodes.push(message);
        self.nodes.insert(node.clone(), index);
        index
    }

    fn edge(&mut self, key: &EdgeKey, counts: &EdgeCounts) {
        self.turn_page_if_full();
        let message = v1::EdgeDelta {
            environment: self.text(&key.environment),
            operation: self.text(&key.operation),
            client: self.node(&key.client),
            server: self.node(&key.server),
            version: self.text(&key.version),
            window_s: key.window_s,
            weight_milli: key.weight_milli,
            calls: counts.calls,
            errors: counts.errors,
            client_errors: counts.client_errors,
            retries: counts.retries,
            timeouts: counts.timeouts,
            rejected: counts.rejected,
            messages: counts.messages,
            paired: counts.paired,
            callee_latency: histogram(&counts.callee_latency),
            caller_latency: histogram(&counts.caller_latency),
            wait: histogram(&counts.wait),
        };
        self.weigh(&message);
        self.open.edges.push(message);
    }

    fn service(&mut self, key: &delta::ServiceKey, counts: &delta::ServiceCounts) {
        self.turn_page_if_full();
        let message = v1::ServiceDelta {
            environment: self.text(&key.environment),
            operation: self.text(&key.operation),
            node: self.node(&key.node),
            version: self.text(&key.version),
            window_s: key.window_s,
            weight_milli: key.weight_milli,
            requests: counts.requests,
            errors: counts.errors,
            client_errors: counts.client_errors,
            latency: histogram(&counts.latency),
            self_time: histogram(&counts.self_time),
            critical_path: histogram(&counts.critical_path),
        };
        self.weigh(&message);
        self.open.services.push(message);
    }

    fn operation(&mut self, key: &delta::OperationKey, counts: &delta::OperationCounts) {
        self.turn_page_if_full();
        let message = v1::OperationDelta {
            environment: self.text(&key.environment),
            operation: self.text(&key.operation),
            window_s: key.window_s,
            weight_milli: key.weight_milli,
            flows: counts.flows,
            errors: counts.errors,
            timeouts: counts.timeouts,
            duration: histogram(&counts.duration),
        };
        self.weigh(&message);
        self.open.operations.push(message);
    }

    fn endpoint(&mut self, key: &delta::EndpointKey, counts: &delta::EndpointCounts) {
        self.turn_page_if_full();
        let message = v1::EndpointDelta {
            environment: self.text(&key.environment),
            node: self.node(&key.node),
            version: self.text(&key.version),
            entry: self.text(&key.entry),
            window_s: key.window_s,
            weight_milli: key.weight_milli,
            requests: counts.requests,
            errors: counts.errors,
            latency: histogram(&counts.latency),
        };
        self.weigh(&message);
        self.open.endpoints.push(message);
    }
}

/// The kind's number on the wire.
pub fn kind(kind: delta::NodeKind) -> v1::NodeKind {
    match kind {
        delta::NodeKind::Unknown => v1::NodeKind::Unknown,
        delta::NodeKind::Service => v1::NodeKind::Service,
        delta::NodeKind::User => v1::NodeKind::User,
        delta::NodeKind::Client => v1::NodeKind::Client,
        delta::NodeKind::Database => v1::NodeKind::Database,
        delta::NodeKind::Topic => v1::NodeKind::Topic,
        delta::NodeKind::External => v1::NodeKind::External,
    }
}

fn histogram(histogram: &Histogram) -> Option<v1::Histogram> {
    if histogram.is_empty() {
        return None;
    }
    let (bucket, count) =
        histogram.buckets.iter().map(|(bucket, count)| (u32::from(*bucket), *count)).unzip();
    Some(v1::Histogram { bucket, count, sum_us: histogram.sum_us })
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::topics::MAX_RECORD_BYTES;
    use stitcher::delta::NodeKind;

    const STAMP: Stamp = Stamp { shard: 3, seq: 9, clock_us: 5_000_000 };

    fn node(name: &str, kind: NodeKind) -> Arc<Node> {
        Arc::new(Node { cluster: "".into(), namespace: "shop".into(), name: name.into(), kind })
    }

    fn edge(operation: &str, client: &str, server: &str) -> EdgeKey {
        EdgeKey {
            environment: "prod".into(),
            operation: operation.into(),
            client: node(client, NodeKind::Service),
            server: node(server, NodeKind::Database),
            version: "1.2".into(),
            window_s: 1_700_000_000,
            weight_milli: 1000,
        }
    }

    /// A change as a reader sees it, its indexes looked up.
    fn read(deltas: &v1::FlowDeltas) -> Vec<(String, String, String, i64)> {
        let text = |index: u32| deltas.strings[index as usize].clone();
        let name = |index: u32| text(deltas.nodes[index as usize].name);
        let row =
            |edge: &v1::EdgeDelta| (text(edge.operation), name(edge.client), name(edge.server), edge.calls);
        deltas.edges.iter().map(row).collect()
    }

    #[test]
    fn nothing_is_still_one_part() {
        let parts = parts(STAMP, &Deltas::default());
        assert_eq!(parts.len(), 1);
        let part = &parts[0];
        assert_eq!((part.shard, part.seq, part.part, part.parts, part.clock_us), (3, 9, 0, 1, 5_000_000));
        assert_eq!(part.strings, [""]);
    }

    #[test]
    fn an_edge_comes_back_from_the_wire_as_it_went() {
        let mut counts = EdgeCounts { calls: 3, errors: -1, retries: 2, paired: 3, ..Default::default() };
        counts.callee_latency.record(1_500, 1);
        counts.callee_latency.record(70, 1);
        let deltas = Deltas { edges: vec![(edge("login", "auth", "users"), counts)], ..Default::default() };
        let bytes = parts(STAMP, &deltas)[0].encode_to_vec();

        let decoded = v1::FlowDeltas::decode(bytes.as_slice()).unwrap();
        assert_eq!(read(&decoded), [("login".to_owned(), "auth".to_owned(), "users".to_owned(), 3)]);
        let edge = &decoded.edges[0];
        assert_eq!((edge.errors, edge.retries, edge.paired, edge.weight_milli), (-1, 2, 3, 1000));
        assert_eq!(decoded.strings[edge.environment as usize], "prod");
        assert_eq!(decoded.strings[edge.version as usize], "1.2");
        assert_eq!(decoded.nodes[edge.server as usize].kind(), v1::NodeKind::Database);
        let latency = edge.callee_latency.as_ref().unwrap();
        assert_eq!((latency.sum_us, latency.count.as_slice()), (1_570, [1, 1].as_slice()));
        assert_eq!(latency.bucket[0], 70);
        assert!(edge.wait.is_none(), "an empty histogram is absent");
    }

    #[test]
    fn the_other_kinds_of_change_come_back_too() {
        let [environment, operation, version, entry] =
            ["prod", "login", "7", "GET /vms/{id}"].map(Name::from);
        let (window_s, weight_milli) = (60, 2_000);
        let service = delta::ServiceKey {
            environment: environment.clone(),
            operation: operation.clone(),
            node: node("auth", NodeKind::Service),
            version: version.clone(),
            window_s,
            weight_milli,
        };
        let flows =
            delta::OperationKey { environment: environment.clone(), operation, window_s, weight_milli };
        let endpoint = delta::EndpointKey {
            environment,
            node: service.node.clone(),
            version,
            entry,
            window_s,
            weight_milli,
        };
        let deltas = Deltas {
            services: vec![(service, delta::ServiceCounts { requests: 4, ..Default::default() })],
            operations: vec![(flows, delta::OperationCounts { flows: 5, timeouts: 1, ..Default::default() })],
            endpoints: vec![(endpoint, delta::EndpointCounts { requests: 6, ..Default::default() })],
            ..Default::default()
        };
        let part = &parts(STAMP, &deltas)[0];
        assert_eq!((part.services[0].requests, part.services[0].weight_milli), (4, 2_000));
        assert_eq!((part.operations[0].flows, part.operations[0].timeouts), (5, 1));
        assert_eq!(part.strings[part.endpoints[0].entry as usize], "GET /vms/{id}");
        assert_eq!(part.nodes.len(), 1, "a node stands in the dictionary once");
    }

    #[test]
    fn many_changes_become_parts_that_stand_alone_and_add_up() {
        let many = 12_000_i64;
        let edges = (0..many).map(|index| {
            let mut counts = EdgeCounts { calls: index, ..Default::default() };
            (1..40).for_each(|step| counts.callee_latency.record(step * 977, 1));
            (edge(&format!("operation {index}"), "gateway", &format!("service {index}")), counts)
        });
        let parts = parts(STAMP, &Deltas { edges: edges.collect(), ..Default::default() });
        assert!(parts.len() > 2, "{} parts", parts.len());
        let mut read_back = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            assert!(part.encoded_len() <= MAX_RECORD_BYTES, "{} bytes", part.encoded_len());
            assert_eq!((part.part as usize, part.parts as usize), (index, parts.len()));
            read_back.extend(read(part));
        }
        assert_eq!(read_back.len() as i64, many);
        for (index, (operation, client, server, calls)) in (0..many).zip(read_back) {
            assert_eq!(operation, format!("operation {index}"));
            assert_eq!((client.as_str(), server), ("gateway", format!("service {index}")));
            assert_eq!(calls, index);
        }
    }

    #[test]
    fn the_largest_possible_change_still_fits() {
        let buckets = (0..4_352).map(|bucket| (bucket, i64::MAX)).collect();
        let widest = Histogram { buckets, sum_us: i64::MAX };
        let long = "x".repeat(256);
        let edges = (0..40).map(|index| {
            let counts = EdgeCounts {
                callee_latency: widest.clone(),
                caller_latency: widest.clone(),
                wait: widest.clone(),
                ..Default::default()
            };
            (edge(&format!("{index}{long}"), &long, &format!("{index}{long}")), counts)
        });
        for part in parts(STAMP, &Deltas { edges: edges.collect(), ..Default::default() }) {
            assert!(part.encoded_len() <= MAX_RECORD_BYTES, "{} bytes", part.encoded_len());
        }
    }
}
