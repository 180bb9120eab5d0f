//! The tables on a real ClickHouse: applied once, checked at every start, and with functions that agree with ours.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

mod store_support;

use store_support::{Database, Running, Topics, deltas, newest_entry, now_s};
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
async fn every_table_and_view_target_that_would_count_twice_is_refused() {
    let Some(database) = Database::new("pins") else { return };
    migrate(&database.options).await.unwrap();
    for table in schemas::migrations::tables() {
        for (setting, least) in schemas::migrations::PINNED {
            let set = async |value| {
                database.execute(&format!("ALTER TABLE {table} MODIFY SETTING {setting} = {value}")).await
            };
            set(least - 1).await;
            let error = migrate(&database.options).await.unwrap_err().to_string();
            assert!(error.contains(&format!(".{table} would")) && error.contains(setting), "{error}");
            set(least).await;
        }
    }
    migrate(&database.options).await.unwrap();
    database.drop().await;
}

#[tokio::test]
async fn flows_of_an_older_schema_are_in_the_order_of_time_too() {
    let Some(database) = Database::new("by_start") else { return };
    migrate(&database.options).await.unwrap();
    for (kind, name) in [
        ("VIEW", "flows_by_start_mv"),
        ("VIEW", "flows_superseded_mv"),
        ("TABLE", "flows_by_start"),
        ("TABLE", "flows_superseded"),
    ] {
        database.execute(&format!("DROP {kind} {name}")).await;
    }
    let flow = |revision: u32, start_s: u32| {
        format!(
            "INSERT INTO traces (trace_id, revision, start, operation) \
             VALUES ('0af7651916cd43dd8448eb211c80319c', {revision}, fromUnixTimestamp({start_s}), 'login')"
        )
    };
    database.execute(&flow(1, now_s() - 60)).await;
    database.execute(&flow(2, now_s() - 90)).await;
    let migration =
        schemas::migrations::ALL.iter().find(|migration| migration.name == "flows_by_start").unwrap();
    // Applied twice, as after an interruption: it takes nothing twice.
    for statement in migration.statements().chain(migration.statements()) {
        database.execute(statement).await;
    }
    database.execute(&flow(3, now_s() - 90)).await;
    let rows = "SELECT revision, lower(hex(id)), operation FROM flows_by_start ORDER BY revision";
    let row = |revision: u32| format!("{revision}\t0af7651916cd43dd8448eb211c80319c\tlogin");
    assert_eq!(database.ask(rows).await, [row(1), row(2), row(3)]);
    let newest =
        "SELECT revision FROM flows_by_start WHERE version NOT IN (SELECT version FROM flows_superseded)";
    assert_eq!(database.ask(newest).await, ["3"]);
    database.drop().await;
}

/// As if migration 6 were new: it adds a view target, `endpoints_1h`.
async fn forget_migration_6(database: &Database) {
    database.execute("DROP VIEW endpoints_1h_mv").await;
    database.execute("DROP TABLE endpoints_1h").await;
    database
        .execute("ALTER TABLE schema_migrations DELETE WHERE number = 6 SETTINGS mutations_sync = 2")
        .await;
}

const HAS_TARGET: &str =
    "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'endpoints_1h'";

/// A store has stored 3 calls, and the last entry of its lane was changed since.
async fn stored(database: &Database, topics: &Topics, change: impl FnOnce(&mut serde_json::Value)) -> u64 {
    let store = Running::start(database, topics);
    topics.send("flow_deltas", 0, &deltas(0, 1, now_s() - 30, 3, 1000)).await;
    database.ask_until("SELECT sum(requests) FROM endpoints_1h", &["3"]).await;
    store.stop().await;
    let mut entry = newest_entry(topics, 0);
    change(&mut entry);
    topics.send_keyed("store_journal", 0, "0", entry.to_string().as_bytes()).await;
    entry["generation"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_begun_under_an_older_schema_is_done_before_the_tables_change() {
    let (Some(database), Some(topics)) = (Database::new("older"), Topics::new("older").await) else { return };
    let undone = |entry: &mut serde_json::Value| {
        entry["done"] = false.into();
        entry["sequences"] = serde_json::json!({});
        entry["schema"] = 5.into();
    };
    let generation = stored(&database, &topics, undone).await;
    forget_migration_6(&database).await;
    migrate(&database.options).await.unwrap();
    assert_eq!(database.ask(HAS_TARGET).await, ["0"], "only the store changes tables that are in use");

    topics.send("flow_deltas", 0, &deltas(0, 2, now_s() - 30, 10, 1000)).await;
    let store = Running::start(&database, &topics);
    database.ask_until("SELECT sum(requests) FROM endpoints_1h", &["10"]).await;
    database.ask_until("SELECT sum(requests) FROM endpoints_10m", &["13"]).await;
    database.ask_until("SELECT sum(calls) FROM edges_1h", &["13"]).await;
    store.stop().await;
    let entry = newest_entry(&topics, 0);
    assert_eq!(entry["generation"], generation + 1);
    assert_eq!(entry["schema"], schemas::migrations::newest());
    database.drop().await;
    topics.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_stay_as_they_are_while_another_program_has_to_finish_a_batch() {
    let (Some(database), Some(topics)) = (Database::new("format"), Topics::new("format").await) else {
        return;
    };
    stored(&database, &topics, |entry| (entry["done"], entry["format"]) = (false.into(), 0.into())).await;
    forget_migration_6(&database).await;
    let refusal = Running::start(&database, &topics).refusal().await;
    assert!(refusal.contains("let that version finish it first"), "{refusal}");
    assert_eq!(database.ask(HAS_TARGET).await, ["0"]);
    database.drop().await;
    topics.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_does_not_go_on_with_a_lane_that_a_newer_one_has_taken() {
    let (Some(database), Some(topics)) = (Database::new("taken"), Topics::new("taken").await) else { return };
    stored(&database, &topics, |entry| entry["schema"] = 999.into()).await;
    let store = Running::start(&database, &topics);
    store.says("a newer Weir has taken the lane").await;
    store.stop().await;
    database.drop().await;
    topics.drop().await;
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
    // Where buckets begin and end, and beyond the last of them.
    let edges = (0..45).flat_map(|power| [(1_u64 << power) - 1, 1 << power, (1 << power) + 1]);
    let all: Vec<u64> = values.into_iter().chain(edges).collect();
    let query = format!("SELECT hdrBucket(arrayJoin({all:?}::Array(Int64)))");
    let buckets: Vec<String> =
        all.iter().map(|value| stitcher::histogram::bucket_of(*value).to_string()).collect();
    assert_eq!(database.ask(&query).await, buckets);
    assert_eq!(database.ask("SELECT hdrBucket(-1::Int64)").await, ["0"]);
    database.drop().await;
}
