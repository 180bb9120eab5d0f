//! OTLP protobuf, read without copying: the hot path.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1 as messages;
use otlp::{
    Event, EventField, Link, LinkField, Malformed, Resource, ResourceSpans, ResourceSpansField,
    ScopeSpansField, SpanField, StatusField, Text, TracesData, TracesDataField,
};
use prost::Message;
use stitcher::span::{Kind, Span, SpanId, Status, TraceId};

use crate::Undecodable;
use crate::content;
use crate::facts::{self, Made};
use crate::forms::Forms;
use crate::resources::{Emitter, Resources};
use crate::said::{Said, bounded};
use crate::semconv::Semconv;
use crate::undecodable::reason_of;
use crate::value::text_of;

/// What became of a message's spans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// Spans given on.
    pub spans: u64,
    /// Spans left out, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Spans given on after a repair, by reason.
    pub repaired: BTreeMap<&'static str, u64>,
}

impl Read {
    /// Adds what became of another message.
    pub fn add(&mut self, other: &Self) {
        self.spans += other.spans;
        for (all, more) in [(&mut self.rejected, &other.rejected), (&mut self.repaired, &other.repaired)] {
            for (reason, count) in more {
                *all.entry(reason).or_default() += count;
            }
        }
    }

    /// Counts a span that was left out before it became a message.
    pub(crate) fn reject(&mut self, reason: &'static str) {
        *self.rejected.entry(reason).or_default() += 1;
    }
}

/// Reads the messages of one stream. It remembers the resources it has seen, at most 4,096 or 16 MiB of them: few
/// resources emit all spans, and a message says each of them anew. So it does with forms of spans, up to 2 MiB of them.
pub struct Reader {
    semconv: Arc<Semconv>,
    resources: Resources,
    forms: Forms,
}

impl Reader {
    /// A reader that has seen nothing.
    pub fn new(semconv: Arc<Semconv>) -> Self {
        let forms = Forms::new(Arc::clone(&semconv));
        Self { semconv, resources: Resources::of_many_messages(), forms }
    }

    /// Reads one `otlp_spans` value or OTLP request body and gives its spans to `each`, in their order. A span that
    /// can't be used is counted in the answer and the others go on.
    ///
    /// # Errors
    /// If the message as a whole can't be read; then no span of it has been given on.
    pub fn read(&mut self, bytes: &[u8], each: &mut dyn FnMut(&Span<'_>)) -> Result<Read, Undecodable> {
        read_message(&self.semconv, &mut self.resources, Some(&mut self.forms), bytes, each)
    }
}

/// As [`Reader::read`], for those who read one message: its spans' resources and forms have no numbers.
///
/// # Errors
/// If the message as a whole can't be read; then no span of it has been given on.
pub fn read_otlp(
    semconv: &Semconv,
    bytes: &[u8],
    each: &mut dyn FnMut(&Span<'_>),
) -> Result<Read, Undecodable> {
    read_message(semconv, &mut Resources::of_one_message(), None, bytes, each)
}

/// Gives the spans of a decoded message to `each`.
pub fn spans_of(semconv: &Semconv, data: &messages::TracesData, each: &mut dyn FnMut(&Span<'_>)) -> Read {
    // What prost wrote has whole frames.
    read_otlp(semconv, &data.encode_to_vec(), each).unwrap_or_default()
}

fn read_message(
    semconv: &Semconv,
    resources: &mut Resources,
    mut forms: Option<&mut Forms>,
    bytes: &[u8],
    each: &mut dyn FnMut(&Span<'_>),
) -> Result<Read, Undecodable> {
    check_envelopes(bytes).map_err(|malformed| Undecodable::at(malformed, bytes))?;
    let (mut read, mut said) = (Read::default(), Said::new());
    // From here on nothing is malformed but resources and spans.
    for TracesDataField::ResourceSpans(resource_spans) in TracesData::of(bytes).flatten() {
        let resource = resource_of(resource_spans).map_err(|malformed| reason_of(malformed.why()));
        let emitter = resource.and_then(|resource| resources.find(semconv, &resource));
        for field in resource_spans.flatten() {
            let ResourceSpansField::ScopeSpans(scope_spans) = field else { continue };
            for field in scope_spans.flatten() {
                let ScopeSpansField::Span(span) = field else { continue };
                match emitter {
                    Ok(emitter) => {
                        read_span(semconv, emitter, &mut said, forms.as_deref_mut(), span, &mut read, each);
                    }
                    Err(reason) => read.reject(reason),
                }
            }
        }
    }
    Ok(read)
}

/// Walks the envelopes around spans, so that a cut-off message is refused before its first span is given on.
fn check_envelopes(bytes: &[u8]) -> Result<(), Malformed> {
    for field in TracesData::of(bytes) {
        let TracesDataField::ResourceSpans(resource_spans) = field?;
        for field in resource_spans {
            let ResourceSpansField::ScopeSpans(scope_spans) = field? else { continue };
            for field in scope_spans {
                if let ScopeSpansField::Scope(scope) = field? {
                    scope.check()?;
                }
            }
        }
    }
    Ok(())
}

/// The resource's bytes. Several of one `ResourceSpans` are one resource: protobuf merges them, as if they stood one
/// after the other. Each has to be whole by itself.
fn resource_of(resource_spans: ResourceSpans<'_>) -> Result<Cow<'_, [u8]>, Malformed> {
    let mut whole = Cow::Borrowed(&[][..]);
    for field in resource_spans.flatten() {
        let ResourceSpansField::Resource(resource) = field else { continue };
        match &mut whole {
            Cow::Borrowed([]) => whole = Cow::Borrowed(resource.rest()),
            whole => {
                Resource::of(whole).check()?;
                resource.check()?;
                whole.to_mut().extend_from_slice(resource.rest());
            }
        }
    }
    Ok(whole)
}

/// The fields of a span that are no attributes.
#[derive(Default)]
pub(crate) struct Body<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    parent_id: &'a [u8],
    pub(crate) trace_state: Text<'a>,
    pub(crate) name: Text<'a>,
    pub(crate) kind: Kind,
    status: Status,
    start_ns: u64,
    end_ns: u64,
    links: u32,
    first_link: Option<(TraceId, SpanId)>,
}

fn read_span<'a>(
    semconv: &Semconv,
    emitter: &Arc<Emitter>,
    said: &mut Said<'a>,
    mut forms: Option<&mut Forms>,
    span: otlp::Span<'a>,
    read: &mut Read,
    each: &mut dyn FnMut(&Span<'_>),
) {
    let mut body = Body::default();
    let tail = match body.read_head(span) {
        Ok(tail) => tail,
        Err(malformed) => return read.reject(reason_of(malformed.why())),
    };
    let found = forms.as_mut().and_then(|forms| forms.find(emitter, &body, tail));
    if found.is_none()
        && let Err(malformed) = body.read_tail(tail, semconv, said)
    {
        return read.reject(reason_of(malformed.why()));
    }
    let (trace_id, span_id, parent_id) = match ids(&body) {
        Ok(ids) => ids,
        Err(reason) => return read.reject(reason),
    };
    read.spans += 1;
    let complete = |given: &mut Span<'_>| {
        (given.trace_id, given.span_id, given.parent_id) = (trace_id, span_id, parent_id);
        (given.start_ns, given.end_ns) = (body.start_ns, body.end_ns);
        given.content = content::join(content::hash(span.rest()), emitter.content);
    };
    if let Some(found) = found {
        return found.give(complete, each);
    }
    let made = Made::new(semconv, said);
    let mut given = span_of(semconv, emitter, &body, said, &made);
    complete(&mut given);
    each(&given);
    let repaired =
        emitter.repaired || said.repaired || body.name.str().is_err() || body.trace_state.str().is_err();
    if repaired {
        *read.repaired.entry("invalid_utf8").or_default() += 1;
    } else if let Some(forms) = forms {
        forms.learn(emitter, (&body, span.rest(), tail), said);
    }
}

/// What a span says but for its ids, times and content.
pub(crate) fn span_of<'a>(
    semconv: &'a Semconv,
    emitter: &'a Emitter,
    body: &Body<'a>,
    said: &Said<'a>,
    made: &'a Made<'a>,
) -> Span<'a> {
    let mut repaired = false;
    let name = bounded(text_of(body.name, &mut repaired));
    let trace_state = text_of(body.trace_state, &mut repaired);
    let (kind, status) = (facts::kind(semconv, said, body.kind, name), facts::status(said, body.status));
    Span {
        kind,
        name,
        status,
        resource: emitter.resource(),
        resource_number: emitter.number,
        facts: facts::facts(semconv, said, made, (kind, status, name, trace_state)),
        links: body.links,
        first_link: body.first_link,
        ..Span::default()
    }
}

impl<'a> Body<'a> {
    /// Reads ids, times, kind, name and trace state, which most encoders write first. Gives what follows them.
    pub(crate) fn read_head(&mut self, span: otlp::Span<'a>) -> Result<otlp::Span<'a>, Malformed> {
        let mut rest = span;
        if let Some((head, after)) = span.usual() {
            rest = after;
            (self.trace_id, self.span_id, self.parent_id) =
                (head.trace_id, head.span_id, head.parent_span_id);
            (self.name, self.kind) = (head.name, kind(head.kind));
            (self.start_ns, self.end_ns) = (head.start_time_unix_nano, head.end_time_unix_nano);
        }
        loop {
            let before = rest;
            match rest.next().transpose()? {
                Some(field) if self.takes(field) => {}
                Some(_) => return Ok(before),
                None => return Ok(rest),
            }
        }
    }

    #[inline(always)]
    fn takes(&mut self, field: SpanField<'a>) -> bool {
        match field {
            SpanField::TraceId(id) => self.trace_id = id,
            SpanField::SpanId(id) => self.span_id = id,
            SpanField::TraceState(text) => self.trace_state = text,
            SpanField::ParentSpanId(id) => self.parent_id = id,
            SpanField::Name(text) => self.name = text,
            SpanField::Kind(number) => self.kind = kind(number),
            SpanField::StartTimeUnixNano(time) => self.start_ns = time,
            SpanField::EndTimeUnixNano(time) => self.end_ns = time,
            _ => return false,
        }
        true
    }

    /// Reads everything else.
    pub(crate) fn read_tail(
        &mut self,
        tail: otlp::Span<'a>,
        semconv: &Semconv,
        said: &mut Said<'a>,
    ) -> Result<(), Malformed> {
        said.clear();
        for field in tail {
            match field? {
                SpanField::Attribute(pair) => said.attribute(semconv, pair)?,
                SpanField::Event(event) => read_event(semconv, said, event)?,
                SpanField::Link(link) => {
                    let link = read_link(link)?;
                    self.links = self.links.saturating_add(1);
                    self.first_link = self.first_link.or(link);
                }
                SpanField::Status(more) => read_status(&mut self.status, more)?,
                SpanField::DroppedAttributesCount(_)
                | SpanField::DroppedEventsCount(_)
                | SpanField::DroppedLinksCount(_)
                | SpanField::Flags(_) => {}
                late => {
                    self.takes(late);
                }
            }
        }
        Ok(())
    }

    /// Whether it has a parent: all zeros are none.
    pub(crate) fn has_parent(&self) -> bool {
        self.parent_id.iter().any(|byte| *byte != 0)
    }
}

#[cold]
fn read_event<'a>(semconv: &Semconv, said: &mut Said<'a>, event: Event<'a>) -> Result<(), Malformed> {
    for field in event {
        if let EventField::Attribute(pair) = field? {
            said.event_attribute(semconv, pair)?;
        }
    }
    Ok(())
}

/// Where a link leads; `None` when its ids are no ids.
#[cold]
fn read_link(link: Link<'_>) -> Result<Option<(TraceId, SpanId)>, Malformed> {
    let (mut trace_id, mut span_id): (&[u8], &[u8]) = (&[], &[]);
    for field in link {
        match field? {
            LinkField::TraceId(id) => trace_id = id,
            LinkField::SpanId(id) => span_id = id,
            LinkField::Attribute(pair) => pair.check()?,
            LinkField::TraceState(_) | LinkField::DroppedAttributesCount(_) | LinkField::Flags(_) => {}
        }
    }
    let ids = (trace_id.try_into().map(u128::from_be_bytes), span_id.try_into().map(u64::from_be_bytes));
    Ok(match ids {
        (Ok(trace_id @ 1..), Ok(span_id @ 1..)) => Some((TraceId(trace_id), SpanId(span_id))),
        _ => None,
    })
}

/// Takes in a `Status` message; several of one span are one status, as protobuf merges them.
fn read_status(read: &mut Status, status: otlp::Status<'_>) -> Result<(), Malformed> {
    for field in status {
        if let StatusField::Code(code) = field? {
            *read = match code {
                1 => Status::Ok,
                2 => Status::Error,
                _ => Status::Unset,
            };
        }
    }
    Ok(())
}

fn kind(number: i32) -> Kind {
    match number {
        1 => Kind::Internal,
        2 => Kind::Server,
        3 => Kind::Client,
        4 => Kind::Producer,
        5 => Kind::Consumer,
        _ => Kind::Unspecified,
    }
}

type Ids = (TraceId, SpanId, Option<SpanId>);

fn ids(body: &Body<'_>) -> Result<Ids, &'static str> {
    let bad = |_| Undecodable::BadIdLength.reason();
    let or_zero =
        |id: &[u8]| if id.is_empty() { Ok(0) } else { id.try_into().map(u64::from_be_bytes).map_err(bad) };
    let trace_id = match body.trace_id {
        [] => 0,
        id => id.try_into().map(u128::from_be_bytes).map_err(bad)?,
    };
    let (span_id, parent_id) = (or_zero(body.span_id)?, or_zero(body.parent_id)?);
    match (trace_id, span_id) {
        (0, _) => Err("zero_trace_id"),
        (_, 0) => Err("zero_span_id"),
        _ => Ok((TraceId(trace_id), SpanId(span_id), (parent_id != 0).then_some(SpanId(parent_id)))),
    }
}
