//! Weir: a release binary, from the first span to the last commit.

use crate::measured::{Process, Usage, free_address, metrics, samples, sum};
use crate::topics::Topics;
use crate::truth::{Counts, Edges, Truth, compare};
use anyhow::Context as _;
use loadtest::verify::read_whole;
use process::KafkaOptions;
use prost::Message as _;
use schemas::topics::FLOW_DELTAS;
use schemas::v1::{FlowDeltas, NodeKind};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// What a shard counts when it is at a limit.
const LIMITED: [&str; 4] = ["settled_early", "span_over_trace_limit", "names_cut", "overflowed"];

/// A run, and what it had used when …
pub struct Run {
    /// … all spans were committed,
    pub committed: Usage,
    /// … all flows were closed, at least 6 s after they had gone silent.
    pub closed: Usage,
    /// Spans in open traces when all were committed.
    pub open_spans: u64,
    /// How often a limit of a shard made it do less than without: flows settled early, spans dropped, names cut or merged.
    pub limited: u64,
    /// How often a shard started again, because Kafka didn't answer in time: such a run measures something else.
    pub restarts: u64,
}

/// Starts it on topics of which it knows nothing.
///
/// # Errors
/// The program is missing.
pub fn start(program: &Path, kafka: &str, topics: &Topics) -> anyhow::Result<(Process, SocketAddr)> {
    let admin = free_address()?;
    let mut command = Command::new(program);
    command
        .args(["--first-boot-from", "earliest", "--kafka", kafka])
        .args(["--topic-prefix", &topics.prefix, "--group", &topics.name("processor")])
        .args(["--admin", &admin.to_string()])
        .env("WEIR_LOG", "error");
    Ok((Process::start(&mut command)?, admin))
}

/// Lets it read so many spans.
///
/// # Errors
/// It fails, or takes too long.
pub fn run(program: &Path, kafka: &str, topics: &Topics, spans: u64) -> anyhow::Result<Run> {
    topics.forget_outputs()?;
    let (mut weir, admin) = start(program, kafka, topics)?;
    watch(&mut weir, admin, topics.partitions, spans)
}

/// Waits until one that was started has read so many spans, and closed all flows.
///
/// # Errors
/// It fails, or takes too long.
pub fn watch(weir: &mut Process, admin: SocketAddr, partitions: u32, spans: u64) -> anyhow::Result<Run> {
    let told =
        |metric: &str| metrics(admin).map(|page| sum(&page, &format!("weir_processor_{metric}")) as u64);
    let restarts = || anyhow::Ok(told("recoveries_total")?.saturating_sub(partitions.into()));
    // What a shard commits as it starts again is not counted as spans: then the end of the log has to do.
    let is_committed =
        || anyhow::Ok(told("spans_total")? >= spans || (restarts()? > 0 && told("lag_records")? == 0));
    weir.wait_until("all spans are committed", || is_committed().is_ok_and(|is_committed| is_committed))?;
    let (committed, open_spans) = (weir.usage()?, told("open_spans")?);
    weir.wait_until("all flows are closed", || told("open_spans").is_ok_and(|open| open == 0))?;
    let limited = limited(&metrics(admin)?);
    Ok(Run { committed, closed: weir.usage()?, open_spans, limited, restarts: restarts()? })
}

fn limited(page: &str) -> u64 {
    let counted = samples(page, "weir_processor_counted_total");
    let by_limits = counted.filter(|sample| LIMITED.contains(&sample.label("name")));
    by_limits.map(|sample| sample.value as u64).sum()
}

/// Compares what it has written with the truth: every operation's calls and errors, edge by edge.
///
/// # Errors
/// It said something else, or Kafka doesn't answer.
pub fn check(kafka: &KafkaOptions, topics: &Topics, truth: &Truth, by_operation: bool) -> anyhow::Result<()> {
    let mut said = Said::default();
    read_whole(kafka, &topics.name(FLOW_DELTAS), |value| said.add(value))?;
    said.edges.retain(|_, counts| *counts != [0, 0]);
    said.requests.retain(|_, counts| *counts != [0, 0]);
    if by_operation {
        compare("Weir, calls by operation", truth.edges(), &said.edges)?;
        compare("Weir, requests by operation", truth.requests(), &said.requests)
    } else {
        compare("Weir, calls", &truth.callers(), &crate::truth::callers(&said.edges))
    }
}

/// Deltas, added up.
#[derive(Default)]
struct Said {
    edges: Edges,
    requests: BTreeMap<(String, String), Counts>,
}

impl Said {
    fn add(&mut self, value: &[u8]) -> anyhow::Result<()> {
        let deltas = FlowDeltas::decode(value)?;
        let text = |index: u32| deltas.strings.get(index as usize).cloned().context("a text is missing");
        let node = |index: u32| -> anyhow::Result<(NodeKind, String)> {
            let node = deltas.nodes.get(index as usize).context("a node is missing")?;
            Ok((node.kind(), text(node.name)?))
        };
        for edge in &deltas.edges {
            let operation = text(edge.operation)?;
            let counts = match (node(edge.client)?, node(edge.server)?) {
                ((NodeKind::User, _), (NodeKind::Service, service)) => {
                    self.requests.entry((operation, service)).or_default()
                }
                ((NodeKind::Service, caller), (NodeKind::Service, callee)) => {
                    self.edges.entry((operation, caller, callee)).or_default()
                }
                // There is nobody else: it will stand out.
                (caller, callee) => {
                    self.edges.entry((operation, format!("{caller:?}"), format!("{callee:?}"))).or_default()
                }
            };
            *counts = [counts[0] + edge.calls, counts[1] + edge.errors];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_limit_did_is_seen_and_what_is_usual_is_not() {
        let page = "weir_processor_counted_total{name=\"settled_early\"} 3\n\
                    weir_processor_counted_total{name=\"overflowed\"} 4\n\
                    weir_processor_counted_total{name=\"closed\"} 100\n";
        assert_eq!(limited(page), 7);
    }
}
