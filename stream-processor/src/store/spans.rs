//! Raw spans of `otlp_spans` → `otel_traces`, as the collector's ClickHouse exporter maps them, from views into the
//! message straight into the rows that are sent.

use super::attribute_text::{mended, text_of};
use super::block::{BatchId, Block, BlockWriter, Table};
use super::content::{Content, Oddities, Record};
use super::row_binary::RowBinary;
use otlp::{
    Event, EventField, InstrumentationScopeField, KeyValue, Link, LinkField, Malformed, ResourceField,
    ResourceSpans, ResourceSpansField, ScopeSpans, ScopeSpansField, Span, SpanField, StatusField, TracesData,
    TracesDataField, Value,
};
use schemas::migrations::RAW_RETENTION_DAYS;

const DAY_S: i64 = 86_400;
const NS: u64 = 1_000_000_000;
/// Spans that start this much after their record was written come from a wrong clock.
const AHEAD_S: i64 = 600;

pub(super) const OTEL_TRACES: Table = Table {
    name: "otel_traces",
    columns: "Timestamp, TraceId, SpanId, ParentSpanId, TraceState, SpanName, SpanKind, ServiceName, \
              ResourceAttributes, ScopeName, ScopeVersion, SpanAttributes, Duration, StatusCode, StatusMessage, \
              Events.Timestamp, Events.Name, Events.Attributes, Links.TraceId, Links.SpanId, Links.TraceState, \
              Links.Attributes, Flags, Environment",
    partition_s: DAY_S,
};

/// Raw spans of one batch of one partition.
#[derive(Debug)]
pub struct Spans {
    writer: BlockWriter,
    oddities: Oddities,
    message: Rows,
}

/// Why nothing of a message is stored. The processor keeps such messages in `flow_dead_letters`.
struct Undecodable;

/// The rows of one message: nothing of it counts before all of it was read.
#[derive(Debug, Default)]
struct Rows {
    encoded: RowBinary,
    /// When each row's span began, in seconds, and where the row ends.
    rows: Vec<(i64, usize)>,
    /// Why spans became no rows.
    dropped: Vec<&'static str>,
    resource: Attributes,
    scope: RowBinary,
    attributes: Attributes,
    events: Events,
    links: Links,
}

/// An attribute map in the making.
#[derive(Debug, Default)]
struct Attributes {
    many: usize,
    pairs: RowBinary,
}

/// The columns of a span's events in the making.
#[derive(Debug, Default)]
struct Events {
    many: usize,
    times: RowBinary,
    names: RowBinary,
    attributes: RowBinary,
    of_one: Attributes,
}

/// The columns of a span's links in the making.
#[derive(Debug, Default)]
struct Links {
    many: usize,
    trace_ids: RowBinary,
    span_ids: RowBinary,
    states: RowBinary,
    attributes: RowBinary,
    of_one: Attributes,
}

/// What a resource says of all its spans.
#[derive(Clone, Copy, Default)]
struct Of<'a> {
    service: Option<&'a [u8]>,
    environment: Option<&'a [u8]>,
    old_environment: Option<&'a [u8]>,
}

/// The fields of a span that stand once. Of several the last one holds, as everywhere in protobuf.
#[derive(Default)]
struct Fields<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    parent_span_id: &'a [u8],
    trace_state: &'a [u8],
    name: &'a [u8],
    kind: i32,
    start_ns: u64,
    end_ns: u64,
    status: i32,
    status_message: &'a [u8],
    flags: u32,
}

impl Default for Spans {
    fn default() -> Self {
        let writer = BlockWriter::new(OTEL_TRACES);
        Self { writer, oddities: Oddities::default(), message: Rows::default() }
    }
}

impl Content for Spans {
    fn add(&mut self, record: Record<'_>) {
        let message = &mut self.message;
        if message.read(record.value, record.timestamp_ms / 1000).is_err() {
            self.oddities.undecodable += 1;
        } else {
            let mut begin = 0;
            for (start_s, end) in &message.rows {
                self.writer.row(*start_s).copy(&message.encoded.bytes()[begin..*end]);
                begin = *end;
            }
            for reason in &message.dropped {
                *self.oddities.dropped.entry(reason).or_default() += 1;
            }
        }
        message.encoded.clear();
        message.rows.clear();
        message.dropped.clear();
    }

    fn rows(&self) -> usize {
        self.writer.rows()
    }

    fn oddities(&self) -> &Oddities {
        &self.oddities
    }

    fn finish(self: Box<Self>, id: BatchId) -> Vec<Block> {
        self.writer.finish(id)
    }
}

impl Rows {
    fn read(&mut self, message: &[u8], written_s: i64) -> Result<(), Undecodable> {
        for field in TracesData::of(message) {
            let TracesDataField::ResourceSpans(of_resource) = field?;
            self.add_resource(of_resource, written_s)?;
        }
        Ok(())
    }

    /// What all spans share may stand behind them, so it is looked for first; spans are passed over by their length.
    fn add_resource(&mut self, of_resource: ResourceSpans<'_>, written_s: i64) -> Result<(), Undecodable> {
        self.resource.clear();
        let mut of = Of::default();
        for field in of_resource {
            let ResourceSpansField::Resource(resource) = field? else { continue };
            for field in resource {
                match field? {
                    ResourceField::Attribute(pair) => of.note(self.resource.add(pair)?),
                    ResourceField::EntityRef(entity) => entity.check()?,
                    ResourceField::DroppedAttributesCount(_) => {}
                }
            }
        }
        for field in of_resource {
            if let ResourceSpansField::ScopeSpans(of_scope) = field? {
                self.add_scope(of_scope, of, written_s)?;
            }
        }
        Ok(())
    }

    fn add_scope(&mut self, of_scope: ScopeSpans<'_>, of: Of<'_>, written_s: i64) -> Result<(), Undecodable> {
        let (mut name, mut version) = (&[][..], &[][..]);
        for field in of_scope {
            let ScopeSpansField::Scope(scope) = field? else { continue };
            for field in scope {
                match field? {
                    InstrumentationScopeField::Name(text) => name = text.bytes(),
                    InstrumentationScopeField::Version(text) => version = text.bytes(),
                    InstrumentationScopeField::Attribute(pair) => pair.check()?,
                    InstrumentationScopeField::DroppedAttributesCount(_) => {}
                }
            }
        }
        self.scope.clear();
        self.scope.text(&mended(name));
        self.scope.text(&mended(version));
        for field in of_scope {
            if let ScopeSpansField::Span(span) = field? {
                self.add_span(span, of, written_s)?;
            }
        }
        Ok(())
    }

    fn add_span(&mut self, span: Span<'_>, of: Of<'_>, written_s: i64) -> Result<(), Undecodable> {
        self.attributes.clear();
        self.events.clear();
        self.links.clear();
        let mut fields = Fields::default();
        for field in span {
            match field? {
                SpanField::TraceId(bytes) => fields.trace_id = id(bytes, 16)?,
                SpanField::SpanId(bytes) => fields.span_id = id(bytes, 8)?,
                SpanField::ParentSpanId(bytes) => fields.parent_span_id = id(bytes, 8)?,
                SpanField::TraceState(text) => fields.trace_state = text.bytes(),
                SpanField::Name(text) => fields.name = text.bytes(),
                SpanField::Kind(kind) => fields.kind = kind,
                SpanField::StartTimeUnixNano(ns) => fields.start_ns = ns,
                SpanField::EndTimeUnixNano(ns) => fields.end_ns = ns,
                SpanField::Attribute(pair) => self.attributes.add(pair).map(|_| ())?,
                SpanField::Event(event) => self.events.add(event)?,
                SpanField::Link(link) => self.links.add(link)?,
                SpanField::Status(status) => {
                    for field in status {
                        match field? {
                            StatusField::Message(text) => fields.status_message = text.bytes(),
                            StatusField::Code(code) => fields.status = code,
                        }
                    }
                }
                SpanField::Flags(flags) => fields.flags = flags.0,
                SpanField::DroppedAttributesCount(_)
                | SpanField::DroppedEventsCount(_)
                | SpanField::DroppedLinksCount(_) => {}
            }
        }
        match fields.refused(written_s) {
            Some(reason) => self.dropped.push(reason),
            None => self.write(&fields, of),
        }
        Ok(())
    }

    /// In the order of [`OTEL_TRACES`]' columns.
    fn write(&mut self, span: &Fields<'_>, of: Of<'_>) {
        let row = &mut self.encoded;
        row.i64(time(span.start_ns));
        row.hex(span.trace_id);
        row.hex(span.span_id);
        write_id(row, span.parent_span_id);
        row.text(&mended(span.trace_state));
        row.text(&mended(span.name));
        row.text(kind_text(span.kind));
        row.text(&mended(of.service.unwrap_or_default()));
        self.resource.write(row);
        row.copy(self.scope.bytes());
        self.attributes.write(row);
        // The exporter lets a negative duration wrap around; nobody can want that.
        row.u64(span.end_ns.saturating_sub(span.start_ns));
        row.text(status_text(span.status));
        row.text(&mended(span.status_message));
        self.events.write(row);
        self.links.write(row);
        row.u32(span.flags);
        row.text(&mended(of.environment()));
        self.rows.push((span.start_s(), self.encoded.bytes().len()));
    }
}

impl Attributes {
    fn clear(&mut self) {
        self.many = 0;
        self.pairs.clear();
    }

    fn add<'a>(&mut self, pair: KeyValue<'a>) -> Result<(&'a [u8], Value<'a>), Malformed> {
        let (key, value) = pair.read()?;
        self.many += 1;
        self.pairs.text(&mended(key.bytes()));
        match value {
            Value::Int(number) => self.pairs.decimal(number),
            _ => self.pairs.text(&text_of(value)),
        }
        Ok((key.bytes(), value))
    }

    fn write(&self, row: &mut RowBinary) {
        row.length(self.many);
        row.copy(self.pairs.bytes());
    }
}

impl Events {
    fn clear(&mut self) {
        self.many = 0;
        for column in [&mut self.times, &mut self.names, &mut self.attributes] {
            column.clear();
        }
    }

    fn add(&mut self, event: Event<'_>) -> Result<(), Malformed> {
        let (mut time_ns, mut name) = (0, &[][..]);
        self.of_one.clear();
        for field in event {
            match field? {
                EventField::TimeUnixNano(ns) => time_ns = ns,
                EventField::Name(text) => name = text.bytes(),
                EventField::Attribute(pair) => self.of_one.add(pair).map(|_| ())?,
                EventField::DroppedAttributesCount(_) => {}
            }
        }
        self.many += 1;
        self.times.i64(time(time_ns));
        self.names.text(&mended(name));
        self.of_one.write(&mut self.attributes);
        Ok(())
    }

    fn write(&self, row: &mut RowBinary) {
        for column in [&self.times, &self.names, &self.attributes] {
            row.length(self.many);
            row.copy(column.bytes());
        }
    }
}

impl Links {
    fn clear(&mut self) {
        self.many = 0;
        for column in [&mut self.trace_ids, &mut self.span_ids, &mut self.states, &mut self.attributes] {
            column.clear();
        }
    }

    fn add(&mut self, link: Link<'_>) -> Result<(), Undecodable> {
        let (mut trace_id, mut span_id, mut state) = (&[][..], &[][..], &[][..]);
        self.of_one.clear();
        for field in link {
            match field? {
                LinkField::TraceId(bytes) => trace_id = id(bytes, 16)?,
                LinkField::SpanId(bytes) => span_id = id(bytes, 8)?,
                LinkField::TraceState(text) => state = text.bytes(),
                LinkField::Attribute(pair) => self.of_one.add(pair).map(|_| ())?,
                LinkField::DroppedAttributesCount(_) | LinkField::Flags(_) => {}
            }
        }
        self.many += 1;
        write_id(&mut self.trace_ids, trace_id);
        write_id(&mut self.span_ids, span_id);
        self.states.text(&mended(state));
        self.of_one.write(&mut self.attributes);
        Ok(())
    }

    fn write(&self, row: &mut RowBinary) {
        for column in [&self.trace_ids, &self.span_ids, &self.states, &self.attributes] {
            row.length(self.many);
            row.copy(column.bytes());
        }
    }
}

impl<'a> Of<'a> {
    /// Of several attributes with one key the first one counts; what is no text says nothing.
    fn note(&mut self, (key, value): (&[u8], Value<'a>)) {
        let found = match key {
            b"service.name" => &mut self.service,
            b"deployment.environment.name" => &mut self.environment,
            b"deployment.environment" => &mut self.old_environment,
            _ => return,
        };
        found.get_or_insert(if let Value::String(text) = value { text.bytes() } else { &[] });
    }

    fn environment(&self) -> &'a [u8] {
        self.environment.filter(|name| !name.is_empty()).or(self.old_environment).unwrap_or_default()
    }
}

impl Fields<'_> {
    fn start_s(&self) -> i64 {
        (self.start_ns / NS).cast_signed()
    }

    /// Why the span isn't stored. Time is measured against the record's timestamp, not against this machine's clock, so
    /// that a repeated batch is the same rows.
    fn refused(&self, written_s: i64) -> Option<&'static str> {
        if is_zero(self.trace_id) {
            return Some("zero_trace_id");
        }
        if is_zero(self.span_id) {
            return Some("zero_span_id");
        }
        if self.start_s() > written_s + AHEAD_S {
            return Some("ahead");
        }
        let oldest_s = written_s - i64::from(RAW_RETENTION_DAYS) * DAY_S;
        (self.start_s() < oldest_s).then_some("older_than_retention")
    }
}

/// An id of this length, or none.
fn id(bytes: &[u8], length: usize) -> Result<&[u8], Undecodable> {
    if bytes.is_empty() || bytes.len() == length { Ok(bytes) } else { Err(Undecodable) }
}

fn is_zero(id: &[u8]) -> bool {
    id.iter().all(|byte| *byte == 0)
}

/// Hexadecimal digits, or nothing for an id that is absent or zero.
fn write_id(row: &mut RowBinary, id: &[u8]) {
    row.hex(if is_zero(id) { &[] } else { id });
}

/// DateTime64(9) ends in 2262.
fn time(unix_nano: u64) -> i64 {
    i64::try_from(unix_nano).unwrap_or(i64::MAX)
}

fn kind_text(kind: i32) -> &'static str {
    match kind {
        0 => "Unspecified",
        1 => "Internal",
        2 => "Server",
        3 => "Client",
        4 => "Producer",
        5 => "Consumer",
        _ => "",
    }
}

fn status_text(code: i32) -> &'static str {
    match code {
        0 => "Unset",
        1 => "Ok",
        2 => "Error",
        _ => "",
    }
}

impl From<Malformed> for Undecodable {
    fn from(_: Malformed) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
    use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
    use prost::Message;

    const NOW_S: i64 = 1_800_000_000;

    fn span(id: u8, start_s: i64) -> Span {
        Span {
            trace_id: vec![id; 16],
            span_id: vec![id; 8],
            start_time_unix_nano: start_s as u64 * NS,
            end_time_unix_nano: start_s as u64 * NS + 5,
            ..Default::default()
        }
    }

    fn encoded(spans: Vec<Span>) -> Vec<u8> {
        let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
        TracesData { resource_spans: vec![ResourceSpans { scope_spans, ..Default::default() }] }
            .encode_to_vec()
    }

    fn stored(spans: Vec<Span>) -> Spans {
        stored_of(&encoded(spans))
    }

    fn stored_of(value: &[u8]) -> Spans {
        let mut stored = Spans::default();
        stored.add(Record { partition: 0, offset: 0, timestamp_ms: NOW_S * 1000, value });
        stored
    }

    #[test]
    fn spans_that_the_table_could_not_keep_are_counted_by_reason() {
        let retention_s = i64::from(RAW_RETENTION_DAYS) * DAY_S;
        let stored = stored(vec![
            span(1, NOW_S),
            span(2, NOW_S + AHEAD_S + 1),
            span(3, NOW_S - retention_s - 1),
            span(4, NOW_S - retention_s),
            span(0, NOW_S),
            Span { span_id: vec![0; 8], ..span(5, NOW_S) },
        ]);
        assert_eq!(stored.rows(), 2);
        let dropped: Vec<_> =
            stored.oddities().dropped.iter().map(|(reason, count)| (*reason, *count)).collect();
        assert_eq!(
            dropped,
            [("ahead", 1), ("older_than_retention", 1), ("zero_span_id", 1), ("zero_trace_id", 1)]
        );
    }

    #[test]
    fn garbage_is_counted() {
        let mut stored = Spans::default();
        stored.add(Record { partition: 0, offset: 0, timestamp_ms: 0, value: b"\xff\xff\xff" });
        assert_eq!((stored.oddities().undecodable, stored.rows()), (1, 0));
    }

    /// Whatever byte is damaged: nothing is stored of a message that the reader refuses, and no other is refused.
    #[test]
    fn a_damaged_message_is_judged_as_the_reader_judges_it() {
        let value = |value| Some(AnyValue { value: Some(value) });
        let pair = |key: &str, value| KeyValue { key: key.into(), value, ..Default::default() };
        let nested = ArrayValue { values: vec![AnyValue { value: Some(Value::DoubleValue(0.5)) }] };
        let attributes = vec![
            pair("straße", value(Value::StringValue("ä".into()))),
            pair("status", value(Value::IntValue(200))),
            pair("list", value(Value::ArrayValue(nested))),
        ];
        let event = Event { name: "e".into(), attributes: attributes.clone(), ..Default::default() };
        let link = Link { trace_id: vec![1; 16], attributes: attributes.clone(), ..Default::default() };
        let status = Some(Status { message: "m".into(), code: 2 });
        let full =
            Span { attributes, events: vec![event], links: vec![link], status, flags: 1, ..span(1, NOW_S) };
        let message = encoded(vec![full.clone(), full]);
        for at in 0..message.len() {
            for damage in [0, 1, 0x12, 0x7f, 0x80, 0xff, message[at] ^ 1] {
                let mut damaged = message.clone();
                damaged[at] = damage;
                let refused = reader::decode_otlp_repaired(&damaged).is_err();
                let stored = stored_of(&damaged);
                assert_eq!(stored.oddities().undecodable == 1, refused, "{damage:#x} at {at}");
                assert!(!refused || stored.rows() == 0);
            }
        }
    }

    #[test]
    fn a_block_is_one_day() {
        let midnight = NOW_S - NOW_S % DAY_S;
        let id = BatchId { generation: 1, lane: 2, batch: 1 };
        let blocks = Box::new(stored(vec![span(1, midnight), span(2, midnight - 1), span(3, midnight + 1)]))
            .finish(id);
        assert_eq!(blocks.iter().map(|block| block.rows).collect::<Vec<_>>(), [1, 2]);
    }
}
