//! Why a topic can't work, in one sentence each.

use super::Shape;
use schemas::topics::MAX_RECORD_BYTES;
use std::collections::BTreeMap;

/// The faults of topics, each fault once with all topics that have it.
#[derive(Default)]
pub struct Faults {
    topics: BTreeMap<String, Vec<String>>,
}

impl Faults {
    /// Looks at the topic `name` as it is, from what it should be. Retention is the operator's own choice.
    pub fn look(&mut self, name: &str, found: &Shape, wanted: &Shape) {
        for fault in faults(found, wanted) {
            self.topics.entry(fault).or_default().push(name.to_owned());
        }
    }

    /// A topic that is not there.
    pub fn missing(&mut self, name: &str) {
        let fault = "not there; `weir topics` without --check creates it".to_owned();
        self.topics.entry(fault).or_default().push(name.to_owned());
    }

    /// One sentence a fault; empty where every topic is fit.
    pub fn sentences(&self) -> Vec<String> {
        self.topics.iter().map(|(fault, names)| format!("{}: {fault}", names.join(", "))).collect()
    }
}

fn faults(found: &Shape, wanted: &Shape) -> Vec<String> {
    let mut faults = Vec::new();
    if found.partitions != wanted.partitions {
        faults.push(format!(
            "{} partitions, not {}; a topic's count is fixed for its life, because another one would send a trace's \
             later spans to another partition: ask for the count it has, or begin with new topics",
            found.partitions, wanted.partitions
        ));
    }
    if found.cleanup != wanted.cleanup {
        let loss =
            if wanted.cleanup == "delete" { "compaction drops records" } else { "old state gets deleted" };
        faults.push(format!("cleanup.policy={}, with which {loss}: set {}", found.cleanup, wanted.cleanup));
    }
    if found.timestamp != wanted.timestamp {
        faults.push(format!(
            "message.timestamp.type={}, but Weir's clock relies on the other: set {}",
            found.timestamp, wanted.timestamp
        ));
    }
    if found.max_message_bytes <= MAX_RECORD_BYTES {
        faults.push(format!(
            "max.message.bytes={}, but records have up to {MAX_RECORD_BYTES} bytes: set {} or more",
            found.max_message_bytes, wanted.max_message_bytes
        ));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape {
            partitions: 2,
            cleanup: "delete".to_owned(),
            timestamp: "LogAppendTime".to_owned(),
            max_message_bytes: 1_048_588,
            retention_ms: Some(86_400_000),
        }
    }

    fn sentences(found: &[(&str, Shape)]) -> Vec<String> {
        let mut faults = Faults::default();
        for (name, found) in found {
            faults.look(name, found, &shape());
        }
        faults.sentences()
    }

    #[test]
    fn a_fit_topic_has_no_faults_whatever_its_retention() {
        let found = Shape { retention_ms: Some(-1), max_message_bytes: 2_000_000, ..shape() };
        assert_eq!(sentences(&[("otlp_spans", found)]), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_one_sentence_with_its_mend() {
        for (found, parts) in [
            (Shape { partitions: 3, ..shape() }, ["otlp_spans: 3 partitions, not 2", "fixed for its life"]),
            (Shape { cleanup: "compact".to_owned(), ..shape() }, ["cleanup.policy=compact", "set delete"]),
            (
                Shape { timestamp: "CreateTime".to_owned(), ..shape() },
                ["type=CreateTime", "set LogAppendTime"],
            ),
            (Shape { max_message_bytes: 65_536, ..shape() }, ["max.message.bytes=65536", "set 1048588"]),
        ] {
            let sentences = sentences(&[("otlp_spans", found)]);
            assert_eq!(sentences.len(), 1, "{sentences:?}");
            assert!(parts.iter().all(|part| sentences[0].contains(part)), "{sentences:?}");
        }
    }

    #[test]
    fn topics_with_the_same_fault_share_its_sentence() {
        let three = || Shape { partitions: 3, ..shape() };
        let sentences =
            sentences(&[("flow_deltas", three()), ("otlp_spans", three()), ("flow_events", shape())]);
        assert_eq!(sentences.len(), 1, "{sentences:?}");
        assert!(sentences[0].starts_with("flow_deltas, otlp_spans: 3 partitions"), "{sentences:?}");
    }
}
