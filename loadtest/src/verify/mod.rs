//! Compares every place where Weir gives an answer with the workload's known truth: nothing lost, nothing twice.

mod api;
mod compare;
mod report;
mod tables;
mod topics;

pub use report::{Check, Report};
pub use topics::read_whole;

use crate::demo::Targets;
use crate::truth::Truth;
use std::time::Duration;
use tokio::time::Instant;

/// How long answers may take to become whole: incomplete traces settle after 30 s of log time, then the store and
/// the coarser tables follow.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// After everything was equal once, how long to wait for something that comes twice.
const AFTERMATH: Duration = Duration::from_secs(4);

/// Looks until everything equals the truth, or patience ends; then once more, for what might still come.
///
/// # Errors
/// When Kafka, ClickHouse or the API can't be asked at all.
pub async fn verify(truth: &Truth, targets: &Targets) -> anyhow::Result<Report> {
    verify_within(PATIENCE, truth, targets).await
}

/// As [`verify`], with a patience of its own.
///
/// # Errors
/// When Kafka, ClickHouse or the API can't be asked at all.
pub async fn verify_within(patience: Duration, truth: &Truth, targets: &Targets) -> anyhow::Result<Report> {
    let give_up = Instant::now() + patience;
    loop {
        let report = look(truth, targets, Instant::now() >= give_up).await;
        match report {
            Ok(report) if report.is_equal() => break,
            Ok(report) if Instant::now() >= give_up => return Ok(report),
            Err(problem) if Instant::now() >= give_up => return Err(problem),
            Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    tokio::time::sleep(AFTERMATH).await;
    look(truth, targets, true).await
}

/// One look at everything; unless `whole` is asked for it ends at the first place that isn't there yet.
async fn look(truth: &Truth, targets: &Targets, whole: bool) -> anyhow::Result<Report> {
    let mut report = Report::new(truth);
    let tables = tables::Tables::new(targets, truth);
    for check in tables.checks().await? {
        report.add(check);
    }
    if whole || report.is_equal() {
        for check in topics::checks(truth, &targets.kafka).await? {
            report.add(check);
        }
    }
    if whole || report.is_equal() {
        for check in api::checks(truth, &targets.api).await? {
            report.add(check);
        }
    }
    report.note(tables.strangers().await?);
    Ok(report)
}
