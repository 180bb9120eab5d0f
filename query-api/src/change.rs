//! The boundary to Kafka and ClickHouse: messages and rows become changes of live state here and nowhere else.

use crate::counts::{EdgeCounts, OperationCounts, ServiceCounts};
use crate::histogram::Histogram;
use crate::live::shards::Place;
use crate::node::{Kind, Node};
use crate::totals::{EdgeTotals, FlowTotals, ServiceTotals};
use prost::Message;
use schemas::v1;
use std::sync::Arc;

/// One record of `flow_deltas`.
#[derive(Debug, Default)]
pub struct Commit {
    /// Partition of `otlp_spans`.
    pub shard: u32,
    /// The shard's commit, counted from 1.
    pub seq: u64,
    /// This record is part `part`, from 0, …
    pub part: u32,
    /// … of `parts`.
    pub parts: u32,
    /// The shard's log time.
    pub clock_us: i64,
    /// What it changes.
    pub changes: Vec<Change>,
    /// What it changes at entry points of services. Live state doesn't keep these.
    pub endpoints: Vec<Endpoint>,
    /// Entries that refer to names or buckets that don't exist, and were left out.
    pub unreadable: u64,
}

impl Commit {
    /// Its place among the commits of its shard.
    pub fn place(&self) -> Place {
        Place { seq: self.seq, part: self.part, parts: self.parts, clock_us: self.clock_us }
    }
}

/// A signed, additive change in one window of one operation in one environment.
#[derive(Debug, Clone)]
pub struct Change {
    /// Deployment environment.
    pub environment: Arc<str>,
    /// Name of the operation.
    pub operation: Arc<str>,
    /// Start of the window: a second of event time.
    pub window_s: u32,
    /// What changed.
    pub what: What,
}

/// What a [`Change`] is about.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the fields are those of the messages in schemas/proto, documented there")]
pub enum What {
    /// Calls between two nodes.
    Edge { client: Arc<Node>, server: Arc<Node>, calls: EdgeTotals },
    /// Requests a service answered, with the version that did.
    Service { node: Arc<Node>, requests: ServiceTotals },
    /// Flows that ended.
    Operation { flows: FlowTotals },
}

/// A signed change of the requests of one entry point of a service.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Deployment environment.
    pub environment: Arc<str>,
    /// The service.
    pub node: Arc<Node>,
    /// Route, RPC method or topic.
    pub entry: Arc<str>,
    /// All requests, in thousandths.
    pub requests: i64,
    /// Of these, failed.
    pub errors: i64,
    /// How long they took.
    pub latency: Histogram,
}

/// Reads one record of `flow_deltas`.
///
/// # Errors
/// The bytes are no `FlowDeltas` message.
pub fn read_commit(bytes: &[u8]) -> Result<Commit, prost::DecodeError> {
    let message = v1::FlowDeltas::decode(bytes)?;
    let mut names = Names::of(&message);
    let mut changes =
        Vec::with_capacity(message.edges.len() + message.services.len() + message.operations.len());
    changes.extend(message.edges.iter().filter_map(|edge| names.edge(edge)));
    changes.extend(message.services.iter().filter_map(|service| names.service(service)));
    changes.extend(message.operations.iter().filter_map(|operation| names.operation(operation)));
    let endpoints: Vec<Endpoint> =
        message.endpoints.iter().filter_map(|endpoint| names.endpoint(endpoint)).collect();
    let entries =
        message.edges.len() + message.services.len() + message.operations.len() + message.endpoints.len();
    let unreadable = names.impossible_buckets + (entries - changes.len() - endpoints.len()) as u64;
    let v1::FlowDeltas { shard, seq, part, parts, clock_us, .. } = message;
    Ok(Commit { shard, seq, part, parts: parts.max(1), clock_us, changes, endpoints, unreadable })
}

/// The two dictionaries of a message.
struct Names {
    texts: Vec<Arc<str>>,
    nodes: Vec<Option<Arc<Node>>>,
    impossible_buckets: u64,
}

impl Names {
    fn of(message: &v1::FlowDeltas) -> Self {
        let texts: Vec<Arc<str>> = message.strings.iter().map(|text| Arc::from(text.as_str())).collect();
        let text = |index: u32| texts.get(index as usize).map(|text| text.to_string());
        let node = |node: &v1::Node| {
            let (cluster, namespace, name) = (text(node.cluster)?, text(node.namespace)?, text(node.name)?);
            Some(Arc::new(Node { cluster, namespace, name, kind: Kind::of_message(node.kind) }))
        };
        let nodes = message.nodes.iter().map(node).collect();
        Self { texts, nodes, impossible_buckets: 0 }
    }

    fn edge(&mut self, edge: &v1::EdgeDelta) -> Option<Change> {
        let weight = i64::from(edge.weight_milli);
        let (client, server) = (self.node(edge.client)?, self.node(edge.server)?);
        let counts = EdgeCounts {
            calls: edge.calls.saturating_mul(weight),
            errors: edge.errors.saturating_mul(weight),
            client_errors: edge.client_errors.saturating_mul(weight),
            retries: edge.retries.saturating_mul(weight),
            timeouts: edge.timeouts.saturating_mul(weight),
            rejected: edge.rejected.saturating_mul(weight),
            messages: edge.messages.saturating_mul(weight),
            paired: edge.paired.saturating_mul(weight),
            raw_calls: edge.calls,
        };
        let calls = EdgeTotals {
            counts,
            callee: self.histogram(edge.callee_latency.as_ref(), weight),
            caller: self.histogram(edge.caller_latency.as_ref(), weight),
            wait: self.histogram(edge.wait.as_ref(), weight),
        };
        self.change(edge.environment, edge.operation, edge.window_s, What::Edge { client, server, calls })
    }

    fn service(&mut self, service: &v1::ServiceDelta) -> Option<Change> {
        let weight = i64::from(service.weight_milli);
        let (node, version) = (self.node(service.node)?, self.text(service.version)?);
        let counts = ServiceCounts {
            requests: service.requests.saturating_mul(weight),
            errors: service.errors.saturating_mul(weight),
            client_errors: service.client_errors.saturating_mul(weight),
            raw_requests: service.requests,
        };
        let requests = ServiceTotals {
            counts,
            latency: self.histogram(service.latency.as_ref(), weight),
            self_time: self.histogram(service.self_time.as_ref(), weight),
            critical_path: self.histogram(service.critical_path.as_ref(), weight),
            versions: [version].into(),
        };
        let what = What::Service { node, requests };
        self.change(service.environment, service.operation, service.window_s, what)
    }

    fn operation(&mut self, operation: &v1::OperationDelta) -> Option<Change> {
        let weight = i64::from(operation.weight_milli);
        let counts = OperationCounts {
            flows: operation.flows.saturating_mul(weight),
            errors: operation.errors.saturating_mul(weight),
            timeouts: operation.timeouts.saturating_mul(weight),
            raw_flows: operation.flows,
        };
        let durations = self.histogram(operation.duration.as_ref(), weight);
        let what = What::Operation { flows: FlowTotals { counts, durations } };
        self.change(operation.environment, operation.operation, operation.window_s, what)
    }

    fn endpoint(&mut self, endpoint: &v1::EndpointDelta) -> Option<Endpoint> {
        let weight = i64::from(endpoint.weight_milli);
        Some(Endpoint {
            environment: self.text(endpoint.environment)?,
            node: self.node(endpoint.node)?,
            entry: self.text(endpoint.entry)?,
            requests: endpoint.requests.saturating_mul(weight),
            errors: endpoint.errors.saturating_mul(weight),
            latency: self.histogram(endpoint.latency.as_ref(), weight),
        })
    }

    fn change(&self, environment: u32, operation: u32, window_s: u32, what: What) -> Option<Change> {
        Some(Change {
            environment: self.text(environment)?,
            operation: self.text(operation)?,
            window_s,
            what,
        })
    }

    fn text(&self, index: u32) -> Option<Arc<str>> {
        self.texts.get(index as usize).cloned()
    }

    fn node(&self, index: u32) -> Option<Arc<Node>> {
        self.nodes.get(index as usize).cloned().flatten()
    }

    fn histogram(&mut self, message: Option<&v1::Histogram>, weight: i64) -> Histogram {
        let Some(message) = message else { return Histogram::default() };
        let counts = message.count.iter().map(|count| count.saturating_mul(weight));
        let buckets = message.bucket.iter().copied().zip(counts);
        let (histogram, impossible) = Histogram::from_buckets(buckets, message.sum_us.saturating_mul(weight));
        self.impossible_buckets += impossible;
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> v1::FlowDeltas {
        let node = |name, kind: v1::NodeKind| v1::Node { cluster: 0, namespace: 3, name, kind: kind.into() };
        let edge = v1::EdgeDelta {
            environment: 1,
            operation: 2,
            client: 0,
            server: 1,
            window_s: 1_700_000_000,
            weight_milli: 2_500,
            calls: 2,
            errors: 1,
            callee_latency: Some(v1::Histogram { bucket: vec![10, 9_999], count: vec![2, 1], sum_us: 20 }),
            ..Default::default()
        };
        v1::FlowDeltas {
            shard: 1,
            seq: 7,
            strings: ["", "prod", "login", "shop", "web", "auth"].map(str::to_owned).to_vec(),
            nodes: vec![node(4, v1::NodeKind::Service), node(5, v1::NodeKind::Service)],
            edges: vec![edge.clone(), v1::EdgeDelta { server: 9, ..edge }],
            ..Default::default()
        }
    }

    #[test]
    fn names_are_resolved_and_counts_weighted() {
        let commit = read_commit(&message().encode_to_vec()).unwrap();
        assert_eq!((commit.shard, commit.seq, commit.part, commit.parts), (1, 7, 0, 1));
        let change = &commit.changes[0];
        assert_eq!(
            (&*change.environment, &*change.operation, change.window_s),
            ("prod", "login", 1_700_000_000)
        );
        let What::Edge { client, server, calls } = &change.what else { panic!("{change:?}") };
        assert_eq!((client.to_string(), server.to_string()), ("shop/web".into(), "shop/auth".into()));
        let counts = calls.counts;
        assert_eq!((counts.calls, counts.raw_calls, counts.errors), (5_000, 2, 2_500));
        assert_eq!(calls.callee.count(), 5_000);
    }

    #[test]
    fn what_refers_to_nothing_is_counted_and_left_out() {
        let commit = read_commit(&message().encode_to_vec()).unwrap();
        // One edge to a node that isn't there, and one impossible bucket in each of the two histograms.
        assert_eq!((commit.changes.len(), commit.unreadable), (1, 3 - 1));
    }

    #[test]
    fn other_bytes_are_an_error() {
        assert!(read_commit(b"\xff\xff\xff").is_err());
    }
}
