//! Traces by what one of their spans is.

use super::matched::{self, Matched};
use super::traceql::{self, Field, Filter, duration_ns};
use super::{Answer, conditions, logfmt, range};
use crate::App;
use crate::access::Access;
use crate::error::ApiError;
use crate::flows::{self, FlowRow, WhichWords};
use crate::live::feed::now_us;
use crate::words::{Sent, Words, same};
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

/// Traces if nobody says how many: Tempo's own number.
const TRACES: u32 = 20;
/// Most traces of a search: as on a page of flows.
const MOST_TRACES: u32 = 500;
/// Spans shown of each trace if nobody says how many: Tempo's own number.
const SPANS: u32 = 3;
/// Most spans shown of each trace.
const MOST_SPANS: u32 = 100;

const WORDS: &[&str] = &["q", "tags", "minDuration", "maxDuration", "limit", "spss", "start", "end"];

pub fn router() -> Router<App> {
    Router::new().route("/tempo/api/search", get(search))
}

async fn search(State(app): State<App>, access: Access, sent: Sent) -> Answer {
    let words = Words::read(sent, WORDS, same)?;
    let range = range::read(&words)?;
    let limit = range::number_of(&words, "limit", TRACES, MOST_TRACES)?;
    let spans = range::number_of(&words, "spss", SPANS, MOST_SPANS)?;
    let filter = filter(&words)?;
    conditions::check(&app, &filter).await?;
    let split = filter.split()?;

    let mut which = WhichWords {
        start_time: Some(range.0.to_string()),
        end_time: Some(range.1.to_string()),
        min_duration: length_us(&words, "minDuration")?,
        max_duration: length_us(&words, "maxDuration")?,
        probes: true,
        ..WhichWords::default()
    }
    .read("", &access.allowed, now_us(), &app.limits)?;
    if split.trace != Filter::Anything {
        which.with(conditions::conditions(&split.trace));
    }
    if split.span != Filter::Anything {
        which.with_span(conditions::conditions(&split.span));
    }
    let flows = flows::youngest(&app, &which, limit).await?;
    let ids: Vec<String> = flows.iter().map(|flow| flow.trace_id.clone()).collect();
    let fields: Vec<&Field> = split.span.comparisons().into_iter().map(|each| &each.field).collect();
    let mut matched = matched::of_traces(&app, &ids, range, &split.span, spans).await?;
    let traces: Vec<Value> = flows
        .iter()
        .map(|flow| trace(flow, matched.remove(&flow.trace_id).unwrap_or_default(), &fields))
        .collect();
    // One question to one table: what Tempo tells about its own work comes to that.
    Ok(Json(json!({"traces": traces, "metrics": {"completedJobs": 1, "totalJobs": 1}})))
}

fn filter(words: &Words) -> Result<Filter, ApiError> {
    match (words.one("q")?, words.one("tags")?) {
        (Some(_), Some(_)) => {
            Err(ApiError::bad_request("invalid request: can't specify tags and q in the same query"))
        }
        (Some(query), None) => Ok(traceql::parse(query)?),
        (None, Some(tags)) => logfmt::filter(tags),
        (None, None) => Ok(Filter::Anything),
    }
}

fn length_us(words: &Words, name: &str) -> Result<Option<String>, ApiError> {
    let Some(text) = words.one(name)? else { return Ok(None) };
    let ns = duration_ns(text)
        .ok_or_else(|| ApiError::bad_request(format!("invalid {name}: a length such as 1.5s or 100ms")))?;
    Ok(Some((ns / 1_000).to_string()))
}

/// Tempo's `TraceSearchMetadata`. Grafana reads it strictly: a field of ours, or a number out of its type's range, would
/// be an error.
fn trace(flow: &FlowRow, spans: Vec<Matched>, fields: &[&Field]) -> Value {
    let matched = spans.first().map_or(0, |span| span.matched);
    let shown: Vec<Value> = spans.iter().map(|span| span.shown(fields)).collect();
    let set = json!({"spans": shown, "matched": matched});
    json!({
        "traceID": flow.trace_id,
        "rootServiceName": flow.root_service,
        "rootTraceName": flow.root_name,
        "startTimeUnixNano": flow.start_us.max(0).saturating_mul(1_000).to_string(),
        "durationMs": u32::try_from(flow.duration_us.max(0) / 1_000).unwrap_or(u32::MAX),
        // Old clients read the first, new ones the second.
        "spanSet": set.clone(),
        "spanSets": [set],
    })
}
