//! What is kept of one operation in one environment: counts by the second, histograms by ten seconds.

use super::kept::{Kept, OverTime, Recent, Seconds, Windows};
use crate::builder::Environment;
use crate::change::What;
use crate::counts::{EdgeCounts, OperationCounts, ServiceCounts};
use crate::histogram::Histogram;
use crate::node::Node;
use crate::series::Series;
use crate::totals::{EdgeId, EdgeTotals, FlowTotals, ServiceTotals, Sum};
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Width of a histogram's window: percentiles don't need the second, and buckets are what takes the room.
pub const HISTOGRAM_S: u32 = 10;
/// Lengths of recent seconds whose sums are kept at the same time. The sums of each take less room than what they are
/// made of; any further length is added up anew by whoever asks.
const MOST_RECENT: usize = 4;
/// For how long sums are kept that nobody asks for.
const UNASKED_S: u32 = 30;

/// The graph of one operation in one environment over time.
#[derive(Debug, Default)]
pub struct Group {
    edges: HashMap<EdgeId, Kept<Edge>>,
    services: HashMap<Arc<Node>, Kept<Service>>,
    flows: Kept<Flows>,
    /// The seconds whose sums are kept.
    recent: Vec<Recent>,
    /// The oldest and the newest second of edges and flows.
    seen_s: Option<(u32, u32)>,
}

/// The calls from one node to another over time.
#[derive(Debug, Default)]
pub struct Edge {
    counts: Series<EdgeCounts>,
    callee: Series<Histogram>,
    caller: Series<Histogram>,
    wait: Series<Histogram>,
}

/// The requests of a service over time.
#[derive(Debug, Default)]
pub struct Service {
    counts: Series<ServiceCounts>,
    latency: Series<Histogram>,
    self_time: Series<Histogram>,
    critical_path: Series<Histogram>,
    /// Versions with the newest second each was seen in.
    versions: BTreeMap<Arc<str>, u32>,
}

/// The flows that ended, over time, and how long they took.
#[derive(Debug, Default)]
pub struct Flows {
    counts: Series<OperationCounts>,
    durations: Series<Histogram>,
}

impl Group {
    /// Adds one change; returns how many bytes the group grew. What an empty map entry takes is counted too, so
    /// that names alone can't fill the memory.
    pub fn add(&mut self, window_s: u32, what: &What) -> usize {
        let recent = &self.recent;
        if !matches!(what, What::Service { .. }) {
            let (oldest_s, newest_s) = self.seen_s.unwrap_or((window_s, window_s));
            self.seen_s = Some((oldest_s.min(window_s), newest_s.max(window_s)));
        }
        match what {
            What::Edge { client, server, calls } => {
                let before = self.edges.len();
                let edge = self.edges.entry((client.clone(), server.clone()));
                let grown = edge.or_insert_with(|| Kept::new(recent)).add(recent, window_s, calls);
                grown + (self.edges.len() - before) * Self::EDGE_BYTES
            }
            What::Service { node, requests } => {
                let before = self.services.len();
                let service = self.services.entry(node.clone());
                let grown = service.or_insert_with(|| Kept::new(recent)).add(recent, window_s, requests);
                grown + (self.services.len() - before) * Self::SERVICE_BYTES
            }
            What::Operation { flows } => self.flows.add(recent, window_s, flows),
        }
    }

    /// Adds what happened in some seconds to a graph.
    pub fn add_to(&self, graph: &mut Environment, seconds: Seconds) {
        let windows = seconds.windows();
        for ((client, server), edge) in self.edges() {
            if edge.seen_since(seconds.from_s) {
                edge.add_to(graph.edge(client, server), &windows);
            }
        }
        for (node, service) in self.services() {
            if service.seen_since(seconds.from_s) {
                service.add_to(graph.service(node), &windows);
            }
        }
    }

    /// The same, and the flows that ended, for the last `length_s` seconds. Sums are kept for whoever asks next.
    pub fn add_recent_to(
        &mut self,
        (graph, flows): (&mut Environment, &mut FlowTotals),
        length_s: u32,
        seconds: Seconds,
    ) {
        let Some(at) = self.keep(length_s, seconds) else {
            self.add_to(graph, seconds);
            return self.flows().add_to(flows, &seconds.windows());
        };
        for (id, edge) in &self.edges {
            if edge.over_time.seen_since(seconds.from_s) {
                graph.add_edge(id.clone(), edge.sums[at].clone());
            }
        }
        for (node, service) in &self.services {
            if service.over_time.seen_since(seconds.from_s) {
                graph.add_service(node.clone(), service.sums[at].clone());
            }
        }
        flows.add(&self.flows.sums[at]);
    }

    /// Every edge, by caller and callee.
    pub fn edges(&self) -> impl Iterator<Item = (&EdgeId, &Edge)> {
        self.edges.iter().map(|(id, edge)| (id, &edge.over_time))
    }

    /// Every service.
    pub fn services(&self) -> impl Iterator<Item = (&Arc<Node>, &Service)> {
        self.services.iter().map(|(node, service)| (node, &service.over_time))
    }

    /// The flows that ended.
    pub fn flows(&self) -> &Flows {
        &self.flows.over_time
    }

    /// Raw calls in `[from_s, to_s)`.
    pub fn calls(&self, from_s: u32, to_s: u32) -> i64 {
        self.edges().map(|(_, edge)| edge.counts.sum(from_s, to_s).raw_calls).sum()
    }

    /// Forgets windows before `from_s`, and sums that nobody has asked for of late; returns how many bytes the former
    /// freed.
    pub fn forget_before(&mut self, from_s: u32, now_s: u32) -> usize {
        self.forget_unasked(now_s.saturating_sub(UNASKED_S));
        for at in 0..self.recent.len() {
            let Seconds { from_s: first_s, to_s } = self.recent[at].seconds;
            self.move_on(at, Seconds { from_s: first_s.max(from_s), to_s: to_s.max(from_s) });
        }
        let mut freed = self.flows.over_time.forget_before(from_s);
        self.edges.retain(|_, kept| {
            freed += kept.over_time.forget_before(from_s);
            let keep = !kept.over_time.is_empty();
            freed += if keep { 0 } else { Self::EDGE_BYTES };
            keep
        });
        self.services.retain(|_, kept| {
            freed += kept.over_time.forget_before(from_s);
            let keep = !kept.over_time.is_empty();
            freed += if keep { 0 } else { Self::SERVICE_BYTES };
            keep
        });
        self.seen_s = self.still_seen();
        freed
    }

    /// The oldest second anything is known of.
    pub fn oldest_s(&self) -> Option<u32> {
        self.seen_s.map(|(oldest_s, _)| oldest_s)
    }

    /// The newest second anything is known of.
    pub fn newest_s(&self) -> Option<u32> {
        self.seen_s.map(|(_, newest_s)| newest_s)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty() && self.services.is_empty() && self.flows().counts.is_empty()
    }

    /// Where the sums of the last `length_s` seconds are, which are these now. None where too many lengths are asked
    /// for.
    fn keep(&mut self, length_s: u32, seconds: Seconds) -> Option<usize> {
        let known = self.recent.iter().position(|recent| recent.length_s == length_s);
        let at = match known {
            Some(at) => at,
            None if self.recent.len() >= MOST_RECENT => return None,
            None => {
                self.recent.push(Recent { length_s, seconds: Seconds::default(), asked_s: 0 });
                self.edges.values_mut().for_each(|edge| edge.sums.push(Arc::default()));
                self.services.values_mut().for_each(|service| service.sums.push(Arc::default()));
                self.flows.sums.push(Arc::default());
                self.recent.len() - 1
            }
        };
        self.move_on(at, seconds);
        self.recent[at].asked_s = seconds.to_s;
        Some(at)
    }

    fn move_on(&mut self, at: usize, next: Seconds) {
        let before = std::mem::replace(&mut self.recent[at].seconds, next);
        if before != next {
            self.edges.values_mut().for_each(|edge| edge.move_on(at, before, next));
            self.services.values_mut().for_each(|service| service.move_on(at, before, next));
            self.flows.move_on(at, before, next);
        }
    }

    fn still_seen(&self) -> Option<(u32, u32)> {
        let edges = self.edges().filter_map(|(_, edge)| edge.counts.oldest_s().zip(edge.counts.newest_s()));
        let flows = &self.flows().counts;
        let all = edges.chain(flows.oldest_s().zip(flows.newest_s()));
        all.reduce(|seen, other| (seen.0.min(other.0), seen.1.max(other.1)))
    }

    fn forget_unasked(&mut self, before_s: u32) {
        while let Some(at) = self.recent.iter().position(|recent| recent.asked_s < before_s) {
            self.recent.remove(at);
            self.edges.values_mut().for_each(|edge| drop(edge.sums.remove(at)));
            self.services.values_mut().for_each(|service| drop(service.sums.remove(at)));
            self.flows.sums.remove(at);
        }
    }

    const EDGE_BYTES: usize = size_of::<(EdgeId, Kept<Edge>)>() + 64;
    const SERVICE_BYTES: usize = size_of::<(Arc<Node>, Kept<Service>)>() + 64;
}

impl Edge {
    /// Newest second that anything is known of.
    pub fn newest_s(&self) -> Option<u32> {
        self.counts.newest_s()
    }

    fn seen_since(&self, from_s: u32) -> bool {
        self.newest_s().is_some_and(|newest_s| newest_s >= from_s)
    }

    fn forget_before(&mut self, from_s: u32) -> usize {
        let ten_s = touching(from_s);
        self.counts.forget_before(from_s)
            + self.callee.forget_before(ten_s)
            + self.caller.forget_before(ten_s)
            + self.wait.forget_before(ten_s)
    }

    fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.callee.is_empty() && self.caller.is_empty()
    }
}

impl Service {
    /// Newest second that anything is known of.
    pub fn newest_s(&self) -> Option<u32> {
        self.counts.newest_s()
    }

    fn seen_since(&self, from_s: u32) -> bool {
        self.newest_s().is_some_and(|newest_s| newest_s >= from_s)
    }

    fn forget_before(&mut self, from_s: u32) -> usize {
        let ten_s = touching(from_s);
        self.versions.retain(|_, newest_s| *newest_s >= from_s);
        self.counts.forget_before(from_s)
            + self.latency.forget_before(ten_s)
            + self.self_time.forget_before(ten_s)
            + self.critical_path.forget_before(ten_s)
    }

    fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.latency.is_empty()
    }
}

impl Flows {
    fn forget_before(&mut self, from_s: u32) -> usize {
        self.counts.forget_before(from_s) + self.durations.forget_before(touching(from_s))
    }
}

impl OverTime for Edge {
    type Totals = EdgeTotals;

    fn add(&mut self, window_s: u32, change: &EdgeTotals) -> usize {
        let ten_s = touching(window_s);
        self.counts.add(window_s, &change.counts)
            + self.callee.add(ten_s, &change.callee)
            + self.caller.add(ten_s, &change.caller)
            + self.wait.add(ten_s, &change.wait)
    }

    fn add_to(&self, totals: &mut EdgeTotals, Windows { counts, histograms }: &Windows) {
        self.counts.add_to(&mut totals.counts, counts);
        self.callee.add_to(&mut totals.callee, histograms);
        self.caller.add_to(&mut totals.caller, histograms);
        self.wait.add_to(&mut totals.wait, histograms);
    }

    fn take_from(&self, totals: &mut EdgeTotals, Windows { counts, histograms }: &Windows) {
        self.counts.take_from(&mut totals.counts, counts);
        self.callee.take_from(&mut totals.callee, histograms);
        self.caller.take_from(&mut totals.caller, histograms);
        self.wait.take_from(&mut totals.wait, histograms);
    }
}

impl OverTime for Service {
    type Totals = ServiceTotals;

    fn add(&mut self, window_s: u32, change: &ServiceTotals) -> usize {
        for version in &change.versions {
            let newest_s = self.versions.entry(version.clone()).or_default();
            *newest_s = window_s.max(*newest_s);
        }
        let ten_s = touching(window_s);
        self.counts.add(window_s, &change.counts)
            + self.latency.add(ten_s, &change.latency)
            + self.self_time.add(ten_s, &change.self_time)
            + self.critical_path.add(ten_s, &change.critical_path)
    }

    fn add_to(&self, totals: &mut ServiceTotals, Windows { counts, histograms }: &Windows) {
        self.counts.add_to(&mut totals.counts, counts);
        self.latency.add_to(&mut totals.latency, histograms);
        self.self_time.add_to(&mut totals.self_time, histograms);
        self.critical_path.add_to(&mut totals.critical_path, histograms);
        let recent = self.versions.iter().filter(|(_, newest_s)| **newest_s >= counts.start);
        totals.versions.extend(recent.map(|(version, _)| version.clone()));
    }

    fn take_from(&self, totals: &mut ServiceTotals, Windows { counts, histograms }: &Windows) {
        self.counts.take_from(&mut totals.counts, counts);
        self.latency.take_from(&mut totals.latency, histograms);
        self.self_time.take_from(&mut totals.self_time, histograms);
        self.critical_path.take_from(&mut totals.critical_path, histograms);
        totals
            .versions
            .retain(|version| self.versions.get(version).is_some_and(|newest_s| *newest_s >= counts.end));
    }
}

impl OverTime for Flows {
    type Totals = FlowTotals;

    fn add(&mut self, window_s: u32, change: &FlowTotals) -> usize {
        self.counts.add(window_s, &change.counts) + self.durations.add(touching(window_s), &change.durations)
    }

    fn add_to(&self, totals: &mut FlowTotals, Windows { counts, histograms }: &Windows) {
        self.counts.add_to(&mut totals.counts, counts);
        self.durations.add_to(&mut totals.durations, histograms);
    }

    fn take_from(&self, totals: &mut FlowTotals, Windows { counts, histograms }: &Windows) {
        self.counts.take_from(&mut totals.counts, counts);
        self.durations.take_from(&mut totals.durations, histograms);
    }
}

/// Start of the ten seconds that `second` lies in.
pub fn touching(second: u32) -> u32 {
    second - second % HISTOGRAM_S
}
