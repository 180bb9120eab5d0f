//! What prost says of the same bytes.

use opentelemetry_proto::tonic::common::v1::{self as common, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{self as trace, span};
use otlp::{
    AnyValue, EntityRefField, EventField, InstrumentationScopeField, KeyValue, KeyValueField, LinkField,
    Malformed, ResourceField, ResourceSpansField, ScopeSpansField, SpanField, StatusField, TracesData,
    TracesDataField, Usual, Value, Why,
};
use prost::Message;

/// Stops where the reader and prost disagree on these bytes. Gives what they agreed on.
pub fn agree(bytes: &[u8]) -> Result<trace::TracesData, Why> {
    let ours = traces_data(bytes);
    let checked = TracesData::of(bytes).check();
    let theirs = trace::TracesData::decode(bytes);
    if let Err(malformed) = &ours {
        let offset = malformed.offset_in(bytes);
        assert!(offset.is_some(), "{malformed:?} is nowhere in the message");
    }
    match (&ours, &theirs) {
        // As bytes, because a number may be none.
        (Ok(ours), Ok(theirs)) => {
            assert_eq!(ours.encode_to_vec(), theirs.encode_to_vec(), "{ours:#?}\n{theirs:#?}")
        }
        (Err(malformed), Ok(theirs)) => {
            assert_eq!(malformed.why(), Why::Nesting, "prost read {theirs:#?}");
        }
        // prost counts messages in messages: a map takes three of its 100.
        (Ok(ours), Err(refusal)) => {
            assert!(refusal.to_string().contains("recursion"), "{refusal}: {ours:#?}")
        }
        (Err(_), Err(_)) => {}
    }
    let ours = ours.map_err(|malformed| malformed.why());
    match (&ours, checked.map_err(|malformed| malformed.why())) {
        (Ok(_) | Err(Why::Text), Ok(())) => {}
        // A text that is none may have come first.
        (Err(_), Err(_)) => {}
        (ours, checked) => panic!("read: {ours:?}, checked: {checked:?}"),
    }
    ours
}

fn traces_data(bytes: &[u8]) -> Result<trace::TracesData, Malformed> {
    let mut data = trace::TracesData::default();
    for field in TracesData::of(bytes) {
        let TracesDataField::ResourceSpans(one) = field?;
        data.resource_spans.push(resource_spans(one)?);
    }
    Ok(data)
}

fn resource_spans(message: otlp::ResourceSpans<'_>) -> Result<trace::ResourceSpans, Malformed> {
    let mut read = trace::ResourceSpans::default();
    for field in message {
        match field? {
            ResourceSpansField::Resource(more) => resource(read.resource.get_or_insert_default(), more)?,
            ResourceSpansField::ScopeSpans(one) => read.scope_spans.push(scope_spans(one)?),
            ResourceSpansField::SchemaUrl(text) => read.schema_url = text.str()?.to_owned(),
        }
    }
    Ok(read)
}

fn resource(read: &mut Resource, message: otlp::Resource<'_>) -> Result<(), Malformed> {
    for field in message {
        match field? {
            ResourceField::Attribute(pair) => read.attributes.push(attribute(pair)?),
            ResourceField::DroppedAttributesCount(count) => read.dropped_attributes_count = count,
            ResourceField::EntityRef(one) => read.entity_refs.push(entity_ref(one)?),
        }
    }
    Ok(())
}

fn entity_ref(message: otlp::EntityRef<'_>) -> Result<common::EntityRef, Malformed> {
    let mut read = common::EntityRef::default();
    for field in message {
        match field? {
            EntityRefField::SchemaUrl(text) => read.schema_url = text.str()?.to_owned(),
            EntityRefField::Type(text) => read.r#type = text.str()?.to_owned(),
            EntityRefField::IdKey(text) => read.id_keys.push(text.str()?.to_owned()),
            EntityRefField::DescriptionKey(text) => read.description_keys.push(text.str()?.to_owned()),
        }
    }
    Ok(read)
}

fn scope_spans(message: otlp::ScopeSpans<'_>) -> Result<trace::ScopeSpans, Malformed> {
    let mut read = trace::ScopeSpans::default();
    for field in message {
        match field? {
            ScopeSpansField::Scope(more) => scope(read.scope.get_or_insert_default(), more)?,
            ScopeSpansField::Span(one) => read.spans.push(span(one)?),
            ScopeSpansField::SchemaUrl(text) => read.schema_url = text.str()?.to_owned(),
        }
    }
    Ok(read)
}

fn scope(
    read: &mut common::InstrumentationScope,
    message: otlp::InstrumentationScope<'_>,
) -> Result<(), Malformed> {
    for field in message {
        match field? {
            InstrumentationScopeField::Name(text) => read.name = text.str()?.to_owned(),
            InstrumentationScopeField::Version(text) => read.version = text.str()?.to_owned(),
            InstrumentationScopeField::Attribute(pair) => read.attributes.push(attribute(pair)?),
            InstrumentationScopeField::DroppedAttributesCount(count) => read.dropped_attributes_count = count,
        }
    }
    Ok(())
}

fn span(message: otlp::Span<'_>) -> Result<trace::Span, Malformed> {
    let read = fields_of_span(trace::Span::default(), message);
    if let Some((head, rest)) = message.usual() {
        let begun = trace::Span {
            trace_id: head.trace_id.to_vec(),
            span_id: head.span_id.to_vec(),
            parent_span_id: head.parent_span_id.to_vec(),
            name: head.name.str()?.to_owned(),
            kind: head.kind,
            start_time_unix_nano: head.start_time_unix_nano,
            end_time_unix_nano: head.end_time_unix_nano,
            ..trace::Span::default()
        };
        match (&read, fields_of_span(begun, rest)) {
            // As bytes, because a number may be none.
            (Ok(read), Ok(begun)) => assert_eq!(read.encode_to_vec(), begun.encode_to_vec()),
            (read, begun) => assert!(read.is_err() && begun.is_err(), "{read:?} is not {begun:?}"),
        }
    }
    read
}

fn fields_of_span(mut read: trace::Span, message: otlp::Span<'_>) -> Result<trace::Span, Malformed> {
    for field in message {
        match field? {
            SpanField::TraceId(id) => read.trace_id = id.to_vec(),
            SpanField::SpanId(id) => read.span_id = id.to_vec(),
            SpanField::TraceState(text) => read.trace_state = text.str()?.to_owned(),
            SpanField::ParentSpanId(id) => read.parent_span_id = id.to_vec(),
            SpanField::Name(text) => read.name = text.str()?.to_owned(),
            SpanField::Kind(kind) => read.kind = kind,
            SpanField::StartTimeUnixNano(time) => read.start_time_unix_nano = time,
            SpanField::EndTimeUnixNano(time) => read.end_time_unix_nano = time,
            SpanField::Attribute(pair) => read.attributes.push(attribute(pair)?),
            SpanField::DroppedAttributesCount(count) => read.dropped_attributes_count = count,
            SpanField::Event(one) => read.events.push(event(one)?),
            SpanField::DroppedEventsCount(count) => read.dropped_events_count = count,
            SpanField::Link(one) => read.links.push(link(one)?),
            SpanField::DroppedLinksCount(count) => read.dropped_links_count = count,
            SpanField::Status(more) => status(read.status.get_or_insert_default(), more)?,
            SpanField::Flags(flags) => read.flags = flags.0,
        }
    }
    Ok(read)
}

fn event(message: otlp::Event<'_>) -> Result<span::Event, Malformed> {
    let mut read = span::Event::default();
    for field in message {
        match field? {
            EventField::TimeUnixNano(time) => read.time_unix_nano = time,
            EventField::Name(text) => read.name = text.str()?.to_owned(),
            EventField::Attribute(pair) => read.attributes.push(attribute(pair)?),
            EventField::DroppedAttributesCount(count) => read.dropped_attributes_count = count,
        }
    }
    Ok(read)
}

fn link(message: otlp::Link<'_>) -> Result<span::Link, Malformed> {
    let mut read = span::Link::default();
    for field in message {
        match field? {
            LinkField::TraceId(id) => read.trace_id = id.to_vec(),
            LinkField::SpanId(id) => read.span_id = id.to_vec(),
            LinkField::TraceState(text) => read.trace_state = text.str()?.to_owned(),
            LinkField::Attribute(pair) => read.attributes.push(attribute(pair)?),
            LinkField::DroppedAttributesCount(count) => read.dropped_attributes_count = count,
            LinkField::Flags(flags) => read.flags = flags.0,
        }
    }
    Ok(read)
}

fn status(read: &mut trace::Status, message: otlp::Status<'_>) -> Result<(), Malformed> {
    for field in message {
        match field? {
            StatusField::Message(text) => read.message = text.str()?.to_owned(),
            StatusField::Code(code) => read.code = code,
        }
    }
    Ok(())
}

fn attribute(pair: KeyValue<'_>) -> Result<common::KeyValue, Malformed> {
    let mut read = common::KeyValue::default();
    let mut has_value = false;
    for field in pair {
        match field? {
            KeyValueField::Key(text) => _ = text.str()?,
            KeyValueField::Value(one) => {
                has_value = true;
                // Texts that are replaced have to be texts, too.
                texts(one)?;
            }
            KeyValueField::KeyStrindex(index) => read.key_strindex = index,
        }
    }
    let (key, of_pair) = pair.read()?;
    match (pair.usual(), of_pair) {
        (None, _) => {}
        (Some((same, Usual::String(usual))), Value::String(text)) => assert_eq!((same, usual), (key, text)),
        (Some((same, Usual::Int(usual))), Value::Int(number)) => assert_eq!((same, usual), (key, number)),
        (usual, read) => panic!("{usual:?} is not {read:?}"),
    }
    read.key = key.str()?.to_owned();
    let of_pair = value(of_pair)?;
    read.value = has_value.then_some(common::AnyValue { value: of_pair });
    Ok(read)
}

/// Refuses a value with a text in it that is none, even one that counts for nothing.
fn texts(of: AnyValue<'_>) -> Result<(), Malformed> {
    of.check()?;
    for field in of {
        match field? {
            otlp::AnyValueField::String(text) => _ = text.str()?,
            otlp::AnyValueField::Array(list) => {
                for item in list {
                    let otlp::ArrayValueField::Value(item) = item?;
                    texts(item)?;
                }
            }
            otlp::AnyValueField::Map(list) => {
                for entry in list {
                    let otlp::KeyValueListField::Value(entry) = entry?;
                    attribute(entry)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn value(of: Value<'_>) -> Result<Option<any_value::Value>, Malformed> {
    Ok(Some(match of {
        Value::None => return Ok(None),
        Value::String(text) => any_value::Value::StringValue(text.str()?.to_owned()),
        Value::Bool(value) => any_value::Value::BoolValue(value),
        Value::Int(value) => any_value::Value::IntValue(value),
        Value::Double(value) => any_value::Value::DoubleValue(value),
        Value::Bytes(bytes) => any_value::Value::BytesValue(bytes.to_vec()),
        Value::StringStrindex(index) => any_value::Value::StringValueStrindex(index),
        Value::Array(items) => {
            let values = items.map(|item| Ok(common::AnyValue { value: value(item?.read()?)? }));
            any_value::Value::ArrayValue(common::ArrayValue { values: values.collect::<Result<_, _>>()? })
        }
        Value::Map(entries) => {
            let values = entries.map(|entry| attribute(entry?));
            any_value::Value::KvlistValue(common::KeyValueList { values: values.collect::<Result<_, _>>()? })
        }
    }))
}
