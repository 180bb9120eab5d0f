//! What a start of the store would find, and how its lanes stand, without starting: nobody is fenced and nothing is
//! written.

use super::failure::Failure;
use super::insert::Inserter;
use super::journal::Entry;
use super::lane::{self, Lane};
use super::metrics::Metrics;
use super::migrate::{applied, check_pinned, pending};
use super::real::Real;
use super::servers::{Servers, Source};
use super::standing::standing;
use super::{Options, Shared, owner, topics};
use crate::group;
use clickhouse::{Client, Row};
use process::{Finding, Health};
use prometheus_client::registry::Registry;
use serde::Deserialize;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// ClickHouse 26.7 loses what a full disk refuses.
const LEAST_FREE_BYTES: u64 = 1 << 30;
/// Lanes that are looked at at once; each takes a few consumers.
const AT_ONCE: usize = 8;
/// Tables that are further behind are late.
const LATE_AFTER_S: u64 = 60;

/// Looks at the topics, at the consumer group and at every lane. Kafka and the tables have to be there.
///
/// # Errors
/// A thread has crashed, or ClickHouse stopped answering.
pub async fn lanes(options: &Options) -> anyhow::Result<Vec<Finding>> {
    let asked = options.clone();
    match tokio::task::spawn_blocking(move || topics::look(&asked)).await? {
        Err(why) => Ok(vec![Finding::refused("topics of the store", why)]),
        Ok(topics) => {
            let lanes = lane::lanes(topics.deltas, topics.flows, topics.spans);
            each_lane(options, topics.journal, lanes).await
        }
    }
}

async fn each_lane(
    options: &Options,
    journal_partitions: i32,
    lanes: Vec<Lane>,
) -> anyhow::Result<Vec<Finding>> {
    let (metrics, health) = (Metrics::register(&mut Registry::default()), Health::new());
    let inserter = Inserter::open(&options.clickhouse, health.clone(), metrics.clone()).await?;
    let (options, rules) = (options.clone(), options.rules(&owner()));
    let shared = Arc::new(Shared { options, rules, journal_partitions, inserter, metrics, health });
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut looks = JoinSet::new();
    for lane in lanes {
        let (shared, turn) = (shared.clone(), turns.clone().acquire_owned().await?);
        let runtime = Handle::current();
        looks.spawn_blocking(move || {
            let found = look(&shared, &lane, &runtime);
            drop(turn);
            (lane.number, found)
        });
    }
    let mut found = looks.join_all().await;
    found.sort_by_key(|(number, _)| *number);
    let group = tokio::task::spawn_blocking(move || {
        group::examine(&shared.options.reader(), "store", &shared.options.topic("weir-store"))
    });
    let group = group.await?;
    Ok([group].into_iter().chain(found.into_iter().map(|(_, found)| found)).collect())
}

/// Everything that a lane's start refuses, and how far the lane is.
fn look(shared: &Shared, lane: &Lane, runtime: &Handle) -> Finding {
    let stop = CancellationToken::new();
    let servers = Real::new(shared, lane, runtime, &stop);
    let looked = servers.source().and_then(|source| {
        let entry = standing(&servers, &source, (lane, &shared.rules, &shared.metrics))?;
        let mut waiting = 0;
        for range in &entry.ranges {
            waiting += (source.watermarks(range.partition)?.high - range.next).max(0);
        }
        Ok((entry, waiting))
    });
    match looked {
        Err(Failure::Refused(why)) => Finding::refused(lane.part(), why),
        Err(why) => Finding::degraded(lane.part(), format!("can't be looked at: {why}")),
        Ok((entry, waiting)) => stands(lane, &entry, waiting, servers.now_s()),
    }
}

fn stands(lane: &Lane, entry: &Entry, waiting: i64, now_s: u64) -> Finding {
    let oldest_us = entry.sequences.places().map(|(_, place)| place.clock_us).min();
    let age_s = oldest_us.map(|us| now_s.saturating_sub(us.unsigned_abs() / 1_000_000));
    let batch = match entry.done {
        true => format!("batch {}", entry.batch),
        false => format!("batch {} is begun", entry.batch),
    };
    // The last offset of a transaction is no record.
    match age_s {
        Some(age_s) if age_s > LATE_AFTER_S && waiting > lane.partitions.len() as i64 => {
            let what = format!("{batch}, the tables are {age_s} s behind, {waiting} offsets wait");
            Finding::degraded(lane.part(), what)
        }
        _ => Finding::ok(lane.part(), format!("{batch}, {waiting} offsets wait")),
    }
}

/// The part that says how the tables are.
pub const TABLES: &str = "tables";

/// Looks at ClickHouse, at its disks and at the tables.
pub async fn clickhouse(options: &Options) -> Vec<Finding> {
    let server = &options.clickhouse.clickhouse;
    let client = options.clickhouse.client();
    let outside = client.clone().with_database("default");
    let version = match outside.query("SELECT version()").fetch_one::<String>().await {
        Ok(version) => version,
        Err(error) => {
            return vec![Finding::degraded("ClickHouse", format!("{server} doesn't answer: {error}"))];
        }
    };
    let mut found = vec![Finding::ok("ClickHouse", format!("version {version} at {server}"))];
    found.extend(disks(&outside).await);
    found.push(tables(&client, &outside, &options.clickhouse.clickhouse_database).await);
    found
}

async fn tables(client: &Client, outside: &Client, database: &str) -> Finding {
    let part = TABLES;
    let looked = async {
        let known = "SELECT count() FROM system.tables WHERE database = {database:String} AND name = 'schema_migrations'";
        if outside.query(known).param("database", database).fetch_one::<u64>().await? == 0 {
            return Ok(Finding::degraded(part, format!("the database {database} has no tables yet")));
        }
        let missing = pending(&applied(client).await?)?;
        if let Some(first) = missing.first() {
            let (count, number, name) = (missing.len(), first.number, first.name);
            return Ok(Finding::degraded(
                part,
                format!("{count} migrations are not applied yet, {number} {name} is the first"),
            ));
        }
        check_pinned(client, database).await?;
        Ok(Finding::ok(
            part,
            format!("all migrations are applied to {database}, and repeated inserts count once"),
        ))
    };
    looked.await.unwrap_or_else(|why: anyhow::Error| Finding::refused(part, format!("{why:#}")))
}

#[derive(Row, Deserialize)]
struct Disk {
    name: String,
    /// What an insert may still use.
    usable: u64,
    kept_free: u64,
}

async fn disks(client: &Client) -> Vec<Finding> {
    let asked = "SELECT name, toUInt64(greatest(unreserved_space - keep_free_space, 0)) AS usable, \
                 keep_free_space AS kept_free FROM system.disks ORDER BY name";
    match client.query_raw(asked).fetch_all::<Disk>().await {
        Err(error) => {
            vec![Finding::degraded("disks", format!("ClickHouse doesn't tell about them: {error}"))]
        }
        Ok(disks) => disks.iter().map(disk).collect(),
    }
}

fn disk(disk: &Disk) -> Finding {
    let (part, mib) = (format!("disk {}", disk.name), disk.usable >> 20);
    if disk.usable < LEAST_FREE_BYTES {
        return Finding::degraded(part, format!("only {mib} MiB are free for ClickHouse"));
    }
    let kept = match disk.kept_free {
        0 => ", none are kept free".to_owned(),
        bytes => format!(", the last {} MiB are kept free", bytes >> 20),
    };
    Finding::ok(part, format!("{mib} MiB are free{kept}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sequence::{Place, Sequences};
    use process::Level;

    #[test]
    fn tables_that_are_far_behind_are_told() {
        let lane = &lane::lanes(2, 2, 1)[0];
        let mut sequences = Sequences::default();
        sequences.move_to(0, Place { seq: 7, part: 0, parts: 1, clock_us: 1_000_000_000 });
        sequences.move_to(1, Place { seq: 9, part: 0, parts: 1, clock_us: 1_090_000_000 });
        let entry = Entry {
            lane: 0,
            owner: String::new(),
            batch: 3,
            generation: 1,
            schema: 11,
            format: 2,
            done: true,
            topic: "flow_deltas".to_owned(),
            ranges: Vec::new(),
            sequences,
        };
        assert_eq!(stands(lane, &entry, 12, 1_050), Finding::ok(lane.part(), "batch 3, 12 offsets wait"));
        let late = stands(lane, &entry, 12, 1_100);
        assert_eq!(
            (late.level, late.what.as_str()),
            (Level::Degraded, "batch 3, the tables are 100 s behind, 12 offsets wait")
        );
        assert_eq!(
            stands(lane, &entry, 2, 1_100).level,
            Level::Ok,
            "nothing waits: no shard has committed more"
        );
    }

    #[test]
    fn a_disk_needs_room() {
        let look = |usable: u64, kept_free: u64| disk(&Disk { name: "default".into(), usable, kept_free });
        assert_eq!(look(5 << 30, 256 << 20).what, "5120 MiB are free, the last 256 MiB are kept free");
        assert_eq!(look(5 << 30, 0).level, Level::Ok);
        let full = look(300 << 20, 0);
        assert_eq!(
            (full.level, full.what.as_str()),
            (Level::Degraded, "only 300 MiB are free for ClickHouse")
        );
    }
}
