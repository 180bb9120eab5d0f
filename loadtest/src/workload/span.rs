//! One span as a service's SDK would finish it.

use super::attributes::{Attributes, Value};
use super::cast::Emitter;

/// A finished span. Times are microseconds since the run's start.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Which process reports it.
    pub emitter: Emitter,
    /// Its trace.
    pub trace_id: u128,
    /// Its id, unique in the whole run.
    pub span_id: u64,
    /// The span that caused it.
    pub parent_id: Option<u64>,
    /// Whether that span is in another process (`Span.flags`).
    pub remote_parent: bool,
    /// Its side of the call.
    pub kind: Kind,
    /// What its instrumentation calls it.
    pub name: String,
    /// Start.
    pub start_us: i64,
    /// End.
    pub end_us: i64,
    /// When its service hands it to the exporter: its end, or much later.
    pub due_us: i64,
    /// What its instrumentation says about it.
    pub attributes: Attributes,
    /// Exceptions.
    pub events: Vec<Event>,
    /// Producers of the messages it works on: trace id and span id.
    pub links: Vec<(u128, u64)>,
    /// What its code says about its end.
    pub status: Status,
}

/// Something that happened at one moment of a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub at_us: i64,
    /// `exception`.
    pub name: &'static str,
    /// Its type and message.
    pub attributes: Vec<(&'static str, Value)>,
}

/// `SpanKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Work inside a service.
    Internal = 1,
    /// Answers a request.
    Server = 2,
    /// Makes a request.
    Client = 3,
    /// Hands a message over.
    Producer = 4,
    /// Takes a message.
    Consumer = 5,
}

/// `Status.code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing said, as instrumentations do when all is well.
    Unset = 0,
    /// Bad.
    Error = 2,
}

impl Status {
    /// `Error` when something is wrong.
    pub fn of(is_bad: bool) -> Self {
        if is_bad { Self::Error } else { Self::Unset }
    }
}
