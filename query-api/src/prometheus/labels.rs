//! What tells series apart.

use crate::access::Allowed;
use crate::node::{Kind, Node};
use std::sync::Arc;

/// Of the calls from one node to another. Clusters are not told apart, as they aren't in Tempo's metrics.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub struct EdgeLabels {
    pub environment: Arc<str>,
    pub client: Peer,
    pub server: Peer,
    pub connection: &'static str,
}

/// Of the requests of an entry point of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub struct EndpointLabels {
    pub environment: Arc<str>,
    pub service: Peer,
    pub entry: Arc<str>,
    pub span_kind: &'static str,
}

/// One side of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Peer {
    pub namespace: Box<str>,
    pub name: Box<str>,
}

/// Labels that a page can hold.
pub trait Labels: Clone + Ord {
    /// Names and values.
    fn pairs(&self) -> Vec<(&'static str, &str)>;
    /// Whether who asks may know of it: as in graphs, an edge that touches an allowed namespace is seen.
    fn visible(&self, allowed: &Allowed) -> bool;
}

impl EdgeLabels {
    /// Of the calls between two nodes.
    pub fn new(environment: &Arc<str>, client: &Node, server: &Node) -> Self {
        Self {
            environment: environment.clone(),
            client: Peer::from(client),
            server: Peer::from(server),
            connection: connection(client.kind, server.kind),
        }
    }
}

/// Tempo's words for what lies between two nodes.
fn connection(client: Kind, server: Kind) -> &'static str {
    // Browsers and mobile apps may send spans; the others never do.
    let speaks = |kind| matches!(kind, Kind::Service | Kind::Client);
    match (client, server) {
        (Kind::Topic, _) | (_, Kind::Topic) => "messaging_system",
        (_, Kind::Database) => "database",
        (client, server) if speaks(client) && speaks(server) => "",
        _ => "virtual_node",
    }
}

impl From<&Node> for Peer {
    fn from(node: &Node) -> Self {
        Self { namespace: node.namespace.as_str().into(), name: node.name.as_str().into() }
    }
}

impl Labels for EdgeLabels {
    fn pairs(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("client", &self.client.name),
            ("server", &self.server.name),
            ("connection_type", self.connection),
            ("client_service_namespace", &self.client.namespace),
            ("server_service_namespace", &self.server.namespace),
            ("environment", &self.environment),
        ]
    }

    fn visible(&self, allowed: &Allowed) -> bool {
        let touches = [&self.client, &self.server].iter().any(|peer| allowed.namespace(&peer.namespace));
        touches && allowed.environment(&self.environment)
    }
}

impl Labels for EndpointLabels {
    fn pairs(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("service", &self.service.name),
            ("span_name", &self.entry),
            ("span_kind", self.span_kind),
            ("service_namespace", &self.service.namespace),
            ("environment", &self.environment),
        ]
    }

    fn visible(&self, allowed: &Allowed) -> bool {
        allowed.environment(&self.environment) && allowed.namespace(&self.service.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_named_as_tempo_does() {
        for (client, server, expected) in [
            (Kind::Service, Kind::Service, ""),
            (Kind::Client, Kind::Service, ""),
            (Kind::User, Kind::Service, "virtual_node"),
            (Kind::Unknown, Kind::Service, "virtual_node"),
            (Kind::Service, Kind::External, "virtual_node"),
            (Kind::Service, Kind::Database, "database"),
            (Kind::Service, Kind::Topic, "messaging_system"),
            (Kind::Topic, Kind::Service, "messaging_system"),
        ] {
            assert_eq!(connection(client, server), expected, "{client:?} {server:?}");
        }
    }
}
