//! The ClickHouse tables as numbered migrations, from `clickhouse/`. A migration is never changed once released:
//! what comes later is a new number.

/// One numbered file of `clickhouse/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Counted from 1 without holes.
    pub number: u32,
    /// What it is about.
    pub name: &'static str,
    /// Its statements, each ended by `;` at the end of a line. Tables are unqualified: the connection's database.
    pub sql: &'static str,
}

macro_rules! migration {
    ($number:literal, $name:literal, $file:literal) => {
        Migration { number: $number, name: $name, sql: include_str!(concat!("../clickhouse/", $file)) }
    };
}

/// All migrations in order.
pub const ALL: &[Migration] = &[
    migration!(1, "functions", "0001_functions.sql"),
    migration!(2, "otel_traces", "0002_otel_traces.sql"),
    migration!(3, "edges", "0003_edges.sql"),
    migration!(4, "services", "0004_services.sql"),
    migration!(5, "operations", "0005_operations.sql"),
    migration!(6, "endpoints", "0006_endpoints.sql"),
    migration!(7, "flows", "0007_flows.sql"),
    migration!(8, "store_progress", "0008_store_progress.sql"),
    migration!(9, "views", "0009_views.sql"),
    migration!(10, "raw_deltas", "0010_raw_deltas.sql"),
    migration!(11, "store_progress_commit", "0011_store_progress_commit.sql"),
    migration!(12, "otel_traces_window", "0012_otel_traces_window.sql"),
    migration!(13, "flows_by_start", "0013_flows_by_start.sql"),
    migration!(14, "flow_places", "0014_flow_places.sql"),
    migration!(15, "hdr_bucket", "0015_hdr_bucket.sql"),
];

/// The migration without which no store writes.
pub const STORE_PROGRESS: u32 = 8;

/// Number of the last migration.
pub fn newest() -> u32 {
    ALL.last().map_or(0, |migration| migration.number)
}

/// The analyst's user, for servers that let Weir manage users; `{database}` stands for Weir's database.
pub const ANALYST: &str = include_str!("../clickhouse/analyst.sql");

/// Days that `otel_traces` keeps raw spans.
pub const RAW_RETENTION_DAYS: u32 = 7;

/// Days that `traces` and `flows_by_start` keep summaries of flows.
pub const FLOW_RETENTION_DAYS: u32 = 30;

/// Settings that every base table and every view target pins, with the least value that is safe. Without them a
/// repeated insert counts twice: in the table, or, where only a view's target lacks them, in the rollup.
pub const PINNED: [(&str, u64); 3] = [
    ("non_replicated_deduplication_window", 10_000),
    ("replicated_deduplication_window", 10_000),
    ("replicated_deduplication_window_seconds", 604_800),
];

impl Migration {
    /// Its statements without the final `;`.
    pub fn statements(&self) -> impl Iterator<Item = &'static str> {
        statements(self.sql)
    }
}

/// The statements of a file, comments included, without the final `;`.
pub fn statements(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(";\n")
        .map(str::trim)
        .filter(|statement| statement.lines().any(|line| !line.trim_start().starts_with("--")))
}

/// Names of all tables that hold rows, in the order of their creation.
pub fn tables() -> impl Iterator<Item = &'static str> {
    ALL.iter().flat_map(Migration::statements).filter_map(created_table)
}

fn created_table(statement: &str) -> Option<&str> {
    let (_, created) = statement.split_once("CREATE TABLE IF NOT EXISTS ")?;
    created.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_numbered_file_is_listed_and_numbers_have_no_holes() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/clickhouse");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with(|first: char| first.is_ascii_digit()))
            .collect();
        let listed: BTreeSet<String> =
            ALL.iter().map(|migration| format!("{:04}_{}.sql", migration.number, migration.name)).collect();
        assert_eq!(files, listed);
        assert!(ALL.iter().zip(1..).all(|(migration, number)| migration.number == number));
    }

    #[test]
    fn every_table_pins_what_makes_repeated_inserts_harmless() {
        let creations: Vec<&str> =
            ALL.iter().flat_map(Migration::statements).filter(|sql| created_table(sql).is_some()).collect();
        assert_eq!(creations.len(), tables().count());
        for creation in creations {
            for (setting, value) in PINNED {
                assert!(
                    creation.contains(&format!("{setting} = {value}")),
                    "{setting} is missing in\n{creation}"
                );
            }
        }
    }

    #[test]
    fn every_view_writes_into_a_table_of_ours() {
        let tables: BTreeSet<&str> = tables().collect();
        let targets = ALL.iter().flat_map(Migration::statements).filter_map(|statement| {
            let (_, view) = statement.split_once("CREATE MATERIALIZED VIEW IF NOT EXISTS ")?;
            view.split_whitespace().nth(2)
        });
        let targets: Vec<&str> = targets.collect();
        assert_eq!(targets.len(), 14);
        assert!(targets.iter().all(|target| tables.contains(target)), "{targets:?}");
    }

    #[test]
    fn the_store_writes_nothing_before_its_progress_has_a_table() {
        let found = ALL.iter().find(|migration| migration.sql.contains("EXISTS store_progress "));
        assert_eq!(found.map(|migration| migration.number), Some(STORE_PROGRESS));
    }

    #[test]
    fn retentions_are_those_in_the_tables() {
        let ttl = format!("TTL toDateTime(Timestamp) + INTERVAL {RAW_RETENTION_DAYS} DAY");
        assert!(ALL[1].sql.contains(&ttl));
        let ttl = format!("TTL toDateTime(start) + INTERVAL {FLOW_RETENTION_DAYS} DAY");
        for name in ["flows", "flows_by_start"] {
            let migration = ALL.iter().find(|migration| migration.name == name);
            assert!(migration.is_some_and(|migration| migration.sql.contains(&ttl)), "{name}");
        }
    }

    #[test]
    fn comments_alone_are_no_statement() {
        let sql = "-- first\nSELECT 1;\n-- why; not\nSELECT 2;\n\n-- the end\n";
        let found: Vec<&str> = statements(sql).collect();
        assert_eq!(found, ["-- first\nSELECT 1", "-- why; not\nSELECT 2"]);
    }
}
