//! Which part of a list.

use crate::error::ApiError;
use serde::Deserialize;
use utoipa::IntoParams;

/// Which page.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(default, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct PageWords {
    /// From 1.
    #[param(minimum = 1)]
    pub page: Option<u32>,
    /// 1 to 500; 20 by default. `page` × `pageSize` is 10,000 at most; a `cursor` goes further.
    #[param(minimum = 1, maximum = 500)]
    pub page_size: Option<u32>,
}

/// In which order.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(default, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct SortWords {
    /// `startTime` or `duration`, with `-` before it for descending; `-startTime` by default.
    pub sort: Option<String>,
    /// `nextCursor` of the page before, instead of `page`; the other parameters stay as they were.
    pub cursor: Option<String>,
}

const DEFAULT_SIZE: u32 = 20;
/// More would be a file, not a page.
const MOST_ON_A_PAGE: u32 = 500;
/// Rows that are sorted to be passed over.
const DEEPEST: u64 = 10_000;

/// Part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// From 1.
    pub page: u32,
    /// Rows.
    pub size: u32,
    /// The order of all.
    pub sort: Sort,
    /// Where the page begins, instead of its number.
    pub after: Option<Cursor>,
}

/// What a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    by: By,
    descending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Start,
    Duration,
}

/// The last flow of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// µs since the epoch.
    pub start_us: i64,
    /// The trace id.
    pub id: u128,
}

impl Page {
    /// From what a caller sent.
    ///
    /// # Errors
    /// There can't be such a page, or the cursor is none.
    pub fn read(words: &PageWords, sort: &SortWords) -> Result<Self, ApiError> {
        let (page, size) = (words.page.unwrap_or(1), words.page_size.unwrap_or(DEFAULT_SIZE));
        if !(1..=MOST_ON_A_PAGE).contains(&size) {
            return Err(ApiError::bad_request(format!("pageSize is 1 to {MOST_ON_A_PAGE}")));
        }
        if page == 0 || u64::from(page) * u64::from(size) > DEEPEST {
            return Err(ApiError::bad_request(format!(
                "page is 1 or more, and page × pageSize at most {DEEPEST}; go further with nextCursor as cursor"
            )));
        }
        let (order, cursor) = (sort.sort.as_deref(), sort.cursor.as_deref());
        let sort = Sort::read(order)?;
        let after = cursor.map(|text| sort.read_cursor(text)).transpose()?;
        if after.is_some() && words.page.is_some() {
            return Err(ApiError::bad_request("give either page or cursor"));
        }
        Ok(Self { page, size, sort, after })
    }

    /// The condition, the order and the part of all rows, for the end of a query: those of the page, and so many more.
    /// Every value in it is a number.
    pub fn sql(&self, more: u32) -> String {
        let direction = if self.sort.descending { "DESC" } else { "ASC" };
        let by = match self.sort.by {
            By::Start => "start",
            By::Duration => "duration_us",
        };
        let skipped = if self.after.is_some() { 0 } else { (self.page - 1) * self.size };
        format!(
            "{} ORDER BY {by} {direction}, id {direction} LIMIT {} OFFSET {skipped}",
            self.after.map(|after| self.beyond(after)).unwrap_or_default(),
            self.size + more
        )
    }

    /// The plain condition on the start is there for the table's order, which a comparison of tuples doesn't use.
    fn beyond(&self, Cursor { start_us, id }: Cursor) -> String {
        let sign = if self.sort.descending { "<" } else { ">" };
        let start = format!("fromUnixTimestamp64Micro({start_us}, 'UTC')");
        format!(
            " AND start {sign}= {start} AND (start {sign} {start} OR id {sign} toFixedString(unhex('{id:032x}'), 16))"
        )
    }

    /// Cuts off what is more than the page, and says what leads there.
    pub fn cut<Row>(&self, rows: &mut Vec<Row>, cursor: impl Fn(&Row) -> Cursor) -> Option<String> {
        let more = rows.len() > self.size as usize;
        rows.truncate(self.size as usize);
        rows.last().filter(|_| more).and_then(|last| self.sort.cursor(cursor(last)))
    }
}

impl Sort {
    /// From what a caller sent; the newest first by default.
    ///
    /// # Errors
    /// Nothing is sorted so.
    pub fn read(text: Option<&str>) -> Result<Self, ApiError> {
        let text = text.unwrap_or("-startTime");
        let (descending, name) = text.strip_prefix('-').map_or((false, text), |name| (true, name));
        let by = match name {
            "startTime" => By::Start,
            "duration" => By::Duration,
            _ => {
                return Err(ApiError::bad_request(
                    "sort is startTime or duration, with - before it for descending",
                ));
            }
        };
        Ok(Self { by, descending })
    }

    /// What leads to the flows behind this one; `None` in the order of durations.
    pub fn cursor(self, last: Cursor) -> Option<String> {
        let text = || format!("{}{:x}-{:032x}", self.mark(), last.start_us.max(0), last.id);
        (self.by == By::Start).then(text)
    }

    fn mark(self) -> char {
        if self.descending { 'd' } else { 'a' }
    }

    fn read_cursor(self, text: &str) -> Result<Cursor, ApiError> {
        if self.by != By::Start {
            return Err(ApiError::bad_request("a cursor goes with sort by startTime only"));
        }
        let read = || {
            let (start, id) = text.strip_prefix(self.mark())?.split_once('-')?;
            let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
            (is_hex(start) && is_hex(id) && id.len() == 32).then_some(())?;
            let start_us = i64::from_str_radix(start, 16).ok()?;
            Some(Cursor { start_us, id: u128::from_str_radix(id, 16).ok()? })
        };
        read().ok_or_else(|| ApiError::bad_request("cursor is no nextCursor of a list in this order"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        page: Option<u32>,
        size: Option<u32>,
        sort: Option<&str>,
        cursor: Option<&str>,
    ) -> Result<Page, ApiError> {
        let sort = SortWords { sort: sort.map(str::to_owned), cursor: cursor.map(str::to_owned) };
        Page::read(&PageWords { page, page_size: size }, &sort)
    }

    #[test]
    fn pages_are_parts_of_the_newest_first() {
        let sql = read(Some(3), Some(50), None, None).unwrap().sql(0);
        assert_eq!(sql, " ORDER BY start DESC, id DESC LIMIT 50 OFFSET 100");
        let sql = read(None, None, Some("duration"), None).unwrap().sql(1);
        assert_eq!(sql, " ORDER BY duration_us ASC, id ASC LIMIT 21 OFFSET 0");
    }

    #[test]
    fn a_cursor_is_the_last_row_of_a_page_that_others_follow() {
        let page = read(None, Some(2), None, None).unwrap();
        let last = Cursor { start_us: 1_700_000_000_000_000, id: 10 };
        let mut rows = vec![last; 3];
        let cursor = page.cut(&mut rows, |row| *row).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(page.cut(&mut rows, |row| *row), None, "nothing follows, though the page is full");
        let next = read(None, Some(2), None, Some(&cursor)).unwrap();
        assert_eq!(next.after, Some(last));
        assert!(
            next.sql(1).contains("start <= fromUnixTimestamp64Micro(1700000000000000, 'UTC') AND "),
            "{}",
            next.sql(1)
        );
        assert!(read(None, None, Some("startTime"), Some(&cursor)).is_err(), "it belongs to the other order");
        assert!(read(None, None, Some("duration"), Some(&cursor)).is_err());
        assert!(read(Some(1), None, None, Some(&cursor)).is_err());
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for (page, size) in
            [(Some(0), None), (None, Some(0)), (None, Some(501)), (Some(501), None), (Some(u32::MAX), None)]
        {
            assert!(read(page, size, None, None).is_err(), "{page:?} {size:?}");
        }
        for bad in
            ["", "d", "d1-2", "d'-0000000000000000000000000000000a", "d+1-0000000000000000000000000000000a"]
        {
            assert!(read(None, None, None, Some(bad)).is_err(), "{bad}");
        }
        for bad in ["", "-", "start", "startTime; DROP", "--startTime"] {
            assert!(read(None, None, Some(bad), None).is_err(), "{bad}");
        }
    }
}
