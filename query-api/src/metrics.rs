//! What this role counts.

use crate::live::Live;
use crate::live::shards::Staleness;
use crate::prometheus::counters::Counters;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Label of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfShard {
    /// Its number.
    pub shard: u32,
}

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
    pub shard_seq: Family<OfShard, Gauge>,
    pub shard_behind_seconds: Family<OfShard, Gauge<f64, AtomicU64>>,
    pub shard_fresh: Family<OfShard, Gauge>,
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
    pub clickhouse_queries: Counter,
    pub graph_series: Gauge,
    pub graph_left_out: Counter,
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
            ("clickhouse_queries", "Queries to ClickHouse", &metrics.clickhouse_queries),
            (
                "graph_left_out",
                "Changes of series that /metrics/graph has no room for",
                &metrics.graph_left_out,
            ),
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
            ("graph_series", "Edges and entry points that /metrics/graph shows", &metrics.graph_series),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        let (seq, behind, fresh) = (&metrics.shard_seq, &metrics.shard_behind_seconds, &metrics.shard_fresh);
        registry.register("shard_seq", "Last commit of a shard that is in the answers", seq.clone());
        registry.register("shard_behind_seconds", "Now minus the shard's log time then", behind.clone());
        registry.register(
            "shard_fresh",
            "0 where answers lack something of the shard, or may",
            fresh.clone(),
        );
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
        self.show_shards(&live.staleness(now_us));
        self.shards_in_trouble.set(i64::try_from(live.shards().holes()).unwrap_or(i64::MAX));
        self.live_bytes.set(i64::try_from(live.bytes()).unwrap_or(i64::MAX));
        self.live_seconds.set((now_us / 1_000_000 - i64::from(live.complete_from_s())).max(0));
    }

    /// Takes over what is counted about `/metrics/graph`.
    pub fn show_counters(&self, counters: &Counters) {
        let series = counters.edges.len() + counters.endpoints.len();
        self.graph_series.set(i64::try_from(series).unwrap_or(i64::MAX));
        self.graph_left_out.inner().store(counters.left_out(), Relaxed);
    }

    fn show_shards(&self, staleness: &Staleness) {
        for (number, shard) in &staleness.shards {
            let label = OfShard { shard: *number };
            self.shard_seq.get_or_create(&label).set(i64::try_from(shard.seq).unwrap_or(i64::MAX));
            if let Some(seconds) = shard.behind_seconds {
                self.shard_behind_seconds.get_or_create(&label).set(seconds);
            }
            self.shard_fresh.get_or_create(&label).set(i64::from(shard.state.is_fresh()));
        }
    }
}
