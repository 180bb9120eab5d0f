//! OTLP/JSON to OTLP protobuf in one pass, along the tables of [`crate::shape`].
//!
//! The document is never built in memory: a tree of it would be many times the size of its text, and senders choose
//! that text. What comes out takes the same checks as any protobuf request; here only the types are checked.
//! Source: OTLP 1.11, "JSON Protobuf Encoding".

use crate::shape::{Kind, Known, MAX_NESTING, Shape, TRACES};
use crate::wire::{Malformed, put_length_delimited};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use prost::encoding::{WireType, encode_key, encode_varint};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A request in protobuf; never longer than its JSON.
///
/// # Errors
/// No JSON, or a field that is not of its type. Unknown fields are left out.
pub fn to_protobuf(json: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(json.len());
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    // The tables bound the depth: known fields nest to MAX_NESTING, unknown ones are skipped without recursion.
    deserializer.disable_recursion_limit();
    Message { shape: &TRACES, depth: 0, out: &mut out }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(out)
}

/// An object.
struct Message<'o> {
    shape: &'static Shape,
    depth: usize,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} as an object", self.shape.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let depth = self.depth + usize::from(self.shape.nests);
        if depth > MAX_NESTING {
            return Err(A::Error::custom(Malformed::Nesting));
        }
        while let Some(name) = fields.next_key_seed(Name(self.shape))? {
            match name {
                Some(known) => fields.next_value_seed(Field { known, depth, out: self.out })?,
                None => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// The name of a field, in lowerCamelCase or as in the definition.
struct Name(&'static Shape);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Known>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Known>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.fields.iter().find(|known| known.name == name || is_camel_of(name, known.name)))
    }
}

/// Whether `name` is `snake` in lowerCamelCase.
fn is_camel_of(name: &str, snake: &str) -> bool {
    let mut letters = name.bytes();
    let mut parts = snake.bytes();
    while let Some(part) = parts.next() {
        let expected =
            if part == b'_' { parts.next().map(|next| next.to_ascii_uppercase()) } else { Some(part) };
        if letters.next() != expected {
            return false;
        }
    }
    letters.next().is_none()
}

/// The value of a field: nothing, one, or a list.
struct Field<'o> {
    known: &'static Known,
    depth: usize,
    out: &'o mut Vec<u8>,
}

impl Field<'_> {
    fn one<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        let Self { known, depth, out } = self;
        match known.kind {
            Kind::Message(shape) => {
                let start = out.len();
                Message { shape, depth: *depth, out }.deserialize(deserializer)?;
                enclose(out, start, known.number);
                Ok(())
            }
            // As bytes, because half a surrogate pair is no UTF-8 and is mended later.
            Kind::Text => deserializer.deserialize_bytes(Scalar { known, out }),
            _ => deserializer.deserialize_any(Scalar { known, out }),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} as a list", self.known.name)
    }

    /// `null` is the same as no field.
    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<(), D::Error> {
        if self.known.many { deserializer.deserialize_seq(self) } else { self.one(deserializer) }
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Item(&mut self))?.is_some() {}
        Ok(())
    }
}

/// One value of a list.
struct Item<'f, 'o>(&'f mut Field<'o>);

impl<'de> DeserializeSeed<'de> for Item<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.one(deserializer)
    }
}

/// A value that is no message.
struct Scalar<'o> {
    known: &'static Known,
    out: &'o mut Vec<u8>,
}

impl Scalar<'_> {
    fn wrong<T, E: Error>(&self) -> Result<T, E> {
        Err(E::custom(format_args!("{} is not {}", self.known.name, self.known.kind.expected())))
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        put_length_delimited(self.out, self.known.number, bytes.len());
        self.out.extend_from_slice(bytes);
    }

    fn put_varint(&mut self, value: u64) {
        encode_key(self.known.number, WireType::Varint, self.out);
        encode_varint(value, self.out);
    }

    fn put_64(&mut self, bytes: [u8; 8]) {
        encode_key(self.known.number, WireType::SixtyFourBit, self.out);
        self.out.extend_from_slice(&bytes);
    }

    fn put_32(&mut self, bytes: [u8; 4]) {
        encode_key(self.known.number, WireType::ThirtyTwoBit, self.out);
        self.out.extend_from_slice(&bytes);
    }

    fn put_double(&mut self, value: f64) {
        self.put_64(value.to_le_bytes());
    }

    /// A whole number, if it is in the field's range.
    fn put_whole(&mut self, value: i128) -> Option<()> {
        match self.known.kind {
            Kind::Integer => self.put_varint(i64::try_from(value).ok()?.cast_unsigned()),
            Kind::Choice(_) => self.put_varint(i64::from(i32::try_from(value).ok()?).cast_unsigned()),
            Kind::Unsigned => self.put_varint(u32::try_from(value).ok()?.into()),
            Kind::Fixed32 => self.put_32(u32::try_from(value).ok()?.to_le_bytes()),
            Kind::Fixed64 => self.put_64(u64::try_from(value).ok()?.to_le_bytes()),
            Kind::Double => self.put_double(value as f64),
            _ => return None,
        }
        Some(())
    }

    /// What JSON writes as text: ids, bytes, names of enums, and numbers of 64 bits.
    fn put_text(&mut self, text: &str) -> Option<()> {
        match self.known.kind {
            Kind::Id(length) => self.put_bytes(&id(text, length)?),
            Kind::Bytes => self.put_bytes(&BASE64_STANDARD.decode(text).ok()?),
            Kind::Double => self.put_double(text.parse().ok()?),
            // Senders must use numbers; those who use names are understood all the same.
            Kind::Choice(names) if names.contains(&text) => {
                self.put_varint(names.iter().position(|name| *name == text)? as u64);
            }
            _ => self.put_whole(text.trim().parse().ok()?)?,
        }
        Some(())
    }
}

impl Visitor<'_> for Scalar<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} as {}", self.known.name, self.known.kind.expected())
    }

    fn visit_bytes<E: Error>(mut self, text: &[u8]) -> Result<(), E> {
        self.put_bytes(text);
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        match self.known.kind {
            Kind::Bool => self.put_varint(value.into()),
            _ => return self.wrong(),
        }
        Ok(())
    }

    fn visit_u64<E: Error>(mut self, value: u64) -> Result<(), E> {
        self.put_whole(value.into()).map_or_else(|| self.wrong(), Ok)
    }

    fn visit_i64<E: Error>(mut self, value: i64) -> Result<(), E> {
        self.put_whole(value.into()).map_or_else(|| self.wrong(), Ok)
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<(), E> {
        match self.known.kind {
            Kind::Double => self.put_double(value),
            // 1.0 and 1e3 are whole numbers.
            _ if value.fract() == 0.0 => {
                return self.put_whole(value as i128).map_or_else(|| self.wrong(), Ok);
            }
            _ => return self.wrong(),
        }
        Ok(())
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        self.put_text(text).map_or_else(|| self.wrong(), Ok)
    }
}

impl Kind {
    fn expected(&self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Integer | Self::Unsigned | Self::Fixed32 | Self::Fixed64 => "a whole number in its range",
            Self::Choice(_) => "the number of a choice",
            Self::Double => "a number",
            Self::Text => "a text",
            Self::Bytes => "base64",
            Self::Id(8) => "empty or 16 hexadecimal digits",
            Self::Id(_) => "empty or 32 hexadecimal digits",
            Self::Message(_) => "an object",
        }
    }
}

/// Hexadecimal digits of any case, all of them or none.
fn id(text: &str, length: usize) -> Option<Vec<u8>> {
    if !text.is_empty() && text.len() != 2 * length {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8]| u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok();
    text.as_bytes().chunks_exact(2).map(pair).collect()
}

/// Makes the bytes from `start` on one length-delimited field.
fn enclose(out: &mut Vec<u8>, start: usize, number: u32) {
    let mut head = Vec::with_capacity(10);
    put_length_delimited(&mut head, number, out.len() - start);
    out.splice(start..start, head);
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::trace::v1::{Span, TracesData};
    use prost::Message as _;

    fn span(fields: &str) -> Result<Span, String> {
        let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#);
        let protobuf = to_protobuf(json.as_bytes()).map_err(|error| error.to_string())?;
        assert!(protobuf.len() <= json.len(), "{} bytes from {}", protobuf.len(), json.len());
        let mut traces = TracesData::decode(&protobuf[..]).map_err(|error| error.to_string())?;
        Ok(traces.resource_spans.remove(0).scope_spans.remove(0).spans.remove(0))
    }

    fn value(json: &str) -> Result<Option<Value>, String> {
        let mut span = span(&format!(r#""attributes":[{{"key":"k","value":{json}}}]"#))?;
        Ok(span.attributes.remove(0).value.and_then(|value| value.value))
    }

    #[test]
    fn every_type_is_read_in_all_its_spellings() {
        for (json, expected) in [
            (r#"{"stringValue":"a\"\u00e9"}"#, Some(Value::StringValue("a\"é".into()))),
            (r#"{"string_value":""}"#, Some(Value::StringValue(String::new()))),
            (r#"{"boolValue":false}"#, Some(Value::BoolValue(false))),
            (r#"{"intValue":"-9223372036854775808"}"#, Some(Value::IntValue(i64::MIN))),
            (r#"{"intValue":-3}"#, Some(Value::IntValue(-3))),
            (r#"{"intValue":2.0}"#, Some(Value::IntValue(2))),
            (r#"{"doubleValue":7}"#, Some(Value::DoubleValue(7.0))),
            (r#"{"doubleValue":"-Infinity"}"#, Some(Value::DoubleValue(f64::NEG_INFINITY))),
            (r#"{"bytesValue":"AQI="}"#, Some(Value::BytesValue(vec![1, 2]))),
            (r#"{"unheardOf":[{"a":null}]}"#, None),
            ("{}", None),
            ("null", None),
        ] {
            assert_eq!(value(json), Ok(expected), "{json}");
        }
    }

    #[test]
    fn what_is_not_of_its_type_is_refused_by_name() {
        for (fields, told) in [
            (r#""traceId":"nothex""#, "trace_id is not empty or 32 hexadecimal digits"),
            (r#""spanId":"123""#, "span_id is not empty or 16 hexadecimal digits"),
            (r#""spanId":"zzzzzzzzzzzzzzzz""#, "span_id is not"),
            (r#""startTimeUnixNano":-1"#, "start_time_unix_nano is not a whole number in its range"),
            (r#""flags":4294967296"#, "flags is not a whole number in its range"),
            (r#""kind":1.5"#, "kind is not the number of a choice"),
            (r#""kind":"SPAN_KIND_OTHER""#, "kind is not the number of a choice"),
            (r#""name":5"#, "name as a text"),
            (r#""attributes":{}"#, "attributes as a list"),
            (r#""attributes":[0]"#, "KeyValue as an object"),
            (r#""attributes":[null]"#, "KeyValue as an object"),
            (r#""status":[]"#, "Status as an object"),
            (r#""name":"x"#, "EOF"),
        ] {
            let error = span(fields).unwrap_err();
            assert!(error.contains(told), "{fields}: {error}");
        }
        for document in ["", "1234", "null", "[]", "{}{}", r#"{"resourceSpans":1}"#] {
            assert!(to_protobuf(document.as_bytes()).is_err(), "{document}");
        }
    }

    #[test]
    fn a_span_is_read_whole() {
        let read = span(
            r#""traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19b7ec3c1b174","parentSpanId":"",
            "name":"n","kind":"SPAN_KIND_SERVER","startTimeUnixNano":"1544712660000000000","endTimeUnixNano":1,
            "status":{"code":2,"message":"m"},"links":[{"spanId":"0102030405060708"}],"events":[{"name":"e"}],
            "flags":257,"droppedLinksCount":3,"traceState":null"#,
        );
        let read = read.unwrap();
        assert_eq!((read.trace_id[0], read.span_id[7], read.parent_span_id.len()), (0x5b, 0x74, 0));
        assert_eq!(
            (read.kind, read.start_time_unix_nano, read.end_time_unix_nano),
            (2, 1_544_712_660_000_000_000, 1)
        );
        assert_eq!((read.flags, read.dropped_links_count, read.events[0].name.as_str()), (257, 3, "e"));
        assert_eq!(read.status.unwrap().code, 2);
        assert_eq!(read.links[0].span_id, [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn nesting_ends_at_the_limit_and_unknown_fields_may_nest_as_they_like() {
        let nested = |levels: usize| {
            let (open, close) = (r#"{"kvlistValue":{"values":[{"value":"#, "}]}}");
            format!("{}{{}}{}", open.repeat(levels - 1), close.repeat(levels - 1))
        };
        assert!(value(&nested(MAX_NESTING)).is_ok());
        assert!(value(&nested(MAX_NESTING + 1)).unwrap_err().contains("nested deeper than 32"));
        assert!(span(&format!(r#""unknown":{}{}"#, "[".repeat(100_000), "]".repeat(100_000))).is_ok());
    }

    #[test]
    fn half_a_surrogate_pair_comes_through_to_be_mended() {
        let json = br#"{"resourceSpans":[{"schemaUrl":"\ud83d"}]}"#;
        let protobuf = to_protobuf(json).unwrap();
        let mended = crate::mend::texts(&protobuf).unwrap();
        assert_eq!(mended.texts, 1);
        let traces = TracesData::decode(&mended.request[..]).unwrap();
        assert_eq!(traces.resource_spans[0].schema_url, "???");
    }
}
