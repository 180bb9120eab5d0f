//! What a start would find, and how each shard stands, without starting: nobody is fenced and nothing is written.

use super::broker::{Broker, Input, Watermarks};
use super::failure::Failure;
use super::journal::Chain;
use super::kafka::Kafka;
use super::metrics::ProcessorMetrics;
use super::rebuild::Rebuild;
use super::recovery::{Log, Recovery, Rules, read_back, refuse_gap};
use super::topics::{Topics, Unusable, usable_now};
use super::{Options, Room};
use crate::group;
use process::Finding;
use prometheus_client::registry::Registry;
use schemas::v1::ShardCommit;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Shards that are looked at at once; each takes a few consumers.
const AT_ONCE: usize = 8;
/// Idle shards commit every 5 s.
const LATE_AFTER_US: i64 = 15_000_000;

/// Looks at the topics, at the consumer group and at every shard. With `rebuild` each shard is rebuilt too, as a start
/// would, which takes as long; that tells something only while no processor works on it.
///
/// # Errors
/// A thread has crashed.
pub async fn examine(options: &Options, rebuild: bool) -> anyhow::Result<Vec<Finding>> {
    let topics = Topics::named(&options.topic_prefix);
    let partitions = match usable_now(options, &topics).await {
        Ok(partitions) => partitions,
        Err(why @ Unusable::Unreachable(_)) => return Ok(vec![Finding::degraded("topics", why.to_string())]),
        Err(why) => return Ok(vec![Finding::refused("topics", why.to_string())]),
    };
    let metrics = ProcessorMetrics::register(&mut Registry::default());
    let room = Arc::new(Room { options: options.clone(), topics, partitions, metrics });
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut looks = JoinSet::new();
    for partition in 0..i32::try_from(partitions)? {
        let (room, turn) = (room.clone(), turns.clone().acquire_owned().await?);
        looks.spawn_blocking(move || {
            let found = shard(&room, partition, rebuild);
            drop(turn);
            (partition, found)
        });
    }
    let mut shards = looks.join_all().await;
    shards.sort_by_key(|(partition, _)| *partition);
    let group = tokio::task::spawn_blocking(move || {
        group::examine(&room.options.reader(), "processor", &room.options.group)
    });
    let group = group.await?;
    let topics = Finding::ok("topics", format!("as they must be, {partitions} partitions"));
    Ok([topics, group].into_iter().chain(shards.into_iter().map(|(_, found)| found)).collect())
}

fn shard(room: &Room, partition: i32, rebuild: bool) -> Finding {
    let stop = CancellationToken::new();
    let kafka = Kafka::new(room, partition, &stop);
    let rules = room.options.rules(&room.topics.spans, partition);
    let part = format!("shard {partition}");
    match look(&kafka, &rules, rebuild) {
        Err(Failure::Refused(why)) => Finding::refused(part, why),
        Err(why) => Finding::degraded(part, format!("can't be looked at: {why}")),
        Ok((last, log)) => stands(part, last.as_ref(), log, kafka.now_us()),
    }
}

/// Everything that a start refuses, in its order, but for what only rebuilding shows.
fn look<B: Broker>(
    broker: &B,
    rules: &Rules,
    rebuild: bool,
) -> Result<(Option<ShardCommit>, Watermarks), Failure> {
    let mut input = broker.input()?;
    let recovery = Recovery { broker, rules };
    let mut chain = read_back(broker, Chain::is_sufficient)?;
    let last = chain.last().cloned();
    let log = Log::look(broker, &mut input, last.as_ref())?;
    match &last {
        None => recovery.refuse_lost_journal()?,
        Some(last) => {
            refuse_gap(last, log)?;
            if !last.drained {
                Rebuild::begin(rules, &mut chain, last)?;
            }
        }
    }
    if rebuild {
        recovery.start(log, &mut input)?;
    }
    // The shard may have gone on meanwhile.
    Ok((last, input.watermarks()?))
}

fn stands(part: String, last: Option<&ShardCommit>, log: Watermarks, now_us: i64) -> Finding {
    let Some(last) = last else {
        let waiting = log.high - log.low;
        return match waiting {
            0 => Finding::ok(part, "nothing has ever been sent to it"),
            _ => Finding::degraded(part, format!("{waiting} records wait for its first commit")),
        };
    };
    let ShardCommit { seq, next_offset, clock_us, drained, .. } = *last;
    let (lag, age_s) = ((log.high - next_offset).max(0), (now_us - clock_us).max(0) / 1_000_000);
    if drained {
        return Finding::degraded(
            part,
            format!("is drained at commit {seq}, {lag} records wait: any version goes on from there"),
        );
    }
    if (now_us - clock_us) < LATE_AFTER_US {
        return Finding::ok(part, format!("commit {seq}, {age_s} s old, {lag} records wait"));
    }
    Finding::degraded(
        part,
        format!("its last commit, {seq}, is {age_s} s old in log time, {lag} records wait"),
    )
}
