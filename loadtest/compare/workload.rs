//! The spans: flows through services that each call five others, and what a perfect observer counts of them.
//!
//! A trace is 20 spans of ten services in a tree: a request, nine calls seen from both sides with one name, and a step
//! within the last service. Each call fails with a probability of 1 %, on both sides. Everything follows from the seed.

use crate::truth::Truth;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, status::StatusCode};

/// Spans of a trace.
pub const SPANS: u64 = 20;
/// Operations, each of a tenth of the services.
const OPERATIONS: u64 = 10;
/// Services of a trace; service `i` is called by service `(i - 1) / 2`.
const NODES: usize = 10;
/// A service calls those that come so many places after it.
const CALLEES: [u64; 5] = [1, 2, 3, 5, 8];
/// The name of the step within a service.
pub const STEP: &str = "render";

/// Which traces there are.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Equal seeds, equal traces.
    pub seed: u64,
    /// At least 100.
    pub services: u64,
    /// Whether the request's own span arrives. Without it a trace waits for 30 s.
    pub is_rooted: bool,
}

/// One flow.
pub struct Trace {
    /// Its id.
    pub id: u128,
    services: [u64; NODES],
    /// Which of its five callees service `i`'s caller called; nothing for the first.
    places: [usize; NODES],
    /// Bit `i`: the call of service `i` failed.
    failed: u64,
    operation: u64,
    is_rooted: bool,
}

impl Workload {
    /// The trace of this number.
    pub fn trace(&self, number: u64) -> Trace {
        let high = mixed(self.seed ^ number);
        let id = u128::from(high) << 64 | u128::from(mixed(high));
        let mut random = mixed(!high);
        let mut services = [mixed(random) % self.services; NODES];
        let (mut places, mut failed) = ([0; NODES], 0);
        for i in 1..NODES {
            random = mixed(random);
            let caller = (i - 1) / 2;
            // The two calls of a service go to different ones.
            places[i] = if i % 2 == 0 {
                (places[i - 1] + 1 + random as usize % 4) % CALLEES.len()
            } else {
                random as usize % CALLEES.len()
            };
            services[i] = (services[caller] + CALLEES[places[i]]) % self.services;
            failed |= u64::from((random >> 32).is_multiple_of(100)) << i;
        }
        let operation = services[0] * OPERATIONS / self.services;
        Trace { id, services, places, failed, operation, is_rooted: self.is_rooted }
    }
}

impl Trace {
    /// Adds what it counts.
    pub fn count(&self, truth: &mut Truth) {
        let operation = self.operation();
        if self.is_rooted {
            truth.request(&operation, &service(self.services[0]));
        }
        for i in 1..NODES {
            let caller = service(self.services[(i - 1) / 2]);
            let operation = if self.is_rooted { &operation } else { "" };
            truth.call(operation, &caller, &service(self.services[i]), &self.name(i), self.fails(i));
        }
        truth.step(&service(self.services[NODES - 1]), STEP);
    }

    /// Its spans by service, as one export; they end at `ends_ns`, ns since the epoch.
    pub fn resource_spans(&self, ends_ns: u64) -> Vec<ResourceSpans> {
        (0..NODES)
            .map(|i| {
                let calls = (2 * i + 1..=2 * i + 2).filter(|callee| *callee < NODES);
                let calls = calls.map(|callee| self.side(Side::Client, callee, ends_ns));
                let answers = (i > 0 || self.is_rooted).then(|| self.side(Side::Server, i, ends_ns));
                let step = (i + 1 == NODES).then(|| self.step(ends_ns));
                resource_spans(self.services[i], answers.into_iter().chain(calls).chain(step).collect())
            })
            .collect()
    }

    /// The same, each span for itself.
    pub fn single_spans(&self, ends_ns: u64) -> Vec<ResourceSpans> {
        let mut single = Vec::with_capacity(SPANS as usize);
        for mut of_service in self.resource_spans(ends_ns) {
            let scopes = std::mem::take(&mut of_service.scope_spans);
            for scope in scopes {
                single.extend(scope.spans.into_iter().map(|span| ResourceSpans {
                    scope_spans: vec![ScopeSpans {
                        scope: scope.scope.clone(),
                        spans: vec![span],
                        ..ScopeSpans::default()
                    }],
                    ..of_service.clone()
                }));
            }
        }
        single
    }

    /// Spans it has.
    pub fn spans(&self) -> u64 {
        SPANS - u64::from(!self.is_rooted)
    }

    /// The operation as Weir names it: by the route of the request.
    fn operation(&self) -> String {
        self.name(0)
    }

    fn route(&self, i: usize) -> String {
        match i {
            0 => format!("/v2/operations/operation-{}", self.operation),
            _ => format!("/v2/projects/{{project}}/resources-{}", self.places[i]),
        }
    }

    /// The name of the spans of a call, on both sides.
    fn name(&self, i: usize) -> String {
        format!("GET {}", self.route(i))
    }

    fn fails(&self, i: usize) -> bool {
        self.failed >> i & 1 == 1
    }

    /// One side of the call of service `i`.
    fn side(&self, side: Side, i: usize, ends_ns: u64) -> Span {
        let fails = self.fails(i);
        let path = format!("/v2/projects/{:08x}/resources-{}", self.id >> 96, self.places[i]);
        let mut attributes = vec![
            text("http.request.method", "GET"),
            text("http.route", &self.route(i)),
            text("server.address", &service(self.services[i])),
            int("server.port", 8443),
            text("url.scheme", "https"),
            int("http.response.status_code", if fails { 503 } else { 200 }),
            text("network.protocol.version", "1.1"),
        ];
        match side {
            Side::Server => attributes.push(text("url.path", &path)),
            Side::Client => attributes
                .push(text("url.full", &format!("https://{}:8443{path}", service(self.services[i])))),
        }
        if fails {
            attributes.push(text("error.type", "503"));
        }
        // Deeper spans are shorter, and within their parents.
        let depth = u64::from((i + 1).ilog2()) * 2 + u64::from(side == Side::Server);
        let code = if fails { StatusCode::Error } else { StatusCode::Unset };
        let status = Status { code: code as i32, ..Status::default() };
        let span = Span {
            name: self.name(i),
            kind: side as i32,
            attributes,
            status: Some(status),
            ..Span::default()
        };
        self.placed(span, side.id(i), side.parent(i), depth, ends_ns)
    }

    /// Work within the last service.
    fn step(&self, ends_ns: u64) -> Span {
        let attributes = vec![text("code.function.name", "Machines.render"), int("machines.count", 50)];
        let span = Span {
            name: STEP.to_owned(),
            kind: 1,
            attributes,
            status: Some(Status::default()),
            ..Span::default()
        };
        self.placed(span, 100, Some(Side::Server.id(NODES - 1)), 9, ends_ns)
    }

    fn placed(&self, span: Span, id: u64, parent: Option<u64>, depth: u64, ends_ns: u64) -> Span {
        let id_of = |number: u64| (mixed(self.id as u64 ^ number) | 1).to_be_bytes().to_vec();
        let whole_ns = 20_000_000 + mixed(self.id as u64) % 200_000_000;
        Span {
            trace_id: self.id.to_be_bytes().to_vec(),
            span_id: id_of(id),
            parent_span_id: parent.map(id_of).unwrap_or_default(),
            start_time_unix_nano: ends_ns - whole_ns + depth * whole_ns / 40,
            end_time_unix_nano: ends_ns - depth * whole_ns / 40,
            ..span
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Server = 2,
    Client = 3,
}

impl Side {
    fn id(self, i: usize) -> u64 {
        2 * i as u64 + u64::from(self == Self::Client)
    }

    fn parent(self, i: usize) -> Option<u64> {
        match self {
            Self::Server => (i > 0).then(|| Self::Client.id(i)),
            Self::Client => Some(Self::Server.id((i - 1) / 2)),
        }
    }
}

fn resource_spans(number: u64, spans: Vec<Span>) -> ResourceSpans {
    let name = service(number);
    let attributes = vec![
        text("service.name", &name),
        text("service.version", "2026.11.3"),
        text("service.namespace", "console"),
        text("deployment.environment.name", "production"),
        text("k8s.pod.name", &format!("{name}-6d5f7c9b8-x{:04x}", mixed(number) & 0xffff)),
        text("telemetry.sdk.language", "java"),
    ];
    let scope =
        InstrumentationScope { name: "io.opentelemetry.http".to_owned(), ..InstrumentationScope::default() };
    ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

fn service(number: u64) -> String {
    format!("service-{number:04}")
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Splitmix64: numbers that look random, different ones for different numbers.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::Counts;
    use std::collections::{BTreeMap, HashMap};

    const WORKLOAD: Workload = Workload { seed: 7, services: 100, is_rooted: true };

    fn spans_of(resources: &[ResourceSpans]) -> Vec<(String, Span)> {
        let each = |of: &ResourceSpans| {
            let name = match &of.resource.as_ref().unwrap().attributes[0].value.as_ref().unwrap().value {
                Some(Value::StringValue(name)) => name.clone(),
                other => panic!("{other:?}"),
            };
            let spans = of.scope_spans.iter().flat_map(|scope| scope.spans.clone());
            spans.map(|span| (name.clone(), span)).collect::<Vec<_>>()
        };
        resources.iter().flat_map(each).collect()
    }

    #[test]
    fn the_truth_is_what_pairing_the_spans_by_their_ids_gives() {
        let (mut truth, mut calls) = (Truth::default(), BTreeMap::new());
        let mut series = BTreeMap::new();
        for number in 0..2_000 {
            let trace = WORKLOAD.trace(number);
            trace.count(&mut truth);
            let spans = spans_of(&trace.resource_spans(1 << 60));
            assert_eq!(spans.len() as u64, trace.spans());
            let by_id: HashMap<_, _> = spans.iter().map(|span| (&span.1.span_id, span)).collect();
            assert_eq!(by_id.len(), spans.len());
            let root = spans.iter().find(|span| span.1.parent_span_id.is_empty()).unwrap();
            for (service, span) in &spans {
                let failed = span.status.as_ref().unwrap().code == 2;
                *series.entry((service.clone(), span.name.clone(), span.kind, failed)).or_insert(0) += 1;
                let Some(parent) = by_id.get(&span.parent_span_id) else { continue };
                let within = parent.1.start_time_unix_nano <= span.start_time_unix_nano
                    && span.end_time_unix_nano <= parent.1.end_time_unix_nano
                    && span.start_time_unix_nano < span.end_time_unix_nano;
                assert!(within);
                if span.kind == 2 {
                    assert_eq!(
                        (parent.1.kind, &parent.1.name, &parent.1.status),
                        (3, &span.name, &span.status)
                    );
                    let key = (root.1.name.clone(), parent.0.clone(), service.clone());
                    let counts: &mut Counts = calls.entry(key).or_default();
                    *counts = [counts[0] + 1, counts[1] + i64::from(failed)];
                }
            }
        }
        assert_eq!(calls.values().map(|[calls, _]| calls).sum::<i64>(), 18_000);
        assert!((100..260).contains(&calls.values().map(|[_, errors]| errors).sum::<i64>()));
        assert_eq!(truth.edges(), &calls);
        assert_eq!(truth.series(), &series);
        assert_eq!(truth.callers().len(), 500, "100 services call five others each");
    }

    #[test]
    fn spans_alone_are_the_same_spans() {
        let trace = WORKLOAD.trace(3);
        let single = trace.single_spans(1 << 60);
        assert!(single.iter().all(|one| spans_of(std::slice::from_ref(one)).len() == 1));
        assert_eq!(spans_of(&single), spans_of(&trace.resource_spans(1 << 60)));
    }

    #[test]
    fn ids_differ_and_follow_from_the_seed() {
        let ids: std::collections::HashSet<u128> =
            (0..10_000).map(|number| WORKLOAD.trace(number).id).collect();
        assert_eq!(ids.len(), 10_000);
        assert_eq!(WORKLOAD.trace(5).id, WORKLOAD.trace(5).id);
        assert_ne!(WORKLOAD.trace(5).id, Workload { seed: 8, ..WORKLOAD }.trace(5).id);
    }

    #[test]
    fn without_its_request_a_trace_has_no_root() {
        let trace = Workload { is_rooted: false, ..WORKLOAD }.trace(1);
        let spans = spans_of(&trace.resource_spans(1 << 60));
        assert_eq!(spans.len(), 19);
        assert!(spans.iter().all(|(_, span)| !span.parent_span_id.is_empty()));
    }
}
