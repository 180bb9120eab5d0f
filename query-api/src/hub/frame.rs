//! Frames as they go over the wire: `{"type","id","data"}`.

use super::diff::Changes;
use crate::graph::{Graph, Latency};
use crate::live::LatestRange;
use crate::live::shards::{Sequences, Staleness};
use crate::number::Count;
use axum::extract::ws::Utf8Bytes;
use serde::Serialize;
use std::sync::Arc;

/// The frames of one tick for one subscription id. Shared by every subscriber of it.
pub type Frames = Arc<[Utf8Bytes]>;

/// What every snapshot and delta says beside the graph.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Headline {
    /// What the numbers cover.
    pub window: WindowAnswer,
    /// Last complete commit of each shard in them: send it as `resume` to go on from here.
    pub sequences: Sequences,
    /// How current they are.
    pub staleness: Staleness,
    /// All matching flows together.
    pub totals: Totals,
    /// Calls so young that the operation they belong to may not be known yet.
    pub being_named: i64,
}

/// A range of time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct WindowAnswer {
    /// First µs.
    pub from: i64,
    /// The µs after the last one.
    pub to: i64,
    /// Seconds that rates divide by.
    pub seconds: f64,
}

/// Flows that ended in the range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct Totals {
    pub flow_count: Count,
    pub error_count: Count,
    pub timeouts: Count,
    pub error_rate: f64,
    pub rate: f64,
    #[serde(flatten)]
    pub latency: Latency,
}

impl From<LatestRange> for WindowAnswer {
    fn from(range: LatestRange) -> Self {
        let us = |second: u32| i64::from(second) * 1_000_000;
        Self { from: us(range.from_s), to: us(range.to_s), seconds: (range.seconds * 10.0).round() / 10.0 }
    }
}

#[derive(Serialize)]
struct Snapshot<'a> {
    #[serde(flatten)]
    headline: &'a Headline,
    #[serde(flatten)]
    graph: &'a Graph,
}

#[derive(Serialize)]
struct Delta<'a> {
    #[serde(flatten)]
    headline: &'a Headline,
    #[serde(flatten)]
    changes: &'a Changes<'a>,
}

/// The data of a snapshot.
pub fn snapshot(headline: &Headline, graph: &Graph) -> String {
    json(&Snapshot { headline, graph })
}

/// The data of a `graph_delta`.
pub fn delta(headline: &Headline, changes: &Changes<'_>) -> String {
    json(&Delta { headline, changes })
}

/// JSON of one of our own types.
///
/// # Panics
/// Never: none of them has maps with keys that aren't text, or a serializer that fails.
#[allow(clippy::expect_used, reason = "see above")]
pub fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("answers are serialisable")
}

/// One frame; `data` is JSON already.
pub fn frame(kind: &str, id: &str, data: &str) -> Utf8Bytes {
    format!("{{\"type\":\"{kind}\",\"id\":{},\"data\":{data}}}", json(&id)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_quoted() {
        assert_eq!(frame("pong", "a\"b", "{}").as_str(), r#"{"type":"pong","id":"a\"b","data":{}}"#);
    }
}
