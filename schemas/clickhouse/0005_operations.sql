-- Flows that ended, by operation. Units: see 0003_edges.sql.

CREATE TABLE IF NOT EXISTS operations_1s (
    window          DateTime('UTC') CODEC(Delta, ZSTD(1)),
    environment     LowCardinality(String),
    operation       LowCardinality(String),
    flows           Decimal(18, 3) CODEC(ZSTD(1)),
    errors          Decimal(18, 3) CODEC(ZSTD(1)),
    timeouts        Decimal(18, 3) CODEC(ZSTD(1)),
    raw_flows       Int64 CODEC(ZSTD(1)),
    duration        Tuple(Array(UInt16), Array(Int64)) CODEC(ZSTD(1)),
    duration_sum_us Decimal(18, 3) CODEC(ZSTD(1)),
    lane            UInt16,
    batch           UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toStartOfInterval(window, INTERVAL 6 HOUR)
ORDER BY (environment, window, operation)
TTL window + INTERVAL 6 HOUR
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS operations_1m (
    window          DateTime('UTC') CODEC(Delta, ZSTD(1)),
    environment     LowCardinality(String),
    operation       LowCardinality(String),
    flows           SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    errors          SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    timeouts        SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    raw_flows       SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    duration        SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    duration_sum_us SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(window)
ORDER BY (environment, window, operation)
TTL window + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS operations_10m (
    window          DateTime('UTC') CODEC(Delta, ZSTD(1)),
    environment     LowCardinality(String),
    operation       LowCardinality(String),
    flows           SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    errors          SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    timeouts        SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    raw_flows       SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    duration        SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    duration_sum_us SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(window)
ORDER BY (environment, window, operation)
TTL window + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS operations_1h (
    window          DateTime('UTC') CODEC(Delta, ZSTD(1)),
    environment     LowCardinality(String),
    operation       LowCardinality(String),
    flows           SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    errors          SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    timeouts        SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    raw_flows       SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    duration        SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    duration_sum_us SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(window)
ORDER BY (environment, window, operation)
TTL window + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE MATERIALIZED VIEW IF NOT EXISTS operations_1m_mv TO operations_1m AS SELECT
    toStartOfMinute(window) AS window,
    environment, operation,
    sumWithOverflow(flows) AS flows,
    sumWithOverflow(errors) AS errors,
    sumWithOverflow(timeouts) AS timeouts,
    sum(raw_flows) AS raw_flows,
    sumMap(duration) AS duration,
    sumWithOverflow(duration_sum_us) AS duration_sum_us
FROM operations_1s
GROUP BY ALL;

CREATE MATERIALIZED VIEW IF NOT EXISTS operations_10m_mv TO operations_10m AS SELECT
    toStartOfInterval(window, INTERVAL 10 MINUTE) AS window,
    environment, operation,
    sumWithOverflow(flows) AS flows,
    sumWithOverflow(errors) AS errors,
    sumWithOverflow(timeouts) AS timeouts,
    sum(raw_flows) AS raw_flows,
    sumMap(duration) AS duration,
    sumWithOverflow(duration_sum_us) AS duration_sum_us
FROM operations_1s
GROUP BY ALL;

CREATE MATERIALIZED VIEW IF NOT EXISTS operations_1h_mv TO operations_1h AS SELECT
    toStartOfHour(window) AS window,
    environment, operation,
    sumWithOverflow(flows) AS flows,
    sumWithOverflow(errors) AS errors,
    sumWithOverflow(timeouts) AS timeouts,
    sum(raw_flows) AS raw_flows,
    sumMap(duration) AS duration,
    sumWithOverflow(duration_sum_us) AS duration_sum_us
FROM operations_1s
GROUP BY ALL;
