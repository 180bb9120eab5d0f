//! Columns of rollups as ClickHouse sends them in blocks.

use clickhouse::error::Error;
use clickhouse::native::decode::{Decode, ValueReader};
use clickhouse::native::{Column, ColumnIter, DataTypeNode};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A `Decimal(18, 3)`.
#[derive(Debug, Clone, Copy)]
pub struct Thousandths(pub i64);

impl Decode<'_> for Thousandths {
    fn compatible(data_type: &DataTypeNode) -> bool {
        matches!(data_type.remove_compatible_wrappers(), DataTypeNode::Decimal(18, 3, _))
    }

    fn decode(reader: &mut ValueReader<'_>) -> Result<Self, Failure> {
        Ok(Self(i64::from_le_bytes(*reader.read_bytes_fixed()?)))
    }
}

/// The bytes of a `String`.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Decode<'a> for Bytes<'a> {
    fn compatible(data_type: &DataTypeNode) -> bool {
        <&str>::compatible(data_type)
    }

    fn decode(reader: &mut ValueReader<'a>) -> Result<Self, Failure> {
        Ok(Self(reader.native_bytes()))
    }
}

/// The values of both lists of a histogram as a string each: elements of arrays are decoded one by one, which was a
/// quarter of the time that a large graph took here. `lists` is an expression.
pub fn as_strings(lists: &str) -> String {
    let string = |list| format!("reinterpretAsString(tupleElement({lists}, {list}))");
    format!("{}, {}", string(1), string(2))
}

/// The histogram of [`as_strings`]: buckets with their counts.
pub fn buckets<'a>(buckets: Bytes<'a>, counts: Bytes<'a>) -> impl Iterator<Item = (u16, i64)> + use<'a> {
    let buckets = whole(buckets.0).map(u16::from_le_bytes).chain(std::iter::repeat(0));
    buckets.zip(whole(counts.0).map(i64::from_le_bytes))
}

/// Numbers of so many bytes. ClickHouse may leave out zeros at the end, as it does where it makes a string of one number.
fn whole<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    let (whole, rest) = bytes.as_chunks();
    let last =
        (!rest.is_empty()).then(|| std::array::from_fn(|at| rest.get(at).copied().unwrap_or_default()));
    whole.iter().copied().chain(last)
}

/// Columns of one type, to go through row by row.
///
/// # Errors
/// One of them is of another type.
pub fn side_by_side<'a, T: Decode<'a>>(
    columns: impl Iterator<Item = &'a Column>,
) -> Result<Vec<ColumnIter<'a, T>>, Error> {
    columns.map(Column::iter).collect()
}

/// The next row's value of a column.
///
/// # Errors
/// The block is broken.
pub fn next<'a, T: Decode<'a>>(column: &mut ColumnIter<'a, T>) -> Result<T, Error> {
    column.next().unwrap_or_else(|| Err(Error::DataFormat("a column is shorter than its block".into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_at_the_end_may_be_missing() {
        for (list, values) in
            [(vec![(0, 1_000)], 2), (vec![(256, -1_000)], 8), (vec![(7, 3), (256, 1 << 40)], 14)]
        {
            let all_buckets: Vec<u8> =
                list.iter().flat_map(|(bucket, _): &(u16, i64)| bucket.to_le_bytes()).collect();
            let all_counts: Vec<u8> = list.iter().flat_map(|(_, count)| count.to_le_bytes()).collect();
            let cut = |bytes: &[u8]| {
                bytes[..bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1)].to_vec()
            };
            assert_eq!(cut(&all_counts).len(), values);
            for (of, counts) in
                [(all_buckets.clone(), all_counts.clone()), (cut(&all_buckets), cut(&all_counts))]
            {
                assert_eq!(buckets(Bytes(&of), Bytes(&counts)).collect::<Vec<_>>(), list);
            }
        }
        assert_eq!(buckets(Bytes(b""), Bytes(b"")).count(), 0);
    }
}
