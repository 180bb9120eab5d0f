//! Critical paths as Jaeger UI gives them, and as CRISP gives them where both agree.

use crate::data::{self, Named, Trace};
use analysis::Section;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Sections as (span id, start, end), latest first.
type Path = Vec<(String, i64, i64)>;

fn path_of(trace: &Trace) -> Path {
    let sections = analysis::critical_path(&trace.spans, trace.root());
    let name =
        |section: Section| (trace.ids[section.span as usize].clone(), section.start_us, section.end_us);
    sections.into_iter().map(name).collect()
}

/// Sections written as `[id, start, end]`.
fn expected_path(sections: &Value, origin: i64) -> Path {
    let section = |section: &Value| {
        let time = |field: usize| section[field].as_i64().unwrap() + origin;
        (section[0].as_str().unwrap().to_owned(), time(1), time(2))
    };
    sections.as_array().unwrap().iter().map(section).collect()
}

#[test]
fn equals_jaeger_ui() {
    let Some(document) = data::json("jaeger-ui/cases_critical_path.json") else { return };
    let cases = document["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let spans = case["input"]["spans"].as_array().unwrap().iter().map(|span| Named {
            id: span["spanID"].as_str().unwrap().into(),
            parent: span["parentSpanID"].as_str().unwrap_or_default().into(),
            start: span["startTime"].as_i64().unwrap(),
            end: span["endTime"].as_i64().unwrap(),
            awaited: span["kind"] != "CONSUMER",
        });
        let expected: Path = case["expected"]["sections"]
            .as_array()
            .unwrap()
            .iter()
            .map(|section| {
                let time = |field: &str| section[field].as_i64().unwrap();
                let id = section["spanID"].as_str().unwrap().to_owned();
                (id, time("sectionStart"), time("sectionEnd"))
            })
            .collect();
        assert_eq!(path_of(&Trace::of(spans.collect())), expected, "{}", case["id"]);
    }
}

#[test]
fn equals_crisp_by_operation() {
    let Some(document) = data::json("crisp/cases_critical_path.json") else { return };
    let cases = document["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 18);
    for case in cases {
        // Where the two differ (CRISP lets siblings overlap a little), Jaeger UI's answer is the rule.
        let expected = &case["expected"]["jaeger_ui_exclusive_by_op"];
        if case["agrees_with_jaeger_ui_algorithm"] == true {
            assert_eq!(nonzero(expected), nonzero(&case["expected"]["critical_path_exclusive_by_op"]));
        }
        let spans = case["input"]["spans"].as_array().unwrap();
        let trace = Trace::of(spans.iter().map(crisp_span).collect());
        let mut by_operation = BTreeMap::new();
        for (span, time) in spans.iter().zip(analysis::critical_times(&trace.spans, trace.root())) {
            let name = format!("[{}] {}", span["service"].as_str().unwrap(), span["name"].as_str().unwrap());
            *by_operation.entry(name).or_default() += time;
        }
        by_operation.retain(|_, time| *time > 0);
        assert_eq!(by_operation, nonzero(expected), "{}", case["id"]);
    }
}

fn crisp_span(span: &Value) -> Named {
    let start = span["start"].as_i64().unwrap();
    Named {
        id: span["spanID"].as_str().unwrap().into(),
        parent: span["parentSpanID"].as_str().unwrap().into(),
        start,
        end: start + span["duration"].as_i64().unwrap(),
        awaited: true,
    }
}

fn nonzero(times: &Value) -> BTreeMap<String, u64> {
    let times = times.as_object().unwrap().iter();
    times.map(|(name, time)| (name.clone(), time.as_u64().unwrap())).filter(|(_, time)| *time > 0).collect()
}

#[test]
fn equals_jaeger_ui_on_hotel_reservation() {
    check_traceweaver("hotel_load100");
}

#[test]
fn equals_jaeger_ui_on_the_node_chain() {
    check_traceweaver("node_load100");
}

/// Every row has Jaeger UI's sections, also those where CRISP says something else.
fn check_traceweaver(name: &str) {
    let Some(traces) = data::json_lines(&format!("traceweaver/{name}.ndjson.gz")) else { return };
    let expected = format!("traceweaver/expected/critical_path_{name}.ndjson.gz");
    let Some(expected) = data::json_lines(&expected) else { return };
    let traces: HashMap<&str, &Value> =
        traces.iter().map(|trace| (trace["traceID"].as_str().unwrap(), trace)).collect();
    assert_eq!(expected.len(), 1_000);
    for row in &expected {
        let trace = traces[row["traceID"].as_str().unwrap()];
        let spans = trace["spans"].as_array().unwrap().iter().map(data::jaeger_span);
        let trace = Trace::of(spans.collect());
        assert_eq!(path_of(&trace), expected_path(&row["sections"], 0), "{}", row["traceID"]);
    }
}

/// Times are nanoseconds here: the functions don't care, and the expected sections are that fine.
#[test]
fn equals_both_on_train_ticket() {
    let Some(expected) = data::json_lines("nezha/expected/critical_path_trainticket_2023-01-29.ndjson.gz")
    else {
        return;
    };
    let Some(rows) = data::text("nezha/trainticket_2023-01-29.csv.gz") else { return };
    let mut traces: HashMap<&str, BTreeMap<&str, Named>> = HashMap::new();
    for row in rows.lines().skip(1) {
        let fields: Vec<&str> = row.split(',').collect();
        let time = |from_end: usize| fields[fields.len() - from_end].parse::<i64>().unwrap();
        let span = Named {
            id: fields[2].into(),
            parent: fields[3].into(),
            start: time(3),
            end: time(2),
            awaited: true,
        };
        // Some rows are delivered twice; the first one counts.
        traces.entry(fields[1]).or_default().entry(fields[2]).or_insert(span);
    }
    assert_eq!(expected.len(), 400);
    for row in &expected {
        assert_eq!(row["agree"], true);
        let spans = traces.remove(row["traceID"].as_str().unwrap()).unwrap();
        let trace = Trace::of(spans.into_values().collect());
        let origin = row["traceStartNs"].as_i64().unwrap();
        let expected = expected_path(&row["sections_ns_offset"], origin);
        assert_eq!(path_of(&trace), expected, "{}", row["traceID"]);
    }
}
