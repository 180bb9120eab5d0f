//! A shard as its predecessor left it, from `flow_state`, the journal and the log. Closes are facts here and are never
//! decided anew; what the traces had said is worked out once, from the spans they had at the end.

use super::saving::{AdmittedName, Header, Key};
use super::{HOUR_US, Shard};
use crate::commit::{Close, Entombed, Journaled};
use crate::record::{Link, Record};
use crate::saved::{Reader, Saved, Unreadable};
use crate::settings::Settings;
use crate::span::{Span, TraceId};
use crate::trace::{Gist, Life, SavedSpans, Slot, Told, Trace};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem;
use hashbrown::{HashMap, HashSet};
use rustc_hash::FxBuildHasher;

/// Rebuilds a shard: what is in `flow_state` first, then the records from [`Replay::reads_from`] on.
///
/// It may also be kept as a copy of a shard at work: it follows that one's commits, one after the other, and reads the
/// records before the last one's end. When it is to take over, it loads `flow_state` again, and there is nothing else to
/// be read.
pub struct Replay {
    shard: Shard,
    /// L and P of the last commit, and what its digest was.
    low_watermark: i64,
    next_offset: i64,
    digest: u64,
    /// What happened, by position.
    events: VecDeque<(i64, Event)>,
    reads_from: i64,
    clock_us: i64,
    /// It follows a shard at work.
    is_copy: bool,
    late: HashSet<(TraceId, i64), FxBuildHasher>,
    /// Up to where a trace's spans are only fingerprints now.
    entombed: HashMap<TraceId, i64, FxBuildHasher>,
    published: HashMap<TraceId, u32, FxBuildHasher>,
    revised: HashMap<TraceId, u32, FxBuildHasher>,
    postponed: HashMap<TraceId, u32, FxBuildHasher>,
}

enum Event {
    Close(Close),
    Entomb(Entombed),
    Commit { clock_us: i64, timestamp_us: Option<i64> },
}

/// The shard that came out is not the one that was journaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Digest in the journal.
    pub journaled: u64,
    /// Digest of what was rebuilt.
    pub rebuilt: u64,
}

impl Replay {
    /// `commits` are the journal's last ones, in order, as far back as
    /// [`Journaled::commits_back`] of the last one says.
    /// `None` without a commit.
    pub fn new(settings: Settings, commits: Vec<Journaled>) -> Option<Self> {
        let last = commits.last()?;
        let (low_watermark, next_offset, digest) = (last.low_watermark, last.next_offset, last.digest);
        let known = commits.iter().map(|commit| commit.next_offset);
        let mut replay = Self {
            shard: Shard::new(settings),
            low_watermark,
            next_offset,
            digest,
            events: VecDeque::new(),
            reads_from: known.filter(|offset| *offset <= low_watermark).max().unwrap_or(low_watermark),
            clock_us: last.clock_us,
            is_copy: false,
            late: HashSet::default(),
            entombed: HashMap::default(),
            published: HashMap::default(),
            revised: HashMap::default(),
            postponed: HashMap::default(),
        };
        commits.into_iter().for_each(|commit| replay.learn(commit));
        Some(replay)
    }

    /// The next commit of the shard that this one is a copy of. Every record before the end of the last one has been
    /// applied.
    pub fn follow(&mut self, commit: Journaled) {
        self.happen_until(self.next_offset);
        if !mem::replace(&mut self.is_copy, true) {
            self.drop_inherited();
        }
        self.let_go();
        (self.next_offset, self.digest, self.clock_us) = (commit.next_offset, commit.digest, commit.clock_us);
        self.learn(commit);
    }

    /// What was told about traces and records that are gone.
    fn let_go(&mut self) {
        let (next, traces) = (self.next_offset, &self.shard.traces);
        self.late.retain(|(_, offset)| *offset >= next);
        self.entombed.retain(|_, until| *until > next);
        if self.published.len() > 2 * traces.len() {
            self.published.retain(|id, _| traces.get(*id).is_some());
        }
        if self.revised.len() > 2 * traces.len() {
            self.revised.retain(|id, _| traces.get(*id).is_some());
        }
    }

    /// The copy takes over: `flow_state` is loaded again, by [`Replay::load`] and [`Replay::loaded`]. It tells what
    /// can't be learnt from the log: what is saved, and what went under `__other__`.
    pub fn load_again(&mut self) {
        self.happen_until(self.next_offset);
        self.drop_inherited();
        let shard = &mut self.shard;
        shard.traces.iter_mut().for_each(|(_, trace)| trace.saved = SavedSpans::default());
        shard.caps.start_anew();
        shard.names_saved = 0;
    }

    /// All that counts of late spans of forgotten traces is in `flow_state`, and what becomes of them isn't told.
    fn drop_inherited(&mut self) {
        let inherited = self.shard.traces.iter().filter(|(_, trace)| trace.inherited.is_some());
        let inherited: Vec<TraceId> = inherited.map(|(id, _)| id).collect();
        // Their timers stay: they are those of the fingerprints too.
        for id in inherited {
            self.shard.remove(id);
        }
    }

    fn learn(&mut self, commit: Journaled) {
        self.postponed = commit.postponed.into_iter().collect();
        self.late.extend(commit.late);
        self.published.extend(commit.published);
        self.revised.extend(commit.revised);
        self.entombed.extend(commit.entombed.iter().map(|tomb| (tomb.trace_id, tomb.position)));
        let closes = commit.closes.into_iter().map(|close| (close.position, Event::Close(close)));
        let tombs = commit.entombed.into_iter().map(|tomb| (tomb.position, Event::Entomb(tomb)));
        let (clock_us, timestamp_us) = (commit.clock_us, commit.timestamp_us);
        let end = (commit.next_offset, Event::Commit { clock_us, timestamp_us });
        let from = self.events.len();
        self.events.extend(closes.chain(tombs).chain([end]));
        self.events.make_contiguous()[from..].sort_by_key(|(position, _)| *position);
    }

    /// One record of `flow_state`, in the order of keys as text: the last value of each, deleted ones left out.
    ///
    /// # Errors
    /// It is none that this version wrote.
    pub fn load(&mut self, key: &str, value: &[u8]) -> Result<(), Unreadable> {
        let mut reader = Reader::new(value, &mut self.shard.names);
        match Key::of(key)? {
            Key::Header(id) => {
                let header = Header::read(&mut reader)?;
                match self.shard.traces.find(id) {
                    None => drop(self.shard.traces.insert(id, header.into_trace())),
                    Some(slot) => header.tell(&mut self.shard.traces[slot])?,
                }
            }
            Key::Segment(id) => {
                let slot = self.shard.traces.find(id).ok_or(Unreadable)?;
                let trace = &self.shard.traces[slot];
                // A copy has them already.
                if trace.records.len() >= trace.saved.spans as usize {
                    return Ok(());
                }
                let mut records: Vec<(Record, Option<Link>)> = Vec::new();
                while !reader.is_at_end() {
                    records.push(Saved::read(&mut reader)?);
                }
                for (record, link) in records {
                    self.shard.traces[slot].links.extend(link);
                    self.shard.push(id, slot, record);
                }
            }
            // The names of an hour that was over then were still being deleted.
            Key::Names(hour, _) if hour != self.clock_us / HOUR_US => {}
            Key::Names(_, number) => {
                let mut names: Vec<AdmittedName> = Vec::new();
                while !reader.is_at_end() {
                    names.push(Saved::read(&mut reader)?);
                }
                names.into_iter().for_each(|(place, name)| self.shard.caps.restore(&place, name));
                self.shard.names_saved = self.shard.names_saved.max(number + 1);
            }
        }
        Ok(())
    }

    /// All of `flow_state` was loaded.
    ///
    /// # Errors
    /// Spans are missing in it.
    pub fn loaded(&mut self) -> Result<(), Unreadable> {
        let shard = &mut self.shard;
        shard.unsaved.clear();
        for (id, trace) in shard.traces.iter_mut() {
            let (spans, saved) = (trace.records.len(), trace.saved);
            if spans < saved.spans as usize {
                return Err(Unreadable);
            }
            // What a copy has beyond that came later.
            trace.unsaved = trace.unsaved.filter(|_| spans > saved.spans as usize);
            if let Some(unsaved) = &mut trace.unsaved {
                unsaved.offset = unsaved.offset.max(saved.until_offset);
                shard.unsaved.push(unsaved.offset, id);
            }
            if let Some((since_us, _)) = trace.closed() {
                trace.timer_us = since_us + shard.settings.waits.remember_us;
                shard.timers.insert((trace.timer_us, id));
            }
        }
        shard.unsaved.sort();
        Ok(())
    }

    /// First offset whose record is to be read.
    pub fn reads_from(&self) -> i64 {
        self.reads_from
    }

    /// First offset whose record was not applied: there the replay ends, or waits for the next commit.
    pub fn reads_until(&self) -> i64 {
        self.next_offset
    }

    /// The next record. Whether its spans matter.
    pub fn begin_record(&mut self, offset: i64, timestamp_us: i64) -> bool {
        self.happen_until(offset);
        if let Some(now_us) = self.shard.time_of_record(timestamp_us) {
            self.shard.expire_until(now_us);
            self.shard.clock_us = now_us;
        }
        self.shard.next_offset = offset + 1;
        (self.low_watermark..self.next_offset).contains(&offset)
    }

    /// A span of the record that was begun last.
    pub fn apply(&mut self, span: &Span<'_>) {
        let (id, offset) = (span.trace_id, self.shard.next_offset - 1);
        self.shard.applied += 1;
        if id.0 == 0 || span.span_id.0 == 0 || self.entombed.get(&id).is_some_and(|until| offset < *until) {
            return;
        }
        let slot = self.shard.traces.find(id);
        let saved_until = match slot.map(|slot| &self.shard.traces[slot]) {
            // All that counted of it is saved.
            Some(trace) if trace.inherited.is_some() => return,
            Some(trace) => trace.saved.until_offset,
            // It belongs to a trace that had closed before the replay began and is gone by its end.
            None if self.late.contains(&(id, offset)) => return,
            None => 0,
        };
        if offset >= saved_until && !self.shard.was_counted(span, slot) {
            self.shard.keep_again(span, slot);
        }
    }

    fn happen_until(&mut self, position: i64) {
        while self.events.front().is_some_and(|(at, _)| *at <= position) {
            match self.events.pop_front() {
                Some((_, Event::Close(close))) => self.shard.close_again(&close),
                Some((_, Event::Entomb(entombed))) => {
                    // Time may have passed within this position, but not beyond what came at the same moment.
                    let now_us = entombed.until_us - self.shard.settings.waits.remember_us;
                    self.shard.expire_until(now_us - 1);
                    self.shard.remove_entombed(&entombed);
                    self.shard.timers.insert((entombed.until_us, entombed.trace_id));
                    self.shard.memory.entomb(&entombed, self.shard.commits);
                    entombed.evicted.iter().for_each(|id| self.shard.memory.lose(*id));
                }
                Some((_, Event::Commit { clock_us, timestamp_us })) => {
                    self.shard.expire_until(clock_us);
                    (self.shard.clock_us, self.shard.commits) = (clock_us, self.shard.commits + 1);
                    self.shard.last_timestamp_us = timestamp_us;
                    self.shard.last_record_us = timestamp_us.unwrap_or(i64::MIN);
                    self.shard.tidy();
                }
                None => {}
            }
        }
    }

    /// The shard as it was after the last commit.
    ///
    /// # Errors
    /// It isn't: another version or other settings made it, or the log has changed.
    pub fn finish(mut self) -> Result<Shard, Mismatch> {
        self.happen_until(i64::MAX);
        self.shard.next_offset = self.next_offset;
        let mut ids: Vec<TraceId> = self.shard.traces.iter().map(|(id, _)| id).collect();
        ids.sort_unstable();
        for id in ids {
            let Some(slot) = self.shard.traces.find(id) else { continue };
            let trace = &mut self.shard.traces[slot];
            if let Some(share_milli) = self.published.get(&id) {
                (trace.sampled, trace.sample_milli) = (true, *share_milli);
            }
            trace.started = trace.sampled;
            trace.revision = trace.revision.max(self.revised.get(&id).copied().unwrap_or(0));
            self.shard.restore(id, slot, self.postponed.get(&id).copied());
        }
        self.shard.open.sort();
        self.shard.memory.sort();
        self.shard.counters.clear();
        (self.shard.names.cut, self.shard.caps.overflowed) = (0, 0);
        let (journaled, rebuilt) = (self.digest, self.shard.digest());
        if journaled == rebuilt { Ok(self.shard) } else { Err(Mismatch { journaled, rebuilt }) }
    }
}

impl Shard {
    /// Time passes without anything being decided: only what was remembered long enough is let go.
    fn expire_until(&mut self, now_us: i64) {
        while let Some((due_us, id)) = self.timers.pop_until(now_us) {
            // It may be the tomb of an earlier trace of the same id.
            if self.traces.get(id).is_some_and(|trace| trace.timer_us == due_us) {
                self.remove(id);
            }
            self.memory.bury_when_due(id, due_us);
        }
    }

    /// A copy still has the trace of which only fingerprints are left; what late spans of it, or a later trace of the
    /// same id, have brought since is not meant.
    fn remove_entombed(&mut self, entombed: &Entombed) {
        let id = entombed.trace_id;
        let is_meant = |trace: &Trace| trace.inherited.is_none() && trace.first_offset < entombed.position;
        if self.traces.get(id).is_some_and(is_meant) {
            self.remove(id);
        }
    }

    fn keep_again(&mut self, span: &Span<'_>, slot: Option<Slot>) {
        let id = span.trace_id;
        let slot = match slot {
            Some(slot) => slot,
            None => self.traces.insert(id, Trace::new(self.next_offset - 1, self.clock_us)),
        };
        let trace = &mut self.traces[slot];
        if trace.records.len() < self.settings.limits.spans_per_trace {
            trace.last_us = self.clock_us;
            self.push_span(span, slot);
        }
    }

    fn close_again(&mut self, close: &Close) {
        let (id, since_us) = (close.trace_id, close.since_us);
        let Some(slot) = self.traces.find(id) else { return };
        let trace = &mut self.traces[slot];
        // A trace that was forgotten altogether may have begun anew since.
        if !trace.is_open() || trace.first_offset >= close.position {
            return;
        }
        trace.life = Life::Closed { since_us, complete: close.complete, truncated: close.truncated };
        trace.revision = 1;
        trace.timer_us = since_us + self.settings.waits.remember_us;
        self.timers.insert((trace.timer_us, id));
    }

    /// What a trace had said at the last commit, of its first `counted` spans where it was too large for more.
    fn restore(&mut self, id: TraceId, slot: Slot, counted: Option<u32>) {
        let name_us = self.settings.waits.name_us;
        let trace = &mut self.traces[slot];
        let spans = trace.records.len();
        let counted = counted.map_or(spans, |counted| counted as usize).min(spans);
        trace.name_waived |= self.clock_us >= trace.first_us + name_us;
        (trace.resolved_spans, trace.resolved_us) = (counted, self.clock_us);
        if counted < spans {
            trace.dirty = true;
            self.dirty.push(id);
        }
        let settled = !trace.is_open();
        let stream_us = self.settings.limits.stream_us;
        let resolved = self.workspace.resolve_trace(trace, counted, settled, &self.names, stream_us);
        trace.missing = resolved.missing;
        trace.gist = Gist::of(&resolved, &self.workspace.marks, &mut self.names, &mut self.nodes);
        let asked = self.asked(slot, &resolved);
        let trace = &mut self.traces[slot];
        trace.told = asked.map(|asked| Told {
            under: trace.overflow.as_ref().map_or(asked, |overflow| overflow.under),
            spans: counted as u32,
            settled,
        });
        match trace.closed() {
            Some((since_us, complete)) => {
                trace.summarised = counted as u32;
                self.memory.closed(id, since_us, spans, complete);
            }
            None => {
                self.open.push(trace.first_offset, id);
                self.open_traces += 1;
                self.open_spans += spans;
                // Due at once: what it waits for is worked out then.
                trace.timer_us = self.clock_us;
                self.timers.insert((trace.timer_us, id));
            }
        }
        self.digest_trace(id, slot);
    }
}
