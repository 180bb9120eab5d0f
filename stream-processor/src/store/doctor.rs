//! What a start of the store would find, and how its lanes stand, without starting: nobody is fenced and nothing is
//! written.

use super::Options;
use super::migrate::{applied, check_pinned, pending};
use clickhouse::{Client, Row};
use process::Finding;
use serde::Deserialize;

/// ClickHouse 26.7 loses what a full disk refuses.
const LEAST_FREE_BYTES: u64 = 1 << 30;

/// Looks at ClickHouse, at its tables and disks, and at every lane.
pub async fn examine(options: &Options) -> Vec<Finding> {
    let server = &options.clickhouse.clickhouse;
    let client = options.clickhouse.client();
    let outside = client.clone().with_database("default");
    let version = match outside.query("SELECT version()").fetch_one::<String>().await {
        Ok(version) => version,
        Err(error) => {
            return vec![Finding::degraded("ClickHouse", format!("{server} doesn't answer: {error}"))];
        }
    };
    let mut found = vec![Finding::ok("ClickHouse", format!("version {version} at {server}"))];
    found.extend(disks(&outside).await);
    found.push(tables(&client, &outside, &options.clickhouse.clickhouse_database).await);
    found
}

async fn tables(client: &Client, outside: &Client, database: &str) -> Finding {
    let part = "tables";
    let looked = async {
        let known = "SELECT count() FROM system.tables WHERE database = {database:String} AND name = 'schema_migrations'";
        if outside.query(known).param("database", database).fetch_one::<u64>().await? == 0 {
            return Ok(Finding::degraded(part, format!("the database {database} has no tables yet")));
        }
        let missing = pending(&applied(client).await?)?;
        if let Some(first) = missing.first() {
            let (count, number, name) = (missing.len(), first.number, first.name);
            return Ok(Finding::degraded(
                part,
                format!("{count} migrations are not applied yet, {number} {name} is the first"),
            ));
        }
        check_pinned(client, database).await?;
        Ok(Finding::ok(
            part,
            format!("all migrations are applied to {database}, and repeated inserts count once"),
        ))
    };
    looked.await.unwrap_or_else(|why: anyhow::Error| Finding::refused(part, format!("{why:#}")))
}

#[derive(Row, Deserialize)]
struct Disk {
    name: String,
    /// What an insert may still use.
    usable: u64,
    kept_free: u64,
}

async fn disks(client: &Client) -> Vec<Finding> {
    let asked = "SELECT name, toUInt64(greatest(unreserved_space - keep_free_space, 0)) AS usable, \
                 keep_free_space AS kept_free FROM system.disks ORDER BY name";
    match client.query_raw(asked).fetch_all::<Disk>().await {
        Err(error) => {
            vec![Finding::degraded("disks", format!("ClickHouse doesn't tell about them: {error}"))]
        }
        Ok(disks) => disks.iter().map(disk).collect(),
    }
}

fn disk(disk: &Disk) -> Finding {
    let (part, mib) = (format!("disk {}", disk.name), disk.usable >> 20);
    if disk.usable < LEAST_FREE_BYTES {
        return Finding::degraded(part, format!("only {mib} MiB are free for ClickHouse"));
    }
    let kept = match disk.kept_free {
        0 => ", none are kept free".to_owned(),
        bytes => format!(", the last {} MiB are kept free", bytes >> 20),
    };
    Finding::ok(part, format!("{mib} MiB are free{kept}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use process::Level;

    #[test]
    fn a_disk_needs_room() {
        let look = |usable: u64, kept_free: u64| disk(&Disk { name: "default".into(), usable, kept_free });
        assert_eq!(look(5 << 30, 256 << 20).what, "5120 MiB are free, the last 256 MiB are kept free");
        assert_eq!(look(5 << 30, 0).level, Level::Ok);
        let full = look(300 << 20, 0);
        assert_eq!(
            (full.level, full.what.as_str()),
            (Level::Degraded, "only 300 MiB are free for ClickHouse")
        );
    }
}
