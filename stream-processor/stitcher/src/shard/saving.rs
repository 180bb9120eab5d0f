//! What of a shard is written to `flow_state`, so that its successor needs not read the log from where an old trace
//! began: traces that are needed for long, those whose words can't be worked out anew, and admitted names.

use super::{HOUR_US, Shard, StateChange};
use crate::caps::Admitted;
use crate::delta::Name;
use crate::flow_facts::FlowFacts;
use crate::names::Names;
use crate::rollup::Under;
use crate::saved::{Reader, Saved, Unreadable, Writer, saved_struct};
use crate::span::TraceId;
use crate::trace::{Life, Overflow, SavedSpans, Trace};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

/// A record of `flow_state` ends with the span that reaches this. The largest span takes some 10 kB.
const SEGMENT_BYTES: usize = 800_000;

/// A trace without its spans.
pub(super) struct Header {
    pub first_offset: i64,
    pub first_us: i64,
    pub last_us: i64,
    pub life: Life,
    pub name_waived: bool,
    pub sampled: bool,
    pub sample_milli: u32,
    pub revision: u32,
    pub inherited: Option<Under>,
    pub flow: Option<Box<FlowFacts>>,
    pub overflow: Option<Box<Overflow>>,
    pub saved: SavedSpans,
}

saved_struct!(Header:
    first_offset, first_us, last_us, life, name_waived, sampled, sample_milli, revision, inherited, flow, overflow, saved);

impl Saved for Life {
    fn write(&self, to: &mut Writer<'_>) {
        let closed = match *self {
            Self::Open => None,
            Self::Closed { since_us, complete, truncated } => Some((since_us, (complete, truncated))),
        };
        closed.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let closed = Option::<(i64, (bool, bool))>::read(from)?;
        Ok(closed.map_or(Self::Open, |(since_us, (complete, truncated))| Self::Closed {
            since_us,
            complete,
            truncated,
        }))
    }
}

impl Shard {
    /// Everything that has to be in `flow_state` when this commit is done.
    pub(super) fn save(&mut self) {
        self.save_names();
        let mut bytes = 0;
        for id in mem::take(&mut self.to_save) {
            bytes += self.save_trace(id);
        }
        while bytes < self.settings.limits.state_bytes
            && let Some(id) = self.due_to_be_saved()
        {
            bytes += self.save_trace(id);
        }
    }

    fn due_to_be_saved(&mut self) -> Option<TraceId> {
        let (_, id) = self.first_unsaved()?;
        let unsaved = self.traces.get(id)?.unsaved?;
        let is_old = self.clock_us - unsaved.at_us >= self.settings.waits.save_us;
        let is_far = self.applied - unsaved.applied >= self.settings.limits.replayed_spans;
        (is_old && is_far).then_some(id)
    }

    /// What is there of this trace is not true any more.
    pub(super) fn save_again(&mut self, id: TraceId) {
        if self.traces.get(id).is_some_and(|trace| trace.saved.is_begun) {
            self.to_save.insert(id);
        }
    }

    /// Spans that are there already are not written again. Returns how many bytes that took.
    fn save_trace(&mut self, id: TraceId) -> usize {
        let Some(slot) = self.traces.find(id) else { return 0 };
        let trace = &mut self.traces[slot];
        let mut changes = Vec::new();
        let mut writer = Writer::new(&self.names);
        let mut links = trace.links.iter().peekable();
        for (i, record) in (0_u32..).zip(&trace.records) {
            let link = links.next_if(|link| link.at == i);
            if i < trace.saved.spans {
                continue;
            }
            (record.clone(), link.copied()).write(&mut writer);
            if writer.bytes.len() >= SEGMENT_BYTES || i as usize + 1 == trace.records.len() {
                let bytes = mem::replace(&mut writer, Writer::new(&self.names)).bytes;
                changes.push(StateChange { key: segment(id, trace.saved.segments), value: Some(bytes) });
                trace.saved.segments += 1;
            }
        }
        trace.saved.is_begun = true;
        trace.saved.spans = trace.records.len() as u32;
        trace.saved.until_offset = self.next_offset;
        trace.unsaved = None;
        let header_bytes = bytes_of(&Header::of(trace), &self.names);
        changes.push(StateChange { key: header(id), value: Some(header_bytes) });
        let bytes = changes.iter().flat_map(|change| &change.value).map(Vec::len).sum();
        self.count("traces_saved", 1);
        self.state.extend(changes);
        bytes
    }

    /// The trace is gone.
    pub(super) fn drop_saved(&mut self, id: TraceId, trace: &Trace) {
        if trace.saved.is_begun {
            let segments = (0..trace.saved.segments).map(|number| segment(id, number));
            self.state.extend(segments.chain([header(id)]).map(|key| StateChange { key, value: None }));
        }
    }

    fn save_names(&mut self) {
        let mut writer = Writer::new(&self.names);
        let fresh = mem::take(&mut self.caps.fresh);
        for (i, name) in fresh.iter().enumerate() {
            name.write(&mut writer);
            if writer.bytes.len() >= SEGMENT_BYTES || i + 1 == fresh.len() {
                let key = names(self.clock_us / HOUR_US, self.names_saved);
                self.state.push(StateChange {
                    key,
                    value: Some(mem::replace(&mut writer, Writer::new(&self.names)).bytes),
                });
                self.names_saved += 1;
            }
        }
    }

    /// The hour is over.
    pub(super) fn drop_saved_names(&mut self) {
        let hour = self.clock_us / HOUR_US;
        let keys = (0..mem::take(&mut self.names_saved)).map(|number| names(hour, number));
        self.state.extend(keys.map(|key| StateChange { key, value: None }));
    }
}

impl Header {
    fn of(trace: &Trace) -> Self {
        Self {
            first_offset: trace.first_offset,
            first_us: trace.first_us,
            last_us: trace.last_us,
            life: trace.life,
            name_waived: trace.name_waived,
            sampled: trace.sampled,
            sample_milli: trace.sample_milli,
            revision: trace.revision,
            inherited: trace.inherited,
            flow: trace.flow.clone(),
            overflow: trace.overflow.clone(),
            saved: trace.saved,
        }
    }

    /// What a copy of the trace can't know.
    ///
    /// # Errors
    /// It is not a copy of this one.
    pub fn tell(self, trace: &mut Trace) -> Result<(), Unreadable> {
        let is_same = self.first_offset == trace.first_offset && self.inherited == trace.inherited;
        if !is_same || trace.records.len() < self.saved.spans as usize {
            return Err(Unreadable);
        }
        trace.name_waived |= self.name_waived;
        (trace.sampled, trace.sample_milli) = (self.sampled, self.sample_milli);
        trace.revision = trace.revision.max(self.revision);
        (trace.overflow, trace.saved) = (self.overflow, self.saved);
        if let Some(facts) = &self.flow {
            trace.flow.get_or_insert_with(Box::default).join(facts);
        }
        Ok(())
    }

    /// The trace, without spans.
    pub fn into_trace(self) -> Trace {
        let mut trace = Trace::new(self.first_offset, self.first_us);
        trace.life = self.life;
        trace.last_us = self.last_us;
        trace.name_waived = self.name_waived;
        (trace.sampled, trace.sample_milli) = (self.sampled, self.sample_milli);
        trace.revision = self.revision;
        (trace.inherited, trace.overflow, trace.flow) = (self.inherited, self.overflow, self.flow);
        trace.saved = self.saved;
        trace
    }
}

fn bytes_of(value: &impl Saved, names: &Names) -> Vec<u8> {
    let mut writer = Writer::new(names);
    value.write(&mut writer);
    writer.bytes
}

fn header(id: TraceId) -> String {
    format!("trace/{id}")
}

/// Keys in the order of text are in the order of segments, and after their header.
fn segment(id: TraceId, number: u32) -> String {
    format!("trace/{id}/{number:08}")
}

fn names(hour: i64, number: u32) -> String {
    format!("names/{hour}/{number:08}")
}

/// What a record of `flow_state` is about.
pub(super) enum Key {
    Header(TraceId),
    Segment(TraceId),
    /// Hour and number.
    Names(i64, u32),
}

impl Key {
    pub fn of(key: &str) -> Result<Self, Unreadable> {
        let mut parts = key.split('/');
        let (kind, first, number) = (parts.next(), parts.next().ok_or(Unreadable)?, parts.next());
        let id = || u128::from_str_radix(first, 16).map(TraceId).map_err(|_| Unreadable);
        match (kind, number) {
            (Some("trace"), None) => id().map(Self::Header),
            (Some("trace"), Some(_)) => id().map(Self::Segment),
            (Some("names"), Some(number)) => {
                let number = number.parse().map_err(|_| Unreadable)?;
                first.parse().map(|hour| Self::Names(hour, number)).map_err(|_| Unreadable)
            }
            _ => Err(Unreadable),
        }
    }
}

/// A record of admitted names.
pub(super) type AdmittedName = (Name, Admitted);
