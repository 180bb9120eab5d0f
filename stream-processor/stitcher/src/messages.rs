//! Which messaging spans count: a message at `create`, else at `send`; a delivery at the innermost `process`,
//! else at `receive` (DESIGN 4.2).

use crate::record::Record;
use crate::span::MessagingOperation;
use crate::tree::NONE;
use crate::view::View;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

/// What one pass over the messaging spans of a trace finds.
pub(crate) struct Messages {
    /// A delivery with another one of the same service and topic inside, or a send of messages that were created
    /// one by one: counts nothing.
    pub covered: Vec<bool>,
    producers: BTreeMap<u64, u32>,
}

impl Messages {
    pub fn new(view: &View<'_>) -> Self {
        let mut messages = Self { covered: vec![false; view.records.len()], producers: BTreeMap::new() };
        if view.records.iter().any(|record| record.messaging.is_some()) {
            messages.cover_deliveries(view);
            messages.cover_sends(view);
        }
        messages
    }

    fn cover_deliveries(&mut self, view: &View<'_>) {
        for (i, record) in view.records.iter().enumerate().filter(|(_, record)| record.takes()) {
            let around = view.boundary[i];
            let inside = around != NONE && view.same_service(i, around) && {
                let around = &view.records[around as usize];
                around.takes() && around.topic == record.topic
            };
            if inside {
                self.covered[around as usize] = true;
            }
        }
    }

    fn cover_sends(&mut self, view: &View<'_>) {
        let mut created = Created::default();
        for (i, record) in view.records.iter().enumerate().filter(|(_, record)| record.hands_over()) {
            let known = self.producers.entry(record.span_id).or_insert(i as u32);
            if record.kind < view.records[*known as usize].kind {
                *known = i as u32;
            }
            if record.messaging == Some(MessagingOperation::Create) {
                created.add(record);
            }
        }
        for (i, record) in view.records.iter().enumerate() {
            self.covered[i] |= record.messaging == Some(MessagingOperation::Send) && created.by(record);
        }
    }

    /// Consumer start − producer end, µs, where the producer is in this trace: by parent, else by link. The two
    /// clocks may differ: never below 0.
    pub fn waited(&self, view: &View<'_>, i: u32) -> Option<u64> {
        let record = &view.records[i as usize];
        let above = match view.above[i as usize] {
            above if above != NONE && view.is_inner(above) => view.boundary[above as usize],
            above => above,
        };
        let by_parent =
            (above != NONE).then(|| &view.records[above as usize]).filter(|above| above.hands_over());
        let by_link = || self.producers.get(&record.link).map(|at| &view.records[*at as usize]);
        let producer = by_parent.or_else(by_link)?;
        Some((record.start_us - producer.end_us()).max(0).cast_unsigned())
    }
}

/// The `create` spans of a trace, as a `send` may be related to them.
#[derive(Default)]
struct Created {
    ids: BTreeSet<u64>,
    parents: BTreeSet<u64>,
}

impl Created {
    fn add(&mut self, record: &Record) {
        self.ids.insert(record.span_id);
        if record.parent_id != 0 {
            self.parents.insert(record.parent_id);
        }
    }

    /// The send is above, below, beside or linked to a create.
    fn by(&self, send: &Record) -> bool {
        self.ids.contains(&send.parent_id)
            || self.ids.contains(&send.link)
            || self.parents.contains(&send.span_id)
            || self.parents.contains(&send.parent_id)
    }
}
