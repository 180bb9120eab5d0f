//! The life of single flows, as subscribers see it.

use super::view::FlowOutcome;
use crate::filter::UNKNOWN;
use schemas::v1::{FlowEvent, FlowEventKind, FlowStatus};
use serde::Serialize;
use utoipa::ToSchema;

/// Start, update or completion of a flow. Times are µs since the epoch, durations µs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LiveFlow)]
#[allow(missing_docs, reason = "the names say it; docs/live-protocol.md explains each")]
pub struct Event {
    /// `flow_start`, `flow_update` or `flow_complete`: the frame's type.
    #[serde(skip)]
    pub kind: &'static str,
    pub flow_id: String,
    /// `unknown` while nobody has named it.
    pub operation_name: String,
    pub environment: String,
    pub current_service: String,
    /// 0–100; an estimate until the flow has ended.
    pub progress: u32,
    /// What it is estimated from.
    pub progress_from: ProgressFrom,
    pub elapsed_time: i64,
    pub span_count: u32,
    /// Share of the successful flows of its shard that are published; failed ones all are.
    pub sample_rate: f64,
    /// Namespace of the flow's root, once the flow has ended.
    #[serde(skip)]
    pub root_namespace: Option<String>,
    /// Of flows that have ended.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub outcome: Option<Outcome>,
}

/// What a flow's progress is estimated from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProgressFrom {
    /// The spans that flows of this operation had lately.
    Learnt,
    /// The share of the spans seen that are answered: too few flows of the operation have ended.
    Answered,
    /// The flow has ended.
    Ended,
}

/// What is known once a flow is complete.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LiveOutcome)]
#[allow(missing_docs, reason = "the names say it; docs/live-protocol.md explains each")]
pub struct Outcome {
    pub status: FlowOutcome,
    pub start_time: i64,
    pub duration: i64,
    pub error_count: u32,
    pub retry_count: u32,
    pub services: Vec<String>,
    pub root_service: String,
    pub root_name: String,
    /// Whether the root was seen and nothing is dangling.
    pub complete: bool,
}

impl From<FlowEvent> for Event {
    fn from(event: FlowEvent) -> Self {
        let kind = match event.kind() {
            FlowEventKind::Start => "flow_start",
            FlowEventKind::Update => "flow_update",
            FlowEventKind::Complete => "flow_complete",
        };
        let status = status(event.status());
        let summary = event.summary.filter(|_| kind == "flow_complete");
        let root_namespace = summary.as_ref().map(|flow| flow.root_namespace.clone());
        let outcome = summary.map(|flow| Outcome {
            status,
            start_time: flow.start_us,
            duration: flow.duration_us,
            error_count: flow.errors,
            retry_count: flow.retries,
            services: flow.services,
            root_service: flow.root_service,
            root_name: flow.root_name,
            complete: flow.complete,
        });
        let named = !event.operation.is_empty();
        Self {
            kind,
            flow_id: event.trace_id.iter().map(|byte| format!("{byte:02x}")).collect(),
            operation_name: if named { event.operation } else { UNKNOWN.to_owned() },
            environment: event.environment,
            current_service: event.current_service,
            progress: event.progress.min(100),
            progress_from: if kind == "flow_complete" { ProgressFrom::Ended } else { ProgressFrom::Answered },
            elapsed_time: event.elapsed_us,
            span_count: event.spans,
            sample_rate: f64::from(event.sample_milli) / 1_000.0,
            root_namespace,
            outcome,
        }
    }
}

impl Event {
    /// Whether a service is known to take part.
    pub fn touches(&self, service: &str) -> bool {
        self.current_service == service
            || self
                .outcome
                .as_ref()
                .is_some_and(|outcome| outcome.services.iter().any(|name| name == service))
    }
}

fn status(status: FlowStatus) -> FlowOutcome {
    match status {
        FlowStatus::Success => FlowOutcome::Success,
        FlowStatus::Error => FlowOutcome::Error,
        FlowStatus::Timeout => FlowOutcome::Timeout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::v1::FlowTrace;

    #[test]
    fn a_completion_carries_its_outcome() {
        let event = Event::from(FlowEvent {
            kind: FlowEventKind::Complete.into(),
            trace_id: vec![0xab; 16],
            operation: "login".into(),
            status: FlowStatus::Timeout.into(),
            progress: 100,
            summary: Some(FlowTrace { duration_us: 812_000, errors: 2, ..FlowTrace::default() }),
            ..FlowEvent::default()
        });
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!((event.kind, json["flowId"].as_str()), ("flow_complete", Some("ab".repeat(16).as_str())));
        assert_eq!((json["status"].as_str(), json["duration"].as_i64()), (Some("timeout"), Some(812_000)));
    }

    #[test]
    fn a_flow_nobody_has_named_is_unknown() {
        let event = Event::from(FlowEvent { kind: FlowEventKind::Start.into(), ..FlowEvent::default() });
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(
            (event.kind, json["operationName"].as_str(), json.get("status")),
            ("flow_start", Some("unknown"), None)
        );
    }
}
