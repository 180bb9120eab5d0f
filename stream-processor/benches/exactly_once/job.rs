//! What is measured, in a process of its own: so that none finds the memory as another one left it, and that one can be
//! killed.

use crate::plain::Plain;
use crate::way::{Book, Way};
use crate::workload;
use process::KafkaOptions;
use prometheus_client::registry::Registry;
use schemas::topics;
use serde::{Deserialize, Serialize};
use std::process::exit;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};
use stitcher::Settings;
use stream_processor::processor::Options;
use stream_processor::processor::broker::{Broker, Input};
use stream_processor::processor::shard::{
    Driver, Failure, Kafka, Kept, ProcessorMetrics, Progress, Room, Rules, Told,
};
use tokio_util::sync::CancellationToken;

/// What to do with a topic of spans.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    pub kafka: String,
    /// Before the name of the topic with the spans.
    pub spans: String,
    /// Before the names of all other topics.
    pub outputs: String,
    /// This many partitions, from the first on.
    pub partitions: i32,
    pub task: Task,
    /// Spans a second of log time, of each partition.
    pub rate: i64,
    /// Spans of a partition that are read before anything counts …
    pub warm_up: i64,
    /// … and with those that do.
    pub spans_until: i64,
    pub save_s: Option<i64>,
    pub replayed_spans: Option<u64>,
    pub remembered_spans: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Task {
    /// Fetch, and nothing else.
    Fetch,
    /// Fetch and decode.
    Decode,
    /// Everything, without exactly-once.
    Off,
    /// Everything.
    On,
    /// Everything; says when it has read enough, and goes on until it is killed.
    Hold,
    /// A start, until the shard is live.
    Recover,
}

/// What came out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Of the shards together.
    pub spans: i64,
    pub cpu_us: f64,
    pub wall_us: f64,
    pub commits: u64,
    pub journal_bytes: usize,
    pub state_bytes: usize,
    /// Most memory the process has had.
    pub peak_mib: usize,
    pub recovery: Option<Recovered>,
}

/// A start, step by step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Recovered {
    pub ms: f64,
    pub cpu_ms: f64,
    pub fencing_ms: f64,
    pub journal_ms: f64,
    pub journal_bytes: usize,
    pub state_ms: f64,
    pub state_bytes: usize,
    pub replayed_spans: i64,
    pub open_spans: usize,
}

impl Job {
    /// Does it. Outcomes are told on standard output, one a line.
    pub fn run(&self) {
        // The other shards would wait for this one in vain.
        std::panic::set_hook(Box::new(|why| {
            eprintln!("{why}");
            exit(1)
        }));
        match self.task {
            Task::Recover => tell(&self.recover()),
            Task::Hold => self.at_shard(0, |shard| {
                let mut driver = proper(shard.start());
                while shard.is_before(self.spans_until) {
                    proper(driver.step());
                }
                tell(&shard.outcome());
                loop {
                    proper(driver.step());
                }
            }),
            _ => tell(&self.measure()),
        }
    }

    fn measure(&self) -> Outcome {
        let shards = self.partitions.unsigned_abs() as usize;
        let meet = Barrier::new(shards + 1);
        let mut all = thread::scope(|scope| {
            let meet = &meet;
            let shards: Vec<_> = (0..self.partitions)
                .map(|partition| scope.spawn(move || self.pass(partition, meet)))
                .collect();
            meet.wait();
            let (cpu_us, began) = (cpu_us(), Instant::now());
            meet.wait();
            let done = shards.into_iter().filter_map(|shard| shard.join().ok());
            let sum = done.fold(Outcome::default(), Outcome::and);
            Outcome { cpu_us: self::cpu_us() - cpu_us, wall_us: micros(began.elapsed()), ..sum }
        });
        all.spans = i64::from(self.partitions) * (self.spans_until - self.warm_up);
        all
    }

    /// One partition, until everything is read and written.
    fn pass(&self, partition: i32, meet: &Barrier) -> Outcome {
        self.at_shard(partition, |shard| {
            let reads = |step: &mut dyn FnMut() -> Result<(), Failure>| {
                for spans in [self.warm_up, self.spans_until] {
                    while shard.is_before(spans) {
                        proper(step());
                    }
                    if spans == self.warm_up {
                        shard.book.begin_anew();
                        meet.wait();
                        meet.wait();
                    }
                }
            };
            if matches!(self.task, Task::Fetch | Task::Decode) {
                let mut reader = reader::Reader::new(shard.rules.semconv.clone());
                let mut input = proper(shard.way.input());
                proper(input.read_from(0));
                reads(&mut || {
                    input.poll(&mut |spans| {
                        if self.task == Task::Decode {
                            let read = reader.read(spans.value, &mut |span| {
                                std::hint::black_box(span);
                            });
                            std::hint::black_box(read.is_ok());
                        }
                        Ok(())
                    })
                });
            } else {
                let mut driver = proper(shard.start());
                reads(&mut || driver.step());
                proper(driver.finish());
            }
            shard.outcome()
        })
    }

    fn recover(&self) -> Outcome {
        self.at_shard(0, |shard| {
            let began = Instant::now();
            let mut driver = proper(shard.start());
            let (ms, cpu_ms) = (millis(began.elapsed()), cpu_us() / 1e3);
            let replayed_spans = shard.book.read_spans.get();
            let last = shard.book.offset.get();
            // librdkafka (2.12.1) aborts the process when a consumer is dropped right after its second assignment.
            while shard.book.offset.get() == last {
                proper(driver.step());
            }
            let ((journal, journal_bytes), (state, state_bytes)) =
                (shard.book.journal_read.get(), shard.book.state_read.get());
            let recovered = Recovered {
                ms,
                cpu_ms,
                fencing_ms: millis(shard.book.fencing.get()),
                journal_ms: millis(journal),
                journal_bytes,
                state_ms: millis(state),
                state_bytes,
                replayed_spans,
                open_spans: driver.into_work().intake.open_spans(),
            };
            Outcome { recovery: Some(recovered), ..shard.outcome() }
        })
    }

    fn at_shard<T>(&self, partition: i32, with: impl FnOnce(&Shard<'_>) -> T) -> T {
        let (stop, progress) = (CancellationToken::new(), Progress::default());
        let room = |prefix: &str| {
            let options = Options {
                topic_prefix: prefix.to_owned(),
                ..Options::new(KafkaOptions::plaintext(&self.kafka))
            };
            let metrics = ProcessorMetrics::register(&mut Registry::default());
            Room::new(options, self.partitions.unsigned_abs(), metrics)
        };
        let (spans, outputs, book) = (room(&self.spans), room(&self.outputs), Book::new(self.rate));
        let plain = (self.task == Task::Off).then(|| Plain {
            kafka: KafkaOptions::plaintext(&self.kafka),
            prefix: self.outputs.clone(),
            partition,
        });
        let way = Way {
            spans: Kafka::new(&spans, partition, &stop),
            outputs: Kafka::new(&outputs, partition, &stop),
            book: &book,
            plain,
            began: (self.task == Task::Recover).then(Instant::now),
        };
        let topic = format!("{}{}", self.spans, topics::OTLP_SPANS);
        let rules = Rules::new(topic, self.settings(partition));
        let metrics = ProcessorMetrics::register(&mut Registry::default());
        let told = Told { metrics: &metrics, shard: metrics.shard(partition), progress: &progress };
        with(&Shard { way: &way, rules: &rules, told: &told, book: &book })
    }

    fn settings(&self, partition: i32) -> Settings {
        let mut settings = Settings { shard: partition.unsigned_abs(), ..Settings::default() };
        let Settings { waits, limits, .. } = &mut settings;
        waits.save_us = self.save_s.map_or(waits.save_us, |save_s| save_s * 1_000_000);
        limits.remembered_spans = self.remembered_spans.unwrap_or(limits.remembered_spans);
        limits.replayed_spans = self.replayed_spans.unwrap_or(limits.replayed_spans);
        if self.task == Task::Off {
            // Nothing is ever saved.
            limits.replayed_spans = u64::MAX;
        }
        settings
    }
}

/// One partition's shard, not started yet.
struct Shard<'a> {
    way: &'a Way<'a>,
    rules: &'a Rules,
    told: &'a Told<'a>,
    book: &'a Book,
}

impl<'a> Shard<'a> {
    fn start(&self) -> Result<Driver<'a, Way<'a>>, Failure> {
        Driver::start(self.way, self.rules, self.told, &mut Kept::default())
    }

    fn is_before(&self, spans: i64) -> bool {
        self.book.offset.get() + 1 < workload::offset_of(spans)
    }

    fn outcome(&self) -> Outcome {
        Outcome {
            commits: self.book.commits.get(),
            journal_bytes: self.book.journal_bytes.get(),
            state_bytes: self.book.state_bytes.get(),
            peak_mib: peak_mib(),
            ..Outcome::default()
        }
    }
}

impl Outcome {
    /// User and system time.
    pub fn cpu_us_a_span(&self) -> f64 {
        self.cpu_us / self.spans as f64
    }

    fn and(self, other: Self) -> Self {
        Self {
            commits: self.commits + other.commits,
            journal_bytes: self.journal_bytes + other.journal_bytes,
            state_bytes: self.state_bytes + other.state_bytes,
            peak_mib: self.peak_mib.max(other.peak_mib),
            ..self
        }
    }
}

fn tell(outcome: &Outcome) {
    println!("{}", serde_json::to_string(outcome).unwrap_or_default());
}

fn proper<T>(result: Result<T, Failure>) -> T {
    result.unwrap_or_else(|failure| panic!("{failure}"))
}

/// User and system time of this process, in the kernel's steps of 10 ms.
fn cpu_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * 10_000.0
}

fn peak_mib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    peak.trim().trim_end_matches(" kB").parse().map_or(0, |kib: usize| kib / 1024)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
