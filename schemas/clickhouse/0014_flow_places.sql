-- Where the services of a flow are, so that flows can be asked for by namespace and cluster, and how many flows a
-- sampled one stands for, so that they can be counted. Flows that were stored before have no places and count once.
ALTER TABLE traces ADD COLUMN IF NOT EXISTS service_nodes Array(Tuple(
    cluster   LowCardinality(String),
    namespace LowCardinality(String),
    name      LowCardinality(String))) CODEC(ZSTD(1)) AFTER services;

ALTER TABLE flows_by_start
    ADD COLUMN IF NOT EXISTS service_nodes Array(Tuple(
        cluster   LowCardinality(String),
        namespace LowCardinality(String),
        name      LowCardinality(String))) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS weight Decimal(18, 3) DEFAULT 1 CODEC(ZSTD(1));

ALTER TABLE flows_by_start_mv MODIFY QUERY SELECT
    start, toFixedString(unhex(trace_id), 16) AS id, cityHash64(id, revision) AS version, revision, environment, operation,
    status, duration_us, spans, errors, services, root_service, root_namespace, root_name, ui_event, session_id, user_hash,
    complete, service_nodes, weight
FROM traces;
