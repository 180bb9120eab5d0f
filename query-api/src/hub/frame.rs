//! Frames as they go over the wire: `{"type","id","data"}` behind a WebSocket header.

use super::diff::Changes;
use crate::graph::{Graph, Latency};
use crate::live::LatestRange;
use crate::live::shards::{Sequences, Staleness};
use crate::number::{Count, rate, share};
use crate::totals::FlowTotals;
use bytes::Bytes;
use serde::Serialize;
use std::io::Cursor;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use utoipa::ToSchema;

/// Frames for one subscription id, header and all, made once and written by every subscriber as they are. Servers
/// don't mask what they send, so the bytes are the same for everybody. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The frames, one behind the other.
    pub bytes: Bytes,
    /// How many there are.
    pub frames: u64,
}

impl Batch {
    /// One text frame for each.
    pub fn of(texts: impl IntoIterator<Item = String>) -> Self {
        let (mut bytes, mut frames) = (Vec::new(), 0);
        for text in texts {
            header(text.len(), &mut bytes);
            bytes.extend_from_slice(text.as_bytes());
            frames += 1;
        }
        Self { bytes: bytes.into(), frames }
    }

    /// The text of each frame.
    pub fn texts(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let mut cursor = Cursor::new(rest);
            let (_, length) = FrameHeader::parse(&mut cursor).ok()??;
            let from = usize::try_from(cursor.position()).ok()?;
            let (text, after) = rest.get(from..)?.split_at_checked(usize::try_from(length).ok()?)?;
            rest = after;
            Some(text)
        })
    }
}

/// The header of an unfragmented text frame.
///
/// # Panics
/// Never: it is written to memory.
#[allow(clippy::expect_used, reason = "see above")]
fn header(length: usize, bytes: &mut Vec<u8>) {
    let header = FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
    header.format(length as u64, bytes).expect("memory takes everything");
}

/// What every snapshot and delta says beside the graph.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LiveHeadline)]
pub struct Headline {
    /// When the numbers were taken, µs. It comes first, so that a frame's age is known without reading all of it.
    pub as_of: i64,
    /// What the numbers cover.
    pub window: WindowAnswer,
    /// Last complete commit of each shard in them: send it as `resume` to go on from here.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub sequences: Sequences,
    /// How current they are.
    pub staleness: Staleness,
    /// All matching flows together.
    pub totals: Totals,
    /// Calls so young that the operation they belong to may not be known yet.
    pub being_named: i64,
}

/// A range of time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct WindowAnswer {
    /// First µs.
    pub from: i64,
    /// The µs after the last one.
    pub to: i64,
    /// Seconds that rates divide by.
    pub seconds: f64,
}

/// Flows of a range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FlowTotals)]
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

impl Totals {
    /// The flows of a range that is `seconds` long.
    pub fn of(flows: &FlowTotals, seconds: f64) -> Self {
        let counts = &flows.counts;
        Self {
            flow_count: Count(counts.flows),
            error_count: Count(counts.errors),
            timeouts: Count(counts.timeouts),
            error_rate: share(counts.errors, counts.flows),
            rate: rate(counts.flows, seconds),
            latency: Latency::of(&flows.durations),
        }
    }
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

/// The text of one frame; `data` is JSON already.
pub fn frame(kind: &str, id: &str, data: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"id\":{},\"data\":{data}}}", json(&id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_tungstenite::tungstenite::protocol::frame::FrameSocket;

    #[test]
    fn ids_are_quoted() {
        assert_eq!(frame("pong", "a\"b", "{}"), r#"{"type":"pong","id":"a\"b","data":{}}"#);
    }

    #[test]
    fn a_batch_is_what_a_websocket_reads() {
        let texts = [1, 125, 126, 70_000].map(|length| "x".repeat(length));
        let batch = Batch::of(texts.clone());
        let mut socket = FrameSocket::new(Cursor::new(batch.bytes.to_vec()));
        let frames = std::iter::from_fn(|| socket.read(None).unwrap());
        let heard: Vec<String> = frames.map(|frame| frame.into_text().unwrap().as_str().to_owned()).collect();
        assert_eq!((batch.frames, &heard[..]), (4, &texts[..]));
        let read: Vec<&[u8]> = batch.texts().collect();
        assert_eq!(read, texts.each_ref().map(|text| text.as_bytes()));
    }
}
