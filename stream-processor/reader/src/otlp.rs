//! OTLP protobuf, read without copying: the hot path.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;
use stitcher::span::{Kind, Span, SpanId, Status, TraceId};

use crate::Undecodable;
use crate::content;
use crate::facts::{self, Made};
use crate::said::{Emitter, Said, bounded};
use crate::semconv::Semconv;
use crate::value::text_of;
use crate::wire::{Field, fields};

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

/// Reads one `otlp_spans` value or OTLP request body and gives its spans to `each`, in their order. A span that
/// can't be used is counted in the answer and the others go on.
///
/// # Errors
/// If the message as a whole can't be read; then no span of it has been given on.
pub fn read_otlp(
    semconv: &Semconv,
    bytes: &[u8],
    each: &mut dyn FnMut(&Span<'_>),
) -> Result<Read, Undecodable> {
    check_frames(bytes)?;
    let (mut read, mut said) = (Read::default(), Said::new());
    for field in fields(bytes) {
        if let (1, Field::Bytes(resource_spans)) = field? {
            read_resource_spans(semconv, &mut said, resource_spans, &mut read, each)?;
        }
    }
    Ok(read)
}

/// Gives the spans of a decoded message to `each`.
pub fn spans_of(semconv: &Semconv, data: &TracesData, each: &mut dyn FnMut(&Span<'_>)) -> Read {
    // What prost wrote has whole frames.
    read_otlp(semconv, &data.encode_to_vec(), each).unwrap_or_default()
}

/// Walks the envelopes around spans, so that a cut-off message is refused before its first span is given on.
fn check_frames(traces_data: &[u8]) -> Result<(), Undecodable> {
    for field in fields(traces_data) {
        let (1, resource_spans) = field? else { continue };
        for field in fields(resource_spans.bytes()?) {
            let (1 | 2, part) = field? else { continue };
            for field in fields(part.bytes()?) {
                if let (1 | 2, value) = field? {
                    value.bytes()?;
                }
            }
        }
    }
    Ok(())
}

fn read_resource_spans<'a>(
    semconv: &Semconv,
    said: &mut Said<'a>,
    resource_spans: &'a [u8],
    read: &mut Read,
    each: &mut dyn FnMut(&Span<'_>),
) -> Result<(), Undecodable> {
    let mut emitter = Emitter::new();
    let mut broken = None;
    for field in fields(resource_spans) {
        if let (1, Field::Bytes(resource)) = field? {
            broken = broken.or(emitter.read(semconv, resource).err());
        }
    }
    for field in fields(resource_spans) {
        let (2, Field::Bytes(scope_spans)) = field? else { continue };
        for field in fields(scope_spans) {
            let (2, Field::Bytes(span)) = field? else { continue };
            match &broken {
                Some(reason) => read.reject(reason.reason()),
                None => read_span(semconv, &emitter, said, span, read, each),
            }
        }
    }
    Ok(())
}

/// The fields of a span that are no attributes.
#[derive(Default)]
struct Body<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    parent_id: &'a [u8],
    trace_state: &'a [u8],
    name: &'a [u8],
    kind: Kind,
    status: Status,
    start_ns: u64,
    end_ns: u64,
    links: u32,
    first_link: Option<(TraceId, SpanId)>,
}

fn read_span<'a>(
    semconv: &Semconv,
    emitter: &Emitter<'a>,
    said: &mut Said<'a>,
    span: &'a [u8],
    read: &mut Read,
    each: &mut dyn FnMut(&Span<'_>),
) {
    said.clear();
    let body = match read_body(semconv, said, span) {
        Ok(body) => body,
        Err(reason) => return read.reject(reason.reason()),
    };
    let (trace_id, span_id, parent_id) = match ids(&body) {
        Ok(ids) => ids,
        Err(reason) => return read.reject(reason),
    };
    let mut repaired = said.repaired || emitter.repaired;
    let name = bounded(text_of(body.name, &mut repaired));
    let trace_state = text_of(body.trace_state, &mut repaired);
    if repaired {
        *read.repaired.entry("invalid_utf8").or_default() += 1;
    }
    let made = Made::new(semconv, said);
    let (kind, status) = (facts::kind(semconv, said, body.kind, name), facts::status(said, body.status));
    read.spans += 1;
    each(&Span {
        trace_id,
        span_id,
        parent_id,
        kind,
        start_ns: body.start_ns,
        end_ns: body.end_ns,
        name,
        status,
        resource: emitter.resource,
        resource_number: 0,
        facts: facts::facts(semconv, said, &made, (kind, status, name, trace_state)),
        links: body.links,
        first_link: body.first_link,
        content: content::join(content::hash(span), emitter.content),
    });
}

fn read_body<'a>(semconv: &Semconv, said: &mut Said<'a>, span: &'a [u8]) -> Result<Body<'a>, Undecodable> {
    let mut body = Body::default();
    for field in fields(span) {
        let (number, field) = field?;
        match number {
            1 => body.trace_id = field.bytes()?,
            2 => body.span_id = field.bytes()?,
            3 => body.trace_state = field.bytes()?,
            4 => body.parent_id = field.bytes()?,
            5 => body.name = field.bytes()?,
            6 => body.kind = kind(field.varint()?),
            7 => body.start_ns = field.fixed64()?,
            8 => body.end_ns = field.fixed64()?,
            9 => said.attribute(semconv, field.bytes()?)?,
            11 => read_event(semconv, said, field.bytes()?)?,
            13 => {
                let link = read_link(field.bytes()?)?;
                body.links = body.links.saturating_add(1);
                body.first_link = body.first_link.or(link);
            }
            15 => body.status = read_status(field.bytes()?)?,
            _ => {}
        }
    }
    Ok(body)
}

fn read_event<'a>(semconv: &Semconv, said: &mut Said<'a>, event: &'a [u8]) -> Result<(), Undecodable> {
    for field in fields(event) {
        if let (3, pair) = field? {
            said.event_attribute(semconv, pair.bytes()?)?;
        }
    }
    Ok(())
}

/// Where a link leads; `None` when its ids are no ids.
fn read_link(link: &[u8]) -> Result<Option<(TraceId, SpanId)>, Undecodable> {
    let (mut trace_id, mut span_id): (&[u8], &[u8]) = (&[], &[]);
    for field in fields(link) {
        match field? {
            (1, id) => trace_id = id.bytes()?,
            (2, id) => span_id = id.bytes()?,
            _ => {}
        }
    }
    let ids = (trace_id.try_into().map(u128::from_be_bytes), span_id.try_into().map(u64::from_be_bytes));
    Ok(match ids {
        (Ok(trace_id @ 1..), Ok(span_id @ 1..)) => Some((TraceId(trace_id), SpanId(span_id))),
        _ => None,
    })
}

fn read_status(status: &[u8]) -> Result<Status, Undecodable> {
    let mut read = Status::Unset;
    for field in fields(status) {
        if let (3, code) = field? {
            read = match code.varint()? {
                1 => Status::Ok,
                2 => Status::Error,
                _ => Status::Unset,
            };
        }
    }
    Ok(read)
}

fn kind(number: u64) -> Kind {
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
