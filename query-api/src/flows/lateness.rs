//! How far the tables are that lists come from.

use crate::App;
use crate::error::ApiError;
use crate::live::ends::{RAW_SPANS, SpansShard, SpansStaleness};
use crate::live::feed::now_us;
use crate::progress;
use schemas::migrations::{FLOW_RETENTION_DAYS, RAW_RETENTION_DAYS};
use schemas::topics::{FLOW_TRACES, OTLP_SPANS};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// How far the tables are, shard by shard. A flow is listed once it has closed, some seconds after its last span.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Lateness {
    /// Whether no shard is late, and the range begins within what is kept.
    pub fresh: bool,
    /// What is wrong, in words; "" if nothing is.
    pub message: String,
    /// Summaries of flows.
    #[schema(value_type = BTreeMap<String, SpansShard>)]
    pub flows: BTreeMap<u32, SpansShard>,
    /// Raw spans, where the answer comes from them too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, SpansShard>>)]
    pub spans: Option<BTreeMap<u32, SpansShard>>,
}

/// Of summaries of flows that began in this second or later: to be asked for before them, so that they hold at least that.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn lateness(app: &App, from_s: u32) -> Result<Lateness, ApiError> {
    let progress = progress::of_topic(&app.stored, FLOW_TRACES).await;
    let progress = progress.map_err(|error| ApiError::store_unavailable(&error))?;
    // Shards write in transactions: the last thing in each partition is a marker.
    let flows = app.flow_ends.staleness_of_all(&progress, 1, "flows", now_us());
    let lateness = Lateness { fresh: flows.fresh, message: flows.message, flows: flows.shards, spans: None };
    Ok(lateness.kept("flows", FLOW_RETENTION_DAYS, from_s, now_us()))
}

/// Of summaries of flows and of raw spans.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn lateness_with_spans(app: &App, from_s: u32) -> Result<Lateness, ApiError> {
    let lateness = lateness(app, from_s).await?.kept("spans", RAW_RETENTION_DAYS, from_s, now_us());
    let progress = progress::of_topic(&app.stored, OTLP_SPANS).await;
    let progress = progress.map_err(|error| ApiError::store_unavailable(&error))?;
    Ok(lateness.with_spans(app.ends.staleness_of_all(&progress, 0, RAW_SPANS, now_us())))
}

/// The longest range that can be asked for begins some moments before it is looked at.
const MOMENTS_S: i64 = 60;

impl Lateness {
    /// Says so where a range begins before what is kept.
    fn kept(self, what: &str, days: u32, from_s: u32, now_us: i64) -> Self {
        let first_s = now_us / 1_000_000 - i64::from(days) * 86_400;
        if !self.fresh || i64::from(from_s) + MOMENTS_S >= first_s {
            return self;
        }
        let message =
            format!("{what} are kept for {days} days: the range begins before that, and those are missing");
        Self { fresh: false, message, ..self }
    }

    fn with_spans(self, spans: SpansStaleness) -> Self {
        let message = if self.fresh { spans.message } else { self.message };
        Self { fresh: self.fresh && spans.fresh, message, spans: Some(spans.shards), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_begins_before_what_is_kept_is_not_whole() {
        let all = || Lateness { fresh: true, message: String::new(), flows: BTreeMap::new(), spans: None };
        let now_us = 1_790_000_000_000_000;
        let first_s = 1_790_000_000 - 7 * 86_400;
        assert_eq!(all().kept("spans", 7, first_s - 10, now_us), all(), "asked for a moment ago");
        let cut = all().kept("spans", 7, first_s - 3_600, now_us);
        assert!(!cut.fresh && cut.message.contains("spans are kept for 7 days"), "{cut:?}");
        let late = Lateness { fresh: false, message: "late".to_owned(), ..all() };
        assert_eq!(late.kept("spans", 7, 0, now_us).message, "late");
    }
}
