//! What it costs to take spans, in CPU time. `make bench-ingest` runs it; the method and what came out stand in
//! docs/performance.md. The same requests in memory, step by step: `make bench-stages`.
//!
//! ```text
//! main ── which runs, and the tables
//!   ├─ server ── the real program, in a process of its own, with the CPU time it has used
//!   ├─ client ── a sender in another process: keep-alive connections with one request each at a time
//!   └─ requests ── 100 spans each
//! ```

mod client;
mod requests;
#[path = "../../../stream-processor/benches/exactly_once/river.rs"]
#[allow(dead_code)] // The topics are those of that benchmark; nothing is filled in before.
mod river;
mod server;
#[path = "../../../stream-processor/benches/exactly_once/workload.rs"]
#[allow(dead_code)]
mod workload;

use anyhow::ensure;
use clap::Parser;
use client::Protocol;
use process::KafkaOptions;
use requests::SPANS;
use river::River;
use server::Server;
use std::process::Command;
use std::time::Instant;

const PARTITIONS: u32 = 2;
/// Requests before those that are measured.
const WARM_UP: usize = 1_000;

/// Measures ingest's CPU time a span on a real Kafka.
#[derive(Parser, Clone, Debug)]
struct Args {
    /// Kafka, with room for some GB.
    #[arg(long, env = "WEIR_TEST_KAFKA", value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    kafka: String,
    /// What to measure.
    #[arg(long, value_delimiter = ',', default_value = "http,http-gzip,grpc,grpc-gzip")]
    only: Vec<String>,
    /// Requests of 100 spans in a run.
    #[arg(long, default_value_t = 10_000)]
    requests: usize,
    /// Connections, each with one request in flight.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Runs of each.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Says the process number and waits a second, for a profiler.
    #[arg(long)]
    profile: bool,
    /// A sender, as a process of this benchmark is told it: where to.
    #[arg(long, hide = true)]
    send_to: Option<std::net::SocketAddr>,
    /// Said by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(address) = args.send_to {
        return client::send(Protocol::named(&args.only[0])?, address, args.requests, args.connections);
    }
    let mut protocols = Vec::new();
    for only in &args.only {
        protocols.push((Protocol::named(only)?, Vec::new()));
    }
    for _ in 0..args.rounds {
        for (protocol, runs) in &mut protocols {
            let run = measure(&args, *protocol)?;
            println!("  {:<10} {run:.3?}", protocol.name());
            runs.push(run);
        }
    }
    println!(
        "            µs CPU a span (least – most)   of that system     spans/s   kB a message   peak MiB"
    );
    for (protocol, runs) in &protocols {
        let of = |what: fn(&Run) -> f64| spread(runs.iter().map(what).collect());
        let (least, median, most) = of(|run| run.cpu_us);
        println!(
            "{:<10} {median:>10.3} {:>18} {:>16.3} {:>11.0} {:>14.0} {:>10.0}",
            protocol.name(),
            format!("({least:.3} – {most:.3})"),
            of(|run| run.system_us).1,
            of(|run| run.spans_a_second).1,
            of(|run| run.message_kb).1,
            of(|run| run.peak_mib).1,
        );
    }
    Ok(())
}

/// What one run says; times are of ingest alone and a span.
#[derive(Debug, Clone, Copy)]
struct Run {
    cpu_us: f64,
    system_us: f64,
    spans_a_second: f64,
    message_kb: f64,
    peak_mib: f64,
}

fn measure(args: &Args, protocol: Protocol) -> anyhow::Result<Run> {
    let river = River::new(&KafkaOptions::plaintext(&args.kafka), PARTITIONS)?;
    let server = Server::start(&args.kafka, &river.prefix)?;
    send(args, protocol, &server, WARM_UP)?;
    if args.profile {
        println!("ingest is process {}", server.id());
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    let (before, began) = (server.used()?, Instant::now());
    send(args, protocol, &server, args.requests)?;
    let (after, wall) = (server.used()?, began.elapsed());
    let spans = (args.requests * SPANS) as f64;
    ensure!(
        after.spans - before.spans == spans,
        "{} of {spans} spans are in Kafka",
        after.spans - before.spans
    );
    Ok(Run {
        cpu_us: (after.user_us + after.system_us - before.user_us - before.system_us) / spans,
        system_us: (after.system_us - before.system_us) / spans,
        spans_a_second: spans / wall.as_secs_f64(),
        message_kb: (after.message_bytes - before.message_bytes) / (after.messages - before.messages) / 1e3,
        peak_mib: after.peak_mib,
    })
}

fn send(args: &Args, protocol: Protocol, server: &Server, requests: usize) -> anyhow::Result<()> {
    let status = Command::new(std::env::current_exe()?)
        .args(["--only", protocol.name(), "--send-to", &server.address(protocol).to_string()])
        .args(["--requests", &requests.to_string(), "--connections", &args.connections.to_string()])
        .status()?;
    ensure!(status.success(), "the sender has failed");
    Ok(())
}

/// Least, median and most.
fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let last = values.len().saturating_sub(1);
    (at(0), at(last / 2), at(last))
}
