//! One trace as a shard holds it: its spans, what it has said so far, and where it stands in life.

use crate::delta::Name;
use crate::emit::Emitted;
use crate::record::Record;
use crate::resolve::{Missing, Role};
use crate::saved::saved_struct;
use crate::span::Kind;
use alloc::boxed::Box;
use alloc::vec::Vec;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

/// Below this many spans a scan beats a table.
const SCANNED: usize = 32;

pub(crate) struct Trace {
    pub records: Vec<Record>,
    /// (span id, kind) → position; only of large traces.
    index: HashMap<(u64, Kind), u32, FxBuildHasher>,
    /// Offset of its first record.
    pub first_offset: i64,
    /// Log time of its first and its last record.
    pub first_us: i64,
    pub last_us: i64,
    pub life: Life,
    /// Spans came since it was resolved last.
    pub dirty: bool,
    /// How many spans it had then, and when that was.
    pub resolved_spans: usize,
    pub resolved_us: i64,
    pub missing: Missing,
    /// It waited long enough for a name: unnamed is `unknown` now.
    pub name_waived: bool,
    pub emitted: Emitted,
    /// When it wants to be looked at again.
    pub timer_us: i64,
    /// Its events are published.
    pub sampled: bool,
    pub sample_milli: u32,
    pub started: bool,
    /// Revisions of its summary so far, and a hash of the last one.
    pub revision: u32,
    pub summary_hash: u64,
    /// Environment and operation of the trace that these late spans belong to, whose other spans are forgotten.
    pub inherited: Option<(Name, Name)>,
    /// What went under `__other__`, which can't be worked out anew: the names admitted then are not those of now.
    pub overflow: Option<Box<Overflow>>,
    /// The first of its spans that is not in `flow_state`.
    pub unsaved: Option<Unsaved>,
    pub saved: SavedSpans,
    /// Its share of the shard's digest, its spans' aside.
    pub digest: u64,
}

/// Where a shard that starts anew has to begin to read, for this trace's sake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unsaved {
    pub offset: i64,
    /// Log time when it came, and how many spans the shard had applied by then.
    pub at_us: i64,
    pub applied: u64,
}

/// How much of a trace is in `flow_state`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SavedSpans {
    pub is_begun: bool,
    pub spans: u32,
    pub segments: u32,
    /// Its spans before this offset are there.
    pub until_offset: i64,
}

/// What a trace said under `__other__`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Overflow {
    /// Environment and operation it went out under.
    pub under: (Name, Name),
    /// By mark, what was replaced: bits of [`crate::caps`].
    pub replaced: Vec<((u32, Role), u32)>,
}

saved_struct!(SavedSpans: is_begun, spans, segments, until_offset);
saved_struct!(Overflow: under, replaced);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Life {
    Open,
    /// Since when, and whether nothing was missing.
    Closed {
        since_us: i64,
        complete: bool,
        truncated: bool,
    },
}

/// A span that is here already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    No,
    /// The same span, delivered again.
    Exactly,
    /// Another span under the same id and kind.
    Differently,
}

impl Trace {
    pub fn new(offset: i64, clock_us: i64) -> Self {
        Self {
            records: Vec::new(),
            index: HashMap::default(),
            first_offset: offset,
            first_us: clock_us,
            last_us: clock_us,
            life: Life::Open,
            dirty: false,
            resolved_spans: 0,
            resolved_us: i64::MIN,
            missing: Missing::default(),
            name_waived: false,
            emitted: Emitted::default(),
            timer_us: 0,
            sampled: false,
            sample_milli: 1_000,
            started: false,
            revision: 0,
            summary_hash: 0,
            inherited: None,
            overflow: None,
            unsaved: None,
            saved: SavedSpans::default(),
            digest: 0,
        }
    }

    pub fn is_open(&self) -> bool {
        self.life == Life::Open
    }

    /// When it closed, and whether nothing was missing then.
    pub fn closed(&self) -> Option<(i64, bool)> {
        match self.life {
            Life::Open => None,
            Life::Closed { since_us, complete, .. } => Some((since_us, complete)),
        }
    }

    pub fn knows(&self, span_id: u64, kind: Kind, content: u32) -> Known {
        let known = if self.index.is_empty() {
            self.records.iter().find(|record| record.span_id == span_id && record.kind == kind)
        } else {
            self.index.get(&(span_id, kind)).map(|at| &self.records[*at as usize])
        };
        match known {
            None => Known::No,
            Some(record) if record.content == content => Known::Exactly,
            Some(_) => Known::Differently,
        }
    }

    pub fn push(&mut self, record: Record) {
        let at = self.records.len() as u32;
        if !self.index.is_empty() {
            self.index.insert((record.span_id, record.kind), at);
        }
        self.records.push(record);
        if self.index.is_empty() && self.records.len() > SCANNED {
            let keys =
                self.records.iter().enumerate().map(|(i, record)| ((record.span_id, record.kind), i as u32));
            self.index = keys.collect();
        }
    }

    /// 32 bits for each span, to know it again when the spans themselves are gone.
    pub fn fingerprints(&self) -> Vec<u32> {
        let mut prints: Vec<u32> =
            self.records.iter().map(|record| fingerprint(record.span_id, record.kind)).collect();
        prints.sort_unstable();
        prints
    }
}

pub(crate) fn fingerprint(span_id: u64, kind: Kind) -> u32 {
    use core::hash::BuildHasher;
    (FxBuildHasher.hash_one((span_id, kind)) >> 32) as u32
}
