//! Flows, page by page.

use super::lateness::{Lateness, lateness};
use super::page::Page;
use super::row::{self, FlowRow, Found};
use super::which::Which;
use super::{PageWords, SortWords, WhichWords};
use crate::App;
use crate::access::Access;
use crate::error::ApiError;
use crate::flow::{self, status_of};
use crate::graph::{EdgeAnswer, Graph, NodeAnswer};
use crate::live::feed::now_us;
use serde::Serialize;
use utoipa::ToSchema;

/// A page of flows.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowsAnswer {
    /// In the order that was asked for.
    pub flows: Vec<FlowListed>,
    /// How many match in all.
    pub total: u64,
    /// From 1; null where a cursor led here.
    pub page: Option<u32>,
    /// Flows on a full page.
    pub page_size: u32,
    /// `cursor` of the next page; null on the last one, and in the order of durations.
    pub next_cursor: Option<String>,
    /// How far the table is.
    pub staleness: Lateness,
}

/// One flow. Times are µs since the epoch, durations µs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct FlowListed {
    pub flow_id: String,
    pub operation_name: String,
    pub environment: String,
    /// The same as `flowId`.
    pub trace_id: String,
    pub start_time: i64,
    pub end_time: i64,
    /// The root span's own.
    pub duration: i64,
    /// `success`, `error` or `timeout`.
    pub status: &'static str,
    pub span_count: u32,
    /// Calls that failed anywhere below the root.
    pub error_count: u32,
    pub root_service: String,
    pub services: Vec<String>,
    pub ui_event: String,
    pub session_id: String,
    /// A keyed hash of the user's id.
    pub user_hash: String,
    /// Root seen, nothing dangling.
    pub complete: bool,
    /// The flow's own graph where one is stored: of failed, slow and sampled flows. null otherwise; `/flows/{flowId}`
    /// works it out.
    pub nodes: Option<Vec<NodeAnswer>>,
    /// As `nodes`.
    pub edges: Option<Vec<EdgeAnswer>>,
}

/// Flows that match, page by page.
///
/// # Errors
/// The words contradict each other, there can't be such a page, or ClickHouse can't answer.
pub async fn list(
    app: &App,
    access: &Access,
    which: WhichWords,
    page: PageWords,
    sort: SortWords,
) -> Result<FlowsAnswer, ApiError> {
    let which: Which = which.read("", &access.allowed, now_us(), &app.limits)?;
    let page = Page::read(&page, &sort)?;
    let staleness = lateness(app, which.from_s).await?;
    let Found { rows, total, next_cursor } = row::read(app, &which, &page).await?;
    let kept = rows.iter().map(|row| flow::Listed {
        flow_id: &row.trace_id,
        environment: &row.environment,
        start_us: row.start_us,
        duration_us: row.duration_us,
    });
    let mut graphs = flow::stored_graphs(app, &kept.collect::<Vec<_>>()).await?;
    let flows = rows.into_iter().map(|row| {
        let graph = graphs.remove(&row.trace_id);
        FlowListed::of(row, graph)
    });
    Ok(FlowsAnswer {
        flows: flows.collect(),
        total,
        page: page.after.is_none().then_some(page.page),
        page_size: page.size,
        next_cursor,
        staleness,
    })
}

impl FlowListed {
    fn of(row: FlowRow, graph: Option<Graph>) -> Self {
        let (nodes, edges) = graph.map(|graph| (graph.nodes, graph.edges)).unzip();
        Self {
            operation_name: row.operation,
            environment: row.environment,
            start_time: row.start_us,
            end_time: row.start_us.saturating_add(row.duration_us),
            duration: row.duration_us,
            status: status_of(&row.status),
            span_count: row.spans,
            error_count: row.errors,
            root_service: row.root_service,
            services: row.services,
            ui_event: row.ui_event,
            session_id: row.session_id,
            user_hash: row.user_hash,
            complete: row.complete,
            nodes,
            edges,
            flow_id: row.trace_id.clone(),
            trace_id: row.trace_id,
        }
    }
}
