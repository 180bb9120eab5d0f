//! Where a lane goes on: its newest entry, checked against ClickHouse and the log.

use super::failure::Failure;
use super::journal::{Entry, FORMAT, Range, newest_entry};
use super::lane::Lane;
use super::metrics::{Metrics, OfTopic};
use super::sequence::Sequences;
use super::servers::{Servers, Source, Stored};
use super::worker::Rules;

/// The entry behind which the lane goes on. To be called after fencing.
///
/// # Errors
/// A server doesn't answer, or going on would not be exact.
pub fn standing<S: Servers>(
    servers: &S,
    source: &S::Source,
    (lane, rules, metrics): (&Lane, &Rules, &Metrics),
) -> Result<Entry, Failure> {
    let newest = newest_entry(servers)?;
    let stored = servers.stored()?;
    // A journal that is older than what it tells of is none: its batches would be taken for known ones.
    let newest = newest.filter(|entry| stored.batch <= entry.batch);
    let Some(entry) = newest else { return first_entry(servers, source, (lane, rules, metrics), &stored) };
    let entry = known_to(stored.batch, entry, rules.accept_gap)?;
    same_partitions(&entry, lane)?;
    if entry.schema > rules.schema {
        return Err(Failure::Refused(format!(
            "a newer Weir has taken the lane for tables with migration {}, this program knows {}: run the newer one",
            entry.schema, rules.schema
        )));
    }
    if !entry.done && entry.format != FORMAT {
        return Err(Failure::Refused(format!(
            "batch {} was begun by a Weir with block format {}, this one makes {FORMAT}: \
             let that version finish it first",
            entry.batch, entry.format
        )));
    }
    in_the_log(entry, servers, source, (lane, rules, metrics), &stored)
}

/// The count of a topic is fixed for its life: a lane would never read partitions that came later.
fn same_partitions(entry: &Entry, lane: &Lane) -> Result<(), Failure> {
    let journaled: Vec<i32> = entry.ranges.iter().map(|range| range.partition).collect();
    if journaled == lane.partitions {
        return Ok(());
    }
    Err(Failure::Refused(format!(
        "{} has not the partitions with which its lane began: {:?}, not {journaled:?}",
        lane.source.topic(),
        lane.partitions
    )))
}

/// The lane has no journal: it begins where the log begins. If ClickHouse knows the lane, that would store everything
/// again; with `--accept-gap` it goes on behind what ClickHouse has. A new generation keeps tokens apart.
fn first_entry<S: Servers>(
    servers: &S,
    source: &S::Source,
    (lane, rules, metrics): (&Lane, &Rules, &Metrics),
    stored: &Stored,
) -> Result<Entry, Failure> {
    if stored.batch > 0 && !rules.accept_gap {
        return Err(Failure::Refused(format!(
            "ClickHouse has {} batches of {}, but store_journal has no entry of the last: was the topic made anew, given \
             more partitions, or an old one put back? --accept-gap goes on behind what ClickHouse has",
            stored.batch,
            lane.part()
        )));
    }
    let mut ranges = Vec::new();
    for partition in &lane.partitions {
        let log = source.watermarks(*partition)?;
        let behind = stored.next.get(partition).copied().unwrap_or(log.low);
        let next = if (log.low..=log.high).contains(&behind) { behind } else { log.low };
        leave_out(metrics, lane.source.topic(), *partition, next - behind);
        ranges.push(Range { partition: *partition, first: next, next });
    }
    Ok(Entry {
        lane: lane.number,
        owner: rules.owner.clone(),
        batch: stored.batch,
        generation: servers.now_s(),
        schema: rules.schema,
        format: FORMAT,
        done: true,
        topic: lane.source.topic().to_owned(),
        ranges,
        sequences: Sequences::default(),
    })
}

/// A journal that is ahead of ClickHouse means other tables: going on would leave a hole nobody knows of.
fn known_to(stored: u64, entry: Entry, accept_gap: bool) -> Result<Entry, Failure> {
    let done = if entry.done { entry.batch } else { entry.batch.saturating_sub(1) };
    if stored >= done || accept_gap {
        return Ok(entry);
    }
    Err(Failure::Refused(format!(
        "store_journal says that {done} batches of {} are stored, ClickHouse has {stored}: is this another database? \
         --accept-gap goes on without what is missing",
        entry.topic
    )))
}

/// Everything the next batch needs must still be in the log. With `--accept-gap` the lane goes on where the log begins;
/// a begun batch is given up: what of it is stored stays, and the tokens of the next ones are new.
fn in_the_log<S: Servers>(
    mut entry: Entry,
    servers: &S,
    source: &S::Source,
    (lane, rules, metrics): (&Lane, &Rules, &Metrics),
    stored: &Stored,
) -> Result<Entry, Failure> {
    let (begun, topic) = (!entry.done, lane.source.topic());
    let mut logs = Vec::new();
    let mut is_whole = true;
    for range in &entry.ranges {
        let needed = if begun { range.first } else { range.next };
        let log = source.watermarks(range.partition)?;
        logs.push(log);
        if (log.low..=log.high).contains(&needed) || (begun && range.first == range.next) {
            continue;
        }
        is_whole = false;
        if !rules.accept_gap {
            return Err(Failure::Refused(format!(
                "{topic} partition {} goes on with offset {needed}, but the log has only {} to {}; \
                 --accept-gap goes on at {} and counts what is missing",
                range.partition, log.low, log.high, log.low
            )));
        }
    }
    if is_whole {
        return Ok(entry);
    }
    if begun {
        (entry.done, entry.batch, entry.generation) = (true, stored.batch, servers.now_s());
    }
    for (range, log) in entry.ranges.iter_mut().zip(logs) {
        let next = if (log.low..=log.high).contains(&range.next) { range.next } else { log.low };
        leave_out(metrics, topic, range.partition, next - if begun { range.first } else { range.next });
        range.next = next;
    }
    Ok(entry)
}

fn leave_out(metrics: &Metrics, topic: &'static str, partition: i32, records: i64) {
    if let Ok(records @ 1..) = u64::try_from(records) {
        tracing::error!(topic, partition, records, "left out: deleted before they were stored");
        metrics.gap_records.get_or_create(&OfTopic { topic }).inc_by(records);
    }
}
