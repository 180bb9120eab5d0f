//! Which service of an environment a name means. Pure: nodes in, pairs of nodes out.
//!
//! A name joins the only service it can mean. With none or several it stays what it is: an answer with two nodes
//! for one service can be understood, one with a wrong edge can't.

use crate::node::{Kind, Node};
use crate::peer_name::{Reading, readings};
use hashbrown::{HashMap, HashSet};
use std::cmp::Reverse;
use std::sync::Arc;

/// Nodes that join, each with the service it joins. No service stands on both sides.
pub type Joins = HashMap<Arc<Node>, Arc<Node>>;

/// SDKs name a service so that nobody named; two of them need not be the same.
const UNNAMED: &str = "unknown_service";
/// Names that stand for many: what found no room, addresses, and whoever isn't known.
const COLLECTIVE: [&str; 4] = ["", "__other__", "ip", "unknown"];

/// What joins what among the nodes of one environment.
pub fn joins(nodes: &HashSet<&Arc<Node>>) -> Joins {
    let mut joins = Joins::new();
    let services = by_name(nodes);
    let mut candidates: HashMap<&str, Vec<&Arc<Node>>> = HashMap::with_capacity(services.len());
    for (name, same_name) in services {
        candidates.insert(name, qualify(same_name, &mut joins));
    }
    for peer in nodes.iter().filter(|node| node.kind == Kind::External && can_join(node)) {
        if let Some(service) = meant(peer, &candidates) {
            joins.insert(Arc::clone(peer), service.clone());
        }
    }
    joins
}

fn by_name<'a>(nodes: &HashSet<&'a Arc<Node>>) -> HashMap<&'a str, Vec<&'a Arc<Node>>> {
    let mut services: HashMap<&str, Vec<&Arc<Node>>> = HashMap::new();
    for node in nodes.iter().copied().filter(|node| node.kind == Kind::Service && can_join(node)) {
        services.entry(&node.name).or_default().push(node);
    }
    services
}

fn can_join(node: &Node) -> bool {
    !COLLECTIVE.contains(&&*node.name) && !node.name.starts_with(UNNAMED)
}

/// Lets the services of one name that don't say cluster or namespace join the only better qualified one they can
/// be; returns those that are left, best qualified first. Only those are joined, so nothing joins by a detour.
fn qualify<'a>(mut services: Vec<&'a Arc<Node>>, joins: &mut Joins) -> Vec<&'a Arc<Node>> {
    services.sort_by_key(|service| Reverse(qualifiers(service)));
    let mut left: Vec<&Arc<Node>> = Vec::with_capacity(services.len());
    for service in services {
        let better = left.iter().take_while(|other| qualifiers(other) > qualifiers(service));
        match only(better.copied().filter(|other| refines(other, service))) {
            Some(other) => drop(joins.insert(service.clone(), other.clone())),
            None => left.push(service),
        }
    }
    left
}

fn qualifiers(node: &Node) -> usize {
    usize::from(!node.cluster.is_empty()) + usize::from(!node.namespace.is_empty())
}

/// Whether `node` says all that `other` says.
fn refines(node: &Node, other: &Node) -> bool {
    let says = |part: &str, of: &str| of.is_empty() || part == of;
    says(&node.cluster, &other.cluster) && says(&node.namespace, &other.namespace)
}

/// The only service that any reading of a peer's name matches.
fn meant<'a>(peer: &Node, candidates: &HashMap<&str, Vec<&'a Arc<Node>>>) -> Option<&'a Arc<Node>> {
    let readings = readings(&peer.name, &peer.namespace);
    only(readings.iter().flat_map(|reading| matching(reading, candidates)))
}

fn matching<'a>(
    reading: &Reading<'_>,
    candidates: &HashMap<&str, Vec<&'a Arc<Node>>>,
) -> impl Iterator<Item = &'a Arc<Node>> {
    let same_name = candidates.get(reading.service).map_or(&[][..], Vec::as_slice);
    let wanted =
        |service: &Arc<Node>| reading.namespace.is_none_or(|namespace| namespace == service.namespace);
    same_name.iter().copied().filter(move |service| wanted(service))
}

/// The one node that is there, however often; `None` without any, and with two.
fn only<'a>(mut nodes: impl Iterator<Item = &'a Arc<Node>>) -> Option<&'a Arc<Node>> {
    let first = nodes.next()?;
    nodes.all(|node| node == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `[cluster/][namespace/]name` of a service; with `kind:` before it, the name of another node.
    fn node(id: &str) -> Arc<Node> {
        let (kind, place) = match id.split_once(':') {
            Some((kind, name)) if Kind::of_text(kind).as_str() == kind => (Kind::of_text(kind), vec![name]),
            _ => (Kind::Service, id.rsplit('/').collect()),
        };
        let part = |at: usize| place.get(at).copied().unwrap_or_default().to_owned();
        Arc::new(Node { cluster: part(2), namespace: part(1), name: part(0), kind })
    }

    /// `a → b` for everything that joins.
    fn joined(ids: &[&str]) -> Vec<String> {
        let nodes: Vec<_> = ids.iter().map(|id| node(id)).collect();
        let joins = joins(&nodes.iter().collect());
        let mut shown: Vec<_> = joins.iter().map(|(from, to)| format!("{from} → {to}")).collect();
        shown.sort();
        shown
    }

    #[test]
    fn a_peer_joins_the_only_service_it_can_mean() {
        for (peer, services, expected) in [
            // By name alone.
            ("payment", &["shop/payment"][..], Some("shop/payment")),
            ("payment", &["payment"], Some("payment")),
            ("payment:8080", &["shop/payment"], Some("shop/payment")),
            ("payment", &["shop/checkout"], None),
            ("payment", &[], None),
            ("payment", &["shop/payment", "billing/payment"], None),
            ("payment", &["eu/shop/payment", "us/shop/payment"], None),
            ("Payment", &["shop/payment"], None),
            // By name and namespace.
            ("payment.shop", &["shop/payment", "billing/payment"], Some("shop/payment")),
            (
                "payment.shop.svc.cluster.local:8080",
                &["shop/payment", "billing/payment"],
                Some("shop/payment"),
            ),
            ("payment.shop.svc", &["billing/payment"], None),
            ("payment.shop.svc", &["payment"], None),
            ("payment.shop.svc", &["eu/shop/payment", "us/shop/payment"], None),
            ("example.com:443", &["example"], None),
            // Two readings, two services.
            ("payment.shop", &["payment.shop", "shop/payment"], None),
            ("payment.shop", &["payment.shop"], Some("payment.shop")),
            ("payment", &["payment", "shop/payment"], Some("shop/payment")),
            ("payment", &["payment", "shop/payment", "billing/payment"], None),
        ] {
            let peer = format!("external:{peer}");
            let found = joined(&[&[peer.as_str()], services].concat());
            let found: Vec<&String> = found.iter().filter(|join| join.starts_with("external:")).collect();
            let expected: Vec<String> =
                expected.iter().map(|service| format!("{peer} → {service}")).collect();
            assert_eq!(found, expected.iter().collect::<Vec<_>>(), "{peer} among {services:?}");
        }
    }

    #[test]
    fn a_namespace_that_the_caller_gave_counts() {
        let peer = Arc::new(Node { namespace: "shop".into(), ..(*node("external:payment")).clone() });
        let of = |ids: &[&str]| {
            let nodes: Vec<_> = ids.iter().map(|id| node(id)).chain([peer.clone()]).collect();
            joins(&nodes.iter().collect()).get(&peer).map(ToString::to_string)
        };
        assert_eq!(of(&["shop/payment", "billing/payment"]).as_deref(), Some("shop/payment"));
        assert_eq!(of(&["billing/payment"]), None);
    }

    #[test]
    fn a_service_joins_the_only_one_that_says_more() {
        for (services, expected) in [
            (&["payment", "shop/payment"][..], &["payment → shop/payment"][..]),
            (&["payment", "shop/payment", "billing/payment"], &[]),
            (&["shop/payment", "eu/shop/payment"], &["shop/payment → eu/shop/payment"]),
            (&["shop/payment", "eu/shop/payment", "us/shop/payment"], &[]),
            (&["shop/payment", "eu/billing/payment"], &[]),
            // A namespace alone and a cluster alone: neither says more.
            (&["shop/payment", "eu//payment"], &[]),
            (&["payment", "shop/payment", "eu//payment"], &[]),
            // Everything goes to the end at once, never to a service that joins another one itself.
            (
                &["payment", "shop/payment", "eu/shop/payment", "eu//payment"],
                &[
                    "eu//payment → eu/shop/payment",
                    "payment → eu/shop/payment",
                    "shop/payment → eu/shop/payment",
                ],
            ),
        ] {
            assert_eq!(joined(services), expected, "{services:?}");
        }
    }

    #[test]
    fn nothing_else_ever_joins() {
        for kind in ["database", "topic", "user", "client", "unknown"] {
            assert_eq!(joined(&[&format!("{kind}:payment"), "shop/payment"]), [""; 0], "{kind}");
        }
        for name in ["ip", "__other__", "unknown", "unknown_service:java"] {
            let (peer, service, qualified) = (format!("external:{name}"), name, format!("shop/{name}"));
            assert_eq!(joined(&[&peer, service]), [""; 0], "{name}");
            assert_eq!(joined(&[service, &qualified]), [""; 0], "{name}");
        }
        assert_eq!(joined(&["external:payment", "client:payment"]), [""; 0]);
    }
}
