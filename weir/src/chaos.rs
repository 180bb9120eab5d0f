//! `weir chaos`: every process is lost, many times and at any moment, under a workload whose right counts are known.

mod installation;
mod record;
mod schedule;
mod strike;
mod volume;

use anyhow::{Context, bail};
use installation::{Installation, Place};
use loadtest::demo::{self, Targets, Told};
use loadtest::sender::Settings;
use loadtest::verify::{self, Report};
use process::stop_on_signal;
use record::Record;
use schedule::{Episode, Kind, Target};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use strike::Arena;
use tokio_util::sync::CancellationToken;
use volume::Volume;

/// From so many kills on the faults that take minutes are among them.
const LONG_FROM: usize = 50;
/// What exporters hold while nobody takes it: several minutes of a demo's spans of one process.
const QUEUE: usize = 200_000;
/// How long one export is tried. Below the 15 minutes for which a repeated span is known to be one.
const EXPORT_PATIENCE: Duration = Duration::from_secs(13 * 60);
/// How long the counts may take to become whole when all faults are over.
const VERIFY_PATIENCE: Duration = Duration::from_secs(300);

/// Flags of `weir chaos`.
#[derive(clap::Args, Clone, Debug)]
// Groups are named after structs, and several here are called Options.
#[group(skip)]
#[command(after_help = EXPLANATION)]
pub struct Options {
    /// How often a process is killed.
    #[arg(long, env = "WEIR_KILLS", value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub kills: u32,
    /// Draws the same faults and tells the same flows again.
    #[arg(long, env = "WEIR_SEED", value_name = "N")]
    pub seed: Option<u64>,
    /// Adds the faults that take minutes: Kafka away for 3, ClickHouse away for 10, both disks full. Always on from 50
    /// kills on.
    #[arg(long, env = "WEIR_LONG")]
    pub long: bool,
    /// Flows started a second, on average.
    #[arg(long, env = "WEIR_RATE", value_name = "N", default_value_t = 20.0)]
    pub rate: f64,
    /// Folder for the servers' data and everybody's logs, to be kept; without it a new one that is removed when every
    /// count is right.
    #[arg(long, env = "WEIR_CHAOS_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Folder for the fetched servers [default: ~/.cache/weir]
    #[arg(long, env = "WEIR_CACHE", value_name = "FOLDER")]
    pub cache_dir: Option<PathBuf>,
}

const EXPLANATION: &str = "\
Starts Kafka, ClickHouse, ingest, two processors, store and query-api on free
ports, each as a process of its own, and a workload whose right counts are
known. Then kill -9 of each in random order and moment, also while others are
still coming back, and SIGSTOP for longer than a processor's session. At the
end nothing may be lost and nothing doubled.

  weir chaos                        5 kills and a pause, two to three minutes
  weir chaos --kills 50             with the long outages, about half an hour
  weir chaos --kills 50 --seed 7    the same faults again

Full disks are small ones in memory, mounted for the run; where mounting is
not permitted they are left out aloud.";

/// Runs the command.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let stop = stop_on_signal();
    let seed = options.seed.unwrap_or_else(seed_from_clock);
    let kills = options.kills as usize;
    let long = options.long || kills >= LONG_FROM;
    let mut schedule = schedule::draw(seed, kills, long);
    let (folder, kept) = match &options.data_dir {
        Some(folder) => (folder.clone(), true),
        None => (tempfile::Builder::new().prefix("weir-chaos.").tempdir()?.keep(), false),
    };
    let place = Place::choose(folder, options.cache_dir.clone())?;
    println!(
        "chaos: seed {seed}, {kills} kills{}; data and logs in {}",
        with_long(long),
        place.folder.display()
    );
    let volumes = if long { small_disks(&place, &mut schedule) } else { Vec::new() };
    announce(&schedule);

    let Some(mut installation) = Installation::start(&place, &stop).await? else { return Ok(()) };
    let arena = Arc::new(Arena { components: installation.components().to_vec(), volumes });
    let targets = installation.targets();
    let outcome = tokio::select! {
        outcome = prove(&options, seed, &schedule, &arena, &targets, &stop) => outcome,
        failure = installation.failed() => Err(failure),
    };
    let drained = installation.drain().await;
    let outcome = outcome.and(drained);
    tidy(arena, &place, kept || outcome.is_err());
    outcome.with_context(|| format!("chaos with seed {seed}"))
}

/// The workload, the faults, and the comparison.
async fn prove(
    options: &Options,
    seed: u64,
    schedule: &[Episode],
    arena: &Arc<Arena>,
    targets: &Targets,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    arena.wait_ready().await?;
    println!("everything is ready; live graph {}/", targets.api);
    let ends = CancellationToken::new();
    let workload = tokio::spawn(tell(seed, options.rate, targets.clone(), ends.clone(), stop.clone()));
    let mut record = Record::new();
    let played = tokio::select! {
        played = arena.play(schedule, &mut record) => played,
        () = stop.cancelled() => bail!("interrupted"),
    };
    ends.cancel();
    if let Err(lost) = played {
        println!("\n{}", record.table(&arena.components));
        return Err(lost);
    }
    println!("no more flows are begun; what is on its way arrives, then every count is compared …");
    let told = workload.await??;
    let report = tokio::select! {
        report = verify::verify_within(VERIFY_PATIENCE, &told.truth, targets) => report?,
        () = stop.cancelled() => bail!("interrupted while the counts were compared"),
    };
    println!("\n{}", record.table(&arena.components));
    judge(&record, &told, &report)
}

/// The demo's workload; its exporters try again until they are answered.
async fn tell(
    seed: u64,
    rate: f64,
    targets: Targets,
    ends: CancellationToken,
    stop: CancellationToken,
) -> anyhow::Result<Told> {
    let settings = Settings { queue: QUEUE, patience: EXPORT_PATIENCE, ..Settings::default() };
    let interval = settings.interval;
    let workload = demo::Options { run_for: None, rate, seed: Some(seed), export_interval: interval };
    demo::run_until(ends, workload, settings, &targets.endpoints(), stop).await
}

fn judge(record: &Record, told: &Told, report: &Report) -> anyhow::Result<()> {
    let (acknowledged, again, given_up) = told.counters.read();
    let repeated = told.counters.repeated.load(std::sync::atomic::Ordering::Relaxed);
    println!(
        "{acknowledged} spans acknowledged, {again} of them sent again on purpose, {given_up} given up; \
         {repeated} exports repeated because they were not acknowledged\n"
    );
    println!("{}", record::differences(report));
    if !report.is_equal() {
        println!("{report}\n");
    }
    let lost: u64 = report.checks.iter().map(|check| check.lost).sum();
    let doubled: u64 = report.checks.iter().map(|check| check.doubled).sum();
    let (faults, kills) = (record.count(|_| true), record.count(|kind| kind == Kind::Kill));
    println!("chaos: {faults} faults, {kills} of them kills: {lost} lost, {doubled} doubled");
    if report.is_equal() {
        return Ok(());
    }
    bail!("not every count equals the truth")
}

/// Gives both servers a small disk of their own, or takes the full disks out of the schedule.
fn small_disks(place: &Place, schedule: &mut Vec<Episode>) -> Vec<(Target, Volume)> {
    let mut volumes = Vec::new();
    for target in [Target::Kafka, Target::ClickHouse] {
        match Volume::mount(&place.folder_of(target)) {
            Ok(volume) => volumes.push((target, volume)),
            Err(why) => {
                println!("skipped: full disk of {target}: no disk can be mounted here ({why:#})");
                let full = |kind: Kind| matches!(kind, Kind::DiskFull(_));
                for episode in &mut *schedule {
                    episode.retain(|fault| fault.target != target || !full(fault.kind));
                }
            }
        }
    }
    schedule.retain(|episode| !episode.is_empty());
    volumes
}

/// Removes what nobody will look at any more.
fn tidy(arena: Arc<Arena>, place: &Place, keep: bool) {
    let folder = place.folder.display();
    if keep {
        let mounted =
            if arena.volumes.is_empty() { "" } else { " (kafka and clickhouse are mounted: umount)" };
        println!("data and logs are kept in {folder}{mounted}");
        return;
    }
    let volumes = Arc::into_inner(arena).map(|arena| arena.volumes).unwrap_or_default();
    let unmounted: anyhow::Result<()> = volumes.into_iter().try_for_each(|(_, volume)| volume.unmount());
    if let Err(error) = unmounted.and_then(|()| Ok(std::fs::remove_dir_all(&place.folder)?)) {
        println!("{folder} can't be removed: {error:#}");
    }
}

/// The whole schedule: an episode a line, times since the fault before it or since all was well.
fn announce(schedule: &[Episode]) {
    for episode in schedule {
        let faults: Vec<String> =
            episode.iter().map(|fault| format!("{:.1} s: {fault}", fault.after.as_secs_f64())).collect();
        println!("  planned  {}", faults.join(", then after "));
    }
}

fn with_long(long: bool) -> &'static str {
    if long { " and the long outages" } else { "" }
}

fn seed_from_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
