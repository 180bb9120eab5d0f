//! A span as the shard keeps it: its ids and times, and the number of what else it says.

use crate::names::ShapeId;
use crate::settings::Limits;
use crate::span::{Kind, Span};
use core::hash::{BuildHasher, Hash, Hasher};
use rustc_hash::FxBuildHasher;

/// Start, id and kind.
pub(crate) type Place = (i64, u64, Kind);

/// One span.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub span_id: u64,
    /// 0: a root.
    pub parent_id: u64,
    pub start_us: i64,
    pub duration_us: u64,
    pub content: u32,
    /// What two attempts of one request have in common: span name and request keys.
    pub attempt: u32,
    /// Second of event time in which it ended, clamped to what is plausible.
    pub window_s: u32,
    shape_and_kind: u32,
}

/// What the limits on spans stand for: a trace of 100,000 spans takes some 5 MB, a million open ones 50 MB.
const _: () = assert!(size_of::<Record>() == 48);

/// What only messaging spans say, kept beside the records of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Whose it is, as a place among the records.
    pub at: u32,
    pub messages: u32,
    /// Span id of the first link, if it points into the same trace; else 0.
    pub span_id: u64,
}

impl Link {
    /// Of most spans there is nothing to keep.
    pub fn of(span: &Span<'_>, at: u32) -> Option<Self> {
        let span_id = span.first_link.filter(|(trace, _)| *trace == span.trace_id).map_or(0, |(_, id)| id.0);
        let batch = span.facts.messaging.and_then(|messaging| messaging.batch);
        let messages = batch.unwrap_or(1).max(span.links).max(1);
        (span_id != 0 || messages != 1).then_some(Self { at, messages, span_id })
    }
}

impl Record {
    pub fn new(span: &Span<'_>, shape: ShapeId, limits: &Limits, clock_us: i64) -> Self {
        let duration_us = span.end_ns.saturating_sub(span.start_ns) / 1_000;
        let start_us = (span.start_ns / 1_000).cast_signed();
        Self {
            span_id: span.span_id.0,
            parent_id: span.parent_id.map_or(0, |id| id.0),
            start_us,
            duration_us,
            content: (span.content ^ (span.content >> 32)) as u32,
            attempt: attempt_of(span),
            window_s: window_of(start_us + duration_us.cast_signed(), clock_us, limits),
            shape_and_kind: 0,
        }
        .shaped(shape, span.kind)
    }

    /// The same with another shape and kind.
    pub fn shaped(self, shape: ShapeId, kind: Kind) -> Self {
        debug_assert!(shape.0 < 1 << 29);
        Self { shape_and_kind: shape.0 << 3 | kind as u32, ..self }
    }

    #[inline]
    pub fn shape(&self) -> ShapeId {
        ShapeId::new(self.shape_and_kind >> 3)
    }

    #[inline]
    pub fn kind(&self) -> Kind {
        match self.shape_and_kind & 7 {
            1 => Kind::Internal,
            2 => Kind::Server,
            3 => Kind::Client,
            4 => Kind::Producer,
            5 => Kind::Consumer,
            _ => Kind::Unspecified,
        }
    }

    pub fn end_us(&self) -> i64 {
        self.start_us + self.duration_us.cast_signed()
    }

    /// Start, then id: an order that arrival has no part in. The halves of a call may share one id.
    pub fn place(&self) -> Place {
        (self.start_us, self.span_id, self.kind())
    }

    /// Makes a call or hands a message over.
    pub fn calls_out(&self) -> bool {
        matches!(self.kind(), Kind::Client | Kind::Producer)
    }

    /// Answers a call or takes a message.
    pub fn answers(&self) -> bool {
        matches!(self.kind(), Kind::Server | Kind::Consumer)
    }
}

/// The second in which a span ended; an implausible one is moved to the nearest plausible second. A clock that
/// has not started (files have no log time) finds everything plausible.
fn window_of(end_us: i64, clock_us: i64, limits: &Limits) -> u32 {
    let end_us = match is_plausible(end_us, clock_us, limits) {
        true => end_us,
        false => end_us.clamp(clock_us - limits.retention_us, clock_us + limits.future_us),
    };
    u32::try_from(end_us / 1_000_000).unwrap_or(0)
}

pub(crate) fn is_plausible(end_us: i64, clock_us: i64, limits: &Limits) -> bool {
    clock_us == 0 || (clock_us - limits.retention_us..=clock_us + limits.future_us).contains(&end_us)
}

fn attempt_of(span: &Span<'_>) -> u32 {
    let mut hasher = FxBuildHasher.build_hasher();
    span.name.hash(&mut hasher);
    span.facts.request_key.hash(&mut hasher);
    (hasher.finish() >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_find_every_time_plausible() {
        let limits = Limits::default();
        let now = 1_700_000_000_000_000;
        let year_2100 = 4_102_444_800_000_000;
        assert_eq!(window_of(year_2100, 0, &limits), 4_102_444_800);
        assert_eq!(window_of(year_2100, now, &limits), 1_700_000_600);
        assert_eq!(window_of(0, now, &limits), 1_700_000_000 - 86_400);
        assert_eq!(window_of(now - 1, now, &limits), 1_699_999_999);
    }
}
