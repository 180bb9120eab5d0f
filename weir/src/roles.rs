//! The roles: as subcommands of their own, and together in the process of `weir up`.

use crate::up::Options;
use process::{ClickHouseOptions, KafkaOptions};

/// A role that runs as a task.
pub struct Role;

/// Applies migrations.
pub async fn migrate(_: &ClickHouseOptions) -> anyhow::Result<()> {
    Ok(())
}
pub fn start_all(_: &Options, _: &KafkaOptions, _: &ClickHouseOptions) -> anyhow::Result<Vec<Role>> {
    Ok(vec![])
}
pub async fn all_ready(_: &mut [Role]) -> anyhow::Result<()> {
    Ok(())
}
pub async fn first_failure(_: &mut [Role]) -> anyhow::Error {
    std::future::pending().await
}
impl Role {
    pub async fn drain(self) -> anyhow::Result<()> {
        Ok(())
    }
}
