//! Requests as a collector sends them that gathers the spans of many services: five whole traces of 20 spans.

use crate::PARTITIONS;
use crate::workload::{Message, START_US};
use prost::Message as _;

/// Spans of a request.
pub const SPANS: usize = 100;
const TRACES: i64 = 5;
/// Every hundredth message of the workload is a shorter one.
const OFFSETS: i64 = 100;

/// This many different requests.
pub fn requests(many: usize) -> Vec<Vec<u8>> {
    // Messages laid end to end are one message.
    let request = |number: usize| {
        let first = number as i64 * TRACES;
        let offsets = (first..first + TRACES).map(|at| at / (OFFSETS - 1) * OFFSETS + at % (OFFSETS - 1));
        let partition = |offset: i64| offset.unsigned_abs() as u32 % PARTITIONS;
        offsets
            .flat_map(|at| Message::at(at, partition(at), PARTITIONS, START_US + at).data.encode_to_vec())
            .collect()
    };
    (0..many).map(request).collect()
}
