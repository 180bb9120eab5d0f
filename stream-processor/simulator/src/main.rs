//! `make simulate SEEDS=N`: runs seeds one after the other, each twice, and tells what was covered.

use anyhow::bail;
use clap::Parser;
use simulator::{Coverage, run};

/// Runs the processor's driver, commit and recovery and the store's lanes on a simulated Kafka and a simulated
/// ClickHouse, with crashes at every step.
#[derive(Parser)]
struct Command {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed. A wrong run names its own: `--from SEED --seeds 1` runs it again.
    #[arg(long, default_value_t = 1)]
    from: u64,
}

fn main() -> anyhow::Result<()> {
    let Command { seeds, from } = Command::parse();
    let (mut coverage, mut crashes, mut takeovers, mut wrong) = (Coverage::default(), 0_u64, 0, 0);
    for seed in from..from + seeds {
        let report = run(seed, None);
        if let Some(why) = &report.wrong {
            wrong += 1;
            println!("seed {seed} is wrong: {why}\n  again: make simulate FROM={seed} SEEDS=1");
        }
        if run(seed, None) != report {
            wrong += 1;
            println!("seed {seed} ran differently the second time");
        }
        coverage.add(&report.coverage);
        crashes += u64::from(report.crashes);
        takeovers += report.takeovers;
    }
    println!("interrupted:\n{coverage}");
    println!(
        "{seeds} seeds from {from}, each twice: {crashes} crashes, {takeovers} starts from a copy, {wrong} wrong"
    );
    let missing = coverage.missing();
    if wrong > 0 {
        bail!("{wrong} wrong runs");
    }
    if seeds >= 100 && (!missing.is_empty() || takeovers == 0) {
        bail!("steps that were never interrupted: {missing:?}; {takeovers} starts from a copy");
    }
    Ok(())
}
