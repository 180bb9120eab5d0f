-- Summaries of flows (one a trace). A later revision replaces an earlier one: read with FINAL.
-- A flow's start may move over midnight with a late root; only then does a filter by day find the old revision.
CREATE TABLE IF NOT EXISTS traces (
    trace_id       String CODEC(ZSTD(1)),   -- flowId: 32 lower-hex digits, as in otel_traces
    revision       UInt32,                  -- 1 at the close, higher after late spans
    environment    LowCardinality(String),
    operation      LowCardinality(String),
    status         LowCardinality(String),  -- success, error, timeout
    start          DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    duration_us    Int64 CODEC(ZSTD(1)),    -- the root span's own
    tail_us        Int64 CODEC(ZSTD(1)),    -- how long asynchronous work went on after the root ended
    spans          UInt32 CODEC(ZSTD(1)),
    errors         UInt32 CODEC(ZSTD(1)),   -- calls that failed anywhere below the root
    client_errors  UInt32 CODEC(ZSTD(1)),
    retries        UInt32 CODEC(ZSTD(1)),
    timeouts       UInt32 CODEC(ZSTD(1)),
    rejected       UInt32 CODEC(ZSTD(1)),
    services       Array(LowCardinality(String)) CODEC(ZSTD(1)),
    root_service   LowCardinality(String),
    root_namespace LowCardinality(String),
    root_name      LowCardinality(String),
    ui_event       LowCardinality(String),
    session_id     String CODEC(ZSTD(1)),
    user_hash      String CODEC(ZSTD(1)),   -- keyed hash, never the id itself
    weight         Decimal(18, 3) CODEC(ZSTD(1)), -- how many flows this one stands for (sampling)
    complete       Bool,                    -- root seen, nothing dangling
    truncated      Bool,                    -- closed because it was too long or too large
    shard          UInt32,
    seq            UInt64 CODEC(Delta, ZSTD(1)),
    INDEX idx_start start TYPE minmax GRANULARITY 1,
    INDEX idx_session session_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY toDate(start)
ORDER BY trace_id
TTL toDateTime(start) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

-- Flow graphs of failed, slow and sampled flows. `client` and `server` of an edge are positions in `nodes`,
-- counted from 1 as ClickHouse counts: nodes[edge.client]. Any other flow's graph is computed from its spans.
CREATE TABLE IF NOT EXISTS flow_graphs (
    trace_id    String CODEC(ZSTD(1)),
    revision    UInt32,
    environment LowCardinality(String),
    operation   LowCardinality(String),
    start       DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    nodes       Array(Tuple(
        cluster     String,
        namespace   String,
        name        String,
        kind        String,
        version     String,
        requests    UInt32,
        errors      UInt32,
        duration_us Int64,
        self_us     Int64,
        critical_us Int64)) CODEC(ZSTD(1)),
    edges       Array(Tuple(
        client        UInt32,
        server        UInt32,
        calls         UInt32,
        errors        UInt32,
        client_errors UInt32,
        retries       UInt32,
        timeouts      UInt32,
        rejected      UInt32,
        duration_us   Int64)) CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY toDate(start)
ORDER BY trace_id
TTL toDateTime(start) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;
