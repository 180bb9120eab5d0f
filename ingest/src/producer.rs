//! The Kafka producer: acknowledged by all replicas, idempotent, one for the whole process.

use crate::Options;
use anyhow::Context;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long one question to the cluster may take.
const METADATA_TIMEOUT: Duration = Duration::from_secs(3);

type Client = ThreadedProducer<Deliveries>;
type Done = oneshot::Sender<Result<(), KafkaError>>;

/// Hands the result of each message to who waits for it. (`FutureProducer` would copy the value of every message
/// that fails: all of them at once, when a broker is away.)
#[derive(Clone, Copy)]
struct Deliveries;

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Done>;

    fn delivery(&self, result: &DeliveryResult<'_>, done: Box<Done>) {
        // Nobody waits any more when a partition's task was stopped.
        let _ = done.send(result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone()));
    }
}

/// While brokers are away librdkafka says so several times a second. Whether they are is watched and logged once
/// in `topic`, so that the client's own words are for those who ask for details.
impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "{reason}");
    }
}

/// Sends messages. Clones share one client.
#[derive(Clone)]
pub struct Producer {
    config: ClientConfig,
    /// Before every topic's name.
    prefix: Arc<str>,
    // Read by every partition's task; written only when the client has broken for good and is replaced.
    client: Arc<RwLock<Client>>,
}

/// A message for Kafka.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Its topic, without prefix.
    pub topic: &'a str,
    /// Its partition; none lets the client choose.
    pub partition: Option<u32>,
    /// Its value.
    pub value: Vec<u8>,
    /// Its headers.
    pub headers: Option<OwnedHeaders>,
}

impl Producer {
    /// A client that connects in the background. Messages that aren't acknowledged in time are given up.
    ///
    /// # Errors
    /// An option that librdkafka refuses.
    pub fn new(options: &Options) -> anyhow::Result<Self> {
        let ack_timeout_ms = options.ack_timeout_ms.to_string();
        // Every message is in a request's charge, so this bound is never the first to be reached.
        let queue_kbytes = (options.max_memory_bytes / 1024).max(1024).to_string();
        let mut config = options.kafka.client();
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("compression.type", options.compression.as_str())
            // Messages are packed before they get here.
            .set("linger.ms", "0")
            .set("message.timeout.ms", &ack_timeout_ms)
            .set("request.timeout.ms", &ack_timeout_ms)
            .set("queue.buffering.max.kbytes", &queue_kbytes)
            .set("queue.buffering.max.messages", "100000")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.nagle.disable", "true");
        // Concerns consumers only, and librdkafka warns about it.
        config.remove("queued.max.messages.kbytes");
        let client = config.create_with_context(Deliveries).context("the Kafka options are not accepted")?;
        Ok(Self {
            config,
            prefix: options.topic_prefix.as_str().into(),
            client: Arc::new(RwLock::new(client)),
        })
    }

    /// Sends a message and waits until it is acknowledged.
    ///
    /// # Errors
    /// It was not, or not in time. It may still be in the log.
    pub async fn send(&self, outgoing: Outgoing<'_>) -> Result<(), KafkaError> {
        let client = self.client();
        let (done, delivered) = oneshot::channel();
        let topic = self.name_of(outgoing.topic);
        let mut record = BaseRecord::with_opaque_to(&topic, Box::new(done)).payload(&outgoing.value[..]);
        record.key = None::<&()>;
        record.partition = outgoing.partition.map(|partition| i32::try_from(partition).unwrap_or(-1));
        record.headers = outgoing.headers;
        let sent = client.send(record).map_err(|(error, _)| error);
        // The client has its own copy.
        drop(outgoing.value);
        let result = match sent {
            Ok(()) => delivered.await.unwrap_or(Err(KafkaError::Canceled)),
            Err(error) => Err(error),
        };
        if result.is_err() {
            self.replace_if_broken(&client);
        }
        result
    }

    /// The topic's partitions, or none if there is no such topic. Asks for all topics, because asking for one
    /// would create it on brokers that create topics on their own. Blocks.
    ///
    /// # Errors
    /// No broker answers.
    pub fn partitions_of(&self, topic: &str) -> Result<Option<u32>, KafkaError> {
        let (client, name) = (self.client(), self.name_of(topic));
        let metadata = client.client().fetch_metadata(None, METADATA_TIMEOUT)?;
        let found = metadata.topics().iter().find(|found| found.name() == name && found.error().is_none());
        let partitions = found.and_then(|found| u32::try_from(found.partitions().len()).ok());
        Ok(partitions.filter(|partitions| *partitions > 0))
    }

    /// A topic's name in this installation.
    fn name_of(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }

    fn client(&self) -> Client {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An idempotent producer that has lost its place in the log refuses everything from then on. Its messages
    /// have failed and were answered so; a new client begins a new sequence.
    fn replace_if_broken(&self, broken: &Client) {
        let Some((code, reason)) = broken.client().fatal_error() else { return };
        let mut current = self.client.write().unwrap_or_else(PoisonError::into_inner);
        if current.client().fatal_error().is_none() {
            return;
        }
        tracing::error!(?code, reason, "the Kafka client broke and is replaced");
        match self.config.create_with_context(Deliveries) {
            Ok(client) => *current = client,
            Err(error) => tracing::error!(%error, "no new Kafka client could be made"),
        }
    }
}

/// Whether an error means that the client's own queue is full.
pub fn is_queue_full(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
}
