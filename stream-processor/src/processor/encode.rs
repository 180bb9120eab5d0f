//! `stitcher::Commit` ▶ the records of one transaction. Pure; compression is the producer's.

use super::deltas::{self, Stamp, kind};
use super::intake::DeadLetter;
use super::journal::Written;
use super::wire::Wire;
use schemas::topics::MAX_RECORD_BYTES;
use schemas::v1;
use std::fmt::Write;
use std::sync::Arc;
use stitcher::Commit;
use stitcher::flow::{FlowEvent, FlowEventKind, FlowGraph, FlowStatus, FlowTrace};
use stitcher::span::TraceId;

/// Services named in a summary that would not fit otherwise.
const FEWER_SERVICES: usize = 800;

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
    pub headers: Headers,
}

/// Headers of a record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Headers {
    /// None.
    #[default]
    None,
    /// Of a record about a flow. All of a commit have them in common but for the number in their id.
    Flow(Arc<FlowHeaders>, u32),
    /// Of a dead letter.
    Letter(Vec<(&'static str, String)>),
}

impl Headers {
    /// Adds each name with its text to what was there before.
    pub fn fold<T>(&self, before: T, mut add: impl FnMut(T, &str, &str) -> T) -> T {
        match self {
            Self::None => before,
            Self::Flow(headers, part) => {
                let id = format!("{}{part}", headers.id);
                let texts = headers.texts(&id);
                texts.into_iter().fold(before, |before, (name, text)| add(before, name, text))
            }
            Self::Letter(headers) => {
                headers.iter().fold(before, |before, (name, text)| add(before, name, text))
            }
        }
    }
}

/// Everything a commit says, its journal last.
pub fn records(
    stamp: Stamp,
    commit: &Commit,
    dead_letters: &[DeadLetter],
    journal: &[Written],
) -> Vec<Record> {
    let plain = |output, value| Record { output, key: None, value: Some(value), headers: Headers::None };
    let mut records = Vec::with_capacity(2 + commit.events.len() + commit.traces.len() + dead_letters.len());
    records.extend(deltas::parts(stamp, &commit.deltas).into_iter().map(|part| plain(Output::Deltas, part)));
    let headers = Arc::new(FlowHeaders::new(stamp, "event"));
    for (part, event) in (0..).zip(&commit.events) {
        records.push(Record {
            output: Output::Events,
            key: Some(hex(event.trace_id)),
            value: Some(flow_event(stamp, (part, commit.events.len() as u32), event)),
            headers: Headers::Flow(headers.clone(), part),
        });
    }
    let headers = Arc::new(FlowHeaders::new(stamp, "trace"));
    for (part, trace) in (0..).zip(&commit.traces) {
        records.push(Record {
            output: Output::Traces,
            key: Some(hex(trace.trace_id)),
            value: Some(flow_trace(stamp, (part, commit.traces.len() as u32), trace)),
            headers: Headers::Flow(headers.clone(), part),
        });
    }
    records.extend(dead_letters.iter().map(|letter| Record {
        output: Output::DeadLetters,
        key: None,
        value: Some(letter.head.clone()),
        headers: Headers::Letter(letter.headers()),
    }));
    records.extend(commit.state.iter().map(|change| Record {
        output: Output::State,
        key: Some(change.key.clone()),
        value: change.value.clone(),
        headers: Headers::None,
    }));
    records.extend(journal.iter().map(|written| plain(Output::Journal, written.bytes.clone())));
    records
}

/// Bytes of the values that a commit becomes: what benchmarks of the encoding look at.
pub fn encoded_bytes(commit: &Commit) -> usize {
    let stamp = Stamp { shard: 0, seq: 1, clock_us: commit.journaled.clock_us };
    let journal = super::journal::records(stamp, &commit.journaled, super::journal::Beside::default());
    let records = records(stamp, commit, &[], &journal);
    records.iter().filter_map(|record| record.value.as_ref()).map(Vec::len).sum()
}

/// The headers of CloudEvents' binary content mode, so that event routers take records unconfigured.
#[derive(Debug, PartialEq, Eq)]
pub struct FlowHeaders {
    kind: String,
    source: String,
    /// What an id begins with.
    id: String,
    time: String,
}

impl FlowHeaders {
    fn new(stamp: Stamp, what: &str) -> Self {
        Self {
            kind: format!("weir.flow.{what}.v1"),
            source: format!("/weir/shard/{}", stamp.shard),
            id: format!("{what}-{}-{}-", stamp.shard, stamp.seq),
            time: rfc3339(stamp.clock_us),
        }
    }

    fn texts<'a>(&'a self, id: &'a str) -> [(&'static str, &'a str); 6] {
        [
            ("ce_specversion", "1.0"),
            ("ce_type", &self.kind),
            ("ce_source", &self.source),
            ("ce_id", id),
            ("ce_time", &self.time),
            ("content-type", "application/protobuf"),
        ]
    }
}

/// As `Display` writes it, at a tenth of the price.
fn hex(id: TraceId) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = id.0.to_be_bytes().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[digit as usize])).collect()
}

fn flow_event(stamp: Stamp, (part, parts): (u32, u32), event: &FlowEvent) -> Vec<u8> {
    let kind = match event.kind {
        FlowEventKind::Start => v1::FlowEventKind::Start,
        FlowEventKind::Update => v1::FlowEventKind::Update,
        FlowEventKind::Complete => v1::FlowEventKind::Complete,
    };
    let mut wire = Wire::with_capacity(256);
    wire.uint(1, kind as u32)
        .element(2, &event.trace_id.0.to_be_bytes())
        .uint(3, stamp.shard)
        .uint(4, stamp.seq)
        .int(5, event.clock_us)
        .text(6, &event.environment)
        .text(7, &event.operation)
        .text(8, &event.current_service)
        .int(9, event.elapsed_us)
        .uint(10, event.sample_milli)
        .uint(11, part)
        .uint(12, parts)
        .uint(13, status(event.status))
        .uint(14, event.spans)
        .uint(15, event.progress);
    if let Some(summary) = &event.summary {
        wire.element(16, &flow_trace(stamp, (part, parts), &FlowTrace { graph: None, ..summary.clone() }));
    }
    wire.text(17, &event.current_namespace).text(18, &event.current_cluster);
    wire.into_bytes()
}

/// A flow through thousands of services gives up its graph first, which can be computed from its spans, and then
/// names fewer services.
fn flow_trace(stamp: Stamp, parts: (u32, u32), trace: &FlowTrace) -> Vec<u8> {
    let all = usize::MAX;
    let mut value = summary(stamp, parts, trace, trace.graph.as_ref(), all);
    if value.len() > MAX_RECORD_BYTES {
        value = summary(stamp, parts, trace, None, all);
    }
    if value.len() > MAX_RECORD_BYTES {
        value = summary(stamp, parts, trace, None, FEWER_SERVICES);
    }
    value
}

/// A summary with at most so many of its services.
fn summary(
    stamp: Stamp,
    (part, parts): (u32, u32),
    trace: &FlowTrace,
    graph: Option<&FlowGraph>,
    services: usize,
) -> Vec<u8> {
    let mut wire = Wire::with_capacity(512);
    wire.element(1, &trace.trace_id.0.to_be_bytes())
        .uint(2, trace.revision)
        .uint(3, stamp.shard)
        .uint(4, stamp.seq)
        .text(5, &trace.environment)
        .text(6, &trace.operation)
        .uint(7, status(trace.status))
        .int(8, trace.start_us)
        .int(9, trace.duration_us)
        .int(10, trace.tail_us)
        .uint(11, trace.spans)
        .uint(12, trace.errors)
        .uint(13, trace.client_errors)
        .uint(14, trace.retries)
        .uint(15, trace.timeouts)
        .uint(16, trace.rejected);
    for service in trace.services.iter().take(services) {
        wire.element(17, service.as_bytes());
    }
    wire.text(18, &trace.root_service)
        .text(19, &trace.root_namespace)
        .text(20, &trace.root_name)
        .text(21, &trace.ui_event)
        .text(22, &trace.session_id)
        .text(23, &trace.user_hash)
        .uint(24, trace.weight_milli)
        .uint(25, trace.complete)
        .uint(26, trace.truncated)
        .uint(27, part)
        .uint(28, parts);
    if let Some(graph) = graph {
        wire.message(29, |wire| flow_graph(wire, graph));
    }
    for node in trace.service_nodes.iter().take(services) {
        wire.message(30, |wire| {
            wire.text(1, &node.cluster).text(2, &node.namespace).text(3, &node.name);
        });
    }
    wire.into_bytes()
}

fn flow_graph(wire: &mut Wire, graph: &FlowGraph) {
    for node in &graph.nodes {
        wire.message(1, |wire| {
            wire.text(1, &node.node.cluster)
                .text(2, &node.node.namespace)
                .text(3, &node.node.name)
                .uint(4, kind(node.node.kind) as u32)
                .text(5, &node.version)
                .uint(6, node.requests)
                .uint(7, node.errors)
                .int(8, node.duration_us)
                .int(9, node.self_us)
                .int(10, node.critical_us);
        });
    }
    for edge in &graph.edges {
        wire.message(2, |wire| {
            wire.uint(1, edge.client)
                .uint(2, edge.server)
                .uint(3, edge.calls)
                .uint(4, edge.errors)
                .uint(5, edge.client_errors)
                .uint(6, edge.retries)
                .uint(7, edge.timeouts)
                .uint(8, edge.rejected)
                .int(9, edge.duration_us);
        });
    }
}

fn status(status: FlowStatus) -> u32 {
    let status = match status {
        FlowStatus::Success => v1::FlowStatus::Success,
        FlowStatus::Error => v1::FlowStatus::Error,
        FlowStatus::Timeout => v1::FlowStatus::Timeout,
    };
    status as u32
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
