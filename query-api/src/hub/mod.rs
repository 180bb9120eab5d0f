//! Who watches what: subscribers with equal filters share one view, and those with equal ids one serialised frame.

mod base;
mod diff;
mod events;
pub mod frame;
#[cfg(test)]
mod tests;
mod view;

pub use events::{Event, Outcome, ProgressFrom};
pub use frame::Batch;
pub use view::{FlowOutcome, ViewKey};

use crate::error::ApiError;
use crate::graph::StatusRules;
use crate::limits::Limits;
use crate::live::Live;
use crate::live::shards::Sequences;
use crate::metrics::ApiMetrics;
use base::Bases;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::broadcast;
use view::View;

/// One moment by two clocks: µs since the epoch, and the clock that never goes back.
pub type Now = (i64, Instant);

/// All views.
pub struct Hub {
    // A lock, because sockets come and go on many tasks while one thread ticks. A new subscriber must get its
    // snapshot and its place in the stream of frames in one step.
    inner: Mutex<Inner>,
    limits: Limits,
    rules: StatusRules,
    metrics: ApiMetrics,
}

#[derive(Default)]
struct Inner {
    views: HashMap<ViewKey, View>,
    events: VecDeque<Event>,
}

impl Inner {
    /// Room for one more view: that of whoever has been gone for longest makes it, and can then not be resumed.
    fn make_room(&mut self, most: usize) -> Result<(), ApiError> {
        if self.views.len() < most {
            return Ok(());
        }
        let idle = self.views.iter().filter_map(|(key, view)| Some((view.idle_since()?, key)));
        let Some((_, key)) = idle.min_by_key(|(since, _)| *since) else {
            return Err(ApiError::too_many("too many different filters are being watched"));
        };
        let key = key.clone();
        self.views.remove(&key);
        Ok(())
    }
}

/// A place in a view's stream of frames.
#[derive(Debug)]
pub struct Subscription {
    /// What to send first: a snapshot, or the deltas since the point of resuming.
    pub first: Batch,
    /// What comes after.
    pub frames: broadcast::Receiver<Batch>,
}

impl Hub {
    /// Without views.
    pub fn new(limits: Limits, rules: StatusRules, metrics: ApiMetrics) -> Self {
        Self { inner: Mutex::default(), limits, rules, metrics }
    }

    /// Begins or joins a view. With `resume`, the deltas since those sequences if they are still there. `now` is asked
    /// for once it is this one's turn: sums move on with time, and going back means adding them up anew.
    ///
    /// # Errors
    /// A bound on views or ids is reached.
    pub fn subscribe(
        &self,
        live: &Mutex<Live>,
        key: &ViewKey,
        id: &str,
        resume: Option<&Sequences>,
        now: impl FnOnce() -> Now,
    ) -> Result<Subscription, ApiError> {
        let mut inner = self.inner();
        let now = now();
        match inner.views.get_mut(key) {
            Some(view) if view.is_idle() => {
                view.catch_up(Bases::new(live, now.0).of(key), &self.rules, now.1, &self.limits);
            }
            Some(_) => {}
            None => {
                inner.make_room(self.limits.views)?;
                let view = View::new(key.clone(), Bases::new(live, now.0).of(key), &self.rules, now.1);
                inner.views.insert(key.clone(), view);
                self.count(&inner);
            }
        }
        let Some(view) = inner.views.get_mut(key) else {
            return Err(ApiError::too_many("too many different filters are being watched"));
        };
        let frames = view.receiver(id, &self.limits)?;
        Ok(Subscription { first: view.greet(id, resume), frames })
    }

    /// Queues an event for the next tick.
    pub fn event(&self, event: Event) {
        self.metrics.flow_events.inc();
        let mut inner = self.inner();
        if inner.views.is_empty() {
            return;
        }
        if inner.events.len() >= self.limits.events_waiting {
            inner.events.pop_front();
            self.metrics.flow_events_dropped.inc();
        }
        inner.events.push_back(event);
    }

    /// Computes every view anew that somebody watches and sends what changed. The others wait: whoever comes back gets
    /// all that has changed meanwhile as one delta.
    pub fn tick(&self, live: &Mutex<Live>, now: impl FnOnce() -> Now) {
        let mut inner = self.inner();
        let now = now();
        let events = std::mem::take(&mut inner.events);
        let before = inner.views.len();
        inner.views.retain(|_, view| !view.is_abandoned(now.1, &self.limits));
        // The lock on live state is taken for each base anew, so that the reader of Kafka gets its turns.
        let mut bases = Bases::new(live, now.0);
        for (key, view) in inner.views.iter_mut().filter(|(_, view)| !view.is_idle()) {
            view.update(bases.of(key), &self.rules, now.1, &self.limits);
            view.publish(&events, now.1, &self.limits);
        }
        if before != inner.views.len() {
            self.count(&inner);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, inner: &Inner) {
        self.metrics.views.set(i64::try_from(inner.views.len()).unwrap_or(i64::MAX));
    }
}
