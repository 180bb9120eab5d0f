//! Weir beside others on the same spans: beside the floor, which only reads them, and beside the OpenTelemetry Collector
//! with servicegraph and spanmetrics. `make compare` runs it; method and results stand in docs/performance.md.
//!
//! ```text
//! main ── which scenes, who takes part, and in which order
//!   ├─ scene ── a topic of spans
//!   │    ├─ topics ── written to Kafka …
//!   │    ├─ packer ── … in messages …
//!   │    └─ workload ── … from a seed, with their truth
//!   ├─ floor, weir, collector ── those who read it, each in a process of its own …
//!   │    ├─ measured ── … of which CPU and memory are read
//!   │    └─ truth ── … and whose answers are compared
//!   ├─ open ── the memory of flows that stay open
//!   └─ report ── the tables
//! ```

mod collector;
mod floor;
mod measured;
mod open;
mod packer;
mod report;
mod scene;
mod topics;
mod truth;
mod weir;
mod workload;

use ::process::KafkaOptions;
use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use collector::Pipeline;
use measured::{Process, Usage};
use report::{Column, FLOOR, Medians, Row, Run, WEIR};
use scene::Scene;
use schemas::topics::OTLP_SPANS;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;
use topics::{Filled, Topics};

/// After this a process that has nothing to read is idle.
const START: Duration = Duration::from_secs(4);
/// glibc's: librdkafka's buffers would otherwise go back to the kernel one by one.
const KEEP_MEMORY: [(&str, &str); 2] =
    [("MALLOC_MMAP_THRESHOLD_", "67108864"), ("MALLOC_TRIM_THRESHOLD_", "268435456")];

/// Compares Weir with a floor and with the OpenTelemetry Collector: CPU a span, memory, and whether the answers are right.
#[derive(Parser, Clone, Debug)]
struct Args {
    /// Kafka, with room for some GB.
    #[arg(long, env = "WEIR_TEST_KAFKA", value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    kafka: String,
    /// Weir's stream-processor, a release build.
    #[arg(long, env = "WEIR_COMPARE_PROCESSOR", value_name = "FILE")]
    processor: PathBuf,
    /// The same with exactly-once off: an example of the stream-processor's crate.
    #[arg(long, env = "WEIR_COMPARE_OFF", value_name = "FILE")]
    off: PathBuf,
    /// The OpenTelemetry Collector.
    #[arg(long, env = "WEIR_COMPARE_OTELCOL", value_name = "FILE")]
    otelcol: PathBuf,
    /// Scenes or series of them: columns, services, partitions, open; by default all.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<String>,
    /// Who takes part.
    #[arg(long, value_enum, value_name = "NAME,…", value_delimiter = ',', default_values_t = Subject::value_variants().to_owned())]
    subjects: Vec<Subject>,
    /// Spans of a topic; some scenes have a fixed share of them.
    #[arg(long, default_value_t = 4_000_000)]
    spans: u64,
    /// Runs of each subject, in turn.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// A tenth of the spans, one run: to see that it works, not to quote.
    #[arg(long)]
    quick: bool,
    /// Spans that are written in a second, at most. Flows stay open for 6 s.
    #[arg(long, default_value_t = 150_000)]
    rate: u64,
    /// Of the workload.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// File for everything measured.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Makes the truth wrong by one call: whoever gives answers has to fail.
    #[arg(long)]
    wrong_truth: bool,
    /// The floor, as a process of this program is told it: topic, partitions, spans.
    #[arg(long, hide = true, num_args = 3)]
    floor: Option<Vec<String>>,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// Reads, and nothing else.
    Floor,
    /// Everything, exactly once.
    Weir,
    /// Everything, without transactions, journal and state.
    WeirOff,
    /// Decodes, and nothing else.
    CollectorNop,
    /// Pairs calls.
    CollectorServicegraph,
    /// Pairs calls and counts by service and span name.
    CollectorSpanmetrics,
}

fn main() -> anyhow::Result<()> {
    let mut args = Args::parse();
    if let Some([topic, partitions, spans]) = args.floor.as_deref() {
        return floor::run(&KafkaOptions::plaintext(&args.kafka), topic, partitions.parse()?, spans.parse()?);
    }
    if args.quick {
        (args.spans, args.runs) = (args.spans / 10, 1);
    }
    let scenes: Vec<Scene> =
        scene::all(args.seed).into_iter().filter(|scene| scene.is_asked_for(&args.only)).collect();
    anyhow::ensure!(!scenes.is_empty(), "no scene and no series has that name");
    let mut columns = Vec::new();
    for scene in &scenes {
        let mut column = if scene.is_about_memory() {
            open::compare(&args, scene).with_context(|| scene.name)?
        } else {
            compare(&args, scene).with_context(|| scene.name)?
        };
        column.conclude();
        println!("\n{column}");
        columns.push(column);
        if let Some(file) = &args.json {
            // After each, for those who don't wait until the end.
            std::fs::write(file, serde_json::to_vec_pretty(&columns)?)?;
        }
    }
    println!("\n{}", Medians(&columns));
    Ok(())
}

/// Writes the spans of a scene and lets everybody read them in turn.
fn compare(args: &Args, scene: &Scene) -> anyhow::Result<Column> {
    let kafka = KafkaOptions::plaintext(&args.kafka);
    let topics = Topics::create(&kafka, scene.partitions)?;
    let mut contest = Contest { args, scene, kafka, topics, starts: Vec::new() };
    for subject in &args.subjects {
        let start = contest.start(*subject)?;
        contest.starts.push((*subject, start));
    }
    let spans = args.spans * scene.spans_milli / 1_000;
    let mut filled = contest.topics.fill(scene.workload, scene.packing, spans, args.rate)?;
    if args.wrong_truth {
        filled.truth.falsify();
    }
    let mut rows: Vec<Row> =
        contest.starts.iter().map(|(subject, start)| Row::new(subject.name(), start.cpu)).collect();
    for round in 0..args.runs {
        for (row, (subject, start)) in rows.iter_mut().zip(&contest.starts) {
            let run = contest.run(*subject, *start, &filled);
            row.runs.extend(judge(args, scene, round, *subject, run)?);
        }
    }
    let spans = filled.truth.spans();
    Ok(Column {
        name: scene.name,
        what: scene.describe(),
        spans,
        messages_log_s: filled.took.as_secs_f64(),
        bytes_a_span: filled.bytes as f64 / spans as f64,
        is_about_memory: false,
        rows,
    })
}

/// The run, if its answer was judged by the truth. A wrong truth has to be noticed.
fn judge(
    args: &Args,
    scene: &Scene,
    round: usize,
    subject: Subject,
    run: anyhow::Result<Run>,
) -> anyhow::Result<Option<Run>> {
    let name = subject.name();
    let run = run.with_context(|| name);
    if args.wrong_truth && subject.gives_answers() {
        let why = run.err().with_context(|| format!("{name}: the truth is wrong, and nobody notices"))?;
        println!("  noticed: {why:#}");
        return Ok(None);
    }
    let run = run?;
    println!("  {} {} {name}: {:.3} µs", scene.name, round + 1, run.cpu_us);
    Ok(Some(run))
}

/// A topic and who reads it.
struct Contest<'a> {
    args: &'a Args,
    scene: &'a Scene,
    kafka: KafkaOptions,
    topics: Topics,
    /// What a start takes on an empty topic.
    starts: Vec<(Subject, Usage)>,
}

impl Contest<'_> {
    /// Starts a subject on the topic while nothing is in it.
    fn start(&self, subject: Subject) -> anyhow::Result<Usage> {
        let Args { kafka, otelcol, .. } = self.args;
        let mut process = match (subject.pipeline(), subject.weir(self.args)) {
            (Some(pipeline), _) => collector::start(otelcol, kafka, &self.topics, pipeline)?.0,
            (_, Some(program)) => weir::start(program, kafka, &self.topics)?.0,
            _ => self.floor(u64::MAX)?,
        };
        thread::sleep(START);
        process.usage().with_context(|| subject.name())
    }

    /// Lets a subject read everything, and compares its answers with the truth.
    fn run(&self, subject: Subject, start: Usage, filled: &Filled) -> anyhow::Result<Run> {
        let (Args { kafka, otelcol, .. }, truth) = (self.args, &filled.truth);
        let run = |usage: &Usage| Run::of(usage, start, truth.spans());
        if let Some(pipeline) = subject.pipeline() {
            return Ok(run(&collector::run(otelcol, kafka, &self.topics, pipeline, truth)?));
        }
        let Some(program) = subject.weir(self.args) else {
            let mut floor = self.floor(truth.spans())?;
            let mut line = String::new();
            BufReader::new(floor.output()?).read_line(&mut line)?;
            let usage = floor.usage()?;
            anyhow::ensure!(line.starts_with(&format!("{} spans", truth.spans())), "it has read {line:?}");
            return Ok(run(&usage));
        };
        let seen = weir::run(program, kafka, &self.topics, truth.spans())?;
        weir::check(&self.kafka, &self.topics, truth, self.scene.workload.is_rooted)?;
        Ok(Run::of_weir(&seen, start, truth.spans()))
    }

    fn floor(&self, spans: u64) -> anyhow::Result<Process> {
        let (topic, partitions) = (self.topics.name(OTLP_SPANS), self.topics.partitions.to_string());
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--kafka", &self.args.kafka, "--processor", "-", "--off", "-", "--otelcol", "-"]);
        command.args(["--floor", &topic, &partitions, &spans.to_string()]);
        Process::start(command.envs(KEEP_MEMORY).stdout(Stdio::piped()))
    }
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Self::Floor => FLOOR,
            Self::Weir => WEIR,
            Self::WeirOff => "weir, exactly-once off",
            Self::CollectorNop => "collector → nop",
            Self::CollectorServicegraph => "… → servicegraph",
            Self::CollectorSpanmetrics => "… → servicegraph, spanmetrics",
        }
    }

    fn gives_answers(self) -> bool {
        !matches!(self, Self::Floor | Self::CollectorNop)
    }

    fn weir(self, args: &Args) -> Option<&Path> {
        match self {
            Self::Weir => Some(&args.processor),
            Self::WeirOff => Some(&args.off),
            _ => None,
        }
    }

    fn pipeline(self) -> Option<Pipeline> {
        match self {
            Self::Floor | Self::Weir | Self::WeirOff => None,
            Self::CollectorNop => Some(Pipeline::Nop),
            Self::CollectorServicegraph => Some(Pipeline::ServiceGraph),
            Self::CollectorSpanmetrics => Some(Pipeline::SpanMetrics),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
