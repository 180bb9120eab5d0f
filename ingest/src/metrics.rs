//! What `ingest` counts.

use crate::pressure::Pressure;
use crate::rejected::Rejected;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::Duration;

/// All counters of this role; names begin with `weir_ingest_`.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    spans_accepted: Counter,
    spans_rejected: Family<Reason, Counter>,
    /// Texts that were not UTF-8.
    pub texts_mended: Counter,
    /// Bodies as they came over the wire.
    pub body_bytes: Counter,
    messages: Counter,
    message_bytes: Counter,
    messages_failed: Counter,
    produce_seconds: Histogram,
    /// Requests being worked on.
    pub requests_in_progress: Gauge,
    /// Open connections.
    pub connections: Gauge,
    dead_letters: Family<Outcome, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    protocol: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl Metrics {
    /// Registers everything in the role's part of the registry.
    pub fn register(registry: &mut Registry, pressure: Pressure) -> Self {
        let metrics = Self {
            requests: Family::default(),
            spans_accepted: Counter::default(),
            spans_rejected: Family::default(),
            texts_mended: Counter::default(),
            body_bytes: Counter::default(),
            messages: Counter::default(),
            message_bytes: Counter::default(),
            messages_failed: Counter::default(),
            // 0.5 ms to 16 s.
            produce_seconds: Histogram::new(exponential_buckets(0.0005, 2.0, 16)),
            requests_in_progress: Gauge::default(),
            connections: Gauge::default(),
            dead_letters: Family::default(),
        };
        let m = metrics.clone();
        registry.register("requests", "Requests by protocol and outcome", m.requests);
        registry.register("spans_accepted", "Spans that Kafka acknowledged", m.spans_accepted);
        registry.register(
            "spans_rejected",
            "Spans dropped from accepted requests, by reason",
            m.spans_rejected,
        );
        registry.register(
            "texts_mended",
            "Texts that were not UTF-8, invalid bytes replaced",
            m.texts_mended,
        );
        registry.register("body_bytes", "Bytes of request bodies as sent", m.body_bytes);
        registry.register("messages", "Messages that Kafka acknowledged", m.messages);
        registry.register("message_bytes", "Bytes of these messages before compression", m.message_bytes);
        registry.register("messages_failed", "Messages that Kafka did not acknowledge", m.messages_failed);
        registry.register(
            "produce_seconds",
            "From sending a message to its acknowledgement",
            m.produce_seconds,
        );
        registry.register("requests_in_progress", "Requests being worked on", m.requests_in_progress);
        registry.register("connections", "Open connections", m.connections);
        registry.register("dead_letters", "Undecodable requests, by what became of them", m.dead_letters);
        registry.register_collector(Box::new(InProgressBytes(pressure)));
        metrics
    }

    /// Counts an answered request.
    pub fn answered(&self, protocol: &'static str, outcome: &'static str) {
        self.requests.get_or_create(&RequestLabels { protocol, outcome }).inc();
    }

    /// Counts the spans of an accepted request.
    pub fn spans(&self, accepted: u64, rejected: &Rejected) {
        self.spans_accepted.inc_by(accepted);
        for (reason, spans) in rejected.iter() {
            self.spans_rejected.get_or_create(&Reason { reason }).inc_by(spans);
        }
    }

    /// Counts a message of `bytes` that Kafka acknowledged, or not, after this time.
    pub fn produced(&self, bytes: usize, after: Duration, acknowledged: bool) {
        if acknowledged {
            self.messages.inc();
            self.message_bytes.inc_by(bytes as u64);
            self.produce_seconds.observe(after.as_secs_f64());
        } else {
            self.messages_failed.inc();
        }
    }

    /// Counts a dead letter: `written`, `dropped` (too many at once) or `failed`.
    pub fn dead_letter(&self, outcome: &'static str) {
        self.dead_letters.get_or_create(&Outcome { outcome }).inc();
    }
}

/// Counts something for as long as it lives.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    /// One more.
    pub fn up(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Read from the budget at the moment of the scrape.
#[derive(Debug)]
struct InProgressBytes(Pressure);

impl Collector for InProgressBytes {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let used = ConstGauge::new(i64::try_from(self.0.used()).unwrap_or(i64::MAX));
        let help = "Memory that requests in progress hold";
        used.encode(encoder.encode_descriptor(
            "requests_in_progress_bytes",
            help,
            None,
            used.metric_type(),
        )?)
    }
}
