//! The real Kafka of a shard with two differences. Log time goes by the position in the log, at a stated rate, so that a
//! topic that was filled in seconds can be read as any load, each time in the same rhythm of commits. And exactly-once
//! can be off: then outputs go out by a plain producer, and there is neither journal nor state.

use crate::workload;
use process::KafkaOptions;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use schemas::topics;
use std::cell::Cell;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};
use stream_processor::processor::broker::{
    Broker, Entry, Input, Ledger, Records, Spans, Transactor, Watermarks,
};
use stream_processor::processor::shard::{Failure, Kafka, Output};

const LOOK_AGAIN: Duration = Duration::from_micros(500);

/// Kafka as the shard of one partition sees it.
pub struct Way<'a> {
    /// Where its spans are.
    pub spans: Kafka<'a>,
    /// Where everything else is.
    pub outputs: Kafka<'a>,
    /// Log time and costs.
    pub book: &'a Book,
    /// Where outputs go when exactly-once is off.
    pub plain: Option<Plain>,
    /// When it began, if time is to pass as it does: a start waits for Kafka.
    pub began: Option<Instant>,
}

/// How far a shard is in its log, and what only exactly-once needed.
pub struct Book {
    /// Spans a second of log time.
    pub rate: i64,
    /// The offset that was read last.
    pub offset: Cell<i64>,
    /// Spans read.
    pub read_spans: Cell<i64>,
    /// Time until earlier producers were fenced.
    pub fencing: Cell<Duration>,
    /// Time and bytes of reading the journal …
    pub journal_read: Cell<(Duration, usize)>,
    /// … and the state.
    pub state_read: Cell<(Duration, usize)>,
    /// Bytes written to the journal, before compression …
    pub journal_bytes: Cell<usize>,
    /// … and to the state.
    pub state_bytes: Cell<usize>,
    /// Commits made.
    pub commits: Cell<u64>,
}

impl Book {
    /// Nothing is read yet.
    pub fn new(rate: i64) -> Self {
        Self {
            rate,
            offset: Cell::new(-1),
            read_spans: Cell::default(),
            fencing: Cell::default(),
            journal_read: Cell::default(),
            state_read: Cell::default(),
            journal_bytes: Cell::default(),
            state_bytes: Cell::default(),
            commits: Cell::default(),
        }
    }

    /// What was written so far doesn't count.
    pub fn begin_anew(&self) {
        self.journal_bytes.set(0);
        self.state_bytes.set(0);
        self.commits.set(0);
    }

    fn time_us(&self, offset: i64) -> i64 {
        workload::spans_before(offset) * 1_000_000 / self.rate
    }

    fn write(&self, records: &Records) {
        let bytes = |output: Output| {
            let its = records.iter().filter(|record| record.output == output);
            its.map(|record| record.value.as_ref().map_or(0, Vec::len)).sum::<usize>()
        };
        self.journal_bytes.set(self.journal_bytes.get() + bytes(Output::Journal));
        self.state_bytes.set(self.state_bytes.get() + bytes(Output::State));
        self.commits.set(self.commits.get() + 1);
    }
}

impl<'a> Broker for Way<'a> {
    type Input = Timed<'a>;
    type Transactor = Writer<'a>;

    fn transactor(&self) -> Result<Writer<'a>, Failure> {
        let began = Instant::now();
        let by = match &self.plain {
            None => By::Transactions(self.outputs.transactor()?),
            Some(plain) => By::Sending(plain.clone(), plain.producer()?),
        };
        self.book.fencing.set(began.elapsed());
        Ok(Writer { by, book: self.book })
    }

    fn input(&self) -> Result<Timed<'a>, Failure> {
        Ok(Timed { input: self.spans.input()?, book: self.book })
    }

    fn tail(&self, ledger: Ledger) -> Result<Timed<'a>, Failure> {
        Ok(Timed { input: self.outputs.tail(ledger)?, book: self.book })
    }

    fn watermarks(&self, topic: Ledger) -> Result<Watermarks, Failure> {
        match self.plain {
            None => self.outputs.watermarks(topic),
            Some(_) => Ok(Watermarks { low: 0, high: 0 }),
        }
    }

    fn read(
        &self,
        topic: Ledger,
        offsets: Range<i64>,
        each: &mut dyn FnMut(Entry<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let read = match topic {
            Ledger::Journal => &self.book.journal_read,
            Ledger::State | Ledger::Deltas => &self.book.state_read,
        };
        let (began, (time, mut bytes)) = (Instant::now(), read.get());
        let done = self.outputs.read(topic, offsets, &mut |entry| {
            bytes += entry.value.map_or(0, <[u8]>::len);
            each(entry)
        });
        read.set((time + began.elapsed(), bytes));
        done
    }

    fn is_stopped(&self) -> bool {
        self.spans.is_stopped()
    }

    fn elapsed(&self) -> Duration {
        let log_time_us = self.book.time_us(self.book.offset.get().max(0)).unsigned_abs();
        self.began.map_or(Duration::from_micros(log_time_us), |began| began.elapsed())
    }

    fn now_us(&self) -> i64 {
        workload::START_US + self.book.time_us(self.book.offset.get())
    }
}

/// The real reader; the broker's stamps are replaced.
pub struct Timed<'a> {
    input: <Kafka<'a> as Broker>::Input,
    book: &'a Book,
}

impl Input for Timed<'_> {
    fn watermarks(&mut self) -> Result<Watermarks, Failure> {
        self.input.watermarks()
    }

    fn read_from(&mut self, offset: i64) -> Result<(), Failure> {
        self.input.read_from(offset)
    }

    fn poll(&mut self, each: &mut dyn FnMut(Spans<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
        let book = self.book;
        self.input.poll(&mut |spans| {
            let read = workload::spans_before(spans.offset + 1) - workload::spans_before(spans.offset);
            book.read_spans.set(book.read_spans.get() + read);
            book.offset.set(spans.offset);
            each(Spans { appended_us: workload::START_US + book.time_us(spans.offset), ..spans })
        })
    }

    fn has_next(&self) -> bool {
        self.input.has_next()
    }

    fn next(&self) -> i64 {
        self.input.next()
    }

    fn at_end(&self) -> bool {
        self.input.at_end()
    }
}

/// Writes a shard's commits.
pub struct Writer<'a> {
    by: By<'a>,
    book: &'a Book,
}

enum By<'a> {
    Transactions(<Kafka<'a> as Broker>::Transactor),
    Sending(Plain, ThreadedProducer<DefaultProducerContext>),
}

impl Transactor for Writer<'_> {
    fn commit(&self, records: Records) -> Result<(), Failure> {
        match &self.by {
            By::Transactions(transactor) => {
                self.book.write(&records);
                transactor.commit(records)
            }
            By::Sending(plain, producer) => {
                plain.send(producer, &records)?;
                while producer.in_flight_count() > 0 {
                    thread::sleep(LOOK_AGAIN);
                }
                Ok(())
            }
        }
    }
}

/// Exactly-once off: the processor's producer without transactions. A commit is done when it is delivered, as with them.
#[derive(Clone)]
pub struct Plain {
    /// How to reach Kafka.
    pub kafka: KafkaOptions,
    /// Before the topics' names.
    pub prefix: String,
    /// The shard's.
    pub partition: i32,
}

impl Plain {
    fn producer(&self) -> Result<ThreadedProducer<DefaultProducerContext>, Failure> {
        let mut client = self.kafka.client();
        client.set("compression.type", "zstd").set("linger.ms", "1");
        client.create().map_err(|error| Failure::of("a producer can't be made", &error))
    }

    fn send(
        &self,
        producer: &ThreadedProducer<DefaultProducerContext>,
        records: &Records,
    ) -> Result<(), Failure> {
        for record in records.iter() {
            let name = match record.output {
                Output::Deltas => topics::FLOW_DELTAS,
                Output::Events => topics::FLOW_EVENTS,
                Output::Traces => topics::FLOW_TRACES,
                Output::State | Output::Journal | Output::DeadLetters => continue,
            };
            let topic = format!("{}{name}", self.prefix);
            let headers = OwnedHeaders::new_with_capacity(6);
            let headers = record
                .headers
                .fold(headers, |headers, key, value| headers.insert(Header { key, value: Some(value) }));
            let mut message = BaseRecord::to(&topic).partition(self.partition).headers(headers);
            (message.key, message.payload) = (record.key.as_ref(), record.value.as_ref());
            while let Err((error, unsent)) = producer.send(message) {
                match error {
                    KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => message = unsent,
                    error => return Err(Failure::of("a record can't be sent", &error)),
                }
                thread::sleep(LOOK_AGAIN);
            }
        }
        Ok(())
    }
}
