//! Spans of the OpenTelemetry Python SDK and of a real Collector lead to the right graph, and the Collector's Kafka
//! exporter chooses the partition that every other producer chooses.
#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};
use schemas::topics::{OTLP_SPANS, partition_of};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Variables that `tools/with-servers` and `tools/environment` set.
const NEEDED: [&str; 7] = [
    "WEIR_TEST_KAFKA",
    "WEIR_TEST_CLICKHOUSE",
    "WEIR_TEST_GRPC",
    "WEIR_TEST_HTTP",
    "WEIR_TEST_API",
    "WEIR_TEST_PYTHON",
    "WEIR_TEST_OTELCOL",
];

#[test]
fn real_clients_are_understood_and_the_collector_partitions_as_we_do() {
    if let Some(missing) = NEEDED.iter().find(|name| std::env::var_os(name).is_none()) {
        println!("skipped: real clients: {missing} is not set (tools/with-servers sets it)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ids_file = folder.path().join("trace-ids");
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/run");
    let output = Command::new(clients).arg(&ids_file).output().unwrap();
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "a check of loadtest/clients failed");

    let ids = std::fs::read_to_string(ids_file).unwrap();
    let ids: BTreeSet<&str> = ids.lines().collect();
    let (partitions, records) = keyed_records(&std::env::var("WEIR_TEST_KAFKA").unwrap());
    let through_collector: BTreeMap<&str, BTreeSet<i32>> =
        ids.iter().filter_map(|id| Some((*id, records.get(*id)?.clone()))).collect();
    assert!(
        through_collector.len() >= 60,
        "only {} trace ids came through the collector",
        through_collector.len()
    );
    for (id, chosen) in through_collector {
        let ours = partition_of(u128::from_str_radix(id, 16).unwrap(), partitions);
        assert_eq!(
            chosen,
            BTreeSet::from([i32::try_from(ours).unwrap()]),
            "trace {id} of {partitions} partitions"
        );
    }
}

/// Partition count of `otlp_spans`, and the partitions of every key in it.
fn keyed_records(brokers: &str) -> (u32, BTreeMap<String, BTreeSet<i32>>) {
    let consumer: BaseConsumer = process::KafkaOptions::plaintext(brokers)
        .client()
        .set("group.id", "loadtest-clients")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(OTLP_SPANS), Duration::from_secs(20)).unwrap();
    let mut unread: BTreeSet<i32> =
        metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect();
    let partitions = u32::try_from(unread.len()).unwrap();
    let mut list = TopicPartitionList::new();
    for partition in &unread {
        list.add_partition_offset(OTLP_SPANS, *partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut keys: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    while !unread.is_empty() {
        match consumer.poll(Duration::from_secs(20)).expect("Kafka answers") {
            Ok(record) => {
                if let Some(key) = record.key() {
                    let key = String::from_utf8_lossy(key).into_owned();
                    keys.entry(key).or_default().insert(record.partition());
                }
            }
            Err(KafkaError::PartitionEOF(partition)) => {
                unread.remove(&partition);
            }
            Err(problem) => panic!("{OTLP_SPANS} can't be read: {problem}"),
        }
    }
    (partitions, keys)
}
