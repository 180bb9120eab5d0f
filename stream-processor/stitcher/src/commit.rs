//! What leaves a shard at a commit: outputs for everybody, and what its successor needs to know.

use crate::delta::{Deltas, Name};
use crate::flow::{FlowEvent, FlowTrace};
use crate::span::TraceId;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Everything since the last commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// What a successor reads in the journal.
    pub journaled: Journaled,
    /// What a successor reads in `flow_state`, in this order: a later change of a key replaces an earlier one.
    pub state: Vec<StateChange>,
    /// Changes to flow graphs.
    pub deltas: Deltas,
    /// What happened to flows.
    pub events: Vec<FlowEvent>,
    /// Summaries of closed flows.
    pub traces: Vec<FlowTrace>,
    /// What was counted beside the graph, by name: duplicates, repairs, drops, corrections.
    pub counters: BTreeMap<&'static str, u64>,
}

/// The part of a commit that [`Replay`](crate::Replay) is fed with. Positions are the next offset to apply at that
/// moment: whatever happened at a position happened before the record of that offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journaled {
    /// P: first offset not applied yet.
    pub next_offset: i64,
    /// Log time.
    pub clock_us: i64,
    /// The timestamp that log time is counted from; `None` before the first record.
    pub timestamp_us: Option<i64>,
    /// L: first offset that holds a span of a trace in memory which is not in `flow_state`, else P.
    pub low_watermark: i64,
    /// How many commits before this one a successor needs for the fingerprints in them. It also needs the last one whose
    /// P is not behind L, and those after it.
    pub commits_back: u64,
    /// Traces closed.
    pub closes: Vec<Close>,
    /// Traces of which only fingerprints are left.
    pub entombed: Vec<Entombed>,
    /// Records with spans of traces that were closed already.
    pub late: Vec<(TraceId, i64)>,
    /// Flows that began and whose events are published, with the share of all flows for which that is so.
    pub published: Vec<(TraceId, u32)>,
    /// Revisions of summaries after the first.
    pub revised: Vec<(TraceId, u32)>,
    /// Large traces of which only so many spans, the first ones, have been counted yet.
    pub postponed: Vec<(TraceId, u32)>,
    /// An order-independent sum over the shard's state, see [`crate::Shard`]: a successor must arrive at the same.
    pub digest: u64,
}

impl Journaled {
    /// As of a shard of which nothing is needed any more but where it ended.
    pub fn without_state(self) -> Self {
        let (next_offset, clock_us, timestamp_us) = (self.next_offset, self.clock_us, self.timestamp_us);
        Self { next_offset, clock_us, timestamp_us, low_watermark: next_offset, ..Self::default() }
    }
}

/// The decision that a trace is finished; it happens once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// Which trace.
    pub trace_id: TraceId,
    /// When, as a position in the log …
    pub position: i64,
    /// … and in log time.
    pub since_us: i64,
    /// Root seen, nothing dangling.
    pub complete: bool,
    /// It was too long or too large.
    pub truncated: bool,
    /// Operation it closed under.
    pub operation: Name,
    /// Environment it closed under.
    pub environment: Name,
}

/// A closed trace whose spans were forgotten: its name and 32 bits a span stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entombed {
    /// Which trace.
    pub trace_id: TraceId,
    /// When, as a position in the log.
    pub position: i64,
    /// Environment it closed under.
    pub environment: Name,
    /// Operation it closed under.
    pub operation: Name,
    /// When it closed, log time.
    pub since_us: i64,
    /// Until when it is remembered.
    pub until_us: i64,
    /// Sorted; none for a trace of which late spans came: it is only remembered for longer.
    pub prints: Arc<[u32]>,
    /// Entombed traces whose fingerprints had to make room.
    pub evicted: Vec<TraceId>,
}

/// One record of `flow_state`, opaque to everybody but a shard of the same version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// `trace/…` or `names/…`.
    pub key: String,
    /// `None` deletes it.
    pub value: Option<Vec<u8>>,
}
