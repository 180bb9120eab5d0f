//! One process's batch exporter.

use super::transport::{Failed, Transport};
use super::{Counters, Settings};
use crate::workload::{Emitter, Span};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// When an export is repeated after its traces have closed.
const LATE_DUPLICATE: Duration = Duration::from_secs(9);
/// Exports that wait to be repeated; beyond that none are added.
const LATE_DUPLICATES: usize = 16;
/// How long after a stop an export is still tried: somebody waits for the end, and the server may be gone.
const AFTER_STOP: Duration = Duration::from_secs(5);
/// First and longest pause between two attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

pub(super) struct Exporter {
    emitter: Emitter,
    transport: Transport,
    settings: Settings,
    epoch_us: i64,
    counters: Arc<Counters>,
    stop: CancellationToken,
    /// When the stop was noticed.
    stopped: Option<Instant>,
    exports: u64,
    to_repeat: VecDeque<(Instant, Vec<Span>)>,
}

impl Exporter {
    pub fn new(
        emitter: Emitter,
        transport: Transport,
        settings: Settings,
        epoch_us: i64,
        counters: Arc<Counters>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            emitter,
            transport,
            settings,
            epoch_us,
            counters,
            stop,
            stopped: None,
            exports: 0,
            to_repeat: VecDeque::new(),
        }
    }

    /// Exports at every interval until the queue is closed, then what is left.
    pub async fn run(mut self, mut spans: mpsc::Receiver<Span>) {
        let mut tick = tokio::time::interval(self.settings.interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            let room = self.settings.batch - batch.len();
            tokio::select! {
                _ = tick.tick() => self.export(std::mem::take(&mut batch)).await,
                received = spans.recv_many(&mut batch, room) => match received {
                    0 => break,
                    _ if batch.len() >= self.settings.batch => self.export(std::mem::take(&mut batch)).await,
                    _ => {}
                },
            }
            self.repeat_due(Instant::now()).await;
        }
        self.export(batch).await;
        self.repeat_rest().await;
    }

    async fn export(&mut self, batch: Vec<Span>) {
        if batch.is_empty() {
            return;
        }
        self.exports += 1;
        let count = batch.len() as u64;
        if !self.deliver(&batch).await {
            self.counters.lost.fetch_add(count, Ordering::Relaxed);
            return;
        }
        self.counters.acknowledged.fetch_add(count, Ordering::Relaxed);
        if is_turn(self.exports, self.settings.duplicate_every) {
            self.deliver_again(&batch).await;
        }
        if is_turn(self.exports, self.settings.late_duplicate_every) && self.to_repeat.len() < LATE_DUPLICATES
        {
            self.to_repeat.push_back((Instant::now() + LATE_DUPLICATE, batch));
        }
    }

    async fn repeat_due(&mut self, now: Instant) {
        while self.to_repeat.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, batch)) = self.to_repeat.pop_front() {
                self.deliver_again(&batch).await;
            }
        }
    }

    /// At the end: keeps every appointment, unless somebody is waiting for the stop.
    async fn repeat_rest(&mut self) {
        while let Some((due, batch)) = self.to_repeat.pop_front() {
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = self.stop.cancelled() => {}
            }
            self.deliver_again(&batch).await;
        }
    }

    async fn deliver_again(&mut self, batch: &[Span]) {
        if self.deliver(batch).await {
            self.counters.duplicated.fetch_add(batch.len() as u64, Ordering::Relaxed);
        }
    }

    /// Sends until it is acknowledged. A failure that says nothing about what happened is answered by sending
    /// again: whoever reads must count a span once.
    async fn deliver(&mut self, batch: &[Span]) -> bool {
        let mut give_up = Instant::now() + self.settings.patience;
        let mut pause = BACKOFF.0;
        loop {
            let failed = match self.transport.export(&self.emitter, batch, self.epoch_us).await {
                Ok(()) => return true,
                Err(failed) => failed,
            };
            let wait = match &failed {
                Failed::Refused(why) => {
                    tracing::error!(service = self.emitter.actor.name(), %why, "an export was refused");
                    return false;
                }
                Failed::Busy { retry_after, .. } => retry_after.unwrap_or(pause).min(BACKOFF.1),
            };
            if self.stop.is_cancelled() {
                let stopped = *self.stopped.get_or_insert_with(Instant::now);
                give_up = give_up.min(stopped + AFTER_STOP);
            }
            if Instant::now() + wait >= give_up {
                tracing::error!(service = self.emitter.actor.name(), why = %failed, "an export was given up");
                return false;
            }
            self.counters.repeated.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(BACKOFF.1);
        }
    }
}

fn is_turn(count: u64, every: u64) -> bool {
    every > 0 && count.is_multiple_of(every)
}
