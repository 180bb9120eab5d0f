-- Requests by entry point (route, RPC method or topic) of a service. Units: see 0003_edges.sql.
-- There is no 1 s tier: the store writes whole minutes' shares straight into the 1 m table.

CREATE TABLE IF NOT EXISTS endpoints_1m (
    window         DateTime('UTC') CODEC(Delta, ZSTD(1)),
    environment    LowCardinality(String),
    service        LowCardinality(String),
    namespace      LowCardinality(String),
    cluster        LowCardinality(String),
    version        LowCardinality(String),
    entry          LowCardinality(String),
    requests       SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    errors         SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    raw_requests   SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    latency        SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    latency_sum_us SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(window)
PRIMARY KEY (environment, window, service)
ORDER BY (environment, window, service, namespace, cluster, version, entry)
TTL window + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS endpoints_10m (
    window         DateTime('UTC') CODEC(Delta, ZSTD(1)),
    environment    LowCardinality(String),
    service        LowCardinality(String),
    namespace      LowCardinality(String),
    cluster        LowCardinality(String),
    version        LowCardinality(String),
    entry          LowCardinality(String),
    requests       SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    errors         SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    raw_requests   SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    latency        SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    latency_sum_us SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(window)
PRIMARY KEY (environment, window, service)
ORDER BY (environment, window, service, namespace, cluster, version, entry)
TTL window + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS endpoints_1h (
    window         DateTime('UTC') CODEC(Delta, ZSTD(1)),
    environment    LowCardinality(String),
    service        LowCardinality(String),
    namespace      LowCardinality(String),
    cluster        LowCardinality(String),
    version        LowCardinality(String),
    entry          LowCardinality(String),
    requests       SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    errors         SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    raw_requests   SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    latency        SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    latency_sum_us SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(window)
PRIMARY KEY (environment, window, service)
ORDER BY (environment, window, service, namespace, cluster, version, entry)
TTL window + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE MATERIALIZED VIEW IF NOT EXISTS endpoints_10m_mv TO endpoints_10m AS SELECT
    toStartOfInterval(window, INTERVAL 10 MINUTE) AS window,
    environment, service, namespace, cluster, version, entry,
    sumWithOverflow(requests) AS requests,
    sumWithOverflow(errors) AS errors,
    sum(raw_requests) AS raw_requests,
    sumMap(latency) AS latency,
    sumWithOverflow(latency_sum_us) AS latency_sum_us
FROM endpoints_1m
GROUP BY ALL;

CREATE MATERIALIZED VIEW IF NOT EXISTS endpoints_1h_mv TO endpoints_1h AS SELECT
    toStartOfHour(window) AS window,
    environment, service, namespace, cluster, version, entry,
    sumWithOverflow(requests) AS requests,
    sumWithOverflow(errors) AS errors,
    sum(raw_requests) AS raw_requests,
    sumMap(latency) AS latency,
    sumWithOverflow(latency_sum_us) AS latency_sum_us
FROM endpoints_1m
GROUP BY ALL;
