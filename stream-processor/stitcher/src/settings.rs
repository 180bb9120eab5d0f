//! What can be set, and every bound with its reason.

use alloc::string::String;
use alloc::vec::Vec;

const SECOND_US: i64 = 1_000_000;

/// Settings of one shard.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Partition of `otlp_spans` it owns.
    pub shard: u32,
    /// Quiet time after which a trace closes.
    pub waits: Waits,
    /// Every bound.
    pub limits: Limits,
    /// Flows at least this long get their graph into `flow_traces`, µs.
    pub slow_us: i64,
    /// Share of the other flows that get it too, thousandths, by hash of the trace id.
    pub graph_sample_milli: u32,
    /// Successful flows a second whose events are published; beyond, a share of them by hash of the trace id.
    pub events_per_second: u32,
    /// Key of the user-id hash. Empty: user ids are left out altogether.
    pub user_hash_key: Vec<u8>,
    /// Environment of spans that name none.
    pub default_environment: String,
}

/// Quiet time, by what is still missing, µs of log time.
#[derive(Clone, Debug)]
pub struct Waits {
    /// Root seen, nothing dangling. SDKs export every 5 s.
    pub complete_us: i64,
    /// Only unanswered clients: their server may export later, or there is none.
    pub unanswered_us: i64,
    /// Parents or the root unseen.
    pub unseen_us: i64,
    /// How long an edge waits for the operation's name before it goes out under `unknown`.
    pub name_us: i64,
    /// How long a closed trace is remembered, so that duplicates and late spans find it.
    pub remember_us: i64,
    /// No trace stays open longer.
    pub longest_us: i64,
    /// How long a span may be needed before it is written to `flow_state`, if [`Limits::replayed_spans`] followed it.
    pub save_us: i64,
}

/// Every bound.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Spans of one trace; more are dropped and counted, so that one endless trace can't take the memory.
    pub spans_per_trace: usize,
    /// Open spans of a shard; beyond, the oldest traces settle.
    pub open_spans: usize,
    /// Spans of closed traces kept for exact corrections; beyond, the oldest keep only their fingerprints.
    pub remembered_spans: usize,
    /// Fingerprints kept of those.
    pub fingerprints: usize,
    /// How many spans a successor reads again, those younger than [`Waits::save_us`] aside: a trace that is needed for
    /// longer than that is written to `flow_state`. More than are remembered, or every closed trace gets there just before
    /// it is forgotten (docs/performance.md).
    pub replayed_spans: u64,
    /// Bytes of state written in one commit; what is due beyond waits for the next one.
    pub state_bytes: usize,
    /// Bytes of one name; longer ones are cut.
    pub name_bytes: usize,
    /// Environments of a shard.
    pub environments: usize,
    /// Services of an environment, by the hour.
    pub services: usize,
    /// Virtual nodes of an environment, by the hour.
    pub virtual_nodes: usize,
    /// Operations of an environment, by the hour.
    pub operations: usize,
    /// Edges (with operation) of an environment, by the hour.
    pub edges: usize,
    /// Entry names of a service, by the hour.
    pub entries_per_service: usize,
    /// Versions of a service, by the hour.
    pub versions_per_service: usize,
    /// Age of a span beyond which its window is clamped, µs.
    pub retention_us: i64,
    /// How far ahead of the shard's clock a span may end, µs.
    pub future_us: i64,
    /// Longer spans are streams: counted, no latency, µs.
    pub stream_us: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            shard: 0,
            waits: Waits::default(),
            limits: Limits::default(),
            slow_us: SECOND_US,
            graph_sample_milli: 20,
            events_per_second: 200,
            user_hash_key: Vec::new(),
            default_environment: String::new(),
        }
    }
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            complete_us: 6 * SECOND_US,
            unanswered_us: 12 * SECOND_US,
            unseen_us: 30 * SECOND_US,
            name_us: 6 * SECOND_US,
            remember_us: 900 * SECOND_US,
            longest_us: 600 * SECOND_US,
            save_us: 30 * SECOND_US,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            spans_per_trace: 100_000,
            open_spans: 1_000_000,
            remembered_spans: 1_000_000,
            fingerprints: 16_000_000,
            replayed_spans: 1_500_000,
            state_bytes: 4 << 20,
            name_bytes: 256,
            environments: 50,
            services: 5_000,
            virtual_nodes: 5_000,
            operations: 2_000,
            edges: 50_000,
            entries_per_service: 200,
            versions_per_service: 50,
            retention_us: 86_400 * SECOND_US,
            future_us: 600 * SECOND_US,
            stream_us: 300 * SECOND_US as u64,
        }
    }
}
