//! The services of each environment: whom a name can mean, whatever a question filters by.

use crate::builder::GraphBuilder;
use crate::change::{Change, What};
use crate::filter::Filter;
use crate::node::{Kind, Node};
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Services by environment, each with the newest second it was seen in. They are few: shards admit at most 5,000
/// an environment.
#[derive(Debug, Default)]
pub struct Known {
    environments: BTreeMap<Arc<str>, HashMap<Arc<Node>, u32>>,
}

impl Known {
    /// Remembers the services that a change names; returns how many bytes that took.
    pub fn add(&mut self, change: &Change) -> usize {
        match &change.what {
            What::Edge { client, server, .. } => self.see(change, client) + self.see(change, server),
            What::Service { node, .. } => self.see(change, node),
            What::Operation { .. } => 0,
        }
    }

    fn see(&mut self, change: &Change, node: &Arc<Node>) -> usize {
        if node.kind != Kind::Service {
            return 0;
        }
        let services = self.environments.entry(change.environment.clone()).or_default();
        let before = services.len();
        let newest_s = services.entry(node.clone()).or_default();
        *newest_s = change.window_s.max(*newest_s);
        (services.len() - before) * Self::BYTES
    }

    /// Tells a graph about all services of the environments that match.
    pub fn add_to(&self, graph: &mut GraphBuilder, filter: &Filter) {
        for (environment, services) in &self.environments {
            if filter.wants_environment(environment) {
                let environment = graph.within(environment.clone());
                services.keys().for_each(|service| environment.know(service));
            }
        }
    }

    /// Every service with its environment.
    pub fn services(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Node>)> {
        self.environments
            .iter()
            .flat_map(|(environment, services)| services.keys().map(move |service| (environment, service)))
    }

    /// Forgets the services that were last seen before `from_s`; returns how many bytes that freed.
    pub fn forget_before(&mut self, from_s: u32) -> usize {
        let mut forgotten = 0;
        self.environments.retain(|_, services| {
            let before = services.len();
            services.retain(|_, newest_s| *newest_s >= from_s);
            forgotten += before - services.len();
            !services.is_empty()
        });
        forgotten * Self::BYTES
    }

    const BYTES: usize = size_of::<(Arc<Node>, u32)>() + 16;
}
