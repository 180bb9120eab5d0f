//! Cuts one OTLP request into fragments by partition, copying span bytes untouched.
//!
//! A fragment is a run of whole `ResourceSpans` fields, so fragments of many requests laid end to end are one
//! valid `TracesData`. Pure: bytes in, bytes out.

use crate::rejected::Rejected;
use crate::shape::{Check, RESOURCE_SPANS, SCOPE_SPANS, SPAN};
use crate::wire::{Field, Fields, Malformed, Value, put_length_delimited, varint_len};
use schemas::topics::partition_of;
use std::ops::Range;

/// Key and length of a nested message: one byte of key, and lengths stay below 2^28.
const FRAMING_BYTES: usize = 5;

/// Spans of one request for one partition, as bytes of `TracesData`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// The partition all its traces belong to.
    pub partition: u32,
    /// Spans in it.
    pub spans: u64,
    /// `ResourceSpans` fields of a `TracesData`.
    pub bytes: Vec<u8>,
}

/// A request that was checked and is ready to be cut.
#[derive(Debug)]
pub struct Plan<'a> {
    request: &'a [u8],
    check: Check<'a>,
    resources: Vec<Head>,
    scopes: Vec<Scope>,
    /// What the heads of resources and scopes consist of.
    resource_pieces: Vec<Range<u32>>,
    scope_pieces: Vec<Range<u32>>,
    spans: Vec<PlannedSpan<'a>>,
    cuts: Vec<Cut>,
    /// The trace of the span before, and its partition.
    last_trace: (u128, u32),
    /// Spans that stay behind, and why.
    pub rejected: Rejected,
}

/// The bytes of a `ScopeSpans` besides its spans.
#[derive(Debug)]
struct Scope {
    resource: u32,
    head: Head,
}

/// The fields of a message besides those that are planned one by one: where they stand in the request. They nearly
/// always stand together, so they are one piece; a list of fields could be larger than the request.
#[derive(Debug, Clone)]
struct Head {
    /// In the list of all pieces of such heads.
    pieces: Range<usize>,
    bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct PlannedSpan<'a> {
    partition: u32,
    scope: u32,
    /// The whole field, key included.
    raw: &'a [u8],
}

/// Spans that become one fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cut {
    spans: Range<usize>,
    /// At least as many bytes as the fragment will have.
    bytes: usize,
}

/// Checks a request and plans its fragments of at most `fragment_bytes` each.
///
/// # Errors
/// The bytes are no OTLP request. A span that is well-formed but unacceptable is counted in
/// [`Plan::rejected`] instead.
pub fn plan(request: &[u8], partitions: u32, fragment_bytes: usize) -> Result<Plan<'_>, Malformed> {
    let mut plan = Plan {
        request,
        check: Check::of(request),
        resources: Vec::new(),
        scopes: Vec::new(),
        resource_pieces: Vec::new(),
        scope_pieces: Vec::new(),
        spans: Vec::new(),
        cuts: Vec::new(),
        // No span of trace 0 goes out.
        last_trace: (0, 0),
        rejected: Rejected::default(),
    };
    for field in Fields::of(request) {
        let field = field?;
        if field.number == 1 {
            plan.add_resource_spans(nested("TracesData", &field)?, partitions)?;
        }
    }
    plan.cut(fragment_bytes);
    Ok(plan)
}

impl<'a> Plan<'a> {
    fn add_resource_spans(&mut self, message: &'a [u8], partitions: u32) -> Result<(), Malformed> {
        let first_span = self.spans.len();
        let mut head = Head::begin(&self.resource_pieces);
        for field in Fields::of(message) {
            let field = field?;
            if field.number == 2 {
                self.add_scope_spans(nested("ResourceSpans", &field)?, partitions)?;
            } else {
                self.check.field(&RESOURCE_SPANS, &field)?;
                head.add(place(self.request, field.raw), &mut self.resource_pieces);
            }
        }
        if self.spans.len() > first_span {
            self.resources.push(head);
        } else {
            self.resource_pieces.truncate(head.pieces.start);
        }
        Ok(())
    }

    fn add_scope_spans(&mut self, message: &'a [u8], partitions: u32) -> Result<(), Malformed> {
        let first_span = self.spans.len();
        let mut head = Head::begin(&self.scope_pieces);
        for field in Fields::of(message) {
            let field = field?;
            if field.number == 2 {
                self.add_span(&field, partitions)?;
            } else {
                self.check.field(&SCOPE_SPANS, &field)?;
                head.add(place(self.request, field.raw), &mut self.scope_pieces);
            }
        }
        if self.spans.len() > first_span {
            self.scopes.push(Scope { resource: as_index(self.resources.len()), head });
        } else {
            self.scope_pieces.truncate(head.pieces.start);
        }
        Ok(())
    }

    fn add_span(&mut self, field: &Field<'a>, partitions: u32) -> Result<(), Malformed> {
        match self.checked_ids(nested("ScopeSpans", field)?)? {
            (0, _) => self.rejected.add("zero_trace_id", 1),
            (_, 0) => self.rejected.add("zero_span_id", 1),
            (trace_id, _) => {
                let (partition, scope) =
                    (self.partition_of(trace_id, partitions), as_index(self.scopes.len()));
                self.spans.push(PlannedSpan { partition, scope, raw: field.raw });
            }
        }
        Ok(())
    }

    /// Checks a span, and gives its trace id and span id. Where a field stands twice the last one holds, as everywhere
    /// in protobuf.
    fn checked_ids(&mut self, span: &'a [u8]) -> Result<(u128, u128), Malformed> {
        let (mut trace_id, mut span_id) = (0, 0);
        for field in Fields::of(span) {
            let field = field?;
            self.check.field(&SPAN, &field)?;
            match field {
                Field { number: 1, value: Value::Bytes(id), .. } => trace_id = big_endian(id),
                Field { number: 2, value: Value::Bytes(id), .. } => span_id = big_endian(id),
                _ => {}
            }
        }
        Ok((trace_id, span_id))
    }

    /// Spans of a trace often come one after the other.
    fn partition_of(&mut self, trace_id: u128, partitions: u32) -> u32 {
        if self.last_trace.0 != trace_id {
            self.last_trace = (trace_id, partition_of(trace_id, partitions));
        }
        self.last_trace.1
    }

    /// Groups the spans by partition and finds where each partition's run must be cut.
    fn cut(&mut self, fragment_bytes: usize) {
        let mut spans = std::mem::take(&mut self.spans);
        spans.sort_by_key(|span| span.partition);
        spans.retain(|span| {
            let fits = self.bytes_in_own_fragment(span) <= fragment_bytes;
            if !fits {
                self.rejected.add("span_too_large", 1);
            }
            fits
        });
        for (index, span) in spans.iter().enumerate() {
            let previous = index.checked_sub(1).map(|previous| &spans[previous]);
            let bytes = self.bytes_after(previous, span);
            match (self.cuts.last_mut(), previous) {
                (Some(cut), Some(previous))
                    if previous.partition == span.partition && cut.bytes + bytes <= fragment_bytes =>
                {
                    cut.bytes += bytes;
                    cut.spans.end = index + 1;
                }
                _ => {
                    let bytes = self.bytes_in_own_fragment(span);
                    self.cuts.push(Cut { spans: index..index + 1, bytes });
                }
            }
        }
        self.spans = spans;
    }

    fn bytes_in_own_fragment(&self, span: &PlannedSpan<'_>) -> usize {
        self.bytes_after(None, span)
    }

    /// What `span` adds to a fragment that ends with `previous`: itself, and the heads that are not there yet.
    fn bytes_after(&self, previous: Option<&PlannedSpan<'_>>, span: &PlannedSpan<'_>) -> usize {
        let same_scope = previous.is_some_and(|previous| previous.scope == span.scope);
        let same_resource =
            previous.is_some_and(|previous| self.resource_of(previous) == self.resource_of(span));
        let scope = if same_scope { 0 } else { FRAMING_BYTES + self.scopes[span.scope as usize].head.bytes };
        let resource =
            if same_resource { 0 } else { FRAMING_BYTES + self.resources[self.resource_of(span)].bytes };
        span.raw.len() + scope + resource
    }

    fn resource_of(&self, span: &PlannedSpan<'_>) -> usize {
        self.scopes[span.scope as usize].resource as usize
    }

    /// Spans that will go out.
    pub fn accepted(&self) -> u64 {
        self.spans.len() as u64
    }

    /// At least as many bytes as all fragments together will have. Heads are repeated in every fragment, so a
    /// request with large resources grows.
    pub fn fragments_bytes(&self) -> usize {
        self.cuts.iter().map(|cut| cut.bytes).sum()
    }

    /// The fragments, by partition; the order of spans within a partition is the request's.
    pub fn fragments(&self) -> Vec<Fragment> {
        self.cuts.iter().map(|cut| self.fragment(cut)).collect()
    }

    fn fragment(&self, cut: &Cut) -> Fragment {
        let spans = &self.spans[cut.spans.clone()];
        let mut bytes = Vec::with_capacity(cut.bytes);
        for of_resource in spans.chunk_by(|a, b| self.resource_of(a) == self.resource_of(b)) {
            self.put_resource_spans(&mut bytes, of_resource);
        }
        debug_assert!(bytes.len() <= cut.bytes, "a fragment is larger than planned");
        Fragment { partition: spans[0].partition, spans: spans.len() as u64, bytes }
    }

    fn put_resource_spans(&self, out: &mut Vec<u8>, spans: &[PlannedSpan<'_>]) {
        let head = &self.resources[self.resource_of(&spans[0])];
        let by_scope = || spans.chunk_by(|a, b| a.scope == b.scope);
        let scopes: usize = by_scope().map(|spans| 1 + framed(self.scope_bytes(spans))).sum();
        put_length_delimited(out, 1, head.bytes + scopes);
        self.put_head(out, head, &self.resource_pieces);
        for of_scope in by_scope() {
            put_length_delimited(out, 2, self.scope_bytes(of_scope));
            self.put_head(out, &self.scopes[of_scope[0].scope as usize].head, &self.scope_pieces);
            of_scope.iter().for_each(|span| out.extend_from_slice(span.raw));
        }
    }

    fn put_head(&self, out: &mut Vec<u8>, head: &Head, pieces: &[Range<u32>]) {
        for piece in &pieces[head.pieces.clone()] {
            out.extend_from_slice(&self.request[piece.start as usize..piece.end as usize]);
        }
    }

    fn scope_bytes(&self, spans: &[PlannedSpan<'_>]) -> usize {
        let head = self.scopes[spans[0].scope as usize].head.bytes;
        head + spans.iter().map(|span| span.raw.len()).sum::<usize>()
    }
}

impl Head {
    fn begin(pieces: &[Range<u32>]) -> Self {
        Self { pieces: pieces.len()..pieces.len(), bytes: 0 }
    }

    fn add(&mut self, field: Range<u32>, pieces: &mut Vec<Range<u32>>) {
        self.bytes += field.len();
        match pieces[self.pieces.clone()].last_mut() {
            Some(last) if last.end == field.start => last.end = field.end,
            _ => {
                pieces.push(field);
                self.pieces.end += 1;
            }
        }
    }
}

/// Where a part of a request stands in it.
fn place(request: &[u8], part: &[u8]) -> Range<u32> {
    let start = part.as_ptr() as usize - request.as_ptr() as usize;
    as_index(start)..as_index(start + part.len())
}

/// An id of at most 16 bytes.
fn big_endian(id: &[u8]) -> u128 {
    let mut padded = [0; 16];
    padded[16 - id.len()..].copy_from_slice(id);
    u128::from_be_bytes(padded)
}

fn nested<'a>(message: &'static str, field: &Field<'a>) -> Result<&'a [u8], Malformed> {
    match field.value {
        Value::Bytes(bytes) => Ok(bytes),
        _ => Err(Malformed::WireType { message, field: field.number }),
    }
}

fn framed(length: usize) -> usize {
    varint_len(length) + length
}

/// Requests are far smaller than 4 GiB, so positions in them fit.
fn as_index(position: usize) -> u32 {
    u32::try_from(position).expect("a request is smaller than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
    use prost::Message;

    const LIMIT: usize = 10_000;

    fn attribute(key: &str, text: &str) -> KeyValue {
        let value = Some(AnyValue { value: Some(any_value::Value::StringValue(text.into())) });
        KeyValue { key: key.into(), value, ..KeyValue::default() }
    }

    fn span(trace_id: u128, span_id: u64, name: &str) -> Span {
        Span {
            trace_id: trace_id.to_be_bytes().into(),
            span_id: span_id.to_be_bytes().into(),
            name: name.into(),
            ..Span::default()
        }
    }

    fn scope(name: &str, spans: Vec<Span>) -> ScopeSpans {
        let scope = InstrumentationScope { name: name.into(), ..InstrumentationScope::default() };
        ScopeSpans { scope: Some(scope), spans, schema_url: "scope-schema".into() }
    }

    fn resource(service: &str, scope_spans: Vec<ScopeSpans>) -> ResourceSpans {
        let attributes = vec![attribute("service.name", service)];
        let resource = Some(Resource { attributes, ..Resource::default() });
        ResourceSpans { resource, scope_spans, schema_url: "resource-schema".into() }
    }

    /// Two services of two scopes of 20 spans, ten traces.
    fn request() -> TracesData {
        let spans =
            |first: u64| (first..first + 20).map(|id| span(u128::from(id % 10) + 1, id, "work")).collect();
        let resource_spans = vec![
            resource("a", vec![scope("a1", spans(1)), scope("a2", spans(21))]),
            resource("b", vec![scope("b1", spans(41)), scope("b2", spans(61))]),
        ];
        TracesData { resource_spans }
    }

    fn fragments(request: &TracesData, partitions: u32, limit: usize) -> (Vec<Fragment>, Rejected) {
        let bytes = request.encode_to_vec();
        let plan = plan(&bytes, partitions, limit).unwrap();
        let fragments = plan.fragments();
        let length: usize = fragments.iter().map(|fragment| fragment.bytes.len()).sum();
        assert!(length <= plan.fragments_bytes(), "{length} bytes, planned {}", plan.fragments_bytes());
        assert_eq!(plan.accepted(), fragments.iter().map(|fragment| fragment.spans).sum::<u64>());
        (fragments, plan.rejected)
    }

    /// Every span with its surroundings, in an order of its own.
    fn flat(data: &[TracesData]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for of_resource in data.iter().flat_map(|data| &data.resource_spans) {
            for of_scope in &of_resource.scope_spans {
                for span in &of_scope.spans {
                    let mut one = of_resource.clone();
                    one.scope_spans = vec![ScopeSpans { spans: vec![span.clone()], ..of_scope.clone() }];
                    all.push(one.encode_to_vec());
                }
            }
        }
        all.sort();
        all
    }

    fn decoded(fragments: &[Fragment]) -> Vec<TracesData> {
        fragments.iter().map(|fragment| TracesData::decode(&fragment.bytes[..]).unwrap()).collect()
    }

    #[test]
    fn one_partition_and_room_enough_give_the_request_back() {
        let request = request();
        let (fragments, rejected) = fragments(&request, 1, LIMIT);
        assert_eq!(decoded(&fragments), [request]);
        assert_eq!(rejected.total(), 0);
    }

    #[test]
    fn every_span_arrives_once_in_its_partition_with_its_surroundings() {
        let request = request();
        for partitions in [2, 3, 64] {
            for limit in [150, 400, LIMIT] {
                let (fragments, rejected) = fragments(&request, partitions, limit);
                assert_eq!(rejected.total(), 0);
                assert_eq!(flat(&decoded(&fragments)), flat(std::slice::from_ref(&request)));
                for fragment in &fragments {
                    assert!(fragment.bytes.len() <= limit, "{} bytes, limit {limit}", fragment.bytes.len());
                    for span in decoded(std::slice::from_ref(fragment)).iter().flat_map(spans_of) {
                        let trace_id = u128::from_be_bytes(span.trace_id.as_slice().try_into().unwrap());
                        assert_eq!(partition_of(trace_id, partitions), fragment.partition);
                    }
                }
            }
        }
    }

    fn spans_of(data: &TracesData) -> Vec<Span> {
        let scopes = data.resource_spans.iter().flat_map(|of_resource| &of_resource.scope_spans);
        scopes.flat_map(|of_scope| of_scope.spans.clone()).collect()
    }

    #[test]
    fn fragments_laid_end_to_end_are_one_message() {
        let request = request();
        let (fragments, _) = fragments(&request, 3, 300);
        let message: Vec<u8> = fragments.iter().flat_map(|fragment| fragment.bytes.clone()).collect();
        assert_eq!(flat(&[TracesData::decode(&message[..]).unwrap()]), flat(&[request]));
    }

    #[test]
    fn bad_spans_stay_behind_and_the_rest_goes_on() {
        let too_large = span(1, 9, &"x".repeat(LIMIT));
        let spans = vec![span(0, 1, "a"), span(1, 0, "b"), too_large, span(1, 2, "good"), Span::default()];
        let request = TracesData { resource_spans: vec![resource("a", vec![scope("s", spans)])] };
        let (fragments, rejected) = fragments(&request, 2, LIMIT);
        assert_eq!(
            rejected.iter().collect::<Vec<_>>(),
            [("span_too_large", 1), ("zero_span_id", 1), ("zero_trace_id", 2)]
        );
        let names: Vec<String> =
            decoded(&fragments).iter().flat_map(spans_of).map(|span| span.name).collect();
        assert_eq!(names, ["good"]);
    }

    #[test]
    fn heads_may_follow_their_spans_and_unknown_fields_travel_on() {
        let span = span(1, 1, "first").encode_to_vec();
        let mut scope = Vec::new();
        put_length_delimited(&mut scope, 2, span.len());
        scope.extend_from_slice(&span);
        let mut message = Vec::new();
        put_length_delimited(&mut message, 2, scope.len());
        message.extend_from_slice(&scope);
        // Field 99, then the schema url.
        message.extend_from_slice(&[0x9a, 0x06, 1, 7, 0x1a, 1, b'u']);
        let mut request = Vec::new();
        put_length_delimited(&mut request, 1, message.len());
        request.extend_from_slice(&message);
        let fragments = plan(&request, 1, LIMIT).unwrap().fragments();
        assert!(fragments[0].bytes.windows(4).any(|window| window == [0x9a, 0x06, 1, 7]));
        assert_eq!(decoded(&fragments)[0].resource_spans[0].schema_url, "u");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (bytes, malformed) in [
            (&b"1234"[..], Malformed::Truncated),
            (&[0x0a, 5, 1], Malformed::Truncated),
            (&[0x08, 1], Malformed::WireType { message: "TracesData", field: 1 }),
            (&[0x0a, 2, 0x10, 1], Malformed::WireType { message: "ResourceSpans", field: 2 }),
        ] {
            assert_eq!(plan(bytes, 1, LIMIT).unwrap_err(), malformed, "{bytes:x?}");
        }
        let empty = plan(&[], 1, LIMIT).unwrap();
        assert_eq!((empty.accepted(), empty.fragments()), (0, vec![]));
    }
}
