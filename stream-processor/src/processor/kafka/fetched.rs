//! What a consumer has fetched, taken out of librdkafka many messages at a time. One by one, each would cost a look at
//! the clock, an event and a lock more; rust-rdkafka has no way to take several.
#![allow(unsafe_code)] // librdkafka is C

use rdkafka::bindings::{
    rd_kafka_consume_batch_queue, rd_kafka_message_destroy, rd_kafka_message_t, rd_kafka_message_timestamp,
    rd_kafka_queue_destroy, rd_kafka_queue_get_consumer, rd_kafka_queue_t, rd_kafka_timestamp_type_t,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::time::Duration;

/// Messages taken at once.
const MANY: usize = 128;

/// A consumer that is polled by nobody else.
pub struct Fetched {
    messages: VecDeque<Owned>,
    queue: Queue,
    // Last, because fields are dropped in this order and everything above is the consumer's.
    consumer: BaseConsumer,
}

/// What comes next.
pub enum Next<'a> {
    /// A record.
    Record {
        /// Where it stands.
        offset: i64,
        /// When the broker appended it, ms, if it stamps records.
        appended_ms: Option<i64>,
        /// Empty without one.
        value: &'a [u8],
    },
    /// The log ends here, for now.
    End(i64),
    /// Something is wrong, most often for a while only.
    Error(KafkaError),
}

impl Fetched {
    /// Takes over a consumer; `None` if it is in no state to consume.
    pub fn of(consumer: BaseConsumer) -> Option<Self> {
        Some(Self { messages: VecDeque::with_capacity(MANY), queue: Queue::of(&consumer)?, consumer })
    }

    /// The consumer, to be told or asked something.
    pub fn consumer(&self) -> &BaseConsumer {
        &self.consumer
    }

    /// What comes next is here already.
    pub fn has_next(&self) -> bool {
        !self.messages.is_empty()
    }

    /// What comes next, if anything comes within this time.
    pub fn next(&mut self, wait: Duration) -> Option<Message<'_>> {
        if self.messages.is_empty() {
            // Whoever asks for many waits until so many are there.
            self.queue.take(Duration::ZERO, MANY, &mut self.messages);
        }
        if self.messages.is_empty() {
            self.queue.take(wait, 1, &mut self.messages);
        }
        self.messages.pop_front().map(|message| Message { message, _consumer: PhantomData })
    }
}

/// Where librdkafka puts what it has fetched.
struct Queue(NonNull<rd_kafka_queue_t>);

impl Queue {
    fn of(consumer: &BaseConsumer) -> Option<Self> {
        // SAFETY: the pointer is that of a living consumer. What is returned counts as a reference of its own.
        NonNull::new(unsafe { rd_kafka_queue_get_consumer(consumer.client().native_ptr()) }).map(Self)
    }

    fn take(&self, wait: Duration, many: usize, to: &mut VecDeque<Owned>) {
        let mut taken = [std::ptr::null_mut(); MANY];
        let many = many.min(taken.len());
        // SAFETY: the queue is ours until it is dropped, and `taken` has room for so many pointers.
        let count = unsafe {
            rd_kafka_consume_batch_queue(self.0.as_ptr(), wait.as_millis() as i32, taken.as_mut_ptr(), many)
        };
        // A negative count says that there are none.
        let count = usize::try_from(count).unwrap_or(0);
        to.extend(taken[..count].iter().filter_map(|message| NonNull::new(*message)).map(Owned));
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: it gives back the reference that was taken in `of`, once.
        unsafe { rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

/// What librdkafka has handed over. The consumer outlives it.
pub struct Message<'a> {
    message: Owned,
    _consumer: PhantomData<&'a BaseConsumer>,
}

impl Message<'_> {
    /// What it says.
    pub fn read(&self) -> Next<'_> {
        // SAFETY: librdkafka has handed it over whole, and changes nothing of it until it is destroyed.
        let message = unsafe { self.message.0.as_ref() };
        match message.err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Next::Record {
                offset: message.offset,
                appended_ms: self.appended_ms(),
                value: match NonNull::new(message.payload) {
                    None => &[],
                    // SAFETY: the payload has this length, and is destroyed with the message.
                    Some(payload) => unsafe {
                        std::slice::from_raw_parts(payload.cast().as_ptr(), message.len)
                    },
                },
            },
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => Next::End(message.offset),
            error => Next::Error(KafkaError::MessageConsumption(error.into())),
        }
    }

    fn appended_ms(&self) -> Option<i64> {
        let mut kind = rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: it reads a message that is not destroyed yet, and writes the kind.
        let time_ms = unsafe { rd_kafka_message_timestamp(self.message.0.as_ptr(), &raw mut kind) };
        (kind == rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME).then_some(time_ms)
    }
}

/// A message that has to be destroyed, before its consumer is.
struct Owned(NonNull<rd_kafka_message_t>);

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: nobody else has it, and nobody looks at it after this.
        unsafe { rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

// SAFETY: librdkafka's objects belong to no thread, and nothing of a `Fetched` is shared: only one thread has it.
unsafe impl Send for Fetched {}
