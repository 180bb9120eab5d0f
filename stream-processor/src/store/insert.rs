//! Sends blocks to ClickHouse until it acknowledges them.

use super::block::Block;
use super::failure::Failure;
use super::metrics::{Metrics, OfTable};
use clickhouse::Client;
use process::{ClickHouseOptions, Health};
use std::time::{Duration, Instant, SystemTime};
use tokio_util::sync::CancellationToken;

/// Health of what inserts go to.
pub const PART: &str = "clickhouse";
const SEND_WITHIN: Duration = Duration::from_secs(30);
const ANSWER_WITHIN: Duration = Duration::from_secs(180);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Whoever has waited for so long has to look first whether the lane is still theirs.
const GIVE_UP_AFTER: Duration = Duration::from_secs(300);

/// A connection for inserts; clones share it.
#[derive(Clone)]
pub struct Inserter {
    client: Client,
    health: Health,
    metrics: Metrics,
}

impl Inserter {
    /// Asks the server which settings make inserts repeatable, and fixes them for every insert: a server's or
    /// user's defaults can't turn them off.
    pub async fn open(options: &ClickHouseOptions, health: Health, metrics: Metrics) -> anyhow::Result<Self> {
        let mut client = options
            .client()
            .with_setting("async_insert", "0")
            .with_setting("insert_deduplicate", "1")
            .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
            .with_setting("max_insert_block_size", "1048449");
        let known = "SELECT count() FROM system.settings WHERE name = 'deduplicate_insert'";
        if client.query_raw(known).fetch_one::<u64>().await? > 0 {
            client = client.with_setting("deduplicate_insert", "enable");
        }
        Ok(Self { client, health, metrics })
    }

    /// The client, for queries.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a block until ClickHouse has it. While it doesn't answer, the lane waits here and reads nothing.
    ///
    /// # Errors
    /// The stop, or ClickHouse has not taken it for long.
    pub async fn insert(&self, block: &Block, stop: &CancellationToken) -> Result<(), Failure> {
        let table = OfTable { table: block.table.name };
        let mut pause = FIRST_PAUSE;
        // The only clock that goes on while a machine is suspended.
        let first_tried = SystemTime::now();
        loop {
            if first_tried.elapsed().is_ok_and(|waited| waited > GIVE_UP_AFTER) {
                return Err(Failure::Retry(format!("ClickHouse does not take rows of {}", table.table)));
            }
            let begun = Instant::now();
            match self.send(block).await {
                Ok(()) => {
                    self.metrics.insert_seconds.get_or_create(&table).observe(begun.elapsed().as_secs_f64());
                    self.metrics.rows.get_or_create(&table).inc_by(block.rows as u64);
                    self.health.ready(PART, true, "");
                    return Ok(());
                }
                Err(error) => {
                    self.metrics.insert_retries.get_or_create(&table).inc();
                    self.health.ready(PART, false, &format!("insert into {}: {error}", table.table));
                    tracing::warn!(table = table.table, token = block.token, rows = block.rows, %error, "insert failed");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return Err(Failure::Stopped),
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        }
    }

    async fn send(&self, block: &Block) -> clickhouse::error::Result<()> {
        let sql = format!("INSERT INTO {} ({}) FORMAT RowBinary", block.table.name, block.table.columns);
        let mut insert = self
            .client
            .insert_formatted_with(sql)
            .with_setting("insert_deduplication_token", &block.token)
            .with_timeouts(Some(SEND_WITHIN), Some(ANSWER_WITHIN));
        for piece in block.pieces() {
            insert.send(piece).await?;
        }
        insert.end().await
    }
}
