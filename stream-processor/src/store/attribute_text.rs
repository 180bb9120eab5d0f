//! Attribute values as text, the way the collector's `Value.AsString` writes them, because the exporter's maps
//! hold strings and its readers compare with them.

use otlp::{Entries, Items, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

/// An attribute's value as text: strings as they are, numbers and booleans plainly, bytes in base64, lists and maps
/// as JSON, nothing as "".
pub fn text_of(value: Value<'_>) -> Cow<'_, str> {
    match value {
        Value::None => Cow::Borrowed(""),
        Value::String(text) => mended(text.bytes()),
        Value::Bool(true) => Cow::Borrowed("true"),
        Value::Bool(false) => Cow::Borrowed("false"),
        Value::Int(number) => Cow::Owned(number.to_string()),
        Value::Double(number) => Cow::Owned(double(number)),
        Value::Bytes(bytes) => Cow::Owned(base64(bytes)),
        // Go's JSON knows no NaN and no infinity: the collector gives up on the whole value.
        nested => Cow::Owned(json(nested).unwrap_or_default()),
    }
}

/// A text with each byte that makes it no UTF-8 replaced by a `?`.
pub fn mended(text: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(text) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let chunks = text.utf8_chunks();
            Cow::Owned(
                chunks.map(|chunk| chunk.valid().to_owned() + &"?".repeat(chunk.invalid().len())).collect(),
            )
        }
    }
}

fn json(value: Value<'_>) -> Option<String> {
    let mut out = String::new();
    write_json(value, &mut out)?;
    Some(out)
}

/// `None` where a number has no JSON form. (What is nested was checked when the whole value was read.)
fn write_json(value: Value<'_>, out: &mut String) -> Option<()> {
    match value {
        Value::String(text) => write_quoted(&mended(text.bytes()), out),
        Value::Bool(truth) => out.push_str(if truth { "true" } else { "false" }),
        Value::Int(number) => {
            let _ = write!(out, "{number}");
        }
        Value::Double(number) if number.is_finite() => out.push_str(&double(number)),
        Value::Double(_) => return None,
        Value::Bytes(bytes) => write_quoted(&base64(bytes), out),
        Value::Array(items) => write_list(items, out)?,
        Value::Map(entries) => write_map(entries, out)?,
        // References into a profile's string table mean nothing in a span.
        Value::None | Value::StringStrindex(_) => out.push_str("null"),
    }
    Some(())
}

fn write_list(items: Items<'_>, out: &mut String) -> Option<()> {
    out.push('[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_json(item.ok()?.read().ok()?, out)?;
    }
    out.push(']');
    Some(())
}

/// Keys in order, the last of equal ones, as Go writes a map.
fn write_map(entries: Entries<'_>, out: &mut String) -> Option<()> {
    let mut sorted = BTreeMap::new();
    for entry in entries {
        let (key, value) = entry.ok()?.read().ok()?;
        sorted.insert(mended(key.bytes()), value);
    }
    out.push('{');
    for (index, (key, value)) in sorted.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_quoted(&key, out);
        out.push(':');
        write_json(value, out)?;
    }
    out.push('}');
    Some(())
}

/// Go escapes what could end a script tag, and the two line separators of JavaScript.
fn write_quoted(text: &str, out: &mut String) {
    out.push('"');
    for symbol in text.chars() {
        match symbol {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", symbol as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// As Go's encoding/json: shortest digits, with an exponent below 1e-6 and from 1e21 on.
fn double(number: f64) -> String {
    if number.is_nan() {
        return "json: unsupported value: NaN".to_owned();
    }
    if number.is_infinite() {
        let sign = if number > 0.0 { '+' } else { '-' };
        return format!("json: unsupported value: {sign}Inf");
    }
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{number:e}");
        return if magnitude >= 1.0 { text.replace('e', "e+") } else { text };
    }
    format!("{number}")
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word =
            group.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let known = digit <= group.len();
            out.push(if known { DIGITS[(word >> (18 - 6 * digit)) as usize & 63] as char } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
    use prost::Message as _;

    fn any(value: Value) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    fn text(value: Value) -> String {
        text_of(otlp::AnyValue::of(&any(value).encode_to_vec()).read().unwrap()).into_owned()
    }

    #[test]
    fn scalars_are_plain() {
        assert_eq!(text(Value::StringValue("a\"b".into())), "a\"b");
        assert_eq!(text(Value::BoolValue(true)), "true");
        assert_eq!(text(Value::IntValue(-42)), "-42");
        assert_eq!(text_of(otlp::Value::None), "");
    }

    #[test]
    fn each_byte_that_is_no_text_is_replaced() {
        assert_eq!(mended(b"a\xe2\x82b\xff"), "a??b?");
    }

    #[test]
    fn doubles_are_written_as_go_writes_them() {
        let cases = [
            (1.0, "1"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e21, "1.5e+21"),
            (123456789.125, "123456789.125"),
            (0.0, "0"),
        ];
        for (number, expected) in cases {
            assert_eq!(text(Value::DoubleValue(number)), expected);
        }
        assert_eq!(text(Value::DoubleValue(f64::INFINITY)), "json: unsupported value: +Inf");
    }

    #[test]
    fn bytes_are_base64() {
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"\xff\xfe\x00\x01", "//4AAQ=="),
        ] {
            assert_eq!(text(Value::BytesValue(bytes.to_vec())), expected);
        }
    }

    #[test]
    fn lists_and_maps_are_json_with_sorted_keys() {
        let pair =
            |key: &str, value| KeyValue { key: key.into(), value: Some(any(value)), ..Default::default() };
        let map = Value::KvlistValue(KeyValueList {
            values: vec![pair("b", Value::IntValue(2)), pair("a", Value::StringValue("<x>\n".into()))],
        });
        let list =
            ArrayValue { values: vec![any(map), AnyValue { value: None }, any(Value::DoubleValue(0.5))] };
        assert_eq!(text(Value::ArrayValue(list)), r#"[{"a":"\u003cx\u003e\n","b":2},null,0.5]"#);
        let odd = ArrayValue { values: vec![any(Value::DoubleValue(f64::NAN))] };
        assert_eq!(text(Value::ArrayValue(odd)), "");
    }
}
