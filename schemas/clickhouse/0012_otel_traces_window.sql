-- All lanes of raw spans insert here, and a lane whose batch has begun may have to repeat it after all others have gone
-- on for long: with 64 lanes that insert once a second, 10,000 tokens last less than three minutes, these half an hour.
ALTER TABLE otel_traces
    MODIFY SETTING non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000;

ALTER TABLE otel_traces_trace_id_ts
    MODIFY SETTING non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000;
