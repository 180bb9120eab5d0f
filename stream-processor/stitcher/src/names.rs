//! Shared text, nodes and resources: stored once however many spans carry them, freed when nothing does.

use crate::delta::{Name, Node, NodeKind};
use crate::span::Resource;
use alloc::sync::Arc;
use core::hash::BuildHasher;
use hashbrown::{HashMap, HashSet};
use rustc_hash::FxBuildHasher;

/// So many values are never worth a sweep.
const FEW: usize = 100_000;

/// Who emitted a span.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Source {
    /// The service, or the client program, as a node.
    pub node: Arc<Node>,
    pub version: Name,
    /// Empty: not said.
    pub environment: Name,
}

impl Source {
    /// Spans without `service.name` belong to nobody.
    pub fn is_named(&self) -> bool {
        !self.node.name.is_empty()
    }
}

/// The stores of shared values.
pub(crate) struct Names {
    texts: HashSet<Name, FxBuildHasher>,
    nodes: HashSet<Arc<Node>, FxBuildHasher>,
    sources: HashMap<u64, Arc<Source>, FxBuildHasher>,
    longest: usize,
    /// How many were left after the last sweep.
    kept: usize,
    /// Names that were cut since the last commit.
    pub cut: u64,
    pub empty: Name,
    pub unknown: Name,
    pub other: Name,
}

impl Names {
    pub fn new(longest: usize) -> Self {
        Self {
            texts: HashSet::default(),
            nodes: HashSet::default(),
            sources: HashMap::default(),
            longest,
            kept: 0,
            cut: 0,
            empty: Arc::from(""),
            unknown: Arc::from("unknown"),
            other: Arc::from("__other__"),
        }
    }

    /// Environment and operation of a flow that says neither.
    pub fn nothing(&self) -> (Name, Name) {
        (self.empty.clone(), self.unknown.clone())
    }

    pub fn text(&mut self, text: &str) -> Name {
        if text.is_empty() {
            return self.empty.clone();
        }
        let text = self.shortened(text);
        self.texts.get_or_insert_with(text, |text| Arc::from(text)).clone()
    }

    fn shortened<'a>(&mut self, text: &'a str) -> &'a str {
        if text.len() <= self.longest {
            return text;
        }
        self.cut += 1;
        let end = (0..=self.longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        &text[..end]
    }

    pub fn node(&mut self, cluster: &str, namespace: &str, name: &str, kind: NodeKind) -> Arc<Node> {
        let node = Node {
            cluster: self.text(cluster),
            namespace: self.text(namespace),
            name: self.text(name),
            kind,
        };
        self.nodes.get_or_insert_with(&node, |node| Arc::new(node.clone())).clone()
    }

    /// A virtual node has a name and a kind, nothing else.
    pub fn virtual_node(&mut self, name: &str, kind: NodeKind) -> Arc<Node> {
        self.node("", "", name, kind)
    }

    pub fn source(&mut self, resource: &Resource<'_>) -> Arc<Source> {
        let hash = FxBuildHasher.hash_one(resource);
        if let Some(known) = self.sources.get(&hash)
            && describes(known, resource)
        {
            return known.clone();
        }
        let kind = if resource.is_client { NodeKind::Client } else { NodeKind::Service };
        let source = Arc::new(Source {
            node: self.node(resource.cluster, resource.namespace, resource.service, kind),
            version: self.text(resource.version),
            environment: self.text(resource.environment),
        });
        self.sources.insert(hash, source.clone());
        source
    }

    /// Session ids and the like are new every time: an hour of them is too much to wait for.
    pub fn sweep_when_doubled(&mut self) {
        if self.len() > self.kept * 2 + FEW {
            self.sweep();
        }
    }

    fn len(&self) -> usize {
        self.texts.len() + self.nodes.len() + self.sources.len()
    }

    /// Frees what no span, edge or cap holds any more. Nodes first: they hold texts.
    pub fn sweep(&mut self) {
        self.sources.retain(|_, source| Arc::strong_count(source) > 1);
        self.nodes.retain(|node| Arc::strong_count(node) > 1);
        self.texts.retain(|text| Arc::strong_count(text) > 1);
        self.kept = self.len();
    }
}

/// Two resources may share a hash: a source is reused only when it says the same.
fn describes(source: &Source, resource: &Resource<'_>) -> bool {
    let node = &source.node;
    *node.name == *resource.service
        && *node.namespace == *resource.namespace
        && *node.cluster == *resource.cluster
        && (node.kind == NodeKind::Client) == resource.is_client
        && *source.version == *resource.version
        && *source.environment == *resource.environment
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn names_that_come_once_don_t_pile_up() {
        let mut names = Names::new(256);
        let held = names.text("held");
        for i in 0..5 * FEW {
            names.text(&format!("session-{i}"));
            names.sweep_when_doubled();
        }
        assert!(names.len() <= FEW + 3, "{}", names.len());
        assert!(Arc::ptr_eq(&names.text("held"), &held));
    }
}
