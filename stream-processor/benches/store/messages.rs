//! Messages of the raw spans as `ingest` packs them.

use crate::workload::Message;
use prost::Message as _;

/// Spans of each.
pub const SPANS: usize = 100;

/// Five traces of 20 spans that ended at `ends_us`; messages laid end to end are one message.
pub fn message(number: usize, (partition, partitions): (u32, u32), ends_us: i64) -> Vec<u8> {
    let offsets = (0..).filter(|offset| offset % 100 != 99).skip(number % 1_000 * 5).take(5);
    let offsets = offsets.map(|offset: i64| offset + (number / 1_000 * 10_000) as i64);
    offsets
        .flat_map(|offset| Message::at(offset, partition, partitions, ends_us).data.encode_to_vec())
        .collect()
}
