//! Flows by time: which ones, page by page, from the table that lies in the order of time.

mod attribute;
mod lateness;
mod list;
mod page;
mod row;
mod statistics;
mod traces;
mod which;

pub use lateness::{Lateness, lateness_with_spans};
pub use list::{FlowsAnswer, list};
pub use page::{Cursor, PageWords, Sort, SortWords};
pub use row::FlowRow;
pub use statistics::{StatisticsAnswer, statistics};
pub use traces::{TracesAnswer, list as traces, youngest};
pub use which::{SPANS_APART_S, Which, WhichWords};
