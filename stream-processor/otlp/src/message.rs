//! The messages of `opentelemetry/proto/trace/v1/trace.proto` and what they hold. A view of a message is the iterator
//! of its fields, in their order on the wire: a field may stand several times, and then protobuf's rules hold: the last
//! number, text or id counts, and messages that stand once by definition are merged.

use crate::MAX_NESTING;
use crate::malformed::{Malformed, Why};
use crate::wire::{BYTES, Bits32, FIXED32, FIXED64, Text, VARINT, Wire};

/// A type that a field can have.
pub(crate) trait Typed<'a>: Copy {
    const WIRE_TYPE: u64;

    fn read(wire: &mut Wire<'a>) -> Result<Self, Malformed>;

    /// Refuses what can't be read, to the bottom, but for texts that are none.
    #[inline(always)]
    fn check(self, _depth: u32) -> Result<(), Malformed> {
        Ok(())
    }
}

macro_rules! typed {
    ($($type:ty: $wire_type:ident, $wire:ident => $read:expr;)*) => { $(
        impl<'a> Typed<'a> for $type {
            const WIRE_TYPE: u64 = $wire_type;

            #[inline(always)]
            fn read($wire: &mut Wire<'a>) -> Result<Self, Malformed> {
                Ok($read)
            }
        }
    )* };
}

// Integers are cut to their width, as every decoder does.
typed! {
    &'a [u8]: BYTES, wire => wire.bytes()?;
    Text<'a>: BYTES, wire => Text(wire.bytes()?);
    bool: VARINT, wire => wire.varint()? != 0;
    u32: VARINT, wire => wire.varint()? as u32;
    i32: VARINT, wire => wire.varint()? as i32;
    i64: VARINT, wire => wire.varint()?.cast_signed();
    u64: FIXED64, wire => u64::from_le_bytes(wire.fixed()?);
    f64: FIXED64, wire => f64::from_le_bytes(wire.fixed()?);
    Bits32: FIXED32, wire => Bits32(u32::from_le_bytes(wire.fixed()?));
}

/// Defines a message's view and its fields. `deeper`: what it adds to the nesting of values.
macro_rules! message {
    (
        $(#[$doc:meta])*
        $message:ident / $field:ident, $deeper:literal deeper {
            $($(#[$field_doc:meta])* $number:literal $name:ident: $type:ty,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $message<'a>(pub(crate) Wire<'a>);

        #[doc = concat!("A field of [`", stringify!($message), "`].")]
        #[derive(Clone, Copy, Debug)]
        #[allow(missing_docs, reason = "named as in the definition")]
        pub enum $field<'a> {
            $($(#[$field_doc])* $name($type),)*
        }

        #[allow(non_upper_case_globals, reason = "the fields' keys are named as the fields are")]
        impl<'a> $message<'a> {
            $(const $name: u64 = $number << 3 | <$type as Typed<'a>>::WIRE_TYPE;)*
        }

        impl<'a> $message<'a> {
            /// The message that these bytes are.
            #[inline]
            pub fn of(message: &'a [u8]) -> Self {
                Self(Wire { rest: message })
            }

            /// The bytes that have not been read.
            #[inline]
            pub fn rest(&self) -> &'a [u8] {
                self.0.rest
            }

            /// Refuses a message that is malformed anywhere; texts may be no UTF-8.
            ///
            /// # Errors
            /// If it is.
            #[inline]
            pub fn check(self) -> Result<(), Malformed> {
                Typed::check(self, 0)
            }

            #[inline(always)]
            fn field(&mut self) -> Result<Option<$field<'a>>, Malformed> {
                while !self.0.rest.is_empty() {
                    match self.0.key()? {
                        $(Self::$name => return <$type as Typed<'a>>::read(&mut self.0).map($field::$name).map(Some),)*
                        key => self.0.skip(key, matches!(key >> 3, $($number)|*))?,
                    }
                }
                Ok(None)
            }
        }

        impl<'a> Iterator for $message<'a> {
            type Item = Result<$field<'a>, Malformed>;

            #[inline(always)]
            fn next(&mut self) -> Option<Self::Item> {
                self.field().transpose()
            }
        }

        impl<'a> Typed<'a> for $message<'a> {
            const WIRE_TYPE: u64 = BYTES;

            #[inline(always)]
            fn read(wire: &mut Wire<'a>) -> Result<Self, Malformed> {
                wire.bytes().map(Self::of)
            }

            fn check(self, depth: u32) -> Result<(), Malformed> {
                let depth = depth + $deeper;
                if depth > MAX_NESTING {
                    return Err(Malformed::new(Why::Nesting, self.0.rest));
                }
                for field in self {
                    match field? {
                        $($field::$name(value) => Typed::check(value, depth)?,)*
                    }
                }
                Ok(())
            }
        }
    };
}

message! {
    /// A request body, and a value of the topic of spans.
    TracesData / TracesDataField, 0 deeper {
        1 ResourceSpans: ResourceSpans<'a>,
    }
}

message! {
    /// Spans of one resource.
    ResourceSpans / ResourceSpansField, 0 deeper {
        1 Resource: Resource<'a>,
        2 ScopeSpans: ScopeSpans<'a>,
        3 SchemaUrl: Text<'a>,
    }
}

message! {
    /// Who emitted the spans.
    Resource / ResourceField, 0 deeper {
        1 Attribute: KeyValue<'a>,
        2 DroppedAttributesCount: u32,
        3 EntityRef: EntityRef<'a>,
    }
}

message! {
    /// What a resource stands for.
    EntityRef / EntityRefField, 0 deeper {
        1 SchemaUrl: Text<'a>,
        2 Type: Text<'a>,
        3 IdKey: Text<'a>,
        4 DescriptionKey: Text<'a>,
    }
}

message! {
    /// Spans of one instrumentation library.
    ScopeSpans / ScopeSpansField, 0 deeper {
        1 Scope: InstrumentationScope<'a>,
        2 Span: Span<'a>,
        3 SchemaUrl: Text<'a>,
    }
}

message! {
    /// An instrumentation library.
    InstrumentationScope / InstrumentationScopeField, 0 deeper {
        1 Name: Text<'a>,
        2 Version: Text<'a>,
        3 Attribute: KeyValue<'a>,
        4 DroppedAttributesCount: u32,
    }
}

message! {
    /// One span. Ids are empty or, if they are ids, of 16 and 8 bytes; times are nanoseconds since the epoch.
    Span / SpanField, 0 deeper {
        1 TraceId: &'a [u8],
        2 SpanId: &'a [u8],
        3 TraceState: Text<'a>,
        4 ParentSpanId: &'a [u8],
        5 Name: Text<'a>,
        6 Kind: i32,
        7 StartTimeUnixNano: u64,
        8 EndTimeUnixNano: u64,
        9 Attribute: KeyValue<'a>,
        10 DroppedAttributesCount: u32,
        11 Event: Event<'a>,
        12 DroppedEventsCount: u32,
        13 Link: Link<'a>,
        14 DroppedLinksCount: u32,
        15 Status: Status<'a>,
        16 Flags: Bits32,
    }
}

message! {
    /// Something that happened during a span.
    Event / EventField, 0 deeper {
        1 TimeUnixNano: u64,
        2 Name: Text<'a>,
        3 Attribute: KeyValue<'a>,
        4 DroppedAttributesCount: u32,
    }
}

message! {
    /// A span that another one refers to.
    Link / LinkField, 0 deeper {
        1 TraceId: &'a [u8],
        2 SpanId: &'a [u8],
        3 TraceState: Text<'a>,
        4 Attribute: KeyValue<'a>,
        5 DroppedAttributesCount: u32,
        6 Flags: Bits32,
    }
}

message! {
    /// How a span's own code says it ended.
    Status / StatusField, 0 deeper {
        2 Message: Text<'a>,
        3 Code: i32,
    }
}

message! {
    /// An attribute. [`KeyValue::read`] applies protobuf's rules.
    KeyValue / KeyValueField, 0 deeper {
        1 Key: Text<'a>,
        2 Value: AnyValue<'a>,
        3 KeyStrindex: i32,
    }
}

message! {
    /// A value. [`AnyValue::read`] applies protobuf's rules.
    AnyValue / AnyValueField, 1 deeper {
        1 String: Text<'a>,
        2 Bool: bool,
        3 Int: i64,
        4 Double: f64,
        5 Array: ArrayValue<'a>,
        6 Map: KeyValueList<'a>,
        7 Bytes: &'a [u8],
        8 StringStrindex: i32,
    }
}

message! {
    /// A list of values.
    ArrayValue / ArrayValueField, 0 deeper {
        1 Value: AnyValue<'a>,
    }
}

message! {
    /// A map of values.
    KeyValueList / KeyValueListField, 0 deeper {
        1 Value: KeyValue<'a>,
    }
}
