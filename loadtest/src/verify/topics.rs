//! The answer of the topics: deltas added up, and the last revision of every summary.

use super::compare::compare;
use super::report::Check;
use super::tables::operation_name;
use crate::truth::{EdgeCounts, EdgeKey, FlowStatus, Node, OperationCounts, OperationKey, Truth};
use anyhow::Context;
use process::KafkaOptions;
use prost::Message as _;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientContext, Message as _, Offset, TopicPartitionList};
use schemas::topics::{FLOW_DELTAS, FLOW_TRACES};
use schemas::v1::{EdgeDelta, FlowDeltas, FlowTrace, NodeKind, OperationDelta};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// Longest silence of the broker before reading is given up.
const SILENCE: Duration = Duration::from_secs(20);

pub(super) async fn checks(truth: &Truth, kafka: &KafkaOptions) -> anyhow::Result<Vec<Check>> {
    let (kafka, window_s, environments) = (kafka.clone(), truth.window_s(), truth.environments());
    let read = tokio::task::spawn_blocking(move || -> anyhow::Result<(Folded, Summaries)> {
        let mut folded = Folded::new(window_s, environments);
        read_whole(&kafka, FLOW_DELTAS, |value| folded.add(value))?;
        let mut summaries = Summaries::default();
        read_whole(&kafka, FLOW_TRACES, |value| summaries.add(value))?;
        Ok((folded, summaries))
    });
    let (folded, summaries) = read.await.context("the reading thread died")??;
    let mut checks = vec![
        compare("Kafka flow_deltas, edges", &truth.edges, &folded.edges, EdgeKey::to_string),
        compare("Kafka flow_deltas, operations", &truth.operations, &folded.operations, operation_name),
    ];
    checks.push(folded.commits());
    checks.push(summaries.compare(truth));
    Ok(checks)
}

/// A reader for which the end of a partition is no news.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if !matches!(error, KafkaError::PartitionEOF(_) | KafkaError::Global(RDKafkaErrorCode::PartitionEOF))
        {
            tracing::warn!(%error, reason, "Kafka");
        }
    }
}

impl ConsumerContext for Quiet {}

/// Reads every partition of `topic` from its beginning to its end, committed records only.
///
/// # Errors
/// There is no such topic, Kafka doesn't answer, or `each` fails.
pub fn read_whole(
    kafka: &KafkaOptions,
    topic: &str,
    mut each: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let consumer: BaseConsumer<Quiet> = kafka
        .client()
        .set("group.id", "weir-verify")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create_with_context(Quiet)?;
    let metadata = consumer.fetch_metadata(Some(topic), SILENCE)?;
    let partitions: BTreeSet<i32> = metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions().iter().map(|partition| partition.id()))
        .collect();
    anyhow::ensure!(!partitions.is_empty(), "topic {topic} does not exist");
    let mut list = TopicPartitionList::new();
    for partition in &partitions {
        list.add_partition_offset(topic, *partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let mut unread = partitions;
    let mut heard = Instant::now();
    while !unread.is_empty() {
        match consumer.poll(Duration::from_millis(200)) {
            None => anyhow::ensure!(heard.elapsed() < SILENCE, "topic {topic}: no answer from Kafka"),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                unread.remove(&partition);
                heard = Instant::now();
            }
            Some(Err(problem)) => {
                return Err(problem).with_context(|| format!("topic {topic} can't be read"));
            }
            Some(Ok(record)) => {
                heard = Instant::now();
                each(record.payload().unwrap_or_default())
                    .with_context(|| format!("{topic} {}@{}", record.partition(), record.offset()))?;
            }
        }
    }
    Ok(())
}

/// Which deltas belong to the run.
struct Ours {
    window_s: (i64, i64),
    environments: Vec<String>,
}

impl Ours {
    fn hold(&self, deltas: &FlowDeltas, environment: u32, window_s: u32) -> bool {
        let ours =
            text(deltas, environment).is_some_and(|environment| self.environments.contains(&environment));
        ours && (self.window_s.0..self.window_s.1).contains(&i64::from(window_s))
    }
}

/// All deltas of the run's windows, added up.
struct Folded {
    ours: Ours,
    edges: BTreeMap<EdgeKey, EdgeCounts>,
    operations: BTreeMap<OperationKey, OperationCounts>,
    /// Records by shard, commit and part.
    records: BTreeMap<(u32, u64, u32), u32>,
}

impl Folded {
    fn new(window_s: (i64, i64), environments: Vec<String>) -> Self {
        Self {
            ours: Ours { window_s, environments },
            edges: BTreeMap::new(),
            operations: BTreeMap::new(),
            records: BTreeMap::new(),
        }
    }

    fn add(&mut self, value: &[u8]) -> anyhow::Result<()> {
        let deltas = FlowDeltas::decode(value)?;
        *self.records.entry((deltas.shard, deltas.seq, deltas.part)).or_default() += 1;
        for edge in
            deltas.edges.iter().filter(|edge| self.ours.hold(&deltas, edge.environment, edge.window_s))
        {
            let key = edge_key(&deltas, edge).context("an index points outside its dictionary")?;
            *self.edges.entry(key).or_default() += weighted(edge);
        }
        for operation in deltas
            .operations
            .iter()
            .filter(|operation| self.ours.hold(&deltas, operation.environment, operation.window_s))
        {
            let key = operation_key(&deltas, operation).context("an index points outside its dictionary")?;
            let total = self.operations.entry(key).or_default();
            let weigh = |count: i64| count * i64::from(operation.weight_milli) / 1_000;
            total.flows += weigh(operation.flows);
            total.errors += weigh(operation.errors);
            total.timeouts += weigh(operation.timeouts);
        }
        Ok(())
    }

    /// Every part of every commit is there once.
    fn commits(&self) -> Check {
        let mut check = Check { compared: self.records.len(), ..Check::new("Kafka flow_deltas, commits") };
        for ((shard, seq, part), times) in self.records.iter().filter(|(_, times)| **times > 1) {
            check.doubled += u64::from(*times - 1);
            check.differences.push(format!("shard {shard}, commit {seq}, part {part}: {times} times"));
        }
        check
    }
}

fn text(deltas: &FlowDeltas, index: u32) -> Option<String> {
    deltas.strings.get(index as usize).cloned()
}

fn node(deltas: &FlowDeltas, index: u32) -> Option<Node> {
    let node = deltas.nodes.get(index as usize)?;
    let kind = NodeKind::try_from(node.kind).unwrap_or(NodeKind::Unknown);
    let kind = kind.as_str_name().trim_start_matches("NODE_KIND_").to_lowercase();
    Some(Node { kind, namespace: text(deltas, node.namespace)?, name: text(deltas, node.name)? })
}

fn edge_key(deltas: &FlowDeltas, edge: &EdgeDelta) -> Option<EdgeKey> {
    Some(EdgeKey {
        environment: text(deltas, edge.environment)?,
        operation: text(deltas, edge.operation)?,
        client: node(deltas, edge.client)?,
        server: node(deltas, edge.server)?,
    })
}

fn operation_key(deltas: &FlowDeltas, operation: &OperationDelta) -> Option<OperationKey> {
    Some((text(deltas, operation.environment)?, text(deltas, operation.operation)?))
}

fn weighted(edge: &EdgeDelta) -> EdgeCounts {
    let weigh = |count: i64| count * i64::from(edge.weight_milli) / 1_000;
    EdgeCounts {
        calls: weigh(edge.calls),
        errors: weigh(edge.errors),
        client_errors: weigh(edge.client_errors),
        retries: weigh(edge.retries),
        rejected: weigh(edge.rejected),
        timeouts: weigh(edge.timeouts),
    }
}

/// The newest summary of every flow.
#[derive(Default)]
struct Summaries {
    newest: HashMap<String, (u32, OperationKey, &'static str)>,
    /// Flows whose same revision was published more than once.
    repeated: BTreeSet<String>,
}

impl Summaries {
    fn add(&mut self, value: &[u8]) -> anyhow::Result<()> {
        let trace = FlowTrace::decode(value)?;
        let status = match trace.status() {
            schemas::v1::FlowStatus::Success => FlowStatus::Success,
            schemas::v1::FlowStatus::Error => FlowStatus::Error,
            schemas::v1::FlowStatus::Timeout => FlowStatus::Timeout,
        };
        let id: String = trace.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
        let summary = (trace.revision, (trace.environment, trace.operation), status.as_str());
        match self.newest.get(&id) {
            Some((revision, ..)) if *revision > summary.0 => {}
            Some((revision, ..)) if *revision == summary.0 => {
                self.repeated.insert(id);
            }
            _ => {
                self.newest.insert(id, summary);
            }
        }
        Ok(())
    }

    fn compare(&self, truth: &Truth) -> Check {
        let say = |(environment, operation): &OperationKey, status: &str| {
            format!("{environment} {operation} {status}")
        };
        let mut check = Check { compared: truth.flows.len(), ..Check::new("Kafka flow_traces") };
        for (id, flow) in &truth.flows {
            let expected = say(&truth.operation_names[usize::from(flow.operation)], flow.status.as_str());
            match self.newest.get(id).map(|(_, operation, status)| say(operation, status)) {
                None => {
                    check.lost += 1;
                    check.differences.push(format!("flow {id}: missing, expected {expected}"));
                }
                Some(found) if found != expected => {
                    check.differences.push(format!("flow {id}: {found}; expected {expected}"));
                }
                Some(_) => {}
            }
        }
        for id in self.repeated.iter().filter(|id| truth.flows.contains_key(*id)) {
            check.doubled += 1;
            check.differences.push(format!("flow {id}: one revision was published twice"));
        }
        check.differences.sort();
        check
    }
}
