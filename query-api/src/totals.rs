//! What is known of every edge and service over one range of time, names joined, before it becomes an answer.

use crate::counts::{EdgeCounts, OperationCounts, ServiceCounts};
use crate::histogram::Histogram;
use crate::join::Joins;
use crate::node::{Kind, Node};
use crate::series::Additive;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is known of somebody, to which more can be added.
pub trait Sum: Clone + Default {
    /// Adds all but the histograms of others.
    fn add_counts(&mut self, other: &Self);
    /// Adds the histograms of others.
    fn add_histograms(&mut self, other: &Self);
    /// Adds all of it.
    fn add(&mut self, other: &Self) {
        self.add_counts(other);
        self.add_histograms(other);
    }
}

/// Caller and callee.
pub type EdgeId = (Arc<Node>, Arc<Node>);

/// All edges and services of a range. Live state shares the sums that it keeps with every graph that shows them.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Calls, by who makes them and who gets them.
    pub edges: BTreeMap<EdgeId, Arc<EdgeTotals>>,
    /// Requests, by the service that counted them itself.
    pub services: BTreeMap<Arc<Node>, Arc<ServiceTotals>>,
    /// The nodes that joined a service, by that service.
    pub joined: BTreeMap<Arc<Node>, BTreeSet<Arc<Node>>>,
}

/// Everything known about one edge in the range.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct EdgeTotals {
    pub counts: EdgeCounts,
    pub callee: Histogram,
    pub caller: Histogram,
    pub wait: Histogram,
}

/// Everything known about one service in the range.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ServiceTotals {
    pub counts: ServiceCounts,
    pub latency: Histogram,
    pub self_time: Histogram,
    pub critical_path: Histogram,
    pub versions: BTreeSet<Arc<str>>,
}

/// Everything known about the flows of operations in the range.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct FlowTotals {
    pub counts: OperationCounts,
    pub durations: Histogram,
}

impl Totals {
    /// Moves everything of the nodes that join to the services they join.
    pub fn join(&mut self, joins: &Joins) {
        let joins_somebody = |id: &&EdgeId| both(id).iter().any(|node| joins.contains_key(*node));
        let joining: Vec<EdgeId> = self.edges.keys().filter(joins_somebody).cloned().collect();
        for id in joining {
            let Some(edge) = self.edges.remove(&id) else { continue };
            let edge = if was_complete_by_kind(&id, joins) { seen_from_one_side(edge) } else { edge };
            let id = (self.shown(id.0, joins), self.shown(id.1, joins));
            self.add_edge(id, edge);
        }
        for node in joins.keys() {
            if let Some(service) = self.services.remove(node) {
                let node = self.shown(node.clone(), joins);
                self.add_service(node, service);
            }
        }
    }

    /// Two sums in one.
    pub fn with(mut self, other: Self) -> Self {
        other.edges.into_iter().for_each(|(id, edge)| self.add_edge(id, edge));
        other.services.into_iter().for_each(|(node, service)| self.add_service(node, service));
        other.joined.into_iter().for_each(|(node, names)| self.joined.entry(node).or_default().extend(names));
        self
    }

    /// Nodes that differ only in their cluster become one.
    #[must_use]
    pub fn without_clusters(self) -> Self {
        let plain = |node: Arc<Node>| match &*node.cluster {
            "" => node,
            _ => Arc::new(Node { cluster: String::new(), ..(*node).clone() }),
        };
        let mut all = Self::default();
        for ((client, server), edge) in self.edges {
            all.add_edge((plain(client), plain(server)), edge);
        }
        for (node, service) in self.services {
            all.add_service(plain(node), service);
        }
        for (node, names) in self.joined {
            all.joined.entry(plain(node)).or_default().extend(names.into_iter().map(plain));
        }
        all
    }

    /// Adds an edge, or to the one that is there.
    pub fn add_edge(&mut self, id: EdgeId, edge: Arc<EdgeTotals>) {
        self.edges.entry(id).and_modify(|sum| Arc::make_mut(sum).add(&edge)).or_insert(edge);
    }

    /// Adds a service, or to the one that is there.
    pub fn add_service(&mut self, node: Arc<Node>, service: Arc<ServiceTotals>) {
        self.services.entry(node).and_modify(|sum| Arc::make_mut(sum).add(&service)).or_insert(service);
    }

    /// The node that answers show for a node.
    fn shown(&mut self, node: Arc<Node>, joins: &Joins) -> Arc<Node> {
        let Some(service) = joins.get(&node) else { return node };
        self.joined.entry(service.clone()).or_default().insert(node);
        service.clone()
    }

    /// A copy of the edges that begin or end at a matching service, and of the nodes of those edges. Who asks for a name
    /// that joined a service gets that service.
    #[must_use]
    pub fn around(&self, asked: impl Fn(&Node) -> bool) -> Self {
        let matches = |node: &Arc<Node>| {
            asked(node) || self.joined.get(node).is_some_and(|names| names.iter().any(|name| asked(name)))
        };
        let edges = self.edges.iter().filter(|((client, server), _)| matches(client) || matches(server));
        let edges: BTreeMap<EdgeId, Arc<EdgeTotals>> =
            edges.map(|(id, totals)| (id.clone(), totals.clone())).collect();
        let touched: BTreeSet<&Arc<Node>> = edges.keys().flat_map(both).collect();
        let services = self.services.iter().filter(|(node, _)| touched.contains(node) || matches(node));
        let services = services.map(|(node, totals)| (node.clone(), totals.clone())).collect();
        Self { services, joined: self.joined.clone(), edges }
    }

    /// Every node of the graph with its requests. What a service counted itself is all of it: calls whose server span
    /// nobody saw are not added, because the service may have counted them under another caller, where the context got
    /// lost on the way. Whoever counted nothing is known by the calls to it, or, if nobody calls it, by the calls it
    /// makes.
    pub fn nodes(&self) -> BTreeMap<&Arc<Node>, Arc<ServiceTotals>> {
        let own = self.services.iter().map(|(node, requests)| (node, requests.clone()));
        let mut nodes: BTreeMap<_, _> = own.collect();
        for end in [1, 0] {
            let mut others: BTreeMap<&Arc<Node>, ServiceTotals> = BTreeMap::new();
            for (id, calls) in &self.edges {
                let node = both(id)[end];
                if !nodes.contains_key(node) {
                    others.entry(node).or_default().add_calls(calls);
                }
            }
            nodes.extend(others.into_iter().map(|(node, requests)| (node, Arc::new(requests))));
        }
        nodes
    }
}

/// The two ends of an edge.
pub fn both((client, server): &EdgeId) -> [&Arc<Node>; 2] {
    [client, server]
}

/// A peer that emits no spans counts as seen from both sides. If it joins, it turns out to be one that does.
fn was_complete_by_kind(id: &EdgeId, joins: &Joins) -> bool {
    both(id).iter().any(|node| node.kind == Kind::External && joins.contains_key(*node))
}

impl EdgeTotals {
    /// The callee's own measurement where there is one, else the caller's.
    pub fn latency(&self) -> (&Histogram, Option<&'static str>) {
        if self.callee.count() > 0 {
            (&self.callee, Some("callee"))
        } else if self.caller.count() > 0 {
            (&self.caller, Some("caller"))
        } else {
            (&self.caller, None)
        }
    }
}

impl ServiceTotals {
    /// Adds calls as if the callee had counted them.
    pub fn add_calls(&mut self, edge: &EdgeTotals) {
        self.counts.add(&ServiceCounts {
            requests: edge.counts.calls,
            errors: edge.counts.errors,
            client_errors: edge.counts.client_errors,
            raw_requests: edge.counts.raw_calls,
        });
        self.latency.add(edge.latency().0);
    }
}

fn seen_from_one_side(mut edge: Arc<EdgeTotals>) -> Arc<EdgeTotals> {
    Arc::make_mut(&mut edge).counts.paired = 0;
    edge
}

impl Sum for EdgeTotals {
    fn add_counts(&mut self, other: &Self) {
        self.counts.add(&other.counts);
    }

    fn add_histograms(&mut self, other: &Self) {
        self.callee.add(&other.callee);
        self.caller.add(&other.caller);
        self.wait.add(&other.wait);
    }
}

impl Sum for ServiceTotals {
    fn add_counts(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.versions.extend(other.versions.iter().cloned());
    }

    fn add_histograms(&mut self, other: &Self) {
        self.latency.add(&other.latency);
        self.self_time.add(&other.self_time);
        self.critical_path.add(&other.critical_path);
    }
}

impl Sum for FlowTotals {
    fn add_counts(&mut self, other: &Self) {
        self.counts.add(&other.counts);
    }

    fn add_histograms(&mut self, other: &Self) {
        self.durations.add(&other.durations);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_can_be_left_out() {
        let node = |cluster: &str, name: &str| {
            let (cluster, namespace, name) = (cluster.to_owned(), "shop".to_owned(), name.to_owned());
            Arc::new(Node { cluster, namespace, name, kind: Kind::Service })
        };
        let mut totals = Totals::default();
        for (cluster, calls) in [("eu", 2), ("us", 3), ("", 4)] {
            let counts = EdgeCounts { calls, ..EdgeCounts::default() };
            let calls = EdgeTotals { counts, ..EdgeTotals::default() };
            totals.add_edge((node(cluster, "web"), node(cluster, "auth")), calls.into());
            let counts = ServiceCounts { requests: 10, ..ServiceCounts::default() };
            let requests = ServiceTotals { counts, ..ServiceTotals::default() };
            totals.add_service(node(cluster, "auth"), requests.into());
            totals.joined.insert(node(cluster, "auth"), [node(cluster, "auth:80")].into());
        }
        let all = totals.without_clusters();
        let edges: Vec<_> =
            all.edges.iter().map(|(id, edge)| (id.1.to_string(), edge.counts.calls)).collect();
        assert_eq!(edges, [("shop/auth".to_owned(), 9)]);
        assert_eq!(all.services[&node("", "auth")].counts.requests, 30);
        assert_eq!(all.joined[&node("", "auth")], [node("", "auth:80")].into());
    }

    #[test]
    fn requests_come_from_the_best_source_alone() {
        let node = |name: &str| {
            let (cluster, namespace, name) = (String::new(), String::new(), name.to_owned());
            Arc::new(Node { cluster, namespace, name, kind: Kind::Service })
        };
        let mut totals = Totals::default();
        for (client, server, calls) in [("web", "auth", 7), ("web", "user", 2), ("auth", "user", 1)] {
            let counts = EdgeCounts { calls: calls * 1_000, ..EdgeCounts::default() };
            let calls = EdgeTotals { counts, ..EdgeTotals::default() };
            totals.edges.insert((node(client), node(server)), calls.into());
        }
        let counts = ServiceCounts { requests: 5_000, ..ServiceCounts::default() };
        totals.services.insert(node("auth"), ServiceTotals { counts, ..ServiceTotals::default() }.into());
        let nodes = totals.nodes();
        let requests = |name| nodes[&node(name)].counts.requests / 1_000;
        assert_eq!(requests("auth"), 5, "calls are never added to own requests");
        assert_eq!(requests("user"), 3, "those who call it say how often");
        assert_eq!(requests("web"), 9, "nobody calls it");
    }
}
