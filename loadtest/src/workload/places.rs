//! What emits no spans of its own: databases, the topic, other companies' hosts.

use super::cast::Actor;

/// Where a client connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// DNS name.
    pub name: &'static str,
    /// Port.
    pub port: u16,
}

/// A database as its clients name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Database {
    /// `db.system.name`.
    pub system: &'static str,
    /// Where it listens.
    pub host: Host,
    /// `db.namespace`.
    pub namespace: &'static str,
}

const fn postgresql(address: &'static str, namespace: &'static str) -> Database {
    Database { system: "postgresql", host: Host { name: address, port: 5432 }, namespace }
}

/// Accounts.
pub const USERS: Database = postgresql("user-db", "users");
/// Machines and hosts.
pub const VMS: Database = postgresql("vm-db", "vms");
/// Volumes.
pub const VOLUMES: Database = postgresql("volume-db", "volumes");
/// Ports and addresses.
pub const NETWORKS: Database = postgresql("network-db", "networks");
/// Invoices.
pub const INVOICES: Database = postgresql("billing-db", "invoices");
/// Sessions and cached settings.
pub const SESSIONS: Database =
    Database { system: "redis", host: Host { name: "session-cache", port: 6379 }, namespace: "0" };

/// The payment company.
pub const PAYMENTS: Host = Host { name: "payments.example.com", port: 443 };
/// The company that delivers mail.
pub const MAIL: Host = Host { name: "mail.example.com", port: 443 };

/// The Kafka topic.
pub const VM_EVENTS: &str = "vm-events";

impl Database {
    /// How the flow graph names it: `system:address/namespace`.
    pub fn node_name(&self) -> String {
        format!("{}:{}/{}", self.system, self.host.name, self.namespace)
    }
}

impl Actor {
    /// Where its callers connect to.
    pub(super) fn host(self) -> Host {
        match self {
            Self::Gateway => Host { name: "console.example.com", port: 443 },
            _ => Host { name: self.name(), port: 8443 },
        }
    }
}
