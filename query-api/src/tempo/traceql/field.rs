//! What a TraceQL comparison can be about.

use std::fmt;

/// A field of a span or of its trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// What every span or trace has.
    Intrinsic(Intrinsic),
    /// An attribute, which may be missing.
    Attribute(Scope, String),
}

/// Where an attribute is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// On the span, or else on its resource.
    Either,
    /// On the span.
    Span,
    /// On the resource.
    Resource,
}

/// What every span or trace has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Intrinsic {
    Name,
    Status,
    StatusMessage,
    Duration,
    Kind,
    SpanId,
    ParentId,
    TraceId,
    TraceDuration,
    RootName,
    RootServiceName,
}

/// Names of intrinsics: first those that Tempo's older versions know, which are also the words for people.
const INTRINSICS: &[(&str, Intrinsic)] = &[
    ("name", Intrinsic::Name),
    ("status", Intrinsic::Status),
    ("statusMessage", Intrinsic::StatusMessage),
    ("duration", Intrinsic::Duration),
    ("kind", Intrinsic::Kind),
    ("rootName", Intrinsic::RootName),
    ("rootServiceName", Intrinsic::RootServiceName),
    ("traceDuration", Intrinsic::TraceDuration),
    ("span:name", Intrinsic::Name),
    ("span:status", Intrinsic::Status),
    ("span:statusMessage", Intrinsic::StatusMessage),
    ("span:duration", Intrinsic::Duration),
    ("span:kind", Intrinsic::Kind),
    ("span:id", Intrinsic::SpanId),
    ("span:parentID", Intrinsic::ParentId),
    ("trace:id", Intrinsic::TraceId),
    ("trace:duration", Intrinsic::TraceDuration),
    ("trace:rootName", Intrinsic::RootName),
    ("trace:rootService", Intrinsic::RootServiceName),
];

/// Words of TraceQL that are fields there, but not here.
const OTHERS: &[&str] =
    &["childCount", "nestedSetLeft", "nestedSetRight", "nestedSetParent", "parent", "span:childCount"];

impl Field {
    /// An intrinsic by its name.
    pub fn intrinsic(name: &str) -> Option<Self> {
        let found = INTRINSICS.iter().find(|(known, _)| *known == name);
        found.map(|(_, intrinsic)| Self::Intrinsic(*intrinsic))
    }

    /// Names of all intrinsics.
    pub fn intrinsics() -> impl Iterator<Item = &'static str> {
        INTRINSICS.iter().map(|(name, _)| *name)
    }

    /// Whether TraceQL has such a field that isn't answered here.
    pub(super) fn is_another(name: &str) -> bool {
        let scoped = ["event:", "link:", "instrumentation:"];
        OTHERS.contains(&name) || scoped.iter().any(|scope| name.starts_with(scope))
    }

    /// Whether it is the whole trace's.
    pub fn is_of_trace(&self) -> bool {
        use Intrinsic::{RootName, RootServiceName, TraceDuration, TraceId};
        matches!(self, Self::Intrinsic(TraceId | TraceDuration | RootName | RootServiceName))
    }

    /// What Tempo calls it in answers: an attribute's name without its scope.
    pub fn shown(&self) -> &str {
        match self {
            Self::Intrinsic(intrinsic) => intrinsic.name(),
            Self::Attribute(_, key) => key,
        }
    }
}

impl Intrinsic {
    /// Its first name.
    fn name(self) -> &'static str {
        INTRINSICS.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intrinsic(intrinsic) => f.write_str(intrinsic.name()),
            Self::Attribute(Scope::Either, key) => write!(f, ".{key}"),
            Self::Attribute(Scope::Span, key) => write!(f, "span.{key}"),
            Self::Attribute(Scope::Resource, key) => write!(f, "resource.{key}"),
        }
    }
}
