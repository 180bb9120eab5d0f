//! One Kafka transaction a commit. All transactional calls block, and some have been seen to hang: they run on a
//! thread of their own, and whoever waits for them stops waiting after a time.

use super::super::broker::{Records, Transactor};
use super::super::encode::{Output, Record};
use super::super::failure::Failure;
use super::super::topics::Topics;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A predecessor's open transaction is aborted first, which takes as long as its brokers need.
const INIT_WITHIN: Duration = Duration::from_secs(30);
const DELIVER_WITHIN: Duration = Duration::from_secs(9);
const COMMIT_WITHIN: Duration = Duration::from_secs(10);
/// No call above returns later than its own limit, unless it hangs.
const WATCHDOG: Duration = Duration::from_secs(25);
/// rust-rdkafka's flush polls in steps of 100 ms. Asking whether anything is in flight takes 0.5 ms, and a fifth of what has
/// been waited for already: many shards on one broker wait for long.
const LOOK_AGAIN: Duration = Duration::from_micros(500);
const LOOK_AGAIN_SLOWLY: Duration = Duration::from_millis(10);
const STOP_LOOK: Duration = Duration::from_millis(50);

/// Hands transactions to a producer's thread.
pub struct KafkaTransactor {
    work: SyncSender<Records>,
    outcomes: Receiver<Result<(), Failure>>,
}

/// What the thread needs to know.
pub struct Setting {
    /// Of the producer, with its `transactional.id`.
    pub config: ClientConfig,
    /// Names of the topics.
    pub topics: Topics,
    /// The shard's.
    pub partition: i32,
}

impl KafkaTransactor {
    /// Starts a producer and fences every earlier one of this shard: what those had begun is aborted.
    pub fn start(setting: Setting, stop: &CancellationToken) -> Result<Self, Failure> {
        let (work, todo) = sync_channel(1);
        let (done, outcomes) = channel();
        thread::Builder::new()
            .name(format!("commit-{}", setting.partition))
            .spawn(move || serve(&setting, &todo, &done))
            .map_err(|error| Failure::Retry(format!("no thread for transactions: {error}")))?;
        let transactor = Self { work, outcomes };
        transactor.wait_until_started(stop)?;
        Ok(transactor)
    }

    /// Nothing is begun before the start succeeds, so a stop needs not wait for it.
    fn wait_until_started(&self, stop: &CancellationToken) -> Result<(), Failure> {
        let deadline = Instant::now() + INIT_WITHIN + WATCHDOG;
        while Instant::now() < deadline && !stop.is_cancelled() {
            match self.outcomes.recv_timeout(STOP_LOOK) {
                Ok(outcome) => return outcome,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Err(Failure::Retry("the producer did not start".to_owned()))
    }
}

impl Transactor for KafkaTransactor {
    fn commit(&self, records: Records) -> Result<(), Failure> {
        if self.work.send(records).is_err() {
            return Err(Failure::Retry("the thread for transactions has ended".to_owned()));
        }
        match self.outcomes.recv_timeout(WATCHDOG) {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::Retry(format!("a transaction hangs for {} s", WATCHDOG.as_secs()))),
        }
    }
}

/// The thread: ends after the first failure, because the producer's state is unknown then, and with its owner.
fn serve(setting: &Setting, todo: &Receiver<Records>, done: &Sender<Result<(), Failure>>) {
    let (producer, started) = match start(&setting.config) {
        Ok(producer) => (Some(producer), Ok(())),
        Err(failure) => (None, Err(failure)),
    };
    // Nobody listens any more when the shard has stopped waiting: then there is nothing to tell.
    if done.send(started).is_err() {
        return;
    }
    let Some(producer) = producer else { return };
    while let Ok(records) = todo.recv() {
        let outcome = transaction(&producer, setting, &records);
        let failed = outcome.is_err();
        if done.send(outcome).is_err() || failed {
            return;
        }
    }
}

fn start(config: &ClientConfig) -> Result<BaseProducer, Failure> {
    let producer: BaseProducer =
        config.create().map_err(|error| Failure::of("a producer can't be made", &error))?;
    producer
        .init_transactions(INIT_WITHIN)
        .map_err(|error| Failure::of("earlier transactions can't be ended", &error))?;
    Ok(producer)
}

fn transaction(producer: &BaseProducer, setting: &Setting, records: &[Record]) -> Result<(), Failure> {
    producer.begin_transaction().map_err(|error| Failure::of("a transaction can't begin", &error))?;
    let began = Instant::now();
    for record in records {
        send(producer, setting, record, began)?;
    }
    wait_for_delivery(producer, began)?;
    producer
        .commit_transaction(COMMIT_WITHIN)
        .map_err(|error| Failure::of("a transaction can't be committed", &error))
}

fn send(producer: &BaseProducer, setting: &Setting, record: &Record, began: Instant) -> Result<(), Failure> {
    let headers = OwnedHeaders::new_with_capacity(6);
    let headers = record
        .headers
        .fold(headers, |headers, key, value| headers.insert(Header { key, value: Some(value) }));
    let (topic, partition) = destination(setting, record.output);
    let mut message = BaseRecord::to(topic).partition(partition).headers(headers);
    (message.key, message.payload) = (record.key.as_ref(), record.value.as_ref());
    loop {
        match producer.send(message) {
            Ok(()) => return Ok(()),
            // The producer's queue is bounded: a large commit waits here for room.
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), unsent))
                if began.elapsed() < DELIVER_WITHIN =>
            {
                message = unsent;
                look_again(producer, LOOK_AGAIN);
            }
            Err((error, _)) => return Err(Failure::of("a record can't be sent", &error)),
        }
    }
}

fn destination(setting: &Setting, output: Output) -> (&str, i32) {
    let topics = &setting.topics;
    match output {
        Output::Deltas => (&topics.deltas, setting.partition),
        Output::Events => (&topics.events, setting.partition),
        Output::Traces => (&topics.traces, setting.partition),
        Output::State => (&topics.state, setting.partition),
        Output::Journal => (&topics.journal, setting.partition),
        Output::DeadLetters => (&topics.dead_letters, 0),
    }
}

fn wait_for_delivery(producer: &BaseProducer, began: Instant) -> Result<(), Failure> {
    while producer.in_flight_count() > 0 {
        let waited = began.elapsed();
        if waited >= DELIVER_WITHIN {
            let waited = waited.as_secs();
            return Err(Failure::Retry(format!(
                "records of a transaction are not delivered after {waited} s"
            )));
        }
        look_again(producer, (waited / 5).clamp(LOOK_AGAIN, LOOK_AGAIN_SLOWLY));
    }
    Ok(())
}

/// Takes what librdkafka has to say. rust-rdkafka would do so in a thread, which runs idle for 1 ms in 100.
fn look_again(producer: &BaseProducer, after: Duration) {
    producer.poll(Duration::ZERO);
    thread::sleep(after);
}
