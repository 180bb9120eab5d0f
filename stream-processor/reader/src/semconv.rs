//! The alias table, compiled: one look-up an attribute says which facts and markers it speaks of.

use std::collections::{BTreeMap, HashMap};

use otlp::Text;
use rustc_hash::FxBuildHasher;
use schemas::semconv::{
    BaggageFact, Marker, Markers, MessagingOperation as Operation, ResourceFact, SpanFact, SpanKind, Table,
};
use stitcher::span::{Failure, Kind, MessagingOperation};

pub use schemas::semconv::SemconvError;

use crate::keys::Keys;
use crate::said::Facts;
use crate::value::{Value, Wanted};

/// The alias table in the shape the reader wants it. Build it once and share it.
pub struct Semconv {
    span: Keys<Rule<SpanFact>>,
    resource: Keys<Rule<ResourceFact>>,
    exception: Vec<String>,
    request_prefixes: Beginnings,
    /// Facts that are part of a request's key.
    pub(crate) in_request_key: Facts,
    baggage: HashMap<String, (BaggageFact, u8), FxBuildHasher>,
    failures: HashMap<String, Failure, FxBuildHasher>,
    flags: HashMap<String, Option<Failure>, FxBuildHasher>,
    messaging_operations: HashMap<String, MessagingOperation, FxBuildHasher>,
    kinds: HashMap<String, Kind, FxBuildHasher>,
    grpc_codes: HashMap<String, u8, FxBuildHasher>,
    probe_agents: Beginnings,
    probe_paths: Keys<()>,
    client_agents: Vec<(String, Beginnings)>,
    steps: Keys<()>,
    table: Table,
}

/// What an attribute name leads to.
pub(crate) struct Rule<Fact> {
    /// Takes the value for this fact, unless a name of smaller rank has one.
    pub(crate) takes: Option<(Fact, u8)>,
    /// Sets these markers when their condition holds.
    pub(crate) marks: Vec<(Marker, When)>,
}

/// A marker's condition.
pub(crate) enum When {
    Present,
    Equals(Vec<Wanted>),
    StartsWith(Beginnings),
}

type Rules<Fact> = BTreeMap<String, Rule<Fact>>;

impl Semconv {
    /// The table that comes with Weir.
    ///
    /// # Panics
    /// If the embedded table is broken, which a test of `schemas` rules out.
    pub fn embedded() -> Self {
        Self::parse(schemas::semconv::EMBEDDED).expect("the embedded table is checked by a test")
    }

    /// A table of the reader's own.
    ///
    /// # Errors
    /// If the text is not a table of that shape or lacks a fact.
    pub fn parse(toml: &str) -> Result<Self, SemconvError> {
        Ok(Self::compile(schemas::semconv::parse(toml)?))
    }

    fn compile(table: Table) -> Self {
        let (mut span, mut resource) = (Rules::default(), Rules::default());
        for (fact, names) in &table.span {
            take(&mut span, *fact, names);
        }
        for (fact, names) in &table.resource {
            take(&mut resource, *fact, names);
        }
        for (marker, conditions) in &table.markers {
            match marker {
                Marker::ClientResource => mark(&mut resource, *marker, conditions),
                Marker::Proxy | Marker::Streaming | Marker::Timer => mark(&mut span, *marker, conditions),
            }
        }
        Self {
            span: Keys::compile(span),
            resource: Keys::compile(resource),
            exception: table.event.values().flatten().cloned().collect(),
            request_prefixes: Beginnings::new(&table.request_keys.prefixes),
            in_request_key: Facts::of(&table.request_keys.facts),
            baggage: (table.baggage.iter())
                .flat_map(|(fact, names)| ranked(names).map(|(name, rank)| (name.clone(), (*fact, rank))))
                .collect(),
            failures: failures(&table),
            flags: flags(&table),
            messaging_operations: spelled(&table.messaging_operations, messaging_operation),
            kinds: spelled(&table.span_kinds, kind),
            grpc_codes: (0..)
                .zip(&table.grpc.codes)
                .map(|(code, name)| (grpc_spelling(name), code))
                .collect(),
            probe_agents: Beginnings::new(&table.probe.user_agents),
            probe_paths: set(&table.probe.paths),
            client_agents: (table.client_agents.iter())
                .map(|agent| (agent.name.clone(), Beginnings::new(&agent.user_agents)))
                .collect(),
            steps: set(&table.steps.span_names),
            table,
        }
    }

    #[inline]
    pub(crate) fn of_span(&self, key: &[u8]) -> Option<&Rule<SpanFact>> {
        self.span.get(key)
    }

    #[inline]
    pub(crate) fn of_resource(&self, key: &[u8]) -> Option<&Rule<ResourceFact>> {
        self.resource.get(key)
    }

    /// Whether an attribute without a fact tells one request from another. A key that is not UTF-8 is nobody's.
    #[inline]
    pub(crate) fn is_request_key(&self, key: Text<'_>) -> bool {
        self.request_prefixes.begin_exactly(key.bytes()) && key.str().is_ok()
    }

    pub(crate) fn is_exception_type(&self, key: Text<'_>) -> bool {
        self.exception.iter().any(|name| name.as_bytes() == key.bytes())
    }

    pub(crate) fn of_baggage(&self, key: &str) -> Option<(BaggageFact, u8)> {
        self.baggage.get(key).copied()
    }

    /// What an exception or error type means, by its last name.
    pub(crate) fn failure(&self, error_type: &str) -> Option<Failure> {
        let lower = error_type.to_ascii_lowercase();
        // .NET writes `BrokenCircuitException`1`, C++ and Rust write `Elapsed<T>`.
        let lower = lower.split(['`', '<', '(']).next().unwrap_or_default();
        let last = lower.rsplit(['.', ':', '/', '$', '\\', '*', '+']).find(|part| !part.is_empty());
        self.failures.get(lower).or_else(|| self.failures.get(last?)).copied()
    }

    /// What an Envoy response flag means; `None`: nothing went wrong.
    pub(crate) fn flag(&self, flag: &str) -> Option<Failure> {
        self.flags.get(&flag.to_ascii_lowercase()).copied().unwrap_or(Some(Failure::Other))
    }

    pub(crate) fn messaging_operation(&self, text: &str) -> Option<MessagingOperation> {
        self.messaging_operations.get(&text.to_ascii_lowercase()).copied()
    }

    /// Whether an attribute that the tables hold as text was a list of texts on the wire.
    pub(crate) fn was_list(&self, key: &str) -> bool {
        self.table.stored.lists.iter().any(|prefix| key.starts_with(prefix.as_str()))
    }

    /// Whether an attribute that the tables hold as text was a number on the wire.
    pub(crate) fn was_number(&self, key: &str) -> bool {
        self.table.stored.numbers.iter().any(|name| name == key)
    }

    /// A span kind by name.
    pub(crate) fn kind(&self, text: &str) -> Option<Kind> {
        self.kinds.get(&text.to_ascii_lowercase()).copied()
    }

    pub(crate) fn grpc_code(&self, name: &str) -> Option<u8> {
        self.grpc_codes.get(&grpc_spelling(name)).copied()
    }

    /// Whether a CLIENT span of this name is a step of another call.
    pub(crate) fn is_step(&self, span_name: &str) -> bool {
        self.steps.get(span_name.as_bytes()).is_some()
    }

    pub(crate) fn is_probe_agent(&self, user_agent: &str) -> bool {
        self.probe_agents.begin(user_agent)
    }

    pub(crate) fn is_probe_path(&self, path: &str) -> bool {
        self.probe_paths.get(path.as_bytes()).is_some()
    }

    pub(crate) fn is_probe_rpc(&self, method: &str) -> bool {
        let service = method.split_once('/').map_or(method, |(service, _)| service);
        self.table.probe.rpc_services.iter().any(|probe| probe == service)
    }

    /// The client that a user agent stands for.
    pub(crate) fn client_agent(&self, user_agent: &str) -> Option<&str> {
        let client = self.client_agents.iter().find(|(_, agents)| agents.begin(user_agent));
        client.map(|(name, _)| name.as_str())
    }

    pub(crate) fn is_cloud_rpc(&self, system: &str) -> bool {
        self.table.cloud_rpc.systems.iter().any(|cloud| cloud == system)
    }

    pub(crate) fn is_named_rpc(&self, system: &str) -> bool {
        self.table.named_rpc.systems.iter().any(|named| named.eq_ignore_ascii_case(system))
    }

    /// The present name of a database system.
    pub(crate) fn db_system<'a>(&'a self, name: &'a str) -> &'a str {
        self.table.db_systems.get(name).map_or(name, String::as_str)
    }

    /// The present name of a messaging system.
    pub(crate) fn messaging_system<'a>(&'a self, name: &'a str) -> &'a str {
        self.table.messaging_systems.get(name).map_or(name, String::as_str)
    }

    /// The messaging system that the presence of the destination's attribute (by rank) tells.
    pub(crate) fn messaging_system_of(&self, destination_rank: u8) -> &str {
        let names = &self.table.span[&SpanFact::MessagingDestination];
        let name = names.get(usize::from(destination_rank));
        name.and_then(|name| self.table.messaging_system_of.get(name)).map_or("", String::as_str)
    }
}

impl When {
    #[inline]
    pub(crate) fn holds(&self, value: &Value<'_>) -> bool {
        match self {
            Self::Present => true,
            Self::Equals(wanted) => wanted.iter().any(|wanted| value.reads(wanted)),
            Self::StartsWith(starts) => value.text().is_some_and(|text| starts.begin(text)),
        }
    }
}

/// Beginnings of texts; case doesn't matter.
pub(crate) struct Beginnings {
    starts: Vec<String>,
    /// Whether one of them begins with this byte: few texts need a second look.
    first: [bool; 256],
}

impl Beginnings {
    fn new(starts: &[String]) -> Self {
        let mut first = [starts.iter().any(String::is_empty); 256];
        for byte in starts.iter().filter_map(|start| start.bytes().next()) {
            first[usize::from(byte.to_ascii_lowercase())] = true;
            first[usize::from(byte.to_ascii_uppercase())] = true;
        }
        Self { starts: starts.to_vec(), first }
    }

    /// Whether one of them begins these bytes as it is.
    #[inline]
    fn begin_exactly(&self, bytes: &[u8]) -> bool {
        let first = bytes.first().copied().unwrap_or_default();
        self.first[usize::from(first)] && self.starts.iter().any(|start| bytes.starts_with(start.as_bytes()))
    }

    /// Whether one of them begins the text.
    #[inline]
    fn begin(&self, text: &str) -> bool {
        let first = text.bytes().next().unwrap_or_default();
        self.first[usize::from(first)] && self.starts.iter().any(|start| starts_with(text, start))
    }
}

fn starts_with(text: &str, start: &str) -> bool {
    text.as_bytes().get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
}

fn set(names: &[String]) -> Keys<()> {
    Keys::compile(names.iter().map(|name| (name.clone(), ())).collect())
}

fn ranked(names: &[String]) -> impl Iterator<Item = (&String, u8)> + '_ {
    names.iter().zip(0..u8::MAX)
}

fn entry<'k, Fact>(rules: &'k mut Rules<Fact>, name: &str) -> &'k mut Rule<Fact> {
    rules.entry(name.to_owned()).or_insert_with(|| Rule { takes: None, marks: Vec::new() })
}

fn take<Fact: Copy>(rules: &mut Rules<Fact>, fact: Fact, names: &[String]) {
    for (name, rank) in ranked(names) {
        entry(rules, name).takes = Some((fact, rank));
    }
}

fn mark<Fact>(rules: &mut Rules<Fact>, marker: Marker, conditions: &Markers) {
    for name in &conditions.present {
        entry(rules, name).marks.push((marker, When::Present));
    }
    for (name, values) in &conditions.equals {
        entry(rules, name).marks.push((marker, When::Equals(values.iter().map(|value| Wanted::new(value)).collect())));
    }
    for (name, starts) in &conditions.starts_with {
        entry(rules, name).marks.push((marker, When::StartsWith(Beginnings::new(starts))));
    }
}

fn failures(table: &Table) -> HashMap<String, Failure, FxBuildHasher> {
    let timeouts = table.failures.timeouts.iter().map(|name| (name.to_ascii_lowercase(), Failure::Timeout));
    let rejections =
        table.failures.rejections.iter().map(|name| (name.to_ascii_lowercase(), Failure::Rejection));
    timeouts.chain(rejections).collect()
}

fn flags(table: &Table) -> HashMap<String, Option<Failure>, FxBuildHasher> {
    let row = |names: &[String], meaning: Option<Failure>| -> Vec<_> {
        names.iter().map(|name| (name.to_ascii_lowercase(), meaning)).collect()
    };
    let flags = &table.response_flags;
    [
        row(&flags.none, None),
        row(&flags.timeouts, Some(Failure::Timeout)),
        row(&flags.rejections, Some(Failure::Rejection)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn spelled<Row: Copy, Meaning>(
    rows: &BTreeMap<Row, Vec<String>>,
    meaning: impl Fn(Row) -> Meaning,
) -> HashMap<String, Meaning, FxBuildHasher> {
    let spellings = |(row, names): (&Row, &Vec<String>)| -> Vec<_> {
        names.iter().map(|name| (name.to_ascii_lowercase(), meaning(*row))).collect()
    };
    rows.iter().flat_map(spellings).collect()
}

fn messaging_operation(row: Operation) -> MessagingOperation {
    match row {
        Operation::Create => MessagingOperation::Create,
        Operation::Send => MessagingOperation::Send,
        Operation::Receive => MessagingOperation::Receive,
        Operation::Process => MessagingOperation::Process,
        Operation::Settle => MessagingOperation::Settle,
    }
}

fn kind(row: SpanKind) -> Kind {
    match row {
        SpanKind::Internal => Kind::Internal,
        SpanKind::Server => Kind::Server,
        SpanKind::Client => Kind::Client,
        SpanKind::Producer => Kind::Producer,
        SpanKind::Consumer => Kind::Consumer,
    }
}

/// `DEADLINE_EXCEEDED`, `DeadlineExceeded` and `deadline_exceeded` are one; `CANCELED` is `CANCELLED`.
fn grpc_spelling(name: &str) -> String {
    let plain: String =
        name.chars().filter(|letter| *letter != '_').map(|letter| letter.to_ascii_lowercase()).collect();
    if plain == "canceled" { "cancelled".to_owned() } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_is_known_by_its_last_name() {
        let semconv = Semconv::embedded();
        let cases = [
            ("java.net.SocketTimeoutException", Some(Failure::Timeout)),
            ("System.TimeoutException", Some(Failure::Timeout)),
            ("asyncio.exceptions.TimeoutError", Some(Failure::Timeout)),
            ("*context.deadlineExceededError", Some(Failure::Timeout)),
            ("DEADLINE_EXCEEDED", Some(Failure::Timeout)),
            ("io.github.resilience4j.circuitbreaker.CallNotPermittedException", Some(Failure::Rejection)),
            ("Polly.CircuitBreaker.BrokenCircuitException`1", Some(Failure::Rejection)),
            ("BulkheadFull", Some(Failure::Rejection)),
            ("java.net.ConnectException", None),
            ("", None),
        ];
        for (name, failure) in cases {
            assert_eq!(semconv.failure(name), failure, "{name}");
        }
    }

    #[test]
    fn grpc_names_become_numbers() {
        let semconv = Semconv::embedded();
        let cases = [
            ("OK", 0),
            ("DEADLINE_EXCEEDED", 4),
            ("DeadlineExceeded", 4),
            ("canceled", 1),
            ("unavailable", 14),
            ("Unauthenticated", 16),
        ];
        for (name, code) in cases {
            assert_eq!(semconv.grpc_code(name), Some(code), "{name}");
        }
        assert_eq!(semconv.grpc_code("NO_SUCH_CODE"), None);
    }

    #[test]
    fn response_flags_have_meanings() {
        let semconv = Semconv::embedded();
        assert_eq!(semconv.flag("UT"), Some(Failure::Timeout));
        assert_eq!(semconv.flag("UO"), Some(Failure::Rejection));
        assert_eq!(semconv.flag("UF"), Some(Failure::Other));
        assert_eq!(semconv.flag("-"), None);
    }
}
