//! What a span said, put into the stitcher's terms.

use std::borrow::Cow;

use schemas::semconv::{BaggageFact, Marker, SpanFact};
use stitcher::span::{Facts, Failure, Kind, Messaging, Proxy, Status, Text};

use crate::operation::{Baggage, operation};
use crate::peer::peer;
use crate::said::{Facts as Set, Said, bounded};
use crate::sampling::weight_milli;
use crate::semconv::Semconv;
use crate::text::path_of;
use crate::value::Value;

/// Name of the node that all temporary queues without a template share.
const TEMPORARY: &str = "(temporary)";

const MESSAGING: Set = Set::of(&[
    SpanFact::MessagingSystem,
    SpanFact::MessagingDestination,
    SpanFact::MessagingTemplate,
    SpanFact::MessagingTemporary,
]);
const FAILURE: Set = Set::of(&[SpanFact::ErrorType, SpanFact::ExceptionType, SpanFact::ResponseFlags]);
const RPC: Set =
    Set::of(&[SpanFact::RpcSystem, SpanFact::RpcService, SpanFact::RpcMethod, SpanFact::Component]);

/// Texts that had to be made; facts borrow from them.
#[derive(Default)]
pub(crate) struct Made<'a> {
    baggage: Baggage<'a>,
    session_id: Option<String>,
    user_id: Option<String>,
}

/// Of spans that say nothing of people.
pub(crate) static NOBODY: Made<'static> = Made { baggage: Baggage::NONE, session_id: None, user_id: None };

impl<'a> Made<'a> {
    pub(crate) fn new(semconv: &Semconv, said: &Said<'a>) -> Self {
        const PEOPLE: Set = Set::of(&[SpanFact::Baggage, SpanFact::SessionId, SpanFact::UserId]);
        if !said.says_any(PEOPLE) {
            return Self::default();
        }
        Self {
            baggage: Baggage::read(semconv, said.whole_text(SpanFact::Baggage)),
            session_id: said.value(SpanFact::SessionId).number_text(),
            user_id: said.value(SpanFact::UserId).number_text(),
        }
    }
}

/// The span's side of the call: the wire's, else a `span.kind` tag's.
pub(crate) fn kind(semconv: &Semconv, said: &Said<'_>, wire: Kind, name: &str) -> Kind {
    let kind = match (wire, said.text(SpanFact::SpanKind)) {
        (Kind::Unspecified, "") => Kind::Unspecified,
        (Kind::Unspecified, tag) => semconv.kind(tag).unwrap_or_default(),
        (wire, _) => wire,
    };
    if kind == Kind::Client && semconv.is_step(name) { Kind::Internal } else { kind }
}

/// The status the span's own code set: the wire's, else `otel.status_code`, else an `error` tag.
pub(crate) fn status(said: &Said<'_>, wire: Status) -> Status {
    if wire != Status::Unset {
        return wire;
    }
    let code = said.text(SpanFact::StatusCode);
    if code.eq_ignore_ascii_case("error") {
        return Status::Error;
    }
    if code.eq_ignore_ascii_case("ok") {
        return Status::Ok;
    }
    // Zipkin's tag holds a message, which may be empty; Jaeger's is a truth value.
    match said.value(SpanFact::Error) {
        Value::None => Status::Unset,
        value if value.is(false) => Status::Unset,
        _ => Status::Error,
    }
}

/// All facts of one span.
pub(crate) fn facts<'s>(
    semconv: &'s Semconv,
    said: &Said<'s>,
    made: &'s Made<'s>,
    span: (Kind, Status, &'s str, &str),
) -> Facts<'s> {
    let (kind, status, name, trace_state) = span;
    let user_agent = said.text(SpanFact::UserAgent);
    let (url_path, http_route) = (url_path(said), said.text(SpanFact::HttpRoute));
    let (http_status, grpc_status) = (http_status(said), grpc_status(semconv, said));
    let rpc_method = rpc_method(semconv, said, name);
    let succeeded =
        status == Status::Ok || grpc_status == Some(0) || http_status.is_some_and(|code| code < 400);
    Facts {
        operation: operation(said, &made.baggage),
        http_method: said.text(SpanFact::HttpMethod),
        http_route,
        http_status,
        grpc_status,
        resends: resends(said),
        peer: peer(semconv, said, kind),
        server_address: said.text(SpanFact::ServerAddress),
        messaging: messaging(semconv, said),
        proxy: said.is(Marker::Proxy).then(|| Proxy {
            service: said.text(SpanFact::ProxyService),
            namespace: said.text(SpanFact::ProxyNamespace),
        }),
        failure: failure(semconv, said, succeeded),
        streaming: said.is(Marker::Streaming),
        probe: (!user_agent.is_empty() && semconv.is_probe_agent(user_agent))
            || (!url_path.is_empty() && semconv.is_probe_path(url_path))
            || (!http_route.is_empty() && semconv.is_probe_path(http_route))
            || (!rpc_method.is_empty() && semconv.is_probe_rpc(&rpc_method)),
        rpc_method,
        timer: said.is(Marker::Timer),
        calling_client: calling_client(semconv, said, kind, user_agent),
        breaker: said.text(SpanFact::Breaker),
        request_key: said.request_key(semconv),
        ui_event: said.text(SpanFact::UiEvent),
        session_id: one_of(
            made.session_id.as_deref(),
            said.text(SpanFact::SessionId),
            made.baggage.text(BaggageFact::SessionId),
        ),
        user_id: one_of(
            made.user_id.as_deref(),
            said.text(SpanFact::UserId),
            made.baggage.text(BaggageFact::UserId),
        ),
        weight_milli: weight_milli(trace_state, said),
    }
}

fn one_of<'a>(number: Option<&'a str>, attribute: &'a str, baggage: &'a str) -> &'a str {
    number.unwrap_or(if attribute.is_empty() { baggage } else { attribute })
}

fn url_path<'a>(said: &Said<'a>) -> &'a str {
    let path = said.whole_text(SpanFact::UrlPath);
    bounded(path_of(if path.is_empty() { said.whole_text(SpanFact::UrlFull) } else { path }))
}

/// `package.Service/Method`. Old conventions split it over two attributes; OpenTracing left it in the span's name.
fn rpc_method<'a>(semconv: &Semconv, said: &Said<'a>, name: &'a str) -> Text<'a> {
    if !said.says_any(RPC) {
        return Cow::Borrowed("");
    }
    let (service, method) = (said.text(SpanFact::RpcService), said.text(SpanFact::RpcMethod));
    if method.is_empty() {
        let named = [SpanFact::RpcSystem, SpanFact::Component]
            .iter()
            .any(|fact| semconv.is_named_rpc(said.text(*fact)));
        let path = name.trim_start_matches('/');
        return Cow::Borrowed(if named && path.contains('/') && !path.contains(' ') { path } else { "" });
    }
    if service.is_empty() || method.contains('/') {
        return Cow::Borrowed(method.trim_start_matches('/'));
    }
    Cow::Owned([service, "/", method].concat())
}

fn http_status(said: &Said<'_>) -> Option<u16> {
    let status = said.int(SpanFact::HttpStatus).or_else(|| said.int(SpanFact::ErrorType))?;
    u16::try_from(status).ok().filter(|status| (100..600).contains(status))
}

fn grpc_status(semconv: &Semconv, said: &Said<'_>) -> Option<u8> {
    match said.value(SpanFact::GrpcStatus) {
        Value::None => None,
        value => match value.int() {
            Some(code) => u8::try_from(code).ok(),
            None => semconv.grpc_code(value.text()?),
        },
    }
}

fn resends(said: &Said<'_>) -> Option<u32> {
    let resends =
        said.int(SpanFact::Resends).or_else(|| Some(said.int(SpanFact::Attempts)?.saturating_sub(1)))?;
    u32::try_from(resends).ok()
}

fn messaging<'s>(semconv: &'s Semconv, said: &Said<'s>) -> Option<Messaging<'s>> {
    if !said.says_any(MESSAGING) {
        return None;
    }
    let (system, named) = (said.text(SpanFact::MessagingSystem), said.text(SpanFact::MessagingDestination));
    let template = said.text(SpanFact::MessagingTemplate);
    let temporary = said.value(SpanFact::MessagingTemporary).is(true);
    let destination = match (named, template, temporary) {
        (_, "", true) => TEMPORARY,
        (_, template, true) | ("", template, false) => template,
        (named, _, false) => named,
    };
    if system.is_empty() && destination.is_empty() {
        return None;
    }
    let system = match system {
        "" if !named.is_empty() => semconv.messaging_system_of(said.rank(SpanFact::MessagingDestination)),
        system => semconv.messaging_system(system),
    };
    Some(Messaging {
        system,
        destination,
        operation: semconv.messaging_operation(said.text(SpanFact::MessagingOperation)),
        batch: said.int(SpanFact::MessagingBatch).and_then(|count| u32::try_from(count).ok()),
    })
}

/// The first source that knows better than "something went wrong" decides. Exceptions of a span that succeeded
/// all the same were handled inside it.
fn failure(semconv: &Semconv, said: &Said<'_>, succeeded: bool) -> Option<Failure> {
    if !said.exception && !said.says_any(FAILURE) {
        return None;
    }
    let error_type = said.whole_text(SpanFact::ErrorType);
    let exception = said.whole_text(SpanFact::ExceptionType);
    let flags = said.text(SpanFact::ResponseFlags);
    let meant_by_flags = || flags.split(',').filter_map(|flag| semconv.flag(flag.trim()));
    let meant_by_exception =
        || if succeeded { None } else { said.exception_means.or_else(|| semconv.failure(exception)) };
    let known = semconv.failure(error_type).or_else(meant_by_exception);
    known.or_else(|| meant_by_flags().find(|failure| *failure != Failure::Other)).or_else(|| {
        let named = !error_type.is_empty() && error_type.parse::<i32>().is_err();
        let thrown = !succeeded && (said.exception || !exception.is_empty());
        (named || thrown || meant_by_flags().next().is_some()).then_some(Failure::Other)
    })
}

fn calling_client<'s>(semconv: &'s Semconv, said: &Said<'s>, kind: Kind, user_agent: &str) -> &'s str {
    if kind != Kind::Server {
        return "";
    }
    match said.text(SpanFact::CallingClient) {
        "" if user_agent.is_empty() => "",
        "" => semconv.client_agent(user_agent).unwrap_or_default(),
        client => client,
    }
}
