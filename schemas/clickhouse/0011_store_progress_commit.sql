-- The last commit of the partition's shard that is in the tables, for topics that have commits (`flow_deltas`), and
-- the shard's log time then: what the tables say is complete up to there. `parts` is 0 where that isn't known.
ALTER TABLE store_progress
    ADD COLUMN IF NOT EXISTS seq UInt64,
    ADD COLUMN IF NOT EXISTS part UInt32,   -- the last record that is in them is this part, counted from 0 …
    ADD COLUMN IF NOT EXISTS parts UInt32,  -- … of so many
    ADD COLUMN IF NOT EXISTS clock DateTime64(6, 'UTC');
