//! Messages (DESIGN 4.2: messaging).

mod support;
use support::{check, settle, table};

#[test]
fn a_topic_is_a_node_of_its_own() {
    check(&[
        (
            "by parent",
            "1 - P shop 0..10 topic=kafka:orders\n 2 1 K mail 20..30 topic=kafka:orders",
            &["shop>topic:kafka:orders 1 m1", "topic:kafka:orders>mail 1 m1"],
        ),
        (
            "by link, in another trace",
            "1 - P shop 0..10 topic=kafka:orders\n 2 - K mail 20..30 topic=kafka:orders trace=2 link=1",
            &["shop>topic:kafka:orders 1 m1", "topic:kafka:orders>mail 1 m1"],
        ),
        (
            "a consumer whose producer is unseen",
            "2 9 K mail 20..30 topic=kafka:orders",
            &["topic:kafka:orders>mail 1 m1"],
        ),
        (
            "the operation outranks the kind",
            "1 - C shop 0..10 topic=sqs:q op=send\n 2 1 S mail 20..30 topic=sqs:q op=process",
            &["shop>topic:sqs:q 1 m1", "topic:sqs:q>mail 1 m1"],
        ),
        (
            "settling is no call",
            "1 - K mail 0..30 topic=sqs:q\n 2 1 C mail 20..25 topic=sqs:q op=settle",
            &["topic:sqs:q>mail 1 m1"],
        ),
        (
            "a client with messaging attributes only is a client",
            "1 - C shop 0..10 topic=kafka:\n 2 1 S pay 2..8",
            &["shop>pay 1"],
        ),
        (
            "neither names a topic",
            "1 - P shop 0..10\n 2 1 K mail 20..30",
            &["shop>unknown 1 ?1", "unknown>mail 1 m1 ?1"],
        ),
        ("failed hand-over", "1 - P shop 0..10 topic=kafka:orders err", &["shop>topic:kafka:orders 1 e1 m1"]),
    ]);
}

#[test]
fn a_message_is_counted_once_on_each_side() {
    check(&[
        (
            "at create rather than send",
            "1 - S shop 0..50
             2 1 P shop 1..2 topic=kafka:orders op=create
             3 1 P shop 3..4 topic=kafka:orders op=create
             4 1 P shop 5..9 topic=kafka:orders op=send batch=2",
            &["shop>topic:kafka:orders 2 m2", "user>shop 1"],
        ),
        (
            "at the innermost process rather than receive",
            "1 - K mail 0..50 topic=kafka:orders op=receive batch=3
             2 1 K mail 1..20 topic=kafka:orders op=process
             3 2 I mail 2..19
             4 3 K mail 3..18 topic=kafka:orders op=process",
            &["topic:kafka:orders>mail 1 m1"],
        ),
        (
            "at receive when nothing says process",
            "1 - C mail 0..50 topic=kafka:orders op=receive batch=3",
            &["topic:kafka:orders>mail 1 m3"],
        ),
        (
            "links count messages too",
            "1 - K mail 0..50 topic=kafka:orders links=5",
            &["topic:kafka:orders>mail 1 m5"],
        ),
    ]);
}

#[test]
fn waiting_is_from_the_producer_s_end_to_the_consumer_s_start() {
    let waits = |text| -> Vec<i64> {
        let commit = settle(&table(text));
        commit
            .deltas
            .edges
            .iter()
            .filter(|(_, counts)| counts.wait.count() > 0)
            .map(|(_, c)| c.wait.sum_us)
            .collect()
    };
    assert_eq!(waits("1 - P shop 0..10 topic=k:o\n 2 1 K mail 30..40 topic=k:o"), [20_000]);
    assert_eq!(waits("1 - P shop 0..10 topic=k:o\n 2 - K mail 30..40 topic=k:o link=1"), [20_000]);
    assert_eq!(
        waits("1 - P shop 0..10 topic=k:o\n 2 1 K mail 5..40 topic=k:o"),
        [0],
        "two clocks: never below 0"
    );
    assert_eq!(waits("2 9 K mail 5..40 topic=k:o"), [0; 0], "the producer's end is not known");
}
