//! `stitcher::Commit` ▶ the records of one transaction. Pure; compression is the producer's.

use super::deltas::{self, Stamp, kind};
use super::intake::DeadLetter;
use prost::Message;
use schemas::topics::MAX_RECORD_BYTES;
use schemas::v1;
use std::fmt::Write;
use stitcher::Commit;
use stitcher::flow::{FlowEvent, FlowEventKind, FlowGraph, FlowStatus, FlowTrace};
use stitcher::span::TraceId;

/// Services named in a summary that would not fit otherwise.
const FEWER_SERVICES: usize = 1_000;

/// Where a record goes. All but dead letters go to the partition number of the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Output {
    /// `flow_deltas`
    Deltas,
    /// `flow_events`
    Events,
    /// `flow_traces`
    Traces,
    /// `flow_state`
    State,
    /// `flow_dead_letters`
    DeadLetters,
    /// `flow_journal`
    Journal,
}

/// One record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its topic.
    pub output: Output,
    /// 32 lower-hex digits of the trace id, what of the state it is, or none.
    pub key: Option<String>,
    /// Protobuf, the head of a dead letter, or a piece of state; `None` deletes that.
    pub value: Option<Vec<u8>>,
    /// Names and texts.
    pub headers: Vec<(&'static str, String)>,
}

/// Everything a commit says, its journal last.
pub fn records(
    stamp: Stamp,
    commit: &Commit,
    dead_letters: &[DeadLetter],
    journal: &[v1::ShardCommit],
) -> Vec<Record> {
    let mut records = Vec::with_capacity(2 + commit.events.len() + commit.traces.len() + dead_letters.len());
    records.extend(deltas::parts(stamp, &commit.deltas).iter().map(|part| plain(Output::Deltas, part)));
    let time = rfc3339(stamp.clock_us);
    for (part, event) in commit.events.iter().enumerate() {
        let parts = commit.events.len();
        let message = flow_event(stamp, (part, parts), event);
        records.push(cloud_event(Output::Events, stamp, part, event.trace_id, &message, &time));
    }
    for (part, trace) in commit.traces.iter().enumerate() {
        let parts = commit.traces.len();
        let message = bounded(flow_trace(stamp, (part, parts), trace));
        records.push(cloud_event(Output::Traces, stamp, part, trace.trace_id, &message, &time));
    }
    records.extend(dead_letters.iter().map(dead_letter));
    records.extend(commit.state.iter().map(|change| Record {
        output: Output::State,
        key: Some(change.key.clone()),
        value: change.value.clone(),
        headers: Vec::new(),
    }));
    records.extend(journal.iter().map(|record| plain(Output::Journal, record)));
    records
}

/// Bytes of the values that a commit becomes: what benchmarks of the encoding look at.
pub fn encoded_bytes(commit: &Commit) -> usize {
    let stamp = Stamp { shard: 0, seq: 1, clock_us: commit.journaled.clock_us };
    let journal = super::journal::records(stamp, &commit.journaled, super::journal::Beside::default());
    let records = records(stamp, commit, &[], &journal);
    records.iter().filter_map(|record| record.value.as_ref()).map(Vec::len).sum()
}

fn plain(output: Output, message: &impl Message) -> Record {
    Record { output, key: None, value: Some(message.encode_to_vec()), headers: Vec::new() }
}

/// A record with the headers of CloudEvents' binary content mode, so that event routers take it unconfigured.
fn cloud_event(
    output: Output,
    stamp: Stamp,
    part: usize,
    trace_id: TraceId,
    message: &impl Message,
    time: &str,
) -> Record {
    let (name, what) = match output {
        Output::Traces => ("weir.flow.trace.v1", "trace"),
        _ => ("weir.flow.event.v1", "event"),
    };
    let headers = vec![
        ("ce_specversion", "1.0".to_owned()),
        ("ce_type", name.to_owned()),
        ("ce_source", format!("/weir/shard/{}", stamp.shard)),
        ("ce_id", format!("{what}-{}-{}-{part}", stamp.shard, stamp.seq)),
        ("ce_time", time.to_owned()),
        ("content-type", "application/protobuf".to_owned()),
    ];
    Record { output, key: Some(trace_id.to_string()), value: Some(message.encode_to_vec()), headers }
}

fn dead_letter(letter: &DeadLetter) -> Record {
    let value = Some(letter.head.clone());
    Record { output: Output::DeadLetters, key: None, headers: letter.headers(), value }
}

fn bytes(trace_id: TraceId) -> Vec<u8> {
    trace_id.0.to_be_bytes().to_vec()
}

fn flow_event(stamp: Stamp, (part, parts): (usize, usize), event: &FlowEvent) -> v1::FlowEvent {
    let kind = match event.kind {
        FlowEventKind::Start => v1::FlowEventKind::Start,
        FlowEventKind::Update => v1::FlowEventKind::Update,
        FlowEventKind::Complete => v1::FlowEventKind::Complete,
    };
    let summary = event.summary.as_ref().map(|trace| {
        let whole = flow_trace(stamp, (part, parts), trace);
        bounded(v1::FlowTrace { graph: None, ..whole })
    });
    v1::FlowEvent {
        kind: kind.into(),
        trace_id: bytes(event.trace_id),
        shard: stamp.shard,
        seq: stamp.seq,
        part: part as u32,
        parts: parts as u32,
        clock_us: event.clock_us,
        environment: event.environment.to_string(),
        operation: event.operation.to_string(),
        current_service: event.current_service.to_string(),
        elapsed_us: event.elapsed_us,
        sample_milli: event.sample_milli,
        status: status(event.status).into(),
        spans: event.spans,
        progress: event.progress,
        summary,
    }
}

fn flow_trace(stamp: Stamp, (part, parts): (usize, usize), trace: &FlowTrace) -> v1::FlowTrace {
    v1::FlowTrace {
        trace_id: bytes(trace.trace_id),
        revision: trace.revision,
        shard: stamp.shard,
        seq: stamp.seq,
        part: part as u32,
        parts: parts as u32,
        environment: trace.environment.to_string(),
        operation: trace.operation.to_string(),
        status: status(trace.status).into(),
        start_us: trace.start_us,
        duration_us: trace.duration_us,
        tail_us: trace.tail_us,
        spans: trace.spans,
        errors: trace.errors,
        client_errors: trace.client_errors,
        retries: trace.retries,
        timeouts: trace.timeouts,
        rejected: trace.rejected,
        services: trace.services.iter().map(ToString::to_string).collect(),
        root_service: trace.root_service.to_string(),
        root_namespace: trace.root_namespace.to_string(),
        root_name: trace.root_name.to_string(),
        ui_event: trace.ui_event.to_string(),
        session_id: trace.session_id.to_string(),
        user_hash: trace.user_hash.clone(),
        weight_milli: trace.weight_milli,
        complete: trace.complete,
        truncated: trace.truncated,
        graph: trace.graph.as_ref().map(flow_graph),
    }
}

/// A flow through thousands of services gives up its graph first, which can be computed from its spans, and then
/// names fewer services.
fn bounded(mut trace: v1::FlowTrace) -> v1::FlowTrace {
    if trace.encoded_len() > MAX_RECORD_BYTES {
        trace.graph = None;
    }
    if trace.encoded_len() > MAX_RECORD_BYTES {
        trace.services.truncate(FEWER_SERVICES);
    }
    trace
}

fn flow_graph(graph: &FlowGraph) -> v1::FlowGraph {
    let nodes = graph.nodes.iter().map(|node| v1::FlowNode {
        cluster: node.node.cluster.to_string(),
        namespace: node.node.namespace.to_string(),
        name: node.node.name.to_string(),
        kind: kind(node.node.kind).into(),
        version: node.version.to_string(),
        requests: node.requests,
        errors: node.errors,
        duration_us: node.duration_us,
        self_us: node.self_us,
        critical_us: node.critical_us,
    });
    let edges = graph.edges.iter().map(|edge| v1::FlowEdge {
        client: edge.client,
        server: edge.server,
        calls: edge.calls,
        errors: edge.errors,
        client_errors: edge.client_errors,
        retries: edge.retries,
        timeouts: edge.timeouts,
        rejected: edge.rejected,
        duration_us: edge.duration_us,
    });
    v1::FlowGraph { nodes: nodes.collect(), edges: edges.collect() }
}

fn status(status: FlowStatus) -> v1::FlowStatus {
    match status {
        FlowStatus::Success => v1::FlowStatus::Success,
        FlowStatus::Error => v1::FlowStatus::Error,
        FlowStatus::Timeout => v1::FlowStatus::Timeout,
    }
}

/// RFC 3339 in UTC; the calendar is Howard Hinnant's `civil_from_days`.
fn rfc3339(time_us: i64) -> String {
    let (seconds, micros) = (time_us.div_euclid(1_000_000), time_us.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let mut text = String::with_capacity(27);
    // Writing to a String can't fail.
    let _ = write!(text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z");
    text
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
