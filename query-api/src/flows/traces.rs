//! Traces, page by page: flows, found by what their raw spans say too.

use super::attribute::Attribute;
use super::lateness::{Lateness, lateness, lateness_with_spans};
use super::page::Page;
use super::row::{self, FlowRow, Found};
use super::{PageWords, SortWords, Which, WhichWords};
use crate::App;
use crate::access::{Access, Role};
use crate::error::ApiError;
use crate::flow::status_of;
use crate::live::feed::now_us;
use serde::Serialize;
use utoipa::ToSchema;

/// A page of traces.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TracesAnswer {
    /// In the order that was asked for.
    pub traces: Vec<TraceListed>,
    /// How many match in all.
    pub total: u64,
    /// From 1; null where a cursor led here.
    pub page: Option<u32>,
    /// Traces on a full page.
    pub page_size: u32,
    /// `cursor` of the next page; null on the last one, and in the order of durations.
    pub next_cursor: Option<String>,
    /// How far the tables are.
    pub staleness: Lateness,
}

/// One trace. Times are µs since the epoch, durations µs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct TraceListed {
    pub trace_id: String,
    pub operation_name: String,
    pub environment: String,
    pub start_time: i64,
    /// The root span's own.
    pub duration: i64,
    /// `success`, `error` or `timeout`.
    pub status: &'static str,
    pub span_count: u32,
    pub service_count: usize,
    pub root_service: String,
    pub root_name: String,
}

/// Traces that match, page by page. What attributes a span has is for analysts to know, so it is for them to ask.
///
/// # Errors
/// The words contradict each other, there can't be such a page, the caller may not ask, or ClickHouse can't answer.
pub async fn list(
    app: &App,
    access: &Access,
    which: WhichWords,
    attributes: &[String],
    (page, sort): (PageWords, SortWords),
) -> Result<TracesAnswer, ApiError> {
    let attributes = Attribute::read(attributes, &app.limits)?;
    let mut which = which.read("", &access.allowed, now_us(), &app.limits)?;
    let page = Page::read(&page, &sort)?;
    let staleness = if attributes.is_empty() {
        lateness(app, which.from_s).await?
    } else {
        access.at_least(Role::Analyst)?;
        lateness_with_spans(app, which.from_s).await?
    };
    which.with_attributes(&attributes);
    let Found { rows, total, next_cursor } = row::read(app, &which, &page).await?;
    Ok(TracesAnswer {
        next_cursor,
        traces: rows.into_iter().map(TraceListed::of).collect(),
        total,
        page: page.after.is_none().then_some(page.page),
        page_size: page.size,
        staleness,
    })
}

/// The youngest flows that match.
///
/// # Errors
/// There can't be so many, or ClickHouse can't answer.
pub async fn youngest(app: &App, which: &Which, limit: u32) -> Result<Vec<FlowRow>, ApiError> {
    let page = PageWords { page: None, page_size: Some(limit) };
    let page = Page::read(&page, &SortWords::default())?;
    row::page(app, which, &page).await
}

impl TraceListed {
    fn of(row: FlowRow) -> Self {
        Self {
            trace_id: row.trace_id,
            operation_name: row.operation,
            environment: row.environment,
            start_time: row.start_us,
            duration: row.duration_us,
            status: status_of(&row.status),
            span_count: row.spans,
            service_count: row.services.len(),
            root_service: row.root_service,
            root_name: row.root_name,
        }
    }
}
