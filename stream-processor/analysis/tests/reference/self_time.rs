//! The cases of the collector's span-metrics connector.

use crate::data::{self, Named, Trace};
use serde_json::Value;

fn spans_of(case: &Value) -> Vec<Named> {
    let spans = case["input"]["spans"].as_array().unwrap().iter();
    spans
        .map(|span| Named {
            id: span["spanId"].as_str().unwrap().into(),
            parent: span["parentSpanId"].as_str().unwrap().into(),
            start: span["startTimeUnixNano"].as_i64().unwrap(),
            end: span["endTimeUnixNano"].as_i64().unwrap(),
            awaited: true,
        })
        .collect()
}

/// Cases without expected times are the connector's policy to leave incomplete traces out, which is for the
/// caller to decide here.
#[test]
fn equals_the_collector() {
    let Some(document) = data::json("collector-contrib/cases_self_time.json") else { return };
    let mut checked = 0;
    for case in document["cases"].as_array().unwrap() {
        let expected = case["expected"]["self_ns"].as_object().unwrap();
        if expected.is_empty() {
            continue;
        }
        let trace = Trace::of(spans_of(case));
        for (id, time) in trace.ids.iter().zip(analysis::self_times(&trace.spans)) {
            assert_eq!(Some(time), expected[id].as_u64(), "{} {id}", case["id"]);
            checked += 1;
        }
    }
    assert!(checked >= 11, "only {checked} spans checked");
}
