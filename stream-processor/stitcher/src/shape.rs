//! What a span says beside its ids and times. Many spans say the same: it is judged once, when it is first heard.

use crate::delta::NodeKind;
use crate::names::{EMPTY, NameId, Names, NodeId, ShapeId, SourceId};
use crate::span::{
    Facts, Failure, Kind, Messaging, MessagingOperation, OperationSource, Peer, PeerKind, Proxy, Resource,
    Span, Status,
};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use rustc_hash::FxBuildHasher;

/// What spans of one kind have in common.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Shape {
    pub source: SourceId,
    pub verdict: Verdict,
    pub marks: Marks,
    pub weight_milli: u32,
    pub peer: Option<NodeId>,
    /// The topic or queue of a messaging span.
    pub topic: Option<NodeId>,
    pub messaging: Option<MessagingOperation>,
    /// Hash of `server.address`; 0: none.
    pub address: u32,
    pub operation: Option<(OperationSource, NameId)>,
    pub fallback: Option<(Fallback, NameId)>,
    /// Route, RPC method or topic.
    pub entry: Option<NameId>,
    /// Browser, mobile app or command line that called, as a node.
    pub calling_client: Option<NodeId>,
    /// Name of a span without a parent.
    pub root_name: NameId,
    /// Circuit breaker this span stands for, as a node of that name.
    pub breaker: Option<NodeId>,
}

/// How one side of a call saw it end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Verdict {
    pub error: bool,
    pub client_error: bool,
    pub timeout: bool,
    pub rejected: bool,
    /// A client that tries again now does so because of this.
    pub retryable: bool,
    /// A redirect or a request for credentials: sending again is no retry.
    pub redirected: bool,
}

/// Yes-or-no facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Marks {
    pub proxy: bool,
    /// A stream by its own word: its length is no latency.
    pub stream: bool,
    pub probe: bool,
    pub timer: bool,
    pub resend: bool,
    /// The peer was named outright (`peer.service`), not derived from an address.
    pub names_peer: bool,
}

/// Where a flow's name comes from when nobody set one; the smaller, the stronger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Fallback {
    /// Method and `http.route` of a SERVER.
    Route,
    /// RPC method of a SERVER, topic of a CONSUMER, or a span name that is a specific path: the outermost wins.
    Entry,
    RootName,
}

/// The shape of a span. `said` is room to write in.
pub(crate) fn shape_of(span: &Span<'_>, names: &mut Names, said: &mut Vec<u8>) -> ShapeId {
    if let Some(shape) = names.shape_of_form(span.form) {
        return shape;
    }
    let shape = shape_by_value(span, names, said);
    names.remember_form(span.form, shape);
    shape
}

fn shape_by_value(span: &Span<'_>, names: &mut Names, said: &mut Vec<u8>) -> ShapeId {
    let source = source_of(span, names);
    said.clear();
    write(span, source, said);
    let (hash, known) = names.said_before(said);
    if let Some(shape) = known {
        return shape;
    }
    let shape = Shape::new(span, source, names);
    let shape = names.shape_id(shape);
    names.remember(hash, said, shape);
    shape
}

/// Everything that [`Shape::new`] looks at, so that equal bytes mean equal shapes.
fn write(span: &Span<'_>, source: SourceId, to: &mut Vec<u8>) {
    // All of them by name, so that a new one can't be left out unnoticed.
    let Facts {
        operation,
        http_method,
        http_route,
        rpc_method,
        http_status: _,
        grpc_status: _,
        resends: _,
        peer,
        server_address,
        messaging,
        proxy: _,
        failure: _,
        streaming: _,
        probe: _,
        timer: _,
        calling_client,
        breaker,
        request_key: _,
        ui_event: _,
        session_id: _,
        user_id: _,
        weight_milli,
    } = &span.facts;
    to.extend_from_slice(&small(span));
    to.extend_from_slice(&weight_milli.unwrap_or(1_000).to_le_bytes());
    to.extend_from_slice(&source.0.to_le_bytes());
    let Messaging { system, destination, .. } = messaging.unwrap_or_default();
    let (peer_name, peer_namespace) = peer.as_ref().map_or(("", ""), |peer| (&*peer.name, peer.namespace));
    let operation = operation.as_ref().map_or("", |(_, name)| name);
    // Most names of outgoing calls say nothing that is needed.
    let name = if needs_name(span) { span.name } else { "" };
    write_texts(
        &[
            name,
            operation,
            http_method,
            http_route,
            rpc_method,
            peer_name,
            peer_namespace,
            server_address,
            system,
            destination,
            calling_client,
            breaker,
        ],
        to,
    );
}

/// Flags, codes and kinds.
fn small(span: &Span<'_>) -> [u8; 10] {
    let facts = &span.facts;
    let flags = [
        facts.streaming,
        facts.probe,
        facts.timer,
        facts.proxy.is_some(),
        span.parent_id.is_none(),
        facts.resends.is_some_and(|n| n > 0),
    ];
    let [http_low, http_high] = facts.http_status.unwrap_or(0).to_le_bytes();
    [
        span.kind as u8,
        span.status as u8,
        flags.iter().fold(0, |bits, flag| bits << 1 | u8::from(*flag)),
        facts.failure.map_or(0, |failure| failure as u8 + 1),
        facts.operation.as_ref().map_or(0, |(source, _)| *source as u8 + 1),
        facts.peer.as_ref().map_or(0, |peer| peer.kind as u8 + 1),
        facts.messaging.map_or(0, |m| m.operation.map_or(1, |operation| operation as u8 + 2)),
        http_low,
        http_high,
        facts.grpc_status.map_or(0, |code| code.saturating_add(1)),
    ]
}

fn write_texts(texts: &[&str], to: &mut Vec<u8>) {
    for text in texts {
        to.extend_from_slice(&(text.len() as u32).to_le_bytes());
        to.extend_from_slice(text.as_bytes());
    }
}

/// Only [`fallback_of`] and whoever asks for the root's look at a span's name.
fn needs_name(span: &Span<'_>) -> bool {
    let facts = &span.facts;
    let is_named_otherwise = match span.kind {
        Kind::Client | Kind::Producer | Kind::Internal => true,
        Kind::Server => is_specific(facts.http_route) || !facts.rpc_method.is_empty(),
        Kind::Consumer | Kind::Unspecified => false,
    };
    span.parent_id.is_none() || !is_named_otherwise
}

impl Shape {
    fn new(span: &Span<'_>, source: SourceId, names: &mut Names) -> Self {
        let facts = &span.facts;
        let topic = topic_of(span, names);
        Self {
            source,
            verdict: Verdict::of(span.status, facts),
            marks: marks_of(span),
            weight_milli: facts.weight_milli.unwrap_or(1_000).max(1),
            peer: facts.peer.as_ref().map(|peer| peer_node(peer, names)),
            messaging: messaging_of(span),
            address: short_hash(facts.server_address),
            operation: facts.operation.as_ref().map(|(source, name)| (*source, names.text(name))),
            fallback: fallback_of(span, topic, names),
            entry: entry_of(span, topic, names),
            calling_client: virtual_node(facts.calling_client, NodeKind::Client, names),
            root_name: if span.parent_id.is_none() { names.text(span.name) } else { EMPTY },
            breaker: virtual_node(facts.breaker, NodeKind::Unknown, names),
            topic,
        }
    }
}

impl Verdict {
    /// A protocol code outranks the span's status (DESIGN 4.3).
    fn of(status: Status, facts: &Facts<'_>) -> Self {
        let http = facts.http_status.filter(|code| *code >= 100);
        let coded = http.is_some() || facts.grpc_status.is_some();
        let server_fault =
            http.is_some_and(|code| code >= 500) || matches!(facts.grpc_status, Some(2 | 4 | 12..=15));
        let caller_fault = http.is_some_and(|code| (400..500).contains(&code))
            || matches!(facts.grpc_status, Some(code) if code != 0 && !matches!(code, 2 | 4 | 12..=15));
        let rejected = facts.failure == Some(Failure::Rejection);
        let timeout = facts.failure == Some(Failure::Timeout)
            || matches!(http, Some(408 | 504))
            || facts.grpc_status == Some(4);
        let uncoded_fault = !coded && (status == Status::Error || rejected || timeout);
        let error = server_fault || uncoded_fault;
        Self {
            error,
            client_error: caller_fault && !error,
            timeout,
            rejected,
            retryable: !rejected
                && (error || timeout || matches!(http, Some(425 | 429)) || facts.grpc_status == Some(8)),
            redirected: matches!(http, Some(300..=399 | 401 | 407)),
        }
    }
}

fn marks_of(span: &Span<'_>) -> Marks {
    let facts = &span.facts;
    let peer_kind = facts.peer.as_ref().map(|peer| peer.kind);
    Marks {
        proxy: facts.proxy.is_some(),
        stream: facts.streaming,
        probe: facts.probe,
        timer: facts.timer,
        resend: facts.resends.is_some_and(|resends| resends > 0),
        names_peer: peer_kind == Some(PeerKind::Service),
    }
}

/// A proxy speaks for the service it stands beside.
fn source_of(span: &Span<'_>, names: &mut Names) -> SourceId {
    let Some(Proxy { service, namespace }) = span.facts.proxy.filter(|proxy| !proxy.service.is_empty())
    else {
        return names.source_of(span.resource_number, &span.resource);
    };
    let namespace = if namespace.is_empty() { span.resource.namespace } else { namespace };
    names.source_of(0, &Resource { service, namespace, ..span.resource })
}

fn peer_node(peer: &Peer<'_>, names: &mut Names) -> NodeId {
    match peer.kind {
        PeerKind::Service | PeerKind::External => {
            names.node_id("", peer.namespace, &peer.name, NodeKind::External)
        }
        PeerKind::Database => names.node_id("", peer.namespace, &peer.name, NodeKind::Database),
        // Pod addresses come and go: they share one node until somebody names them.
        PeerKind::Ip => names.virtual_node("ip", NodeKind::External),
    }
}

/// `messaging.operation.type` outranks the span's kind.
fn messaging_of(span: &Span<'_>) -> Option<MessagingOperation> {
    let said = span.facts.messaging.and_then(|messaging| messaging.operation);
    said.or(match span.kind {
        Kind::Producer if span.facts.messaging.is_some() => Some(MessagingOperation::Send),
        Kind::Consumer => Some(MessagingOperation::Process),
        _ => None,
    })
}

fn topic_of(span: &Span<'_>, names: &mut Names) -> Option<NodeId> {
    messaging_of(span)?;
    let messaging = span.facts.messaging.unwrap_or_default();
    let name = match (messaging.system, messaging.destination) {
        ("", "") => return None,
        (system, "") => return Some(names.virtual_node(system, NodeKind::Topic)),
        ("", destination) => String::from(destination),
        (system, destination) => format!("{system}:{destination}"),
    };
    Some(names.virtual_node(&name, NodeKind::Topic))
}

fn fallback_of(span: &Span<'_>, topic: Option<NodeId>, names: &mut Names) -> Option<(Fallback, NameId)> {
    let facts = &span.facts;
    if span.kind == Kind::Server && is_specific(facts.http_route) {
        return Some((Fallback::Route, names.text(&with_method(facts.http_method, facts.http_route))));
    }
    if span.kind == Kind::Server && !facts.rpc_method.is_empty() {
        return Some((Fallback::Entry, names.text(&facts.rpc_method)));
    }
    if let Some(topic) = topic.filter(|_| span.kind == Kind::Consumer) {
        let name = format!("process {}", names.node(topic).name);
        return Some((Fallback::Entry, names.text(&name)));
    }
    if !matches!(span.kind, Kind::Client | Kind::Producer | Kind::Internal)
        && let Some(path) = specific_path(span.name)
    {
        return Some((Fallback::Entry, names.text(&path)));
    }
    (span.parent_id.is_none() && !span.name.is_empty()).then(|| (Fallback::RootName, names.text(span.name)))
}

fn entry_of(span: &Span<'_>, topic: Option<NodeId>, names: &mut Names) -> Option<NameId> {
    let facts = &span.facts;
    if !facts.http_route.is_empty() {
        return Some(names.text(&with_method(facts.http_method, facts.http_route)));
    }
    if !facts.rpc_method.is_empty() {
        return Some(names.text(&facts.rpc_method));
    }
    let name = names.node(topic?).name.clone();
    Some(names.text(&name))
}

fn with_method(method: &str, route: &str) -> String {
    if method.is_empty() { String::from(route) } else { format!("{method} {route}") }
}

/// `/*` and `/` say nothing about what was asked for.
fn is_specific(route: &str) -> bool {
    route.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

/// `HTTP GET /vms/17?full=1` → `GET /vms/{}`; `None` when the name is no specific path.
fn specific_path(name: &str) -> Option<String> {
    let name = name.strip_prefix("HTTP ").unwrap_or(name);
    let (method, path) = match name.split_once(' ') {
        Some((method, path)) if method.bytes().all(|byte| byte.is_ascii_uppercase()) => (method, path),
        _ => ("", name),
    };
    let path = path.split(['?', '#']).next().unwrap_or(path);
    if !path.starts_with('/') || path.contains(' ') || !is_specific(path) {
        return None;
    }
    let mut templated = String::new();
    for segment in path.split('/').skip(1) {
        templated.push('/');
        templated.push_str(if is_id(segment) { "{}" } else { segment });
    }
    Some(with_method(method, &templated))
}

/// Numbers, UUIDs and other long hexadecimal words.
fn is_id(segment: &str) -> bool {
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    let hexadecimal = segment.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    digits > 0 && (digits == segment.len() || (hexadecimal && segment.len() >= 8))
}

fn virtual_node(name: &str, kind: NodeKind, names: &mut Names) -> Option<NodeId> {
    (!name.is_empty()).then(|| names.virtual_node(name, kind))
}

fn short_hash(text: &str) -> u32 {
    if text.is_empty() { 0 } else { (FxBuildHasher.hash_one(text) >> 32) as u32 | 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_paths_become_braces() {
        let cases = [
            ("/vms/17", Some("/vms/{}")),
            ("GET /vms/550e8400-e29b-41d4-a716-446655440000?full=1", Some("GET /vms/{}")),
            ("/api/v1/users/login", Some("/api/v1/users/login")),
            ("HTTP GET /hotels", Some("GET /hotels")),
            ("/cafe/deadbeef", Some("/cafe/deadbeef")),
            ("/*", None),
            ("/", None),
            ("GetDriver", None),
            ("HTTP GET", None),
            ("a /b", None),
        ];
        for (name, expected) in cases {
            assert_eq!(specific_path(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_code_outranks_the_status() {
        let of = |status, http_status, grpc_status| {
            let verdict = Verdict::of(status, &Facts { http_status, grpc_status, ..Facts::default() });
            (verdict.error, verdict.client_error, verdict.timeout)
        };
        assert_eq!(of(Status::Error, Some(200), None), (false, false, false));
        assert_eq!(of(Status::Error, Some(404), None), (false, true, false));
        assert_eq!(of(Status::Unset, Some(503), None), (true, false, false));
        assert_eq!(of(Status::Unset, Some(504), None), (true, false, true));
        assert_eq!(of(Status::Error, Some(408), None), (false, true, true));
        assert_eq!(of(Status::Error, None, Some(5)), (false, true, false));
        assert_eq!(of(Status::Unset, None, Some(14)), (true, false, false));
        assert_eq!(of(Status::Unset, None, Some(4)), (true, false, true));
        assert_eq!(of(Status::Error, None, None), (true, false, false));
        assert_eq!(of(Status::Ok, None, None), (false, false, false));
    }
}
