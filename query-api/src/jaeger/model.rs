//! Traces as Jaeger's own page reads them.

use crate::spans::{Attributes, SpanRow, us};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A trace. Times are µs since the epoch, durations µs.
#[derive(Debug, Serialize)]
pub struct Trace {
    #[serde(rename = "traceID")]
    trace_id: String,
    spans: Vec<Span>,
    processes: BTreeMap<String, Value>,
    warnings: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
    operation_name: String,
    references: Vec<Value>,
    start_time: i64,
    duration: i64,
    tags: Vec<Value>,
    logs: Vec<Value>,
    #[serde(rename = "processID")]
    process_id: String,
    warnings: Option<Vec<String>>,
}

impl Trace {
    /// From its spans, of which an answer may hold `limit`.
    pub fn of(mut rows: Vec<SpanRow>, limit: usize) -> Self {
        let warnings = (rows.len() > limit)
            .then(|| vec![format!("the trace has more spans; these are the {limit} earliest")]);
        rows.truncate(limit);
        let trace_id = rows.first().map(|row| row.trace_id.clone()).unwrap_or_default();
        let mut ids: BTreeMap<(String, Attributes), String> = BTreeMap::new();
        let mut spans = Vec::new();
        for row in rows {
            let next = format!("p{}", ids.len() + 1);
            let id = ids.entry((row.service.clone(), row.resource.clone())).or_insert(next).clone();
            spans.push(Span::of(row, id));
        }
        let processes = ids.into_iter().map(|((service, resource), id)| {
            let tags = resource.iter().filter(|(key, _)| key != "service.name");
            (id, json!({"serviceName": service, "tags": tags.map(|(key, value)| text(key, value)).collect::<Vec<_>>()}))
        });
        Self { trace_id, spans, processes: processes.collect(), warnings }
    }
}

impl Span {
    fn of(row: SpanRow, process_id: String) -> Self {
        let reference = |kind: &str, trace_id: &str, span_id: &str| json!({"refType": kind, "traceID": trace_id, "spanID": span_id});
        let parent = Some(&row.parent_span_id).filter(|parent| !parent.is_empty());
        let parent = parent.map(|parent| reference("CHILD_OF", &row.trace_id, parent));
        let links = row.links.iter().map(|(trace_id, span_id)| reference("FOLLOWS_FROM", trace_id, span_id));
        let logs = row.event_times_ns.iter().zip(&row.event_names).zip(&row.event_attributes);
        let logs = logs.map(|((time_ns, name), attributes)| {
            let fields: Vec<Value> = std::iter::once(text("event", name))
                .chain(attributes.iter().map(|(key, value)| text(key, value)))
                .collect();
            json!({"timestamp": us(*time_ns), "fields": fields})
        });
        Self {
            references: parent.into_iter().chain(links).collect(),
            logs: logs.collect(),
            tags: tags(&row),
            start_time: row.start_us(),
            duration: row.duration_us(),
            trace_id: row.trace_id,
            span_id: row.span_id,
            operation_name: row.name,
            process_id,
            warnings: None,
        }
    }
}

/// Attributes, and what Jaeger's clients expect among them. The store keeps every value as a text.
fn tags(row: &SpanRow) -> Vec<Value> {
    let mut tags: Vec<Value> = row.attributes.iter().map(|(key, value)| text(key, value)).collect();
    for (key, value) in [("otel.scope.name", &row.scope.0), ("otel.scope.version", &row.scope.1)] {
        if !value.is_empty() {
            tags.push(text(key, value));
        }
    }
    if !row.kind.is_empty() && row.kind != "Unspecified" {
        tags.push(text("span.kind", &row.kind.to_lowercase()));
    }
    match row.status.as_str() {
        "Error" => {
            tags.push(json!({"key": "error", "type": "bool", "value": true}));
            tags.push(text("otel.status_code", "ERROR"));
        }
        "Ok" => tags.push(text("otel.status_code", "OK")),
        _ => {}
    }
    if !row.status_message.is_empty() {
        tags.push(text("otel.status_description", &row.status_message));
    }
    tags
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "type": "string", "value": value})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spans::made::{pairs, row};

    #[test]
    fn long_traces_are_cut_and_say_so_and_hosts_are_apart() {
        let mut rows: Vec<SpanRow> = (0..3).map(|at| row(&format!("0{at}"), "Server", at)).collect();
        rows[1].resource = pairs(&[("service.name", "web"), ("host.name", "b")]);
        rows[1].status = "Error".into();
        rows[1].links = pairs(&[("aa", "bb")]);
        let trace = serde_json::to_value(Trace::of(rows, 2)).unwrap();
        assert_eq!(trace["spans"].as_array().unwrap().len(), 2);
        assert!(trace["warnings"][0].as_str().unwrap().contains("2 earliest"));
        assert_eq!(trace["processes"].as_object().unwrap().len(), 2, "{trace:#}");
        let span = &trace["spans"][1];
        assert!(
            span["tags"]
                .as_array()
                .unwrap()
                .contains(&json!({"key": "error", "type": "bool", "value": true}))
        );
        assert_eq!(span["references"], json!([{"refType": "FOLLOWS_FROM", "traceID": "aa", "spanID": "bb"}]));
        let process = &trace["processes"][span["processID"].as_str().unwrap()];
        assert_eq!(process["tags"], json!([{"key": "host.name", "type": "string", "value": "b"}]));
    }
}
