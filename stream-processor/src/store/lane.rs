//! Lanes: what the store handles as one. Changes of the graph are merged over all shards, so `flow_deltas` is one
//! lane, and so is `flow_traces`; raw spans have one lane a partition.

use super::content::Content;
use super::deltas::Deltas;
use super::flows::Flows;
use super::sequence::Sequences;
use super::spans::Spans;
use schemas::topics;

/// Which topic a lane reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `flow_deltas`, all partitions.
    Deltas,
    /// `flow_traces`, all partitions.
    Flows,
    /// One partition of `otlp_spans`.
    Spans,
}

/// A fixed set of partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Its number: in tokens, in `lane` columns, in the journal.
    pub number: u16,
    /// What it reads.
    pub source: Source,
    /// The partitions it reads.
    pub partitions: Vec<i32>,
}

/// Lanes by the partition counts of the source topics. A partition keeps its lane for ever: topics never grow.
pub fn lanes(deltas: i32, flows: i32, spans: i32) -> Vec<Lane> {
    let mut lanes = vec![
        Lane { number: 0, source: Source::Deltas, partitions: (0..deltas).collect() },
        Lane { number: 1, source: Source::Flows, partitions: (0..flows).collect() },
    ];
    lanes.extend((0..spans).zip(2..).map(|(partition, number)| Lane {
        number,
        source: Source::Spans,
        partitions: vec![partition],
    }));
    lanes
}

impl Lane {
    /// Its name in health answers.
    pub fn part(&self) -> String {
        format!("lane {} of {}", self.number, self.source.topic())
    }

    /// The partition of `store_journal` that its entries are in, of so many.
    pub fn journal(&self, partitions: i32) -> i32 {
        i32::from(self.number) % partitions
    }
}

impl Source {
    /// The topic, without prefix.
    pub fn topic(self) -> &'static str {
        match self {
            Self::Deltas => topics::FLOW_DELTAS,
            Self::Flows => topics::FLOW_TRACES,
            Self::Spans => topics::OTLP_SPANS,
        }
    }

    /// An empty batch of this source.
    pub fn content(self, sequences: Sequences, raw_deltas: bool) -> Box<dyn Content> {
        match self {
            Self::Deltas => Box::new(Deltas::new(sequences, raw_deltas)),
            Self::Flows => Box::new(Flows::default()),
            Self::Spans => Box::new(Spans::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_is_in_exactly_one_lane() {
        let lanes = lanes(2, 2, 3);
        let flat: Vec<_> = lanes
            .iter()
            .flat_map(|lane| {
                lane.partitions.iter().map(|partition| (lane.number, lane.source.topic(), *partition))
            })
            .collect();
        let expected = [
            (0, "flow_deltas", 0),
            (0, "flow_deltas", 1),
            (1, "flow_traces", 0),
            (1, "flow_traces", 1),
            (2, "otlp_spans", 0),
            (3, "otlp_spans", 1),
            (4, "otlp_spans", 2),
        ];
        assert_eq!(flat, expected);
    }
}
