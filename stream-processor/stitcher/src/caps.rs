//! How many different names may be counted. What comes beyond goes under `__other__`, so totals stay right. The
//! sets start anew every hour of log time: yesterday's names don't use up today's room.

use crate::delta::{Name, Node, NodeKind};
use crate::digest;
use crate::names::{NameId, Names, NodeId, OTHER};
use crate::rollup::{Key, Kind, Under};
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
    pub fn admit_flow(&mut self, asked: Under, names: &Names) -> Under {
        let full = self.environments.len() >= self.limits.environments;
        let mut under = asked;
        if full && !self.environments.contains_key(names.text_of(asked.environment)) {
            self.overflowed += 1;
            under.environment = OTHER;
        }
        let mut room = self.room(names.name(under.environment));
        if !room.admits(Admitted::Operation(names.name(asked.operation))) {
            self.overflowed += 1;
            under.operation = OTHER;
        }
        under
    }

    /// Puts `__other__` wherever names find no room. Returns what was replaced.
    pub fn admit(&mut self, key: &mut Key, names: &mut Names) -> u32 {
        let mut room = self.room(names.name(key.environment));
        match key.kind {
            Kind::Operation => 0,
            Kind::Edge => room.admit_edge(key, names),
            Kind::Service => {
                room.admit_node(&mut key.client, NODE, names)
                    | room.admit_version(key.client, &mut key.version, names)
            }
            Kind::Endpoint => {
                let replaced = room.admit_node(&mut key.client, NODE, names)
                    | room.admit_version(key.client, &mut key.version, names);
                match room.admits(Admitted::Entry(names.node(key.client).clone(), names.name(key.entry))) {
                    true => replaced,
                    false => {
                        key.entry = OTHER;
                        replaced | ENTRY
                    }
                }
            }
        }
    }

    fn room(&mut self, environment: Name) -> Room<'_> {
        let Self { limits, environments, fresh, digest, .. } = self;
        let is_new = !environments.contains_key(&environment);
        let names = environments.entry(environment.clone()).or_default();
        let mut room = Room { limits, environment, names, fresh, digest };
        if is_new {
            room.note(Admitted::Environment);
        }
        room
    }

    /// A name that an earlier shard admitted in this hour.
    pub fn restore(&mut self, environment: &Name, admitted: Admitted) {
        let mut room = self.room(environment.clone());
        if admitted != Admitted::Environment {
            room.admits(admitted);
        }
        self.fresh.clear();
    }
}

/// One environment's names, and where new ones are noted.
struct Room<'a> {
    limits: &'a Limits,
    environment: Name,
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
        *self.digest = self.digest.wrapping_add(digest::of(&(&self.environment, &name)));
        self.fresh.push((self.environment.clone(), name));
    }

    fn admit_edge(&mut self, key: &mut Key, names: &mut Names) -> u32 {
        let mut replaced =
            self.admit_node(&mut key.client, CLIENT, names) | self.admit_node(&mut key.server, SERVER, names);
        let ends = (names.node(key.client).clone(), names.node(key.server).clone());
        if !self.admits(Admitted::Edge((names.name(key.operation), ends))) {
            replaced |= CLIENT | SERVER;
            key.replace(CLIENT | SERVER, names);
        }
        replaced | self.admit_version(key.server, &mut key.version, names)
    }

    fn admit_node(&mut self, node: &mut NodeId, bit: u32, names: &mut Names) -> u32 {
        if self.admits(Admitted::Node(names.node(*node).clone())) {
            return 0;
        }
        *node = other(*node, names);
        bit
    }

    fn admit_version(&mut self, node: NodeId, version: &mut NameId, names: &Names) -> u32 {
        let name = names.name(*version);
        if name.is_empty() || self.admits(Admitted::Version(names.node(node).clone(), name)) {
            return 0;
        }
        *version = OTHER;
        VERSION
    }
}

impl Key {
    /// Does what [`Caps::admit`] did once.
    pub fn replace(&mut self, replaced: u32, names: &mut Names) {
        let is = |bit| replaced & bit != 0;
        if is(CLIENT) || is(NODE) {
            self.client = other(self.client, names);
        }
        if is(SERVER) {
            self.server = other(self.server, names);
        }
        if is(VERSION) {
            self.version = OTHER;
        }
        if is(ENTRY) {
            self.entry = OTHER;
        }
    }
}

fn other(node: NodeId, names: &mut Names) -> NodeId {
    let kind = names.node(node).kind;
    names.virtual_node("__other__", kind)
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
    fn write(&self, to: &mut Writer<'_>) {
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
