//! A graph with several nodes in one. Sums and histograms are merged, so a group's numbers are exact.

use crate::node::{Kind, Node};
use crate::totals::Totals;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// What becomes one node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// A service.
    #[default]
    Service,
    /// All services of a namespace; whatever has none stays as it is.
    Namespace,
    /// Each version of a service. Callers are told apart only where one version of them was seen: tables don't say
    /// which version of a caller made a call.
    Version,
    /// All services of a cluster; whatever has none stays as it is.
    Cluster,
}

/// The graph of namespaces or clusters: every node is replaced by its group.
pub fn grouped(totals: &Totals, group: Group) -> Totals {
    let mut groups: BTreeMap<&Arc<Node>, Arc<Node>> = BTreeMap::new();
    let mut sum = Totals::default();
    for (node, requests) in totals.nodes() {
        let of = group_of(node, group);
        // By node: what counted nothing itself is known by calls, and may stand beside what counted its own requests.
        sum.add_service(of.clone(), requests);
        groups.insert(node, of);
    }
    for ((client, server), calls) in &totals.edges {
        let of = |node: &Arc<Node>| groups.get(node).unwrap_or(node).clone();
        sum.add_edge((of(client), of(server)), calls.clone());
    }
    sum
}

fn group_of(node: &Arc<Node>, group: Group) -> Arc<Node> {
    let named = |cluster: &str, name: &str, kind| {
        let (cluster, namespace, name) = (cluster.to_owned(), String::new(), name.to_owned());
        Arc::new(Node { cluster, namespace, name, kind })
    };
    match group {
        Group::Namespace if !node.namespace.is_empty() => {
            named(&node.cluster, &node.namespace, Kind::Namespace)
        }
        Group::Cluster if !node.cluster.is_empty() => named("", &node.cluster, Kind::Cluster),
        _ => node.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::{EdgeCounts, ServiceCounts};
    use crate::histogram::Histogram;
    use crate::totals::{EdgeTotals, ServiceTotals};

    fn node(kind: Kind, namespace: &str, name: &str) -> Arc<Node> {
        let cluster = if namespace.is_empty() { String::new() } else { "eu".to_owned() };
        Arc::new(Node { cluster, namespace: namespace.to_owned(), name: name.to_owned(), kind })
    }

    fn calls(calls: i64, us: i64) -> Arc<EdgeTotals> {
        let bucket = u32::from(stitcher::histogram::bucket_of(us as u64));
        let callee = Histogram::from_buckets([(bucket, calls)], us * calls).0;
        let counts = EdgeCounts { calls, raw_calls: calls, ..EdgeCounts::default() };
        EdgeTotals { counts, callee, ..EdgeTotals::default() }.into()
    }

    fn shop() -> Totals {
        let (web, cart, pay) = (
            node(Kind::Service, "shop", "web"),
            node(Kind::Service, "shop", "cart"),
            node(Kind::Service, "bank", "pay"),
        );
        let database = node(Kind::Database, "", "orders");
        let mut totals = Totals::default();
        totals.edges.insert((web.clone(), cart.clone()), calls(4_000, 100));
        totals.edges.insert((web, pay.clone()), calls(1_000, 900));
        totals.edges.insert((cart.clone(), pay.clone()), calls(3_000, 200));
        totals.edges.insert((pay, database), calls(2_000, 50));
        // The cart counted itself, the others are known by calls.
        let counts = ServiceCounts { requests: 7_000, ..ServiceCounts::default() };
        totals.services.insert(cart, ServiceTotals { counts, ..ServiceTotals::default() }.into());
        totals
    }

    #[test]
    fn namespaces_have_the_calls_between_and_within_them() {
        let sum = grouped(&shop(), Group::Namespace);
        let shown: Vec<_> = sum
            .edges
            .iter()
            .map(|((client, server), edge)| format!("{client} {server} {}", edge.counts.calls))
            .collect();
        assert_eq!(
            shown,
            [
                "namespace:eu//bank database:orders 2000",
                "namespace:eu//shop namespace:eu//bank 4000",
                "namespace:eu//shop namespace:eu//shop 4000",
            ]
        );
        let between = &sum.edges.values().nth(1).unwrap().callee;
        assert_eq!((between.mean_us(), between.quantile_us(0.75)), (Some(375.0), Some(200)));
    }

    #[test]
    fn a_groups_requests_are_those_of_its_services() {
        let sum = grouped(&shop(), Group::Cluster);
        let requests: BTreeMap<String, i64> =
            sum.services.iter().map(|(node, totals)| (node.to_string(), totals.counts.requests)).collect();
        // The cart's own 7,000, the 5,000 calls that the web made, and the 4,000 that the bank got.
        assert_eq!(requests["cluster:eu"], 16_000);
        assert_eq!(requests["database:orders"], 2_000);
    }

    #[test]
    fn services_are_their_own_groups() {
        let sum = grouped(&shop(), Group::Service);
        assert_eq!(sum.edges.len(), 4);
    }
}
