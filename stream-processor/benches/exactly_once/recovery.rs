//! How long a shard takes to be live after its process was killed.

use crate::job::{Recovered, Task};
use crate::{Bench, Process, Spread};

const MIB: f64 = 1_048_576.0;

pub fn measure(bench: &Bench<'_>) -> anyhow::Result<()> {
    let args = bench.args;
    println!(
        "\nRecovery: one shard, killed with -9 after {} s of log time, {} starts",
        args.seconds, args.starts
    );
    println!(
        "  spans/s  open spans  read again     ms (least – most)  CPU ms  fencing ms  journal ms   MiB  state ms   MiB  \
         peak MiB  state written B/span"
    );
    for load in &args.loads {
        let rate = args.rate * load / 100;
        let outputs = bench.outputs()?;
        let until = rate * args.seconds;
        let held = Process::start(&bench.job(Task::Hold, &outputs, rate, (0, until)))?.outcome()?;
        let mut starts = Vec::new();
        for _ in 0..args.starts {
            let start = Process::start(&bench.job(Task::Recover, &outputs, rate, (0, until)))?.outcome()?;
            starts.extend(start.recovery.map(|recovered| (recovered, start.peak_mib)));
        }
        let of = |what: fn(&Recovered) -> f64| Spread::of(starts.iter().map(|(start, _)| what(start)));
        let ms = of(|start| start.ms);
        println!(
            "  {rate:>7} {:>11.0} {:>11.0} {:>6.0} {:>15} {:>7.0} {:>11.0} {:>11.0} {:>5.1} {:>9.0} {:>5.1} {:>9.0} {:>21.1}",
            of(|start| start.open_spans as f64).median,
            of(|start| start.replayed_spans as f64).median,
            ms.median,
            format!("({:.0} – {:.0})", ms.least, ms.most),
            of(|start| start.cpu_ms).median,
            of(|start| start.fencing_ms).median,
            of(|start| start.journal_ms).median,
            of(|start| start.journal_bytes as f64 / MIB).median,
            of(|start| start.state_ms).median,
            of(|start| start.state_bytes as f64 / MIB).median,
            Spread::of(starts.iter().map(|(_, peak_mib)| *peak_mib as f64)).median,
            held.state_bytes as f64 / until as f64,
        );
    }
    Ok(())
}
