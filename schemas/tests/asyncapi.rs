//! The AsyncAPI document names the topics of `topics.toml`, the messages of `proto/` and the WebSocket, no more and no less.
//! (`tools/asyncapi --check`, run by `make test`, compares every line of it.)

use std::collections::BTreeSet;

/// The generated document, so its layout is known: two spaces a level, one key a line.
fn keys(section: &str) -> BTreeSet<&'static str> {
    let document = include_str!("../asyncapi.yaml");
    let body = document.lines().skip_while(|line| *line != format!("{section}:")).skip(1);
    let body = body.take_while(|line| line.starts_with(' '));
    body.filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'))
        .filter(|key| !key.starts_with(' '))
        .collect()
}

#[test]
fn channels_are_the_topics_and_the_websocket() {
    let topics = schemas::topics::all();
    assert_eq!(keys("channels"), topics.keys().map(String::as_str).chain(["live"]).collect());
}

#[test]
fn every_topic_has_one_operation_and_the_websocket_two() {
    let topics = schemas::topics::all();
    let operation = |topic: &String| match topic.as_str() {
        schemas::topics::OTLP_SPANS => format!("read_{topic}"),
        _ => format!("write_{topic}"),
    };
    let live = ["hear_live", "tell_live"].map(str::to_owned);
    let expected: BTreeSet<String> = topics.keys().map(operation).chain(live).collect();
    assert_eq!(keys("operations"), expected.iter().map(String::as_str).collect());
}
