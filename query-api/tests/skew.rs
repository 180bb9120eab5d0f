//! Traces whose hosts' clocks differ are shown on one clock.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod river;

use river::{River, data, hex, read, renamed, shifted, spans, traces};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

fn times(span: &Value) -> (i64, i64) {
    (span["startTime"].as_i64().unwrap(), span["endTime"].as_i64().unwrap())
}

/// The calls between services whose child could fit into its parent: how many do, by their own times and by those
/// shown.
fn fitting(trace: &Value) -> (usize, usize, usize) {
    let all = trace["spans"].as_array().unwrap();
    let by_id: BTreeMap<&str, &Value> =
        all.iter().map(|span| (span["spanId"].as_str().unwrap(), span)).collect();
    let (mut calls, mut raw, mut shown) = (0, 0, 0);
    for child in all {
        let Some(parent) = child["parentSpanId"].as_str().and_then(|id| by_id.get(id)) else { continue };
        let fits = |child: (i64, i64), parent: (i64, i64)| child.0 >= parent.0 && child.1 <= parent.1;
        let own = |span: &Value| {
            let (start, end) = times(span);
            let skew = span["clockSkew"].as_i64().unwrap();
            (start - skew, end - skew)
        };
        let length = |span: &Value| span["duration"].as_i64().unwrap();
        if child["service"]["name"] != parent["service"]["name"] && length(child) <= length(parent) {
            calls += 1;
            raw += usize::from(fits(own(child), own(parent)));
            shown += usize::from(fits(times(child), times(parent)));
        }
    }
    (calls, raw, shown)
}

#[tokio::test(flavor = "multi_thread")]
async fn real_traces_of_hosts_with_different_clocks_fit_together() {
    let (Some(river), Some(file)) = (River::new(), data("traceweaver/hotel_load100.ndjson.gz")) else {
        return;
    };
    let mut documents: Vec<_> = read(&file).into_iter().take(60).collect();
    renamed(&mut documents, 3);
    shifted(&mut documents, Duration::ZERO);
    for document in &documents {
        river.send(document).await;
    }
    river.until_stored(&documents).await;

    let mut sent = BTreeMap::new();
    for span in documents.iter().flat_map(spans) {
        let (start, end) = (span.start_time_unix_nano / 1_000, span.end_time_unix_nano / 1_000);
        sent.insert((hex(&span.trace_id), hex(&span.span_id)), (start, end - start));
    }
    let (mut calls, mut raw, mut shown) = (0, 0, 0);
    for id in traces(&documents) {
        let (status, trace) = river.get(&format!("/api/v1/traces/{id}")).await;
        assert_eq!(status, 200, "{trace:#}");
        let mut repaired = false;
        for span in trace["spans"].as_array().unwrap() {
            let (start, duration) = sent[&(id.clone(), span["spanId"].as_str().unwrap().to_owned())];
            let skew = span["clockSkew"].as_i64().unwrap();
            assert_eq!(span["startTime"].as_i64().unwrap() - skew, i64::try_from(start).unwrap(), "{span:#}");
            assert!(
                span["duration"].as_u64().unwrap().abs_diff(duration) <= 1,
                "no duration changes: {span:#}"
            );
            repaired |= skew != 0;
        }
        assert_eq!(trace["skewRepaired"], repaired);
        let (more, fit, repaired) = fitting(&trace);
        (calls, raw, shown) = (calls + more, raw + fit, shown + repaired);
    }
    println!("{calls} calls, {raw} fit by their own times, {shown} as shown");
    assert!(calls >= 300 && raw < calls, "this data has skew: {raw} of {calls}");
    assert_eq!(shown, calls);
}
