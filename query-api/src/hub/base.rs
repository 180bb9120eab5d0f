//! What views have in common: those that differ only in what they are around are parts of one graph, which is added up
//! once for all of them.

use super::frame::{self, Headline, WindowAnswer};
use super::view::ViewKey;
use crate::builder::GraphBuilder;
use crate::filter::Filter;
use crate::live::Live;
use crate::live::feed::locked;
use crate::totals::Totals;
use std::collections::HashMap;
use std::sync::Mutex;

/// The graph of some flows at one moment, before anything is left out of it.
pub(super) struct Base {
    pub headline: Headline,
    pub totals: Totals,
    /// What rates divide by.
    pub seconds: f64,
}

/// Those of one tick.
pub(super) struct Bases<'a> {
    live: &'a Mutex<Live>,
    now_us: i64,
    found: HashMap<(Filter, u32), Base>,
}

impl<'a> Bases<'a> {
    pub fn new(live: &'a Mutex<Live>, now_us: i64) -> Self {
        Self { live, now_us, found: HashMap::new() }
    }

    /// The one that a view is a part of.
    pub fn of(&mut self, key: &ViewKey) -> &Base {
        let whole = (key.filter.whole(), key.window_s);
        let (live, now_us) = (self.live, self.now_us);
        self.found
            .entry(whole)
            .or_insert_with_key(|(filter, window_s)| Base::new(live, filter, *window_s, now_us))
    }
}

impl Base {
    fn new(live: &Mutex<Live>, filter: &Filter, window_s: u32, now_us: i64) -> Self {
        let mut builder = GraphBuilder::default();
        // All of it at one moment: what a frame says it holds is in it, and nothing else.
        let (headline, seconds) = {
            let mut live = locked(live);
            let range = live.latest(filter, window_s, now_us);
            let flows = live.add_latest_to(&mut builder, filter, window_s, range);
            let headline = Headline {
                as_of: now_us,
                window: WindowAnswer::from(range),
                sequences: live.sequences(),
                staleness: live.staleness(now_us),
                totals: frame::Totals::of(&flows, range.seconds),
                being_named: live.being_named(filter, now_us),
            };
            (headline, range.seconds)
        };
        Self { headline, totals: builder.join(), seconds }
    }
}
