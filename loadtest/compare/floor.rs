//! The floor: what reading the spans costs whoever wants a graph of them. One thread with a Kafka consumer that
//! decompresses, and one borrowed walk over the fields that a graph needs. They are folded into a checksum, so that none
//! of the work can be left out.

use anyhow::Context as _;
use process::KafkaOptions;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::io::Write as _;
use std::thread;
use std::time::Duration;

/// Reads so many spans of a topic, says the sum, and waits to be killed.
///
/// # Errors
/// Kafka doesn't answer, or something else than OTLP is in the topic.
pub fn run(kafka: &KafkaOptions, topic: &str, partitions: u32, spans: u64) -> anyhow::Result<()> {
    let mut client = kafka.client();
    client.set("group.id", "floor").set("enable.auto.commit", "false").set("auto.offset.reset", "error");
    // A full queue is looked at again after 10 ms, as in Weir, not after a second of idling.
    client.set("fetch.queue.backoff.ms", "10");
    let consumer: BaseConsumer = client.create()?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions.cast_signed() {
        assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    let mut sum = Sum::default();
    while sum.spans < spans {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            sum.traces(message?.payload().context("a message is empty")?).context("this is not OTLP")?;
        }
    }
    println!("{} spans, checksum {:016x}", sum.spans, sum.fold);
    std::io::stdout().flush()?;
    loop {
        thread::sleep(Duration::MAX);
    }
}

/// What was read.
#[derive(Default)]
struct Sum {
    spans: u64,
    fold: u64,
}

impl Sum {
    fn traces(&mut self, message: &[u8]) -> Option<()> {
        fields(
            message,
            |field, value| if field == 1 { self.resource_spans(value.bytes()?) } else { Some(()) },
        )
    }

    fn resource_spans(&mut self, message: &[u8]) -> Option<()> {
        fields(message, |field, value| match field {
            // Resource: attributes.
            1 => fields(
                value.bytes()?,
                |field, value| if field == 1 { self.attribute(value.bytes()?) } else { Some(()) },
            ),
            // ScopeSpans: spans.
            2 => fields(
                value.bytes()?,
                |field, value| if field == 2 { self.span(value.bytes()?) } else { Some(()) },
            ),
            _ => Some(()),
        })
    }

    fn span(&mut self, message: &[u8]) -> Option<()> {
        self.spans += 1;
        fields(message, |field, value| {
            match (field, value) {
                // trace_id, span_id, parent_span_id, name.
                (1 | 2 | 4 | 5, Value::Bytes(bytes)) => self.text(bytes),
                // kind, start, end.
                (6..=8, Value::Number(number)) => self.number(number),
                (9, Value::Bytes(attribute)) => self.attribute(attribute)?,
                // Status: code.
                (15, Value::Bytes(status)) => fields(status, |field, value| {
                    if let (3, Value::Number(code)) = (field, value) {
                        self.number(code);
                    }
                    Some(())
                })?,
                _ => {}
            }
            Some(())
        })
    }

    fn attribute(&mut self, message: &[u8]) -> Option<()> {
        let mut is_needed = false;
        fields(message, |field, value| {
            match field {
                1 => is_needed = is_of_graph(value.bytes()?),
                2 if is_needed => fields(value.bytes()?, |field, value| {
                    match (field, value) {
                        (1, Value::Bytes(text)) => self.text(text),
                        (3, Value::Number(number)) => self.number(number),
                        _ => {}
                    }
                    Some(())
                })?,
                _ => {}
            }
            Some(())
        })
    }

    fn number(&mut self, number: u64) {
        self.fold = (self.fold.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    /// The length and both ends; ids wholly.
    fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u64);
        if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
            self.number(u64::from_le_bytes(*first));
            self.number(u64::from_le_bytes(*last));
        }
    }
}

/// Attributes that say who, whom and how it ended.
fn is_of_graph(key: &[u8]) -> bool {
    matches!(
        key,
        b"service.name"
            | b"service.namespace"
            | b"service.version"
            | b"deployment.environment.name"
            | b"http.request.method"
            | b"http.route"
            | b"http.response.status_code"
            | b"server.address"
            | b"error.type"
            | b"rpc.method"
            | b"db.system.name"
            | b"messaging.destination.name"
    )
}

/// A field's value on the wire.
#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Number(_) => None,
        }
    }
}

/// Calls `each` with every field of a protobuf message. `None`: it isn't one, or `each` said so.
#[inline]
fn fields<'a>(mut rest: &'a [u8], mut each: impl FnMut(u64, Value<'a>) -> Option<()>) -> Option<()> {
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut rest)?),
            1 => Value::Number(u64::from_le_bytes(*take(&mut rest, 8)?.first_chunk()?)),
            2 => {
                let length = varint(&mut rest)?;
                Value::Bytes(take(&mut rest, usize::try_from(length).ok()?)?)
            }
            5 => Value::Number(u32::from_le_bytes(*take(&mut rest, 4)?.first_chunk()?).into()),
            _ => return None,
        };
        each(tag >> 3, value)?;
    }
    Some(())
}

#[inline]
fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

#[inline]
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Workload;
    use opentelemetry_proto::tonic::common::v1::any_value;
    use opentelemetry_proto::tonic::trace::v1::TracesData;
    use prost::Message as _;

    fn traces() -> TracesData {
        let trace = Workload { seed: 1, services: 100, is_rooted: true }.trace(0);
        TracesData { resource_spans: trace.resource_spans(1 << 60) }
    }

    fn sum_of(traces: &TracesData) -> (u64, u64) {
        let mut sum = Sum::default();
        sum.traces(&traces.encode_to_vec()).unwrap();
        (sum.spans, sum.fold)
    }

    #[test]
    fn every_field_that_a_graph_needs_changes_the_sum() {
        use opentelemetry_proto::tonic::trace::v1::Span;
        let (spans, before) = sum_of(&traces());
        assert_eq!(spans, 20);
        let changes: [fn(&mut Span); 8] = [
            |span| span.trace_id[15] ^= 1,
            |span| span.span_id[7] ^= 1,
            |span| span.parent_span_id[0] ^= 1,
            |span| span.name.push('!'),
            |span| span.kind += 1,
            |span| span.start_time_unix_nano += 1,
            |span| span.end_time_unix_nano += 1,
            |span| span.status.as_mut().unwrap().code = 1,
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut changed = traces();
            change(&mut changed.resource_spans[3].scope_spans[0].spans[0]);
            assert_ne!(sum_of(&changed).1, before, "change {number}");
        }
        let mut renamed = traces();
        let name = &mut renamed.resource_spans[3].resource.as_mut().unwrap().attributes[0].value;
        name.as_mut().unwrap().value = Some(any_value::Value::StringValue("somebody-else".to_owned()));
        assert_ne!(sum_of(&renamed).1, before);
    }

    #[test]
    fn what_is_cut_off_is_no_message() {
        let whole = traces().encode_to_vec();
        assert!(Sum::default().traces(&whole[..whole.len() - 1]).is_none());
    }
}
