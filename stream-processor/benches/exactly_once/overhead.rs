//! The same spans with exactly-once and without, in turn.

use crate::job::{Outcome, Task};
use crate::{Bench, Process, Spread};
use std::collections::BTreeMap;

/// One run of each.
type Round = BTreeMap<Task, Outcome>;

pub fn measure(bench: &Bench<'_>) -> anyhow::Result<()> {
    let (rounds, rate) = (bench.args.rounds, bench.args.rate);
    let measured = (bench.args.warm_up, bench.args.warm_up + bench.args.spans);
    println!(
        "\nOverhead: {} spans a shard after the first {}, log time of {rate} spans/s and shard, {rounds} rounds",
        bench.args.spans, bench.args.warm_up
    );
    let mut tasks = [Task::Fetch, Task::Decode, Task::Off, Task::On];
    let mut done: Vec<Round> = Vec::new();
    for _ in 0..rounds {
        let mut round = Round::new();
        for task in tasks {
            let outputs = bench.outputs()?;
            round.insert(task, Process::start(&bench.job(task, &outputs, rate, measured))?.outcome()?);
        }
        let cpu = round.iter().map(|(task, run)| format!("{task:?} {:.3}", run.cpu_us_a_span()));
        println!("  {}", cpu.collect::<Vec<_>>().join("  "));
        done.push(round);
        // So that none always runs after the same one.
        tasks.reverse();
    }
    print(&done);
    Ok(())
}

fn print(rounds: &[Round]) {
    println!(
        "           µs CPU a span (least – most)     spans/s  peak MiB  journal B/span  state B/span  commits"
    );
    for task in [Task::Fetch, Task::Decode, Task::Off, Task::On] {
        let of = |what: fn(&Outcome) -> f64| Spread::of(rounds.iter().map(|round| what(&round[&task])));
        let cpu = of(Outcome::cpu_us_a_span);
        println!(
            "  {:>6} {:>14.3} {:>15} {:>11.0} {:>9.0} {:>15.1} {:>13.1} {:>8.0}",
            format!("{task:?}"),
            cpu.median,
            format!("({:.3} – {:.3})", cpu.least, cpu.most),
            of(|run| run.spans as f64 / run.wall_us * 1e6).median,
            of(|run| run.peak_mib as f64).median,
            of(|run| run.journal_bytes as f64 / run.spans as f64).median,
            of(|run| run.state_bytes as f64 / run.spans as f64).median,
            of(|run| run.commits as f64).median,
        );
    }
    let ratios =
        rounds.iter().map(|round| round[&Task::On].cpu_us_a_span() / round[&Task::Off].cpu_us_a_span());
    let Spread { least, median, most } = Spread::of(ratios);
    println!("  CPU with exactly-once : without, by round: median {median:.3} ({least:.3} – {most:.3})");
}
