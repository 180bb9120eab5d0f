//! The tables on a real ClickHouse: applied once, checked at every start, and with functions that agree with ours.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

mod store_support;

use store_support::Database;
use stream_processor::store::migrate;

#[tokio::test]
async fn migrations_are_applied_once() {
    let Some(database) = Database::new("migrate") else { return };
    migrate(&database.options).await.unwrap();
    let applied =
        database.ask("SELECT number, name, applied_at FROM schema_migrations ORDER BY number").await;
    assert_eq!(applied.len(), schemas::migrations::ALL.len());
    migrate(&database.options).await.unwrap();
    assert_eq!(
        database.ask("SELECT number, name, applied_at FROM schema_migrations ORDER BY number").await,
        applied
    );
    database.drop().await;
}

#[tokio::test]
async fn a_database_of_a_newer_weir_is_refused() {
    let Some(database) = Database::new("newer") else { return };
    migrate(&database.options).await.unwrap();
    database.execute("INSERT INTO schema_migrations (number, name) VALUES (999, 'later')").await;
    let error = migrate(&database.options).await.unwrap_err().to_string();
    assert!(error.contains("migration 999"), "{error}");
    database.drop().await;
}

#[tokio::test]
async fn a_view_target_that_would_count_twice_is_refused() {
    let Some(database) = Database::new("pins") else { return };
    migrate(&database.options).await.unwrap();
    database.execute("ALTER TABLE edges_1h MODIFY SETTING non_replicated_deduplication_window = 0").await;
    let error = migrate(&database.options).await.unwrap_err().to_string();
    assert!(error.contains("edges_1h") && error.contains("non_replicated_deduplication_window"), "{error}");
    database.drop().await;
}

#[tokio::test]
async fn the_raw_table_begins_with_the_exporters_columns() {
    let Some(database) = Database::new("columns") else { return };
    migrate(&database.options).await.unwrap();
    let columns =
        "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 'otel_traces'
                   ORDER BY position";
    let columns = database.ask(columns).await;
    let exporter = [
        "Timestamp\tDateTime64(9)",
        "TraceId\tString",
        "SpanId\tString",
        "ParentSpanId\tString",
        "TraceState\tString",
        "SpanName\tLowCardinality(String)",
        "SpanKind\tLowCardinality(String)",
        "ServiceName\tLowCardinality(String)",
        "ResourceAttributes\tMap(LowCardinality(String), String)",
        "ScopeName\tString",
        "ScopeVersion\tString",
        "SpanAttributes\tMap(LowCardinality(String), String)",
        "Duration\tUInt64",
        "StatusCode\tLowCardinality(String)",
        "StatusMessage\tString",
        "Events.Timestamp\tArray(DateTime64(9))",
        "Events.Name\tArray(LowCardinality(String))",
        "Events.Attributes\tArray(Map(LowCardinality(String), String))",
        "Links.TraceId\tArray(String)",
        "Links.SpanId\tArray(String)",
        "Links.TraceState\tArray(String)",
        "Links.Attributes\tArray(Map(LowCardinality(String), String))",
    ];
    assert_eq!(columns[..exporter.len()], exporter);
    database.drop().await;
}

#[tokio::test]
async fn the_sql_functions_agree_with_the_stitcher() {
    let Some(database) = Database::new("functions") else { return };
    migrate(&database.options).await.unwrap();
    // Values all over the range, by a fixed linear congruential sequence.
    let mut state = 1_u64;
    let values: Vec<u64> = (0..500)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) >> (state % 31)
        })
        .collect();
    let mut histogram = stitcher::histogram::Histogram::default();
    values.iter().for_each(|value| histogram.record(*value, 1));
    let buckets: Vec<String> = histogram.buckets.iter().map(|(bucket, _)| bucket.to_string()).collect();
    let counts: Vec<String> = histogram.buckets.iter().map(|(_, count)| (count * 1000).to_string()).collect();
    let h = format!("([{}]::Array(UInt16), [{}]::Array(Int64))", buckets.join(","), counts.join(","));
    for q in [0.0, 0.001, 0.25, 0.5, 0.9, 0.95, 0.99, 0.998, 1.0] {
        let answer = database.ask(&format!("SELECT hdrQuantile({h}, {q})")).await;
        assert_eq!(answer, [histogram.quantile(q).to_string()], "q = {q}");
    }
    let above = histogram.buckets.iter().filter(|(bucket, _)| stitcher::histogram::middle_of(*bucket) > 1000);
    let above: i64 = above.map(|(_, count)| count).sum();
    let sum = values.iter().sum::<u64>();
    let query = format!("SELECT hdrCount({h}), hdrCountAbove({h}, 1000), floor(hdrMean({h}, {sum}))");
    assert_eq!(database.ask(&query).await, [format!("500\t{above}\t{}", histogram.mean())]);
    database.drop().await;
}
