//! What OTLP's trace messages look like, as tables, and the check that a message fits its table.
//!
//! Spans of many senders share one Kafka message. So what goes in must be what every reader accepts: a message that
//! one reader refuses would take the spans of others with it.

use crate::wire::{Field, Fields, Malformed, Value};
use std::ops::Range;

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
    /// Whether this is a `KeyValue`.
    is_pair: bool,
    /// By the key of a field that is one byte and says the right wire type: one more than the field's place in
    /// `fields`. 0: look closer.
    by_key: [u8; 128],
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

/// Checks the fields of one request, in the order in which they stand.
#[derive(Debug)]
pub struct Check<'a> {
    request: &'a [u8],
    /// A run of ASCII: where it stands in the request. Texts in it are UTF-8, whatever stands between them: nearly all
    /// keys and lengths are ASCII too, so such runs are long, and to find them takes a fraction of a look at each text.
    ascii: Range<usize>,
}

impl<'a> Check<'a> {
    /// Checks fields of this request.
    pub fn of(request: &'a [u8]) -> Self {
        Self { request, ascii: 0..0 }
    }

    /// Checks one field of a message of this shape, and the messages in it.
    ///
    /// # Errors
    /// The first thing that is not as it should be.
    #[inline]
    pub fn field(&mut self, shape: &'static Shape, field: &Field<'a>) -> Result<(), Malformed> {
        visit(shape, field, 0, &mut |text| self.text(text))
    }

    #[inline]
    fn text(&mut self, text: &[u8]) -> Result<(), Malformed> {
        let start = text.as_ptr() as usize - self.request.as_ptr() as usize;
        if self.ascii.start <= start && start + text.len() <= self.ascii.end {
            return Ok(());
        }
        self.unknown_text(text, start)
    }

    fn unknown_text(&mut self, text: &[u8], start: usize) -> Result<(), Malformed> {
        if !self.ascii.contains(&start) {
            self.ascii = start..start;
        }
        self.ascii.end += ascii_prefix(&self.request[self.ascii.end..]);
        if start + text.len() <= self.ascii.end {
            return Ok(());
        }
        std::str::from_utf8(text).map(|_| ()).map_err(|_| Malformed::Text)
    }
}

/// At least this many bytes, from the first on, are ASCII; in steps that the compiler makes one instruction of.
fn ascii_prefix(bytes: &[u8]) -> usize {
    const STEP: usize = 32;
    let is_ascii = |step: &&[u8]| step.iter().fold(0, |all, byte| all | byte) < 0x80;
    bytes.chunks(STEP).take_while(is_ascii).map(<[u8]>::len).sum()
}

/// Checks everything but texts, and shows every text.
///
/// # Errors
/// The first thing that is not as it should be.
pub fn each_text(shape: &'static Shape, message: &[u8], mut see: impl FnMut(&[u8])) -> Result<(), Malformed> {
    visit_message(shape, message, 0, &mut |text| {
        see(text);
        Ok(())
    })
}

fn visit_message(
    shape: &'static Shape,
    message: &[u8],
    depth: usize,
    on_text: &mut impl FnMut(&[u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let depth = depth + usize::from(shape.nests);
    if depth > MAX_NESTING {
        return Err(Malformed::Nesting);
    }
    for field in Fields::of(message) {
        visit(shape, &field?, depth, on_text)?;
    }
    Ok(())
}

#[inline]
fn visit(
    shape: &'static Shape,
    field: &Field<'_>,
    depth: usize,
    on_text: &mut impl FnMut(&[u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let Some(known) = shape.known(field) else { return Ok(()) };
    match (&known.kind, field.value) {
        (Kind::Text, Value::Bytes(text)) => on_text(text),
        (Kind::Message(inner), Value::Bytes(message)) if inner.is_pair && depth < MAX_NESTING => {
            match plain_attribute(message) {
                Some((key, value)) => on_text(key).and_then(|()| on_text(value)),
                None => visit_message(inner, message, depth, on_text),
            }
        }
        (Kind::Message(inner), Value::Bytes(message)) => visit_message(inner, message, depth, on_text),
        (Kind::Id(length), Value::Bytes(id)) if id.is_empty() || id.len() == *length => Ok(()),
        (Kind::Id(_), Value::Bytes(id)) => {
            Err(Malformed::IdLength { message: shape.name, field: field.number, length: id.len() })
        }
        (Kind::Bool | Kind::Integer | Kind::Unsigned | Kind::Choice(_), Value::Varint(_))
        | (Kind::Fixed32, Value::Fixed32)
        | (Kind::Fixed64 | Kind::Double, Value::Fixed64)
        | (Kind::Bytes, Value::Bytes(_)) => Ok(()),
        _ => Err(Malformed::WireType { message: shape.name, field: field.number }),
    }
}

/// Key and text of an attribute that is written as nearly all are: both once, in this order, and short.
#[inline]
fn plain_attribute(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let (key, rest) = short(0x0a, pair)?;
    let (value, rest) = short(0x12, rest)?;
    let (text, behind) = short(0x0a, value)?;
    (rest.is_empty() && behind.is_empty()).then_some((key, text))
}

/// A length-delimited field with this key and fewer than 128 bytes, and what is behind it.
#[inline]
fn short(key: u8, message: &[u8]) -> Option<(&[u8], &[u8])> {
    match message {
        [found, length @ 0..=0x7f, rest @ ..] if *found == key => rest.split_at_checked(usize::from(*length)),
        _ => None,
    }
}

impl Shape {
    /// The definition of a field, unless it is unknown.
    #[inline]
    fn known(&self, field: &Field<'_>) -> Option<&'static Known> {
        match self.by_key.get(usize::from(field.raw[0])) {
            Some(place @ 1..) => Some(&self.fields[usize::from(place - 1)]),
            _ => self.fields.iter().find(|known| known.number == field.number),
        }
    }
}

impl Kind {
    const fn wire_type(&self) -> u32 {
        match self {
            Self::Bool | Self::Integer | Self::Unsigned | Self::Choice(_) => 0,
            Self::Fixed64 | Self::Double => 1,
            Self::Text | Self::Bytes | Self::Id(_) | Self::Message(_) => 2,
            Self::Fixed32 => 5,
        }
    }
}

const fn shape(name: &'static str, fields: &'static [Known]) -> Shape {
    let mut by_key = [0; 128];
    let mut place = 0;
    while place < fields.len() {
        let key = fields[place].number << 3 | fields[place].kind.wire_type();
        place += 1;
        if key < 128 {
            by_key[key as usize] = place as u8;
        }
    }
    Shape { name, fields, nests: false, is_pair: false, by_key }
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
static KEY_VALUE: Shape = Shape {
    is_pair: true,
    ..shape(
        "KeyValue",
        &[
            one(1, "key", Kind::Text),
            one(2, "value", Kind::Message(&ANY_VALUE)),
            one(3, "key_strindex", Kind::Integer),
        ],
    )
};
static ANY_VALUE: Shape = Shape {
    nests: true,
    ..shape(
        "AnyValue",
        &[
            one(1, "string_value", Kind::Text),
            one(2, "bool_value", Kind::Bool),
            one(3, "int_value", Kind::Integer),
            one(4, "double_value", Kind::Double),
            one(5, "array_value", Kind::Message(&ARRAY)),
            one(6, "kvlist_value", Kind::Message(&KEY_VALUE_LIST)),
            one(7, "bytes_value", Kind::Bytes),
            one(8, "string_value_strindex", Kind::Integer),
        ],
    )
};
static ARRAY: Shape = shape("ArrayValue", &[many(1, "values", Kind::Message(&ANY_VALUE))]);
static KEY_VALUE_LIST: Shape = shape("KeyValueList", &[many(1, "values", Kind::Message(&KEY_VALUE))]);

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;
    use prost::Message;

    fn check(shape: &'static Shape, message: &[u8]) -> Result<(), Malformed> {
        let mut check = Check::of(message);
        Fields::of(message).try_for_each(|field| check.field(shape, &field?))
    }

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

    fn request() -> Vec<u8> {
        let text = |text: &str| AnyValue { value: Some(any_value::Value::StringValue(text.into())) };
        let pair = |key: &str, value| KeyValue { key: key.into(), value: Some(value), ..KeyValue::default() };
        let list = ArrayValue { values: vec![text("ä"), text("b")] };
        let span = Span {
            trace_id: vec![7; 16],
            span_id: vec![0xe4; 8],
            name: "Aufträge lesen".into(),
            start_time_unix_nano: u64::MAX / 3,
            attributes: vec![
                pair("http.request.method", text("GET")),
                pair("status", AnyValue { value: Some(any_value::Value::IntValue(200)) }),
                pair("long", text(&"x".repeat(200))),
                pair("straße", text("日本")),
                pair("none", AnyValue { value: None }),
                pair("list", AnyValue { value: Some(any_value::Value::ArrayValue(list)) }),
            ],
            flags: 1,
            ..Span::default()
        };
        let scope_spans = vec![ScopeSpans { spans: vec![span.clone(), span], ..ScopeSpans::default() }];
        TracesData { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
            .encode_to_vec()
    }

    proptest! {
        /// What goes in is what every reader accepts, and nothing else is refused but what is refused on purpose.
        #[test]
        fn a_damaged_request_is_judged_as_prost_judges_it(
            damage in vec((any::<Index>(), prop_oneof![any::<u8>(), 0x70..0x90_u8]), 0..4)
        ) {
            let mut bytes = request();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            match (check(&TRACES, &bytes), TracesData::decode(&bytes[..])) {
                (Err(Malformed::IdLength { .. } | Malformed::Nesting | Malformed::Group), _) => {}
                (checked, decoded) => prop_assert_eq!(checked.is_ok(), decoded.is_ok(), "{:?}", checked),
            }
        }
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
