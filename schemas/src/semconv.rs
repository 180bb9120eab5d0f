//! `semconv.toml` as values: which attribute says what. The reader compiles it into a matcher.

use serde::Deserialize;
use std::collections::BTreeMap;

/// The table that comes with Weir.
pub const EMBEDDED: &str = include_str!("../semconv.toml");

/// Attribute names by what they say; the first that is present counts.
pub type Names<Fact> = BTreeMap<Fact, Vec<String>>;

/// All of `semconv.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Resource attributes.
    pub resource: Names<ResourceFact>,
    /// Span attributes.
    pub span: Names<SpanFact>,
    /// Attributes of span events.
    pub event: Names<EventFact>,
    /// Keys inside a `baggage` header.
    pub baggage: Names<BaggageFact>,
    /// What tells one request from another.
    pub request_keys: RequestKeys,
    /// Attributes that settle a yes-or-no question.
    pub markers: BTreeMap<Marker, Markers>,
    /// Health checks.
    pub probe: Probe,
    /// Clients without spans of their own, tried in this order.
    pub client_agents: Vec<ClientAgent>,
    /// Exceptions and error types.
    pub failures: Failures,
    /// Envoy's response flags.
    pub response_flags: ResponseFlags,
    /// Spellings of `messaging.operation.type`.
    pub messaging_operations: BTreeMap<MessagingOperation, Vec<String>>,
    /// Attribute name to the messaging system that its presence tells.
    pub messaging_system_of: BTreeMap<String, String>,
    /// Old to new names of messaging systems.
    pub messaging_systems: BTreeMap<String, String>,
    /// Old to new names of databases.
    pub db_systems: BTreeMap<String, String>,
    /// RPC systems whose service is the callee's name.
    pub cloud_rpc: RpcSystems,
    /// RPC systems whose span names are methods.
    pub named_rpc: RpcSystems,
    /// Spellings of span kinds.
    pub span_kinds: BTreeMap<SpanKind, Vec<String>>,
    /// CLIENT spans that are no calls.
    pub steps: Steps,
    /// gRPC status names.
    pub grpc: Grpc,
    /// What stored text was on the wire.
    pub stored: Stored,
}

macro_rules! facts {
    ($(#[$doc:meta])* $name:ident { $($variant:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[allow(missing_docs)] // the rows of semconv.toml say what each is
        pub enum $name { $($variant),* }

        impl $name {
            /// Every one, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
        }
    };
}

facts!(
    /// Rows of `[resource]`.
    ResourceFact { Cluster, Namespace, Service, Version, Pod, Environment }
);

facts!(
    /// Rows of `[span]`.
    SpanFact {
        Operation, Baggage, OperationHeader, OperationVendor, OperationWidget, UiEvent, SessionId, UserId,
        HttpMethod, HttpRoute, UrlPath, UrlFull, UrlQuery, HttpStatus, UserAgent,
        RpcSystem, RpcService, RpcMethod, GrpcStatus, Component, Resends, Attempts,
        PeerService, PeerNamespace, FaasInvoked, ServerAddress, ServerPort, NetworkPeer,
        DbSystem, DbNamespace, DbCollection, DbOperation, DbStatement, DbConnection,
        MessagingSystem, MessagingDestination, MessagingTemplate, MessagingTemporary, MessagingOperation, MessagingBatch,
        ProxyService, ProxyNamespace, ResponseFlags, ErrorType, ExceptionType, CallingClient, Breaker, RequestKey,
        SampleRate, SpanKind, StatusCode, Error,
    }
);

facts!(
    /// Rows of `[event]`.
    EventFact { ExceptionType }
);

facts!(
    /// Rows of `[baggage]`.
    BaggageFact { Operation, OperationVendor, SessionId, UserId }
);

facts!(
    /// Sections of `[markers]`.
    Marker { ClientResource, Proxy, Streaming, Timer }
);

facts!(
    /// Rows of `[messaging_operations]`.
    MessagingOperation { Create, Send, Receive, Process, Settle }
);

facts!(
    /// Rows of `[span_kinds]`.
    SpanKind { Internal, Server, Client, Producer, Consumer }
);

/// `[request_keys]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestKeys {
    /// Span facts that count.
    pub facts: Vec<SpanFact>,
    /// Attributes whose names begin so count too.
    pub prefixes: Vec<String>,
}

/// A question's answers: any one of them is a yes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Markers {
    /// The attribute is there.
    pub present: Vec<String>,
    /// The attribute has one of these values; case doesn't matter.
    #[serde(default)]
    pub equals: BTreeMap<String, Vec<String>>,
    /// The attribute's text begins with one of these; case doesn't matter.
    #[serde(default)]
    pub starts_with: BTreeMap<String, Vec<String>>,
}

/// `[probe]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Beginnings of user agents.
    pub user_agents: Vec<String>,
    /// Whole paths or routes.
    pub paths: Vec<String>,
    /// RPC services.
    pub rpc_services: Vec<String>,
}

/// One entry of `[[client_agents]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientAgent {
    /// Name of the node.
    pub name: String,
    /// Beginnings of the user agents that stand for it.
    pub user_agents: Vec<String>,
}

/// `[failures]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failures {
    /// No answer in time.
    pub timeouts: Vec<String>,
    /// Never sent.
    pub rejections: Vec<String>,
}

/// `[response_flags]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponseFlags {
    /// No answer in time.
    pub timeouts: Vec<String>,
    /// Never sent.
    pub rejections: Vec<String>,
    /// Nothing went wrong.
    pub none: Vec<String>,
}

/// `[cloud_rpc]`, `[named_rpc]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RpcSystems {
    /// Values of `rpc.system.name`.
    pub systems: Vec<String>,
}

/// `[steps]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    /// Their names.
    pub span_names: Vec<String>,
}

/// `[grpc]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grpc {
    /// The position of a name is its number.
    pub codes: Vec<String>,
}

/// `[stored]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// Attributes whose names begin so are lists of texts.
    pub lists: Vec<String>,
    /// These attributes are numbers.
    pub numbers: Vec<String>,
}

/// Why a table was refused.
#[derive(Debug, thiserror::Error)]
pub enum SemconvError {
    /// Not TOML, or not of this shape.
    #[error("semconv table: {0}")]
    Shape(#[from] toml::de::Error),
    /// A fact that the code knows has no row.
    #[error("semconv table: [{section}] has no row for {fact}")]
    Missing {
        /// Section of the table.
        section: &'static str,
        /// The fact's name.
        fact: String,
    },
}

/// Reads a table and checks that every fact has its row.
///
/// # Errors
/// If the text is not a table of this shape, or a fact has no row.
pub fn parse(text: &str) -> Result<Table, SemconvError> {
    let table: Table = toml::from_str(text)?;
    complete("resource", ResourceFact::ALL, &table.resource)?;
    complete("span", SpanFact::ALL, &table.span)?;
    complete("event", EventFact::ALL, &table.event)?;
    complete("baggage", BaggageFact::ALL, &table.baggage)?;
    complete("markers", Marker::ALL, &table.markers)?;
    complete("messaging_operations", MessagingOperation::ALL, &table.messaging_operations)?;
    complete("span_kinds", SpanKind::ALL, &table.span_kinds)?;
    Ok(table)
}

fn complete<Fact: Ord + std::fmt::Debug, Row>(
    section: &'static str,
    facts: &[Fact],
    rows: &BTreeMap<Fact, Row>,
) -> Result<(), SemconvError> {
    match facts.iter().find(|fact| !rows.contains_key(fact)) {
        Some(fact) => Err(SemconvError::Missing { section, fact: format!("{fact:?}") }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_table_is_complete() {
        let table = parse(EMBEDDED).unwrap();
        assert_eq!(table.span.len(), SpanFact::ALL.len());
        assert_eq!(table.grpc.codes.len(), 17);
        assert_eq!(table.grpc.codes[14], "UNAVAILABLE");
    }

    #[test]
    fn no_attribute_stands_for_two_facts() {
        let table = parse(EMBEDDED).unwrap();
        let mut seen = BTreeMap::new();
        for (fact, names) in &table.span {
            for name in names {
                assert_eq!(seen.insert(name, fact), None, "{name} stands in two rows");
            }
        }
    }

    #[test]
    fn no_value_is_a_time_out_and_a_rejection() {
        let table = parse(EMBEDDED).unwrap();
        for (left, right) in [
            (&table.failures.timeouts, &table.failures.rejections),
            (&table.response_flags.timeouts, &table.response_flags.rejections),
        ] {
            assert!(left.iter().all(|name| !right.iter().any(|other| other.eq_ignore_ascii_case(name))));
        }
    }

    #[test]
    fn a_misspelt_or_missing_row_is_refused() {
        let misspelt = EMBEDDED.replacen("http_method =", "http_metod =", 1);
        assert!(matches!(parse(&misspelt), Err(SemconvError::Shape(_))));
        let missing = EMBEDDED.replacen("http_route = [\"http.route\"]\n", "", 1);
        assert!(matches!(parse(&missing), Err(SemconvError::Missing { section: "span", .. })));
    }
}
