//! How many subscribers one core serves: the server on it, subscribers and Kafka elsewhere.

use crate::Args;
use crate::commits::{self, Made, SHARDS};
use crate::listeners::Listeners;
use crate::machine::Cores;
use crate::report::Run;
use crate::server::Server;
use crate::subscribers::{Seen, Wishes};
use crate::topics::Topics;
use anyhow::ensure;
use process::KafkaOptions;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Starts everything anew and measures once.
pub fn measure(args: &Args, cores: &Cores, groups: usize) -> anyhow::Result<Run> {
    let kafka = KafkaOptions::plaintext(&args.kafka);
    let topics = Topics::create(&kafka, SHARDS)?;
    let stop = CancellationToken::new();
    let commits = commits::write(&kafka, &topics, Made::small(groups), args.updates, stop.clone())?;
    let ends_commits = stop.drop_guard();
    let mut server = cores.of_server(|| Server::start(&args.query_api, &args.kafka, &topics))?;
    server.wait_for_records(f64::from(SHARDS))?;
    let run = listen(args, &mut server, groups);
    drop(ends_commits);
    commits.join().map_err(|_| anyhow::anyhow!("the commits have panicked"))??;
    run
}

fn listen(args: &Args, server: &mut Server, groups: usize) -> anyhow::Result<Run> {
    let Args { subscribers, seconds, .. } = *args;
    let wishes = Wishes { server: server.address, subscribers, groups, seconds };
    let mut listeners = Listeners::start("--listen", &wishes)?;
    listeners.wait_for("measured from here")?;
    let (before, counted_before) = (server.process.usage()?, server.counted()?);
    let listeners_before = listeners.process.usage()?;
    listeners.wait_for("to here")?;
    let (after, listeners_after) = (server.process.usage()?, listeners.process.usage()?);
    let seen: Seen = serde_json::from_str(&listeners.line()?)?;
    let counted = server.counted()?;
    ensure!(seen.frames > 0, "nobody has heard anything");
    let wall_s = (after.wall - before.wall).as_secs_f64();
    let cpu_s = |after: Duration, before: Duration| after.saturating_sub(before).as_secs_f64();
    let server_s = cpu_s(after.cpu, before.cpu);
    Ok(Run {
        frames_a_second: seen.frames as f64 / seconds as f64,
        frame_bytes: seen.bytes as f64 / seen.frames as f64,
        updates_a_second: seen.frames as f64 / (seconds as usize * subscribers) as f64,
        cpu_us: server_s * 1e6 / seen.frames as f64,
        core_share: server_s / wall_s,
        client_core_share: cpu_s(listeners_after.cpu, listeners_before.cpu) / wall_s,
        peak_mib: after.peak_kib as f64 / 1024.0,
        coalesced: counted.coalesced - counted_before.coalesced,
        slow: counted.slow,
        seen,
    })
}
