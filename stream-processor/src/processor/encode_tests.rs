use super::super::intake::Origin;
use super::super::journal;
use super::*;
use prost::Message;
use std::sync::Arc;
use stitcher::delta::{Node, NodeKind};
use stitcher::flow::{FlowEdge, FlowNode};
use stitcher::{Journaled, StateChange};

const STAMP: Stamp = Stamp { shard: 1, seq: 42, clock_us: 1_700_000_000_123_456 };
const TRACE: TraceId = TraceId(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);

fn trace(services: usize) -> FlowTrace {
    let name = |index: usize| -> Arc<str> { format!("{index}-{}", "x".repeat(240)).into() };
    let place = |index| {
        let (cluster, namespace) = ("eu".into(), "shop".into());
        Arc::new(Node { cluster, namespace, name: name(index), kind: NodeKind::Service })
    };
    let node = |index| FlowNode {
        node: place(index),
        version: "1".into(),
        requests: 1,
        errors: 0,
        duration_us: 10,
        self_us: 5,
        critical_us: 5,
    };
    FlowTrace {
        trace_id: TRACE,
        revision: 1,
        environment: "prod".into(),
        operation: "login".into(),
        status: FlowStatus::Timeout,
        start_us: 7,
        duration_us: 8,
        tail_us: 9,
        spans: 3,
        errors: 1,
        client_errors: 2,
        retries: 3,
        timeouts: 4,
        rejected: 5,
        services: (0..services).map(name).collect(),
        service_nodes: (0..services).map(place).collect(),
        root_service: "web".into(),
        root_namespace: "shop".into(),
        root_name: "POST /login".into(),
        ui_event: "click".into(),
        session_id: "s".into(),
        user_hash: "h".to_owned(),
        weight_milli: 1000,
        complete: true,
        truncated: false,
        graph: Some(FlowGraph {
            nodes: (0..services).map(node).collect(),
            edges: vec![FlowEdge { client: 0, server: 1, calls: 2, ..Default::default() }],
        }),
    }
}

fn event(summary: Option<FlowTrace>) -> FlowEvent {
    FlowEvent {
        kind: FlowEventKind::Complete,
        trace_id: TRACE,
        clock_us: 11,
        environment: "prod".into(),
        operation: "login".into(),
        current_service: "auth".into(),
        current_namespace: "shop".into(),
        current_cluster: "eu".into(),
        elapsed_us: 12,
        sample_milli: 500,
        status: FlowStatus::Timeout,
        spans: 3,
        progress: 100,
        summary,
    }
}

fn commit(events: Vec<FlowEvent>, traces: Vec<FlowTrace>) -> Commit {
    let journaled =
        Journaled { clock_us: STAMP.clock_us, next_offset: 100, low_watermark: 90, ..Journaled::default() };
    Commit { journaled, events, traces, ..Commit::default() }
}

fn written(commit: &Commit, letters: &[DeadLetter]) -> Vec<Record> {
    let beside = journal::Beside { config_hash: 77, ..Default::default() };
    records(STAMP, commit, letters, &journal::records(STAMP, &commit.journaled, beside))
}

fn headers(record: &Record) -> Vec<(String, String)> {
    record.headers.fold(Vec::new(), |mut headers, name, text| {
        headers.push((name.to_owned(), text.to_owned()));
        headers
    })
}

fn value(record: &Record) -> &[u8] {
    record.value.as_deref().expect("a value")
}

fn only(records: &[Record], output: Output) -> &Record {
    let mut found = records.iter().filter(|record| record.output == output);
    let record = found.next().expect("one record");
    assert!(found.next().is_none(), "one record");
    record
}

#[test]
fn a_quiet_commit_is_empty_deltas_and_a_journal_record() {
    let records = written(&commit(vec![], vec![]), &[]);
    assert_eq!(
        records.iter().map(|record| record.output).collect::<Vec<_>>(),
        [Output::Deltas, Output::Journal]
    );
    let journal = v1::ShardCommit::decode(value(&records[1])).unwrap();
    assert_eq!((journal.shard, journal.seq, journal.next_offset, journal.low_watermark), (1, 42, 100, 90));
    assert_eq!((journal.clock_us, journal.config_hash), (STAMP.clock_us, 77));
}

#[test]
fn a_summary_comes_back_from_the_wire_as_it_went() {
    let records = written(&commit(vec![], vec![trace(2)]), &[]);
    let record = only(&records, Output::Traces);
    assert_eq!(record.key.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
    let read = v1::FlowTrace::decode(value(record)).unwrap();
    assert_eq!(read.trace_id, TRACE.0.to_be_bytes());
    assert_eq!((read.shard, read.seq, read.part, read.parts, read.revision), (1, 42, 0, 1, 1));
    assert_eq!((read.environment.as_str(), read.operation.as_str()), ("prod", "login"));
    assert_eq!(
        (read.status(), read.start_us, read.duration_us, read.tail_us),
        (v1::FlowStatus::Timeout, 7, 8, 9)
    );
    let counts = (read.spans, read.errors, read.client_errors, read.retries, read.timeouts, read.rejected);
    assert_eq!(counts, (3, 1, 2, 3, 4, 5));
    assert_eq!((read.root_service.as_str(), read.root_name.as_str()), ("web", "POST /login"));
    assert_eq!(
        (read.ui_event.as_str(), read.session_id.as_str(), read.user_hash.as_str()),
        ("click", "s", "h")
    );
    assert!(read.complete && !read.truncated);
    let place = &read.service_nodes[1];
    assert_eq!((&*place.cluster, &*place.namespace, &*place.name), ("eu", "shop", &*read.services[1]));
    let graph = read.graph.unwrap();
    assert_eq!((graph.nodes.len(), graph.edges[0].calls), (2, 2));
    assert_eq!(graph.nodes[1].kind(), v1::NodeKind::Service);
}

#[test]
fn an_event_carries_its_summary_without_the_graph() {
    let events = vec![event(None), event(Some(trace(2)))];
    let records = written(&commit(events, vec![]), &[]);
    let read: Vec<_> = records
        .iter()
        .filter(|record| record.output == Output::Events)
        .map(|record| v1::FlowEvent::decode(value(record)).unwrap())
        .collect();
    assert_eq!(read.iter().map(|event| (event.part, event.parts)).collect::<Vec<_>>(), [(0, 2), (1, 2)]);
    assert_eq!((read[0].kind(), read[0].progress), (v1::FlowEventKind::Complete, 100));
    assert_eq!((&*read[0].current_namespace, &*read[0].current_cluster), ("shop", "eu"));
    assert!(read[0].summary.is_none());
    let summary = read[1].summary.as_ref().unwrap();
    assert_eq!((summary.operation.as_str(), summary.graph.is_none()), ("login", true));
}

#[test]
fn flow_records_are_cloud_events() {
    let records = written(&commit(vec![event(None)], vec![trace(1)]), &[]);
    let of_trace = headers(only(&records, Output::Traces));
    let header = |name| of_trace.iter().find(|(header, _)| *header == name).map(|(_, text)| &**text);
    assert_eq!(header("ce_specversion"), Some("1.0"));
    assert_eq!(header("ce_type"), Some("weir.flow.trace.v1"));
    assert_eq!(header("ce_source"), Some("/weir/shard/1"));
    assert_eq!(header("ce_id"), Some("trace-1-42-0"));
    assert_eq!(header("ce_time"), Some("2023-11-14T22:13:20.123456Z"));
    assert_eq!(header("content-type"), Some("application/protobuf"));
    let of_event = headers(only(&records, Output::Events));
    assert_ne!(of_event[3], of_trace[3], "ids differ between the two topics");
}

#[test]
fn a_huge_flow_loses_its_graph_and_then_services_but_never_its_record() {
    for (services, graph, named) in [(500, true, 500), (1_500, false, 1_500), (5_000, false, FEWER_SERVICES)]
    {
        let records = written(&commit(vec![], vec![trace(services)]), &[]);
        let record = only(&records, Output::Traces);
        let bytes = value(record).len();
        assert!(bytes <= MAX_RECORD_BYTES, "{services} services: {bytes} bytes");
        let read = v1::FlowTrace::decode(value(record)).unwrap();
        assert_eq!((read.graph.is_some(), read.services.len()), (graph, named));
        assert_eq!(read.service_nodes.len(), named);
    }
}

#[test]
fn state_is_keyed_and_deleted_by_an_empty_record() {
    let change = |key: &str, value| StateChange { key: key.to_owned(), value };
    let state = vec![change("trace/1", Some(vec![7])), change("trace/2", None)];
    let records = written(&Commit { state, ..commit(vec![], vec![]) }, &[]);
    let state: Vec<_> = records.iter().filter(|record| record.output == Output::State).collect();
    assert_eq!((state[0].key.as_deref(), state[0].value.as_deref()), (Some("trace/1"), Some(&[7][..])));
    assert_eq!((state[1].key.as_deref(), state[1].value.as_deref()), (Some("trace/2"), None));
}

#[test]
fn dead_letters_keep_their_head_and_say_why() {
    let origin = Origin { topic: "otlp_spans", partition: 1, offset: 5, appended_us: 0 };
    let letter = DeadLetter::new(&reader::Undecodable::Truncated, origin, b"garbage");
    let records = written(&commit(vec![], vec![]), &[letter]);
    let record = only(&records, Output::DeadLetters);
    assert_eq!((value(record), record.key.as_deref()), (b"garbage".as_slice(), None));
    assert!(headers(record).contains(&("reason".into(), "the message is cut off".into())));
    assert!(headers(record).contains(&("offset".into(), "5".into())));
    let journal = records.last().unwrap();
    assert_eq!(journal.output, Output::Journal, "the journal is written last");
}

#[test]
fn times_are_written_as_rfc_3339() {
    for (time_us, text) in [
        (0, "1970-01-01T00:00:00.000000Z"),
        (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
        (4_102_444_799_999_999, "2099-12-31T23:59:59.999999Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ] {
        assert_eq!(rfc3339(time_us), text);
    }
}
