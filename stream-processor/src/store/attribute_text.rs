//! Attribute values as text, the way the collector's `Value.AsString` writes them, because the exporter's maps
//! hold strings and its readers compare with them.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

/// An attribute's value as text: strings as they are, numbers and booleans plainly, bytes in base64, lists and maps
/// as JSON, nothing as "".
pub fn text_of(value: Option<&AnyValue>) -> Cow<'_, str> {
    match value.and_then(|any| any.value.as_ref()) {
        None => Cow::Borrowed(""),
        Some(Value::StringValue(text)) => Cow::Borrowed(text),
        Some(Value::BoolValue(true)) => Cow::Borrowed("true"),
        Some(Value::BoolValue(false)) => Cow::Borrowed("false"),
        Some(Value::IntValue(number)) => Cow::Owned(number.to_string()),
        Some(Value::DoubleValue(number)) => Cow::Owned(double(*number)),
        Some(Value::BytesValue(bytes)) => Cow::Owned(base64(bytes)),
        // Go's JSON knows no NaN and no infinity: the collector gives up on the whole value.
        Some(nested) => Cow::Owned(json(nested).unwrap_or_default()),
    }
}

fn json(value: &Value) -> Option<String> {
    let mut out = String::new();
    write_json(value, &mut out)?;
    Some(out)
}

/// `None` where a number has no JSON form.
fn write_json(value: &Value, out: &mut String) -> Option<()> {
    match value {
        Value::StringValue(text) => write_quoted(text, out),
        Value::BoolValue(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::IntValue(number) => {
            let _ = write!(out, "{number}");
        }
        Value::DoubleValue(number) if number.is_finite() => out.push_str(&double(*number)),
        Value::DoubleValue(_) => return None,
        Value::BytesValue(bytes) => write_quoted(&base64(bytes), out),
        Value::ArrayValue(list) => write_list(&list.values, out)?,
        Value::KvlistValue(map) => write_map(&map.values, out)?,
        // References into a profile's string table mean nothing in a span.
        _ => out.push_str("null"),
    }
    Some(())
}

fn write_list(values: &[AnyValue], out: &mut String) -> Option<()> {
    out.push('[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_any(value, out)?;
    }
    out.push(']');
    Some(())
}

/// Keys in order, the last of equal ones, as Go writes a map.
fn write_map(pairs: &[KeyValue], out: &mut String) -> Option<()> {
    let sorted: BTreeMap<&str, Option<&AnyValue>> =
        pairs.iter().map(|pair| (pair.key.as_str(), pair.value.as_ref())).collect();
    out.push('{');
    for (index, (key, value)) in sorted.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_quoted(key, out);
        out.push(':');
        match value {
            Some(value) => write_any(value, out)?,
            None => out.push_str("null"),
        }
    }
    out.push('}');
    Some(())
}

fn write_any(value: &AnyValue, out: &mut String) -> Option<()> {
    match &value.value {
        Some(value) => write_json(value, out),
        None => {
            out.push_str("null");
            Some(())
        }
    }
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
    use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValueList};

    fn any(value: Value) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    fn text(value: Value) -> String {
        text_of(Some(&any(value))).into_owned()
    }

    #[test]
    fn scalars_are_plain() {
        assert_eq!(text(Value::StringValue("a\"b".into())), "a\"b");
        assert_eq!(text(Value::BoolValue(true)), "true");
        assert_eq!(text(Value::IntValue(-42)), "-42");
        assert_eq!(text_of(None), "");
        assert_eq!(text_of(Some(&AnyValue { value: None })), "");
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
