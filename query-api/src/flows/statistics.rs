//! Flows that match, counted and measured.

use super::WhichWords;
use super::lateness::{Lateness, lateness};
use super::which::Which;
use crate::App;
use crate::access::Access;
use crate::counts::OperationCounts;
use crate::error::ApiError;
use crate::flow::status_of;
use crate::histogram::Histogram;
use crate::hub::frame::{Totals, WindowAnswer};
use crate::live::feed::now_us;
use crate::totals::FlowTotals;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Statistics of the flows that match.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatisticsAnswer {
    /// Flows that began in the range and have closed, adjusted for sampling.
    pub totals: Totals,
    /// When they began.
    pub window: WindowAnswer,
    /// How far the table is.
    pub staleness: Lateness,
}

/// Flows of one status whose durations lie in one bucket. Counts are in thousandths.
#[derive(Debug, Row, Deserialize)]
struct Bucket {
    status: String,
    bucket: u16,
    flows: i64,
    raw: i64,
    sum_us: i64,
}

/// How many flows match, how they ended and how long they took.
///
/// # Errors
/// The words contradict each other, or ClickHouse can't answer.
pub async fn statistics(app: &App, access: &Access, which: WhichWords) -> Result<StatisticsAnswer, ApiError> {
    let now_us = now_us();
    let which = which.read("", &access.allowed, now_us, &app.limits)?;
    let staleness = lateness(app, which.from_s).await?;
    let sql = format!(
        "SELECT toString(status) AS status, hdrBucket(duration_us) AS bucket, toInt64(sum(weight) * 1000) AS flows, \
                toInt64(count() * 1000) AS raw, toInt64(sum(duration_us * weight) * 1000) AS sum_us \
         FROM flows_by_start WHERE {} GROUP BY status, bucket ORDER BY bucket SETTINGS prefer_column_name_to_alias = 1",
        which.sql()
    );
    let _turn = app.stored.turn().await;
    let buckets = which.bind(app.stored.ask(&sql)).fetch_all().await;
    let totals = added(buckets.map_err(|error| ApiError::store_unavailable(&error))?);
    let window = window(&which, now_us);
    Ok(StatisticsAnswer { totals: Totals::of(&totals, window.seconds), window, staleness })
}

fn added(buckets: Vec<Bucket>) -> FlowTotals {
    let mut counts = OperationCounts::default();
    for Bucket { status, flows, raw, .. } in &buckets {
        let if_so = |is: bool| if is { *flows } else { 0 };
        counts.flows += flows;
        counts.errors += if_so(status_of(status) != "success");
        counts.timeouts += if_so(status_of(status) == "timeout");
        counts.raw_flows += raw;
    }
    let sum_us = buckets.iter().map(|bucket| bucket.sum_us).sum();
    let durations = buckets.into_iter().map(|Bucket { bucket, flows, .. }| (u32::from(bucket), flows));
    FlowTotals { counts, durations: Histogram::from_buckets(durations, sum_us).0 }
}

/// Nothing begins after now, so a rate doesn't divide by the future.
fn window(which: &Which, now_us: i64) -> WindowAnswer {
    let us = |second: u32| i64::from(second) * 1_000_000;
    let (from, to) = (us(which.from_s), us(which.to_s));
    let seconds = (to.min(now_us) - from).max(1_000_000) as f64 / 1e6;
    WindowAnswer { from, to, seconds: (seconds * 10.0).round() / 10.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_add_up_and_share_a_histogram() {
        let of = |status: &str, bucket, flows, sum_us| {
            let status = status.to_owned();
            Bucket { status, bucket, flows, raw: 1_000, sum_us }
        };
        let totals = added(vec![
            of("success", 10, 4_000, 40_000),
            of("error", 10, 1_000, 10_000),
            of("timeout", 200, 1_000, 200_000),
        ]);
        let OperationCounts { flows, errors, timeouts, raw_flows } = totals.counts;
        assert_eq!((flows, errors, timeouts, raw_flows), (6_000, 2_000, 1_000, 3_000));
        assert_eq!(totals.durations.buckets(), [(10, 5_000), (200, 1_000)]);
        assert_eq!(totals.durations.sum_milli_us(), 250_000);
    }
}
