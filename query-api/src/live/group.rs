//! What is kept of one operation in one environment: counts by the second, histograms by ten seconds.

use crate::builder::Environment;
use crate::change::What;
use crate::counts::{EdgeCounts, OperationCounts, ServiceCounts};
use crate::histogram::Histogram;
use crate::node::Node;
use crate::series::Series;
use crate::totals::{EdgeTotals, ServiceTotals};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Width of a histogram's window: percentiles don't need the second, and buckets are what takes the room.
pub const HISTOGRAM_S: u32 = 10;

/// The graph of one operation in one environment over time.
#[derive(Debug, Default)]
pub struct Group {
    edges: HashMap<(Arc<Node>, Arc<Node>), Edge>,
    services: HashMap<Arc<Node>, Service>,
    /// Flows that ended.
    pub flows: Series<OperationCounts>,
    /// How long they took.
    pub durations: Series<Histogram>,
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

impl Group {
    /// Adds one change; returns how many bytes the group grew. What an empty map entry takes is counted too, so
    /// that names alone can't fill the memory.
    pub fn add(&mut self, window_s: u32, what: &What) -> usize {
        let ten_s = window_s - window_s % HISTOGRAM_S;
        match what {
            What::Edge { client, server, counts, callee, caller, wait } => {
                let before = self.edges.len();
                let edge = self.edges.entry((client.clone(), server.clone())).or_default();
                let grown = edge.counts.add(window_s, counts)
                    + edge.callee.add(ten_s, callee)
                    + edge.caller.add(ten_s, caller)
                    + edge.wait.add(ten_s, wait);
                grown + (self.edges.len() - before) * Self::EDGE_BYTES
            }
            What::Service { node, version, counts, latency, self_time, critical_path } => {
                let before = self.services.len();
                let service = self.services.entry(node.clone()).or_default();
                let newest = service.versions.entry(version.clone()).or_default();
                *newest = window_s.max(*newest);
                let grown = service.counts.add(window_s, counts)
                    + service.latency.add(ten_s, latency)
                    + service.self_time.add(ten_s, self_time)
                    + service.critical_path.add(ten_s, critical_path);
                grown + (self.services.len() - before) * Self::SERVICE_BYTES
            }
            What::Operation { counts, duration } => {
                self.flows.add(window_s, counts) + self.durations.add(ten_s, duration)
            }
        }
    }

    /// Adds what happened in `[from_s, to_s)` to a graph. Percentiles come from every ten seconds that touch it.
    pub fn add_to(&self, graph: &mut Environment, from_s: u32, to_s: u32) {
        for ((client, server), edge) in self.edges.iter().filter(|(_, edge)| edge.seen_since(from_s)) {
            edge.add_to(graph.edge(client, server), from_s, to_s);
        }
        for (node, service) in self.services.iter().filter(|(_, service)| service.seen_since(from_s)) {
            service.add_to(graph.service(node), from_s, to_s);
        }
    }

    /// Every edge, by caller and callee.
    pub fn edges(&self) -> impl Iterator<Item = (&(Arc<Node>, Arc<Node>), &Edge)> {
        self.edges.iter()
    }

    /// Every service.
    pub fn services(&self) -> impl Iterator<Item = (&Arc<Node>, &Service)> {
        self.services.iter()
    }

    /// Raw calls in `[from_s, to_s)`.
    pub fn calls(&self, from_s: u32, to_s: u32) -> i64 {
        self.edges.values().map(|edge| edge.counts.sum(from_s, to_s).raw_calls).sum()
    }

    /// Forgets windows before `from_s`; returns how many bytes that freed.
    pub fn forget_before(&mut self, from_s: u32) -> usize {
        let ten_s = touching(from_s);
        let mut freed = self.flows.forget_before(from_s) + self.durations.forget_before(ten_s);
        self.edges.retain(|_, edge| {
            freed += edge.counts.forget_before(from_s)
                + edge.callee.forget_before(ten_s)
                + edge.caller.forget_before(ten_s)
                + edge.wait.forget_before(ten_s);
            let keep = !(edge.counts.is_empty() && edge.callee.is_empty() && edge.caller.is_empty());
            freed += if keep { 0 } else { Self::EDGE_BYTES };
            keep
        });
        self.services.retain(|_, service| {
            freed += service.counts.forget_before(from_s)
                + service.latency.forget_before(ten_s)
                + service.self_time.forget_before(ten_s)
                + service.critical_path.forget_before(ten_s);
            service.versions.retain(|_, newest_s| *newest_s >= from_s);
            let keep = !(service.counts.is_empty() && service.latency.is_empty());
            freed += if keep { 0 } else { Self::SERVICE_BYTES };
            keep
        });
        freed
    }

    /// The oldest second anything is known of.
    pub fn oldest_s(&self) -> Option<u32> {
        let edges = self.edges.values().filter_map(|edge| edge.counts.oldest_s());
        edges.chain(self.flows.oldest_s()).min()
    }

    /// The newest second anything is known of.
    pub fn newest_s(&self) -> Option<u32> {
        let edges = self.edges.values().filter_map(|edge| edge.counts.newest_s());
        edges.chain(self.flows.newest_s()).max()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty() && self.services.is_empty() && self.flows.is_empty()
    }

    const EDGE_BYTES: usize = size_of::<((Arc<Node>, Arc<Node>), Edge)>() + 64;
    const SERVICE_BYTES: usize = size_of::<(Arc<Node>, Service)>() + 64;
}

impl Edge {
    /// Adds what happened in `[from_s, to_s)`. Percentiles come from every ten seconds that touch it.
    pub fn add_to(&self, totals: &mut EdgeTotals, from_s: u32, to_s: u32) {
        let ten_s = touching(from_s);
        self.counts.sum_into(&mut totals.counts, from_s, to_s);
        self.callee.sum_into(&mut totals.callee, ten_s, to_s);
        self.caller.sum_into(&mut totals.caller, ten_s, to_s);
        self.wait.sum_into(&mut totals.wait, ten_s, to_s);
    }

    /// Newest second that anything is known of.
    pub fn newest_s(&self) -> Option<u32> {
        self.counts.newest_s()
    }

    fn seen_since(&self, from_s: u32) -> bool {
        self.newest_s().is_some_and(|newest_s| newest_s >= from_s)
    }
}

impl Service {
    /// As [`Edge::add_to`].
    pub fn add_to(&self, totals: &mut ServiceTotals, from_s: u32, to_s: u32) {
        let ten_s = touching(from_s);
        self.counts.sum_into(&mut totals.counts, from_s, to_s);
        self.latency.sum_into(&mut totals.latency, ten_s, to_s);
        self.self_time.sum_into(&mut totals.self_time, ten_s, to_s);
        self.critical_path.sum_into(&mut totals.critical_path, ten_s, to_s);
        let recent = self.versions.iter().filter(|(_, newest_s)| **newest_s >= from_s);
        totals.versions.extend(recent.map(|(version, _)| version.to_string()));
    }

    /// Newest second that anything is known of.
    pub fn newest_s(&self) -> Option<u32> {
        self.counts.newest_s()
    }

    fn seen_since(&self, from_s: u32) -> bool {
        self.newest_s().is_some_and(|newest_s| newest_s >= from_s)
    }
}

/// Start of the ten seconds that `second` lies in.
pub fn touching(second: u32) -> u32 {
    second - second % HISTOGRAM_S
}
