//! From marks to signed counts: what was said before and is still true is left alone, what is new is added,
//! what no longer holds is taken back.

use crate::delta::{EdgeKey, EndpointKey, Name, OperationKey, Rollup, ServiceKey};
use crate::flow::FlowStatus;
use crate::resolve::{Body, EdgeMark, Mark, ServiceMark};
use alloc::vec::Vec;
use core::cmp::Ordering;

/// What a trace has contributed so far.
#[derive(Default)]
pub(crate) struct Emitted {
    /// Environment and operation it went out under.
    pub under: Option<(Name, Name)>,
    /// Sorted by `at`.
    pub marks: Vec<Mark>,
}

impl Emitted {
    /// Moves the counts from what was emitted to `marks` (sorted by `at`). Returns how many marks were taken back.
    pub fn replace(&mut self, under: (Name, Name), marks: Vec<Mark>, rollup: &mut Rollup) -> u64 {
        let taken_back = match &self.under {
            Some(before) if *before == under => difference(&self.marks, &marks, &under, rollup),
            before => {
                if let Some(before) = before {
                    self.marks.iter().for_each(|mark| count(mark, before, -1, rollup));
                }
                marks.iter().for_each(|mark| count(mark, &under, 1, rollup));
                self.marks.len() as u64
            }
        };
        self.under = Some(under);
        self.marks = marks;
        taken_back
    }
}

fn difference(before: &[Mark], after: &[Mark], under: &(Name, Name), rollup: &mut Rollup) -> u64 {
    let (mut old, mut new, mut taken_back) = (before.iter().peekable(), after.iter().peekable(), 0);
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return taken_back,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.at.cmp(&b.at),
        };
        let (was, is) = match order {
            Ordering::Less => (old.next(), None),
            Ordering::Greater => (None, new.next()),
            Ordering::Equal => (old.next(), new.next()),
        };
        if was != is {
            if let Some(mark) = was {
                count(mark, under, -1, rollup);
                taken_back += 1;
            }
            if let Some(mark) = is {
                count(mark, under, 1, rollup);
            }
        }
    }
}

fn count(mark: &Mark, (environment, operation): &(Name, Name), sign: i64, rollup: &mut Rollup) {
    let (environment, operation) = (environment.clone(), operation.clone());
    let (window_s, weight_milli) = (mark.window_s, mark.weight_milli);
    match &mark.body {
        Body::Edge(edge) => {
            let (client, server, version) = (edge.client.clone(), edge.server.clone(), edge.version.clone());
            let key = EdgeKey { environment, operation, client, server, version, window_s, weight_milli };
            count_edge(edge, key, sign, rollup);
        }
        Body::Service(service) => {
            let (node, version) = (service.node.clone(), service.version.clone());
            let key = ServiceKey { environment, operation, node, version, window_s, weight_milli };
            count_service(service, key, sign, rollup);
        }
        Body::Endpoint { node, version, entry, error, latency_us } => {
            let (node, version, entry) = (node.clone(), version.clone(), entry.clone());
            let key = EndpointKey { environment, node, version, entry, window_s, weight_milli };
            let counts = rollup.endpoints.entry(key).or_default();
            counts.requests += sign;
            counts.errors += sign * i64::from(*error);
            latency_us.iter().for_each(|value| counts.latency.record(*value, sign));
        }
        Body::Flow { status, duration_us } => {
            let key = OperationKey { environment, operation, window_s, weight_milli };
            let counts = rollup.operations.entry(key).or_default();
            counts.flows += sign;
            counts.errors += sign * i64::from(*status != FlowStatus::Success);
            counts.timeouts += sign * i64::from(*status == FlowStatus::Timeout);
            duration_us.iter().for_each(|value| counts.duration.record(*value, sign));
        }
    }
}

fn count_edge(edge: &EdgeMark, key: EdgeKey, sign: i64, rollup: &mut Rollup) {
    let counts = rollup.edges.entry(key).or_default();
    counts.calls += sign;
    counts.errors += sign * i64::from(edge.verdict.error);
    counts.client_errors += sign * i64::from(edge.verdict.client_error);
    counts.retries += sign * i64::from(edge.retry);
    counts.timeouts += sign * i64::from(edge.verdict.timeout);
    counts.rejected += sign * i64::from(edge.verdict.rejected);
    counts.messages += sign * i64::from(edge.messages);
    counts.paired += sign * i64::from(edge.paired);
    edge.callee_us.iter().for_each(|value| counts.callee_latency.record(*value, sign));
    edge.caller_us.iter().for_each(|value| counts.caller_latency.record(*value, sign));
    edge.wait_us.iter().for_each(|value| counts.wait.record(*value, sign));
}

fn count_service(service: &ServiceMark, key: ServiceKey, sign: i64, rollup: &mut Rollup) {
    let counts = rollup.services.entry(key).or_default();
    counts.requests += sign;
    counts.errors += sign * i64::from(service.error);
    counts.client_errors += sign * i64::from(service.client_error);
    service.latency_us.iter().for_each(|value| counts.latency.record(*value, sign));
    service.self_us.iter().for_each(|value| counts.self_time.record(*value, sign));
    service.critical_us.iter().for_each(|value| counts.critical_path.record(*value, sign));
}
