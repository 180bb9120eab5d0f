//! The graphs of many flows, by a fixed number of queries.

use super::{Found, answer, kept, rules};
use crate::App;
use crate::access::Access;
use crate::error::ApiError;
use crate::graph::Graph;
use crate::spans;
use std::collections::HashMap;

/// Spans of all flows together. Flows beyond have no graph in the answer.
const SPANS: u32 = 50_000;

/// The graphs of those of these flows that are there and that the caller may know of.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn find_many(
    app: &App,
    access: &Access,
    ids: &[String],
) -> Result<HashMap<String, Graph>, ApiError> {
    // Held until the answer is made: the spans are what takes the memory.
    let _turn = app.stored.turn().await;
    let mut kept = kept::read_many(&app.stored, ids).await?;
    kept.retain(|_, kept| kept.is_allowed(&access.allowed));
    let spans = spans::of_traces(&app.stored, ids, SPANS).await?;
    let (semconv, rules, limit) = (app.semconv.clone(), rules(&app.rules), app.limits.trace_spans as usize);
    let answering = move || {
        let mut spans = spans;
        let found = kept.into_iter().map(|(id, kept)| (spans.remove(&id).unwrap_or_default(), id, kept));
        found
            .filter_map(|(rows, id, kept)| {
                let answer = answer(&semconv, &rules, id, Found { rows, limit, kept: Some(kept) }).ok()?;
                Some((answer.flow_id, answer.graph?))
            })
            .collect()
    };
    // Thousands of spans are work that would hold up the runtime.
    tokio::task::spawn_blocking(answering).await.map_err(|_| ApiError::stopping())
}
