//! 49 small cases from zipkin's DependencyLinkerTest and the collector's service-graph connector (Apache-2.0),
//! by how far their answers bind: see `portability_legend.json` beside them.
#![allow(clippy::unwrap_used)] // a test stops where it is wrong

mod support;

use std::collections::BTreeMap;

use serde_json::Value as Json;
use support::{Graph, data, ends};

struct Case {
    json: Json,
    id: String,
    portability: String,
    graph: Graph,
    expected: BTreeMap<(String, String), (i64, i64)>,
}

fn cases() -> Vec<Case> {
    let Some(path) = data("edge_cases.ndjson") else { return Vec::new() };
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| case(&serde_json::from_str(line).unwrap())).collect()
}

fn case(json: &Json) -> Case {
    let requests = json["otlp"].as_array().unwrap();
    let read = |request: &Json| reader::decode_otlp_json(request.to_string().as_bytes()).unwrap();
    let documents: Vec<_> = requests.iter().map(read).collect();
    let edges = json["expected_edges"].as_array().unwrap();
    let counts = |edge: &Json| (edge["callCount"].as_i64().unwrap(), edge["errorCount"].as_i64().unwrap());
    Case {
        json: json.clone(),
        id: json["id"].as_str().unwrap().to_owned(),
        portability: json["portability"].as_str().unwrap().to_owned(),
        graph: Graph::of(&documents),
        expected: edges.iter().map(|edge| (ends(edge), counts(edge))).collect(),
    }
}

#[test]
fn universal_and_portable_answers_hold() {
    let mut checked = 0;
    let mut wrong = Vec::new();
    for mut case in cases() {
        if !["U", "PC", "V", "R"].contains(&case.portability.as_str()) {
            continue;
        }
        if case.id == "zipkin-linker-17" {
            // The source counts a re-delivered trace twice; for us a span counts once.
            case.expected.values_mut().for_each(|counts| counts.0 = 1);
        }
        checked += 1;
        if case.graph.known_edges() != case.expected {
            wrong.push(format!(
                "{} expected {:?}, got {:?}",
                case.id,
                case.expected,
                case.graph.edges_for_people()
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(checked == 0 || checked == 23, "{checked} cases"); // 0: the data isn't here
}

/// The connector's cases also say how long calls took on either side.
#[test]
fn sums_of_seconds_agree_with_the_connector() {
    let mut checked = 0;
    for case in cases().into_iter().filter(|case| ["U", "V"].contains(&case.portability.as_str())) {
        for edge in case.json["expected_edges"].as_array().unwrap() {
            let Some(caller_s) = edge["client_seconds_sum"].as_f64() else { continue };
            let (client, server) = ends(edge);
            let counts = case.graph.edge(&client, &server);
            let got = (counts.caller_latency.sum_us, counts.callee_latency.sum_us);
            let microseconds = |seconds: f64| (seconds * 1e6).round() as i64;
            let expected =
                (microseconds(caller_s), microseconds(edge["server_seconds_sum"].as_f64().unwrap()));
            assert_eq!(got, expected, "{}", case.id);
            checked += 1;
        }
    }
    assert!(checked == 0 || checked == 4, "{checked} edges"); // 0: the data isn't here
}

/// Span ids shared between client and server are no OTLP: nothing may panic, and no edge may join services whose
/// spans aren't related.
#[test]
fn shared_span_ids_give_sensible_edges() {
    for case in cases().into_iter().filter(|case| case.portability == "S") {
        for (ends, (calls, errors)) in case.graph.known_edges() {
            assert!(calls >= 1 && errors <= calls, "{}: {ends:?}", case.id);
            assert!(case.expected.contains_key(&ends) || ends.0 != ends.1, "{}: {ends:?}", case.id);
        }
    }
}

/// Not asserted: where Weir's policy differs from that of other tools. Run with `--nocapture` to read it.
#[test]
fn differing_policies_are_listed() {
    for case in
        cases().into_iter().filter(|case| ["B", "T", "X", "N", "S"].contains(&case.portability.as_str()))
    {
        if case.graph.known_edges() != case.expected {
            println!(
                "{} {}: expected {:?}, got {}",
                case.portability,
                case.id,
                case.expected,
                case.graph.edges_for_people()
            );
        }
        assert!(case.graph.edges.values().all(|counts| counts.calls > 0), "{}", case.id);
    }
}
