//! What the tests of this folder share.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ingest::Options;
use ingest::answer::Format;
use ingest::dead_letters::DeadLetters;
use ingest::encoding::Encoding;
use ingest::metrics::Metrics;
use ingest::prepare::{Intake, PrepareLimits, Prepared};
use ingest::pressure::Pressure;
use ingest::producer::Producer;
use ingest::receiver::Receiver;
use ingest::refusal::Refusal;
use ingest::sink::Sink;
use prometheus_client::registry::Registry;
use std::path::PathBuf;
use std::sync::Arc;

pub const PARTITIONS: u32 = 2;

/// Options for a Kafka that isn't there: enough for every answer that needs none, and for those that tell so.
pub fn without_kafka() -> Options {
    let mut options = Options::new(process::KafkaOptions::plaintext("127.0.0.1:1"));
    options.ack_timeout_ms = 300;
    options
}

/// The receiver that `ingest::run` would build, with real writers that find no broker.
pub fn receiver(options: &Options) -> (Arc<Receiver>, Pressure) {
    let pressure = Pressure::new(options.max_memory_bytes);
    let metrics = Metrics::register(&mut Registry::default(), pressure.clone());
    let producer = Producer::new(options).unwrap();
    let (sink, mut lanes) = Sink::start(&producer, PARTITIONS, options.packing(), &metrics);
    lanes.detach_all();
    let (dead_letters, _) = DeadLetters::start(&producer, options.dead_letters_per_second, &metrics);
    let limits = options.receiver_limits(PARTITIONS);
    (Arc::new(Receiver::new(limits, pressure.clone(), sink, dead_letters, metrics)), pressure)
}

/// What becomes of a body before Kafka sees it.
pub fn prepare(body: impl Into<Vec<u8>>, format: Format) -> Result<Prepared, Refusal> {
    let limits = PrepareLimits { body_bytes: 20 << 20, fragment_bytes: 900_000, partitions: PARTITIONS };
    let charge = Pressure::new(256 << 20).enter().unwrap();
    Intake { wire: body.into().into(), encoding: Encoding::Identity, format, charge }.prepare(limits)
}

/// The folder of shared test data, or none, told on the terminal.
pub fn data() -> Option<PathBuf> {
    let beside_the_repository = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let folder =
        std::env::var_os("WEIR_TEST_DATA").map_or_else(|| beside_the_repository.into(), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("SKIPPED: no test data at {}; set WEIR_TEST_DATA", folder.display());
    None
}

/// One row of `wire_samples.ndjson`: a name, requests in protobuf, and how many spans they hold if that is known.
pub struct Sample {
    pub name: String,
    pub requests: Vec<Vec<u8>>,
    pub spans: Option<u64>,
}

pub fn wire_samples(data: &std::path::Path) -> Vec<Sample> {
    let text = std::fs::read_to_string(data.join("otlp/wire_samples.ndjson")).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let sample = |row: serde_json::Value| {
        let encoded = match &row["otlp_pb_base64"] {
            serde_json::Value::Array(requests) => requests.clone(),
            one => vec![one.clone()],
        };
        let decode = |text: &serde_json::Value| BASE64_STANDARD.decode(text.as_str().unwrap()).unwrap();
        let name = row["file"].as_str().or(row["case"].as_str()).unwrap().to_owned();
        Sample { name, requests: encoded.iter().map(decode).collect(), spans: row["spans"].as_u64() }
    };
    rows.map(sample).collect()
}
