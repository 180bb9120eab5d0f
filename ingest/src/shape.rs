//! What OTLP's trace messages look like, as tables, and the check that a message fits its table.
//!
//! Spans of many senders share one Kafka message. So what goes in must be what every reader accepts: a message that
//! one reader refuses would take the spans of others with it.

use crate::wire::{Field, Fields, Malformed, Value};

/// Deepest allowed nesting of attribute values. OTLP itself sets none, SDKs hardly nest at all, and readers recurse.
pub const MAX_NESTING: usize = 32;

/// A message's known fields. Unknown fields are allowed and travel on: a newer sender may know more.
#[derive(Debug)]
pub struct Shape {
    /// The message's name.
    pub name: &'static str,
    /// Its fields.
    pub fields: &'static [Known],
    /// Whether each of these counts as one level of nesting.
    pub nests: bool,
}

/// One field of a message's definition.
#[derive(Debug)]
pub struct Known {
    /// Its number.
    pub number: u32,
    /// Its name in the definition; JSON writes it in lowerCamelCase.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may stand several times; a list in JSON.
    pub many: bool,
}

/// What a field holds.
#[derive(Debug)]
pub enum Kind {
    /// `bool`.
    Bool,
    /// `int64` and `int32`.
    Integer,
    /// `uint32`.
    Unsigned,
    /// An enum with these names, from 0 on.
    Choice(&'static [&'static str]),
    /// `fixed32`.
    Fixed32,
    /// `fixed64`.
    Fixed64,
    /// `double`.
    Double,
    /// `string`.
    Text,
    /// `bytes`.
    Bytes,
    /// `bytes` of exactly this length, or none.
    Id(usize),
    /// A message.
    Message(&'static Shape),
}

/// Checks every field of `message`, and of the messages in it.
///
/// # Errors
/// The first thing that is not as it should be.
pub fn check(shape: &'static Shape, message: &[u8]) -> Result<(), Malformed> {
    visit_message(shape, message, 0, &mut is_utf8)
}

/// Checks one field of a message of this shape.
///
/// # Errors
/// The first thing that is not as it should be.
pub fn check_field(shape: &'static Shape, field: &Field<'_>) -> Result<(), Malformed> {
    visit(shape, field, 0, &mut is_utf8)
}

/// Checks everything but texts, and shows every text.
///
/// # Errors
/// The first thing that is not as it should be.
pub fn each_text(shape: &'static Shape, message: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<(), Malformed> {
    visit_message(shape, message, 0, &mut |text| {
        see(text);
        Ok(())
    })
}

type OnText<'f> = &'f mut dyn FnMut(&[u8]) -> Result<(), Malformed>;

fn is_utf8(text: &[u8]) -> Result<(), Malformed> {
    std::str::from_utf8(text).map(|_| ()).map_err(|_| Malformed::Text)
}

fn visit_message(
    shape: &'static Shape,
    message: &[u8],
    depth: usize,
    on_text: OnText<'_>,
) -> Result<(), Malformed> {
    let depth = depth + usize::from(shape.nests);
    if depth > MAX_NESTING {
        return Err(Malformed::Nesting);
    }
    Fields::of(message).try_for_each(|field| visit(shape, &field?, depth, on_text))
}

fn visit(
    shape: &'static Shape,
    field: &Field<'_>,
    depth: usize,
    on_text: OnText<'_>,
) -> Result<(), Malformed> {
    let Some(known) = shape.fields.iter().find(|known| known.number == field.number) else {
        return Ok(());
    };
    match (&known.kind, field.value) {
        (Kind::Bool | Kind::Integer | Kind::Unsigned | Kind::Choice(_), Value::Varint(_))
        | (Kind::Fixed32, Value::Fixed32)
        | (Kind::Fixed64 | Kind::Double, Value::Fixed64)
        | (Kind::Bytes, Value::Bytes(_)) => Ok(()),
        (Kind::Text, Value::Bytes(text)) => on_text(text),
        (Kind::Id(length), Value::Bytes(id)) if id.is_empty() || id.len() == *length => Ok(()),
        (Kind::Id(_), Value::Bytes(id)) => {
            Err(Malformed::IdLength { message: shape.name, field: field.number, length: id.len() })
        }
        (Kind::Message(inner), Value::Bytes(message)) => visit_message(inner, message, depth, on_text),
        _ => Err(Malformed::WireType { message: shape.name, field: field.number }),
    }
}

const fn shape(name: &'static str, fields: &'static [Known]) -> Shape {
    Shape { name, fields, nests: false }
}

const fn one(number: u32, name: &'static str, kind: Kind) -> Known {
    Known { number, name, kind, many: false }
}

const fn many(number: u32, name: &'static str, kind: Kind) -> Known {
    Known { number, name, kind, many: true }
}

const fn attributes(number: u32) -> Known {
    many(number, "attributes", Kind::Message(&KEY_VALUE))
}

/// `TracesData`, and `ExportTraceServiceRequest`, which is the same on the wire.
pub static TRACES: Shape = shape("TracesData", &[many(1, "resource_spans", Kind::Message(&RESOURCE_SPANS))]);

/// `ResourceSpans`.
pub static RESOURCE_SPANS: Shape = shape(
    "ResourceSpans",
    &[
        one(1, "resource", Kind::Message(&RESOURCE)),
        many(2, "scope_spans", Kind::Message(&SCOPE_SPANS)),
        one(3, "schema_url", Kind::Text),
    ],
);

/// `ScopeSpans`.
pub static SCOPE_SPANS: Shape = shape(
    "ScopeSpans",
    &[
        one(1, "scope", Kind::Message(&SCOPE)),
        many(2, "spans", Kind::Message(&SPAN)),
        one(3, "schema_url", Kind::Text),
    ],
);

/// `Span`.
pub static SPAN: Shape = shape(
    "Span",
    &[
        one(1, "trace_id", Kind::Id(16)),
        one(2, "span_id", Kind::Id(8)),
        one(3, "trace_state", Kind::Text),
        one(4, "parent_span_id", Kind::Id(8)),
        one(5, "name", Kind::Text),
        one(6, "kind", Kind::Choice(SPAN_KINDS)),
        one(7, "start_time_unix_nano", Kind::Fixed64),
        one(8, "end_time_unix_nano", Kind::Fixed64),
        attributes(9),
        one(10, "dropped_attributes_count", Kind::Unsigned),
        many(11, "events", Kind::Message(&EVENT)),
        one(12, "dropped_events_count", Kind::Unsigned),
        many(13, "links", Kind::Message(&LINK)),
        one(14, "dropped_links_count", Kind::Unsigned),
        one(15, "status", Kind::Message(&STATUS)),
        one(16, "flags", Kind::Fixed32),
    ],
);

const SPAN_KINDS: &[&str] = &[
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
const STATUS_CODES: &[&str] = &["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

static RESOURCE: Shape = shape(
    "Resource",
    &[
        attributes(1),
        one(2, "dropped_attributes_count", Kind::Unsigned),
        many(3, "entity_refs", Kind::Message(&ENTITY)),
    ],
);
static ENTITY: Shape = shape(
    "EntityRef",
    &[
        one(1, "schema_url", Kind::Text),
        one(2, "type", Kind::Text),
        many(3, "id_keys", Kind::Text),
        many(4, "description_keys", Kind::Text),
    ],
);
static SCOPE: Shape = shape(
    "InstrumentationScope",
    &[
        one(1, "name", Kind::Text),
        one(2, "version", Kind::Text),
        attributes(3),
        one(4, "dropped_attributes_count", Kind::Unsigned),
    ],
);
static EVENT: Shape = shape(
    "Event",
    &[
        one(1, "time_unix_nano", Kind::Fixed64),
        one(2, "name", Kind::Text),
        attributes(3),
        one(4, "dropped_attributes_count", Kind::Unsigned),
    ],
);
static LINK: Shape = shape(
    "Link",
    &[
        one(1, "trace_id", Kind::Id(16)),
        one(2, "span_id", Kind::Id(8)),
        one(3, "trace_state", Kind::Text),
        attributes(4),
        one(5, "dropped_attributes_count", Kind::Unsigned),
        one(6, "flags", Kind::Fixed32),
    ],
);
static STATUS: Shape =
    shape("Status", &[one(2, "message", Kind::Text), one(3, "code", Kind::Choice(STATUS_CODES))]);
static KEY_VALUE: Shape = shape(
    "KeyValue",
    &[
        one(1, "key", Kind::Text),
        one(2, "value", Kind::Message(&ANY_VALUE)),
        one(3, "key_strindex", Kind::Integer),
    ],
);
static ANY_VALUE: Shape = Shape {
    name: "AnyValue",
    fields: &[
        one(1, "string_value", Kind::Text),
        one(2, "bool_value", Kind::Bool),
        one(3, "int_value", Kind::Integer),
        one(4, "double_value", Kind::Double),
        one(5, "array_value", Kind::Message(&ARRAY)),
        one(6, "kvlist_value", Kind::Message(&KEY_VALUE_LIST)),
        one(7, "bytes_value", Kind::Bytes),
        one(8, "string_value_strindex", Kind::Integer),
    ],
    nests: true,
};
static ARRAY: Shape = shape("ArrayValue", &[many(1, "values", Kind::Message(&ANY_VALUE))]);
static KEY_VALUE_LIST: Shape = shape("KeyValueList", &[many(1, "values", Kind::Message(&KEY_VALUE))]);

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
    use opentelemetry_proto::tonic::trace::v1::Span;
    use prost::Message;

    fn span_with(value: AnyValue) -> Vec<u8> {
        let attribute = KeyValue { key: "a".into(), value: Some(value), ..KeyValue::default() };
        Span { attributes: vec![attribute], ..Span::default() }.encode_to_vec()
    }

    fn nested(levels: usize) -> AnyValue {
        let innermost = AnyValue { value: Some(any_value::Value::IntValue(1)) };
        (1..levels).fold(innermost, |inner, _| AnyValue {
            value: Some(any_value::Value::ArrayValue(ArrayValue { values: vec![inner] })),
        })
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        assert_eq!(check(&SPAN, &span_with(nested(MAX_NESTING))), Ok(()));
        assert_eq!(check(&SPAN, &span_with(nested(MAX_NESTING + 1))), Err(Malformed::Nesting));
    }

    #[test]
    fn ids_have_their_length_or_none() {
        for (id, result) in [
            (vec![], Ok(())),
            (vec![1; 8], Ok(())),
            (vec![0x12, 0x23, 0xad], Err(Malformed::IdLength { message: "Span", field: 2, length: 3 })),
        ] {
            let span = Span { span_id: id, ..Span::default() }.encode_to_vec();
            assert_eq!(check(&SPAN, &span), result);
        }
    }

    #[test]
    fn text_must_be_utf8_and_fields_of_their_type() {
        assert_eq!(check(&SPAN, &[0x2a, 1, 0xff]), Err(Malformed::Text));
        let wrong = Malformed::WireType { message: "Span", field: 5 };
        assert_eq!(check(&SPAN, &[0x28, 1]), Err(wrong));
    }

    #[test]
    fn unknown_fields_pass() {
        assert_eq!(check(&SPAN, &[0xa2, 0x06, 2, 0xff, 0xff]), Ok(()));
    }
}
