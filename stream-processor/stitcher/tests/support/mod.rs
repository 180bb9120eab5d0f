//! Traces as small tables: one span a line, `id parent kind service start..end key=value …`, times in ms.
//!
//! Kinds: S server, C client, P producer, K consumer, I internal, U unspecified. `-` is no parent, or no service.

#![allow(dead_code)] // every test file uses its own part

use std::collections::BTreeMap;
use stitcher::delta::{EdgeCounts, Node};
use stitcher::span::{
    Facts, Failure, Kind, Messaging, MessagingOperation, OperationSource, Peer, PeerKind, Proxy, Resource,
    Span, SpanId, Status, TraceId,
};
use stitcher::{Commit, Settings, Shard};

/// All spans of a table belong to this trace unless `trace=` says otherwise.
pub const TRACE: u128 = 0xabc;
const EPOCH_MS: u64 = 1_700_000_000_000;

pub fn table(text: &'static str) -> Vec<Span<'static>> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(span).collect()
}

pub fn span(line: &'static str) -> Span<'static> {
    let mut words = line.split_whitespace();
    let mut next = || words.next().unwrap_or_else(|| panic!("too few words: {line}"));
    let (id, parent, kind, service, times) = (next(), next(), next(), next(), next());
    let (start, end) = times.split_once("..").expect("start..end");
    let nanos =
        |ms: &str| ((ms.parse::<f64>().expect("ms") * 1e6) as i64 + (EPOCH_MS * 1_000_000) as i64) as u64;
    let mut span = Span {
        trace_id: TraceId(TRACE),
        span_id: SpanId(id.parse().expect("id")),
        parent_id: (parent != "-").then(|| SpanId(parent.parse().expect("parent"))),
        kind: kind_of(kind),
        start_ns: nanos(start),
        end_ns: nanos(end),
        resource: Resource { service: if service == "-" { "" } else { service }, ..Resource::default() },
        content: line.bytes().fold(7, |hash, byte| hash.wrapping_mul(31) ^ u64::from(byte)),
        ..Span::default()
    };
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        set(&mut span, key, value);
    }
    span
}

fn kind_of(letter: &str) -> Kind {
    match letter {
        "S" => Kind::Server,
        "C" => Kind::Client,
        "P" => Kind::Producer,
        "K" => Kind::Consumer,
        "I" => Kind::Internal,
        "U" => Kind::Unspecified,
        other => panic!("kind {other}"),
    }
}

fn set(span: &mut Span<'static>, key: &str, value: &'static str) {
    let facts: &mut Facts<'static> = &mut span.facts;
    let number = || value.parse::<u32>().unwrap_or_else(|_| panic!("{key}={value}"));
    let peer = |kind| Some(Peer { name: value.into(), namespace: "", kind });
    match key {
        "name" => span.name = value,
        "trace" => span.trace_id = TraceId(u128::from(number())),
        "err" => span.status = Status::Error,
        "code" => facts.http_status = Some(number() as u16),
        "grpc" => facts.grpc_status = Some(number() as u8),
        "peer" => facts.peer = peer(PeerKind::Service),
        "host" => facts.peer = peer(PeerKind::External),
        "ip" => facts.peer = peer(PeerKind::Ip),
        "db" => facts.peer = peer(PeerKind::Database),
        "addr" => facts.server_address = value,
        "topic" => {
            let (system, destination) = value.split_once(':').expect("system:destination");
            facts.messaging = Some(Messaging { system, destination, ..facts.messaging.unwrap_or_default() });
        }
        "op" => {
            let messaging = facts.messaging.get_or_insert_default();
            messaging.operation = Some(match value {
                "create" => MessagingOperation::Create,
                "send" => MessagingOperation::Send,
                "receive" => MessagingOperation::Receive,
                "process" => MessagingOperation::Process,
                "settle" => MessagingOperation::Settle,
                other => panic!("op {other}"),
            });
        }
        "batch" => facts.messaging.get_or_insert_default().batch = Some(number()),
        "links" => span.links = number(),
        "link" => (span.links, span.first_link) = (1, Some((span.trace_id, SpanId(u64::from(number()))))),
        "breaker" => facts.breaker = value,
        "fail" => {
            facts.failure = Some(match value {
                "timeout" => Failure::Timeout,
                "rejection" => Failure::Rejection,
                other => panic!("fail {other}"),
            });
        }
        "resend" => facts.resends = Some(number()),
        "key" => facts.request_key = u64::from(number()),
        "operation" => facts.operation = Some((OperationSource::Attribute, value.into())),
        "header" => facts.operation = Some((OperationSource::Header, value.into())),
        "method" => facts.http_method = value,
        "route" => facts.http_route = value,
        "rpc" => facts.rpc_method = value.into(),
        "env" => span.resource.environment = value,
        "version" => span.resource.version = value,
        "namespace" => span.resource.namespace = value,
        "browser" => span.resource.is_client = true,
        "calling" => facts.calling_client = value,
        "proxy" => facts.proxy = Some(Proxy { service: value, namespace: "" }),
        "timer" => facts.timer = true,
        "stream" => facts.streaming = true,
        "probe" => facts.probe = true,
        "user" => facts.user_id = value,
        "session" => facts.session_id = value,
        "weight" => facts.weight_milli = Some(number()),
        other => panic!("unknown key {other}"),
    }
}

/// Everything a shard says about these spans once nothing more comes.
pub fn settle(spans: &[Span<'_>]) -> Commit {
    let mut shard = Shard::new(Settings::default());
    shard.begin_record(0, 0);
    spans.iter().for_each(|span| shard.apply(span));
    shard.settle_all();
    shard.commit()
}

/// The settled edges of a table, one a line, sorted: `gw>auth 2 e1 r1`; see [`describe`].
pub fn edges(text: &'static str) -> Vec<String> {
    edges_of(&settle(&table(text)))
}

pub fn edges_of(commit: &Commit) -> Vec<String> {
    let mut sums: BTreeMap<(String, String), EdgeCounts> = BTreeMap::new();
    for (key, counts) in &commit.deltas.edges {
        add(sums.entry((shown(&key.client), shown(&key.server))).or_default(), counts);
    }
    sums.iter()
        .filter(|(_, counts)| counts.calls != 0)
        .map(|((client, server), counts)| describe(client, server, counts))
        .collect()
}

fn add(sum: &mut EdgeCounts, counts: &EdgeCounts) {
    sum.calls += counts.calls;
    sum.errors += counts.errors;
    sum.client_errors += counts.client_errors;
    sum.retries += counts.retries;
    sum.timeouts += counts.timeouts;
    sum.rejected += counts.rejected;
    sum.messages += counts.messages;
    sum.paired += counts.paired;
    sum.callee_latency.merge(&counts.callee_latency, 1);
    sum.caller_latency.merge(&counts.caller_latency, 1);
    sum.wait.merge(&counts.wait, 1);
}

/// Services by name, everything else with its kind: `topic:kafka:orders`.
pub fn shown(node: &Node) -> String {
    match node.kind.as_str() {
        "service" => node.name.to_string(),
        kind if *node.name == *kind => kind.to_string(),
        kind => format!("{kind}:{}", node.name),
    }
}

/// `client>server calls`, then what is not zero: e errors, c client errors, r retries, t timeouts, x rejected,
/// m messages, and `?` for every call that was not seen whole.
fn describe(client: &str, server: &str, counts: &EdgeCounts) -> String {
    let mut text = format!("{client}>{server} {}", counts.calls);
    for (letter, count) in [
        ('e', counts.errors),
        ('c', counts.client_errors),
        ('r', counts.retries),
        ('t', counts.timeouts),
        ('x', counts.rejected),
        ('m', counts.messages),
        ('?', counts.calls - counts.paired),
    ] {
        if count != 0 {
            text += &format!(" {letter}{count}");
        }
    }
    text
}

/// Says which case failed.
pub fn check(cases: &[(&'static str, &'static str, &[&str])]) {
    for (name, text, expected) in cases {
        assert_eq!(edges(text), *expected, "{name}");
    }
}
