//! From the counters of a role to what they mean for answers.

use serde::Serialize;
use utoipa::ToSchema;

/// Something that was counted because it did not simply go through.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusCount {
    /// The role that counts.
    role: String,
    /// The counter's name.
    name: String,
    /// Its labels, such as `reason=\"zero_trace_id\"`; "" without any.
    about: String,
    kind: CountKind,
    /// Since the process started.
    count: u64,
    /// What it means.
    explanation: &'static str,
}

/// What happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CountKind {
    /// It is missing from answers.
    Dropped,
    /// It was refused: it is missing, and its sender may know.
    Rejected,
    /// It is in the answers, and was put right on the way, or later.
    Corrected,
}

use CountKind::{Corrected, Dropped, Rejected};

/// The counters that are told, the label that they must have ("" for any), and what they mean.
const COUNTERS: &[(&str, &str, CountKind, &str)] = &[
    (
        "weir_ingest_spans_rejected",
        "",
        Rejected,
        "spans of accepted requests that can't be used; the client was told how many",
    ),
    (
        "weir_ingest_dead_letters",
        "",
        Rejected,
        "requests that could not be decoded; look into the topic flow_dead_letters",
    ),
    ("weir_ingest_messages_failed", "", Rejected, "Kafka did not take them; clients were told to send again"),
    ("weir_ingest_texts_mended", "", Corrected, "texts that were no UTF-8: invalid bytes were replaced"),
    (
        "weir_processor_dead_letters",
        "",
        Rejected,
        "records that could not be decoded; look into the topic flow_dead_letters",
    ),
    ("weir_processor_rejected_spans", "", Rejected, "spans without a usable id or time"),
    (
        "weir_processor_gap_offsets",
        "",
        Dropped,
        "input that was deleted before it was read, and given up by --accept-gap",
    ),
    (
        "weir_processor_wrong_copies",
        "",
        Corrected,
        "standby copies that were not what their shard was; it was rebuilt from the log",
    ),
    ("weir_processor_counted", "duplicate_exact", Corrected, "spans delivered again; they count once"),
    (
        "weir_processor_counted",
        "duplicate_conflict",
        Corrected,
        "spans of one id that differ; the first one counts",
    ),
    (
        "weir_processor_counted",
        "late_span",
        Corrected,
        "spans that came after their flow was closed; what was said of it was corrected",
    ),
    (
        "weir_processor_counted",
        "corrections",
        Corrected,
        "flows that were said anew, because of late spans or names",
    ),
    (
        "weir_processor_counted",
        "late_after_forgetting",
        Dropped,
        "spans so late that their flow was forgotten; each counts as a flow of its own",
    ),
    (
        "weir_processor_counted",
        "span_over_trace_limit",
        Dropped,
        "spans of traces with more spans than a trace may have",
    ),
    (
        "weir_processor_counted",
        "settled_early",
        Corrected,
        "flows closed before their time, because a shard has no room; late spans still correct them",
    ),
    ("weir_processor_counted", "overflowed", Corrected, "names beyond the limit, counted as __other__"),
    ("weir_processor_counted", "names_cut", Corrected, "names longer than 256 bytes, cut"),
    (
        "weir_processor_counted",
        "time_clamped",
        Corrected,
        "spans too old or too far ahead, counted at the nearest second that is inside",
    ),
    ("weir_processor_counted", "cycle", Corrected, "spans that are their own ancestors; the circle was cut"),
    (
        "weir_processor_counted",
        "closed_incomplete",
        Corrected,
        "flows closed without their root, or with callers missing",
    ),
    (
        "weir_processor_counted",
        "closed_truncated",
        Dropped,
        "flows closed because they were too long or too large",
    ),
    ("weir_store_undecodable", "", Rejected, "messages that could not be decoded and are not stored"),
    (
        "weir_store_spans_dropped",
        "",
        Dropped,
        "spans not stored raw, because of their time; graphs count them",
    ),
    (
        "weir_store_gap_records",
        "",
        Dropped,
        "records that were deleted before they were stored, given up by --accept-gap",
    ),
    (
        "weir_store_seq_holes",
        "",
        Dropped,
        "commits of a shard that are missing: nothing more of it is stored",
    ),
    ("weir_query_api_undecodable_records", "", Rejected, "changes of the graph that could not be decoded"),
    ("weir_query_api_unreadable_entries", "", Rejected, "changes of the graph that refer to nothing"),
    (
        "weir_query_api_too_old",
        "",
        Dropped,
        "changes older than live state, which only answers from ClickHouse hold",
    ),
    (
        "weir_query_api_too_far_ahead",
        "",
        Dropped,
        "changes of windows in the future, which live answers lack",
    ),
    ("weir_query_api_holes", "", Dropped, "commits of a shard that live state missed"),
    ("weir_query_api_repeated_commits", "", Corrected, "commits that came again and count once"),
    (
        "weir_query_api_flow_events_dropped",
        "",
        Dropped,
        "starts and ends of single flows that were not told live",
    ),
    ("weir_query_api_coalesced", "", Corrected, "backlogs of slow subscribers, replaced by a snapshot"),
];

/// What a metrics page counts that is to be told; counters at 0 are not.
pub fn of(role: &str, page: &str) -> Vec<StatusCount> {
    page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| told(role, line)).collect()
}

/// From a line such as `weir_processor_counted_total{name="late_span"} 3`.
fn told(role: &str, line: &str) -> Option<StatusCount> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let (name, about) = (name.strip_suffix("_total")?, labels.trim_end_matches('}'));
    let has = |wanted: &str| wanted.is_empty() || about.contains(&format!("\"{wanted}\""));
    let (_, _, kind, explanation) =
        COUNTERS.iter().find(|(counter, label, ..)| *counter == name && has(label))?;
    let count = value.parse().ok().filter(|count| *count > 0)?;
    let (role, name, about) = (role.to_owned(), name.to_owned(), about.to_owned());
    Some(StatusCount { role, name, about, kind: *kind, count, explanation })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_that_mean_something_are_told() {
        let page = "# HELP weir_processor_counted What the shards counted, by name.\n\
            weir_processor_counted_total{name=\"late_span\"} 3\n\
            weir_processor_counted_total{name=\"spans\"} 900\n\
            weir_processor_gap_offsets_total 0\n\
            weir_ingest_spans_rejected_total{reason=\"zero_trace_id\"} 2\n\
            weir_processor_commit_seq{partition=\"0\"} 9\n# EOF\n";
        let found: Vec<_> =
            of("processor", page).into_iter().map(|told| (told.about, told.kind, told.count)).collect();
        let expected = [
            ("name=\"late_span\"".to_owned(), Corrected, 3),
            ("reason=\"zero_trace_id\"".to_owned(), Rejected, 2),
        ];
        assert_eq!(found, expected);
    }
}
