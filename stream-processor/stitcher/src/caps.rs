//! How many different names may be counted. What comes beyond goes under `__other__`, so totals stay right. The
//! sets start anew every hour of log time: yesterday's names don't use up today's room.

use crate::delta::{Name, Node, NodeKind};
use crate::digest;
use crate::names::Names;
use crate::resolve::{Body, EdgeMark, Mark, ServiceMark};
use crate::saved::{Reader, Saved, Unreadable, Writer};
use crate::settings::Limits;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::Hash;
use hashbrown::{HashMap, HashSet};
use rustc_hash::FxBuildHasher;

type Set<T> = HashSet<T, FxBuildHasher>;
type Edge = (Name, (Arc<Node>, Arc<Node>));

/// Bits for what of a mark was replaced by `__other__`.
const CLIENT: u32 = 1;
const SERVER: u32 = 2;
const NODE: u32 = 4;
const VERSION: u32 = 8;
const ENTRY: u32 = 16;

/// The names admitted in this hour.
pub(crate) struct Caps {
    limits: Limits,
    environments: HashMap<Name, Environment, FxBuildHasher>,
    /// Marks that went under `__other__` since the last commit.
    pub overflowed: u64,
    /// Names admitted since the last commit.
    pub fresh: Vec<(Name, Admitted)>,
    /// Of the names admitted in this hour, see [`crate::digest`].
    pub digest: u64,
}

/// A name that found room in its environment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Admitted {
    Environment,
    Operation(Name),
    Node(Arc<Node>),
    Edge(Edge),
    Entry(Arc<Node>, Name),
    Version(Arc<Node>, Name),
}

#[derive(Default)]
struct Environment {
    services: Set<Arc<Node>>,
    virtual_nodes: Set<Arc<Node>>,
    operations: Set<Name>,
    edges: Set<Edge>,
    entries: HashMap<Arc<Node>, Set<Name>, FxBuildHasher>,
    versions: HashMap<Arc<Node>, Set<Name>, FxBuildHasher>,
}

impl Caps {
    pub fn new(limits: &Limits) -> Self {
        let (limits, environments) = (limits.clone(), HashMap::default());
        Self { limits, environments, overflowed: 0, fresh: Vec::new(), digest: 0 }
    }

    pub fn start_anew(&mut self) {
        self.environments.clear();
        self.fresh.clear();
        self.digest = 0;
    }

    /// Admits the environment and the operation, or puts `__other__` in their place.
    pub fn admit_flow(&mut self, environment: Name, operation: Name, names: &Names) -> (Name, Name) {
        let full = self.environments.len() >= self.limits.environments;
        let environment = if full && !self.environments.contains_key(&environment) {
            self.overflowed += 1;
            names.other.clone()
        } else {
            environment
        };
        let mut room = self.room(&environment);
        if room.admits(Admitted::Operation(operation.clone())) {
            return (environment, operation);
        }
        self.overflowed += 1;
        (environment, names.other.clone())
    }

    /// Puts `__other__` wherever a mark's names find no room. Returns what was replaced.
    pub fn admit_mark(
        &mut self,
        mark: &mut Mark,
        environment: &Name,
        operation: &Name,
        names: &mut Names,
    ) -> u32 {
        let mut room = self.room(environment);
        let replaced = match &mut mark.body {
            Body::Flow { .. } => 0,
            Body::Edge(edge) => room.admit_edge(edge, operation, names),
            Body::Service(ServiceMark { node, version, .. }) => {
                room.admit_node(node, NODE, names) | room.admit_version(node, version, names)
            }
            Body::Endpoint { node, version, entry, .. } => {
                let replaced = room.admit_node(node, NODE, names) | room.admit_version(node, version, names);
                match room.admits(Admitted::Entry(node.clone(), entry.clone())) {
                    true => replaced,
                    false => {
                        *entry = names.other.clone();
                        replaced | ENTRY
                    }
                }
            }
        };
        self.overflowed += u64::from(replaced != 0);
        replaced
    }

    fn room<'a>(&'a mut self, environment: &'a Name) -> Room<'a> {
        let Self { limits, environments, fresh, digest, .. } = self;
        let is_new = !environments.contains_key(environment);
        let names = environments.entry(environment.clone()).or_default();
        let mut room = Room { limits, environment, names, fresh, digest };
        if is_new {
            room.note(Admitted::Environment);
        }
        room
    }

    /// A name that an earlier shard admitted in this hour.
    pub fn restore(&mut self, environment: &Name, admitted: Admitted) {
        let mut room = self.room(environment);
        if admitted != Admitted::Environment {
            room.admits(admitted);
        }
        self.fresh.clear();
    }
}

/// One environment's names, and where new ones are noted.
struct Room<'a> {
    limits: &'a Limits,
    environment: &'a Name,
    names: &'a mut Environment,
    fresh: &'a mut Vec<(Name, Admitted)>,
    digest: &'a mut u64,
}

impl Room<'_> {
    fn admits(&mut self, name: Admitted) -> bool {
        let Environment { services, virtual_nodes, operations, edges, entries, versions } = &mut *self.names;
        let limits = self.limits;
        let fits = match &name {
            Admitted::Environment => Fits::Known,
            Admitted::Operation(operation) => admit(operations, operation, limits.operations),
            Admitted::Node(node) if emits_spans(node) => admit(services, node, limits.services),
            Admitted::Node(node) => admit(virtual_nodes, node, limits.virtual_nodes),
            Admitted::Edge(edge) => admit(edges, edge, limits.edges),
            Admitted::Entry(node, entry) => {
                admit(entries.entry(node.clone()).or_default(), entry, limits.entries_per_service)
            }
            Admitted::Version(node, version) => {
                admit(versions.entry(node.clone()).or_default(), version, limits.versions_per_service)
            }
        };
        if fits == Fits::New {
            self.note(name);
        }
        fits != Fits::No
    }

    fn note(&mut self, name: Admitted) {
        *self.digest = self.digest.wrapping_add(digest::of(&(self.environment, &name)));
        self.fresh.push((self.environment.clone(), name));
    }

    fn admit_edge(&mut self, edge: &mut EdgeMark, operation: &Name, names: &mut Names) -> u32 {
        let mut replaced = self.admit_node(&mut edge.client, CLIENT, names)
            | self.admit_node(&mut edge.server, SERVER, names);
        let ends = (edge.client.clone(), edge.server.clone());
        if !self.admits(Admitted::Edge((operation.clone(), ends))) {
            replaced |= CLIENT | SERVER;
            replace_ends(edge, replaced, names);
        }
        replaced | self.admit_version(&edge.server, &mut edge.version, names)
    }

    fn admit_node(&mut self, node: &mut Arc<Node>, bit: u32, names: &mut Names) -> u32 {
        if self.admits(Admitted::Node(node.clone())) {
            return 0;
        }
        *node = other(node, names);
        bit
    }

    fn admit_version(&mut self, node: &Arc<Node>, version: &mut Name, names: &Names) -> u32 {
        if version.is_empty() || self.admits(Admitted::Version(node.clone(), version.clone())) {
            return 0;
        }
        *version = names.other.clone();
        VERSION
    }
}

/// Does to a mark what [`Caps::admit_mark`] did to it once.
pub(crate) fn replace(mark: &mut Mark, replaced: u32, names: &mut Names) {
    let is = |bit| replaced & bit != 0;
    match &mut mark.body {
        Body::Flow { .. } => {}
        Body::Edge(edge) => {
            replace_ends(edge, replaced, names);
            if is(VERSION) {
                edge.version = names.other.clone();
            }
        }
        Body::Service(ServiceMark { node, version, .. }) | Body::Endpoint { node, version, .. } => {
            if is(NODE) {
                *node = other(node, names);
            }
            if is(VERSION) {
                *version = names.other.clone();
            }
        }
    }
    if let (Body::Endpoint { entry, .. }, true) = (&mut mark.body, is(ENTRY)) {
        *entry = names.other.clone();
    }
}

fn replace_ends(edge: &mut EdgeMark, replaced: u32, names: &mut Names) {
    if replaced & CLIENT != 0 {
        edge.client = other(&edge.client, names);
    }
    if replaced & SERVER != 0 {
        edge.server = other(&edge.server, names);
    }
}

fn other(node: &Node, names: &mut Names) -> Arc<Node> {
    names.virtual_node("__other__", node.kind)
}

fn emits_spans(node: &Node) -> bool {
    matches!(node.kind, NodeKind::Service | NodeKind::Client)
}

#[derive(PartialEq, Eq)]
enum Fits {
    Known,
    New,
    No,
}

fn admit<T: Clone + Eq + Hash>(set: &mut Set<T>, value: &T, most: usize) -> Fits {
    if set.contains(value) {
        return Fits::Known;
    }
    if set.len() >= most {
        return Fits::No;
    }
    set.insert(value.clone());
    Fits::New
}

impl Saved for Admitted {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::Environment => 0_u32.write(to),
            Self::Operation(name) => (1_u32, name.clone()).write(to),
            Self::Node(node) => (2_u32, node.clone()).write(to),
            Self::Edge(edge) => (3_u32, edge.clone()).write(to),
            Self::Entry(node, name) => (4_u32, (node.clone(), name.clone())).write(to),
            Self::Version(node, name) => (5_u32, (node.clone(), name.clone())).write(to),
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Ok(match u32::read(from)? {
            0 => Self::Environment,
            1 => Self::Operation(Saved::read(from)?),
            2 => Self::Node(Saved::read(from)?),
            3 => Self::Edge(Saved::read(from)?),
            4 => Self::Entry(Saved::read(from)?, Saved::read(from)?),
            5 => Self::Version(Saved::read(from)?, Saved::read(from)?),
            _ => return Err(Unreadable),
        })
    }
}
