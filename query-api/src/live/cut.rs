//! The exact cut at start: what the store had written when it was asked, and from where Kafka goes on.

use crate::change::{Change, What};
use crate::limits::Limits;
use crate::live::Live;
use crate::live::group::touching;
use crate::live::shards::Place;
use crate::progress::{self, Progress};
use crate::stored::{EdgeRow, OperationRow, ServiceRow};
use crate::stored::{Grouping, Stored, Tier, UpTo, edges_sql, histogram, operations_sql, services_sql};
use crate::totals::{EdgeTotals, FlowTotals, ServiceTotals};
use clickhouse::error::Error;
use clickhouse::query::RowCursor;
use schemas::topics::FLOW_DELTAS;
use std::collections::BTreeMap;

/// Rows between two looks at the memory.
const ROWS_BETWEEN_BOUNDS: usize = 10_000;

/// State up to a point of the log, and that point.
pub struct Cut {
    /// The last 15 minutes, as far as the store had them.
    pub live: Live,
    /// Where each partition of `flow_deltas` goes on.
    pub next_offsets: BTreeMap<i32, i64>,
}

/// Takes progress first and rows up to it second, from the same server, as the store promises. `None` if the store
/// has written nothing yet.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn read(stored: &Stored, limits: &Limits, shards: u32, now_us: i64) -> Result<Option<Cut>, Error> {
    let progress = progress::of_topic(stored, FLOW_DELTAS).await?;
    if progress.is_empty() {
        return Ok(None);
    }
    // Histograms come by ten seconds, so the range begins where ten seconds do.
    let from_s =
        touching(u32::try_from(now_us / 1_000_000).unwrap_or_default().saturating_sub(limits.live_s));
    let mut live = Live::new(limits.clone());
    live.begin("clickhouse", from_s, shards);
    for row in progress.iter().filter(|row| row.parts > 0) {
        let Progress { seq, part, parts, clock_us, .. } = *row;
        live.shards_mut().begin_after(row.partition, Place { seq, part, parts, clock_us });
    }
    for up_to in lanes(&progress) {
        Loading { stored, live: &mut live, from_s, up_to, now_us }.lane().await?;
    }
    let next_offsets =
        progress.iter().filter_map(|row| Some((i32::try_from(row.partition).ok()?, row.next_offset)));
    Ok(Some(Cut { next_offsets: next_offsets.collect(), live }))
}

/// A lane's batch is the newest one of any of its partitions: a batch moves only the partitions it has records of.
fn lanes(progress: &[Progress]) -> Vec<UpTo> {
    let mut batches: BTreeMap<u16, u64> = BTreeMap::new();
    for row in progress {
        let batch = batches.entry(row.lane).or_default();
        *batch = row.last_batch.max(*batch);
    }
    batches.into_iter().map(|(lane, batch)| UpTo { lane, batch }).collect()
}

struct Loading<'a> {
    stored: &'a Stored,
    live: &'a mut Live,
    from_s: u32,
    up_to: UpTo,
    now_us: i64,
}

impl Loading<'_> {
    async fn lane(&mut self) -> Result<(), Error> {
        for grouping in [Grouping::CountsBySecond, Grouping::HistogramsByTen] {
            self.fold(&edges_sql(Tier::Second, grouping, true), edge).await?;
            self.fold(&services_sql(Tier::Second, grouping, true), service).await?;
            self.fold(&operations_sql(Tier::Second, grouping, true), operation).await?;
        }
        Ok(())
    }

    async fn fold<R>(&mut self, sql: &str, change: fn(R) -> Change) -> Result<(), Error>
    where
        R: clickhouse::RowOwned + clickhouse::RowRead,
    {
        let mut rows: RowCursor<R> = self.stored.cut(sql, self.from_s, self.up_to).fetch()?;
        let mut read = 0;
        while let Some(row) = rows.next().await? {
            self.live.add(change(row), self.now_us);
            read += 1;
            if read % ROWS_BETWEEN_BOUNDS == 0 {
                self.live.forget(self.now_us);
            }
        }
        Ok(())
    }
}

fn edge(row: EdgeRow) -> Change {
    let (client, server) = row.nodes();
    let calls = EdgeTotals {
        counts: row.counts(),
        callee: histogram(&row.callee, row.callee_sum),
        caller: histogram(&row.caller, row.caller_sum),
        wait: histogram(&row.wait, row.wait_sum),
    };
    let what = What::Edge { client, server, calls };
    Change {
        environment: row.environment.into(),
        operation: row.operation.into(),
        window_s: row.window,
        what,
    }
}

fn service(row: ServiceRow) -> Change {
    let requests = ServiceTotals {
        counts: row.counts(),
        latency: histogram(&row.latency, row.latency_sum),
        self_time: histogram(&row.self_time, row.self_sum),
        critical_path: histogram(&row.critical_path, row.critical_sum),
        versions: [row.version.as_str().into()].into(),
    };
    let what = What::Service { node: row.node(), requests };
    Change {
        environment: row.environment.into(),
        operation: row.operation.into(),
        window_s: row.window,
        what,
    }
}

fn operation(row: OperationRow) -> Change {
    let durations = histogram(&row.duration, row.duration_sum);
    let what = What::Operation { flows: FlowTotals { counts: row.counts(), durations } };
    Change {
        environment: row.environment.into(),
        operation: row.operation.into(),
        window_s: row.window,
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_as_far_as_its_newest_partition() {
        let row = |lane, partition, last_batch| Progress {
            lane,
            partition,
            last_batch,
            next_offset: 0,
            seq: 0,
            part: 0,
            parts: 0,
            clock_us: 0,
        };
        let lanes = lanes(&[row(0, 0, 5), row(0, 2, 9), row(1, 1, 3)]);
        assert_eq!(lanes, [UpTo { lane: 0, batch: 9 }, UpTo { lane: 1, batch: 3 }]);
    }
}
