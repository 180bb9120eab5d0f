//! `weir demo`: the river with a workload whose right counts are known.

use crate::river::River;
use crate::up;
use anyhow::bail;
use loadtest::demo::{self, Targets};
use loadtest::truth::Truth;
use loadtest::verify;
use process::stop_on_signal;
use tokio_util::sync::CancellationToken;

/// Flags of `weir demo`.
#[derive(clap::Args, Clone, Debug)]
// Groups are named after structs, and several here are called Options.
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// What to send.
    #[command(flatten, next_help_heading = "Workload")]
    pub workload: demo::Options,
    /// Compares ClickHouse, the topics and the API with what the workload knows to be true once it has ended, and
    /// exits 1 on any difference. Needs --for.
    #[arg(long, env = "WEIR_VERIFY", requires = "run_for")]
    pub verify: bool,
    /// What it runs on.
    #[command(flatten)]
    pub up: up::Options,
}

const EXAMPLES: &str = "\
Examples:
  weir demo                      a moving graph until Ctrl-C
  weir demo --for 60s --verify   a minute of traffic, then every count is compared with the truth
  weir demo --seed 7 --rate 100  a hundred flows a second, the same on every run;
                                 each run with a seed wants a data folder of its own";

/// Runs the command.
pub async fn run(options: Options) -> anyhow::Result<()> {
    if options.up.machine.servers_only {
        bail!("a demo needs the roles: leave out --servers-only, or run `weir up --servers-only`");
    }
    let stop = stop_on_signal();
    let Some(mut river) = River::start(options.up.clone(), &stop).await? else { return Ok(()) };
    river.announce();
    let targets = river.targets();
    let outcome = tokio::select! {
        outcome = tell(&options, targets, stop) => outcome,
        failure = river.failed() => Err(failure),
    };
    let drained = river.drain().await;
    outcome.and(drained)
}

async fn tell(options: &Options, targets: Targets, stop: CancellationToken) -> anyhow::Result<()> {
    match options.workload.run_for {
        Some(time) => println!("  The demo starts new flows for {} s.\n", time.as_secs_f64()),
        None => println!("  The demo runs until Ctrl-C.\n"),
    }
    let truth = demo::run_demo(options.workload.clone(), targets.clone(), stop.clone()).await?;
    println!("sent {} flows with {} spans", flows(&truth), truth.spans);
    if !options.verify {
        return Ok(());
    }
    if stop.is_cancelled() {
        bail!("interrupted before the counts were compared");
    }
    println!("comparing every count with the truth …");
    tokio::select! {
        () = stop.cancelled() => bail!("interrupted while the counts were compared"),
        report = verify::verify(&truth, &targets) => judge(&report?),
    }
}

fn flows(truth: &Truth) -> i64 {
    truth.operations.values().map(|counts| counts.flows).sum()
}

/// The report ends with the line `every count equals the truth`, or with how many differ.
fn judge(report: &verify::Report) -> anyhow::Result<()> {
    println!("{report}");
    if report.is_equal() {
        return Ok(());
    }
    bail!("not every count equals the truth")
}
