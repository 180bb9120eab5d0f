//! One trace as a shard holds it: its spans, what it has said so far, and where it stands in life.

use crate::flow::FlowStatus;
use crate::flow_facts::FlowFacts;
use crate::names::{EMPTY, NameId, Names, NodeId, ServicesId};
use crate::record::{Link, Record};
use crate::resolve::{Missing, Role};
use crate::rollup::Under;
use crate::saved::saved_struct;
use crate::span::{Kind, TraceId};
use crate::view::Spans;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use hashbrown::{HashMap, HashTable};
use rustc_hash::FxBuildHasher;

/// Below this many spans a scan beats a table.
const SCANNED: usize = 32;
/// So many spans have room at first.
const FEW: usize = 8;

type Index = HashMap<(u64, Kind), u32, FxBuildHasher>;

pub(crate) struct Trace {
    pub records: Vec<Record>,
    pub links: Vec<Link>,
    /// (span id, kind) → position; only of large traces.
    index: Option<Box<Index>>,
    pub flow: Option<Box<FlowFacts>>,
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
    /// What it says as a whole, since it was resolved last.
    pub gist: Gist,
    pub told: Option<Told>,
    /// When it wants to be looked at again.
    pub timer_us: i64,
    /// Its events are published.
    pub sampled: bool,
    pub sample_milli: u32,
    pub started: bool,
    /// Revisions of its summary so far, and how many spans the last one was about.
    pub revision: u32,
    pub summarised: u32,
    /// What the trace counts under that these late spans belong to, whose other spans are forgotten.
    pub inherited: Option<Under>,
    /// What went under `__other__`, which can't be worked out anew: the names admitted then are not those of now.
    pub overflow: Option<Box<Overflow>>,
    /// The first of its spans that is not in `flow_state`.
    pub unsaved: Option<Unsaved>,
    pub saved: SavedSpans,
    /// Its share of the shard's digest, and that of its spans.
    pub digest: u64,
    pub spans_digest: u64,
}

/// What has been counted of a trace. Which marks that were follows from its first spans: it is worked out again when it is
/// needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub under: Under,
    /// So many spans it had.
    pub spans: u32,
    /// It was closed.
    pub settled: bool,
}

/// What a trace says as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gist {
    pub root: u32,
    pub status: FlowStatus,
    pub start_us: i64,
    pub end_us: i64,
    pub environment: NameId,
    pub root_name: NameId,
    pub last_service: Option<NodeId>,
    pub cycles: u32,
    /// Of its calls, but not of the one that reached the root.
    pub errors: u32,
    pub client_errors: u32,
    pub retries: u32,
    pub timeouts: u32,
    pub rejected: u32,
    pub services: Option<ServicesId>,
    /// Of what it counts, see [`crate::digest`].
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
    pub under: Under,
    /// By mark, what was replaced: bits of [`crate::caps`].
    pub replaced: Vec<((u32, Role), u32)>,
}

impl Overflow {
    /// What of this mark was replaced.
    pub fn replaced_of(&self, at: (u32, Role)) -> u32 {
        self.replaced.binary_search_by_key(&at, |(known, _)| *known).map_or(0, |i| self.replaced[i].1)
    }
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
            links: Vec::new(),
            index: None,
            flow: None,
            first_offset: offset,
            first_us: clock_us,
            last_us: clock_us,
            life: Life::Open,
            dirty: false,
            resolved_spans: 0,
            resolved_us: i64::MIN,
            missing: Missing::default(),
            name_waived: false,
            gist: Gist::default(),
            told: None,
            timer_us: 0,
            sampled: false,
            sample_milli: 1_000,
            started: false,
            revision: 0,
            summarised: 0,
            inherited: None,
            overflow: None,
            unsaved: None,
            saved: SavedSpans::default(),
            digest: 0,
            spans_digest: 0,
        }
    }

    /// The first `many` of its spans, as they are resolved.
    pub fn spans<'a>(&'a self, many: usize, names: &'a Names, stream_us: u64) -> Spans<'a> {
        let links = self.links.partition_point(|link| (link.at as usize) < many);
        Spans { records: &self.records[..many], links: &self.links[..links], names, stream_us }
    }

    /// Everything it holds by number.
    pub fn keep_names(&self, names: &mut Names) {
        self.records.iter().for_each(|record| names.keep_shape(record.shape()));
        let told = self.told.map(|told| told.under);
        let unders = [told, self.inherited, self.overflow.as_ref().map(|overflow| overflow.under)];
        for under in unders.into_iter().flatten() {
            names.keep_text(under.environment);
            names.keep_text(under.operation);
        }
        names.keep_text(self.gist.environment);
        names.keep_text(self.gist.root_name);
        self.gist.last_service.into_iter().for_each(|node| names.keep_node(node));
        self.gist.services.into_iter().for_each(|services| names.keep_services(services));
    }

    /// What it has said is what it will say when it closes, if no more spans come.
    pub fn is_final(&self) -> bool {
        let told = self.told.filter(|told| told.spans as usize == self.records.len());
        !self.dirty
            && self.overflow.is_none()
            && told.is_some_and(|told| told.settled || self.missing.is_nothing())
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
        let known = match &self.index {
            None => self.records.iter().find(|record| record.span_id == span_id && record.kind() == kind),
            Some(index) => index.get(&(span_id, kind)).map(|at| &self.records[*at as usize]),
        };
        match known {
            None => Known::No,
            Some(record) if record.content == content => Known::Exactly,
            Some(_) => Known::Differently,
        }
    }

    pub fn push(&mut self, record: Record) {
        if self.records.len() == self.records.capacity() {
            // Most traces have a few dozen spans: a Vec of its own accord would begin with four, and move them often.
            self.records.reserve_exact(self.records.len().max(FEW));
        }
        let at = self.records.len() as u32;
        if let Some(index) = &mut self.index {
            index.insert((record.span_id, record.kind()), at);
        }
        self.records.push(record);
        if self.index.is_none() && self.records.len() > SCANNED {
            let keys = (0..).zip(&self.records).map(|(i, record)| ((record.span_id, record.kind()), i));
            self.index = Some(Box::new(keys.collect()));
        }
    }

    /// 32 bits for each span, to know it again when the spans themselves are gone.
    pub fn fingerprints(&self) -> Arc<[u32]> {
        let mut prints: Arc<[u32]> =
            self.records.iter().map(|record| fingerprint(record.span_id, record.kind())).collect();
        // Nobody else has it yet.
        Arc::get_mut(&mut prints).into_iter().for_each(|prints| prints.sort_unstable());
        prints
    }
}

pub(crate) fn fingerprint(span_id: u64, kind: Kind) -> u32 {
    (FxBuildHasher.hash_one((span_id, kind)) >> 32) as u32
}

impl Default for Gist {
    fn default() -> Self {
        Self {
            root: 0,
            status: FlowStatus::Success,
            start_us: 0,
            end_us: 0,
            environment: EMPTY,
            root_name: EMPTY,
            last_service: None,
            cycles: 0,
            errors: 0,
            client_errors: 0,
            retries: 0,
            timeouts: 0,
            rejected: 0,
            services: None,
            digest: 0,
        }
    }
}

/// A trace's place in memory: the same as long as it is there.
pub(crate) type Slot = u32;

/// All traces in memory.
#[derive(Default)]
pub(crate) struct Traces {
    slots: Vec<Option<(TraceId, Trace)>>,
    free: Vec<Slot>,
    places: HashTable<Slot>,
    /// The trace that was asked for last: spans of one trace come together.
    last: Option<(TraceId, Slot)>,
}

fn hash_of(id: TraceId) -> u64 {
    FxBuildHasher.hash_one(id.0 as u64 ^ (id.0 >> 64) as u64)
}

impl Traces {
    #[inline]
    pub fn find(&mut self, id: TraceId) -> Option<Slot> {
        if let Some((_, slot)) = self.last.filter(|(last, _)| *last == id) {
            return Some(slot);
        }
        let found = self.place_of(id);
        self.last = found.map(|slot| (id, slot)).or(self.last);
        found
    }

    fn place_of(&self, id: TraceId) -> Option<Slot> {
        let is_it = |slot: &Slot| self.slots[*slot as usize].as_ref().is_some_and(|(known, _)| *known == id);
        self.places.find(hash_of(id), is_it).copied()
    }

    pub fn get(&self, id: TraceId) -> Option<&Trace> {
        self.place_of(id).map(|slot| &self[slot])
    }

    pub fn insert(&mut self, id: TraceId, trace: Trace) -> Slot {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                self.slots.len() as Slot - 1
            }
        };
        self.slots[slot as usize] = Some((id, trace));
        let slots = &self.slots;
        let hash = |slot: &Slot| slots[*slot as usize].as_ref().map_or(0, |(id, _)| hash_of(*id));
        self.places.insert_unique(hash_of(id), slot, hash);
        self.last = Some((id, slot));
        slot
    }

    pub fn remove(&mut self, id: TraceId) -> Option<Trace> {
        let slots = &mut self.slots;
        let is_it = |slot: &Slot| slots[*slot as usize].as_ref().is_some_and(|(known, _)| *known == id);
        let (slot, _) = self.places.find_entry(hash_of(id), is_it).ok()?.remove();
        self.last = None;
        self.free.push(slot);
        slots[slot as usize].take().map(|(_, trace)| trace)
    }

    pub fn id_at(&self, slot: Slot) -> Option<TraceId> {
        self.slots[slot as usize].as_ref().map(|(id, _)| *id)
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (TraceId, &Trace)> {
        self.slots.iter().flatten().map(|(id, trace)| (*id, trace))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (TraceId, &mut Trace)> {
        self.slots.iter_mut().flatten().map(|(id, trace)| (*id, trace))
    }
}

impl core::ops::Index<Slot> for Traces {
    type Output = Trace;

    #[inline]
    fn index(&self, slot: Slot) -> &Trace {
        match &self.slots[slot as usize] {
            Some((_, trace)) => trace,
            None => unreachable!("a slot outlived its trace"),
        }
    }
}

impl core::ops::IndexMut<Slot> for Traces {
    #[inline]
    fn index_mut(&mut self, slot: Slot) -> &mut Trace {
        match &mut self.slots[slot as usize] {
            Some((_, trace)) => trace,
            None => unreachable!("a slot outlived its trace"),
        }
    }
}
