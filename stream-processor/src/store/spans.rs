//! Raw spans of `otlp_spans` → `otel_traces`, as the collector's ClickHouse exporter maps them.

use super::attribute_text::text_of;
use super::block::{BatchId, Block, BlockWriter, Table};
use super::content::{Content, Oddities, Record};
use super::row_binary::RowBinary;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span, span, status};
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
}

/// What all spans of a resource and scope share, encoded once.
struct Shared<'a> {
    service: &'a str,
    environment: &'a str,
    resource: RowBinary,
    scope: RowBinary,
}

impl Default for Spans {
    fn default() -> Self {
        Self { writer: BlockWriter::new(OTEL_TRACES), oddities: Oddities::default() }
    }
}

impl Spans {
    fn add_resource(&mut self, of_resource: &ResourceSpans, written_s: i64) {
        let attributes = of_resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
        let mut shared = Shared {
            service: string_of(attributes, "service.name"),
            environment: environment_of(attributes),
            resource: RowBinary::default(),
            scope: RowBinary::default(),
        };
        write_attributes(&mut shared.resource, attributes);
        for of_scope in &of_resource.scope_spans {
            shared.scope = encoded_scope(of_scope.scope.as_ref());
            for span in &of_scope.spans {
                self.add_span(span, &shared, written_s);
            }
        }
    }

    fn add_span(&mut self, span: &Span, shared: &Shared<'_>, written_s: i64) {
        if let Some(reason) = refused(span, written_s) {
            *self.oddities.dropped.entry(reason).or_default() += 1;
            return;
        }
        let start_s = (span.start_time_unix_nano / NS).cast_signed();
        write_span(self.writer.row(start_s), span, shared);
    }
}

/// Why a span isn't stored. Time is measured against the record's timestamp, not against this machine's clock, so
/// that a repeated batch is the same rows.
fn refused(span: &Span, written_s: i64) -> Option<&'static str> {
    let start_s = (span.start_time_unix_nano / NS).cast_signed();
    if is_zero(&span.trace_id, 16) {
        return Some("zero_trace_id");
    }
    if is_zero(&span.span_id, 8) {
        return Some("zero_span_id");
    }
    if start_s > written_s + AHEAD_S {
        return Some("ahead");
    }
    (start_s < written_s - i64::from(RAW_RETENTION_DAYS) * DAY_S).then_some("older_than_retention")
}

fn is_zero(id: &[u8], length: usize) -> bool {
    id.len() != length || id.iter().all(|byte| *byte == 0)
}

fn write_span(row: &mut RowBinary, span: &Span, shared: &Shared<'_>) {
    row.i64(time(span.start_time_unix_nano));
    row.hex(&span.trace_id);
    row.hex(&span.span_id);
    write_id(row, &span.parent_span_id, 8);
    row.text(&span.trace_state);
    row.text(&span.name);
    row.text(kind_text(span.kind));
    row.text(shared.service);
    row.copy(&shared.resource);
    row.copy(&shared.scope);
    write_attributes(row, &span.attributes);
    // The exporter lets a negative duration wrap around; nobody can want that.
    row.u64(span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano));
    row.text(span.status.as_ref().map_or("Unset", |status| status_text(status.code)));
    row.text(span.status.as_ref().map_or("", |status| &status.message));
    write_events(row, &span.events);
    write_links(row, &span.links);
    row.u32(span.flags);
    row.text(shared.environment);
}

fn write_events(row: &mut RowBinary, events: &[span::Event]) {
    row.length(events.len());
    events.iter().for_each(|event| row.i64(time(event.time_unix_nano)));
    row.length(events.len());
    events.iter().for_each(|event| row.text(&event.name));
    row.length(events.len());
    events.iter().for_each(|event| write_attributes(row, &event.attributes));
}

fn write_links(row: &mut RowBinary, links: &[span::Link]) {
    row.length(links.len());
    links.iter().for_each(|link| write_id(row, &link.trace_id, 16));
    row.length(links.len());
    links.iter().for_each(|link| write_id(row, &link.span_id, 8));
    row.length(links.len());
    links.iter().for_each(|link| row.text(&link.trace_state));
    row.length(links.len());
    links.iter().for_each(|link| write_attributes(row, &link.attributes));
}

/// Hexadecimal digits, or nothing for an id that is absent or zero.
fn write_id(row: &mut RowBinary, id: &[u8], length: usize) {
    row.hex(if is_zero(id, length) { &[] } else { id });
}

fn write_attributes(row: &mut RowBinary, attributes: &[KeyValue]) {
    row.length(attributes.len());
    for attribute in attributes {
        row.text(&attribute.key);
        row.text(&text_of(attribute.value.as_ref()));
    }
}

fn encoded_scope(scope: Option<&InstrumentationScope>) -> RowBinary {
    let mut encoded = RowBinary::default();
    encoded.text(scope.map_or("", |scope| &scope.name));
    encoded.text(scope.map_or("", |scope| &scope.version));
    encoded
}

fn environment_of(attributes: &[KeyValue]) -> &str {
    match string_of(attributes, "deployment.environment.name") {
        "" => string_of(attributes, "deployment.environment"),
        name => name,
    }
}

/// The text of a string attribute, "" where there is none.
fn string_of<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let value =
        attributes.iter().find(|attribute| attribute.key == key).and_then(|found| found.value.as_ref());
    match value.and_then(|any| any.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}

/// DateTime64(9) ends in 2262.
fn time(unix_nano: u64) -> i64 {
    i64::try_from(unix_nano).unwrap_or(i64::MAX)
}

fn kind_text(kind: i32) -> &'static str {
    match span::SpanKind::try_from(kind) {
        Ok(span::SpanKind::Unspecified) => "Unspecified",
        Ok(span::SpanKind::Internal) => "Internal",
        Ok(span::SpanKind::Server) => "Server",
        Ok(span::SpanKind::Client) => "Client",
        Ok(span::SpanKind::Producer) => "Producer",
        Ok(span::SpanKind::Consumer) => "Consumer",
        Err(_) => "",
    }
}

fn status_text(code: i32) -> &'static str {
    match status::StatusCode::try_from(code) {
        Ok(status::StatusCode::Unset) => "Unset",
        Ok(status::StatusCode::Ok) => "Ok",
        Ok(status::StatusCode::Error) => "Error",
        Err(_) => "",
    }
}

impl Content for Spans {
    fn add(&mut self, record: Record<'_>) {
        let Ok((traces, _mended)) = reader::decode_otlp_repaired(record.value) else {
            // The processor keeps such messages in flow_dead_letters.
            self.oddities.undecodable += 1;
            return;
        };
        for of_resource in &traces.resource_spans {
            self.add_resource(of_resource, record.timestamp_ms / 1000);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::trace::v1::TracesData;
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

    fn stored(spans: Vec<Span>) -> Spans {
        let message = TracesData {
            resource_spans: vec![ResourceSpans {
                scope_spans: vec![opentelemetry_proto::tonic::trace::v1::ScopeSpans {
                    spans,
                    ..Default::default()
                }],
                ..Default::default()
            }],
        };
        let mut stored = Spans::default();
        stored.add(Record {
            partition: 0,
            offset: 0,
            timestamp_ms: NOW_S * 1000,
            value: &message.encode_to_vec(),
        });
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

    #[test]
    fn a_block_is_one_day() {
        let midnight = NOW_S - NOW_S % DAY_S;
        let id = BatchId { generation: 1, lane: 2, batch: 1 };
        let blocks = Box::new(stored(vec![span(1, midnight), span(2, midnight - 1), span(3, midnight + 1)]))
            .finish(id);
        assert_eq!(blocks.iter().map(|block| block.rows).collect::<Vec<_>>(), [1, 2]);
    }
}
