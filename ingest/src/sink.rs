//! Fragments into Kafka: one task a partition owns that partition's open message.

use crate::metrics::Metrics;
use crate::packer::{Message, Packer, Packing};
use crate::pressure::Charge;
use crate::producer::{Outgoing, Producer, is_queue_full};
use crate::slice::Fragment;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use schemas::topics::OTLP_SPANS;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

/// Fragments waiting for a partition's task; their bytes are in the requests' charges.
const INBOX: usize = 256;
/// Messages of one partition that may be on the way at once. librdkafka keeps at most five requests to a broker
/// open; a few more keep it busy.
const ON_THE_WAY: usize = 8;

/// Where fragments go. Clones share the partitions' tasks, which end when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Sink {
    partitions: Arc<[mpsc::Sender<Parcel>]>,
}

/// Why a request's spans are not in Kafka for certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undelivered {
    /// The client's queue is full.
    QueueFull,
    /// Kafka did not acknowledge.
    NotAcknowledged,
    /// The process is stopping.
    Stopping,
}

/// A fragment on its way.
#[derive(Debug)]
struct Parcel {
    bytes: Vec<u8>,
    ticket: Ticket,
}

/// What waits for a fragment's delivery.
#[derive(Debug)]
struct Ticket {
    done: oneshot::Sender<Result<(), Undelivered>>,
    /// Held until the fragment has left memory, also when its sender has given up.
    _charge: Arc<Charge>,
}

impl Sink {
    /// Starts the task of every partition. The set ends when all messages are out after the last clone is gone.
    pub fn start(
        producer: &Producer,
        partitions: u32,
        packing: Packing,
        metrics: &Metrics,
    ) -> (Self, JoinSet<()>) {
        let mut tasks = JoinSet::new();
        let inboxes = (0..partitions).map(|partition| {
            let (sender, inbox) = mpsc::channel(INBOX);
            let lane = Lane {
                partition,
                producer: producer.clone(),
                packer: Packer::new(packing),
                on_the_way: FuturesUnordered::new(),
                metrics: metrics.clone(),
            };
            tasks.spawn(lane.run(inbox));
            sender
        });
        (Self { partitions: inboxes.collect() }, tasks)
    }

    /// Returns when Kafka has acknowledged every fragment, or when one of them has failed.
    ///
    /// # Errors
    /// At least one fragment is not known to be in Kafka.
    pub async fn deliver(&self, fragments: Vec<Fragment>, charge: Charge) -> Result<(), Undelivered> {
        let charge = Arc::new(charge);
        let mut receipts = Vec::with_capacity(fragments.len());
        for fragment in fragments {
            let (done, receipt) = oneshot::channel();
            let parcel = Parcel { bytes: fragment.bytes, ticket: Ticket { done, _charge: charge.clone() } };
            let inbox = &self.partitions[fragment.partition as usize];
            inbox.send(parcel).await.map_err(|_| Undelivered::Stopping)?;
            receipts.push(receipt);
        }
        for receipt in receipts {
            receipt.await.map_err(|_| Undelivered::Stopping)??;
        }
        Ok(())
    }
}

/// One partition's task.
struct Lane {
    partition: u32,
    producer: Producer,
    packer: Packer<Ticket>,
    on_the_way: FuturesUnordered<BoxFuture<'static, ()>>,
    metrics: Metrics,
}

impl Lane {
    async fn run(mut self, mut inbox: mpsc::Receiver<Parcel>) {
        let mut open = true;
        while open || !self.on_the_way.is_empty() {
            let room = self.on_the_way.len() < ON_THE_WAY;
            let due = self.packer.due().map(tokio::time::Instant::from_std);
            tokio::select! {
                Some(()) = self.on_the_way.next() => {}
                parcel = inbox.recv(), if open && room => match parcel {
                    Some(parcel) => self.take(parcel, &mut inbox),
                    None => open = false,
                },
                () = sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() && room => {}
            }
            self.send_what_is_ready(open);
        }
    }

    /// Takes everything that is waiting, so that it shares a message.
    fn take(&mut self, first: Parcel, inbox: &mut mpsc::Receiver<Parcel>) {
        let now = Instant::now();
        let mut next = Some(first);
        while let Some(Parcel { bytes, ticket }) = next {
            // Whoever was told to retry will: what nobody waits for any more would only delay what is new.
            if !ticket.done.is_closed()
                && let Some(full) = self.packer.push(bytes, ticket, now)
            {
                self.send(full);
            }
            next = if self.on_the_way.len() < ON_THE_WAY { inbox.try_recv().ok() } else { None };
        }
    }

    fn send_what_is_ready(&mut self, open: bool) {
        if self.on_the_way.len() >= ON_THE_WAY {
            return;
        }
        let ready = if open {
            self.packer.take_if_ready(Instant::now(), self.on_the_way.len())
        } else {
            self.packer.take()
        };
        if let Some(message) = ready {
            self.send(message);
        }
    }

    fn send(&mut self, message: Message<Ticket>) {
        let (producer, metrics, partition) = (self.producer.clone(), self.metrics.clone(), self.partition);
        self.on_the_way.push(Box::pin(async move {
            let (started, length) = (Instant::now(), message.length);
            let (value, tickets) = message.into_parts();
            let outgoing = Outgoing { topic: OTLP_SPANS, partition: Some(partition), value, headers: None };
            let result = producer.send(outgoing).await;
            metrics.produced(length, started.elapsed(), result.is_ok());
            let result = result.map_err(|error| {
                if is_queue_full(&error) { Undelivered::QueueFull } else { Undelivered::NotAcknowledged }
            });
            for ticket in tickets {
                // The request may be gone: its sender hung up or its time was over.
                let _ = ticket.done.send(result);
            }
        }));
    }
}
