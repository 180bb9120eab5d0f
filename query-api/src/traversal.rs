//! Whom a service depends on and who depends on it, over several calls.

use crate::node::Node;
use crate::totals::{EdgeId, Totals};
use petgraph::graphmap::DiGraphMap;
use petgraph::{Direction, Incoming, Outgoing};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use utoipa::ToSchema;

/// Which way to go from a service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// To those who call it.
    Upstream,
    /// To those it calls.
    Downstream,
    /// Both, each on its own: siblings, which share a caller or callee only, are not reached.
    #[default]
    Both,
}

/// Keeps only what is reached from the matching nodes by at most `depth` calls. Who asks for a name that joined a
/// service gets that service.
pub fn reached(totals: &mut Totals, asked: impl Fn(&Node) -> bool, way: Way, depth: u32) {
    let starts: BTreeSet<Arc<Node>> = {
        let ends = totals.edges.keys().flat_map(|(client, server)| [client, server]);
        let matches = |node: &&Arc<Node>| {
            let mut joined = totals.joined.get(*node).into_iter().flatten();
            asked(node) || joined.any(|name| asked(name))
        };
        ends.chain(totals.services.keys()).filter(matches).cloned().collect()
    };
    let kept = edges(totals.edges.keys(), &starts, way, depth);
    totals.edges.retain(|id, _| kept.contains(id));
    let mut nodes = starts;
    nodes.extend(kept.into_iter().flat_map(|(client, server)| [client, server]));
    totals.services.retain(|node, _| nodes.contains(node));
    totals.joined.retain(|node, _| nodes.contains(node));
}

fn edges<'a>(
    all: impl Iterator<Item = &'a EdgeId>,
    starts: &BTreeSet<Arc<Node>>,
    way: Way,
    depth: u32,
) -> BTreeSet<EdgeId> {
    let graph: DiGraphMap<&Arc<Node>, ()> = all.map(|(client, server)| (client, server, ())).collect();
    let directions: &[Direction] = match way {
        Way::Upstream => &[Incoming],
        Way::Downstream => &[Outgoing],
        Way::Both => &[Incoming, Outgoing],
    };
    let mut kept = BTreeSet::new();
    for direction in directions {
        for node in within(&graph, starts, *direction, depth) {
            for other in graph.neighbors_directed(node, *direction) {
                let (client, server) = if *direction == Outgoing { (node, other) } else { (other, node) };
                kept.insert((client.clone(), server.clone()));
            }
        }
    }
    kept
}

/// The nodes that are less than `depth` calls away: those whose calls are still shown.
fn within<'a>(
    graph: &DiGraphMap<&'a Arc<Node>, ()>,
    starts: &BTreeSet<Arc<Node>>,
    direction: Direction,
    depth: u32,
) -> Vec<&'a Arc<Node>> {
    let starts = graph.nodes().filter(|node| starts.contains(*node));
    let mut distances: BTreeMap<&Arc<Node>, u32> = starts.map(|node| (node, 0)).collect();
    let mut waiting: VecDeque<&Arc<Node>> = distances.keys().copied().collect();
    while let Some(node) = waiting.pop_front() {
        let next = distances[node] + 1;
        if next >= depth {
            continue;
        }
        for other in graph.neighbors_directed(node, direction) {
            if !distances.contains_key(other) {
                distances.insert(other, next);
                waiting.push_back(other);
            }
        }
    }
    distances.into_keys().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Kind;

    fn node(name: &str) -> Arc<Node> {
        let (cluster, namespace) = (String::new(), String::new());
        Arc::new(Node { cluster, namespace, name: name.to_owned(), kind: Kind::Service })
    }

    /// Edges like `a→b`, kept around `b`.
    fn around(edges: &[&str], way: Way, depth: u32) -> Vec<String> {
        let mut totals = Totals::default();
        for edge in edges {
            let (client, server) = edge.split_once('→').unwrap();
            totals.edges.insert((node(client), node(server)), Default::default());
        }
        reached(&mut totals, |node| node.name == "b", way, depth);
        totals.edges.keys().map(|(client, server)| format!("{client}→{server}")).collect()
    }

    const CHAIN: [&str; 6] = ["a→b", "b→c", "c→d", "z→a", "a→sibling", "x→y"];

    #[test]
    fn one_call_away_is_what_touches_it() {
        assert_eq!(around(&CHAIN, Way::Both, 1), ["a→b", "b→c"]);
    }

    #[test]
    fn each_way_goes_on_by_itself() {
        assert_eq!(around(&CHAIN, Way::Downstream, 2), ["b→c", "c→d"]);
        assert_eq!(around(&CHAIN, Way::Upstream, 2), ["a→b", "z→a"]);
        assert_eq!(around(&CHAIN, Way::Both, 10), ["a→b", "b→c", "c→d", "z→a"], "no sibling");
    }

    #[test]
    fn circles_end() {
        assert_eq!(around(&["a→b", "b→a", "b→b"], Way::Both, 10), ["a→b", "b→a", "b→b"]);
    }

    #[test]
    fn a_service_without_calls_stays() {
        let mut totals = Totals::default();
        totals.services.insert(node("b"), Default::default());
        totals.services.insert(node("other"), Default::default());
        reached(&mut totals, |node| node.name == "b", Way::Both, 1);
        assert_eq!(totals.services.len(), 1);
    }
}
