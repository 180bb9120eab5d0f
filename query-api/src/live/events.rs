//! Passes on `flow_events` as they come. Nothing of them is kept: whoever isn't there misses
//! them.

use super::feed::{consumer, partitions};
use super::learnt::Learnt;
use crate::hub::Hub;
use anyhow::bail;
use process::KafkaOptions;
use prost::Message as _;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message, Offset, TopicPartitionList};
use schemas::v1::FlowEvent;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const POLL: Duration = Duration::from_millis(100);
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Starts the thread that reads the topic from its end on.
///
/// # Errors
/// The system refuses a thread.
pub fn follow(
    kafka: KafkaOptions,
    topic: String,
    hub: Arc<Hub>,
    stop: CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    let following = move || {
        while !stop.is_cancelled() {
            if let Err(reason) = session(&kafka, &topic, &hub, &stop) {
                tracing::warn!(reason = format!("{reason:#}"), "can't follow flow_events, starting over");
                std::thread::sleep(AGAIN_AFTER);
            }
        }
    };
    Ok(std::thread::Builder::new().name("flow_events".to_owned()).spawn(following)?)
}

fn session(kafka: &KafkaOptions, topic: &str, hub: &Hub, stop: &CancellationToken) -> anyhow::Result<()> {
    let consumer = consumer(kafka)?;
    let mut ends = TopicPartitionList::new();
    for partition in 0..partitions(&consumer, topic)? {
        ends.add_partition_offset(topic, partition, Offset::End)?;
    }
    consumer.assign(&ends)?;
    let mut learnt = Learnt::default();
    while !stop.is_cancelled() {
        match consumer.poll(POLL) {
            Some(Ok(message)) => match FlowEvent::decode(message.payload().unwrap_or_default()) {
                Ok(event) => {
                    let mut event = event.into();
                    learnt.tell(&mut event);
                    hub.event(event);
                }
                Err(error) => tracing::warn!(offset = message.offset(), %error, "undecodable flow event"),
            },
            Some(Err(KafkaError::PartitionEOF(_))) | None => {}
            Some(Err(error)) if is_lasting(&error) => bail!("reading failed: {error}"),
            // librdkafka mends lost connections itself.
            Some(Err(error)) => tracing::debug!(%error, "reading flow_events"),
        }
    }
    Ok(())
}

fn is_lasting(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::Fatal
        )
    )
}
