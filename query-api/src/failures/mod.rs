//! What failed, grouped by where and how.

mod message;
mod spans;

use crate::App;
use crate::access::{Access, Role};
use crate::error::ApiError;
use crate::flows::{Lateness, WhichWords, lateness_with_spans};
use crate::live::feed::now_us;
use message::normalised;
use serde::Serialize;
use spans::{FailureRow, Found};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Errors, grouped. Times are µs since the epoch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorsAnswer {
    /// The most frequent first.
    pub errors: Vec<ErrorGroup>,
    /// Error spans in all, each once however often it was delivered.
    pub total: u64,
    /// Groups in all.
    pub group_count: usize,
    /// Whether there were more error spans, texts or groups than an answer looks at: counts are then lower bounds.
    pub truncated: bool,
    /// Where the first step of every `trend` begins.
    pub start_time: i64,
    /// Length of a step, µs.
    pub step: i64,
    /// How far the tables are.
    pub staleness: Lateness,
}

/// Errors of one place and kind.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct ErrorGroup {
    pub operation: String,
    pub environment: String,
    /// Whose span it is.
    pub service: String,
    pub namespace: String,
    /// Whom the span called, as it names it; "" where it is no span of a caller.
    pub peer: String,
    /// Of the last exception, else `error.type`; "" where neither is said.
    pub exception_type: String,
    /// Of the last exception, else the status's message; numbers, ids, addresses and quoted texts are `<…>`.
    pub message: String,
    pub count: u64,
    pub first_seen: i64,
    pub last_seen: i64,
    /// Errors of each step.
    pub trend: Vec<u64>,
    /// Up to three traces.
    pub trace_ids: Vec<String>,
}

/// What makes a group.
type Key = [String; 7];

/// More would not be read, but paged through.
const GROUPS: usize = 200;
/// As many as a small chart has room for.
const STEPS: u32 = 60;
const EXAMPLES: usize = 3;

/// Groups of error spans.
///
/// # Errors
/// The words contradict each other, the caller may not ask, or ClickHouse can't answer.
pub async fn list(app: &App, access: &Access, which: WhichWords) -> Result<ErrorsAnswer, ApiError> {
    access.at_least(Role::Analyst)?;
    let which = which.read("", &access.allowed, now_us(), &app.limits)?;
    let steps = Steps::of(which.from_s, which.to_s);
    let staleness = lateness_with_spans(app, which.from_s).await?;
    let Found { rows, total, truncated } = spans::read(app, &which, steps.width_s).await?;
    let mut groups = grouped(rows, steps);
    let group_count = groups.len();
    groups.sort_by(|a, b| b.count.cmp(&a.count).then(b.last_seen.cmp(&a.last_seen)));
    groups.truncate(GROUPS);
    Ok(ErrorsAnswer {
        errors: groups,
        total,
        group_count,
        truncated: truncated || group_count > GROUPS,
        start_time: i64::from(which.from_s) * 1_000_000,
        step: i64::from(steps.width_s) * 1_000_000,
        staleness,
    })
}

#[derive(Debug, Clone, Copy)]
struct Steps {
    width_s: u32,
    many: usize,
}

impl Steps {
    fn of(from_s: u32, to_s: u32) -> Self {
        let width_s = (to_s - from_s).div_ceil(STEPS).max(1);
        Self { width_s, many: (to_s - from_s).div_ceil(width_s) as usize }
    }
}

/// Texts that differ in ids only are one group.
fn grouped(rows: Vec<FailureRow>, steps: Steps) -> Vec<ErrorGroup> {
    let mut groups: BTreeMap<Key, ErrorGroup> = BTreeMap::new();
    for row in rows {
        let message = normalised(&row.message);
        let texts = [
            &row.operation,
            &row.environment,
            &row.service,
            &row.namespace,
            &row.peer,
            &row.exception_type,
            &message,
        ];
        let key = texts.map(Clone::clone);
        groups.entry(key.clone()).or_insert_with(|| ErrorGroup::empty(key, steps)).add(row);
    }
    groups.into_values().collect()
}

impl ErrorGroup {
    fn empty(key: Key, steps: Steps) -> Self {
        let [operation, environment, service, namespace, peer, exception_type, message] = key;
        let (count, first_seen, last_seen, trace_ids) = (0, i64::MAX, 0, Vec::new());
        let trend = vec![0; steps.many];
        Self {
            operation,
            environment,
            service,
            namespace,
            peer,
            exception_type,
            message,
            count,
            first_seen,
            last_seen,
            trend,
            trace_ids,
        }
    }

    fn add(&mut self, row: FailureRow) {
        self.count += row.count;
        self.first_seen = self.first_seen.min(row.first_us);
        self.last_seen = self.last_seen.max(row.last_us);
        for (step, count) in row.trend.0.into_iter().zip(row.trend.1) {
            if let Some(counted) = self.trend.get_mut(step as usize) {
                *counted += count;
            }
        }
        for id in row.trace_ids {
            if self.trace_ids.len() < EXAMPLES && !self.trace_ids.contains(&id) {
                self.trace_ids.push(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(message: &str, count: u64, trace: &str, step: u32) -> FailureRow {
        FailureRow {
            operation: "login".into(),
            environment: "production".into(),
            service: "auth".into(),
            namespace: "shop".into(),
            peer: String::new(),
            exception_type: "Timeout".into(),
            message: message.into(),
            count,
            first_us: i64::from(step) * 10,
            last_us: i64::from(step) * 20,
            trend: (vec![step], vec![count]),
            trace_ids: vec![trace.into()],
            total: 0,
            texts: 0,
        }
    }

    #[test]
    fn texts_that_differ_in_ids_are_one_group() {
        let rows =
            vec![row("user 12 is gone", 2, "a", 1), row("user 977 is gone", 3, "b", 2), row("no", 1, "c", 9)];
        let groups = grouped(rows, Steps::of(0, 180));
        let [no, gone] = &groups[..] else { panic!("{groups:#?}") };
        assert_eq!((no.count, gone.count, gone.message.as_str()), (1, 5, "user <number> is gone"));
        assert_eq!((gone.first_seen, gone.last_seen, &gone.trend[..4]), (10, 40, &[0, 2, 3, 0][..]));
        assert_eq!((gone.trend.len(), &gone.trace_ids), (60, &vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn steps_cover_the_range() {
        let steps = |from_s, to_s| (Steps::of(from_s, to_s).width_s, Steps::of(from_s, to_s).many);
        assert_eq!(
            [steps(0, 1), steps(5, 65), steps(0, 61), steps(0, 900)],
            [(1, 1), (1, 60), (2, 31), (15, 60)]
        );
    }
}
