//! Which node of an environment a graph shows for a name: what ids in a question mean.

use crate::App;
use crate::access::Allowed;
use crate::error::ApiError;
use crate::filter::{Around, Filter};
use crate::join::{Joins, joins};
use crate::live::feed::{locked, now_us};
use crate::node::{Kind, Node};
use crate::range::Asked;
use crate::stored::answerable;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// The nodes of each environment, and the services that some of them join.
#[derive(Debug, Default)]
pub struct Shown {
    environments: BTreeMap<Arc<str>, Environment>,
}

#[derive(Debug, Default)]
struct Environment {
    nodes: HashSet<Arc<Node>>,
    joins: Joins,
}

/// Nodes of environments that a question is about: those a graph shows, and all that join them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meant {
    /// What graphs show, of all environments.
    pub shown: BTreeSet<Arc<Node>>,
    nodes: HashSet<(Arc<str>, Arc<Node>)>,
}

impl Shown {
    /// The nodes of a range: of memory, and of the tables where the range goes back that far.
    ///
    /// # Errors
    /// ClickHouse is needed and can't answer.
    pub async fn of(app: &App, filter: &Filter, asked: Asked, only_tables: bool) -> Result<Self, ApiError> {
        let mut found = Self::default();
        let now_us = now_us();
        let (from_s, to_s) = asked.seconds(now_us);
        // As tables are asked for numbers: of a month ago they hold whole hours only.
        let (from_s, to_s) = answerable(from_s, to_s, u32::try_from(now_us / 1_000_000).unwrap_or_default());
        let live_from_s = {
            let live = locked(&app.live);
            let everything = Filter { operation: None, probes: true, ..filter.clone() };
            for (environment, client, server, _) in live.edges(&everything) {
                found.add(environment, client);
                found.add(environment, server);
            }
            for (environment, service) in live.known_services(&everything) {
                found.add(environment, service);
            }
            live.complete_from_s()
        };
        if only_tables || from_s < live_from_s {
            let known = app.stored.known_nodes(from_s, to_s, filter.environment.as_deref()).await;
            for row in known.map_err(|error| ApiError::store_unavailable(&error))? {
                if filter.wants_environment(&row.environment) {
                    let environment: Arc<str> = row.environment.as_str().into();
                    found.add(&environment, &row.node());
                }
            }
        }
        found.environments.values_mut().for_each(Environment::join);
        Ok(found)
    }

    /// The service of a name, or of what joined one, in this namespace and cluster.
    ///
    /// # Errors
    /// There is none, or the name is that of services in several namespaces and none is given.
    pub fn service(&self, name: &str, place: &Around, allowed: &Allowed) -> Result<Meant, ApiError> {
        let meant = self.meant(|node, shown| {
            shown.kind == Kind::Service
                && (shown.name == name || node.name == name)
                && place.is(shown)
                && allowed.namespace(&shown.namespace)
        });
        let namespaces: BTreeSet<&str> = meant.shown.iter().map(|node| node.namespace.as_str()).collect();
        match namespaces.len() {
            0 => Err(ApiError::not_found(format!("no service {name} was seen in this time"))),
            1 => Ok(meant),
            _ => Err(ApiError::bad_request(format!(
                "there are services of this name in several namespaces: say which, namespace={}",
                namespaces.into_iter().collect::<Vec<_>>().join(" or namespace=")
            ))),
        }
    }

    /// The node of an id as graphs show it, or the id of what joined a service.
    ///
    /// # Errors
    /// There is none.
    pub fn id(&self, id: &str) -> Result<Meant, ApiError> {
        let meant = self.meant(|node, shown| shown.to_string() == id || node.to_string() == id);
        if meant.shown.is_empty() {
            return Err(ApiError::not_found(format!("no node {id} was seen in this time")));
        }
        Ok(meant)
    }

    fn add(&mut self, environment: &Arc<str>, node: &Arc<Node>) {
        if !self.environments.contains_key(environment) {
            self.environments.insert(environment.clone(), Environment::default());
        }
        if let Some(environment) = self.environments.get_mut(environment)
            && !environment.nodes.contains(node)
        {
            environment.nodes.insert(node.clone());
        }
    }

    /// What matches, and everything that is shown as one of these. Each environment decides for itself.
    fn meant(&self, matches: impl Fn(&Node, &Node) -> bool) -> Meant {
        let mut meant = Meant::default();
        for (name, environment) in &self.environments {
            let matching = environment.nodes.iter().filter(|node| matches(node, environment.shown(node)));
            let shown: HashSet<&Arc<Node>> = matching.map(|node| environment.shown(node)).collect();
            let nodes = environment.nodes.iter().filter(|node| shown.contains(environment.shown(node)));
            meant.nodes.extend(nodes.map(|node| (name.clone(), node.clone())));
            meant.shown.extend(shown.into_iter().cloned());
        }
        meant
    }
}

impl Environment {
    fn join(&mut self) {
        self.joins = joins(&self.nodes.iter().collect());
    }

    fn shown<'a>(&'a self, node: &'a Arc<Node>) -> &'a Arc<Node> {
        self.joins.get(node).unwrap_or(node)
    }
}

impl Meant {
    /// Whether it is one of these.
    pub fn contains(&self, environment: &Arc<str>, node: &Arc<Node>) -> bool {
        self.nodes.contains(&(environment.clone(), node.clone()))
    }

    /// The id that graphs show; `None` where environments show different nodes.
    pub fn id(&self) -> Option<String> {
        let mut ids = self.shown.iter().map(ToString::to_string);
        ids.next().filter(|_| ids.next().is_none())
    }

    /// Environment and node of each.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(environment, node)| (&**environment, &**node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Names;

    fn node(kind: Kind, namespace: &str, name: &str) -> Arc<Node> {
        let (cluster, namespace, name) = (String::new(), namespace.to_owned(), name.to_owned());
        Arc::new(Node { cluster, namespace, name, kind })
    }

    fn shown(nodes: &[(&str, &Arc<Node>)]) -> Shown {
        let mut shown = Shown::default();
        for (environment, node) in nodes {
            shown.add(&Arc::from(*environment), node);
        }
        shown.environments.values_mut().for_each(Environment::join);
        shown
    }

    #[test]
    fn an_id_means_the_service_and_the_names_that_joined_it() {
        let (payment, host) =
            (node(Kind::Service, "shop", "payment"), node(Kind::External, "", "payment:8080"));
        let shown = shown(&[("prod", &payment), ("prod", &host), ("dev", &host)]);
        let meant = shown.id("shop/payment").unwrap();
        assert!(meant.contains(&"prod".into(), &host) && !meant.contains(&"dev".into(), &host));
        // The host is shown as the service where it joined one, and as itself in the other environment.
        assert_eq!(shown.id("external:payment:8080").unwrap().shown.len(), 2);
        assert_eq!(shown.id("payment").unwrap_err().status(), 404);
    }

    #[test]
    fn a_name_in_two_namespaces_needs_one() {
        let shown = shown(&[
            ("prod", &node(Kind::Service, "shop", "payment")),
            ("prod", &node(Kind::Service, "billing", "payment")),
        ]);
        let everything = Allowed::default();
        let (anywhere, within) = (Around::default(), |namespace: &str| Around {
            namespace: Some(namespace.to_owned()),
            ..Around::default()
        });
        let refused = shown.service("payment", &anywhere, &everything).unwrap_err();
        assert_eq!(refused.status(), 400);
        assert!(refused.message.contains("namespace=billing or namespace=shop"), "{refused}");
        assert_eq!(shown.service("payment", &within("shop"), &everything).unwrap().shown.len(), 1);
        assert_eq!(shown.service("payment", &within("other"), &everything).unwrap_err().status(), 404);
        let namespaces: Names = Some(Arc::new(["billing".to_owned()].into()));
        let allowed = Allowed { namespaces, ..Allowed::default() };
        let billing = shown.service("payment", &anywhere, &allowed).unwrap();
        assert_eq!(billing.shown.first().unwrap().namespace, "billing");
    }
}
