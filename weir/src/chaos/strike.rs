//! Carries out a schedule: strikes, and waits until everything works again.

use super::installation::Component;
use super::record::{Record, Struck};
use super::schedule::{Episode, Fault, Kind, Target};
use super::volume::Volume;
use anyhow::{Context, bail};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Time between two looks at everybody.
const LOOK: Duration = Duration::from_millis(100);
/// Looks in a row at which all is well: a role may not have noticed yet that a server is gone.
const STEADY: u32 = 3;
/// After this, a process counts as not coming back.
const RECOVERY: Duration = Duration::from_secs(300);
/// How long a victim that is just being started again is waited for.
const VICTIM: Duration = Duration::from_secs(60);

/// Everybody is ready.
pub struct Ready {
    /// Since when.
    pub since: Instant,
    /// What the last ones said before they were.
    pub last: Vec<String>,
}

/// The processes and their disks.
pub struct Arena {
    /// Every process.
    pub components: Vec<Component>,
    /// The disks that can be full.
    pub volumes: Vec<(Target, Volume)>,
}

impl Arena {
    /// Carries out all episodes; each is noted in `record`.
    ///
    /// # Errors
    /// Something doesn't come back, or a fault can't be carried out.
    pub async fn play(self: &Arc<Self>, schedule: &[Episode], record: &mut Record) -> anyhow::Result<()> {
        for episode in schedule {
            let struck = self.play_one(episode, record).await?;
            let over = Instant::now();
            let ready = self.wait_ready().await?;
            record.recovered(struck, ready.since.saturating_duration_since(over), &ready.last);
        }
        Ok(())
    }

    /// Strikes each fault in its time, while those before it go on; returns when all of them are over.
    async fn play_one(
        self: &Arc<Self>,
        episode: &Episode,
        record: &mut Record,
    ) -> anyhow::Result<Vec<Struck>> {
        let mut strikes = JoinSet::new();
        let mut struck = Vec::new();
        for fault in episode {
            sleep(fault.after).await;
            struck.push(record.strikes(*fault, !strikes.is_empty()));
            let (arena, fault) = (Arc::clone(self), *fault);
            strikes.spawn(async move { arena.strike(fault).await.with_context(|| fault.to_string()) });
        }
        while let Some(ended) = strikes.join_next().await {
            ended??;
        }
        Ok(struck)
    }

    async fn strike(&self, fault: Fault) -> anyhow::Result<()> {
        let victim = &self.component(fault.target)?.handle;
        match fault.kind {
            Kind::Kill => until_struck(|| victim.kill()).await?,
            Kind::Pause(time) => {
                until_struck(|| victim.pause()).await?;
                sleep(time).await;
                victim.resume();
            }
            Kind::Away(time) => {
                victim.hold();
                until_struck(|| victim.kill()).await?;
                sleep(time).await;
                victim.release();
            }
            Kind::DiskFull(time) => {
                let (_, volume) = self
                    .volumes
                    .iter()
                    .find(|(target, _)| *target == fault.target)
                    .context("it has no disk of its own")?;
                volume.fill()?;
                sleep(time).await;
                volume.free()?;
            }
        }
        Ok(())
    }

    fn component(&self, target: Target) -> anyhow::Result<&Component> {
        let found = self.components.iter().find(|component| component.target == target);
        found.with_context(|| format!("there is no {target}"))
    }

    /// Returns when everybody is ready.
    ///
    /// # Errors
    /// Somebody is not, for too long.
    pub async fn wait_ready(self: &Arc<Self>) -> anyhow::Result<Ready> {
        let began = Instant::now();
        let (mut ready, mut looks) = (Ready { since: began, last: Vec::new() }, 0);
        loop {
            let looked = Instant::now();
            let trouble = self.trouble().await;
            if trouble.is_empty() {
                if looks == 0 {
                    ready.since = looked;
                }
                looks += 1;
                if looks == STEADY {
                    return Ok(ready);
                }
            } else if began.elapsed() > RECOVERY {
                bail!("not ready after {} s: {}", RECOVERY.as_secs(), trouble.join("; "));
            } else {
                looks = 0;
                ready.last = trouble;
            }
            sleep(LOOK).await;
        }
    }

    /// What everybody who isn't ready says; all are asked at once.
    async fn trouble(&self) -> Vec<String> {
        let mut looks = JoinSet::new();
        for component in &self.components {
            let component = component.clone();
            looks.spawn_blocking(move || component.trouble());
        }
        let mut troubles: Vec<String> = looks.join_all().await.into_iter().flatten().collect();
        troubles.sort();
        troubles
    }
}

/// A victim that has just ended by itself is struck once it is back.
async fn until_struck(mut strike: impl FnMut() -> bool) -> anyhow::Result<()> {
    let began = Instant::now();
    while !strike() {
        if began.elapsed() > VICTIM {
            bail!("there was no process to strike for {} s", VICTIM.as_secs());
        }
        sleep(LOOK).await;
    }
    Ok(())
}
