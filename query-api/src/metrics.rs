//! What this role counts.

use crate::live::Live;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::Ordering::Relaxed;

/// Counters and gauges named `weir_query_api_…`.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "each is described where it is registered")]
pub struct ApiMetrics {
    pub records: Counter,
    pub undecodable_records: Counter,
    pub unreadable_entries: Counter,
    pub changes: Counter,
    pub too_old: Counter,
    pub too_far_ahead: Counter,
    pub holes: Counter,
    pub repeated_commits: Counter,
    pub shards_in_trouble: Gauge,
    pub live_bytes: Gauge,
    pub live_seconds: Gauge,
    pub flow_events: Counter,
    pub flow_events_dropped: Counter,
    pub views: Gauge,
    pub subscriptions: Gauge,
    pub sockets: Gauge,
    pub frames: Counter,
    pub slow_clients: Counter,
    pub coalesced: Counter,
    pub refused_origins: Counter,
}

impl ApiMetrics {
    /// Registers all of them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let counters = [
            ("records", "Records of flow_deltas read", &metrics.records),
            ("undecodable_records", "Records that are no protobuf", &metrics.undecodable_records),
            ("unreadable_entries", "Entries of records that refer to nothing", &metrics.unreadable_entries),
            ("changes", "Changes added to live state", &metrics.changes),
            ("too_old", "Changes of windows older than live state", &metrics.too_old),
            ("too_far_ahead", "Changes of windows in the future", &metrics.too_far_ahead),
            ("holes", "Places where commits of a shard were missing", &metrics.holes),
            ("repeated_commits", "Commits that came again and were not added", &metrics.repeated_commits),
            ("flow_events", "Flow events read", &metrics.flow_events),
            ("flow_events_dropped", "Flow events that found the queue full", &metrics.flow_events_dropped),
            ("frames", "Frames sent to subscribers", &metrics.frames),
            ("coalesced", "Backlogs of slow subscribers replaced by a snapshot", &metrics.coalesced),
            ("slow_clients", "Sockets closed because their client was too slow", &metrics.slow_clients),
            ("refused_origins", "WebSocket handshakes from other origins", &metrics.refused_origins),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let gauges = [
            ("shards_in_trouble", "Shards whose numbers may be wrong", &metrics.shards_in_trouble),
            ("live_bytes", "Memory of live state", &metrics.live_bytes),
            ("live_seconds", "Seconds that live state holds", &metrics.live_seconds),
            ("views", "Different filters being watched", &metrics.views),
            ("subscriptions", "Subscriptions", &metrics.subscriptions),
            ("sockets", "Open sockets", &metrics.sockets),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        metrics
    }

    /// Takes over what live state has counted.
    pub fn show(&self, live: &Live, now_us: i64) {
        let tally = live.tally();
        let counted = [
            (&self.changes, tally.changes),
            (&self.too_old, tally.too_old),
            (&self.too_far_ahead, tally.too_far_ahead),
            (&self.unreadable_entries, tally.unreadable),
            (&self.repeated_commits, tally.repeated_commits),
            (&self.holes, tally.holes),
        ];
        for (counter, total) in counted {
            counter.inner().store(total, Relaxed);
        }
        self.shards_in_trouble.set(i64::try_from(live.shards().holes()).unwrap_or(i64::MAX));
        self.live_bytes.set(i64::try_from(live.bytes()).unwrap_or(i64::MAX));
        self.live_seconds.set((now_us / 1_000_000 - i64::from(live.complete_from_s())).max(0));
    }
}
