//! OTLP protobuf as messages, for those who store or pass on whole spans.

use opentelemetry_proto::tonic::trace::v1::TracesData;
use otlp::{Fields, MAX_NESTING, Malformed, Untyped, Why};
use prost::Message;

use crate::Undecodable;

/// Decodes `TracesData`, which is also an OTLP request body.
///
/// # Errors
/// If the bytes are cut off or of another schema, an id has a wrong length (0 is allowed: not said), a value is
/// nested deeper than 32, or a text is not UTF-8.
pub fn decode_otlp(bytes: &[u8]) -> Result<TracesData, Undecodable> {
    check(bytes, TRACES, 0, &mut |text| match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(Undecodable::InvalidUtf8),
    })?;
    TracesData::decode(bytes).map_err(|_| Undecodable::Malformed)
}

/// Decodes `TracesData` whatever its texts are: each byte that makes one no UTF-8 becomes a `?`. Gives the number
/// of texts mended. Collectors don't check texts, and a cut-off statement is no reason to lose a span.
///
/// # Errors
/// As [`decode_otlp`], without the texts.
pub fn decode_otlp_repaired(bytes: &[u8]) -> Result<(TracesData, u64), Undecodable> {
    let (mut holes, mut texts) = (Vec::new(), 0);
    check(bytes, TRACES, 0, &mut |text| {
        let before = holes.len();
        let mut at = text.as_ptr() as usize - bytes.as_ptr() as usize;
        for chunk in text.utf8_chunks() {
            at += chunk.valid().len();
            holes.extend(at..at + chunk.invalid().len());
            at += chunk.invalid().len();
        }
        texts += u64::from(holes.len() > before);
        Ok(())
    })?;
    if holes.is_empty() {
        return Ok((TracesData::decode(bytes).map_err(|_| Undecodable::Malformed)?, 0));
    }
    let mut mended = bytes.to_vec();
    for hole in holes {
        mended[hole] = b'?';
    }
    Ok((TracesData::decode(mended.as_slice()).map_err(|_| Undecodable::Malformed)?, texts))
}

fn unlocated(malformed: Malformed) -> Undecodable {
    match malformed.why() {
        Why::Truncated => Undecodable::Truncated,
        Why::Nesting => Undecodable::Nesting,
        _ => Undecodable::Malformed,
    }
}

/// What a field holds, as far as it is checked.
#[derive(Clone, Copy)]
enum Shape {
    /// UTF-8.
    Text,
    /// Empty, or of this many bytes.
    Id(usize),
    /// A message with these fields.
    Message(&'static [(u32, Shape)]),
    /// An `AnyValue`: one level deeper.
    Value,
}

use Shape::{Id, Message as Inner, Text, Value};

const TRACES: &[(u32, Shape)] = &[(1, Inner(RESOURCE_SPANS))];
const RESOURCE_SPANS: &[(u32, Shape)] = &[(1, Inner(RESOURCE)), (2, Inner(SCOPE_SPANS)), (3, Text)];
const RESOURCE: &[(u32, Shape)] = &[(1, Inner(PAIR)), (3, Inner(ENTITY))];
const ENTITY: &[(u32, Shape)] = &[(1, Text), (2, Text), (3, Text), (4, Text)];
const SCOPE_SPANS: &[(u32, Shape)] = &[(1, Inner(SCOPE)), (2, Inner(SPAN)), (3, Text)];
const SCOPE: &[(u32, Shape)] = &[(1, Text), (2, Text), (3, Inner(PAIR))];
const SPAN: &[(u32, Shape)] = &[
    (1, Id(16)),
    (2, Id(8)),
    (3, Text),
    (4, Id(8)),
    (5, Text),
    (9, Inner(PAIR)),
    (11, Inner(EVENT)),
    (13, Inner(LINK)),
    (15, Inner(STATUS)),
];
const EVENT: &[(u32, Shape)] = &[(2, Text), (3, Inner(PAIR))];
const LINK: &[(u32, Shape)] = &[(1, Id(16)), (2, Id(8)), (3, Text), (4, Inner(PAIR))];
const STATUS: &[(u32, Shape)] = &[(2, Text)];
const PAIR: &[(u32, Shape)] = &[(1, Text), (2, Value)];
const ANY_VALUE: &[(u32, Shape)] = &[(1, Text), (5, Inner(LIST)), (6, Inner(MAP))];
const LIST: &[(u32, Shape)] = &[(1, Value)];
const MAP: &[(u32, Shape)] = &[(1, Inner(PAIR))];

type OnText<'c> = dyn FnMut(&[u8]) -> Result<(), Undecodable> + 'c;

/// Walks a message. Only values can hold themselves, and they end at [`MAX_NESTING`].
fn check(
    message: &[u8],
    shape: &[(u32, Shape)],
    depth: u32,
    on_text: &mut OnText<'_>,
) -> Result<(), Undecodable> {
    for field in Fields::of(message) {
        let field = field.map_err(unlocated)?;
        let Some((_, shape)) = shape.iter().find(|(known, _)| *known == field.number) else { continue };
        let Untyped::Bytes(bytes) = field.value else { return Err(Undecodable::Malformed) };
        match *shape {
            Text => on_text(bytes)?,
            Id(length) if bytes.is_empty() || bytes.len() == length => {}
            Id(_) => return Err(Undecodable::BadIdLength),
            Inner(fields) => check(bytes, fields, depth, on_text)?,
            Value if depth == MAX_NESTING => return Err(Undecodable::Nesting),
            Value => check(bytes, ANY_VALUE, depth + 1, on_text)?,
        }
    }
    Ok(())
}
