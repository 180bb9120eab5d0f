//! `stitcher::Deltas` ▶ one or more `FlowDeltas`, each with its own dictionary and small enough for a record.

use super::wire::{Wire, zigzag};
use rustc_hash::FxBuildHasher;
use schemas::v1;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use stitcher::delta::{self, Deltas, EdgeCounts, EdgeKey, Name, Node};
use stitcher::histogram::Histogram;

/// A part is closed once it has reached this size. What a single change can add on top is bounded: names of 256
/// bytes and three histograms of at most 4,352 buckets are below 200 kB, so no part passes `MAX_RECORD_BYTES`.
const FULL_BYTES: usize = 680_000;
/// Room for what isn't in a list.
const HEAD_BYTES: usize = 64;

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
pub fn parts(stamp: Stamp, deltas: &Deltas) -> Vec<Vec<u8>> {
    let mut book = Book::default();
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
    book.close(stamp)
}

/// Parts that are full, and the one being filled.
#[derive(Default)]
struct Book<'a> {
    full: Vec<Page>,
    open: Page,
    strings: Numbers<'a, str>,
    nodes: Numbers<'a, Node>,
}

/// The lists of a part, as they stand on the wire.
#[derive(Default)]
struct Page {
    strings: Wire,
    nodes: Wire,
    changes: Wire,
}

impl Page {
    fn bytes(&self) -> usize {
        self.strings.len() + self.nodes.len() + self.changes.len()
    }

    fn message(&self, stamp: Stamp, part: u32, parts: u32) -> Vec<u8> {
        let mut wire = Wire::with_capacity(self.bytes() + HEAD_BYTES);
        wire.uint(1, stamp.shard)
            .uint(2, stamp.seq)
            .uint(3, part)
            .uint(4, parts)
            .int(5, stamp.clock_us)
            .element(6, b"")
            .append(&self.strings)
            .append(&self.nodes)
            .append(&self.changes);
        wire.into_bytes()
    }
}

/// Places in a dictionary. What is equal is nearly always one and the same, which is seen at once.
struct Numbers<'a, T: ?Sized> {
    by_address: HashMap<usize, u32, FxBuildHasher>,
    by_content: HashMap<&'a T, u32, FxBuildHasher>,
}

impl<T: ?Sized> Default for Numbers<'_, T> {
    fn default() -> Self {
        Self { by_address: HashMap::default(), by_content: HashMap::default() }
    }
}

impl<'a, T: ?Sized + Eq + Hash> Numbers<'a, T> {
    fn get(&mut self, wanted: &'a Arc<T>) -> Option<u32> {
        let address = Arc::as_ptr(wanted).addr();
        if let Some(number) = self.by_address.get(&address) {
            return Some(*number);
        }
        let number = *self.by_content.get(&**wanted)?;
        self.by_address.insert(address, number);
        Some(number)
    }

    fn add(&mut self, new: &'a Arc<T>, number: u32) -> u32 {
        self.by_address.insert(Arc::as_ptr(new).addr(), number);
        self.by_content.insert(new, number);
        number
    }

    fn len(&self) -> u32 {
        self.by_content.len() as u32
    }

    fn clear(&mut self) {
        self.by_address.clear();
        self.by_content.clear();
    }
}

impl<'a> Book<'a> {
    fn close(mut self, stamp: Stamp) -> Vec<Vec<u8>> {
        self.full.push(self.open);
        let parts = self.full.len() as u32;
        (0..).zip(&self.full).map(|(part, page)| page.message(stamp, part, parts)).collect()
    }

    /// Makes room before a change is written: its names must land in the same part as itself.
    fn turn_page_if_full(&mut self) {
        if self.open.bytes() >= FULL_BYTES {
            self.full.push(std::mem::take(&mut self.open));
            self.strings.clear();
            self.nodes.clear();
        }
    }

    fn text(&mut self, text: &'a Name) -> u32 {
        // Index 0 is "".
        if text.is_empty() {
            return 0;
        }
        if let Some(number) = self.strings.get(text) {
            return number;
        }
        self.open.strings.element(6, text.as_bytes());
        let number = self.strings.len() + 1;
        self.strings.add(text, number)
    }

    fn node(&mut self, node: &'a Arc<Node>) -> u32 {
        if let Some(number) = self.nodes.get(node) {
            return number;
        }
        let [cluster, namespace, name] =
            [&node.cluster, &node.namespace, &node.name].map(|text| self.text(text));
        let kind = kind(node.kind) as u32;
        self.open.nodes.message(7, |wire| {
            wire.uint(1, cluster).uint(2, namespace).uint(3, name).uint(4, kind);
        });
        let number = self.nodes.len();
        self.nodes.add(node, number)
    }

    fn edge(&mut self, key: &'a EdgeKey, counts: &EdgeCounts) {
        self.turn_page_if_full();
        let (environment, operation) = (self.text(&key.environment), self.text(&key.operation));
        let (client, server) = (self.node(&key.client), self.node(&key.server));
        let version = self.text(&key.version);
        self.open.changes.message(8, |wire| {
            wire.uint(1, environment)
                .uint(2, operation)
                .uint(3, client)
                .uint(4, server)
                .uint(5, version)
                .uint(6, key.window_s)
                .uint(7, key.weight_milli)
                .sint(8, counts.calls)
                .sint(9, counts.errors)
                .sint(10, counts.client_errors)
                .sint(11, counts.retries)
                .sint(12, counts.timeouts)
                .sint(13, counts.rejected)
                .sint(14, counts.messages)
                .sint(15, counts.paired);
            histogram(wire, 16, &counts.callee_latency);
            histogram(wire, 17, &counts.caller_latency);
            histogram(wire, 18, &counts.wait);
        });
    }

    fn service(&mut self, key: &'a delta::ServiceKey, counts: &delta::ServiceCounts) {
        self.turn_page_if_full();
        let (environment, operation) = (self.text(&key.environment), self.text(&key.operation));
        let (node, version) = (self.node(&key.node), self.text(&key.version));
        self.open.changes.message(9, |wire| {
            wire.uint(1, environment)
                .uint(2, operation)
                .uint(3, node)
                .uint(4, version)
                .uint(5, key.window_s)
                .uint(6, key.weight_milli)
                .sint(7, counts.requests)
                .sint(8, counts.errors)
                .sint(9, counts.client_errors);
            histogram(wire, 10, &counts.latency);
            histogram(wire, 11, &counts.self_time);
            histogram(wire, 12, &counts.critical_path);
        });
    }

    fn operation(&mut self, key: &'a delta::OperationKey, counts: &delta::OperationCounts) {
        self.turn_page_if_full();
        let (environment, operation) = (self.text(&key.environment), self.text(&key.operation));
        self.open.changes.message(10, |wire| {
            wire.uint(1, environment)
                .uint(2, operation)
                .uint(3, key.window_s)
                .uint(4, key.weight_milli)
                .sint(5, counts.flows)
                .sint(6, counts.errors)
                .sint(7, counts.timeouts);
            histogram(wire, 8, &counts.duration);
        });
    }

    fn endpoint(&mut self, key: &'a delta::EndpointKey, counts: &delta::EndpointCounts) {
        self.turn_page_if_full();
        let (environment, node) = (self.text(&key.environment), self.node(&key.node));
        let (version, entry) = (self.text(&key.version), self.text(&key.entry));
        self.open.changes.message(11, |wire| {
            wire.uint(1, environment)
                .uint(2, node)
                .uint(3, version)
                .uint(4, entry)
                .uint(5, key.window_s)
                .uint(6, key.weight_milli)
                .sint(7, counts.requests)
                .sint(8, counts.errors);
            histogram(wire, 9, &counts.latency);
        });
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

/// An empty one is left out.
fn histogram(wire: &mut Wire, field: u32, histogram: &Histogram) {
    if histogram.is_empty() {
        return;
    }
    let buckets = &histogram.buckets;
    wire.message(field, |wire| {
        wire.packed(1, buckets.iter().map(|(bucket, _)| u64::from(*bucket)))
            .packed(2, buckets.iter().map(|(_, count)| zigzag(*count)))
            .sint(3, histogram.sum_us);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
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

    /// The parts as prost reads them, which writes them with the same bytes.
    fn read_parts(deltas: &Deltas) -> Vec<v1::FlowDeltas> {
        let read = |bytes: Vec<u8>| {
            assert!(bytes.len() <= MAX_RECORD_BYTES, "{} bytes", bytes.len());
            let read = v1::FlowDeltas::decode(bytes.as_slice()).unwrap();
            assert!(read.encode_to_vec() == bytes);
            read
        };
        parts(STAMP, deltas).into_iter().map(read).collect()
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
        let parts = read_parts(&Deltas::default());
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
        let decoded = &read_parts(&deltas)[0];
        assert_eq!(read(decoded), [("login".to_owned(), "auth".to_owned(), "users".to_owned(), 3)]);
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
        let part = &read_parts(&deltas)[0];
        assert_eq!((part.services[0].requests, part.services[0].weight_milli), (4, 2_000));
        assert_eq!((part.operations[0].flows, part.operations[0].timeouts), (5, 1));
        assert_eq!(part.strings[part.endpoints[0].entry as usize], "GET /vms/{id}");
        assert_eq!(part.nodes.len(), 1, "a node stands in the dictionary once");
    }

    #[test]
    fn equal_names_stand_in_the_dictionary_once_though_they_are_not_the_same() {
        let edges = vec![
            (edge("login", "auth", "users"), EdgeCounts { calls: 1, ..Default::default() }),
            (edge("login", "users", "auth"), EdgeCounts { calls: 2, ..Default::default() }),
            (edge("login", "users", "auth"), EdgeCounts { calls: 3, ..Default::default() }),
        ];
        let part = &read_parts(&Deltas { edges, ..Default::default() })[0];
        assert_eq!(part.strings, ["", "prod", "login", "shop", "auth", "users", "1.2"]);
        assert_eq!(part.nodes.len(), 4, "each is a service and a database");
        assert_eq!(part.edges[1].client, part.edges[2].client);
    }

    #[test]
    fn many_changes_become_parts_that_stand_alone_and_add_up() {
        let many = 12_000_i64;
        let edges = (0..many).map(|index| {
            let mut counts = EdgeCounts { calls: index, ..Default::default() };
            (1..40).for_each(|step| counts.callee_latency.record(step * 977, 1));
            (edge(&format!("operation {index}"), "gateway", &format!("service {index}")), counts)
        });
        let parts = read_parts(&Deltas { edges: edges.collect(), ..Default::default() });
        assert!(parts.len() > 2, "{} parts", parts.len());
        let mut read_back = Vec::new();
        for (index, part) in parts.iter().enumerate() {
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
        assert!(read_parts(&Deltas { edges: edges.collect(), ..Default::default() }).len() > 1);
    }
}
