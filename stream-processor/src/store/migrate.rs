//! Tables first: applies the numbered migrations and refuses to write where a repeated insert would count twice.

use anyhow::{Context, bail, ensure};
use clickhouse::{Client, Row};
use process::ClickHouseOptions;
use schemas::migrations::{self, Migration};
use serde::Deserialize;

const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    number UInt32, name String, applied_at DateTime('UTC') DEFAULT now()
) ENGINE = ReplacingMergeTree ORDER BY number";

/// Creates the tables in a new database, and checks what exactly-once inserts rest on. Does nothing where that has been
/// done; several processes may do it at once. A database that a store has written to is moved on by the store alone,
/// which finishes batches first.
///
/// # Errors
/// ClickHouse can't be reached or refuses; the database was made by a newer Weir; a table lacks pinned settings.
pub async fn migrate(options: &ClickHouseOptions) -> anyhow::Result<()> {
    let schema = Schema::look(options).await?;
    if schema.needs_finished_batches() { Ok(()) } else { schema.apply().await }
}

/// A database, and what it lacks.
pub struct Schema {
    client: Client,
    database: String,
    pending: Vec<&'static Migration>,
    /// A store may have written to it.
    is_used: bool,
}

impl Schema {
    /// Looks at the database, creating it if there is none.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses; the database was made by a newer Weir.
    pub async fn look(options: &ClickHouseOptions) -> anyhow::Result<Self> {
        let database = options.clickhouse_database.clone();
        ensure!(
            !database.is_empty() && database.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
            "the database name {database:?} may only hold letters, digits and underscores"
        );
        let client = options.client();
        let create = format!("CREATE DATABASE IF NOT EXISTS {database}");
        client
            .clone()
            .with_database("default")
            .query_raw(&create)
            .execute()
            .await
            .context("can't create the database")?;
        client.query_raw(VERSIONS).execute().await.context("can't create schema_migrations")?;
        let applied = applied(&client).await?;
        let is_used = applied.contains(&migrations::STORE_PROGRESS);
        Ok(Self { client, database, pending: pending(&applied)?, is_used })
    }

    /// Whether a batch that was begun must be done before [`Self::apply`]: sent again afterwards it would reach view
    /// targets that had no part in it, or tables it doesn't fit.
    pub fn needs_finished_batches(&self) -> bool {
        self.is_used && !self.pending.is_empty()
    }

    /// Brings the database to the newest schema and checks it.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses; a table lacks pinned settings.
    pub async fn apply(self) -> anyhow::Result<()> {
        let Self { client, database, pending, .. } = self;
        for migration in pending {
            apply(&client, migration)
                .await
                .with_context(|| format!("migration {} {}", migration.number, migration.name))?;
            tracing::info!(number = migration.number, name = migration.name, database, "migration applied");
        }
        check_pinned(&client, &database).await?;
        create_analyst(&client, &database).await;
        Ok(())
    }
}

pub(super) async fn applied(client: &Client) -> anyhow::Result<Vec<u32>> {
    let query = "SELECT DISTINCT number FROM schema_migrations ORDER BY number";
    client.query_raw(query).fetch_all().await.context("can't read schema_migrations")
}

/// The migrations that are not in `applied`; refuses a database with numbers this program doesn't know.
pub(super) fn pending(applied: &[u32]) -> anyhow::Result<Vec<&'static Migration>> {
    let newest = migrations::newest();
    if let Some(unknown) = applied.iter().find(|number| **number > newest) {
        bail!(
            "the database has migration {unknown}, this program knows {newest}: run the newer Weir that made it"
        );
    }
    Ok(migrations::ALL.iter().filter(|migration| !applied.contains(&migration.number)).collect())
}

async fn apply(client: &Client, migration: &Migration) -> anyhow::Result<()> {
    for statement in migration.statements() {
        client.query_raw(statement).execute().await.with_context(|| first_line(statement).to_owned())?;
    }
    let record = "INSERT INTO schema_migrations (number, name) SELECT {number:UInt32}, {name:String}";
    client.query(record).param("number", migration.number).param("name", migration.name).execute().await?;
    Ok(())
}

fn first_line(statement: &str) -> &str {
    statement.lines().find(|line| !line.trim_start().starts_with("--")).unwrap_or(statement)
}

#[derive(Row, Deserialize)]
struct Table {
    name: String,
    engine_full: String,
}

/// Every base table and view target must remember the tokens of past inserts.
pub(super) async fn check_pinned(client: &Client, database: &str) -> anyhow::Result<()> {
    let query = "SELECT name, engine_full FROM system.tables WHERE database = {database:String}";
    let tables: Vec<Table> = client.query(query).param("database", database).fetch_all().await?;
    for name in migrations::tables() {
        let table = tables.iter().find(|table| table.name == name);
        let Some(table) = table else {
            bail!("table {database}.{name} is missing though its migration was applied")
        };
        if let Some((setting, least)) = unpinned(&table.engine_full) {
            bail!(
                "table {database}.{name} would count a repeated insert twice; mend it with \
                 ALTER TABLE {database}.{name} MODIFY SETTING {setting} = {least}"
            );
        }
    }
    Ok(())
}

/// The first pinned setting that a table definition lacks.
fn unpinned(engine_full: &str) -> Option<(&'static str, u64)> {
    migrations::PINNED.into_iter().find(|(setting, least)| {
        let value = engine_full.split_once("SETTINGS ").and_then(|(_, settings)| {
            settings.split(',').find_map(|pair| {
                pair.trim().strip_prefix(setting)?.trim().strip_prefix('=')?.trim().parse().ok()
            })
        });
        value.is_none_or(|value: u64| value < *least)
    })
}

/// Asks the server for a user `analyst`. A server may keep that to itself; then it says how to get one.
async fn create_analyst(client: &Client, database: &str) {
    let known = "SELECT count() FROM system.users WHERE name = 'analyst'";
    if client.query_raw(known).fetch_one::<u64>().await.is_ok_and(|users| users > 0) {
        return;
    }
    for statement in migrations::statements(migrations::ANALYST) {
        let statement = statement.replace("{database}", database);
        if let Err(error) = client.query_raw(&statement).execute().await {
            tracing::warn!(
                %error,
                "ClickHouse doesn't let this user create the read-only user `analyst`; \
                 create it as schemas/clickhouse/analyst.sql says"
            );
            return;
        }
    }
    tracing::info!(database, "read-only user `analyst` created");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_missing_migrations_are_applied() {
        let numbers = |applied: &[u32]| -> Vec<u32> {
            pending(applied).unwrap().iter().map(|migration| migration.number).collect()
        };
        let all: Vec<u32> = migrations::ALL.iter().map(|migration| migration.number).collect();
        assert_eq!(numbers(&[]), all);
        assert_eq!(numbers(&[1]), all[1..]);
        assert_eq!(numbers(&all), [0_u32; 0]);
    }

    #[test]
    fn a_newer_database_is_refused() {
        let error = pending(&[1, 2, 4_000]).unwrap_err().to_string();
        assert!(error.contains("migration 4000"), "{error}");
    }

    #[test]
    fn pins_are_read_from_the_definition() {
        let good = "MergeTree ORDER BY x SETTINGS non_replicated_deduplication_window = 10000, \
                    replicated_deduplication_window = 20000, replicated_deduplication_window_seconds = 604800, \
                    index_granularity = 8192";
        assert_eq!(unpinned(good), None);
        let small = good.replace("_window = 10000", "_window = 100");
        assert_eq!(unpinned(&small), Some(("non_replicated_deduplication_window", 10_000)));
        assert_eq!(unpinned("MergeTree ORDER BY x"), Some(("non_replicated_deduplication_window", 10_000)));
    }
}
