//! Single edges, services and operations of the live state, for series over time.

use super::group::{Edge, Group, Service};
use super::kept::OverTime;
use super::state::Live;
use crate::filter::Filter;
use crate::node::Node;
use crate::totals::FlowTotals;
use std::sync::Arc;

impl Live {
    /// The edges of the flows that match: environment, caller and callee.
    pub fn edges(&self, filter: &Filter) -> impl Iterator<Item = (&Arc<str>, &Arc<Node>, &Arc<Node>, &Edge)> {
        self.matching(filter).flat_map(|((environment, _), group)| {
            group.edges().map(move |((client, server), edge)| (environment, client, server, edge))
        })
    }

    /// The services of the flows that match, with their environment.
    pub fn services(&self, filter: &Filter) -> impl Iterator<Item = (&Arc<str>, &Arc<Node>, &Service)> {
        self.matching(filter).flat_map(|((environment, _), group)| {
            group.services().map(move |(node, service)| (environment, node, service))
        })
    }

    /// The operations that match.
    pub fn operations(&self, filter: &Filter) -> impl Iterator<Item = &Group> {
        self.matching(filter).map(|(_, group)| group)
    }

    /// All flows that match and ended in `[from_s, to_s)`, together.
    pub fn all_flows(&self, filter: &Filter, from_s: u32, to_s: u32) -> FlowTotals {
        let mut flows = FlowTotals::default();
        self.operations(filter).for_each(|group| group.flows().add_seconds_to(&mut flows, from_s, to_s));
        flows
    }

    /// Every service of the environments that match, whatever operation it takes part in.
    pub fn known_services(&self, filter: &Filter) -> impl Iterator<Item = (&Arc<str>, &Arc<Node>)> {
        self.known().services().filter(|(environment, _)| filter.wants_environment(environment))
    }
}
