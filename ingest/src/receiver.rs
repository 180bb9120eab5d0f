//! One request from its body to Kafka's acknowledgement, the same for both protocols.

use crate::answer::Accepted;
use crate::body::{self, BodyLimits};
use crate::dead_letters::{DeadLetters, Letter, Origin};
use crate::metrics::{Counted, Metrics};
use crate::prepare::{Intake, PrepareLimits, Prepared};
use crate::pressure::{Charge, Pressure};
use crate::refusal::Refusal;
use crate::sink::{Sink, Undelivered};
use axum::body::Body;
use bytes::Bytes;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// From this size on a request is worked on beside the runtime's threads, which have sockets to serve.
const LARGE_BYTES: usize = 64 << 10;

/// Bounds of a request.
#[derive(Debug, Clone, Copy)]
pub struct ReceiverLimits {
    /// What may be made of it.
    pub prepare: PrepareLimits,
    /// From the first to the last byte of its body.
    pub read_time: Duration,
    /// From its fragments to Kafka's acknowledgement.
    pub ack_time: Duration,
}

/// Receives requests. Shared by all connections.
#[derive(Debug)]
pub struct Receiver {
    limits: ReceiverLimits,
    pressure: Pressure,
    sink: Sink,
    dead_letters: DeadLetters,
    metrics: Metrics,
    /// Large requests in work: as many as there are processors, since each may use decompression windows of
    /// megabytes and more of them would not be faster.
    workers: Semaphore,
}

impl Receiver {
    /// Puts the parts together.
    pub fn new(
        limits: ReceiverLimits,
        pressure: Pressure,
        sink: Sink,
        dead_letters: DeadLetters,
        metrics: Metrics,
    ) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { limits, pressure, sink, dead_letters, metrics, workers: Semaphore::new(processors) }
    }

    /// Reads a body of a new request, which may be `framing` bytes longer than a request itself.
    ///
    /// # Errors
    /// Too much is in progress, or the body is too large, too slow or broken.
    pub async fn read(&self, body: Body, framing: usize) -> Result<(Bytes, Charge), Refusal> {
        let bytes = self.limits.prepare.body_bytes + framing;
        let mut charge = match self.pressure.enter() {
            Ok(charge) => charge,
            Err(overload) => {
                body::discard(body, bytes);
                return Err(Refusal::overload(overload, bytes));
            }
        };
        let wire = body::read(body, BodyLimits { bytes, time: self.limits.read_time }, &mut charge).await?;
        self.metrics.body_bytes.inc_by(wire.len() as u64);
        Ok((wire, charge))
    }

    /// Brings a request's spans to Kafka.
    ///
    /// # Errors
    /// It could not be read, or Kafka did not acknowledge all of it.
    pub async fn accept(&self, intake: Intake, origin: Origin) -> Result<Accepted, Refusal> {
        let prepared = self.prepare(intake, origin).await?;
        self.metrics.texts_mended.inc_by(prepared.texts_mended);
        let accepted = Accepted { spans: prepared.accepted(), rejected: prepared.rejected };
        let delivery = self.sink.deliver(prepared.fragments, prepared.charge);
        match timeout(self.limits.ack_time, delivery).await {
            Ok(Ok(())) => {
                self.metrics.spans(accepted.spans, &accepted.rejected);
                Ok(accepted)
            }
            Ok(Err(undelivered)) => Err(undelivered.into()),
            Err(_) => Err(Undelivered::NotAcknowledged.into()),
        }
    }

    async fn prepare(&self, intake: Intake, origin: Origin) -> Result<Prepared, Refusal> {
        let limits = self.limits.prepare;
        let dead_letters = self.dead_letters.clone();
        let small = intake.wire.len() < LARGE_BYTES;
        let work = move || {
            let wire = intake.wire.clone();
            intake.prepare(limits).inspect_err(|refusal| {
                if let Refusal::Undecodable(reason) = refusal {
                    dead_letters.send(Letter::new(&wire, reason.clone(), origin));
                }
            })
        };
        if small {
            return work();
        }
        let _worker = self.workers.acquire().await;
        spawn_blocking(work).await.unwrap_or(Err(Refusal::Undecodable("an internal error".into())))
    }

    /// Counts a request while it is in work, and how it ended.
    pub async fn observe(
        &self,
        protocol: &'static str,
        request: impl Future<Output = Result<Accepted, Refusal>>,
    ) -> Result<Accepted, Refusal> {
        let _in_progress = Counted::up(&self.metrics.requests_in_progress);
        let result = request.await;
        let outcome = match &result {
            Ok(accepted) if accepted.rejected.total() == 0 => "accepted",
            Ok(_) => "partial",
            Err(refusal) => refusal.name(),
        };
        self.metrics.answered(protocol, outcome);
        result
    }
}

impl From<Undelivered> for Refusal {
    fn from(undelivered: Undelivered) -> Self {
        Self::Unavailable(match undelivered {
            Undelivered::QueueFull => "the queue to Kafka is full",
            Undelivered::NotAcknowledged => "Kafka did not acknowledge them",
            Undelivered::Stopping => "this process is stopping",
        })
    }
}
