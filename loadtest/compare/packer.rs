//! Traces into messages, each partition's for itself.

use crate::workload::Trace;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, TracesData};
use prost::Message as _;
use schemas::topics::partition_of;
use std::time::{SystemTime, UNIX_EPOCH};

/// How spans are put into messages.
#[derive(Clone, Copy, Debug)]
pub struct Packing {
    /// Traces that are in the making at once in a partition.
    pub traces: usize,
    /// What a message holds.
    pub message: Holds,
    /// `compression.type`.
    pub compression: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// All of these traces, without a key, as `ingest` packs them.
    Traces,
    /// One span; those of the traces take turns.
    Span,
}

/// One message of a topic of spans.
pub struct Message {
    pub partition: u32,
    pub key: Option<String>,
    pub value: Vec<u8>,
}

/// Collects traces until there are enough for a message.
pub struct Packer {
    packing: Packing,
    waiting: Vec<Vec<Trace>>,
}

impl Packer {
    pub fn new(packing: Packing, partitions: u32) -> Self {
        Self { packing, waiting: (0..partitions).map(|_| Vec::new()).collect() }
    }

    /// Hands over the messages that are due with this trace. Its spans end when they are.
    pub fn add(
        &mut self,
        trace: Trace,
        each: &mut impl FnMut(Message) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let partition = partition_of(trace.id, self.waiting.len() as u32);
        let waiting = &mut self.waiting[partition as usize];
        waiting.push(trace);
        if waiting.len() < self.packing.traces {
            return Ok(());
        }
        let traces = std::mem::take(waiting);
        self.pack(partition, &traces, each)
    }

    /// Hands over what is left.
    pub fn finish(mut self, each: &mut impl FnMut(Message) -> anyhow::Result<()>) -> anyhow::Result<()> {
        for partition in 0..self.waiting.len() {
            let traces = std::mem::take(&mut self.waiting[partition]);
            if !traces.is_empty() {
                self.pack(partition as u32, &traces, each)?;
            }
        }
        Ok(())
    }

    fn pack(
        &self,
        partition: u32,
        traces: &[Trace],
        each: &mut impl FnMut(Message) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let ends_ns = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
        let key = |trace: &Trace| format!("{:032x}", trace.id);
        let message = |key, resource_spans: Vec<ResourceSpans>| Message {
            partition,
            key,
            value: TracesData { resource_spans }.encode_to_vec(),
        };
        match self.packing.message {
            Holds::Traces => {
                let spans = traces.iter().flat_map(|trace| trace.resource_spans(ends_ns)).collect();
                // One trace is keyed, as the collector's exporter does it.
                each(message(traces.first().filter(|_| traces.len() == 1).map(key), spans))
            }
            Holds::Span => {
                let mut turns: Vec<_> = traces
                    .iter()
                    .map(|trace| (key(trace), trace.single_spans(ends_ns).into_iter()))
                    .collect();
                loop {
                    let mut is_over = true;
                    for (key, spans) in &mut turns {
                        if let Some(span) = spans.next() {
                            is_over = false;
                            each(message(Some(key.clone()), vec![span]))?;
                        }
                    }
                    if is_over {
                        return Ok(());
                    }
                }
            }
        }
    }
}
