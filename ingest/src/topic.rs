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
    time: Duration,
    stop: &CancellationToken,
) -> anyhow::Result<Option<u32>> {
    let deadline = Instant::now() + time;
    loop {
        let answer = partitions(producer).await;
        match answer {
            Ok(Some(partitions)) => return Ok(Some(partitions)),
            Ok(None) if Instant::now() > deadline => {
                bail!("Kafka has no topic `{OTLP_SPANS}`: create the topics with `weir topics`")
            }
            Err(error) if Instant::now() > deadline => bail!("no Kafka broker answers: {error}"),
            Ok(None) => tracing::debug!("waiting for topic {OTLP_SPANS}"),
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
    while !stop.is_cancelled() {
        match partitions(producer).await {
            Ok(Some(partitions)) if partitions == expected => health.ready("kafka", true, ""),
            Ok(Some(partitions)) => {
                // Going on keeps traces together that have begun; only a restart takes the new count.
                let why = format!("{OTLP_SPANS} had {expected} partitions and now has {partitions}");
                health.ready("kafka", false, &why);
            }
            Ok(None) => health.ready("kafka", false, "topic otlp_spans is gone"),
            Err(error) => health.ready("kafka", false, &format!("no broker answers: {error}")),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(WATCH_PAUSE) => {}
        }
    }
}

async fn partitions(producer: &Producer) -> Result<Option<u32>, KafkaError> {
    let producer = producer.clone();
    spawn_blocking(move || producer.partitions_of(OTLP_SPANS)).await.unwrap_or(Err(KafkaError::Canceled))
}
