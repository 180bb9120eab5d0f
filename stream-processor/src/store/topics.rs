//! Waits for the source topics and tells how many partitions they have.

use super::options::Options;
use anyhow::ensure;
use process::Health;
use rdkafka::consumer::{BaseConsumer, Consumer};
use schemas::topics::{FLOW_DELTAS, FLOW_TRACES, OTLP_SPANS, STORE_JOURNAL};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Lane numbers are 16 bits.
const MOST_PARTITIONS: i32 = 10_000;

/// Partition counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Of `flow_deltas`.
    pub deltas: i32,
    /// Of `flow_traces`.
    pub flows: i32,
    /// Of `otlp_spans`.
    pub spans: i32,
    /// Of `store_journal`.
    pub journal: i32,
}

/// Returns once all topics exist, `None` when stopped before: somebody else creates them, at a first start just now.
///
/// # Errors
/// A topic has more partitions than there can be lanes.
pub async fn wait_until_there(
    options: &Options,
    health: &Health,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Found>> {
    let mut told = String::new();
    while !stop.is_cancelled() {
        let asked = options.clone();
        match tokio::task::spawn_blocking(move || look(&asked)).await? {
            Ok(found) => {
                ensure!(
                    found.spans <= MOST_PARTITIONS,
                    "{OTLP_SPANS} has more than {MOST_PARTITIONS} partitions"
                );
                return Ok(Some(found));
            }
            Err(why) => {
                health.ready(super::KAFKA, false, &why);
                if told != why {
                    tracing::warn!("waiting for Kafka: {why}");
                    told = why;
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(ASK_AGAIN_AFTER) => {}
        }
    }
    Ok(None)
}

/// Looks once.
///
/// # Errors
/// The sentence that says which topic is missing, or why Kafka doesn't tell.
pub fn look(options: &Options) -> Result<Found, String> {
    let consumer: BaseConsumer = options.reader().create().map_err(|error| error.to_string())?;
    // All topics are asked for: asking for one by name makes some brokers create it.
    let metadata = consumer.fetch_metadata(None, ANSWER_WITHIN).map_err(|error| error.to_string())?;
    let partitions = |name: &str| {
        let name = options.topic(name);
        let topic =
            metadata.topics().iter().find(|topic| topic.name() == name && !topic.partitions().is_empty());
        topic
            .map(|topic| i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX))
            .ok_or_else(|| format!("the topic {name} doesn't exist; `weir topics` creates it"))
    };
    Ok(Found {
        deltas: partitions(FLOW_DELTAS)?,
        flows: partitions(FLOW_TRACES)?,
        spans: partitions(OTLP_SPANS)?,
        journal: partitions(STORE_JOURNAL)?,
    })
}
