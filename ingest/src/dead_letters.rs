//! Requests that can't be decoded are kept for whoever has to find out why: their head, hash, origin and reason.

use crate::metrics::Metrics;
use crate::producer::{Outgoing, Producer};
use bytes::Bytes;
use rdkafka::message::{Header, OwnedHeaders};
use schemas::topics::FLOW_DEAD_LETTERS;
use sha2::{Digest, Sha256};
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// How much of a request is kept.
pub const HEAD_BYTES: usize = 16 << 10;
/// Letters waiting to be written: at most 1 MiB.
const WAITING: usize = 64;

/// An undecodable request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The first bytes as they came over the wire.
    pub head: Vec<u8>,
    /// How many there were.
    pub length: usize,
    /// SHA-256 of all of them, lower-case hex.
    pub sha256: String,
    /// Why they can't be decoded.
    pub reason: String,
    /// Who sent them and how.
    pub origin: Origin,
}

/// Where a request came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `grpc` or `http`.
    pub protocol: &'static str,
    /// Address of the sender.
    pub peer: String,
    /// Its user agent.
    pub user_agent: String,
    /// Content type and encoding.
    pub content: String,
}

impl Letter {
    /// A letter about `wire`.
    pub fn new(wire: &Bytes, reason: String, origin: Origin) -> Self {
        let head = wire[..wire.len().min(HEAD_BYTES)].to_vec();
        let hash = Sha256::digest(wire);
        let sha256 = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { head, length: wire.len(), sha256, reason, origin }
    }

    fn headers(&self) -> OwnedHeaders {
        let length = self.length.to_string();
        let headers = [
            ("origin", "ingest"),
            ("reason", &self.reason),
            ("sha256", &self.sha256),
            ("length", &length),
            ("protocol", self.origin.protocol),
            ("peer", &self.origin.peer),
            ("user_agent", &self.origin.user_agent),
            ("content", &self.origin.content),
        ];
        headers.into_iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        })
    }
}

/// Takes letters; never waits.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    letters: mpsc::Sender<Letter>,
    metrics: Metrics,
}

impl DeadLetters {
    /// Starts the writer. It writes at most `per_second` letters a second: a broken sender repeats itself, and the
    /// topic is kept for a week. The task ends when the last clone is dropped.
    pub fn start(producer: &Producer, per_second: NonZeroU32, metrics: &Metrics) -> (Self, JoinHandle<()>) {
        let (letters, waiting) = mpsc::channel(WAITING);
        let pause = Duration::from_secs(1) / per_second.get();
        let writer = tokio::spawn(write(producer.clone(), waiting, pause, metrics.clone()));
        (Self { letters, metrics: metrics.clone() }, writer)
    }

    /// Keeps a letter, if there is room.
    pub fn send(&self, letter: Letter) {
        if self.letters.try_send(letter).is_err() {
            self.metrics.dead_letter("dropped");
        }
    }
}

async fn write(producer: Producer, mut waiting: mpsc::Receiver<Letter>, pause: Duration, metrics: Metrics) {
    let mut turns = interval(pause);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while let Some(letter) = waiting.recv().await {
        // No pause while stopping: what waits is bounded.
        if !waiting.is_closed() {
            turns.tick().await;
        }
        let headers = Some(letter.headers());
        let outgoing = Outgoing { topic: FLOW_DEAD_LETTERS, partition: None, value: letter.head, headers };
        match producer.send(outgoing).await {
            Ok(()) => metrics.dead_letter("written"),
            Err(error) => {
                tracing::warn!(%error, reason = letter.reason, "a dead letter could not be written");
                metrics.dead_letter("failed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_keeps_the_head_and_identifies_the_whole() {
        let origin = Origin {
            protocol: "http",
            peer: String::new(),
            user_agent: String::new(),
            content: String::new(),
        };
        let letter = Letter::new(&Bytes::from_static(b"abc"), "no".into(), origin.clone());
        assert_eq!(letter.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((letter.length, &letter.head[..]), (3, &b"abc"[..]));
        let long = Letter::new(&vec![7; 100_000].into(), "no".into(), origin);
        assert_eq!((long.length, long.head.len()), (100_000, HEAD_BYTES));
    }
}
