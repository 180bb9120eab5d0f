-- Every single change of the flow graph with the commit that carried it, where the store is told to keep them
-- (`--raw-deltas`): for looking into how a sum came about. Units: see 0003_edges.sql.

CREATE TABLE IF NOT EXISTS edge_deltas AS edges_1s
ENGINE = MergeTree
PARTITION BY toStartOfInterval(window, INTERVAL 6 HOUR)
ORDER BY (environment, window, operation)
TTL window + INTERVAL 6 HOUR
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

ALTER TABLE edge_deltas
    DROP COLUMN IF EXISTS lane, DROP COLUMN IF EXISTS batch,
    ADD COLUMN IF NOT EXISTS shard UInt32,
    ADD COLUMN IF NOT EXISTS seq UInt64,
    ADD COLUMN IF NOT EXISTS part UInt32,
    ADD COLUMN IF NOT EXISTS clock DateTime64(6, 'UTC');

CREATE TABLE IF NOT EXISTS service_deltas AS services_1s
ENGINE = MergeTree
PARTITION BY toStartOfInterval(window, INTERVAL 6 HOUR)
ORDER BY (environment, window, operation)
TTL window + INTERVAL 6 HOUR
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

ALTER TABLE service_deltas
    DROP COLUMN IF EXISTS lane, DROP COLUMN IF EXISTS batch,
    ADD COLUMN IF NOT EXISTS shard UInt32,
    ADD COLUMN IF NOT EXISTS seq UInt64,
    ADD COLUMN IF NOT EXISTS part UInt32,
    ADD COLUMN IF NOT EXISTS clock DateTime64(6, 'UTC');

CREATE TABLE IF NOT EXISTS operation_deltas AS operations_1s
ENGINE = MergeTree
PARTITION BY toStartOfInterval(window, INTERVAL 6 HOUR)
ORDER BY (environment, window, operation)
TTL window + INTERVAL 6 HOUR
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

ALTER TABLE operation_deltas
    DROP COLUMN IF EXISTS lane, DROP COLUMN IF EXISTS batch,
    ADD COLUMN IF NOT EXISTS shard UInt32,
    ADD COLUMN IF NOT EXISTS seq UInt64,
    ADD COLUMN IF NOT EXISTS part UInt32,
    ADD COLUMN IF NOT EXISTS clock DateTime64(6, 'UTC');

CREATE TABLE IF NOT EXISTS endpoint_deltas AS endpoints_1m
ENGINE = MergeTree
PARTITION BY toStartOfInterval(window, INTERVAL 6 HOUR)
ORDER BY (environment, window, service)
TTL window + INTERVAL 6 HOUR
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

ALTER TABLE endpoint_deltas
    ADD COLUMN IF NOT EXISTS shard UInt32,
    ADD COLUMN IF NOT EXISTS seq UInt64,
    ADD COLUMN IF NOT EXISTS part UInt32,
    ADD COLUMN IF NOT EXISTS clock DateTime64(6, 'UTC');
