-- Summaries of flows in the order of time, for lists: `traces` lies in the order of ids, and a page of it would read
-- whole days (docs/adr/0018). Every revision has a row of its own here, at its own start; those whose `version` is in
-- `flows_superseded` don't count any more. Read without FINAL: a row is here twice only while it is being copied below.
CREATE TABLE IF NOT EXISTS flows_by_start (
    start          DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    id             FixedString(16) CODEC(NONE),   -- the trace id's bytes
    version        UInt64 CODEC(NONE),            -- cityHash64(id, revision)
    revision       UInt32 CODEC(ZSTD(1)),
    environment    LowCardinality(String),
    operation      LowCardinality(String),
    status         LowCardinality(String),
    duration_us    Int64 CODEC(ZSTD(1)),
    spans          UInt32 CODEC(ZSTD(1)),
    errors         UInt32 CODEC(ZSTD(1)),
    services       Array(LowCardinality(String)) CODEC(ZSTD(1)),
    root_service   LowCardinality(String),
    root_namespace LowCardinality(String),
    root_name      LowCardinality(String),
    ui_event       LowCardinality(String),
    session_id     String CODEC(ZSTD(1)),
    user_hash      String CODEC(ZSTD(1)),
    complete       Bool,
    INDEX idx_services services TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_session session_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_user user_hash TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_duration duration_us TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(start)
ORDER BY (start, id, revision)
TTL toDateTime(start) + INTERVAL 30 DAY
-- A page of 20 reads one small granule of every column.
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE MATERIALIZED VIEW IF NOT EXISTS flows_by_start_mv TO flows_by_start AS SELECT
    start, toFixedString(unhex(trace_id), 16) AS id, cityHash64(id, revision) AS version, revision, environment, operation,
    status, duration_us, spans, errors, services, root_service, root_namespace, root_name, ui_event, session_id, user_hash,
    complete
FROM traces;

-- Versions of flows that a later revision replaced. Few: most spans come before their flow closes.
CREATE TABLE IF NOT EXISTS flows_superseded (
    start   DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),   -- of the later revision, at most a day from the earlier's
    version UInt64 CODEC(NONE)
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(start)
ORDER BY (start, version)
TTL toDateTime(start) + INTERVAL 32 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE MATERIALIZED VIEW IF NOT EXISTS flows_superseded_mv TO flows_superseded AS SELECT
    start, cityHash64(toFixedString(unhex(trace_id), 16), toUInt32(revision - 1)) AS version
FROM traces
WHERE revision > 1;

-- What was stored before.
INSERT INTO flows_superseded SELECT
    start, cityHash64(toFixedString(unhex(trace_id), 16), toUInt32(revision - 1)) AS version
FROM traces
WHERE revision > 1;

INSERT INTO flows_by_start SELECT
    start, toFixedString(unhex(trace_id), 16) AS id, cityHash64(id, revision) AS version, revision, environment, operation,
    status, duration_us, spans, errors, services, root_service, root_namespace, root_name, ui_event, session_id, user_hash,
    complete
FROM traces
WHERE cityHash64(toFixedString(unhex(trace_id), 16), revision) NOT IN (SELECT version FROM flows_by_start);
