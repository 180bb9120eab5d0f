//! How many live subscribers one core serves, and how long a span takes to them. `make bench-live` runs it; method and
//! results stand in docs/performance.md.
//!
//! ```text
//! main ── which shapes, and how often
//!   ├─ machine ── sockets and cores
//!   ├─ fan_out ── many subscribers on one core …
//!   │    ├─ server ── … of the real query-api
//!   │    ├─ commits ── … which reads these commits from Kafka
//!   │    └─ listeners, subscribers ── … in a process of their own
//!   │         └─ frame ── what their sockets bring
//!   ├─ dashboards ── people on that core, who look at something else every few seconds
//!   ├─ river ── spans through the real processor and the real query-api …
//!   │    └─ probes ── … of which some are followed to a subscriber
//!   └─ report ── the tables
//! ```

mod commits;
mod dashboards;
mod fan_out;
mod frame;
mod listeners;
mod machine;
#[path = "../../query-api/examples/made_up_deltas/commit.rs"]
#[allow(dead_code)] // Single flows are not told here.
mod made_up;
#[path = "../compare/measured.rs"]
#[allow(dead_code)] // Topics, processes and traces are those of `make compare`; not all of each is used.
mod measured;
#[path = "../compare/packer.rs"]
#[allow(dead_code)]
mod packer;
mod probes;
mod report;
mod river;
mod server;
mod subscribers;
#[path = "../compare/topics.rs"]
#[allow(dead_code)]
mod topics;
#[path = "../compare/truth.rs"]
#[allow(dead_code)]
mod truth;
#[path = "../compare/weir.rs"]
#[allow(dead_code)]
mod weir;
#[path = "../compare/workload.rs"]
#[allow(dead_code)]
mod workload;

use anyhow::{Context as _, bail};
use clap::Parser;
use dashboards::Dashboards;
use machine::Cores;
use report::{FanOut, Results, Rivers};
use std::path::PathBuf;

/// Measures the live path: many subscribers on one core, and how long a span takes to a subscriber.
#[derive(Parser, Clone, Debug)]
struct Args {
    /// Kafka.
    #[arg(long, env = "WEIR_TEST_KAFKA", value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    kafka: String,
    /// Weir's query-api, a release build.
    #[arg(long, env = "WEIR_LIVE_QUERY_API", value_name = "FILE", default_value = "query-api")]
    query_api: PathBuf,
    /// Weir's stream-processor, a release build.
    #[arg(long, env = "WEIR_LIVE_PROCESSOR", value_name = "FILE", default_value = "stream-processor")]
    processor: PathBuf,
    /// What to measure: `one` filter for all, filters `spread` over the subscribers, spans through the whole `river`,
    /// people at their `dashboards`.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', default_value = "one,spread,river,dashboards")]
    only: Vec<String>,
    /// Sockets, each with one subscription.
    #[arg(long, default_value_t = 10_000)]
    subscribers: usize,
    /// Filters of `spread`.
    #[arg(long, default_value_t = 100)]
    groups: usize,
    /// Commits a second of each shard; the server makes at most four updates a second of them.
    #[arg(long, default_value_t = 5)]
    updates: u32,
    /// Dashboards, each with one socket, and a filter that changes every five seconds.
    #[arg(long, default_value_t = 100)]
    people: usize,
    /// How long they are watched.
    #[arg(long, default_value_t = 120)]
    people_seconds: u64,
    /// Spans a second through the river.
    #[arg(long, default_value_t = 50_000)]
    rate: u64,
    /// How long one run is measured.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Runs of each.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// A tenth of the subscribers for five seconds, once: to see that it works, not to quote.
    #[arg(long)]
    quick: bool,
    /// File for everything measured.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The subscribers, as a process of this program is told it.
    #[arg(long, hide = true)]
    listen: Option<String>,
    /// The people, likewise.
    #[arg(long, hide = true)]
    watch: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let mut args = Args::parse();
    if let Some(wishes) = &args.listen {
        return subscribers::run(&serde_json::from_str(wishes)?);
    }
    if let Some(wishes) = &args.watch {
        return dashboards::run(&serde_json::from_str(wishes)?);
    }
    if args.quick {
        (args.subscribers, args.seconds, args.runs) = (args.subscribers / 10, 5, 1);
        args.people_seconds = 20;
    }
    let mut results = Results::default();
    for only in &args.only {
        match only.as_str() {
            "one" => results.add_fan_out(fan_out(&args, 1)?),
            "spread" => results.add_fan_out(fan_out(&args, args.groups)?),
            "river" => results.add_rivers(rivers(&args)?),
            "dashboards" => results.add_dashboards(dashboards(&args)?),
            _ => bail!("{only} is none of one, spread, river, dashboards"),
        }
        if let Some(file) = &args.json {
            // After each, for those who don't wait until the end.
            std::fs::write(file, serde_json::to_vec_pretty(&results)?)?;
        }
    }
    Ok(())
}

fn fan_out(args: &Args, groups: usize) -> anyhow::Result<FanOut> {
    machine::allow_sockets(args.subscribers)?;
    let cores = Cores::divide()?;
    let runs = (0..args.runs).map(|_| fan_out::measure(args, &cores, groups));
    let runs = runs.collect::<anyhow::Result<_>>().with_context(|| format!("{groups} filters"));
    cores.unite()?;
    Ok(FanOut { subscribers: args.subscribers, groups, runs: runs? })
}

/// Once: it takes minutes, and what it shows is whether the server keeps up and its memory stays as it is.
fn dashboards(args: &Args) -> anyhow::Result<Dashboards> {
    let cores = Cores::divide()?;
    let run = dashboards::measure(args, &cores);
    cores.unite()?;
    run.context("the dashboards")
}

fn rivers(args: &Args) -> anyhow::Result<Rivers> {
    let runs = (0..args.runs).map(|_| river::measure(args)).collect::<anyhow::Result<_>>();
    Ok(Rivers { rate: args.rate, runs: runs.context("the river")? })
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
