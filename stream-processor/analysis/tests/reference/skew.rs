//! A trace from Zipkin's own tests whose second host is 65 ms behind.

use crate::data;
use analysis::{Interval, skew};

#[test]
fn the_late_host_is_shifted_into_its_caller() {
    let Some(document) = data::json("zipkin/skew.json") else { return };
    let span = |index: usize, parent: Option<u32>| {
        let start = document[index]["timestamp"].as_i64().unwrap();
        let end = start + document[index]["duration"].as_i64().unwrap();
        Interval { start_us: start, end_us: end, parent, awaited: true }
    };
    // GET on service a → its client half → the server half on service b → a local span on service b.
    let spans = [span(2, None), span(3, Some(0)), span(1, Some(1)), span(0, Some(2))];
    let shifts = skew::repair(&spans, &[1, 1, 2, 2]);
    let one_way = (94_539 - 93_577) / 2;
    let expected = spans[1].start_us + one_way - spans[2].start_us;
    assert_eq!(shifts, vec![0, 0, expected, expected]);
    assert!(spans[2].end_us + shifts[2] <= spans[1].end_us);
}
