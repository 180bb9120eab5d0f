//! Starts that would not be exact are refused, and what each refusal names mends it.

#![allow(clippy::unwrap_used)] // test code; clippy looks for it in functions marked as tests only

mod processor_river;

use processor_river::spans::{first_half, second_half, traces};
use processor_river::{River, wait};
use schemas::topics;
use stream_processor::processor::{FirstBoot, Options, RecordAt};

fn gateway_to_auth(river: &River) -> i64 {
    river.calls().get(&("gateway".to_owned(), "auth".to_owned())).copied().unwrap_or_default()
}

/// Runs a processor over so many new traces, and stops it.
async fn count_more(river: &River, options: Options, series: u64, many: u64) {
    let before = gateway_to_auth(river);
    let processor = river.start(options);
    processor.wait_live(river.partitions as usize).await;
    river.send_packed(&traces(series, many));
    wait("the new calls", || gateway_to_auth(river) == before + many as i64).await;
    processor.stop().await.unwrap();
}

async fn refusal(river: &River, options: Options) -> String {
    river.start(options).end().await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_settings_made_is_refused_until_it_may_be_given_up() {
    let Some(river) = River::new("foreign", 1).await else { return };
    let processor = river.start(river.options());
    processor.wait_live(1).await;
    river.send_packed(&traces(1, 50));
    wait("50 calls", || gateway_to_auth(&river) == 50).await;
    processor.stop().await.unwrap();

    let other = || Options { default_environment: "staging".to_owned(), ..river.options() };
    let refused = river.start(other()).end().await.unwrap_err().to_string();
    assert!(refused.contains("other settings") && refused.contains("--accept-gap"), "{refused}");
    let processor = river.start(Options { accept_gap: true, ..other() });
    processor.wait_live(1).await;
    river.send_packed(&traces(2, 50));
    wait("100 calls", || gateway_to_auth(&river) == 100).await;
    processor.stop().await.unwrap();

    // Only once: from then on it is its own.
    let processor = river.start(other());
    processor.wait_live(1).await;
    processor.stop().await.unwrap();
    river.assert_no_holes();
    let anew: Vec<u64> =
        river.journal().iter().filter(|commit| commit.begins_anew).map(|commit| commit.seq).collect();
    assert_eq!((anew.len(), anew[0]), (2, 1));
    river.drop_topics().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_boot_from_latest_leaves_out_what_was_there() {
    let Some(river) = River::new("latest", 1).await else { return };
    river.send_packed(&traces(1, 50));
    let options = || Options { first_boot_from: Some(FirstBoot::Latest), ..river.options() };
    let processor = river.start(options());
    processor.wait_live(1).await;
    river.send_packed(&traces(2, 7));
    wait("only the new calls", || gateway_to_auth(&river) == 7).await;
    processor.stop().await.unwrap();

    // Not a first boot any more: what came meanwhile is read.
    river.send_packed(&traces(3, 5));
    let processor = river.start(options());
    wait("what came meanwhile", || gateway_to_auth(&river) == 12).await;
    processor.stop().await.unwrap();
    river.drop_topics().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_shard_is_taken_over_under_other_settings() {
    let Some(river) = River::new("drain", 2).await else { return };
    count_more(&river, river.options(), 1, 50).await;
    let open = traces(2, 50);
    river.send_each(&open, first_half);

    // What came meanwhile is for whoever comes next: only what was read is closed.
    let drain = || Options { drain: true, ..river.options() };
    river.start(drain()).end().await.unwrap();
    let drained: Vec<_> = river.journal().into_iter().filter(|commit| commit.drained).collect();
    assert_eq!(drained.len(), 2);
    assert!(drained.iter().all(|commit| commit.low_watermark == commit.next_offset && commit.digest == 0));
    let mut state = std::collections::BTreeMap::new();
    for record in river.read(topics::FLOW_STATE) {
        use rdkafka::Message;
        state.insert(record.key().unwrap().to_vec(), record.payload().map(<[u8]>::to_vec));
    }
    assert!(state.values().all(Option::is_none), "nothing is left in flow_state: {state:?}");
    river.start(drain()).end().await.unwrap();
    assert_eq!(river.journal().iter().filter(|commit| commit.drained).count(), 2, "once is enough");

    let other = Options { default_environment: "staging".to_owned(), ..river.options() };
    let processor = river.start(other);
    processor.wait_live(2).await;
    river.send_each(&open, second_half);
    wait("all calls", || gateway_to_auth(&river) == 100).await;
    processor.stop().await.unwrap();
    river.assert_no_holes();
    river.drop_topics().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_closes_open_flows_and_says_what_it_waits_for() {
    let Some(river) = River::new("drain-open", 2).await else { return };
    let processor = river.start(river.options());
    processor.wait_live(2).await;
    river.send_each(&traces(1, 50), first_half);
    wait("the calls", || river.calls().values().sum::<i64>() >= 50).await;

    let drain = river.start(Options { drain: true, ..river.options() });
    let waits = || drain.health.reasons().contains("1 belong to other processors");
    wait("one shard is drained", waits).await;
    processor.stop().await.unwrap();
    drain.end().await.unwrap();
    let flows: i64 =
        river.deltas().iter().flat_map(|deltas| &deltas.operations).map(|operation| operation.flows).sum();
    assert_eq!((flows, river.traces().len()), (50, 50), "every open flow is closed, none is told twice");
    river.assert_no_holes();
    river.drop_topics().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_in_quarantine_is_passed_over_and_kept_for_whoever_mends_it() {
    let Some(river) = River::new("quarantine", 1).await else { return };
    let sent = traces(1, 3);
    river.send_each(&sent, first_half);
    let quarantine = vec![RecordAt { partition: 0, offset: 1 }];
    let processor = river.start(Options { quarantine, ..river.options() });
    let from_user = |calls| river.calls().get(&("user".to_owned(), "gateway".to_owned())) == Some(&calls);
    wait("the others", || from_user(2)).await;
    processor.stop().await.unwrap();
    let skipping: Vec<_> = river.journal().into_iter().filter(|commit| !commit.skipped.is_empty()).collect();
    assert_eq!((skipping.len(), &skipping[0].skipped[..], skipping[0].next_offset), (1, &[1][..], 2));
    let letters = river.read(topics::FLOW_DEAD_LETTERS);
    let spans = river.read(topics::OTLP_SPANS);
    use rdkafka::Message;
    assert_eq!((letters.len(), letters[0].payload()), (1, spans[1].payload()));

    // The traces of that moment are still open, so it is met again, and passed over without being told to.
    let processor = river.start(river.options());
    processor.wait_live(1).await;
    river.send_each(&sent, second_half);
    wait("the others are whole", || gateway_to_auth(&river) >= 2).await;
    assert!(from_user(2));
    processor.stop().await.unwrap();
    river.drop_topics().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_is_noticed_however_many_records_it_has() {
    let Some(river) = River::new("anew", 1).await else { return };
    count_more(&river, river.options(), 1, 50).await;
    river.make_anew(topics::OTLP_SPANS).await;
    river.send_packed(&traces(2, 10));
    river.send_packed(&traces(3, 10));

    let refused = refusal(&river, river.options()).await;
    assert!(refused.contains("created anew") && refused.contains("--accept-gap"), "{refused}");
    let processor = river.start(Options { accept_gap: true, ..river.options() });
    wait("all of the new topic is read", || gateway_to_auth(&river) == 70).await;
    processor.stop().await.unwrap();
    count_more(&river, river.options(), 4, 10).await;
    river.assert_numbered();
    river.drop_topics().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_journal_is_no_first_boot() {
    let Some(river) = River::new("lost", 1).await else { return };
    count_more(&river, river.options(), 1, 50).await;
    river.make_anew(topics::FLOW_JOURNAL).await;

    let refused = refusal(&river, river.options()).await;
    assert!(refused.contains("its journal is gone") && refused.contains("--first-boot-from"), "{refused}");
    let latest = Options { first_boot_from: Some(FirstBoot::Latest), ..river.options() };
    count_more(&river, latest, 2, 7).await;
    count_more(&river, river.options(), 3, 5).await;
    river.drop_topics().await;
}
