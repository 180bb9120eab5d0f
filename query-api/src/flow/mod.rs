//! One flow with its graph: worked out from its raw spans while they are there, else as it was stored.

mod computed;
mod kept;
mod many;
mod place;
mod sequence;
mod summary;

use crate::App;
use crate::access::Access;
use crate::ask::At;
use crate::error::ApiError;
use crate::graph::{Graph, StatusRules};
use crate::rest::Problems;
use crate::spans::{self, OfSpans, SpanRow};
use axum::Json;
use axum::extract::State;
use kept::Kept;
pub use kept::{Listed, stored_graphs};
pub use many::find_many;
pub use place::Place;
use reader::Semconv;
use sequence::Call;
use serde::Serialize;
use summary::Summary;
pub use summary::status_of;
use utoipa::ToSchema;

/// A flow. The id is the trace's.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct FlowAnswer {
    pub flow_id: String,
    pub operation_name: String,
    pub environment: String,
    /// null where neither the spans nor a graph are left. Counts are those of this flow, whatever it stands for.
    pub graph: Option<Graph>,
    /// The calls in order, each followed by those it led to. null where the graph is the stored one.
    pub sequence: Option<Vec<Call>>,
    pub metadata: Metadata,
}

/// What is known of a flow as a whole. Times are µs since the epoch, durations µs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct Metadata {
    pub environment: String,
    pub operation_name: String,
    pub ui_event: String,
    /// `success`, `error` or `timeout`.
    pub status: &'static str,
    pub start_time: i64,
    /// Of the root span.
    pub end_time: i64,
    /// The root span's own.
    pub total_duration: i64,
    pub total_spans: u32,
    /// Calls that failed anywhere below the root.
    pub error_count: u32,
    /// Root seen, nothing dangling.
    pub complete: bool,
    /// Whether the graph lacks spans that the flow had.
    pub truncated: bool,
    pub source: Source,
}

/// Where a flow's graph comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// From its raw spans, just now.
    Spans,
    /// From what was stored when it closed.
    Stored,
}

/// One flow with its graph; its id is the trace's
///
/// # Errors
/// The id is none, there is no such flow, or ClickHouse can't answer.
#[utoipa::path(get, path = "/api/v1/flows/{flowId}", tag = "flows",
    params(("flowId" = String, Path, description = "1 to 32 hex digits", pattern = "^[0-9a-fA-F]{1,32}$",
        example = "0af7651916cd43dd8448eb211c80319c")),
    responses((status = 200, body = OfSpans<FlowAnswer>), Problems))]
pub async fn flow(
    State(app): State<App>,
    access: Access,
    At(id): At<String>,
) -> Result<Json<OfSpans<FlowAnswer>>, ApiError> {
    Ok(Json(find(&app, &access, &id).await?))
}

/// A flow by the text of its id.
///
/// # Errors
/// The id is none, there is no such flow, the caller may not know of it, or ClickHouse can't answer.
pub async fn find(app: &App, access: &Access, id: &str) -> Result<OfSpans<FlowAnswer>, ApiError> {
    let flow_id = spans::trace_id(id)?;
    // Held until the answer is made: the spans of a flow are what takes the memory.
    let _turn = app.stored.turn().await;
    let staleness = spans::staleness(app, &flow_id).await?;
    let kept = kept::read(&app.stored, &flow_id).await?;
    let rows = spans::of_trace(&app.stored, &flow_id, app.limits.trace_spans).await?;
    // What it closed under is known best by its summary.
    let is_allowed = kept
        .as_ref()
        .map_or_else(|| spans::is_allowed(&access.allowed, &rows), |kept| kept.is_allowed(&access.allowed));
    if !is_allowed {
        return Err(unknown(&flow_id));
    }
    let found = Found { rows, limit: app.limits.trace_spans as usize, kept };
    let (semconv, rules) = (app.semconv.clone(), rules(&app.rules));
    let answering = move || answer(&semconv, &rules, flow_id, found);
    // Thousands of spans are work that would hold up the runtime.
    match tokio::task::spawn_blocking(answering).await {
        Ok(answer) => answer.map(|answer| OfSpans { answer, staleness }),
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(ApiError::stopping()),
        },
    }
}

/// What the tables hold of a flow.
struct Found {
    rows: Vec<SpanRow>,
    /// Spans that an answer may hold; a row more says that there are more.
    limit: usize,
    kept: Option<Kept>,
}

/// From spans, unless fewer of them are here than the stored graph was made of.
fn answer(
    semconv: &Semconv,
    rules: &StatusRules,
    flow_id: String,
    Found { mut rows, limit, kept }: Found,
) -> Result<FlowAnswer, ApiError> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let lacks_spans = more || kept.as_ref().is_some_and(|kept| kept.spans() as usize > rows.len());
    if let Some(kept) = kept.as_ref().filter(|kept| rows.is_empty() || (lacks_spans && kept.has_graph())) {
        return Ok(FlowAnswer::new(flow_id, kept.summary(), kept.graph(rules), None));
    }
    let environment = kept.as_ref().map_or("", Kept::environment);
    let Some((mut summary, graph)) = computed::flow(semconv, &rows, environment, rules) else {
        return Err(unknown(&flow_id));
    };
    summary.truncated |= lacks_spans;
    let sequence = sequence::calls(semconv, &rows, &graph);
    Ok(FlowAnswer::new(flow_id, summary, Some(graph), Some(sequence)))
}

/// The same for what isn't stored and for what the caller may not know of.
fn unknown(flow_id: &str) -> ApiError {
    ApiError::not_found(format!("nothing of flow {flow_id} is stored"))
}

/// One flow is judged by the few requests it has.
fn rules(rules: &StatusRules) -> StatusRules {
    StatusRules { least_requests: 0, ..*rules }
}

impl FlowAnswer {
    /// The sequence is there exactly where spans are the source.
    fn new(flow_id: String, summary: Summary, graph: Option<Graph>, sequence: Option<Vec<Call>>) -> Self {
        let source = if sequence.is_some() { Source::Spans } else { Source::Stored };
        Self {
            flow_id,
            operation_name: summary.operation.clone(),
            environment: summary.environment.clone(),
            graph,
            sequence,
            metadata: Metadata {
                environment: summary.environment,
                operation_name: summary.operation,
                ui_event: summary.ui_event,
                status: summary.status,
                start_time: summary.start_us,
                end_time: summary.start_us.saturating_add(summary.duration_us),
                total_duration: summary.duration_us,
                total_spans: summary.spans,
                error_count: summary.errors,
                complete: summary.complete,
                truncated: summary.truncated,
                source,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::kept::made;
    use super::*;
    use crate::spans::made::row;

    const RULES: StatusRules = StatusRules { degraded: 0.05, down: 0.5, least_requests: 0 };

    /// A flow of so many spans in the table, and what is kept of it; three spans fit into an answer.
    fn asked(spans: i64, kept: Option<Kept>) -> Result<FlowAnswer, ApiError> {
        let rows = (1..=spans).map(|id| row(&id.to_string(), "Server", id)).collect();
        answer(&Semconv::embedded(), &RULES, "t".into(), Found { rows, limit: 3, kept })
    }

    fn told(spans: i64, kept: Option<Kept>) -> (Source, bool, u32) {
        let metadata = asked(spans, kept).unwrap().metadata;
        (metadata.source, metadata.truncated, metadata.total_spans)
    }

    #[test]
    fn the_source_that_knows_more_spans_answers_and_says_so() {
        assert_eq!(told(3, None), (Source::Spans, false, 3));
        assert_eq!(told(3, Some(made::with_graph(3))), (Source::Spans, false, 3));
        assert_eq!(told(3, Some(made::with_graph(2))), (Source::Spans, false, 3), "a late span");
        assert_eq!(told(2, Some(made::with_graph(3))), (Source::Stored, false, 3));
        assert_eq!(told(0, Some(made::with_graph(3))), (Source::Stored, false, 3));
    }

    #[test]
    fn spans_that_are_gone_or_too_many_leave_a_graph_that_is_cut() {
        assert_eq!(told(4, None), (Source::Spans, true, 3));
        assert_eq!(
            told(4, Some(made::with_graph(4))),
            (Source::Stored, false, 4),
            "and a whole one is better"
        );
        assert_eq!(told(2, Some(made::without_graph(3))), (Source::Spans, true, 2));
    }

    #[test]
    fn without_spans_and_graph_a_flow_is_what_was_said_about_it_and_without_that_nothing() {
        let answer = asked(0, Some(made::without_graph(3))).unwrap();
        assert_eq!((answer.graph, answer.metadata.source), (None, Source::Stored));
        assert_eq!(asked(0, None).unwrap_err().code, "not_found");
    }
}
