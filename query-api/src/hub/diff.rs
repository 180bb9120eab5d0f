//! What changed between two graphs.

use crate::graph::{EdgeAnswer, Graph, NodeAnswer};
use serde::Serialize;
use std::cmp::Ordering;

/// New values of what changed, and the names of what is gone.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes<'a> {
    /// Nodes that are new or have other numbers.
    pub nodes: Vec<&'a NodeAnswer>,
    /// Edges that are new or have other numbers.
    pub edges: Vec<&'a EdgeAnswer>,
    /// Ids of nodes that are gone.
    pub removed_nodes: Vec<&'a str>,
    /// Edges that are gone.
    pub removed_edges: Vec<RemovedEdge<'a>>,
}

/// Name of an edge.
#[derive(Debug, PartialEq, Serialize)]
pub struct RemovedEdge<'a> {
    from: &'a str,
    to: &'a str,
}

impl<'a> Changes<'a> {
    /// From one graph to the next.
    pub fn between(old: &'a Graph, new: &'a Graph) -> Self {
        let (nodes, removed_nodes) = changed(&old.nodes, &new.nodes, |a, b| a.id.cmp(&b.id));
        let (edges, removed_edges) =
            changed(&old.edges, &new.edges, |a, b| (&a.from, &a.to).cmp(&(&b.from, &b.to)));
        Self {
            nodes,
            edges,
            removed_nodes: removed_nodes.into_iter().map(|node| node.id.as_str()).collect(),
            removed_edges: removed_edges
                .into_iter()
                .map(|edge| RemovedEdge { from: &edge.from, to: &edge.to })
                .collect(),
        }
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
            && self.edges.is_empty()
            && self.removed_nodes.is_empty()
            && self.removed_edges.is_empty()
    }
}

/// Both lists are in the order of `compare`, so one walk finds what is new or different, and what is gone.
fn changed<'a, T: PartialEq>(
    old: &'a [T],
    new: &'a [T],
    compare: impl Fn(&T, &T) -> Ordering,
) -> (Vec<&'a T>, Vec<&'a T>) {
    let (mut changed, mut gone) = (Vec::new(), Vec::new());
    let mut old = old.iter().peekable();
    for item in new {
        while let Some(before) = old.next_if(|before| compare(before, item) == Ordering::Less) {
            gone.push(before);
        }
        match old.next_if(|before| compare(before, item) == Ordering::Equal) {
            Some(before) if before == item => {}
            _ => changed.push(item),
        }
    }
    gone.extend(old);
    (changed, gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_walk_finds_new_changed_and_gone() {
        let old = [(1, 'a'), (2, 'b'), (4, 'd'), (9, 'z')];
        let new = [(0, 'n'), (2, 'b'), (4, 'D'), (5, 'e')];
        let (changed, gone) = changed(&old, &new, |a, b| a.0.cmp(&b.0));
        assert_eq!(changed, [&(0, 'n'), &(4, 'D'), &(5, 'e')]);
        assert_eq!(gone, [&(1, 'a'), &(9, 'z')]);
    }
}
