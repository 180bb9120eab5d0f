//! A graph in which each version of a service is a node of its own. Memory doesn't know versions of edges apart, so
//! all of it comes from tables.

use crate::App;
use crate::answer::Plan;
use crate::builder::GraphBuilder;
use crate::conditions::Conditions;
use crate::error::ApiError;
use crate::graph::Graph;
use crate::node::{Kind, Node};
use crate::rows::{self, Adder};
use crate::totals::{EdgeId, Totals};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The graph of a range by version, with the names that its nodes' ids were made of.
#[derive(Debug, Default)]
pub struct Versions {
    /// Versions are part of the names.
    pub totals: Totals,
    /// Name and version by id.
    names: BTreeMap<String, (String, String)>,
}

/// Reads a range's graph by version. `keep` is given all nodes and edges, without versions and numbers, and leaves
/// those that are wanted.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn of(
    app: &App,
    plan: Plan,
    conditions: &Conditions,
    environment: Option<&str>,
    keep: impl FnOnce(&mut Totals),
) -> Result<Versions, ApiError> {
    let segments = plan.stored();
    let known = async {
        let known = app.stored.known_services(plan.from_s, plan.to_s, environment).await;
        known.map_err(|error| ApiError::store_unavailable(&error))
    };
    let (edges, services, known) = tokio::try_join!(
        rows::edges(app, &segments, conditions, true),
        rows::services(app.clone(), segments.clone(), conditions.clone()),
        known
    )?;
    let (mut adder, mut builders) = (Adder::default(), BTreeMap::<Arc<str>, GraphBuilder>::new());
    for row in edges {
        adder.edge(builders.entry(row.version.clone()).or_default(), row);
    }
    for row in services {
        adder.service(builders.entry(row.version.clone()).or_default(), row);
    }
    for builder in builders.values_mut() {
        known.iter().for_each(|row| adder.known(builder, row.clone()));
    }
    Ok(apart(builders.into_iter().map(|(version, builder)| (version, builder.join())).collect(), keep))
}

/// One graph of the graphs of each version.
fn apart(by_version: BTreeMap<Arc<str>, Totals>, keep: impl FnOnce(&mut Totals)) -> Versions {
    let mut outline = Totals::default();
    for totals in by_version.values() {
        let edges = totals.edges.keys().map(|id| (id.clone(), Arc::default()));
        outline.edges.extend(edges);
        outline.services.extend(totals.services.keys().map(|node| (node.clone(), Default::default())));
        for (node, names) in &totals.joined {
            outline.joined.entry(node.clone()).or_default().extend(names.iter().cloned());
        }
    }
    keep(&mut outline);
    let only = only_versions(&by_version);
    let mut found = Versions::default();
    for (version, totals) in by_version {
        let kept = |id: &EdgeId| outline.edges.contains_key(id);
        for ((client, server), edge) in totals.edges.into_iter().filter(|(id, _)| kept(id)) {
            let client_version = only.get(&client).and_then(Option::as_deref).unwrap_or_default();
            let id = (found.node(&client, client_version), found.node(&server, &version));
            // Its requests are those of its versions: the calls it made must not stand for them.
            if client_version.is_empty() && outline.services.contains_key(&client) {
                found.totals.add_service(id.0.clone(), Arc::default());
            }
            found.totals.add_edge(id, edge);
        }
        for (node, service) in totals.services {
            if outline.services.contains_key(&node) {
                let node = found.node(&node, &version);
                found.totals.add_service(node, service);
            }
        }
    }
    found
}

/// The version of each service that has one only.
fn only_versions(by_version: &BTreeMap<Arc<str>, Totals>) -> BTreeMap<Arc<Node>, Option<String>> {
    let mut versions: BTreeMap<Arc<Node>, BTreeSet<&str>> = BTreeMap::new();
    for (version, totals) in by_version {
        let called = totals.edges.keys().map(|(_, server)| server);
        for node in called.chain(totals.services.keys()) {
            versions.entry(node.clone()).or_default().insert(version);
        }
    }
    let only = |versions: BTreeSet<&str>| {
        versions.first().filter(|_| versions.len() == 1).map(|version| (*version).to_owned())
    };
    versions.into_iter().map(|(node, versions)| (node, only(versions))).collect()
}

impl Versions {
    fn node(&mut self, node: &Arc<Node>, version: &str) -> Arc<Node> {
        if node.kind != Kind::Service || version.is_empty() {
            return node.clone();
        }
        // Names may hold an @, so versions may not: the last one ends the name.
        let name = format!("{}@{}", node.name, version.replace('@', "%40"));
        let versioned = Arc::new(Node { name, ..(**node).clone() });
        self.names.insert(versioned.to_string(), (node.name.clone(), version.to_owned()));
        versioned
    }

    /// Gives the nodes of an answer their names without versions.
    pub fn name(&self, graph: &mut Graph) {
        for node in &mut graph.nodes {
            if let Some((name, version)) = self.names.get(&node.id) {
                node.service.name.clone_from(name);
                node.service.version.clone_from(version);
                node.service.versions = vec![version.clone()];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::{EdgeCounts, ServiceCounts};
    use crate::totals::{EdgeTotals, ServiceTotals};

    fn node(name: &str) -> Arc<Node> {
        let (cluster, namespace) = (String::new(), String::new());
        Arc::new(Node { cluster, namespace, name: name.to_owned(), kind: Kind::Service })
    }

    fn totals(edges: &[(&str, &str, i64)]) -> Totals {
        let edge = |(client, server, calls): &(&str, &str, i64)| {
            let counts = EdgeCounts { calls: *calls, ..EdgeCounts::default() };
            ((node(client), node(server)), EdgeTotals { counts, ..EdgeTotals::default() }.into())
        };
        Totals { edges: edges.iter().map(edge).collect(), ..Totals::default() }
    }

    #[test]
    fn callees_are_told_apart_and_callers_where_they_have_one_version() {
        let by_version = BTreeMap::from([
            ("1".into(), totals(&[("web", "pay", 5), ("cli", "web", 7)])),
            ("2".into(), totals(&[("web", "pay", 2), ("pay", "bank", 1)])),
        ]);
        let found = apart(by_version, |_| {});
        let shown: Vec<_> = found
            .totals
            .edges
            .iter()
            .map(|((client, server), edge)| format!("{client} {server} {}", edge.counts.calls))
            .collect();
        assert_eq!(shown, ["cli web@1 7", "pay bank@2 1", "web@1 pay@1 5", "web@1 pay@2 2"]);
        assert_eq!(found.names["pay@2"], ("pay".to_owned(), "2".to_owned()));
    }

    #[test]
    fn calls_that_a_service_made_are_no_requests_beside_those_of_its_versions() {
        let version = |requests: i64, calls: i64| {
            let mut totals = totals(&[("web", "pay", calls)]);
            let counts = ServiceCounts { requests, ..ServiceCounts::default() };
            totals.add_service(node("web"), ServiceTotals { counts, ..ServiceTotals::default() }.into());
            totals
        };
        let by_version = BTreeMap::from([("1".into(), version(5, 9)), ("2".into(), version(6, 2))]);
        let found = apart(by_version, |_| {});
        let requests: Vec<_> = found
            .totals
            .nodes()
            .into_iter()
            .map(|(node, totals)| (node.name.clone(), totals.counts.requests))
            .collect();
        let expected = [("pay@1", 9), ("pay@2", 2), ("web", 0), ("web@1", 5), ("web@2", 6)];
        assert_eq!(requests, expected.map(|(name, requests)| (name.to_owned(), requests)));
    }

    #[test]
    fn what_is_not_wanted_is_left_out_in_every_version() {
        let by_version = BTreeMap::from([
            ("1".into(), totals(&[("web", "pay", 5), ("web", "cart", 7)])),
            ("2".into(), totals(&[("web", "pay", 2)])),
        ]);
        let found = apart(by_version, |outline| *outline = outline.around(|node| node.name == "cart"));
        assert_eq!(found.totals.edges.len(), 1);
    }
}
