//! The processor with exactly-once off, as a program that `make compare` runs beside the product: the same driver, reader,
//! stitcher and consumers, the same metrics page, but commits are plain sends, and there is neither journal nor state.
//! Without them nothing can be resumed or shared, so it owns all partitions, reads them from the start, and is killed.
//!
//! It is a program of its own so that the product has no such switch.

#[path = "../benches/exactly_once/plain.rs"]
mod plain;

use anyhow::Context as _;
use clap::Parser;
use plain::{Plain, PlainWriter};
use process::Health;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use schemas::topics::OTLP_SPANS;
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use stitcher::Settings;
use stream_processor::processor::broker::{Broker, Entry, Ledger, Watermarks};
use stream_processor::processor::shard::{
    Driver, Failure, Kafka, Kept, ProcessorMetrics, Progress, Room, Rules, Told,
};
use stream_processor::processor::{FirstBoot, KEPT_MEMORY, Options};
use tokio_util::sync::CancellationToken;

const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Takes the processor's flags.
#[derive(Parser)]
struct Command {
    #[command(flatten)]
    options: Options,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Command { options } = process::parse();
    KEPT_MEMORY.apply();
    let mut registry = process::Metrics::new("processor");
    let metrics = Arc::new(ProcessorMetrics::register(registry.role()));
    for partition in 0..partitions(&options)? {
        let (options, metrics) = (options.clone(), metrics.clone());
        thread::Builder::new().name(format!("shard-{partition}")).spawn(move || {
            let Err(failure) = shard(options, partition, &metrics);
            // Whoever measures notices that the process has ended.
            eprintln!("partition {partition}: {failure}");
            std::process::exit(1);
        })?;
    }
    let router = process::admin_router(registry.share(), Health::new());
    process::serve_admin(options.admin, router, CancellationToken::new()).await
}

fn partitions(options: &Options) -> anyhow::Result<i32> {
    let consumer: BaseConsumer = options.kafka.client().create()?;
    let topic = format!("{}{OTLP_SPANS}", options.topic_prefix);
    let metadata = consumer.fetch_metadata(Some(&topic), ANSWER_WITHIN)?;
    let count = metadata.topics().first().context("the topic is missing")?.partitions().len();
    anyhow::ensure!(count > 0, "{topic} has no partitions");
    Ok(i32::try_from(count)?)
}

/// Reads a partition for ever.
fn shard(
    options: Options,
    partition: i32,
    metrics: &ProcessorMetrics,
) -> Result<std::convert::Infallible, Failure> {
    let mut settings = Settings { shard: partition.unsigned_abs(), ..Settings::default() };
    // Nothing is ever saved.
    settings.limits.replayed_spans = u64::MAX;
    let mut rules = Rules::new(format!("{}{OTLP_SPANS}", options.topic_prefix), settings);
    rules.first_boot_from = Some(FirstBoot::Earliest);
    let plain = Plain { kafka: options.kafka.clone(), prefix: options.topic_prefix.clone(), partition };
    // A room counts for itself; the page shows what is told.
    let unseen = ProcessorMetrics::register(&mut prometheus_client::registry::Registry::default());
    let (room, stop, progress) =
        (Room::new(options, 1, unseen), CancellationToken::new(), Progress::default());
    let off = Off { kafka: Kafka::new(&room, partition, &stop), plain };
    let told = Told { metrics, shard: metrics.shard(partition), progress: &progress };
    let mut driver = Driver::start(&off, &rules, &told, &mut Kept::default())?;
    loop {
        driver.step()?;
    }
}

/// The real Kafka, but for what exactly-once needs.
struct Off<'a> {
    kafka: Kafka<'a>,
    plain: Plain,
}

impl<'a> Broker for Off<'a> {
    type Input = <Kafka<'a> as Broker>::Input;
    type Transactor = PlainWriter;

    fn transactor(&self) -> Result<PlainWriter, Failure> {
        self.plain.writer()
    }

    fn input(&self) -> Result<Self::Input, Failure> {
        self.kafka.input()
    }

    fn tail(&self, ledger: Ledger) -> Result<Self::Input, Failure> {
        self.kafka.tail(ledger)
    }

    /// There is never anything in a ledger.
    fn watermarks(&self, _: Ledger) -> Result<Watermarks, Failure> {
        Ok(Watermarks { low: 0, high: 0 })
    }

    fn read(
        &self,
        _: Ledger,
        _: Range<i64>,
        _: &mut dyn FnMut(Entry<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.kafka.is_stopped()
    }

    fn elapsed(&self) -> Duration {
        self.kafka.elapsed()
    }

    fn now_us(&self) -> i64 {
        self.kafka.now_us()
    }
}
