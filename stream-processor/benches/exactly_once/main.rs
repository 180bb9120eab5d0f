//! What exactly-once costs, and how long a killed shard takes until it is live again. `make bench` runs it; the method and
//! what came out stand in docs/performance.md.
//!
//! ```text
//! overhead, recovery ── which runs, and the tables
//!   ├─ river ── the topics: one with spans, and new outputs for each run
//!   │    └─ workload ── the spans
//!   └─ job ── one run, in a process of its own: the processor's driver …
//!        └─ way ── … on the real Kafka, with log time by position, with exactly-once …
//!             └─ plain ── … or without
//! ```

mod job;
mod overhead;
mod plain;
mod recovery;
mod river;
mod way;
mod workload;

use anyhow::Context as _;
use clap::Parser;
use job::{Job, Outcome, Task};
use process::KafkaOptions;
use river::River;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

const PARTITIONS: i32 = 2;

/// Measures exactly-once on a real Kafka.
#[derive(Parser, Clone, Debug)]
struct Args {
    /// Kafka, with room for some GB.
    #[arg(long, env = "WEIR_TEST_KAFKA", value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    kafka: String,
    /// What to measure.
    #[arg(long, value_delimiter = ',', default_value = "overhead,recovery")]
    only: Vec<String>,
    /// Spans a second of log time and partition: what a shard takes at saturation.
    #[arg(long, default_value_t = 60_000)]
    rate: i64,
    /// Rounds of the overhead; each goes every way once.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Spans of a partition before those that are measured: more than a shard remembers.
    #[arg(long, default_value_t = 1_500_000)]
    warm_up: i64,
    /// Spans of a partition that are measured.
    #[arg(long, default_value_t = 1_000_000)]
    spans: i64,
    /// Loads of the shard that is killed, per cent of `--rate`.
    #[arg(long, value_delimiter = ',', default_value = "25,50,100")]
    loads: Vec<i64>,
    /// Seconds of log time before it is killed.
    #[arg(long, default_value_t = 60)]
    seconds: i64,
    /// Starts after that.
    #[arg(long, default_value_t = 5)]
    starts: usize,
    /// Another `Waits::save_us`, in seconds.
    #[arg(long)]
    save_s: Option<i64>,
    /// Another `Limits::replayed_spans`.
    #[arg(long)]
    replayed_spans: Option<u64>,
    /// Another `Limits::remembered_spans`.
    #[arg(long)]
    remembered_spans: Option<usize>,
    /// A run, as a process of this benchmark is told it.
    #[arg(long, hide = true)]
    job: Option<String>,
    /// Said by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(job) = &args.job {
        serde_json::from_str::<Job>(job)?.run();
        return Ok(());
    }
    let measures = |what: &str| args.only.iter().any(|only| only == what);
    let bench = Bench::prepare(&args)?;
    if measures("overhead") {
        overhead::measure(&bench)?;
    }
    if measures("recovery") {
        recovery::measure(&bench)?;
    }
    Ok(())
}

/// A topic of spans, and what to do with it.
struct Bench<'a> {
    args: &'a Args,
    kafka: KafkaOptions,
    spans: River,
}

impl<'a> Bench<'a> {
    fn prepare(args: &'a Args) -> anyhow::Result<Self> {
        let kafka = KafkaOptions::plaintext(&args.kafka);
        let spans = River::new(&kafka, PARTITIONS.unsigned_abs())?;
        let most_load = args.loads.iter().max().copied().unwrap_or_default();
        // The one that is killed reads on until it is.
        let held = args.rate * most_load / 100 * (args.seconds + 10);
        let many = held.max(args.warm_up + args.spans);
        let bytes = spans.fill(many, args.rate)?;
        println!(
            "{PARTITIONS} partitions of {many} spans, {:.0} bytes a span, 20 spans a message, lz4",
            bytes as f64 / (many * i64::from(PARTITIONS)) as f64
        );
        Ok(Self { args, kafka, spans })
    }

    /// New topics for one run.
    fn outputs(&self) -> anyhow::Result<River> {
        River::new(&self.kafka, PARTITIONS.unsigned_abs())
    }

    /// A run that reads a partition up to `spans_until`; what comes before `warm_up` is not measured.
    fn job(&self, task: Task, outputs: &River, rate: i64, (warm_up, spans_until): (i64, i64)) -> Job {
        Job {
            kafka: self.args.kafka.clone(),
            spans: self.spans.prefix.clone(),
            outputs: outputs.prefix.clone(),
            partitions: PARTITIONS,
            task,
            rate,
            warm_up,
            spans_until,
            save_s: self.args.save_s,
            replayed_spans: self.args.replayed_spans,
            remembered_spans: self.args.remembered_spans,
        }
    }
}

/// A run in progress. It doesn't outlive this.
struct Process(Child);

impl Process {
    fn start(job: &Job) -> anyhow::Result<Self> {
        let job = serde_json::to_string(job)?;
        let mut command = Command::new(std::env::current_exe()?);
        Ok(Self(command.args(["--job", &job]).stdout(Stdio::piped()).spawn()?))
    }

    fn outcome(mut self) -> anyhow::Result<Outcome> {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().context("no output")?).read_line(&mut line)?;
        serde_json::from_str(&line).context("a run has failed")
    }
}

impl Drop for Process {
    /// SIGKILL, if it has not ended.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What several runs say.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let last = sorted.len().saturating_sub(1);
        Self { least: at(0), median: at(last / 2), most: at(last) }
    }
}
