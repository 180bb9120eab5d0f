//! The topic that spans go to: waited for at the start, watched from then on.

use crate::producer::Producer;
use anyhow::bail;
use process::Health;
use rdkafka::error::KafkaError;
use schemas::topics::OTLP_SPANS;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const RETRY_PAUSE: Duration = Duration::from_millis(500);
const WATCH_PAUSE: Duration = Duration::from_secs(5);

/// The topic's partition count, asked for until it is there or the time is over. None if the process is to stop.
///
/// # Errors
/// No broker answers, or the topic is missing.
pub async fn wait_for_partitions(
    producer: &Producer,
    topic: &'static str,
    time: Duration,
    stop: &CancellationToken,
) -> anyhow::Result<Option<u32>> {
    let deadline = Instant::now() + time;
    loop {
        let answer = partitions(producer, topic).await;
        match answer {
            Ok(Some(partitions)) => return Ok(Some(partitions)),
            Ok(None) if Instant::now() > deadline => {
                bail!("Kafka has no topic `{topic}`: create the topics with `weir topics`")
            }
            Err(error) if Instant::now() > deadline => bail!("no Kafka broker answers: {error}"),
            Ok(None) => tracing::debug!(topic, "waiting for the topic"),
            Err(error) => tracing::debug!(%error, "waiting for Kafka"),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = sleep(RETRY_PAUSE) => {}
        }
    }
}

/// Reports until `stop` whether Kafka answers and the topic is still what it was.
pub async fn watch(producer: &Producer, expected: u32, health: &Health, stop: &CancellationToken) {
    let mut before = None;
    while !stop.is_cancelled() {
        let trouble = trouble(partitions(producer, OTLP_SPANS).await, expected);
        if before.as_ref() != Some(&trouble) {
            report(trouble.as_deref(), health);
            before = Some(trouble);
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(WATCH_PAUSE) => {}
        }
    }
}

fn trouble(answer: Result<Option<u32>, KafkaError>, expected: u32) -> Option<String> {
    match answer {
        Ok(Some(partitions)) if partitions == expected => None,
        // Going on keeps traces together that have begun; only a restart takes the new count.
        Ok(Some(partitions)) => {
            Some(format!("{OTLP_SPANS} had {expected} partitions and now has {partitions}"))
        }
        Ok(None) => Some(format!("topic {OTLP_SPANS} is gone")),
        Err(error) => Some(format!("no broker answers: {error}")),
    }
}

fn report(trouble: Option<&str>, health: &Health) {
    match trouble {
        None => tracing::info!("Kafka answers"),
        Some(why) => tracing::warn!(why, "Kafka does not work; requests are answered with a call to retry"),
    }
    health.ready("kafka", trouble.is_none(), trouble.unwrap_or_default());
}

async fn partitions(producer: &Producer, topic: &'static str) -> Result<Option<u32>, KafkaError> {
    let producer = producer.clone();
    spawn_blocking(move || producer.partitions_of(topic)).await.unwrap_or(Err(KafkaError::Canceled))
}
