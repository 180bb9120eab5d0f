//! What the accuracy tests share: where the data is, and the graph that a shard makes of documents.
#![allow(dead_code, clippy::unwrap_used)] // every test file uses a part; a test stops where it is wrong

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use opentelemetry_proto::tonic::trace::v1::TracesData;
use reader::{FileReport, Read, Semconv};
use serde_json::Value as Json;
use stitcher::delta::{EdgeCounts, NodeKind};
use stitcher::histogram::Histogram;
use stitcher::{Commit, Settings, Shard};

/// A file of the shared data: `../shared/data` beside the repository, or `WEIR_TEST_DATA`. `None`, said aloud,
/// where the data isn't there.
pub fn data(file: &str) -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let folder = std::env::var_os("WEIR_TEST_DATA").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let path = folder.join(file);
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: {} is missing (set WEIR_TEST_DATA to the folder of test data)", path.display());
    None
}

/// A JSON file of the shared data.
pub fn json(path: &Path) -> Json {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Documents of a trace file.
pub fn documents(path: &Path) -> (Vec<TracesData>, FileReport) {
    let mut documents = Vec::new();
    let report = reader::read_file(path, &mut |document| documents.push(document)).unwrap();
    (documents, report)
}

/// (kind, name) of a node.
pub type Node = (NodeKind, String);

/// A graph by names.
#[derive(Default, Debug)]
pub struct Graph {
    pub edges: BTreeMap<(Node, Node), EdgeCounts>,
    pub counters: BTreeMap<&'static str, u64>,
    pub flows: i64,
    pub read: Read,
}

impl Graph {
    /// Feeds every document as one record, closes everything, and adds up.
    pub fn of(documents: &[TracesData]) -> Self {
        let semconv = Semconv::embedded();
        let mut shard = Shard::new(settings());
        let mut read = Read::default();
        for (document, offset) in documents.iter().zip(0..) {
            shard.begin_record(offset, 0);
            read.add(&reader::spans_of(&semconv, document, &mut |span| shard.apply(span)));
        }
        shard.settle_all();
        let mut graph = Self { read, ..Self::default() };
        graph.add(&shard.commit());
        graph
    }

    /// Adds a commit.
    pub fn add(&mut self, commit: &Commit) {
        for (key, counts) in &commit.deltas.edges {
            let node = |node: &stitcher::delta::Node| (node.kind, node.name.to_string());
            add_edge(self.edges.entry((node(&key.client), node(&key.server))).or_default(), counts);
        }
        for (_, counts) in &commit.deltas.operations {
            self.flows += counts.flows;
        }
        for (name, count) in &commit.counters {
            *self.counters.entry(name).or_default() += count;
        }
    }

    /// Sums of the edges between two names, whatever their kinds.
    pub fn edge(&self, client: &str, server: &str) -> EdgeCounts {
        let mut sums = EdgeCounts::default();
        for ((from, to), counts) in &self.edges {
            if from.1 == client && to.1 == server {
                add_edge(&mut sums, counts);
            }
        }
        sums
    }

    /// Calls and errors between nodes that aren't invented for want of a span.
    pub fn known_edges(&self) -> BTreeMap<(String, String), (i64, i64)> {
        let mut known = BTreeMap::new();
        for ((client, server), counts) in &self.edges {
            let invented = |node: &Node| matches!(node.0, NodeKind::User | NodeKind::Unknown);
            if counts.calls != 0 && !invented(client) && !invented(server) {
                let sums: &mut (i64, i64) = known.entry((client.1.clone(), server.1.clone())).or_default();
                sums.0 += counts.calls;
                sums.1 += counts.errors;
            }
        }
        known
    }
}

/// Nothing is forgotten, nothing published.
pub fn settings() -> Settings {
    let mut settings =
        Settings { events_per_second: 0, graph_sample_milli: 0, slow_us: i64::MAX, ..Settings::default() };
    settings.limits.open_spans = 10_000_000;
    settings
}

fn add_edge(sums: &mut EdgeCounts, counts: &EdgeCounts) {
    sums.calls += counts.calls;
    sums.errors += counts.errors;
    sums.client_errors += counts.client_errors;
    sums.retries += counts.retries;
    sums.timeouts += counts.timeouts;
    sums.rejected += counts.rejected;
    sums.messages += counts.messages;
    sums.paired += counts.paired;
    sums.callee_latency.merge(&counts.callee_latency, 1);
    sums.caller_latency.merge(&counts.caller_latency, 1);
    sums.wait.merge(&counts.wait, 1);
}

/// Whether a histogram's nearest-rank percentiles are within 1 % of these, in µs.
pub fn assert_percentiles(what: &str, histogram: &Histogram, expected_us: &[(f64, f64)]) {
    for (q, expected) in expected_us {
        let got = histogram.quantile(*q) as f64;
        assert!(
            (got - expected).abs() <= expected * 0.01,
            "{what}: q {q} is {got} µs, expected {expected} µs"
        );
    }
}

/// `{"p50": …, "p90": …}` of an expectation, in µs after `scale`.
pub fn expected_percentiles(json: &Json, scale: f64) -> Vec<(f64, f64)> {
    let names = [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)];
    names.iter().map(|(name, q)| (*q, json[*name].as_f64().unwrap() * scale)).collect()
}

/// `(parent, child)` of an expected edge.
pub fn ends(edge: &Json) -> (String, String) {
    (edge["parent"].as_str().unwrap().to_owned(), edge["child"].as_str().unwrap().to_owned())
}

impl Graph {
    /// Every edge, for messages.
    pub fn edges_for_people(&self) -> String {
        let edge = |(ends, counts): (&(Node, Node), &EdgeCounts)| {
            let ((from, client), (to, server)) = ends;
            format!(
                "{client}({}) -> {server}({}): {} calls, {} errors",
                from.as_str(),
                to.as_str(),
                counts.calls,
                counts.errors
            )
        };
        self.edges.iter().map(edge).collect::<Vec<_>>().join("; ")
    }
}
