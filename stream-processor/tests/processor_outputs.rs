//! What a processor writes for what it reads, on a real Kafka.

mod processor_river;

use processor_river::spans::traces;
use processor_river::{River, wait};
use rdkafka::Message;
use rdkafka::message::Headers;
use schemas::topics;
use schemas::v1::{FlowEvent, FlowEventKind};
use std::collections::BTreeMap;

fn calls(count: i64) -> BTreeMap<(String, String), i64> {
    let edge = |client: &str, server: &str| ((client.to_owned(), server.to_owned()), count);
    [edge("user", "gateway"), edge("gateway", "auth")].into()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_shapes_of_messages_become_one_exact_graph() {
    let Some(river) = River::new("shapes", 2).await else { return };
    river.send_keyed(&traces(1, 40));
    river.send_packed(&traces(2, 60));
    let processor = river.start(river.options());
    processor.wait_live(2).await;
    wait("the graph of 100 flows", || river.calls() == calls(100)).await;

    // The flows close once their log has been quiet for long enough.
    wait("100 summaries", || river.traces().len() == 100).await;
    for flow in river.traces() {
        assert_eq!((flow.operation.as_str(), flow.revision, flow.spans), ("login", 1, 3));
        assert!(flow.complete, "{flow:?}");
        assert_eq!(flow.services, ["auth", "gateway"]);
    }
    let flows: i64 =
        river.deltas().iter().flat_map(|deltas| &deltas.operations).map(|change| change.flows).sum();
    assert_eq!(flows, 100);
    assert_eq!(river.calls(), calls(100), "the close changes no count");
    processor.stop().await.unwrap();
    river.assert_no_holes();
    river.drop_topics().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_keyed_by_trace_and_are_cloud_events() {
    let Some(river) = River::new("events", 1).await else { return };
    let sent = traces(1, 3);
    river.send_keyed(&sent);
    let processor = river.start(river.options());
    let complete = || {
        let events = river.read(topics::FLOW_EVENTS).into_iter();
        let read = events
            .map(|event| (<FlowEvent as prost::Message>::decode(event.payload().unwrap()).unwrap(), event));
        read.filter(|(event, _)| event.kind() == FlowEventKind::Complete).collect::<Vec<_>>()
    };
    wait("3 completions", || complete().len() == 3).await;
    let mut keys = Vec::new();
    for (event, message) in complete() {
        let key = String::from_utf8(message.key().unwrap().to_vec()).unwrap();
        assert_eq!(u128::from_str_radix(&key, 16).unwrap().to_be_bytes().to_vec(), event.trace_id);
        assert_eq!((event.operation.as_str(), event.progress), ("login", 100));
        assert!(event.summary.unwrap().graph.is_none());
        let headers: BTreeMap<&str, &[u8]> =
            message.headers().unwrap().iter().map(|header| (header.key, header.value.unwrap())).collect();
        assert_eq!(headers["ce_specversion"], b"1.0");
        assert_eq!(headers["ce_type"], b"weir.flow.event.v1");
        keys.push(u128::from_str_radix(&key, 16).unwrap());
    }
    keys.sort_unstable();
    let mut ids: Vec<u128> = sent.iter().map(|trace| trace.id).collect();
    ids.sort_unstable();
    assert_eq!(keys, ids);
    processor.stop().await.unwrap();
    river.drop_topics().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_becomes_dead_letters_and_stops_nothing() {
    let Some(river) = River::new("garbage", 1).await else { return };
    river.send_keyed(&traces(1, 5));
    river.send_bytes(0, &[0xff; 50_000]);
    river.send_bytes(0, b"");
    river.send_keyed(&traces(2, 5));
    let processor = river.start(river.options());
    wait("the graph of 10 flows", || river.calls() == calls(10)).await;
    let letters = river.read(topics::FLOW_DEAD_LETTERS);
    assert_eq!(letters.len(), 1, "an empty record is an empty message, not garbage");
    assert_eq!(letters[0].payload().unwrap(), vec![0xff; 16_384]);
    let headers: BTreeMap<&str, &[u8]> =
        letters[0].headers().unwrap().iter().map(|header| (header.key, header.value.unwrap())).collect();
    assert_eq!(
        (headers["offset"], headers["partition"], headers["length"]),
        (&b"5"[..], &b"0"[..], &b"50000"[..])
    );
    assert_eq!((headers["origin"], headers["sha256"].len()), (&b"processor"[..], 64));
    assert!(!headers["reason"].is_empty());
    processor.stop().await.unwrap();
    river.assert_no_holes();
    river.drop_topics().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_cannot_work_are_refused_in_one_sentence() {
    let wrong = [("otlp_spans", "message.timestamp.type", "CreateTime")];
    let Some(river) = River::with("refused", 1, &wrong).await else { return };
    let refused = river.start(river.options()).end().await.unwrap_err().to_string();
    let topic = river.topic("otlp_spans");
    assert_eq!(
        refused,
        format!("the topic {topic} has message.timestamp.type=CreateTime, it must be LogAppendTime")
    );
    river.drop_topics().await;
}
