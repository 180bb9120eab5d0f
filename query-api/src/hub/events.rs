//! The life of single flows, as subscribers see it.

use super::view::FlowOutcome;
use crate::filter::{Around, UNKNOWN};
use schemas::v1::{FlowEvent, FlowEventKind, FlowService, FlowStatus};
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
    /// Where that is.
    pub current_namespace: String,
    pub current_cluster: String,
    /// 0–100; an estimate until the flow has ended.
    pub progress: u32,
    /// What it is estimated from.
    pub progress_from: ProgressFrom,
    pub elapsed_time: i64,
    pub span_count: u32,
    /// Share of the successful flows of its shard that are published; failed ones all are.
    pub sample_rate: f64,
    /// Where it is known to have been: so far the current service, in the end all of them.
    #[serde(skip)]
    pub places: Vec<FlowService>,
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
        let mut summary = event.summary.filter(|_| kind == "flow_complete");
        let mut places = vec![FlowService {
            cluster: event.current_cluster.clone(),
            namespace: event.current_namespace.clone(),
            name: event.current_service.clone(),
        }];
        if let Some(flow) = &mut summary {
            places.append(&mut flow.service_nodes);
            // It began there, though a browser is no service.
            let (namespace, name) = (flow.root_namespace.clone(), flow.root_service.clone());
            places.push(FlowService { cluster: String::new(), namespace, name });
        }
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
            current_namespace: event.current_namespace,
            current_cluster: event.current_cluster,
            progress: event.progress.min(100),
            progress_from: if kind == "flow_complete" { ProgressFrom::Ended } else { ProgressFrom::Answered },
            elapsed_time: event.elapsed_us,
            span_count: event.spans,
            sample_rate: f64::from(event.sample_milli) / 1_000.0,
            places,
            root_namespace,
            outcome,
        }
    }
}

impl Event {
    /// Whether one of these services is known to take part.
    pub fn touches(&self, around: &Around) -> bool {
        let is =
            |FlowService { cluster, namespace, name }: &FlowService| around.is_at(cluster, namespace, name);
        self.places.iter().any(is)
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
    fn a_flow_touches_where_it_has_been() {
        let place = |cluster: &str, namespace: &str, name: &str| {
            let (cluster, namespace, name) = (cluster.into(), namespace.into(), name.into());
            FlowService { cluster, namespace, name }
        };
        let around = |namespace: &str, name: Option<&str>| Around {
            namespace: Some(namespace.into()),
            service: name.map(Into::into),
            cluster: None,
        };
        let event = FlowEvent {
            current_service: "auth".into(),
            current_namespace: "id".into(),
            ..Default::default()
        };
        let open = Event::from(FlowEvent { kind: FlowEventKind::Start.into(), ..event.clone() });
        assert!(open.touches(&around("id", Some("auth"))) && !open.touches(&around("shop", Some("auth"))));
        let summary = FlowTrace {
            service_nodes: vec![place("eu", "shop", "cart")],
            root_service: "browser".into(),
            root_namespace: "web".into(),
            ..Default::default()
        };
        let kind = FlowEventKind::Complete.into();
        let ended = Event::from(FlowEvent { kind, summary: Some(summary), ..event });
        assert!(ended.touches(&around("shop", None)) && ended.touches(&around("web", Some("browser"))));
        assert!(!ended.touches(&around("shop", Some("auth"))), "of one service alone");
        assert!(ended.touches(&Around { cluster: Some("eu".into()), ..Around::default() }));
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
