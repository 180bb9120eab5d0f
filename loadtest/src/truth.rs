//! What a perfect observer of the workload would count: from what the stories mean, never from the stitcher.

use crate::workload::Flow;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::ops::AddAssign;

/// Flows whose outcome is remembered one by one. Beyond that only totals are: an endless demo must not grow.
pub const REMEMBERED_FLOWS: usize = 500_000;

/// A node of the flow graph, without its cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Node {
    /// `service`, `user`, `client`, `database`, `topic`, `external` or `unknown`.
    pub kind: String,
    /// Namespace; empty for what emits no spans.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Node {
    /// A node without namespace.
    pub fn outside(kind: &str, name: impl Into<String>) -> Self {
        Self { kind: kind.into(), namespace: String::new(), name: name.into() }
    }
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.kind.as_str(), self.namespace.as_str()) {
            ("service", "") => f.write_str(&self.name),
            ("service", namespace) => write!(f, "{namespace}/{}", self.name),
            (kind, _) => write!(f, "{} ({kind})", self.name),
        }
    }
}

/// Which counts belong together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EdgeKey {
    /// `production` or `staging`.
    pub environment: String,
    /// Operation.
    pub operation: String,
    /// Who called.
    pub client: Node,
    /// Who was called.
    pub server: Node,
}

impl std::fmt::Display for EdgeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {} → {}", self.environment, self.operation, self.client, self.server)
    }
}

/// Calls of one edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeCounts {
    /// Attempts.
    pub calls: i64,
    /// Failed ones.
    pub errors: i64,
    /// Ones the caller should not have made.
    pub client_errors: i64,
    /// Ones that repeat a failed one.
    pub retries: i64,
    /// Ones a breaker kept back.
    pub rejected: i64,
    /// Ones without an answer in time.
    pub timeouts: i64,
}

impl AddAssign for EdgeCounts {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.errors += other.errors;
        self.client_errors += other.client_errors;
        self.retries += other.retries;
        self.rejected += other.rejected;
        self.timeouts += other.timeouts;
    }
}

impl std::fmt::Display for EdgeCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { calls, errors, client_errors, retries, rejected, timeouts } = self;
        write!(
            f,
            "{calls} calls, {errors} errors, {client_errors} client errors, {retries} retries, {rejected} rejected, \
             {timeouts} timeouts"
        )
    }
}

/// How a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowStatus {
    /// Well, or by the user's own mistake.
    Success,
    /// Badly.
    Error,
    /// Without an answer in time.
    Timeout,
}

impl FlowStatus {
    /// The name used in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Timeout => "timeout",
        }
    }
}

/// Flows of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationCounts {
    /// All of them.
    pub flows: i64,
    /// Ones that ended with `Error` or `Timeout`.
    pub errors: i64,
    /// Ones that ended with `Timeout`.
    pub timeouts: i64,
}

impl std::fmt::Display for OperationCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} flows, {} errors, {} timeouts", self.flows, self.errors, self.timeouts)
    }
}

/// Environment and operation.
pub type OperationKey = (String, String);

/// One remembered flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowTruth {
    /// Index into [`Truth::operation_names`].
    pub operation: u16,
    /// How it ended.
    pub status: FlowStatus,
    /// Its distinct spans.
    pub spans: u32,
}

/// Everything a run should have led to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Calls by edge.
    #[serde(with = "pairs")]
    pub edges: BTreeMap<EdgeKey, EdgeCounts>,
    /// Flows by environment and operation.
    #[serde(with = "pairs")]
    pub operations: BTreeMap<OperationKey, OperationCounts>,
    /// Every key of `operations` in order of appearance, so that a flow needs two bytes for it.
    pub operation_names: Vec<OperationKey>,
    /// Flows by trace id (32 hex digits), up to [`REMEMBERED_FLOWS`].
    pub flows: HashMap<String, FlowTruth>,
    /// Flows that are in the totals only.
    pub forgotten_flows: u64,
    /// Spans that are distinct by trace, id and kind.
    pub spans: u64,
    /// First and last end of a span, microseconds since the epoch; `None` before the first flow.
    pub range_us: Option<(i64, i64)>,
    /// Spans that ingest refused for good, or that were given up: 0 in a run that counts.
    pub lost: u64,
}

impl Truth {
    /// Adds one flow of a run that started at `epoch_us`.
    pub fn add(&mut self, flow: &Flow, epoch_us: i64) {
        let environment = flow.environment.name().to_owned();
        for (client, server, counts) in &flow.calls {
            let key = EdgeKey {
                environment: environment.clone(),
                operation: flow.operation.clone(),
                client: client.clone(),
                server: server.clone(),
            };
            *self.edges.entry(key).or_default() += *counts;
        }
        let key = (environment, flow.operation.clone());
        let total = self.operations.entry(key.clone()).or_default();
        total.flows += 1;
        total.errors += i64::from(flow.status != FlowStatus::Success);
        total.timeouts += i64::from(flow.status == FlowStatus::Timeout);
        self.spans += flow.spans.len() as u64;
        self.widen(flow, epoch_us);
        self.remember(flow, key);
    }

    fn widen(&mut self, flow: &Flow, epoch_us: i64) {
        for span in &flow.spans {
            let end_us = epoch_us + span.end_us;
            let (first, last) = self.range_us.unwrap_or((end_us, end_us));
            self.range_us = Some((first.min(end_us), last.max(end_us)));
        }
    }

    fn remember(&mut self, flow: &Flow, key: OperationKey) {
        if self.flows.len() >= REMEMBERED_FLOWS {
            self.forgotten_flows += 1;
            return;
        }
        let known = self.operation_names.iter().position(|name| *name == key);
        let operation = known.unwrap_or_else(|| {
            self.operation_names.push(key);
            self.operation_names.len() - 1
        });
        let spans = u32::try_from(flow.spans.len()).expect("a story has some dozens of spans");
        let operation = u16::try_from(operation).expect("the stories have some dozens of operations");
        self.flows
            .insert(format!("{:032x}", flow.trace_id), FlowTruth { operation, status: flow.status, spans });
    }

    /// The run's seconds of event time, first and one past the last; empty for an empty run.
    pub fn window_s(&self) -> (i64, i64) {
        self.range_us.map_or((0, 0), |(first, last)| (first / 1_000_000, last / 1_000_000 + 1))
    }

    /// Environments whose counts are compared: the workload's own, and none at all, where its spans would be if
    /// their environment got lost. Whatever is in others is somebody else's.
    pub fn environments(&self) -> Vec<String> {
        let mut environments: Vec<String> =
            self.operations.keys().map(|(environment, _)| environment.clone()).collect();
        environments.dedup();
        environments.push(String::new());
        environments
    }

    /// Sum over all edges.
    pub fn total_calls(&self) -> EdgeCounts {
        let mut total = EdgeCounts::default();
        self.edges.values().for_each(|counts| total += *counts);
        total
    }
}

/// JSON objects have text keys only: maps with structured keys go as lists of pairs.
mod pairs {
    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub fn deserialize<'de, K: DeserializeOwned + Ord, V: DeserializeOwned, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<K, V>, D::Error> {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}
