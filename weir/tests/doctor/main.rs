//! `weir doctor` on a real Kafka and a real ClickHouse: every refusal that docs/operating.md lists is brought about,
//! found and explained, and nothing is changed by looking.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod installation;

use installation::{Installation, now_us};
use schemas::v1::ShardCommit;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use stitcher::{CORE_VERSION, Settings};
use stream_processor::processor::shard::Rules;

/// A commit of a shard that has just begun and read nothing.
fn commit(shard: u32, seq: u64) -> ShardCommit {
    let settings = Settings { shard, ..Settings::default() };
    ShardCommit {
        shard,
        seq,
        parts: 1,
        clock_us: now_us(),
        begins_anew: true,
        config_hash: Rules::new(String::new(), settings).config_hash(),
        core_version: CORE_VERSION.to_owned(),
        ..ShardCommit::default()
    }
}

/// The words by which docs/operating.md lists refusals.
fn documented() -> Vec<&'static str> {
    let page = include_str!("../../../docs/operating.md");
    let (_, table) =
        page.split_once("| the sentence says | what happened | what to do |\n|---|---|---|\n").unwrap();
    table
        .lines()
        .take_while(|line| line.starts_with('|'))
        .map(|row| row.split('|').nth(1).unwrap().trim())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_refusal_is_found_and_explained() {
    let mut sentences = BTreeSet::new();
    let Some(found) = shards().await else { return };
    sentences.extend(found);
    sentences.extend(topics().await);
    sentences.extend(tables().await);
    sentences.extend(lanes().await);
    for words in documented() {
        assert!(
            sentences.iter().any(|sentence| sentence.contains(words)),
            "{words}: not among {sentences:#?}"
        );
    }
}

/// One shard for each way in which it can't go on.
async fn shards() -> Option<BTreeSet<String>> {
    let here = Installation::new("shards")?;
    here.create_topics(13, "").await;
    here.migrate().await;
    for offset in 0..10 {
        here.send("otlp_spans", 1, "", format!("record {offset}").as_bytes()).await;
    }
    here.journal(&commit(0, 1)).await;
    here.journal(&ShardCommit { next_offset: 10, low_watermark: 2, ..commit(1, 1) }).await;
    here.delete_spans(1, 5).await;
    here.journal(&ShardCommit { next_offset: 7, low_watermark: 7, ..commit(2, 1) }).await;
    here.send("flow_deltas", 3, "", b"somebody has worked").await;
    here.journal(&ShardCommit { commits_back: 30, begins_anew: false, ..commit(4, 50) }).await;
    here.journal(&ShardCommit { core_version: "0.0.1".to_owned(), ..commit(5, 1) }).await;
    here.journal(&ShardCommit { config_hash: 1, ..commit(6, 1) }).await;
    here.journal(&ShardCommit { digest: 99, ..commit(7, 1) }).await;
    here.journal(&commit(8, 1)).await;
    here.send("flow_state", 8, "what is this", b"\xff\xff").await;
    here.journal(&commit(9, 1)).await;
    here.journal(&commit(9, 3)).await;
    here.send("flow_journal", 10, "", b"\xff\xff").await;
    here.journal(&ShardCommit { drained: true, ..commit(11, 4) }).await;
    here.journal(&ShardCommit { clock_us: now_us() - 60_000_000, ..commit(12, 4) }).await;
    here.send("otlp_spans", 12, "", b"waiting").await;

    let answer = here.doctor(&[]);
    assert_eq!(answer.code, Some(2));
    let (level, what) = answer.of("shard 12");
    assert_eq!(level, "degraded");
    assert!(
        what.starts_with("its last commit, 4, is 6") && what.ends_with("s old in log time, 1 records wait"),
        "{what}"
    );
    assert_eq!(answer.of("shard 0").0, "ok", "{:#}", answer.report);
    assert_eq!((answer.of("shard 7").0, answer.of("shard 8").0), ("ok", "ok"), "only rebuilding shows more");
    assert_eq!(answer.of("shard 11").0, "degraded");
    assert_eq!(answer.of("processors").0, "degraded");
    let rebuilt = here.doctor(&["--rebuild"]);
    let sentences = rebuilt.refusals();
    assert_eq!(sentences.len(), 10, "{sentences:#?}");
    let before = here.doctor(&["--rebuild"]);
    assert_eq!(before.refusals(), sentences, "looking has changed nothing");

    // The processor says the same, and goes on with the other shards.
    here.processor_says(&sentences);
    here.drop().await;
    Some(sentences)
}

/// Topics that are missing, set wrong, or of different counts.
async fn topics() -> BTreeSet<String> {
    let mut sentences = BTreeSet::new();
    let here = Installation::new("topics").unwrap();
    here.migrate().await;
    let mut refused = || {
        let answer = here.doctor(&[]);
        assert_eq!((answer.code, answer.of("topics").0), (Some(2), "refused"), "{:#}", answer.report);
        sentences.extend(answer.refusals());
        answer.of("topics").1.to_owned()
    };
    refused();
    here.create_topics(2, "flow_journal").await;
    assert!(refused().ends_with("flow_journal doesn't exist; `weir topics` creates it"));
    here.create_topic("flow_journal", 3, "compact", "CreateTime").await;
    let setting = refused();
    assert!(here.processor(&[]).contains(&setting), "{setting}");
    here.delete_topic("flow_journal").await;
    here.create_topic("flow_journal", 3, "delete", "CreateTime").await;
    let counts = refused();
    assert!(here.processor(&[]).contains(&counts), "{counts}");
    here.drop().await;
    sentences
}

/// Tables of a newer program, tables that forget tokens, and a table that is gone.
async fn tables() -> BTreeSet<String> {
    let here = Installation::new("tables").unwrap();
    let mut sentences = BTreeSet::new();
    assert_eq!(here.doctor(&[]).of("tables").0, "degraded", "there are none yet");
    here.migrate().await;
    assert_eq!(here.doctor(&[]).of("tables").0, "ok");
    for change in [
        "ALTER TABLE operations_1s MODIFY SETTING non_replicated_deduplication_window = 0",
        "DROP TABLE edges_10m SYNC",
        "INSERT INTO schema_migrations (number, name) VALUES (4000, 'later')",
    ] {
        here.execute(change).await;
        let answer = here.doctor(&[]);
        assert_eq!((answer.code, answer.of("tables").0), (Some(2), "refused"), "{:#}", answer.report);
        sentences.extend(answer.refusals());
    }
    here.drop().await;
    sentences
}

/// One lane of raw spans for each way in which a lane can't go on.
async fn lanes() -> BTreeSet<String> {
    let here = Installation::new("lanes").unwrap();
    here.create_topics(8, "").await;
    here.migrate().await;
    let entry = |partition: i32, changes: Value| {
        let mut entry = json!({
            "lane": partition + 2, "owner": "somebody", "batch": 0, "generation": 1, "schema": 1, "format": 0,
            "done": true, "topic": "otlp_spans", "ranges": [{"partition": partition, "first": 0, "next": 0}],
        });
        entry.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        entry
    };
    let entries = [
        entry(0, json!({})),
        entry(2, json!({"batch": 9})),
        entry(3, json!({"batch": 1, "done": false, "format": 77})),
        entry(4, json!({"schema": 4000})),
        entry(5, json!({"ranges": [{"partition": 5, "first": 0, "next": 50}]})),
        entry(6, json!({"ranges": "all of them"})),
        entry(7, json!({"ranges": [{"partition": 3, "first": 0, "next": 0}]})),
    ];
    for entry in entries {
        let lane = i32::try_from(entry["lane"].as_i64().unwrap()).unwrap();
        here.send("store_journal", lane % 8, &lane.to_string(), entry.to_string().as_bytes()).await;
    }
    let stored = "INSERT INTO store_progress (lane, batch, topic, partition, next_offset) VALUES (3, 5, 'otlp_spans', 1, 0)";
    here.execute(stored).await;

    let answer = here.doctor(&[]);
    assert_eq!(answer.code, Some(2));
    assert_eq!(answer.of("lane 2 of otlp_spans"), ("ok", "batch 0, 0 offsets wait"));
    assert_eq!(answer.of("lane 0 of flow_deltas").0, "ok", "a lane that has not begun");
    assert_eq!(answer.of("stores").0, "degraded");
    let sentences = answer.refusals();
    assert_eq!(sentences.len(), 7, "{sentences:#?}");
    // The store says the same, and goes on with the other lanes.
    here.store_says(&sentences);
    here.drop().await;
    sentences
}

#[test]
fn servers_that_are_away_are_told() {
    let mut doctor = std::process::Command::new(env!("CARGO_BIN_EXE_weir"));
    doctor.args([
        "doctor",
        "--kafka",
        "127.0.0.1:1",
        "--clickhouse",
        "http://127.0.0.1:1",
        "--ready",
        "127.0.0.1:1",
    ]);
    let output = doctor.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in ["Kafka: 127.0.0.1:1", "ClickHouse: http://127.0.0.1:1", "role at 127.0.0.1:1:"] {
        assert!(text.contains(&format!("degraded  {part} doesn't answer")), "{part} in\n{text}");
    }
    assert!(text.ends_with("3 of 3 parts are degraded\n"), "{text}");
}

/// The installation that runs beside the tests, as it is.
#[test]
fn a_running_installation_is_healthy() {
    let variable = |name: &str| std::env::var(name).ok();
    let (Some(kafka), Some(clickhouse), Some(api)) =
        (variable("WEIR_TEST_KAFKA"), variable("WEIR_TEST_CLICKHOUSE"), variable("WEIR_TEST_API"))
    else {
        return println!("skipped: WEIR_TEST_KAFKA, WEIR_TEST_CLICKHOUSE or WEIR_TEST_API is not set");
    };
    let look = || {
        let mut doctor = std::process::Command::new(env!("CARGO_BIN_EXE_weir"));
        doctor.args([
            "doctor",
            "--kafka",
            &kafka,
            "--clickhouse",
            &clickhouse,
            "--ready",
            api.trim_start_matches("http://"),
        ]);
        let output = doctor.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    // It may be busy with what other tests have sent.
    let last = (0..60).map(|_| look()).find(|(code, text)| {
        let is_healthy = *code == Some(0) && text.ends_with("healthy\n");
        if !is_healthy {
            std::thread::sleep(Duration::from_secs(1));
        }
        is_healthy
    });
    let (_, text) = last.unwrap_or_else(|| panic!("{}", look().1));
    assert!(text.lines().rev().skip(1).all(|line| line.starts_with("ok ")), "{text}");
}
