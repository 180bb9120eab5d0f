//! One filter being watched: the graph as it was last sent, the deltas that led there, and who listens.

use super::base::Base;
use super::diff::Changes;
use super::events::Event;
use super::frame::{self, Batch, Headline};
use crate::error::ApiError;
use crate::filter::Filter;
use crate::graph::{Graph, StatusRules};
use crate::limits::Limits;
use crate::live::shards::Sequences;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::broadcast;
use utoipa::ToSchema;

/// What makes two subscriptions the same view.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ViewKey {
    /// Which flows.
    pub filter: Filter,
    /// Over how many of the last seconds.
    pub window_s: u32,
    /// Whether flow events are wanted.
    pub events: bool,
    /// Of the flows that end, only those of this status are wanted.
    pub status: Option<FlowOutcome>,
}

/// How a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FlowOutcome {
    /// Without an error.
    Success,
    /// Its root failed.
    Error,
    /// It never ended.
    Timeout,
}

impl ViewKey {
    fn graph(&self, base: &Base, rules: &StatusRules) -> Graph {
        Graph::of(&self.filter.part(&base.totals), base.seconds, rules)
    }

    fn wants(&self, event: &Event) -> bool {
        let is_status =
            |status: FlowOutcome| event.outcome.as_ref().is_some_and(|outcome| outcome.status == status);
        let filter = &self.filter;
        filter.matches(&event.environment, &event.operation_name)
            && self.status.is_none_or(is_status)
            && (filter.around.is_anywhere() || event.touches(&filter.around))
            // Before its end a flow doesn't say where its root belongs.
            && (filter.allowed.namespaces.is_none()
                || event.root_namespace.as_deref().is_some_and(|root| filter.allowed.namespace(root)))
    }
}

/// A view and its subscribers by subscription id.
pub(super) struct View {
    key: ViewKey,
    graph: Graph,
    headline: Headline,
    /// The snapshot's data, once somebody has asked for it since the last tick.
    snapshot: Option<Arc<str>>,
    /// What the last newcomer got: thousands that reconnect at once ask for the same.
    greeting: Option<Greeting>,
    /// The delta of this tick that isn't published yet.
    pending: Option<Arc<str>>,
    past: Past,
    channels: BTreeMap<String, broadcast::Sender<Batch>>,
    sent_at: Instant,
    last_listener_at: Instant,
}

/// The first frames of a listener, for those who ask for the same before the next tick.
struct Greeting {
    id: String,
    /// How much of the past the listener has already; none of it without a point to go on from.
    resumed: Option<usize>,
    batch: Batch,
}

impl View {
    pub fn new(key: ViewKey, base: &Base, rules: &StatusRules, now: Instant) -> Self {
        let (graph, headline) = (key.graph(base, rules), base.headline.clone());
        Self {
            past: Past::starting_at(headline.sequences.clone()),
            key,
            graph,
            headline,
            snapshot: None,
            greeting: None,
            pending: None,
            channels: BTreeMap::new(),
            sent_at: now,
            last_listener_at: now,
        }
    }

    /// A place among the listeners of `id`.
    pub fn receiver(&mut self, id: &str, limits: &Limits) -> Result<broadcast::Receiver<Batch>, ApiError> {
        self.channels.retain(|_, channel| channel.receiver_count() > 0);
        if let Some(channel) = self.channels.get(id) {
            return Ok(channel.subscribe());
        }
        if self.channels.len() >= limits.ids_per_view {
            return Err(ApiError::too_many(
                "too many different ids for these filters: use the same id for the same purpose",
            ));
        }
        let (channel, receiver) = broadcast::channel(limits.ticks_behind);
        self.channels.insert(id.to_owned(), channel);
        Ok(receiver)
    }

    /// What a new listener is sent before it joins the stream.
    pub fn greet(&mut self, id: &str, resume: Option<&Sequences>) -> Batch {
        let resumed = resume.and_then(|sequences| self.past.position(sequences));
        let is_same = |greeting: &&Greeting| greeting.id == id && greeting.resumed == resumed;
        if let Some(greeting) = self.greeting.as_ref().filter(is_same) {
            return greeting.batch.clone();
        }
        let batch = match resumed {
            Some(after) => {
                Batch::of(self.past.after(after).map(|data| frame::frame("graph_delta", id, data)))
            }
            None => {
                let data =
                    self.snapshot.get_or_insert_with(|| frame::snapshot(&self.headline, &self.graph).into());
                Batch::of([frame::frame("snapshot", id, data)])
            }
        };
        self.greeting = Some(Greeting { id: id.to_owned(), resumed, batch: batch.clone() });
        batch
    }

    /// Computes the graph anew; what changed waits for `publish`.
    pub fn update(&mut self, base: &Base, rules: &StatusRules, now: Instant, limits: &Limits) {
        let (graph, headline) = (self.key.graph(base, rules), base.headline.clone());
        let changes = Changes::between(&self.graph, &graph);
        let news = !changes.is_empty()
            || headline.sequences != self.headline.sequences
            || headline.totals != self.headline.totals
            || headline.staleness.fresh != self.headline.staleness.fresh;
        if news || now.duration_since(self.sent_at) >= limits.heartbeat {
            let data: Arc<str> = frame::delta(&headline, &changes).into();
            self.past.push(headline.sequences.clone(), data.clone(), limits.resume_bytes);
            self.pending = Some(data);
            (self.snapshot, self.greeting) = (None, None);
            (self.graph, self.headline) = (graph, headline);
            self.sent_at = now;
        }
    }

    /// Computes the graph of an idle view anew, for somebody who comes: what changed is a part of the greeting.
    pub fn catch_up(&mut self, base: &Base, rules: &StatusRules, now: Instant, limits: &Limits) {
        self.update(base, rules, now, limits);
        self.pending = None;
    }

    /// Sends the pending delta and the events that match, as one batch for each id.
    pub fn publish(&mut self, events: &VecDeque<Event>, now: Instant, limits: &Limits) {
        let delta = self.pending.take();
        self.channels.retain(|_, channel| channel.receiver_count() > 0);
        if self.channels.is_empty() {
            return;
        }
        self.last_listener_at = now;
        let (events, omitted) = self.matching(events, limits);
        if delta.is_none() && events.is_empty() {
            return;
        }
        for (id, channel) in &self.channels {
            let told = events.iter().map(|(kind, data)| frame::frame(kind, id, data));
            let changed = delta.as_deref().map(|data| frame::frame("graph_delta", id, data));
            let untold =
                (omitted > 0).then(|| frame::frame("flows_omitted", id, &format!("{{\"count\":{omitted}}}")));
            // Without receivers there is nobody to miss it.
            let _ = channel.send(Batch::of(told.chain(changed).chain(untold)));
        }
    }

    /// Whether nobody listens.
    pub fn is_idle(&self) -> bool {
        self.channels.values().all(|channel| channel.receiver_count() == 0)
    }

    /// Since when nobody listens; none while somebody does.
    pub fn idle_since(&self) -> Option<Instant> {
        self.is_idle().then_some(self.last_listener_at)
    }

    /// Whether nobody has listened for so long that resuming is no use any more.
    pub fn is_abandoned(&self, now: Instant, limits: &Limits) -> bool {
        self.idle_since().is_some_and(|since| now.duration_since(since) > limits.view_linger)
    }

    /// The newest events that match, and how many more there were.
    fn matching(&self, events: &VecDeque<Event>, limits: &Limits) -> (Vec<(&'static str, String)>, usize) {
        if !self.key.events {
            return (Vec::new(), 0);
        }
        let matching: Vec<&Event> = events.iter().filter(|event| self.key.wants(event)).collect();
        let omitted = matching.len().saturating_sub(limits.events_per_tick);
        (matching[omitted..].iter().map(|event| (event.kind, frame::json(event))).collect(), omitted)
    }
}

/// The deltas of the last while, each with the sequences it led to, bounded in bytes.
struct Past {
    start: Sequences,
    deltas: VecDeque<(Sequences, Arc<str>)>,
    bytes: usize,
}

impl Past {
    fn starting_at(start: Sequences) -> Self {
        Self { start, deltas: VecDeque::new(), bytes: 0 }
    }

    fn push(&mut self, sequences: Sequences, data: Arc<str>, limit: usize) {
        self.bytes += data.len();
        self.deltas.push_back((sequences, data));
        while self.bytes > limit {
            let Some((sequences, data)) = self.deltas.pop_front() else { return };
            self.bytes -= data.len();
            self.start = sequences;
        }
    }

    /// How many deltas lie before the first point with these sequences.
    fn position(&self, sequences: &Sequences) -> Option<usize> {
        if self.start == *sequences {
            return Some(0);
        }
        self.deltas.iter().position(|(reached, _)| reached == sequences).map(|at| at + 1)
    }

    /// The deltas after a point. Deltas hold new values, not differences, so that sending some that the client has
    /// already seen does no harm.
    fn after(&self, position: usize) -> impl Iterator<Item = &str> {
        self.deltas.range(position..).map(|(_, data)| &**data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64) -> Sequences {
        Sequences::from([(0, seq)])
    }

    fn past() -> Past {
        let mut past = Past::starting_at(at(5));
        for (seq, data) in [(6, "a"), (6, "b"), (7, "c")] {
            past.push(at(seq), data.into(), 100);
        }
        past
    }

    fn since(past: &Past, seq: u64) -> Option<String> {
        past.position(&at(seq)).map(|after| past.after(after).collect())
    }

    #[test]
    fn resuming_gives_everything_after_the_first_such_point() {
        let past = past();
        assert_eq!(since(&past, 5).as_deref(), Some("abc"));
        assert_eq!(since(&past, 6).as_deref(), Some("bc"));
        assert_eq!(since(&past, 7).as_deref(), Some(""));
        assert_eq!(since(&past, 4), None);
    }

    #[test]
    fn the_past_is_bounded_and_knows_where_it_begins() {
        let mut past = past();
        past.push(at(8), "d".into(), 2);
        assert_eq!((past.bytes, past.deltas.len()), (2, 2));
        assert_eq!(since(&past, 6).as_deref(), Some("cd"));
        assert_eq!(since(&past, 5), None);
    }
}
