//! What is known of every edge and service over one range of time, before it becomes an answer.

use crate::counts::{EdgeCounts, ServiceCounts};
use crate::histogram::Histogram;
use crate::series::Additive;
use std::collections::BTreeSet;

/// Everything known about one edge in the range.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct EdgeTotals {
    pub counts: EdgeCounts,
    pub callee: Histogram,
    pub caller: Histogram,
    pub wait: Histogram,
}

/// Everything known about one service in the range.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ServiceTotals {
    pub counts: ServiceCounts,
    pub latency: Histogram,
    pub self_time: Histogram,
    pub critical_path: Histogram,
    pub versions: BTreeSet<String>,
}

impl EdgeTotals {
    /// The callee's own measurement where there is one, else the caller's.
    pub fn latency(&self) -> (&Histogram, Option<&'static str>) {
        if self.callee.count() > 0 {
            (&self.callee, Some("callee"))
        } else if self.caller.count() > 0 {
            (&self.caller, Some("caller"))
        } else {
            (&self.caller, None)
        }
    }
}

impl ServiceTotals {
    /// Adds the calls of an edge as if they were requests.
    pub fn add_calls(&mut self, edge: &EdgeTotals) {
        self.counts.add(&ServiceCounts {
            requests: edge.counts.calls,
            errors: edge.counts.errors,
            client_errors: edge.counts.client_errors,
            raw_requests: edge.counts.raw_calls,
        });
        self.latency.add(edge.latency().0);
    }
}
