//! OTLP traces in protobuf, read where they lie: views into the message, nothing copied, nothing allocated. Knows the
//! wire format and the fields, and not what anything means. Never panics on input, never recurses deeper than
//! [`MAX_NESTING`], and says where a message is malformed.
//!
//! What prost would decode is read with the same answers; what it would refuse is refused by whoever reads that far.
//! Three things differ, on purpose:
//! - a text is only checked to be UTF-8 when it is asked for ([`Text::str`]);
//! - values and groups end at a nesting of 32, not where 100 messages hold each other;
//! - enums are numbers.

#![no_std]
#![forbid(unsafe_code)]

mod malformed;
mod message;
mod usual;
mod value;
mod wire;

pub use malformed::{Malformed, Why};
pub use message::{
    AnyValue, AnyValueField, ArrayValue, ArrayValueField, EntityRef, EntityRefField, Event, EventField,
    InstrumentationScope, InstrumentationScopeField, KeyValue, KeyValueField, KeyValueList,
    KeyValueListField, Link, LinkField, Resource, ResourceField, ResourceSpans, ResourceSpansField,
    ScopeSpans, ScopeSpansField, Span, SpanField, Status, StatusField, TracesData, TracesDataField,
};
pub use usual::UsualHead;
pub use value::{Entries, Items, Usual, Value};
pub use wire::{Bits32, Field, Fields, Text, Untyped};

/// Values may be lists of lists; nobody needs more, and every reader of them recurses.
pub const MAX_NESTING: u32 = 32;
