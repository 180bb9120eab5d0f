//! A span as the shard keeps it: what its facts mean, judged once when it arrives.

use crate::delta::{Name, Node, NodeKind};
use crate::names::{Names, Source};
use crate::settings::Limits;
use crate::span::{Facts, Failure, Kind, MessagingOperation, OperationSource, Peer, PeerKind, Span, Status};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::hash::{BuildHasher, Hash, Hasher};
use rustc_hash::FxBuildHasher;

/// Start, id and kind.
pub(crate) type Place = (i64, u64, Kind);

/// One span.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub span_id: u64,
    /// 0: a root.
    pub parent_id: u64,
    pub content: u32,
    pub kind: Kind,
    pub verdict: Verdict,
    pub marks: Marks,
    pub start_us: i64,
    pub duration_us: u64,
    /// Second of event time in which it ended, clamped to what is plausible.
    pub window_s: u32,
    pub weight_milli: u32,
    pub source: Arc<Source>,
    pub peer: Option<Arc<Node>>,
    /// The topic or queue of a messaging span.
    pub topic: Option<Arc<Node>>,
    pub messaging: Option<MessagingOperation>,
    pub messages: u32,
    /// Span id of the first link, if it points into the same trace; else 0.
    pub link: u64,
    /// Hash of `server.address`; 0: none.
    pub address: u32,
    /// What two attempts of one request have in common: span name and request keys.
    pub attempt: u64,
    pub operation: Option<(OperationSource, Name)>,
    pub fallback: Option<(Fallback, Name)>,
    /// Route, RPC method or topic.
    pub entry: Option<Name>,
    pub calling_client: Option<Name>,
    pub breaker: Option<Name>,
    pub flow: Option<Box<FlowFacts>>,
}

/// What only one span of a trace says, about the whole flow.
#[derive(Clone, Debug)]
pub(crate) struct FlowFacts {
    pub root_name: Name,
    pub ui_event: Name,
    pub session_id: Name,
    pub user_hash: String,
}

/// How one side of a call saw it end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    pub proxy: bool,
    pub stream: bool,
    pub probe: bool,
    pub timer: bool,
    pub resend: bool,
    /// The peer was named outright (`peer.service`), not derived from an address.
    pub names_peer: bool,
}

/// Where a flow's name comes from when nobody set one; the smaller, the stronger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Fallback {
    /// Method and `http.route` of a SERVER.
    Route,
    /// RPC method of a SERVER, topic of a CONSUMER, or a span name that is a specific path: the outermost wins.
    Entry,
    RootName,
}

/// What the limits on spans stand for: a trace of 100,000 spans takes some 25 MB, a million open ones 250 MB, and
/// what they contributed about as much again.
const _: () = assert!(size_of::<Record>() <= 256);

impl Record {
    pub fn new(
        span: &Span<'_>,
        names: &mut Names,
        limits: &Limits,
        user_hash: String,
        clock_us: i64,
    ) -> Self {
        let facts = &span.facts;
        let duration_us = span.end_ns.saturating_sub(span.start_ns) / 1_000;
        let start_us = (span.start_ns / 1_000).cast_signed();
        let parent_id = span.parent_id.map_or(0, |id| id.0);
        let topic = topic_of(span, names);
        Self {
            span_id: span.span_id.0,
            parent_id,
            content: (span.content ^ (span.content >> 32)) as u32,
            kind: span.kind,
            verdict: Verdict::of(span.status, facts),
            marks: marks_of(span, duration_us, limits),
            start_us,
            duration_us,
            window_s: window_of(start_us + duration_us.cast_signed(), clock_us, limits),
            weight_milli: facts.weight_milli.unwrap_or(1_000).max(1),
            source: source_of(span, names),
            peer: facts.peer.as_ref().map(|peer| peer_node(peer, names)),
            messaging: messaging_of(span),
            messages: facts.messaging.and_then(|m| m.batch).unwrap_or(1).max(span.links).max(1),
            link: span.first_link.filter(|(trace, _)| *trace == span.trace_id).map_or(0, |(_, id)| id.0),
            address: short_hash(facts.server_address),
            attempt: attempt_of(span),
            operation: facts.operation.as_ref().map(|(source, name)| (*source, names.text(name))),
            fallback: fallback_of(span, topic.as_deref(), names),
            entry: entry_of(span, topic.as_deref(), names),
            calling_client: named(facts.calling_client, names),
            breaker: named(facts.breaker, names),
            flow: flow_facts(span, parent_id == 0, user_hash, names),
            topic,
        }
    }

    pub fn end_us(&self) -> i64 {
        self.start_us + self.duration_us.cast_signed()
    }

    /// Start, then id: an order that arrival has no part in. The halves of a call may share one id.
    pub fn place(&self) -> Place {
        (self.start_us, self.span_id, self.kind)
    }

    /// Makes a call or hands a message over.
    pub fn calls_out(&self) -> bool {
        matches!(self.kind, Kind::Client | Kind::Producer)
    }

    /// Answers a call or takes a message.
    pub fn answers(&self) -> bool {
        matches!(self.kind, Kind::Server | Kind::Consumer)
    }

    /// Hands messages to a topic.
    pub fn hands_over(&self) -> bool {
        matches!(self.messaging, Some(MessagingOperation::Create | MessagingOperation::Send))
    }

    /// Takes messages from a topic.
    pub fn takes(&self) -> bool {
        matches!(self.messaging, Some(MessagingOperation::Receive | MessagingOperation::Process))
    }

    /// Its length, unless it is a stream's.
    pub fn latency_us(&self) -> Option<u64> {
        (!self.marks.stream).then_some(self.duration_us)
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

fn marks_of(span: &Span<'_>, duration_us: u64, limits: &Limits) -> Marks {
    let facts = &span.facts;
    let peer_kind = facts.peer.as_ref().map(|peer| peer.kind);
    Marks {
        proxy: facts.proxy.is_some(),
        stream: facts.streaming || duration_us > limits.stream_us,
        probe: facts.probe,
        timer: facts.timer,
        resend: facts.resends.is_some_and(|resends| resends > 0),
        names_peer: peer_kind == Some(PeerKind::Service),
    }
}

/// The second in which a span ended; an implausible one is moved to the nearest plausible second. A clock that
/// has not started (files have no log time) finds everything plausible.
fn window_of(end_us: i64, clock_us: i64, limits: &Limits) -> u32 {
    let end_us = match is_plausible(end_us, clock_us, limits) {
        true => end_us,
        false => end_us.clamp(clock_us - limits.retention_us, clock_us + limits.future_us),
    };
    u32::try_from(end_us / 1_000_000).unwrap_or(0)
}

pub(crate) fn is_plausible(end_us: i64, clock_us: i64, limits: &Limits) -> bool {
    clock_us == 0 || (clock_us - limits.retention_us..=clock_us + limits.future_us).contains(&end_us)
}

/// A proxy speaks for the service it stands beside.
fn source_of(span: &Span<'_>, names: &mut Names) -> Arc<Source> {
    let mut resource = span.resource;
    if let Some(proxy) = span.facts.proxy
        && !proxy.service.is_empty()
    {
        resource.service = proxy.service;
        if !proxy.namespace.is_empty() {
            resource.namespace = proxy.namespace;
        }
    }
    names.source(&resource)
}

fn peer_node(peer: &Peer<'_>, names: &mut Names) -> Arc<Node> {
    match peer.kind {
        PeerKind::Service | PeerKind::External => {
            names.node("", peer.namespace, &peer.name, NodeKind::External)
        }
        PeerKind::Database => names.node("", peer.namespace, &peer.name, NodeKind::Database),
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

fn topic_of(span: &Span<'_>, names: &mut Names) -> Option<Arc<Node>> {
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

fn fallback_of(span: &Span<'_>, topic: Option<&Node>, names: &mut Names) -> Option<(Fallback, Name)> {
    let facts = &span.facts;
    if span.kind == Kind::Server && is_specific(facts.http_route) {
        return Some((Fallback::Route, names.text(&with_method(facts.http_method, facts.http_route))));
    }
    if span.kind == Kind::Server && !facts.rpc_method.is_empty() {
        return Some((Fallback::Entry, names.text(&facts.rpc_method)));
    }
    if let Some(topic) = topic.filter(|_| span.kind == Kind::Consumer) {
        return Some((Fallback::Entry, names.text(&format!("process {}", topic.name))));
    }
    if !matches!(span.kind, Kind::Client | Kind::Producer | Kind::Internal)
        && let Some(path) = specific_path(span.name)
    {
        return Some((Fallback::Entry, names.text(&path)));
    }
    (span.parent_id.is_none() && !span.name.is_empty()).then(|| (Fallback::RootName, names.text(span.name)))
}

fn entry_of(span: &Span<'_>, topic: Option<&Node>, names: &mut Names) -> Option<Name> {
    let facts = &span.facts;
    if !facts.http_route.is_empty() {
        return Some(names.text(&with_method(facts.http_method, facts.http_route)));
    }
    if !facts.rpc_method.is_empty() {
        return Some(names.text(&facts.rpc_method));
    }
    topic.map(|topic| topic.name.clone())
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

fn flow_facts(
    span: &Span<'_>,
    is_root: bool,
    user_hash: String,
    names: &mut Names,
) -> Option<Box<FlowFacts>> {
    let facts = &span.facts;
    let says_nothing = facts.ui_event.is_empty() && facts.session_id.is_empty() && user_hash.is_empty();
    if says_nothing && !is_root {
        return None;
    }
    Some(Box::new(FlowFacts {
        root_name: if is_root { names.text(span.name) } else { names.empty.clone() },
        ui_event: names.text(facts.ui_event),
        session_id: names.text(facts.session_id),
        user_hash,
    }))
}

fn named(text: &str, names: &mut Names) -> Option<Name> {
    (!text.is_empty()).then(|| names.text(text))
}

fn short_hash(text: &str) -> u32 {
    if text.is_empty() { 0 } else { (FxBuildHasher.hash_one(text) >> 32) as u32 | 1 }
}

fn attempt_of(span: &Span<'_>) -> u64 {
    let mut hasher = FxBuildHasher.build_hasher();
    span.name.hash(&mut hasher);
    span.facts.request_key.hash(&mut hasher);
    hasher.finish()
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

    #[test]
    fn only_files_find_every_time_plausible() {
        let limits = Limits::default();
        let now = 1_700_000_000_000_000;
        let year_2100 = 4_102_444_800_000_000;
        assert_eq!(window_of(year_2100, 0, &limits), 4_102_444_800);
        assert_eq!(window_of(year_2100, now, &limits), 1_700_000_600);
        assert_eq!(window_of(0, now, &limits), 1_700_000_000 - 86_400);
        assert_eq!(window_of(now - 1, now, &limits), 1_699_999_999);
    }
}
