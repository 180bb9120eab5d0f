-- Calls from one node of the flow graph to another, by the second in which they ended.
-- Units. Counts and sums are adjusted for sampling: an unsampled call adds 1, one kept at 10 % adds 10; exact to
-- a thousandth, Decimal(18, 3). Microseconds are in `_us`. A histogram is (bucket[], count[]) with counts in
-- THOUSANDTHS of an adjusted call (an unsampled call adds 1000), so that mixed sampling rates add up exactly:
-- quantiles don't care, hdrCount, hdrMean and hdrCountAbove divide. `raw_` counts are not adjusted.
-- Rows add up: read every table with sum() / sumMap(), and expect rows that corrections have brought to zero.

CREATE TABLE IF NOT EXISTS edges_1s (
    window           DateTime('UTC') CODEC(Delta, ZSTD(1)),
    environment      LowCardinality(String),
    operation        LowCardinality(String),
    client           LowCardinality(String),
    client_namespace LowCardinality(String),
    client_cluster   LowCardinality(String),
    client_kind      LowCardinality(String),
    server           LowCardinality(String),
    server_namespace LowCardinality(String),
    server_cluster   LowCardinality(String),
    server_kind      LowCardinality(String),
    version          LowCardinality(String),
    calls            Decimal(18, 3) CODEC(ZSTD(1)),
    errors           Decimal(18, 3) CODEC(ZSTD(1)),
    client_errors    Decimal(18, 3) CODEC(ZSTD(1)),
    retries          Decimal(18, 3) CODEC(ZSTD(1)),
    timeouts         Decimal(18, 3) CODEC(ZSTD(1)),
    rejected         Decimal(18, 3) CODEC(ZSTD(1)),
    messages         Decimal(18, 3) CODEC(ZSTD(1)),
    paired           Decimal(18, 3) CODEC(ZSTD(1)),
    raw_calls        Int64 CODEC(ZSTD(1)),
    callee_latency   Tuple(Array(UInt16), Array(Int64)) CODEC(ZSTD(1)),
    callee_sum_us    Decimal(18, 3) CODEC(ZSTD(1)),
    caller_latency   Tuple(Array(UInt16), Array(Int64)) CODEC(ZSTD(1)),
    caller_sum_us    Decimal(18, 3) CODEC(ZSTD(1)),
    wait             Tuple(Array(UInt16), Array(Int64)) CODEC(ZSTD(1)),
    wait_sum_us      Decimal(18, 3) CODEC(ZSTD(1)),
    lane             UInt16,
    batch            UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toStartOfInterval(window, INTERVAL 6 HOUR)
ORDER BY (environment, window, operation)
TTL window + INTERVAL 6 HOUR
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS edges_1m (
    window           DateTime('UTC') CODEC(Delta, ZSTD(1)),
    environment      LowCardinality(String),
    operation        LowCardinality(String),
    client           LowCardinality(String),
    client_namespace LowCardinality(String),
    client_cluster   LowCardinality(String),
    client_kind      LowCardinality(String),
    server           LowCardinality(String),
    server_namespace LowCardinality(String),
    server_cluster   LowCardinality(String),
    server_kind      LowCardinality(String),
    version          LowCardinality(String),
    calls            SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    errors           SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    client_errors    SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    retries          SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    timeouts         SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    rejected         SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    messages         SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    paired           SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    raw_calls        SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    callee_latency   SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    callee_sum_us    SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    caller_latency   SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    caller_sum_us    SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    wait             SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    wait_sum_us      SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(window)
PRIMARY KEY (environment, window, operation)
ORDER BY (environment, window, operation, client, client_namespace, client_cluster, client_kind, server, server_namespace, server_cluster, server_kind, version)
TTL window + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS edges_10m (
    window           DateTime('UTC') CODEC(Delta, ZSTD(1)),
    environment      LowCardinality(String),
    operation        LowCardinality(String),
    client           LowCardinality(String),
    client_namespace LowCardinality(String),
    client_cluster   LowCardinality(String),
    client_kind      LowCardinality(String),
    server           LowCardinality(String),
    server_namespace LowCardinality(String),
    server_cluster   LowCardinality(String),
    server_kind      LowCardinality(String),
    version          LowCardinality(String),
    calls            SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    errors           SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    client_errors    SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    retries          SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    timeouts         SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    rejected         SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    messages         SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    paired           SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    raw_calls        SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    callee_latency   SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    callee_sum_us    SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    caller_latency   SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    caller_sum_us    SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    wait             SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    wait_sum_us      SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(window)
PRIMARY KEY (environment, window, operation)
ORDER BY (environment, window, operation, client, client_namespace, client_cluster, client_kind, server, server_namespace, server_cluster, server_kind, version)
TTL window + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS edges_1h (
    window           DateTime('UTC') CODEC(Delta, ZSTD(1)),
    environment      LowCardinality(String),
    operation        LowCardinality(String),
    client           LowCardinality(String),
    client_namespace LowCardinality(String),
    client_cluster   LowCardinality(String),
    client_kind      LowCardinality(String),
    server           LowCardinality(String),
    server_namespace LowCardinality(String),
    server_cluster   LowCardinality(String),
    server_kind      LowCardinality(String),
    version          LowCardinality(String),
    calls            SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    errors           SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    client_errors    SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    retries          SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    timeouts         SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    rejected         SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    messages         SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    paired           SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    raw_calls        SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    callee_latency   SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    callee_sum_us    SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    caller_latency   SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    caller_sum_us    SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1)),
    wait             SimpleAggregateFunction(sumMap, Tuple(Array(UInt16), Array(Int64))) CODEC(ZSTD(1)),
    wait_sum_us      SimpleAggregateFunction(sumWithOverflow, Decimal(18, 3)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(window)
PRIMARY KEY (environment, window, operation)
ORDER BY (environment, window, operation, client, client_namespace, client_cluster, client_kind, server, server_namespace, server_cluster, server_kind, version)
TTL window + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE MATERIALIZED VIEW IF NOT EXISTS edges_1m_mv TO edges_1m AS SELECT
    toStartOfMinute(window) AS window,
    environment, operation, client, client_namespace, client_cluster, client_kind, server, server_namespace, server_cluster, server_kind, version,
    sumWithOverflow(calls) AS calls,
    sumWithOverflow(errors) AS errors,
    sumWithOverflow(client_errors) AS client_errors,
    sumWithOverflow(retries) AS retries,
    sumWithOverflow(timeouts) AS timeouts,
    sumWithOverflow(rejected) AS rejected,
    sumWithOverflow(messages) AS messages,
    sumWithOverflow(paired) AS paired,
    sum(raw_calls) AS raw_calls,
    sumMap(callee_latency) AS callee_latency,
    sumWithOverflow(callee_sum_us) AS callee_sum_us,
    sumMap(caller_latency) AS caller_latency,
    sumWithOverflow(caller_sum_us) AS caller_sum_us,
    sumMap(wait) AS wait,
    sumWithOverflow(wait_sum_us) AS wait_sum_us
FROM edges_1s
GROUP BY ALL;

CREATE MATERIALIZED VIEW IF NOT EXISTS edges_10m_mv TO edges_10m AS SELECT
    toStartOfInterval(window, INTERVAL 10 MINUTE) AS window,
    environment, operation, client, client_namespace, client_cluster, client_kind, server, server_namespace, server_cluster, server_kind, version,
    sumWithOverflow(calls) AS calls,
    sumWithOverflow(errors) AS errors,
    sumWithOverflow(client_errors) AS client_errors,
    sumWithOverflow(retries) AS retries,
    sumWithOverflow(timeouts) AS timeouts,
    sumWithOverflow(rejected) AS rejected,
    sumWithOverflow(messages) AS messages,
    sumWithOverflow(paired) AS paired,
    sum(raw_calls) AS raw_calls,
    sumMap(callee_latency) AS callee_latency,
    sumWithOverflow(callee_sum_us) AS callee_sum_us,
    sumMap(caller_latency) AS caller_latency,
    sumWithOverflow(caller_sum_us) AS caller_sum_us,
    sumMap(wait) AS wait,
    sumWithOverflow(wait_sum_us) AS wait_sum_us
FROM edges_1s
GROUP BY ALL;

CREATE MATERIALIZED VIEW IF NOT EXISTS edges_1h_mv TO edges_1h AS SELECT
    toStartOfHour(window) AS window,
    environment, operation, client, client_namespace, client_cluster, client_kind, server, server_namespace, server_cluster, server_kind, version,
    sumWithOverflow(calls) AS calls,
    sumWithOverflow(errors) AS errors,
    sumWithOverflow(client_errors) AS client_errors,
    sumWithOverflow(retries) AS retries,
    sumWithOverflow(timeouts) AS timeouts,
    sumWithOverflow(rejected) AS rejected,
    sumWithOverflow(messages) AS messages,
    sumWithOverflow(paired) AS paired,
    sum(raw_calls) AS raw_calls,
    sumMap(callee_latency) AS callee_latency,
    sumWithOverflow(callee_sum_us) AS callee_sum_us,
    sumMap(caller_latency) AS caller_latency,
    sumWithOverflow(caller_sum_us) AS caller_sum_us,
    sumMap(wait) AS wait,
    sumWithOverflow(wait_sum_us) AS wait_sum_us
FROM edges_1s
GROUP BY ALL;
