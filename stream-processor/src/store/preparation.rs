//! ClickHouse before the first insert: waited for, and brought to the newest schema.

use super::failure::Failure;
use super::insert::{Inserter, PART};
use super::lane::Lane;
use super::metrics::Metrics;
use super::migrate::Schema;
use super::options::Options;
use super::real::Real;
use super::{Shared, owner, running};
use anyhow::Context;
use process::Health;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

const TRY_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Waits for ClickHouse and prepares it; `None` when stopped before. Only what waiting can mend is waited for.
///
/// # Errors
/// What it can't: the tables can't work, or a begun batch needs another program.
pub async fn prepare(
    options: &Options,
    journal_partitions: i32,
    lanes: &[Lane],
    (metrics, health): (&Metrics, &Health),
    stop: &CancellationToken,
) -> anyhow::Result<Option<Arc<Shared>>> {
    let rules = options.rules(&owner());
    while !stop.is_cancelled() {
        let prepared = async {
            let schema = Schema::look(&options.clickhouse).await?;
            let inserter = Inserter::open(&options.clickhouse, health.clone(), metrics.clone()).await?;
            let (options, rules) = (options.clone(), rules.clone());
            let (metrics, health) = (metrics.clone(), health.clone());
            let shared = Arc::new(Shared { options, rules, journal_partitions, inserter, metrics, health });
            bring_up(schema, &shared, lanes, stop).await?;
            anyhow::Ok(shared)
        };
        match prepared.await {
            Ok(shared) => {
                health.ready(PART, true, "");
                return Ok(Some(shared));
            }
            Err(error) if is_passing(&error) => {
                health.ready(PART, false, &format!("{error:#}"));
                tracing::warn!("tables: {error:#}");
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(TRY_AGAIN_AFTER) => {}
        }
    }
    Ok(None)
}

/// Brings the tables to the newest schema. Where a store has written, every lane is taken before anything changes.
async fn bring_up(
    schema: Schema,
    shared: &Arc<Shared>,
    lanes: &[Lane],
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    if schema.needs_finished_batches() {
        for lane in lanes {
            let (shared, lane) = (Arc::clone(shared), lane.clone());
            let (runtime, stop) = (Handle::current(), stop.clone());
            let taken = tokio::task::spawn_blocking(move || {
                let servers = Real::new(&shared, &lane, &runtime, &stop);
                running::take_for_schema(&servers, &lane, &shared.rules, &shared.metrics)
            });
            taken.await?.context("the tables are not changed before every batch is done")?;
        }
    }
    schema.apply().await
}

fn is_passing(error: &anyhow::Error) -> bool {
    use clickhouse::error::Error;
    error.chain().any(|cause| {
        matches!(cause.downcast_ref::<Error>(), Some(Error::Network(_) | Error::TimedOut))
            || cause.downcast_ref::<Failure>().is_some_and(|failure| !matches!(failure, Failure::Refused(_)))
    })
}
