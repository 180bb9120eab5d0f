//! What OTLP's trace messages look like on the wire, as tables, and the check that a message fits its table.
//!
//! Spans of many senders share one Kafka message. So what goes in must be what every reader accepts: a message that
//! one reader refuses would take the spans of others with it.

use crate::wire::{Field, Fields, Malformed, Value};

/// Deepest allowed nesting of attribute values. OTLP itself sets none, SDKs hardly nest at all, and readers recurse.
pub const MAX_NESTING: usize = 32;

/// A message's known fields. Unknown fields are allowed and travel on: a newer sender may know more.
#[derive(Debug)]
pub struct Shape {
    name: &'static str,
    fields: &'static [(u32, Kind)],
    /// Whether each of these counts as one level of nesting.
    nests: bool,
}

#[derive(Debug)]
enum Kind {
    Varint,
    Fixed32,
    Fixed64,
    Text,
    Bytes,
    /// Bytes of exactly this length, or none.
    Id(usize),
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
    let Some((_, kind)) = shape.fields.iter().find(|(number, _)| *number == field.number) else {
        return Ok(());
    };
    match (kind, field.value) {
        (Kind::Varint, Value::Varint(_))
        | (Kind::Fixed32, Value::Fixed32)
        | (Kind::Fixed64, Value::Fixed64)
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

const fn shape(name: &'static str, fields: &'static [(u32, Kind)]) -> Shape {
    Shape { name, fields, nests: false }
}

/// `TracesData`, and `ExportTraceServiceRequest`, which is the same on the wire.
pub static TRACES: Shape = shape("TracesData", &[(1, Kind::Message(&RESOURCE_SPANS))]);

/// `ResourceSpans`.
pub static RESOURCE_SPANS: Shape = shape(
    "ResourceSpans",
    &[(1, Kind::Message(&RESOURCE)), (2, Kind::Message(&SCOPE_SPANS)), (3, Kind::Text)],
);

/// `ScopeSpans`.
pub static SCOPE_SPANS: Shape =
    shape("ScopeSpans", &[(1, Kind::Message(&SCOPE)), (2, Kind::Message(&SPAN)), (3, Kind::Text)]);

/// `Span`.
pub static SPAN: Shape = shape(
    "Span",
    &[
        (1, Kind::Id(16)),
        (2, Kind::Id(8)),
        (3, Kind::Text),
        (4, Kind::Id(8)),
        (5, Kind::Text),
        (6, Kind::Varint),
        (7, Kind::Fixed64),
        (8, Kind::Fixed64),
        (9, Kind::Message(&KEY_VALUE)),
        (10, Kind::Varint),
        (11, Kind::Message(&EVENT)),
        (12, Kind::Varint),
        (13, Kind::Message(&LINK)),
        (14, Kind::Varint),
        (15, Kind::Message(&STATUS)),
        (16, Kind::Fixed32),
    ],
);

static RESOURCE: Shape =
    shape("Resource", &[(1, Kind::Message(&KEY_VALUE)), (2, Kind::Varint), (3, Kind::Message(&ENTITY))]);
static ENTITY: Shape =
    shape("EntityRef", &[(1, Kind::Text), (2, Kind::Text), (3, Kind::Text), (4, Kind::Text)]);
static SCOPE: Shape = shape(
    "InstrumentationScope",
    &[(1, Kind::Text), (2, Kind::Text), (3, Kind::Message(&KEY_VALUE)), (4, Kind::Varint)],
);
static EVENT: Shape =
    shape("Event", &[(1, Kind::Fixed64), (2, Kind::Text), (3, Kind::Message(&KEY_VALUE)), (4, Kind::Varint)]);
static LINK: Shape = shape(
    "Link",
    &[
        (1, Kind::Id(16)),
        (2, Kind::Id(8)),
        (3, Kind::Text),
        (4, Kind::Message(&KEY_VALUE)),
        (5, Kind::Varint),
        (6, Kind::Fixed32),
    ],
);
static STATUS: Shape = shape("Status", &[(2, Kind::Text), (3, Kind::Varint)]);
static KEY_VALUE: Shape =
    shape("KeyValue", &[(1, Kind::Text), (2, Kind::Message(&ANY_VALUE)), (3, Kind::Varint)]);
static ANY_VALUE: Shape = Shape {
    name: "AnyValue",
    fields: &[
        (1, Kind::Text),
        (2, Kind::Varint),
        (3, Kind::Varint),
        (4, Kind::Fixed64),
        (5, Kind::Message(&ARRAY)),
        (6, Kind::Message(&KEY_VALUE_LIST)),
        (7, Kind::Bytes),
        (8, Kind::Varint),
    ],
    nests: true,
};
static ARRAY: Shape = shape("ArrayValue", &[(1, Kind::Message(&ANY_VALUE))]);
static KEY_VALUE_LIST: Shape = shape("KeyValueList", &[(1, Kind::Message(&KEY_VALUE))]);

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
