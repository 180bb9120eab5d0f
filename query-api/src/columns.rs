//! Columns of rollups as ClickHouse's `Native` format has them, read where they lie. The client library makes a text of
//! each name of each row and decodes arrays number by number, which took most of the time of a large graph.
//!
//! Format: <https://clickhouse.com/docs/reference/interfaces/specs/NativeFormat>.

use bytes::{Buf, Bytes, BytesMut};
use clickhouse::error::Error;
use clickhouse::query::BytesCursor;

/// Rows of so many columns of names, whole numbers and lists.
#[derive(Debug)]
pub struct Block {
    /// How many there are.
    pub rows: usize,
    /// What they take.
    pub bytes: usize,
    /// In the order of the query.
    pub columns: Vec<Column>,
}

/// One column.
#[derive(Debug)]
pub enum Column {
    /// `LowCardinality(String)`
    Names(Names),
    /// `Int64`, or the thousandths of a `Decimal(18, 3)`
    Numbers(Numbers),
    /// `Array(UInt16)`
    Buckets(Lists<2>),
    /// `Array(Int64)`
    Counts(Lists<8>),
}

/// Each name once, and for each row which of them it has.
#[derive(Debug)]
#[allow(missing_docs, reason = "see above")]
pub struct Names {
    pub names: Vec<Bytes>,
    pub keys: Vec<u32>,
}

/// A number for each row.
#[derive(Debug)]
pub struct Numbers(Bytes);

/// A list for each row, of numbers of so many bytes.
#[derive(Debug)]
pub struct Lists<const N: usize> {
    /// Where each of them ends.
    ends: Numbers,
    numbers: Bytes,
}

/// Makes what a column holds of the column.
macro_rules! held {
    ($($kind:ident: $held:ty),*) => {$(
        impl TryFrom<Column> for $held {
            type Error = Error;

            fn try_from(column: Column) -> Result<Self, Error> {
                match column {
                    Column::$kind(held) => Ok(held),
                    _ => Err(Error::DataFormat(concat!("a column is not of ", stringify!($kind)).into())),
                }
            }
        }
    )*};
}

held!(Names: Names, Numbers: Numbers, Buckets: Lists<2>, Counts: Lists<8>);

impl Numbers {
    /// A row's.
    pub fn of(&self, row: usize) -> i64 {
        self.0.as_chunks().0.get(row).map_or(0, |bytes| i64::from_le_bytes(*bytes))
    }
}

impl<const N: usize> Lists<N> {
    /// A row's.
    pub fn of(&self, row: usize) -> &[[u8; N]] {
        let from = row.checked_sub(1).map_or(0, |before| self.ends.of(before));
        self.numbers.as_chunks().0.get(from as usize..self.ends.of(row) as usize).unwrap_or_default()
    }
}

/// Reads one block after the other.
#[allow(missing_debug_implementations, reason = "the library's cursor has none")]
pub struct Blocks {
    cursor: BytesCursor,
    /// What has come and has not been read yet.
    bytes: Bytes,
}

/// Why a block can't be read.
#[derive(Debug)]
enum Stop {
    /// There have to be so many bytes at least.
    Needs(usize),
    Broken(String),
}

impl Blocks {
    /// Of an answer in the format `Native`.
    pub fn new(cursor: BytesCursor) -> Self {
        Self { cursor, bytes: Bytes::new() }
    }

    /// The next block with rows.
    ///
    /// # Errors
    /// ClickHouse can't answer, or a column is of a type that no [`Column`] is.
    pub async fn next(&mut self) -> Result<Option<Block>, Error> {
        while !self.bytes.is_empty() || self.fill(1).await? {
            let ((width, rows), mut bytes) =
                self.read(|reader| Ok((reader.length()?, reader.length()?))).await?;
            let mut columns = Vec::new();
            for _ in 0..width {
                let (column, length) = self.read(|reader| reader.column(rows)).await?;
                columns.push(column);
                bytes += length;
            }
            if rows > 0 {
                return Ok(Some(Block { rows, bytes, columns }));
            }
        }
        Ok(None)
    }

    /// Reads something as soon as all of it is there, and how many bytes it has.
    async fn read<T>(&mut self, what: impl Fn(&mut Reader) -> Result<T, Stop>) -> Result<(T, usize), Error> {
        loop {
            let mut reader = Reader { bytes: self.bytes.clone(), length: self.bytes.len() };
            match what(&mut reader) {
                Ok(found) => {
                    let length = self.bytes.len() - reader.bytes.len();
                    self.bytes = reader.bytes;
                    return Ok((found, length));
                }
                Err(Stop::Needs(length)) if self.fill(length).await? => {}
                Err(Stop::Needs(_)) => return Err(Error::NotEnoughData),
                Err(Stop::Broken(reason)) => return Err(Error::DataFormat(reason.into())),
            }
        }
    }

    /// Waits until so many bytes are there; whether they are.
    async fn fill(&mut self, length: usize) -> Result<bool, Error> {
        let mut filled = BytesMut::new();
        while filled.len().max(self.bytes.len()) < length {
            let Some(bytes) = self.cursor.next().await? else { return Ok(false) };
            if self.bytes.is_empty() {
                self.bytes = bytes;
                continue;
            }
            if filled.is_empty() {
                filled.reserve(length + bytes.len());
                filled.extend_from_slice(&self.bytes);
            }
            filled.extend_from_slice(&bytes);
        }
        if !filled.is_empty() {
            self.bytes = filled.freeze();
        }
        Ok(true)
    }
}

/// What is left of the bytes that are there.
struct Reader {
    bytes: Bytes,
    /// Of all of them.
    length: usize,
}

impl Reader {
    fn column(&mut self, rows: usize) -> Result<Column, Stop> {
        let (name, kind) = (self.text()?, self.text()?);
        match plain(&kind) {
            b"LowCardinality(String)" => self.names(rows).map(Column::Names),
            b"Int64" | b"Decimal(18, 3)" => Ok(Column::Numbers(Numbers(self.several(rows, 8)?))),
            b"Array(UInt16)" => self.lists(rows).map(Column::Buckets),
            b"Array(Int64)" => self.lists(rows).map(Column::Counts),
            _ => {
                let text = String::from_utf8_lossy;
                Err(Stop::Broken(format!("the column {} is of the type {}", text(&name), text(&kind))))
            }
        }
    }

    fn names(&mut self, rows: usize) -> Result<Names, Stop> {
        /// The column has names of its own, and no others are meant.
        const OWN_NAMES: u64 = 0x600;
        if rows == 0 {
            return Ok(Names { names: Vec::new(), keys: Vec::new() });
        }
        let (version, flags, count) = (self.number()?, self.number()?, self.number()?);
        let width = match flags.wrapping_sub(OWN_NAMES) {
            power @ 0..=2 if version == 1 => 1 << power,
            _ => return Err(Stop::Broken(format!("names of version {version} with the flags {flags:#x}"))),
        };
        let names = (0..count).map(|_| self.text()).collect::<Result<Vec<_>, _>>()?;
        let keys = self.number()?;
        if keys != rows as u64 {
            return Err(Stop::Broken(format!("{keys} names for {rows} rows")));
        }
        let keys = self.several(rows, width)?;
        let key = |bytes: &[u8]| bytes.iter().rev().fold(0, |key, byte| key << 8 | u32::from(*byte));
        let keys: Vec<u32> = keys.chunks_exact(width).map(key).collect();
        match keys.iter().max() {
            Some(most) if *most as usize >= names.len() => Err(Stop::Broken("a name is missing".to_owned())),
            _ => Ok(Names { names, keys }),
        }
    }

    fn lists<const N: usize>(&mut self, rows: usize) -> Result<Lists<N>, Stop> {
        let ends = Numbers(self.several(rows, 8)?);
        let all = rows.checked_sub(1).map_or(0, |last| ends.of(last));
        let all = usize::try_from(all).unwrap_or(usize::MAX);
        Ok(Lists { ends, numbers: self.several(all, N)? })
    }

    /// So many numbers of so many bytes.
    fn several(&mut self, count: usize, width: usize) -> Result<Bytes, Stop> {
        /// No answer that is added up here is larger.
        const MOST: usize = 1 << 30;
        match count.checked_mul(width) {
            Some(length) if length <= MOST => self.take(length),
            _ => Err(Stop::Broken(format!("a column of {count} numbers"))),
        }
    }

    fn take(&mut self, length: usize) -> Result<Bytes, Stop> {
        if length > self.bytes.len() {
            return Err(Stop::Needs(self.length - self.bytes.len() + length));
        }
        Ok(self.bytes.split_to(length))
    }

    fn number(&mut self) -> Result<u64, Stop> {
        Ok(self.take(8)?.get_u64_le())
    }

    fn text(&mut self) -> Result<Bytes, Stop> {
        let length = self.length()?;
        self.several(length, 1)
    }

    /// Seven bits a byte, the lowest first.
    fn length(&mut self) -> Result<usize, Stop> {
        let mut length = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.take(1)?[0];
            length |= usize::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(length);
            }
        }
        Err(Stop::Broken("a length of more than 63 bits".to_owned()))
    }
}

/// The type of what a column adds up.
fn plain(kind: &[u8]) -> &[u8] {
    let inner = kind.strip_prefix(b"SimpleAggregateFunction(").and_then(|inner| inner.strip_suffix(b")"));
    let after = |inner: &'_ [u8]| inner.windows(2).position(|two| two == b", ").map(|at| at + 2);
    inner.and_then(|inner| inner.get(after(inner)?..)).unwrap_or(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&[text.len() as u8], text.as_bytes()].concat()
    }

    fn numbers<const N: usize>(numbers: &[[u8; N]]) -> Vec<u8> {
        numbers.concat()
    }

    /// A column of a type.
    fn column(kind: &str, data: &[Vec<u8>]) -> Vec<u8> {
        [text("c"), text(kind), data.concat()].concat()
    }

    fn names(flags: u64, names: &[&str], keys: &[u8], rows: u64) -> Vec<u8> {
        let head = numbers(&[1, flags, names.len() as u64].map(u64::to_le_bytes));
        let names = names.iter().flat_map(|name| text(name)).collect();
        column("LowCardinality(String)", &[head, names, rows.to_le_bytes().to_vec(), keys.to_vec()])
    }

    fn read(bytes: &[u8], rows: usize) -> Result<Column, Stop> {
        let mut reader = Reader { bytes: Bytes::copy_from_slice(bytes), length: bytes.len() };
        let column = reader.column(rows)?;
        assert!(reader.bytes.is_empty(), "all of it is read");
        Ok(column)
    }

    #[test]
    fn each_kind_of_column_is_read() {
        for (flags, keys) in [
            (0x600, &[1, 0, 1][..]),
            (0x601, &[1, 0, 0, 0, 1, 0]),
            (0x602, &[1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]),
        ] {
            let found = read(&names(flags, &["", "billing"], keys, 3), 3).unwrap();
            let Names { names, keys } = found.try_into().unwrap();
            assert_eq!((names, keys), (vec![Bytes::new(), "billing".into()], vec![1, 0, 1]), "{flags:#x}");
        }
        let values = numbers(&[-5_i64, 7].map(i64::to_le_bytes));
        for kind in ["Int64", "Decimal(18, 3)", "SimpleAggregateFunction(sum, Int64)"] {
            let found: Numbers =
                read(&column(kind, std::slice::from_ref(&values)), 2).unwrap().try_into().unwrap();
            assert_eq!((found.of(0), found.of(1), found.of(2)), (-5, 7, 0), "{kind}");
        }
        let ends = numbers(&[0_u64, 2, 3].map(u64::to_le_bytes));
        let buckets = numbers(&[7_u16, 300, 9].map(u16::to_le_bytes));
        let found: Lists<2> =
            read(&column("Array(UInt16)", &[ends.clone(), buckets]), 3).unwrap().try_into().unwrap();
        let lists: Vec<Vec<u16>> = (0..4)
            .map(|row| found.of(row).iter().map(|bytes| u16::from_le_bytes(*bytes)).collect())
            .collect();
        assert_eq!(lists, [vec![], vec![7, 300], vec![9], vec![]]);
        let counts = numbers(&[1_i64, -2, 3].map(i64::to_le_bytes));
        let found: Lists<8> = read(&column("Array(Int64)", &[ends, counts]), 3).unwrap().try_into().unwrap();
        assert_eq!(found.of(1), [1_i64, -2].map(i64::to_le_bytes));
    }

    #[test]
    fn no_column_is_read_before_all_of_it_is_there() {
        let ends = numbers(&[1_u64, 2].map(u64::to_le_bytes));
        let whole = [
            names(0x600, &["shop", "billing"], &[0, 1], 2),
            column("Int64", &[vec![0; 16]]),
            column("Array(UInt16)", &[ends.clone(), vec![0; 4]]),
            column("Array(Int64)", &[ends, vec![0; 16]]),
        ];
        for bytes in whole {
            for cut in 0..bytes.len() {
                let stop = read(&bytes[..cut], 2).unwrap_err();
                let Stop::Needs(needed) = stop else { panic!("{cut}: {stop:?}") };
                assert!(cut < needed && needed <= bytes.len(), "{cut}: {needed} of {}", bytes.len());
            }
            assert!(read(&bytes, 2).is_ok());
        }
    }

    #[test]
    fn what_is_broken_is_refused() {
        for (bytes, reason) in [
            (column("String", &[text("a")]), "the column c is of the type String"),
            (names(0x600, &["shop"], &[1], 1), "a name is missing"),
            (names(0x603, &["shop"], &[0], 1), "names of version 1 with the flags 0x603"),
            (names(0x600, &["shop"], &[0, 0], 2), "2 names for 1 rows"),
            (
                column("Array(Int64)", &[u64::MAX.to_le_bytes().to_vec()]),
                "a column of 18446744073709551615 numbers",
            ),
        ] {
            match read(&bytes, 1) {
                Err(Stop::Broken(found)) => assert_eq!(found, reason),
                other => panic!("{reason}: {other:?}"),
            }
        }
        assert!(Numbers::try_from(read(&names(0x600, &["shop"], &[0], 1), 1).unwrap()).is_err());
    }
}
