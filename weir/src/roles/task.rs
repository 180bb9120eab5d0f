//! A role that runs as a task beside the others.

use anyhow::{Context, anyhow};
use process::Health;
use std::future::Future;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A draining role is given up after this; its open work is redone at the next start.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);

/// A running role.
pub struct Role {
    /// Its readiness.
    pub health: Health,
    name: &'static str,
    stop: CancellationToken,
    // None once its end has been told.
    task: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Role {
    /// Starts a role's `run` as a task.
    pub fn start<F>(name: &'static str, run: impl FnOnce(Health, CancellationToken) -> F) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        // A token of its own: roles are stopped one after the other, not by the signal all at once.
        let (health, stop) = (Health::new(), CancellationToken::new());
        let task = tokio::spawn(run(health.clone(), stop.clone()));
        Self { health, name, stop, task: Some(task) }
    }

    /// Why the role has ended by itself, if it has.
    pub async fn failure(&mut self) -> Option<anyhow::Error> {
        let ended = self.task.take_if(|task| task.is_finished())?;
        let name = self.name;
        Some(match outcome(ended).await {
            Ok(()) => anyhow!("{name} ended without being asked to"),
            Err(error) => error.context(format!("{name} failed")),
        })
    }

    /// Asks the role to stop and waits until it has brought what it holds to where it belongs.
    pub async fn drain(self) -> anyhow::Result<()> {
        self.stop.cancel();
        let Some(task) = self.task else { return Ok(()) };
        let name = self.name;
        match tokio::time::timeout(DRAIN_WITHIN, outcome(task)).await {
            Ok(outcome) => outcome.with_context(|| format!("{name} did not stop cleanly")),
            Err(_) => Err(anyhow!("{name} was still draining after {} s", DRAIN_WITHIN.as_secs())),
        }
    }
}

async fn outcome(task: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    match task.await {
        Ok(outcome) => outcome,
        Err(crash) => Err(anyhow::Error::new(crash)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_role_that_fails_tells_its_reason_once() {
        let mut role = Role::start("store", |_, _| async { Err(anyhow!("no tables")) });
        let failure = loop {
            if let Some(failure) = role.failure().await {
                break failure;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(format!("{failure:#}"), "store failed: no tables");
        assert!(role.failure().await.is_none());
        role.drain().await.unwrap();
    }

    #[tokio::test]
    async fn draining_waits_for_the_work_at_hand() {
        let mut role = Role::start("ingest", |health, stop| async move {
            stop.cancelled().await;
            health.ready("work", true, "brought home");
            Ok(())
        });
        assert!(role.failure().await.is_none());
        let health = role.health.clone();
        role.drain().await.unwrap();
        assert_eq!(health.parts()["work"].why, "brought home");
    }
}
