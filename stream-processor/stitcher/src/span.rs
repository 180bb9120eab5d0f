//! Facts in: what the stitcher is told about one span. Text is borrowed from the message.

use core::fmt;

/// 16 bytes, big-endian, as on the wire. Zero is no valid id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TraceId(pub u128);

/// 8 bytes, big-endian, as on the wire; unique only inside its trace. Zero is no valid id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SpanId(pub u64);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One finished span.
#[derive(Clone, Debug, Default)]
pub struct Span<'a> {
    /// Trace it belongs to.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// The span that caused it; `None` for a root (absent, empty or all-zero on the wire).
    pub parent_id: Option<SpanId>,
    /// Its side of the call.
    pub kind: Kind,
    /// Start, nanoseconds since the epoch.
    pub start_ns: u64,
    /// End, nanoseconds since the epoch. May be below `start_ns`: the stitcher counts and repairs that.
    pub end_ns: u64,
    /// Span name.
    pub name: &'a str,
    /// Status its own code set.
    pub status: Status,
    /// Who emitted it.
    pub resource: Resource<'a>,
    /// Equal numbers mean equal resources, whoever read them in this process; 0: not known.
    pub resource_number: u64,
    /// Equal numbers mean spans that differ in nothing but ids, times, content and request key, and that all have a parent or
    /// none, whoever read them in this process. They have no links, and say nothing of people, UI events and batches.
    /// 0: not known, or none of these.
    pub form: u64,
    /// What its attributes, events and tracestate say, in the terms of `semconv.toml`.
    pub facts: Facts<'a>,
    /// Number of span links.
    pub links: u32,
    /// The first link, if any.
    pub first_link: Option<(TraceId, SpanId)>,
    /// Hash of everything the span says: tells an exact re-delivery from a conflicting one. Any stable hash of
    /// the span's content that doesn't depend on where in a message it stood.
    pub content: u64,
}

/// `SpanKind`, with the wire's numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Kind {
    /// Nothing said: Zipkin-style local spans and sources without kinds.
    #[default]
    Unspecified = 0,
    /// Work inside a service.
    Internal = 1,
    /// Answers a request.
    Server = 2,
    /// Makes a request.
    Client = 3,
    /// Hands a message over.
    Producer = 4,
    /// Takes a message.
    Consumer = 5,
}

/// `Status.code`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Status {
    /// Nothing said.
    #[default]
    Unset,
    /// Explicitly good.
    Ok,
    /// Explicitly bad.
    Error,
}

/// Who emitted a span. Empty text means not said.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Resource<'a> {
    /// `k8s.cluster.name`.
    pub cluster: &'a str,
    /// `k8s.namespace.name`, else `service.namespace`.
    pub namespace: &'a str,
    /// `service.name`. Empty: nameless. (`unknown_service…` counts as a name.)
    pub service: &'a str,
    /// `service.version`.
    pub version: &'a str,
    /// `k8s.pod.name`, else `service.instance.id`, else `host.name`.
    pub pod: &'a str,
    /// `deployment.environment.name`, else `deployment.environment`.
    pub environment: &'a str,
    /// The resource is a browser, mobile or command-line SDK: a node of kind client, which has no caller.
    pub is_client: bool,
}

/// What a span's attributes say. Every field's source is a row of `semconv.toml`.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// The best explicit operation name on this span, if any.
    pub operation: Option<(OperationSource, Text<'a>)>,
    /// `http.request.method`.
    pub http_method: &'a str,
    /// `http.route`.
    pub http_route: &'a str,
    /// Fully qualified RPC method, `package.Service/Method`.
    pub rpc_method: Text<'a>,
    /// HTTP response status code.
    pub http_status: Option<u16>,
    /// gRPC status code (names such as `DEADLINE_EXCEEDED` are turned into numbers).
    pub grpc_status: Option<u8>,
    /// `http.request.resend_count` or `previous-rpc-attempts`: > 0 is a resend.
    pub resends: Option<u32>,
    /// The other side, as this span names it.
    pub peer: Option<Peer<'a>>,
    /// `server.address` alone, to tell an envelope's inner call from another host's.
    pub server_address: &'a str,
    /// Messaging attributes, when `messaging.system` or a destination is present.
    pub messaging: Option<Messaging<'a>>,
    /// The span was emitted by a sidecar or mesh proxy on behalf of a service.
    pub proxy: Option<Proxy<'a>>,
    /// What an exception, `error.type` or a proxy's response flag says went wrong.
    pub failure: Option<Failure>,
    /// A stream or socket: counted, but its length is no latency.
    pub streaming: bool,
    /// A health check or other probe.
    pub probe: bool,
    /// `faas.trigger=timer`: nobody called.
    pub timer: bool,
    /// A SERVER span whose attributes say that a browser, mobile app or CLI called: that client's name.
    pub calling_client: &'a str,
    /// Name of the circuit breaker or bulkhead this span stands for.
    pub breaker: &'a str,
    /// Hash of those request keys that are present (method, path, RPC method, statement, key …): two attempts
    /// of one request have equal ones. 0: none present.
    pub request_key: u64,
    /// `app.ui.event` and the like.
    pub ui_event: &'a str,
    /// `session.id`.
    pub session_id: &'a str,
    /// `user.id` or `enduser.id`; leaves the stitcher only as a keyed hash.
    pub user_id: &'a str,
    /// Adjusted count of this span in thousandths, from tracestate `ot=th` or a sample-rate attribute.
    /// `None`: not sampled, counts 1.
    pub weight_milli: Option<u32>,
}

/// Text that is either in the message or had to be composed.
pub type Text<'a> = alloc::borrow::Cow<'a, str>;

/// Where an operation name came from; the smaller, the stronger (DESIGN 4.5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum OperationSource {
    /// `weir.operation`.
    Attribute = 0,
    /// `weir.operation` in a captured `baggage` header.
    Baggage = 1,
    /// Captured header `x-operation-name`.
    Header = 2,
    /// Sentry's `sentry-transaction`, Datadog RUM's action name and other vendors' equivalents.
    Vendor = 3,
    /// `app.widget.name`.
    Widget = 4,
}

/// The other side of a call as one side names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer<'a> {
    /// Name to show: `payment-api.example.com:443`, `postgresql:orders-db/orders`.
    pub name: Text<'a>,
    /// `service.peer.namespace`, else empty.
    pub namespace: &'a str,
    /// What it is.
    pub kind: PeerKind,
}

/// What kind of thing a peer is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PeerKind {
    /// Named by `service.peer.name`, `peer.service` or `faas.invoked_name`: explicitly, by its service name.
    Service,
    /// A database: named by system, address and namespace. It never answers with a span.
    Database,
    /// A host or cloud service, named by address.
    External,
    /// A bare IP address: shares the node `ip`.
    Ip,
}

/// What a span says about messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Messaging<'a> {
    /// `messaging.system`: `kafka`.
    pub system: &'a str,
    /// `messaging.destination.name`: `orders`. Empty: unknown.
    pub destination: &'a str,
    /// `messaging.operation.type`. `None`: the span's kind decides.
    pub operation: Option<MessagingOperation>,
    /// `messaging.batch.message_count`.
    pub batch: Option<u32>,
}

/// `messaging.operation.type` with its old names folded in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MessagingOperation {
    /// A message is made.
    Create,
    /// A message (or a batch of created ones) is handed to the broker; old name `publish`.
    Send,
    /// Messages are fetched.
    Receive,
    /// A message is worked on; old name `deliver`.
    Process,
    /// A message is acknowledged: no call.
    Settle,
}

/// The service a proxy stands for, where it says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Proxy<'a> {
    /// `istio.canonical_service`.
    pub service: &'a str,
    /// `istio.namespace`.
    pub namespace: &'a str,
}

/// What went wrong, beyond status codes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Failure {
    /// No answer in time.
    Timeout,
    /// Never sent: breaker open, bulkhead full, load shed.
    Rejection,
    /// Any other failure that an exception or `error.type` names.
    Other,
}
