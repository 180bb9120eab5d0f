-- Requests a service answered. Units: see 0003_edges.sql.

CREATE TABLE IF NOT EXISTS services_1s (
    window          DateTime('UTC') CODEC(Delta, ZSTD(1)),
    environment     LowCardinality(String),
    operation       LowCardinality(String),
    service         LowCardinality(String),
    namespace       LowCardinality(String),
    cluster         LowCardinality(String),
    kind            LowCardinality(String),
    version         LowCardinality(String),
    requests        Decimal(18, 3) CODEC(ZSTD(1)),
    errors          Decimal(18, 3) CODEC(ZSTD(1)),
    client_errors   Decimal(18, 3) CODEC(ZSTD(1)),
    raw_requests    Int64 CODEC(ZSTD(1)),
    latency         Tuple(Array(UInt16), Array(Int64)) CODEC(ZSTD(1)),
    latency_sum_us  Decimal(18, 3) CODEC(ZSTD(1)),
    self_time       Tuple(Array(UInt16), Array(Int64)) CODEC(ZSTD(1)),
    self_sum_us     Decimal(18, 3) CODEC(ZSTD(1)),
    critical_path   Tuple(Array(UInt16), Array(Int64)) CODEC(ZSTD(1)),
    critical_sum_us Decimal(18, 3) CODEC(ZSTD(1)),
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

CREATE TABLE IF NOT EXISTS services_1m (
    window          DateTime('UTC') CODEC(Delta, ZSTD(1)),
    environment     LowCardinality(String),
    operation       LowCardinality(String),
    service         LowCardinality(String),
    namespace       LowCardinality(String),
    cluster         LowCardinality(String),
    kind            LowCardinality(String),
    version         LowCardinality(String),
    requests        SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    errors          SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    client_errors   SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    raw_requests    SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    latency         SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    latency_sum_us  SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    self_time       SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    self_sum_us     SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    critical_path   SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    critical_sum_us SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(window)
PRIMARY KEY (environment, window, operation)
ORDER BY (environment, window, operation, service, namespace, cluster, kind, version)
TTL window + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS services_10m (
    window          DateTime('UTC') CODEC(Delta, ZSTD(1)),
    environment     LowCardinality(String),
    operation       LowCardinality(String),
    service         LowCardinality(String),
    namespace       LowCardinality(String),
    cluster         LowCardinality(String),
    kind            LowCardinality(String),
    version         LowCardinality(String),
    requests        SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    errors          SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    client_errors   SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    raw_requests    SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    latency         SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    latency_sum_us  SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    self_time       SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    self_sum_us     SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    critical_path   SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    critical_sum_us SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(window)
PRIMARY KEY (environment, window, operation)
ORDER BY (environment, window, operation, service, namespace, cluster, kind, version)
TTL window + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS services_1h (
    window          DateTime('UTC') CODEC(Delta, ZSTD(1)),
    environment     LowCardinality(String),
    operation       LowCardinality(String),
    service         LowCardinality(String),
    namespace       LowCardinality(String),
    cluster         LowCardinality(String),
    kind            LowCardinality(String),
    version         LowCardinality(String),
    requests        SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    errors          SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    client_errors   SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    raw_requests    SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    latency         SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    latency_sum_us  SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    self_time       SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    self_sum_us     SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    critical_path   SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    critical_sum_us SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(window)
PRIMARY KEY (environment, window, operation)
ORDER BY (environment, window, operation, service, namespace, cluster, kind, version)
TTL window + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE MATERIALIZED VIEW IF NOT EXISTS services_1m_mv TO services_1m AS SELECT
    toStartOfMinute(window) AS window,
    environment, operation, service, namespace, cluster, kind, version,
    sumWithOverflow(requests) AS requests,
    sumWithOverflow(errors) AS errors,
    sumWithOverflow(client_errors) AS client_errors,
    sum(raw_requests) AS raw_requests,
    sumMap(latency) AS latency,
    sumWithOverflow(latency_sum_us) AS latency_sum_us,
    sumMap(self_time) AS self_time,
    sumWithOverflow(self_sum_us) AS self_sum_us,
    sumMap(critical_path) AS critical_path,
    sumWithOverflow(critical_sum_us) AS critical_sum_us
FROM services_1s
GROUP BY ALL;

CREATE MATERIALIZED VIEW IF NOT EXISTS services_10m_mv TO services_10m AS SELECT
    toStartOfInterval(window, INTERVAL 10 MINUTE) AS window,
    environment, operation, service, namespace, cluster, kind, version,
    sumWithOverflow(requests) AS requests,
    sumWithOverflow(errors) AS errors,
    sumWithOverflow(client_errors) AS client_errors,
    sum(raw_requests) AS raw_requests,
    sumMap(latency) AS latency,
    sumWithOverflow(latency_sum_us) AS latency_sum_us,
    sumMap(self_time) AS self_time,
    sumWithOverflow(self_sum_us) AS self_sum_us,
    sumMap(critical_path) AS critical_path,
    sumWithOverflow(critical_sum_us) AS critical_sum_us
FROM services_1s
GROUP BY ALL;

CREATE MATERIALIZED VIEW IF NOT EXISTS services_1h_mv TO services_1h AS SELECT
    toStartOfHour(window) AS window,
    environment, operation, service, namespace, cluster, kind, version,
    sumWithOverflow(requests) AS requests,
    sumWithOverflow(errors) AS errors,
    sumWithOverflow(client_errors) AS client_errors,
    sum(raw_requests) AS raw_requests,
    sumMap(latency) AS latency,
    sumWithOverflow(latency_sum_us) AS latency_sum_us,
    sumMap(self_time) AS self_time,
    sumWithOverflow(self_sum_us) AS self_sum_us,
    sumMap(critical_path) AS critical_path,
    sumWithOverflow(critical_sum_us) AS critical_sum_us
FROM services_1s
GROUP BY ALL;
