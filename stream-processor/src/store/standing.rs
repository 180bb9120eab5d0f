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
    let Some(entry) = newest else { return first_entry(servers, source, lane, rules, &stored) };
    let entry = known_to(stored.batch, entry, rules.accept_gap)?;
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
    in_the_log(entry, source, rules, metrics, lane.source.topic())
}

/// The lane has no journal: it begins where the log begins. If ClickHouse knows the lane, that would store everything
/// again; with `--accept-gap` it goes on behind what ClickHouse has. A new generation keeps tokens apart.
fn first_entry<S: Servers>(
    servers: &S,
    source: &S::Source,
    lane: &Lane,
    rules: &Rules,
    stored: &Stored,
) -> Result<Entry, Failure> {
    if stored.batch > 0 && !rules.accept_gap {
        return Err(Failure::Refused(format!(
            "ClickHouse has {} batches of {}, but store_journal has no entry: was the topic made anew or given more \
             partitions? --accept-gap goes on behind what ClickHouse has",
            stored.batch,
            lane.part()
        )));
    }
    let mut ranges = Vec::new();
    for partition in &lane.partitions {
        let log = source.watermarks(*partition)?;
        let behind = stored.next.get(partition).copied().filter(|next| (log.low..=log.high).contains(next));
        let next = behind.unwrap_or(log.low);
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

/// Everything the next batch needs must still be in the log.
fn in_the_log(
    mut entry: Entry,
    source: &impl Source,
    rules: &Rules,
    metrics: &Metrics,
    topic: &'static str,
) -> Result<Entry, Failure> {
    let begun = !entry.done;
    for range in &mut entry.ranges {
        let needed = if begun { range.first } else { range.next };
        let log = source.watermarks(range.partition)?;
        if (log.low..=log.high).contains(&needed) || (begun && range.first == range.next) {
            continue;
        }
        let partition = range.partition;
        if begun || !rules.accept_gap {
            return Err(Failure::Refused(format!(
                "{topic} partition {partition} goes on with offset {needed}, but the log has only {} to {}; \
                 --accept-gap goes on at {} and counts what is missing",
                log.low, log.high, log.low
            )));
        }
        let missing = u64::try_from(log.low - needed).unwrap_or(0);
        tracing::error!(topic, partition, missing, "records were deleted before they were stored");
        metrics.gap_records.get_or_create(&OfTopic { topic }).inc_by(missing);
        range.next = log.low;
    }
    Ok(entry)
}
