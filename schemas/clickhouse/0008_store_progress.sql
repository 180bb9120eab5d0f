-- How far the store has come: written after a batch's last insert. A reader that takes these rows first and then
-- rows of the 1 s tables with batch <= its lane's batch, from the same replica, has an exact cut of the log:
--   SELECT lane, partition, max(batch), argMax(next_offset, batch) FROM store_progress
--   WHERE topic = 'flow_deltas' GROUP BY lane, partition
CREATE TABLE IF NOT EXISTS store_progress (
    lane        UInt16,
    batch       UInt64,
    topic       LowCardinality(String),
    partition   UInt32,
    next_offset Int64,  -- the first offset not in the tables yet
    at          DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(batch)
ORDER BY (lane, topic, partition)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;
