//! Which messaging spans count: a message at `create`, else at `send`; a delivery at the innermost `process`,
//! else at `receive` (DESIGN 4.2).

use crate::span::MessagingOperation;
use crate::tree::{NONE, blank};
use crate::view::{Spans, View};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// What one pass over the messaging spans of a trace finds. Most traces have none: then nothing is worked out.
#[derive(Default)]
pub(crate) struct Messages {
    are_there: bool,
    /// A delivery with another one of the same service and topic inside, or a send of messages that were created
    /// one by one: counts nothing.
    covered: Vec<bool>,
    producers: BTreeMap<u64, u32>,
}

impl Messages {
    pub fn look(&mut self, view: &View<'_>) {
        let many = view.records.len();
        self.are_there = (0..many as u32).any(|i| view.spans.shape(i).messaging.is_some());
        if self.are_there {
            blank(&mut self.covered, many, false);
            self.producers.clear();
            self.cover_deliveries(view);
            self.cover_sends(view);
        }
    }

    pub fn is_covered(&self, i: u32) -> bool {
        self.are_there && self.covered[i as usize]
    }

    fn cover_deliveries(&mut self, view: &View<'_>) {
        for i in (0..view.records.len() as u32).filter(|i| view.spans.takes(*i)) {
            let around = view.boundary(i);
            let is_inside = around != NONE
                && view.same_service(i, around)
                && view.spans.takes(around)
                && view.spans.shape(around).topic == view.spans.shape(i).topic;
            if is_inside {
                self.covered[around as usize] = true;
            }
        }
    }

    fn cover_sends(&mut self, view: &View<'_>) {
        let mut created = Created::default();
        for i in (0..view.records.len() as u32).filter(|i| view.spans.hands_over(*i)) {
            let record = &view.records[i as usize];
            let known = self.producers.entry(record.span_id).or_insert(i);
            if record.kind() < view.records[*known as usize].kind() {
                *known = i;
            }
            if view.spans.shape(i).messaging == Some(MessagingOperation::Create) {
                created.add(view.spans, i);
            }
        }
        for i in 0..view.records.len() as u32 {
            let sends = view.spans.shape(i).messaging == Some(MessagingOperation::Send);
            self.covered[i as usize] |= sends && created.by(view.spans, i);
        }
    }

    /// Consumer start − producer end, µs, where the producer is in this trace: by parent, else by link. The two
    /// clocks may differ: never below 0.
    pub fn waited(&self, view: &View<'_>, i: u32) -> Option<u64> {
        let above = match view.above(i) {
            above if above != NONE && view.is_inner(above) => view.boundary(above),
            above => above,
        };
        let by_parent = (above != NONE && view.spans.hands_over(above)).then_some(above);
        let by_link = || self.producers.get(&view.spans.link(i)?.span_id).copied();
        let producer = by_parent.or_else(by_link)?;
        let [taken, handed] = [i, producer].map(|i| &view.records[i as usize]);
        Some((taken.start_us - handed.end_us()).max(0).cast_unsigned())
    }
}

/// The `create` spans of a trace, as a `send` may be related to them.
#[derive(Default)]
struct Created {
    ids: BTreeSet<u64>,
    parents: BTreeSet<u64>,
}

impl Created {
    fn add(&mut self, spans: Spans<'_>, i: u32) {
        let record = &spans.records[i as usize];
        self.ids.insert(record.span_id);
        if record.parent_id != 0 {
            self.parents.insert(record.parent_id);
        }
    }

    /// The send is above, below, beside or linked to a create.
    fn by(&self, spans: Spans<'_>, i: u32) -> bool {
        let send = &spans.records[i as usize];
        self.ids.contains(&send.parent_id)
            || spans.link(i).is_some_and(|link| self.ids.contains(&link.span_id))
            || self.parents.contains(&send.span_id)
            || self.parents.contains(&send.parent_id)
    }
}
