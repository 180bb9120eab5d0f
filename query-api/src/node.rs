//! The nodes of a flow graph: who calls and who is called.

use schemas::v1::NodeKind;
use serde::Serialize;
use std::cmp::Ordering;
use std::fmt;
use utoipa::ToSchema;

/// Identity of a node. The name is first, because that is where most nodes differ: comparing ends there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    /// Name of the service, database, topic or host.
    pub name: String,
    /// Namespace, "" if unknown.
    pub namespace: String,
    /// Kubernetes cluster, "" if unknown.
    pub cluster: String,
    /// What it is.
    pub kind: Kind,
}

impl Node {
    fn parts(&self) -> (&str, &str, &str, Kind) {
        (&self.name, &self.namespace, &self.cluster, self.kind)
    }
}

impl Ord for Node {
    fn cmp(&self, other: &Self) -> Ordering {
        // Graphs share their nodes, and who looks one up mostly meets it.
        if std::ptr::eq(self, other) { Ordering::Equal } else { self.parts().cmp(&other.parts()) }
    }
}

impl PartialOrd for Node {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A caller or callee nobody named.
    Unknown,
    /// Emits spans.
    Service,
    /// Whoever calls a service that has no caller span.
    User,
    /// Browser, mobile app, command line.
    Client,
    /// Database or cache.
    Database,
    /// Topic or queue.
    Topic,
    /// A host or service that emits no spans.
    External,
    /// All services of a namespace, in graphs that are grouped.
    Namespace,
    /// All services of a cluster, in graphs that are grouped.
    Cluster,
}

impl Kind {
    /// From the number in a message; numbers of later versions read as unknown.
    pub fn of_message(number: i32) -> Self {
        match NodeKind::try_from(number) {
            Ok(NodeKind::Service) => Self::Service,
            Ok(NodeKind::User) => Self::User,
            Ok(NodeKind::Client) => Self::Client,
            Ok(NodeKind::Database) => Self::Database,
            Ok(NodeKind::Topic) => Self::Topic,
            Ok(NodeKind::External) => Self::External,
            Ok(NodeKind::Unknown) | Err(_) => Self::Unknown,
        }
    }

    /// From the text in a table.
    pub fn of_text(text: &str) -> Self {
        let kinds = [Self::Service, Self::User, Self::Client, Self::Database, Self::Topic, Self::External];
        kinds.into_iter().find(|kind| kind.as_str() == text).unwrap_or(Self::Unknown)
    }

    /// The text in tables and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Service => "service",
            Self::User => "user",
            Self::Client => "client",
            Self::Database => "database",
            Self::Topic => "topic",
            Self::External => "external",
            Self::Namespace => "namespace",
            Self::Cluster => "cluster",
        }
    }
}

/// The id of a node in answers: `[cluster/][namespace/]name` for services, with `kind:` before it for the others.
/// A `/` or `%` inside a part is escaped, and so is a `:` inside a service's id (the first colon ends the kind), so
/// two nodes never share an id. A cluster without a namespace leaves the namespace's place empty.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind != Kind::Service {
            write!(f, "{}:", self.kind.as_str())?;
        }
        if !self.cluster.is_empty() {
            write!(f, "{}/", self.escaped(&self.cluster))?;
        }
        if !(self.namespace.is_empty() && self.cluster.is_empty()) {
            write!(f, "{}/", self.escaped(&self.namespace))?;
        }
        f.write_str(&self.escaped(&self.name))
    }
}

impl Node {
    fn escaped(&self, part: &str) -> String {
        let part = part.replace('%', "%25").replace('/', "%2F");
        if self.kind == Kind::Service { part.replace(':', "%3A") } else { part }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(cluster: &str, namespace: &str, name: &str, kind: Kind) -> String {
        Node { cluster: cluster.into(), namespace: namespace.into(), name: name.into(), kind }.to_string()
    }

    #[test]
    fn ids_read_well_and_never_meet() {
        assert_eq!(id("", "", "auth", Kind::Service), "auth");
        assert_eq!(id("", "shop", "auth", Kind::Service), "shop/auth");
        assert_eq!(id("eu", "", "auth", Kind::Service), "eu//auth");
        assert_eq!(id("", "", "postgresql", Kind::Database), "database:postgresql");
        assert_ne!(id("", "a", "b/c", Kind::Service), id("", "a/b", "c", Kind::Service));
        assert_ne!(id("", "", "database:x", Kind::Service), id("", "", "x", Kind::Database));
    }

    #[test]
    fn kinds_survive_the_way_through_tables() {
        for kind in [
            Kind::Unknown,
            Kind::Service,
            Kind::User,
            Kind::Client,
            Kind::Database,
            Kind::Topic,
            Kind::External,
        ] {
            assert_eq!(Kind::of_text(kind.as_str()), kind);
        }
        assert_eq!((Kind::of_text("satellite"), Kind::of_message(99)), (Kind::Unknown, Kind::Unknown));
    }
}
