//! How many different names may be counted. What comes beyond goes under `__other__`, so totals stay right. The
//! sets start anew every hour of log time: yesterday's names don't use up today's room.

use crate::delta::{Name, Node, NodeKind};
use crate::names::Names;
use crate::resolve::{Body, Mark};
use crate::settings::Limits;
use alloc::sync::Arc;
use hashbrown::{HashMap, HashSet};
use rustc_hash::FxBuildHasher;

type Set<T> = HashSet<T, FxBuildHasher>;

/// The names admitted in this hour.
pub(crate) struct Caps {
    limits: Limits,
    environments: HashMap<Name, Environment, FxBuildHasher>,
    /// Marks that went under `__other__` since the last commit.
    pub overflowed: u64,
}

#[derive(Default)]
struct Environment {
    services: Set<Arc<Node>>,
    virtual_nodes: Set<Arc<Node>>,
    operations: Set<Name>,
    edges: Set<(Name, Arc<Node>, Arc<Node>)>,
    entries: HashMap<Arc<Node>, Set<Name>, FxBuildHasher>,
    versions: HashMap<Arc<Node>, Set<Name>, FxBuildHasher>,
}

impl Caps {
    pub fn new(limits: &Limits) -> Self {
        Self { limits: limits.clone(), environments: HashMap::default(), overflowed: 0 }
    }

    pub fn start_anew(&mut self) {
        self.environments.clear();
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
        let room = self.environments.entry(environment.clone()).or_default();
        if admit(&mut room.operations, &operation, self.limits.operations) {
            return (environment, operation);
        }
        self.overflowed += 1;
        (environment, names.other.clone())
    }

    /// Puts `__other__` wherever a mark's names find no room.
    pub fn admit_mark(&mut self, mark: &mut Mark, environment: &Name, operation: &Name, names: &mut Names) {
        let limits = &self.limits;
        let room = self.environments.entry(environment.clone()).or_default();
        let full = match &mut mark.body {
            Body::Flow { .. } => false,
            Body::Edge(edge) => {
                let admitted = room.admit_node(&mut edge.client, limits, names)
                    & room.admit_node(&mut edge.server, limits, names);
                let key = (operation.clone(), edge.client.clone(), edge.server.clone());
                let fits = admit(&mut room.edges, &key, limits.edges);
                if !fits {
                    edge.client = names.virtual_node("__other__", edge.client.kind);
                    edge.server = names.virtual_node("__other__", edge.server.kind);
                }
                let versioned = room.admit_version(&edge.server, &mut edge.version, limits, names);
                !(admitted && fits && versioned)
            }
            Body::Service(service) => {
                let admitted = room.admit_node(&mut service.node, limits, names);
                let versioned = room.admit_version(&service.node, &mut service.version, limits, names);
                !(admitted && versioned)
            }
            Body::Endpoint { node, version, entry, .. } => {
                let admitted = room.admit_node(node, limits, names);
                let versioned = room.admit_version(node, version, limits, names);
                let known = room.entries.entry(node.clone()).or_default();
                let fits = admit(known, entry, limits.entries_per_service);
                if !fits {
                    *entry = names.other.clone();
                }
                !(admitted && versioned && fits)
            }
        };
        self.overflowed += u64::from(full);
    }
}

impl Environment {
    fn admit_node(&mut self, node: &mut Arc<Node>, limits: &Limits, names: &mut Names) -> bool {
        let emits_spans = matches!(node.kind, NodeKind::Service | NodeKind::Client);
        let admitted = match emits_spans {
            true => admit(&mut self.services, node, limits.services),
            false => admit(&mut self.virtual_nodes, node, limits.virtual_nodes),
        };
        if !admitted {
            *node = names.virtual_node("__other__", node.kind);
        }
        admitted
    }

    fn admit_version(
        &mut self,
        node: &Arc<Node>,
        version: &mut Name,
        limits: &Limits,
        names: &Names,
    ) -> bool {
        if version.is_empty() {
            return true;
        }
        let admitted =
            admit(self.versions.entry(node.clone()).or_default(), version, limits.versions_per_service);
        if !admitted {
            *version = names.other.clone();
        }
        admitted
    }
}

fn admit<T: Clone + Eq + core::hash::Hash>(set: &mut Set<T>, value: &T, most: usize) -> bool {
    if set.contains(value) {
        return true;
    }
    let fits = set.len() < most;
    if fits {
        set.insert(value.clone());
    }
    fits
}
