//! Shared texts, nodes, resources and shapes: stored once however many spans carry them, and known by number. A number
//! means the same until the next sweep, which frees what nobody keeps.

use crate::delta::{Name, Node, NodeKind};
use crate::operation;
use crate::shape::Shape;
use crate::span::Resource;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hash};
use core::marker::PhantomData;
use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

/// So many values are never worth a sweep.
const FEW: usize = 100_000;
/// Resources whose source is known by their number alone.
const RECENT: usize = 4_096;
/// Forms of spans whose shape is known by their number alone.
const FORMS: usize = 16_384;
/// Ways to say a shape that are known by heart.
const SAYINGS: usize = 65_536;
/// Longer ones are not: few are, and all of them together have to stay in bounds.
const SAYING_BYTES: usize = 1_024;

/// Number of a value.
pub(crate) struct Id<T>(pub u32, PhantomData<fn() -> T>);

pub(crate) type NameId = Id<Name>;
pub(crate) type NodeId = Id<Arc<Node>>;
pub(crate) type SourceId = Id<Source>;
pub(crate) type ShapeId = Id<Shape>;
pub(crate) type ServicesId = Id<Services>;

impl<T> Id<T> {
    pub const fn new(number: u32) -> Self {
        Self(number, PhantomData)
    }
}

impl<T> core::fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for Id<T> {}

/// The order of numbers: for grouping only, it depends on what was seen first.
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl<T> Hash for Id<T> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// The empty text.
pub(crate) const EMPTY: NameId = Id::new(0);
/// `unknown`, and what goes beyond a limit.
pub(crate) const UNKNOWN: NameId = Id::new(1);
pub(crate) const OTHER: NameId = Id::new(2);
/// The operation of health checks.
pub(crate) const PROBE: NameId = Id::new(3);
/// Whoever calls without a span of a program's, and who nobody named.
pub(crate) const USER_NODE: NodeId = Id::new(0);
pub(crate) const UNKNOWN_NODE: NodeId = Id::new(1);

/// Who emitted a span.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Source {
    /// The service, or the client program, as a node.
    pub node: NodeId,
    pub version: NameId,
    /// Empty: not said.
    pub environment: NameId,
    pub is_client: bool,
    /// Spans without `service.name` belong to nobody.
    pub is_named: bool,
}

/// The services that a trace goes through.
pub(crate) struct Services {
    ids: Box<[NodeId]>,
    /// In the order of text, each once.
    pub names: Arc<[Name]>,
    /// In order.
    pub nodes: Arc<[Arc<Node>]>,
}

/// Values by number, and numbers by value.
struct Table<T> {
    values: Vec<Option<(u64, T)>>,
    numbers: HashTable<u32>,
    free: Vec<u32>,
    kept: Vec<bool>,
}

impl<T> Table<T> {
    fn new() -> Self {
        Self { values: Vec::new(), numbers: HashTable::new(), free: Vec::new(), kept: Vec::new() }
    }

    #[inline]
    fn find(&self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<Id<T>> {
        let is_it = |number: &u32| {
            let entry = self.values[*number as usize].as_ref();
            entry.is_some_and(|(known, value)| *known == hash && is_it(value))
        };
        self.numbers.find(hash, is_it).map(|number| Id::new(*number))
    }

    fn add(&mut self, hash: u64, value: T) -> Id<T> {
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                self.values.push(None);
                self.values.len() as u32 - 1
            }
        };
        self.values[number as usize] = Some((hash, value));
        let values = &self.values;
        let hash_of = |number: &u32| values[*number as usize].as_ref().map_or(0, |(hash, _)| *hash);
        self.numbers.insert_unique(hash, number, hash_of);
        Id::new(number)
    }

    fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Everything goes that isn't kept from now on.
    fn begin_sweep(&mut self) {
        self.kept = vec![false; self.values.len()];
    }

    /// Whether it wasn't kept before.
    fn keep(&mut self, id: Id<T>) -> bool {
        !core::mem::replace(&mut self.kept[id.0 as usize], true)
    }

    fn end_sweep(&mut self) {
        for number in 0..self.values.len() {
            if !self.kept[number]
                && let Some((hash, _)) = self.values[number].take()
            {
                if let Ok(entry) = self.numbers.find_entry(hash, |other| *other as usize == number) {
                    entry.remove();
                }
                self.free.push(number as u32);
            }
        }
        self.kept = Vec::new();
    }
}

impl<T> core::ops::Index<Id<T>> for Table<T> {
    type Output = T;

    #[inline]
    fn index(&self, id: Id<T>) -> &T {
        match &self.values[id.0 as usize] {
            Some((_, value)) => value,
            None => unreachable!("a number outlived its value"),
        }
    }
}

/// The stores of shared values.
pub(crate) struct Names {
    texts: Table<Name>,
    nodes: Table<Arc<Node>>,
    sources: Table<Source>,
    shapes: Table<Shape>,
    services: Table<Services>,
    /// By a resource's number: who that is.
    recent: Vec<(u64, SourceId)>,
    /// By a form's number: the shape of its spans.
    forms: Vec<(u64, ShapeId)>,
    /// What spans of a shape said to the letter.
    sayings: HashTable<(u64, Box<[u8]>, ShapeId)>,
    longest: usize,
    /// How many were left after the last sweep.
    left: usize,
    /// Names that were cut since the last commit.
    pub cut: u64,
}

impl Names {
    pub fn new(longest: usize) -> Self {
        let mut names = Self {
            texts: Table::new(),
            nodes: Table::new(),
            sources: Table::new(),
            shapes: Table::new(),
            services: Table::new(),
            recent: vec![(0, Id::new(0)); RECENT],
            forms: vec![(0, Id::new(0)); FORMS],
            sayings: HashTable::new(),
            longest,
            left: 0,
            cut: 0,
        };
        for (text, id) in [("", EMPTY), ("unknown", UNKNOWN), ("__other__", OTHER), (operation::PROBE, PROBE)]
        {
            let number = names.texts.add(FxBuildHasher.hash_one(text), Arc::from(text));
            debug_assert_eq!(number, id);
        }
        names.virtual_node("user", NodeKind::User);
        names.virtual_node("unknown", NodeKind::Unknown);
        names
    }

    pub fn text(&mut self, text: &str) -> NameId {
        if text.is_empty() {
            return EMPTY;
        }
        let text = self.shortened(text);
        let hash = FxBuildHasher.hash_one(text);
        match self.texts.find(hash, |known| **known == *text) {
            Some(id) => id,
            None => self.texts.add(hash, Arc::from(text)),
        }
    }

    fn shortened<'a>(&mut self, text: &'a str) -> &'a str {
        if text.len() <= self.longest {
            return text;
        }
        self.cut += 1;
        let end = (0..=self.longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        &text[..end]
    }

    pub fn text_of(&self, id: NameId) -> &str {
        &self.texts[id]
    }

    /// The text of that number, to be shared.
    pub fn name(&self, id: NameId) -> Name {
        self.texts[id].clone()
    }

    pub fn node_id(&mut self, cluster: &str, namespace: &str, name: &str, kind: NodeKind) -> NodeId {
        let [cluster, namespace, name] = [cluster, namespace, name].map(|text| self.text(text));
        let hash = FxBuildHasher.hash_one((cluster, namespace, name, kind));
        let [cluster, namespace, name] = [cluster, namespace, name].map(|id| &self.texts[id]);
        let is_it = |node: &Arc<Node>| {
            node.kind == kind
                && node.name == *name
                && node.namespace == *namespace
                && node.cluster == *cluster
        };
        if let Some(known) = self.nodes.find(hash, is_it) {
            return known;
        }
        let [cluster, namespace, name] = [cluster, namespace, name].map(Clone::clone);
        self.nodes.add(hash, Arc::new(Node { cluster, namespace, name, kind }))
    }

    /// A virtual node has a name and a kind, nothing else.
    pub fn virtual_node(&mut self, name: &str, kind: NodeKind) -> NodeId {
        self.node_id("", "", name, kind)
    }

    /// The number of a node that is known by value.
    pub fn number_of(&mut self, node: &Node) -> NodeId {
        self.node_id(&node.cluster, &node.namespace, &node.name, node.kind)
    }

    #[inline]
    pub fn node(&self, id: NodeId) -> &Arc<Node> {
        &self.nodes[id]
    }

    /// Who emitted a span, by the number that the reader gave the resource, or by what it says.
    pub fn source_of(&mut self, number: u64, resource: &Resource<'_>) -> SourceId {
        let place = number as usize % RECENT;
        if number != 0 && self.recent[place].0 == number {
            return self.recent[place].1;
        }
        let id = self.source_by_value(resource);
        if number != 0 {
            self.recent[place] = (number, id);
        }
        id
    }

    fn source_by_value(&mut self, resource: &Resource<'_>) -> SourceId {
        let kind = if resource.is_client { NodeKind::Client } else { NodeKind::Service };
        let node = self.node_id(resource.cluster, resource.namespace, resource.service, kind);
        let (version, environment) = (self.text(resource.version), self.text(resource.environment));
        self.source_id(node, version, environment)
    }

    pub fn source_id(&mut self, node: NodeId, version: NameId, environment: NameId) -> SourceId {
        let is_client = self.nodes[node].kind == NodeKind::Client;
        let is_named = !self.nodes[node].name.is_empty();
        let source = Source { node, version, environment, is_client, is_named };
        found_or_added(&mut self.sources, source)
    }

    #[inline]
    pub fn source(&self, id: SourceId) -> &Source {
        &self.sources[id]
    }

    #[inline]
    pub fn shape(&self, id: ShapeId) -> &Shape {
        &self.shapes[id]
    }

    pub fn shape_id(&mut self, shape: Shape) -> ShapeId {
        found_or_added(&mut self.shapes, shape)
    }

    /// The shape of the spans of a form, if the form has a number and was seen lately.
    #[inline]
    pub fn shape_of_form(&self, number: u64) -> Option<ShapeId> {
        let (known, shape) = self.forms[number as usize % FORMS];
        (number != 0 && known == number).then_some(shape)
    }

    pub fn remember_form(&mut self, number: u64, shape: ShapeId) {
        if number != 0 {
            self.forms[number as usize % FORMS] = (number, shape);
        }
    }

    /// The shape of spans that say this to the letter, if it was seen before; and the hash for [`Names::remember`].
    #[inline]
    pub fn said_before(&self, said: &[u8]) -> (u64, Option<ShapeId>) {
        let hash = FxBuildHasher.hash_one(said);
        let known = self.sayings.find(hash, |(known, text, _)| *known == hash && **text == *said);
        (hash, known.map(|(_, _, shape)| *shape))
    }

    pub fn remember(&mut self, hash: u64, said: &[u8], shape: ShapeId) {
        if said.len() > SAYING_BYTES {
            return;
        }
        if self.sayings.len() >= SAYINGS {
            self.sayings.clear();
        }
        self.sayings.insert_unique(hash, (hash, Box::from(said), shape), |(hash, _, _)| *hash);
    }

    /// Services that many traces go through; `ids` is sorted.
    pub fn services_id(&mut self, ids: &[NodeId]) -> ServicesId {
        let hash = FxBuildHasher.hash_one(ids);
        if let Some(id) = self.services.find(hash, |known| *known.ids == *ids) {
            return id;
        }
        let mut nodes: Vec<Arc<Node>> = ids.iter().map(|id| self.nodes[*id].clone()).collect();
        nodes.sort_unstable();
        let mut names: Vec<Name> = nodes.iter().map(|node| node.name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        self.services.add(hash, Services { ids: Box::from(ids), names: names.into(), nodes: nodes.into() })
    }

    pub fn services(&self, id: ServicesId) -> &Services {
        &self.services[id]
    }

    /// Session ids and the like are new every time: an hour of them is too much to wait for.
    pub fn has_doubled(&self) -> bool {
        self.len() > self.left * 2 + FEW
    }

    fn len(&self) -> usize {
        self.texts.len() + self.nodes.len() + self.sources.len() + self.shapes.len() + self.services.len()
    }

    /// From here to [`Names::end_sweep`] everything that is in use is kept.
    pub fn begin_sweep(&mut self) {
        self.sayings.clear();
        self.recent.fill((0, Id::new(0)));
        self.forms.fill((0, Id::new(0)));
        self.texts.begin_sweep();
        self.nodes.begin_sweep();
        self.sources.begin_sweep();
        self.shapes.begin_sweep();
        self.services.begin_sweep();
        [EMPTY, UNKNOWN, OTHER, PROBE].into_iter().for_each(|id| self.keep_text(id));
        [USER_NODE, UNKNOWN_NODE].into_iter().for_each(|id| self.keep_node(id));
    }

    pub fn keep_text(&mut self, id: NameId) {
        self.texts.keep(id);
    }

    /// A node's texts are its own: their numbers may go.
    pub fn keep_node(&mut self, id: NodeId) {
        self.nodes.keep(id);
    }

    pub fn keep_services(&mut self, id: ServicesId) {
        if self.services.keep(id) {
            self.services[id].ids.iter().for_each(|node| {
                self.nodes.keep(*node);
            });
        }
    }

    pub fn keep_shape(&mut self, id: ShapeId) {
        if !self.shapes.keep(id) {
            return;
        }
        let Shape {
            source, peer, topic, calling_client, breaker, operation, fallback, entry, root_name, ..
        } = self.shapes[id].clone();
        self.keep_text(root_name);
        if self.sources.keep(source) {
            let Source { node, version, environment, .. } = self.sources[source];
            self.nodes.keep(node);
            [version, environment].into_iter().for_each(|text| self.keep_text(text));
        }
        let nodes = [peer, topic, calling_client, breaker];
        nodes.into_iter().flatten().for_each(|node| self.keep_node(node));
        let texts = [operation.map(|(_, text)| text), fallback.map(|(_, text)| text), entry];
        texts.into_iter().flatten().for_each(|text| self.keep_text(text));
    }

    /// Frees what was not kept.
    pub fn end_sweep(&mut self) {
        // A node is found by the numbers of its texts: those have to stay the same as long as it does.
        for number in 0..self.nodes.values.len() {
            if let (true, Some((_, node))) = (self.nodes.kept[number], &self.nodes.values[number]) {
                for text in [node.cluster.clone(), node.namespace.clone(), node.name.clone()] {
                    let hash = FxBuildHasher.hash_one(&*text);
                    if let Some(id) = self.texts.find(hash, |known| *known == text) {
                        self.texts.keep(id);
                    }
                }
            }
        }
        self.services.end_sweep();
        self.shapes.end_sweep();
        self.sources.end_sweep();
        self.nodes.end_sweep();
        self.texts.end_sweep();
        self.left = self.len();
    }
}

fn found_or_added<T: Hash + Eq>(table: &mut Table<T>, value: T) -> Id<T> {
    let hash = FxBuildHasher.hash_one(&value);
    match table.find(hash, |known| *known == value) {
        Some(id) => id,
        None => table.add(hash, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn names_that_come_once_don_t_pile_up() {
        let mut names = Names::new(256);
        let held = names.text("held");
        let node = names.virtual_node("orders", NodeKind::Topic);
        let services = names.services_id(&[node]);
        for i in 0..5 * FEW {
            names.text(&format!("session-{i}"));
            if names.has_doubled() {
                names.begin_sweep();
                names.keep_text(held);
                names.keep_services(services);
                names.end_sweep();
            }
        }
        assert!(names.len() <= FEW + 10, "{}", names.len());
        assert_eq!(names.text("held"), held);
        assert_eq!(names.virtual_node("orders", NodeKind::Topic), node);
        assert_eq!(names.virtual_node("user", NodeKind::User), USER_NODE);
    }

    #[test]
    fn a_number_is_used_again_only_after_a_sweep() {
        let mut names = Names::new(256);
        let (first, second) = (names.text("first"), names.text("second"));
        assert_ne!(first, second);
        assert_eq!(names.text("first"), first);
        names.begin_sweep();
        names.keep_text(second);
        names.end_sweep();
        assert_eq!(names.text("third"), first, "the room of what is gone");
        assert_eq!(&*names.name(second), "second");
    }
}
