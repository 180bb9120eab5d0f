//! The beginning of a span as encoders write most of them.

use crate::message::Span;
use crate::wire::{Text, Wire};

/// Ids, name, kind and times.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "named as in the definition")]
pub struct UsualHead<'a> {
    pub trace_id: &'a [u8; 16],
    pub span_id: &'a [u8; 8],
    pub parent_span_id: &'a [u8],
    pub name: Text<'a>,
    pub kind: i32,
    pub start_time_unix_nano: u64,
    pub end_time_unix_nano: u64,
}

impl<'a> Span<'a> {
    /// The first fields of a span that begins as encoders write most: all of them, in the order of their numbers, without a
    /// trace state and with a short name; and the rest, in which they may stand again. `None`: of another form, to be read
    /// field by field.
    #[inline]
    pub fn usual(self) -> Option<(UsualHead<'a>, Self)> {
        let [0x0a, 16, rest @ ..] = self.0.rest else { return None };
        let (trace_id, [0x12, 8, rest @ ..]) = rest.split_first_chunk()? else { return None };
        let (span_id, rest) = rest.split_first_chunk()?;
        let (parent_span_id, rest) = match rest {
            [0x22, 8, rest @ ..] => rest.split_at_checked(8)?,
            rest => (&[][..], rest),
        };
        let [0x2a, length @ 0..=0x7f, rest @ ..] = rest else { return None };
        let (name, [0x30, kind @ 0..=0x7f, 0x39, rest @ ..]) = rest.split_at_checked(usize::from(*length))?
        else {
            return None;
        };
        let (start, [0x41, rest @ ..]) = rest.split_first_chunk()? else { return None };
        let (end, rest) = rest.split_first_chunk()?;
        let head = UsualHead {
            trace_id,
            span_id,
            parent_span_id,
            name: Text(name),
            kind: i32::from(*kind),
            start_time_unix_nano: u64::from_le_bytes(*start),
            end_time_unix_nano: u64::from_le_bytes(*end),
        };
        Some((head, Self(Wire { rest })))
    }
}
