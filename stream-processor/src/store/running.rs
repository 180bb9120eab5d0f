//! A lane's thread.

use super::failure::Failure;
use super::lane::Lane;
use super::metrics::Metrics;
use super::servers::Servers;
use super::worker::{Rules, Worker, taken_from};
use std::thread;
use std::time::Duration;

const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Runs a lane until the stop. After any failure of Kafka it starts again from its journal.
///
/// # Errors
/// What starting again can't mend.
pub fn run(servers: &impl Servers, lane: &Lane, rules: &Rules, metrics: &Metrics) -> Result<(), Failure> {
    while !servers.is_stopped() {
        let worked = Worker::start(servers, lane, rules, metrics).and_then(|mut worker| {
            servers.report(true, "");
            worker.work()
        });
        let failure = match worked {
            Ok(()) | Err(Failure::Stopped) => return Ok(()),
            Err(failure) => failure,
        };
        servers.report(false, &failure.to_string());
        match failure {
            Failure::Fenced(why) if is_ours(servers, rules) => {
                tracing::warn!(lane = lane.number, "the lane was fenced, but nobody has taken it: {why}");
            }
            Failure::Retry(why) => {
                tracing::warn!(lane = lane.number, "the lane starts again from its journal: {why}");
            }
            failure => return Err(failure),
        }
        if !servers.is_stopped() {
            thread::sleep(PAUSE_AFTER_FAILURE);
        }
    }
    Ok(())
}

/// Whether nobody else has written that the lane is theirs.
fn is_ours(servers: &impl Servers, rules: &Rules) -> bool {
    matches!(taken_from(&rules.owner, servers), Ok(None))
}
