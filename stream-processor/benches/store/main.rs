//! What it costs to bring raw spans from Kafka into ClickHouse, in CPU time of the store, and how large they are on disk.
//! `make bench-store` runs it; the method and what came out stand in docs/performance.md.
//!
//! The real program reads a topic of messages of 100 spans, of which it has read none before, until ClickHouse has all of
//! it. What becomes of them in memory alone: `make bench-stages`.

mod messages;
#[path = "../exactly_once/river.rs"]
#[allow(dead_code)]
mod river;
#[path = "../exactly_once/workload.rs"]
#[allow(dead_code)]
mod workload;

use anyhow::{Context as _, ensure};
use clap::Parser;
use messages::message;
use process::{ClickHouseOptions, KafkaOptions};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use river::River;
use schemas::topics;
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PARTITIONS: u32 = 2;
/// The kernel counts CPU time in steps of 10 ms.
const TICK_US: f64 = 10_000.0;
const WAIT: Duration = Duration::from_secs(300);

/// Measures the store's CPU time a raw span.
#[derive(Parser, Clone, Debug)]
struct Args {
    /// Kafka, with room for some GB.
    #[arg(long, env = "WEIR_TEST_KAFKA", value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    kafka: String,
    /// ClickHouse.
    #[arg(long, env = "WEIR_TEST_CLICKHOUSE", value_name = "URL", default_value = "http://127.0.0.1:8123")]
    clickhouse: String,
    /// Messages of 100 spans in each of two partitions.
    #[arg(long, default_value_t = 5_000)]
    messages: usize,
    /// Runs of each.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Said by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    on_servers(&Args::parse())
}

fn on_servers(args: &Args) -> anyhow::Result<()> {
    let spans = args.messages * messages::SPANS * PARTITIONS as usize;
    let mut runs = Vec::new();
    for _ in 0..args.rounds {
        // With a journal of its own: a lane goes on where the journal says.
        let river = River::new(&KafkaOptions::plaintext(&args.kafka), PARTITIONS)?;
        fill(args, &river)?;
        let run = store(args, &river, spans)?;
        println!("  {run:.2?}");
        runs.push(run);
    }
    let of = |what: fn(&Run) -> f64| spread(runs.iter().map(what).collect());
    let (least, median, most) = of(|run| run.cpu_us);
    println!(
        "On servers, µs CPU a span: {median:.3} ({least:.3} – {most:.3}), of that the system {:.3}; {:.0} spans/s; {:.1} bytes \
         a span on disk; at most {:.0} MiB of memory",
        of(|run| run.system_us).1,
        of(|run| run.spans_a_second).1,
        of(|run| run.disk_bytes).1,
        of(|run| run.peak_mib).1,
    );
    Ok(())
}

fn fill(args: &Args, river: &River) -> anyhow::Result<()> {
    let mut client = KafkaOptions::plaintext(&args.kafka).client();
    client.set("compression.type", "lz4").set("linger.ms", "50");
    let producer: ThreadedProducer<DefaultProducerContext> = client.create()?;
    let topic = format!("{}{}", river.prefix, topics::OTLP_SPANS);
    let now_us = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as i64;
    for number in 0..args.messages {
        for partition in 0..PARTITIONS {
            // As of 50,000 spans a second and partition.
            let value = message(number, (partition, PARTITIONS), now_us + 2_000 * number as i64);
            let mut record =
                BaseRecord::<(), _>::to(&topic).partition(partition.cast_signed()).payload(&value);
            while let Err((_, unsent)) = producer.send(record) {
                record = unsent;
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    producer.flush(WAIT)?;
    Ok(())
}

/// What one run says.
#[derive(Debug, Clone, Copy)]
struct Run {
    cpu_us: f64,
    system_us: f64,
    spans_a_second: f64,
    disk_bytes: f64,
    peak_mib: f64,
}

/// The store, from its start until everything is in a database of its own.
fn store(args: &Args, river: &River, spans: usize) -> anyhow::Result<Run> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
    let database = Database { args, name: format!("bench_{}_{now}", std::process::id()) };
    let began = Instant::now();
    let process = Store(
        Command::new(env!("CARGO_BIN_EXE_stream-processor"))
            .args(["--role", "store", "--kafka", &args.kafka, "--topic-prefix", &river.prefix])
            .args(["--clickhouse", &args.clickhouse, "--clickhouse-database", &database.name])
            .args(["--admin", "127.0.0.1:0"])
            .env("WEIR_LOG", "error")
            .spawn()?,
    );
    while database.ask("SELECT count() FROM otel_traces").unwrap_or_default() < spans as f64 {
        ensure!(began.elapsed() < WAIT, "the store is not done in time");
        std::thread::sleep(Duration::from_millis(50));
    }
    let wall = began.elapsed();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.0.id()))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |field: usize| fields[field].parse::<f64>().map(|ticks| ticks * TICK_US / spans as f64);
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.0.id()))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    drop(process);
    database.ask("OPTIMIZE TABLE otel_traces FINAL").or_else(|_| anyhow::Ok(0.0))?;
    let disk = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() \
                AND table = 'otel_traces'";
    Ok(Run {
        cpu_us: ticks(11)? + ticks(12)?,
        system_us: ticks(12)?,
        spans_a_second: spans as f64 / wall.as_secs_f64(),
        disk_bytes: database.ask(disk)? / spans as f64,
        peak_mib: peak.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0,
    })
}

/// A running store. It doesn't outlive this.
struct Store(Child);

impl Drop for Store {
    /// SIGKILL.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A database that is dropped with this.
struct Database<'a> {
    args: &'a Args,
    name: String,
}

impl Database<'_> {
    /// The answer's only number.
    #[tokio::main(flavor = "current_thread")]
    async fn ask(&self, sql: &str) -> anyhow::Result<f64> {
        let mut options = ClickHouseOptions::local(&self.args.clickhouse);
        options.clickhouse_database = self.name.clone();
        let answer = options.client().query_raw(sql).fetch_bytes("TSV")?.collect().await?;
        std::str::from_utf8(&answer)?.trim().parse().context("no number")
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        let _ = self.ask(&format!("DROP DATABASE {}", self.name));
    }
}

/// Least, median and most.
fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let last = values.len().saturating_sub(1);
    (at(0), at(last / 2), at(last))
}
