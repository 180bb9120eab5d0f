//! Several stores on a real Kafka and a real ClickHouse: they share the lanes, take over from each other, and don't
//! take Kafka's own fencing for another store.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

mod store_support;

use rdkafka::producer::{BaseProducer, Producer};
use std::time::Duration;
use store_support::{Database, Running, Topics, deltas, newest_entry, now_s};

const SUM: &str = "SELECT sum(calls) FROM edges_1m";

/// The lanes that this store works on.
fn lanes(store: &Running) -> Vec<String> {
    let parts = store.health.parts().into_iter();
    let ours = parts.filter(|(name, part)| name.starts_with("lane ") && part.ready && part.why.is_empty());
    ours.map(|(name, _)| name).collect()
}

/// Waits until both together have all four lanes and each has some.
async fn wait_until_shared(first: &Running, second: &Running) {
    for _ in 0..600 {
        let (one, other) = (lanes(first).len(), lanes(second).len());
        if one > 0 && other > 0 && one + other == 4 && first.health.is_ready() && second.health.is_ready() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{:?} and {:?}", first.health.parts(), second.health.parts());
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_share_the_lanes_and_take_over_from_each_other() {
    let (Some(database), Some(topics)) = (Database::new("shares"), Topics::new("shares").await) else {
        return;
    };
    let window = now_s() - 30;
    let mut seq = 0;
    let mut first = Running::start(&database, &topics);
    first.wait_ready().await;
    let mut calls = 0;
    for _ in 0..3 {
        let second = Running::start(&database, &topics);
        wait_until_shared(&first, &second).await;
        for _ in 0..20 {
            seq += 1;
            calls += 5;
            topics.send("flow_deltas", 0, &deltas(0, seq, window, 5, 1000)).await;
        }
        // Whoever has the lane is in the middle of it, perhaps.
        first.stop().await;
        database.ask_until(SUM, &[&calls.to_string()]).await;
        first = second;
    }
    first.stop().await;
    database.drop().await;
    topics.drop().await;
}

/// Fences the lane of `flow_deltas`, as its coordinator does when a transaction stays open for too long.
fn fence(topics: &Topics) {
    let mut config = topics.kafka.client();
    config.set("transactional.id", format!("{}weir.store.0", topics.prefix));
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(Duration::from_secs(30)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_store_goes_on_when_the_group_says_that_the_lane_is_its_own() {
    let (Some(database), Some(topics)) = (Database::new("fenced"), Topics::new("fenced").await) else {
        return;
    };
    let window = now_s() - 30;
    let store = Running::start(&database, &topics);
    topics.send("flow_deltas", 0, &deltas(0, 1, window, 1, 1000)).await;
    database.ask_until(SUM, &["1"]).await;
    let owner = newest_entry(&topics, 0)["owner"].clone();

    tokio::task::block_in_place(|| fence(&topics));
    topics.send("flow_deltas", 0, &deltas(0, 2, window, 10, 1000)).await;
    database.ask_until(SUM, &["11"]).await;
    assert_eq!(newest_entry(&topics, 0)["owner"], owner);

    // Somebody takes the lane and goes away.
    tokio::task::block_in_place(|| fence(&topics));
    let mut entry = newest_entry(&topics, 0);
    entry["owner"] = "somebody else".into();
    topics.send_keyed("store_journal", 0, "0", entry.to_string().as_bytes()).await;
    topics.send("flow_deltas", 0, &deltas(0, 3, window, 100, 1000)).await;
    store.says("store somebody else has taken the lane").await;
    database.ask_until(SUM, &["111"]).await;
    assert_eq!(newest_entry(&topics, 0)["owner"], owner);
    store.stop().await;
    database.drop().await;
    topics.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_whose_journal_is_gone_does_not_begin_anew() {
    let (Some(database), Some(topics)) = (Database::new("gone"), Topics::new("gone").await) else { return };
    let window = now_s() - 30;
    topics.send("flow_deltas", 0, &deltas(0, 1, window, 1, 1000)).await;
    let store = Running::start(&database, &topics);
    database.ask_until(SUM, &["1"]).await;
    store.stop().await;
    topics.empty("store_journal").await;
    topics.send("flow_deltas", 0, &deltas(0, 2, window, 10, 1000)).await;

    let store = Running::start(&database, &topics);
    store.says("store_journal has no entry").await;
    store.stop().await;
    let store = Running::start_with(&database, &topics, |options| options.accept_gap = true);
    database.ask_until(SUM, &["11"]).await;
    store.stop().await;
    database.drop().await;
    topics.drop().await;
}

/// As if a backup had been restored.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_older_than_the_tables_is_refused() {
    let (Some(database), Some(topics)) = (Database::new("old"), Topics::new("old").await) else { return };
    let window = now_s() - 30;
    let mut old = None;
    for seq in 1..=2 {
        topics.send("flow_deltas", 0, &deltas(0, seq, window, 1, 1000)).await;
        let store = Running::start(&database, &topics);
        database.ask_until(SUM, &[&seq.to_string()]).await;
        store.stop().await;
        old.get_or_insert_with(|| newest_entry(&topics, 0));
    }
    topics.send_keyed("store_journal", 0, "0", old.unwrap().to_string().as_bytes()).await;
    topics.send("flow_deltas", 0, &deltas(0, 3, window, 10, 1000)).await;

    let store = Running::start(&database, &topics);
    store.says("store_journal has no entry of the last").await;
    store.stop().await;
    let store = Running::start_with(&database, &topics, |options| options.accept_gap = true);
    database.ask_until(SUM, &["12"]).await;
    store.stop().await;
    database.drop().await;
    topics.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_begun_batch_whose_records_are_gone_can_be_given_up() {
    let (Some(database), Some(topics)) = (Database::new("given"), Topics::new("given").await) else { return };
    let window = now_s() - 30;
    topics.send("flow_deltas", 0, &deltas(0, 1, window, 1, 1000)).await;
    let store = Running::start(&database, &topics);
    database.ask_until(SUM, &["1"]).await;
    store.stop().await;
    topics.send("flow_deltas", 0, &deltas(0, 2, window, 2, 1000)).await;
    let mut begun = newest_entry(&topics, 0);
    (begun["batch"], begun["done"]) = (2.into(), false.into());
    begun["ranges"][0]["first"] = begun["ranges"][0]["next"].clone();
    begun["ranges"][0]["next"] = (begun["ranges"][0]["next"].as_i64().unwrap() + 1).into();
    topics.send_keyed("store_journal", 0, "0", begun.to_string().as_bytes()).await;
    topics.empty("flow_deltas").await;
    topics.send("flow_deltas", 0, &deltas(0, 3, window, 10, 1000)).await;

    let store = Running::start(&database, &topics);
    store.says("but the log has only").await;
    store.stop().await;
    let store = Running::start_with(&database, &topics, |options| options.accept_gap = true);
    database.ask_until(SUM, &["11"]).await;
    store.stop().await;
    let store = Running::start(&database, &topics);
    store.wait_ready().await;
    store.stop().await;
    database.drop().await;
    topics.drop().await;
}
