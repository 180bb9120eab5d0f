//! Rows of `flows_by_start`.

use super::page::{Cursor, Page};
use super::which::Which;
use crate::App;
use crate::error::ApiError;
use clickhouse::Row;
use clickhouse::error::Error;
use serde::Deserialize;

/// The summary of one flow. Times are µs.
#[derive(Debug, Row, Deserialize)]
#[allow(missing_docs, reason = "the columns are documented in schemas/clickhouse")]
pub struct FlowRow {
    pub trace_id: String,
    pub start_us: i64,
    pub environment: String,
    pub operation: String,
    pub status: String,
    pub duration_us: i64,
    pub spans: u32,
    pub errors: u32,
    pub services: Vec<String>,
    pub root_service: String,
    pub root_name: String,
    pub ui_event: String,
    pub session_id: String,
    pub user_hash: String,
    pub complete: bool,
}

const COLUMNS: &str = "lower(hex(id)) AS trace_id, toUnixTimestamp64Micro(start) AS start_us, \
    toString(environment) AS environment, toString(operation) AS operation, toString(status) AS status, duration_us, \
    spans, errors, CAST(services, 'Array(String)') AS services, toString(root_service) AS root_service, \
    toString(root_name) AS root_name, toString(ui_event) AS ui_event, session_id, user_hash, complete";

/// A page, and what is beyond it.
pub struct Found {
    /// The page.
    pub rows: Vec<FlowRow>,
    /// How many match in all.
    pub total: u64,
    /// What leads to the next page.
    pub next_cursor: Option<String>,
}

/// A page of the flows that match, and how many match in all.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn read(app: &App, which: &Which, page: &Page) -> Result<Found, ApiError> {
    let total = format!("SELECT count() FROM flows_by_start WHERE {}", which.sql());
    let _turn = app.stored.turn().await;
    let total = which.bind(app.stored.ask(&total)).fetch_one();
    // A row more says whether there is a next page.
    let found = tokio::try_join!(on_page(app, which, page, 1), total);
    let (mut rows, total) = found.map_err(|error| ApiError::store_unavailable(&error))?;
    let next_cursor = page.cut(&mut rows, FlowRow::cursor);
    Ok(Found { rows, total, next_cursor })
}

/// A page of the flows that match.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn page(app: &App, which: &Which, page: &Page) -> Result<Vec<FlowRow>, ApiError> {
    let _turn = app.stored.turn().await;
    on_page(app, which, page, 0).await.map_err(|error| ApiError::store_unavailable(&error))
}

async fn on_page(app: &App, which: &Which, page: &Page, more: u32) -> Result<Vec<FlowRow>, Error> {
    // The columns' own names mean the table's columns, not the texts that are made of them.
    let settings = "SETTINGS prefer_column_name_to_alias = 1";
    let sql =
        format!("SELECT {COLUMNS} FROM flows_by_start WHERE {}{} {settings}", which.sql(), page.sql(more));
    which.bind(app.stored.ask(&sql)).fetch_all().await
}

impl FlowRow {
    /// Where the flow stands among all by time.
    pub fn cursor(&self) -> Cursor {
        Cursor { start_us: self.start_us, id: u128::from_str_radix(&self.trace_id, 16).unwrap_or_default() }
    }
}
