//! Sends spans as SDKs do: every process exports its own spans in its own batches, over the transport it was
//! configured with, and tries again when it is told to or can't know.

mod exporter;
mod transport;

pub use transport::{Endpoints, Failed, Transport};

use crate::workload::{Emitter, Span};
use exporter::Exporter;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How exporters behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Time between two exports of one process; SDKs wait 5 s, a demo should move.
    pub interval: Duration,
    /// Most spans of one export, as SDKs have it.
    pub batch: usize,
    /// Spans a process may hold before whoever makes them has to wait.
    pub queue: usize,
    /// Every how many exports one is sent a second time at once, as after a lost answer. 0: never.
    pub duplicate_every: u64,
    /// Every how many exports one is sent a second time 9 s later, when its traces are closed. 0: never.
    pub late_duplicate_every: u64,
    /// How long one export is tried before its spans are given up.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(500),
            batch: 512,
            queue: 2_048,
            duplicate_every: 23,
            late_duplicate_every: 41,
            patience: Duration::from_secs(120),
        }
    }
}

/// What happened to the spans so far. Shared by all exporters, hence atomics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Spans that were acknowledged, once each.
    pub acknowledged: AtomicU64,
    /// Spans that were sent and acknowledged again on purpose.
    pub duplicated: AtomicU64,
    /// Exports that had to be repeated.
    pub repeated: AtomicU64,
    /// Spans that were refused for good, or given up.
    pub lost: AtomicU64,
}

impl Counters {
    /// Acknowledged, duplicated, lost.
    pub fn read(&self) -> (u64, u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.acknowledged), read(&self.duplicated), read(&self.lost))
    }
}

/// All exporters of a run.
pub struct Sender {
    queues: HashMap<Emitter, mpsc::Sender<Span>>,
    exporters: JoinSet<()>,
    counters: Arc<Counters>,
}

impl Sender {
    /// Starts one exporter for each process of the console. `epoch_us` is the run's start.
    ///
    /// # Errors
    /// When an endpoint is no address.
    pub fn start(
        endpoints: &Endpoints,
        settings: &Settings,
        epoch_us: i64,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let counters = Arc::new(Counters::default());
        let mut queues = HashMap::new();
        let mut exporters = JoinSet::new();
        for emitter in Emitter::all() {
            let (queue, spans) = mpsc::channel(settings.queue);
            let transport = Transport::connect(emitter.actor.wire(), endpoints)?;
            let exporter = Exporter::new(
                emitter,
                transport,
                settings.clone(),
                epoch_us,
                Arc::clone(&counters),
                stop.clone(),
            );
            queues.insert(emitter, queue);
            exporters.spawn(exporter.run(spans));
        }
        Ok(Self { queues, exporters, counters })
    }

    /// Hands over one span; waits while its exporter's queue is full.
    pub async fn send(&self, span: Span) {
        let queue = self.queues.get(&span.emitter).expect("every emitter has an exporter");
        if queue.send(span).await.is_err() {
            self.counters.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Exports what is left and waits until all is acknowledged or given up.
    pub async fn finish(self) -> Arc<Counters> {
        let Self { queues, mut exporters, counters } = self;
        drop(queues);
        while let Some(ended) = exporters.join_next().await {
            if let Err(problem) = ended {
                tracing::error!(%problem, "an exporter died");
            }
        }
        counters
    }
}
