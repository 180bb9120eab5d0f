//! What is said of a flow as a whole, by the stitcher or by the store.

use stitcher::FlowTrace;
use stitcher::flow::FlowStatus;

/// The summary of one flow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "weir.v1.FlowTrace documents them")]
pub struct Summary {
    pub environment: String,
    pub operation: String,
    pub ui_event: String,
    pub status: &'static str,
    pub start_us: i64,
    pub duration_us: i64,
    pub spans: u32,
    pub errors: u32,
    pub complete: bool,
    pub truncated: bool,
}

impl Summary {
    /// As the stitcher says it.
    pub fn of(flow: &FlowTrace) -> Self {
        Self {
            environment: flow.environment.to_string(),
            operation: flow.operation.to_string(),
            ui_event: flow.ui_event.to_string(),
            status: status_text(flow.status),
            start_us: flow.start_us,
            duration_us: flow.duration_us,
            spans: flow.spans,
            errors: flow.errors,
            complete: flow.complete,
            truncated: flow.truncated,
        }
    }
}

/// The text in tables and answers.
pub fn status_text(status: FlowStatus) -> &'static str {
    match status {
        FlowStatus::Success => "success",
        FlowStatus::Error => "error",
        FlowStatus::Timeout => "timeout",
    }
}

/// From the text in a table.
pub fn status_of(text: &str) -> &'static str {
    let all = [FlowStatus::Error, FlowStatus::Timeout].map(status_text);
    all.into_iter().find(|status| *status == text).unwrap_or(status_text(FlowStatus::Success))
}
