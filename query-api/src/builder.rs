//! From windows of any number and source to the totals of one graph.

use crate::join::joins;
use crate::node::Node;
use crate::series::Additive;
use crate::totals::{EdgeId, EdgeTotals, ServiceTotals, Totals, both};
use hashbrown::HashSet;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Adds up totals by environment, because a name means something within its environment only.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    environments: BTreeMap<Arc<str>, Environment>,
}

/// One environment's part.
#[derive(Debug, Default)]
pub struct Environment {
    totals: Totals,
    known: Vec<Arc<Node>>,
}

impl GraphBuilder {
    /// An environment's part, to add to.
    pub fn within(&mut self, environment: impl Into<Arc<str>>) -> &mut Environment {
        self.environments.entry(environment.into()).or_default()
    }

    /// All environments together, names joined. What corrections have brought to nothing is left out.
    pub fn join(self) -> Totals {
        self.join_each().into_values().reduce(Totals::with).unwrap_or_default()
    }

    /// The same, each environment by itself.
    pub fn join_each(self) -> BTreeMap<Arc<str>, Totals> {
        self.environments.into_iter().map(|(name, environment)| (name, environment.join())).collect()
    }
}

impl Environment {
    /// The totals of an edge, to add to.
    pub fn edge(&mut self, client: &Arc<Node>, server: &Arc<Node>) -> &mut EdgeTotals {
        Arc::make_mut(self.totals.edges.entry((client.clone(), server.clone())).or_default())
    }

    /// Adds to the totals of an edge.
    pub fn add_edge(&mut self, id: EdgeId, totals: Arc<EdgeTotals>) {
        self.totals.add_edge(id, totals);
    }

    /// Adds to the totals of a service.
    pub fn add_service(&mut self, node: Arc<Node>, totals: Arc<ServiceTotals>) {
        self.totals.add_service(node, totals);
    }

    /// The totals of a service, to add to.
    pub fn service(&mut self, node: &Arc<Node>) -> &mut ServiceTotals {
        Arc::make_mut(self.totals.services.entry(node.clone()).or_default())
    }

    /// A service that names can mean even if it takes no part in the graph.
    pub fn know(&mut self, service: &Arc<Node>) {
        self.known.push(service.clone());
    }

    fn join(mut self) -> Totals {
        self.totals.edges.retain(|_, edge| !edge.counts.is_zero());
        self.totals.services.retain(|_, service| !service.counts.is_zero());
        let joins = joins(&self.nodes());
        self.totals.join(&joins);
        self.totals
    }

    /// Everybody in the graph, and whoever else is known.
    fn nodes(&self) -> HashSet<&Arc<Node>> {
        let ends = self.totals.edges.keys().flat_map(both);
        let nodes = self.known.iter().chain(ends).chain(self.totals.services.keys());
        // Live state shares its nodes, so comparing pointers first spares comparing most of the names.
        let mut seen = HashSet::new();
        nodes.filter(|node| seen.insert(Arc::as_ptr(node))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::{EdgeCounts, ServiceCounts};
    use crate::histogram::Histogram;
    use crate::node::Kind;

    fn service(namespace: &str, name: &str) -> Arc<Node> {
        let (cluster, namespace, name) = (String::new(), namespace.to_owned(), name.to_owned());
        Arc::new(Node { cluster, namespace, name, kind: Kind::Service })
    }

    fn peer(name: &str) -> Arc<Node> {
        Arc::new(Node { kind: Kind::External, ..(*service("", name)).clone() })
    }

    /// Calls of which all are complete as far as the stitcher can tell.
    fn calls(calls: i64, errors: i64) -> EdgeTotals {
        let counts = EdgeCounts {
            calls: calls * 1_000,
            errors: errors * 1_000,
            paired: calls * 1_000,
            raw_calls: calls,
            ..EdgeCounts::default()
        };
        EdgeTotals { counts, ..EdgeTotals::default() }
    }

    /// Adds calls of `checkout` in the namespace shop.
    fn call(builder: &mut GraphBuilder, environment: &str, server: &Arc<Node>, totals: &EdgeTotals) {
        let edge = builder.within(environment).edge(&service("shop", "checkout"), server);
        edge.counts.add(&totals.counts);
        edge.callee.add(&totals.callee);
        edge.caller.add(&totals.caller);
    }

    fn answer(builder: &mut GraphBuilder, environment: &str, node: &Arc<Node>, requests: i64) {
        let counts = ServiceCounts { requests: requests * 1_000, ..ServiceCounts::default() };
        builder.within(environment).service(node).counts.add(&counts);
    }

    /// Callee, calls and calls seen from both sides of every edge.
    fn edges(totals: &Totals) -> Vec<(String, i64, i64)> {
        let shown = |((_, server), edge): (&EdgeId, &Arc<EdgeTotals>)| {
            (server.to_string(), edge.counts.raw_calls, edge.counts.paired / 1_000)
        };
        totals.edges.iter().map(shown).collect()
    }

    fn requests(totals: &Totals, node: &Arc<Node>) -> Option<i64> {
        totals.nodes().get(node).map(|node| node.counts.requests / 1_000)
    }

    #[test]
    fn a_joined_edge_holds_all_calls_and_knows_how_many_were_seen_twice() {
        let mut builder = GraphBuilder::default();
        let latency = |us, count| Histogram::from_buckets([(us, count)], i64::from(us) * count).0;
        let seen = EdgeTotals { callee: latency(100, 6), caller: latency(120, 6), ..calls(6, 1) };
        call(&mut builder, "prod", &service("shop", "payment"), &seen);
        let unseen = EdgeTotals { caller: latency(200, 2), ..calls(2, 2) };
        call(&mut builder, "prod", &peer("payment:8080"), &unseen);
        let totals = builder.join();
        assert_eq!(edges(&totals), [("shop/payment".to_owned(), 8, 6)]);
        let edge = totals.edges.values().next().unwrap();
        assert_eq!((edge.counts.errors, edge.caller.count(), edge.callee.count()), (3_000, 8, 6));
        assert_eq!(edge.latency().1, Some("callee"));
    }

    #[test]
    fn calls_that_nobody_answered_are_not_added_to_requests() {
        let mut builder = GraphBuilder::default();
        let payment = service("shop", "payment");
        answer(&mut builder, "prod", &payment, 6);
        call(&mut builder, "prod", &peer("payment"), &calls(2, 0));
        let totals = builder.join();
        assert_eq!((requests(&totals, &payment), edges(&totals)[0].1), (Some(6), 2));
    }

    #[test]
    fn a_service_that_counted_nothing_is_known_by_the_calls_to_it() {
        let mut builder = GraphBuilder::default();
        let payment = service("shop", "payment");
        builder.within("prod").know(&payment);
        call(&mut builder, "prod", &peer("payment"), &calls(2, 1));
        call(&mut builder, "prod", &peer("payment.shop.svc.cluster.local"), &calls(3, 0));
        let totals = builder.join();
        assert_eq!(
            (edges(&totals), requests(&totals, &payment)),
            (vec![("shop/payment".into(), 5, 0)], Some(5))
        );
        let joined: Vec<String> = totals.joined[&payment].iter().map(ToString::to_string).collect();
        assert_eq!(joined, ["external:payment", "external:payment.shop.svc.cluster.local"]);
        assert_eq!(totals.nodes().len(), 2, "the caller, and one callee");
    }

    #[test]
    fn unqualified_services_bring_their_requests_and_what_was_paired_stays_so() {
        let mut builder = GraphBuilder::default();
        let (payment, bare) = (service("shop", "payment"), service("", "payment"));
        for (node, requests) in [(&payment, 6), (&bare, 4)] {
            answer(&mut builder, "prod", node, requests);
            call(&mut builder, "prod", node, &calls(requests, 0));
        }
        let totals = builder.join();
        assert_eq!(edges(&totals), [("shop/payment".to_owned(), 10, 10)]);
        assert_eq!((requests(&totals, &payment), requests(&totals, &bare)), (Some(10), None));
    }

    #[test]
    fn each_environment_decides_for_itself() {
        let mut builder = GraphBuilder::default();
        let payment = service("shop", "payment");
        for environment in ["dev", "prod", "staging"] {
            call(&mut builder, environment, &peer("payment"), &calls(1, 0));
        }
        builder.within("prod").know(&payment);
        builder.within("staging").know(&payment);
        builder.within("staging").know(&service("billing", "payment"));
        let mut found = edges(&builder.join());
        found.sort();
        assert_eq!(found, [("external:payment".to_owned(), 2, 2), ("shop/payment".to_owned(), 1, 0)]);
    }

    #[test]
    fn a_call_to_itself_becomes_a_loop_and_is_not_lost() {
        let mut builder = GraphBuilder::default();
        call(&mut builder, "prod", &peer("checkout.shop.svc"), &calls(3, 0));
        let totals = builder.join();
        assert_eq!(edges(&totals), [("shop/checkout".to_owned(), 3, 0)]);
        assert_eq!(totals.nodes().len(), 1);
    }

    #[test]
    fn a_caller_that_only_its_callee_named_joins_too() {
        let mut builder = GraphBuilder::default();
        let (web, payment) = (service("shop", "web"), service("shop", "payment"));
        builder.within("prod").know(&web);
        builder.within("prod").edge(&peer("web"), &payment).counts.add(&calls(2, 0).counts);
        let totals = builder.join();
        let ids: Vec<_> = totals.edges.keys().map(|(client, _)| client.clone()).collect();
        assert_eq!((ids, edges(&totals)[0].2), (vec![web], 0));
    }

    #[test]
    fn what_corrections_took_back_neither_joins_nor_is_joined() {
        let mut builder = GraphBuilder::default();
        for (node, requests) in
            [(&service("shop", "payment"), [2, -2]), (&service("billing", "payment"), [1, 1])]
        {
            requests.iter().for_each(|requests| answer(&mut builder, "prod", node, *requests));
        }
        call(&mut builder, "prod", &peer("payment"), &calls(1, 0));
        call(&mut builder, "prod", &peer("checkout"), &calls(1, 0));
        call(&mut builder, "prod", &peer("checkout"), &calls(-1, 0));
        let totals = builder.join();
        assert_eq!(edges(&totals), [("billing/payment".to_owned(), 1, 0)]);
        assert_eq!(totals.joined.len(), 1);
    }

    #[test]
    fn a_service_is_found_by_its_own_name_and_by_those_that_joined_it() {
        for asked in ["payment", "payment:8080"] {
            let mut builder = GraphBuilder::default();
            builder.within("prod").know(&service("shop", "payment"));
            call(&mut builder, "prod", &peer("payment:8080"), &calls(1, 0));
            call(&mut builder, "prod", &service("shop", "auth"), &calls(1, 0));
            let totals = builder.join().around(|node| node.name == asked);
            assert_eq!(edges(&totals), [("shop/payment".to_owned(), 1, 0)], "{asked}");
        }
    }

    #[test]
    fn the_calls_of_every_graph_are_as_many_joined_as_not() {
        let names =
            ["payment", "payment:80", "payment.shop.svc", "checkout", "auth.shop", "ip", "example.com"];
        let services =
            [("", "payment"), ("shop", "payment"), ("billing", "auth"), ("shop", "auth"), ("", "checkout")];
        // Each of 4,096 graphs leaves out other peers and services.
        for graph in 0..1_u32 << (names.len() + services.len()) {
            let has = |at: usize| graph & (1 << at) != 0;
            let mut builder = GraphBuilder::default();
            let mut expected = 0;
            for (at, name) in names.iter().enumerate().filter(|(at, _)| has(*at)) {
                call(&mut builder, "prod", &peer(name), &calls(1 << at, 0));
                expected += 1 << at;
            }
            for (at, (namespace, name)) in services.iter().enumerate().filter(|(at, _)| has(names.len() + at))
            {
                call(&mut builder, "prod", &service(namespace, name), &calls(1_000 << at, 0));
                expected += 1_000 << at;
            }
            let found: i64 = edges(&builder.join()).iter().map(|(_, calls, _)| calls).sum();
            assert_eq!(found, expected, "graph {graph}");
        }
    }
}
