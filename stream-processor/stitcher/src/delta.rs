//! Decisions out, first half: signed changes to flow graphs.
//! Field names and units are those of `weir.v1.FlowDeltas`.

use crate::histogram::Histogram;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Shared text.
pub type Name = Arc<str>;

/// What a node of the graph is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum NodeKind {
    /// A caller or callee nobody named.
    Unknown = 0,
    /// Emits spans.
    Service = 1,
    /// Whoever calls a service that has no caller span.
    User = 2,
    /// Browser, mobile app, command line.
    Client = 3,
    /// Database.
    Database = 4,
    /// Topic or queue.
    Topic = 5,
    /// Host or service that emits no spans.
    External = 6,
}

impl NodeKind {
    /// The name used in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Service => "service",
            Self::User => "user",
            Self::Client => "client",
            Self::Database => "database",
            Self::Topic => "topic",
            Self::External => "external",
        }
    }
}

/// Identity of a node.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Node {
    /// `k8s.cluster.name`.
    pub cluster: Name,
    /// `k8s.namespace.name`, else `service.namespace`.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// What it is.
    pub kind: NodeKind,
}

/// Which counter an edge change belongs to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EdgeKey {
    /// Deployment environment.
    pub environment: Name,
    /// Operation.
    pub operation: Name,
    /// Caller.
    pub client: Arc<Node>,
    /// Callee.
    pub server: Arc<Node>,
    /// The callee's version.
    pub version: Name,
    /// Second of event time in which the callee span ended.
    pub window_s: u32,
    /// Adjusted count of each call, thousandths.
    pub weight_milli: u32,
}

/// Changes to an edge; see `weir.v1.EdgeDelta`.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // the protobuf message documents them
pub struct EdgeCounts {
    pub calls: i64,
    pub errors: i64,
    pub client_errors: i64,
    pub retries: i64,
    pub timeouts: i64,
    pub rejected: i64,
    pub messages: i64,
    pub paired: i64,
    pub callee_latency: Histogram,
    pub caller_latency: Histogram,
    pub wait: Histogram,
}

/// Which counter a service change belongs to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)] // as in EdgeKey
pub struct ServiceKey {
    pub environment: Name,
    pub operation: Name,
    pub node: Arc<Node>,
    pub version: Name,
    pub window_s: u32,
    pub weight_milli: u32,
}

/// Changes to a service; see `weir.v1.ServiceDelta`.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct ServiceCounts {
    pub requests: i64,
    pub errors: i64,
    pub client_errors: i64,
    pub latency: Histogram,
    pub self_time: Histogram,
    pub critical_path: Histogram,
}

/// Which counter an operation change belongs to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)]
pub struct OperationKey {
    pub environment: Name,
    pub operation: Name,
    pub window_s: u32,
    pub weight_milli: u32,
}

/// Changes to an operation; see `weir.v1.OperationDelta`.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct OperationCounts {
    pub flows: i64,
    pub errors: i64,
    pub timeouts: i64,
    pub duration: Histogram,
}

/// Which counter an endpoint change belongs to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)]
pub struct EndpointKey {
    pub environment: Name,
    pub node: Arc<Node>,
    pub version: Name,
    pub entry: Name,
    pub window_s: u32,
    pub weight_milli: u32,
}

/// Changes to an endpoint; see `weir.v1.EndpointDelta`.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct EndpointCounts {
    pub requests: i64,
    pub errors: i64,
    pub latency: Histogram,
}

/// All changes of one commit, sorted by key, nothing that adds up to zero.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Deltas {
    pub edges: Vec<(EdgeKey, EdgeCounts)>,
    pub services: Vec<(ServiceKey, ServiceCounts)>,
    pub operations: Vec<(OperationKey, OperationCounts)>,
    pub endpoints: Vec<(EndpointKey, EndpointCounts)>,
}

impl Deltas {
    /// Nothing changed.
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty()
            && self.services.is_empty()
            && self.operations.is_empty()
            && self.endpoints.is_empty()
    }
}
