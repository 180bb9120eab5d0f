//! What each trouble means and what mends it. The sentences themselves are the roles'; here they are recognised by
//! their fixed words, which docs/operating.md lists too.

use process::{Finding, Level};

/// A finding with what follows from it.
pub struct Explained {
    /// What was found.
    pub finding: Finding,
    /// What that means; "" where nothing is wrong.
    pub means: &'static str,
    /// The command, or the deed, that mends it; "" where nothing is wrong.
    pub mend: &'static str,
}

/// Words of a sentence, what it means, and what mends it.
pub type Trouble = (&'static str, &'static str, &'static str);

/// What refuses a start, in the order of the table in docs/operating.md.
pub const REFUSALS: &[Trouble] = &[
    (
        "the log was deleted beyond that",
        "the shard was down for longer than otlp_spans keeps records; what was deleted unread is lost",
        "weir processor --accept-gap, once; and a longer retention.ms of otlp_spans",
    ),
    (
        "the topic was created anew",
        "otlp_spans was deleted and made again; the traces in memory can't be read again",
        "weir processor --accept-gap, once",
    ),
    (
        "has worked before, but its journal is gone",
        "flow_journal was deleted while flow_deltas or flow_state were not: nobody knows what is counted",
        "restore flow_journal; or weir processor --first-boot-from latest (counts what comes from now on) or earliest \
         (counts again what is in the log), once, and weir store --accept-gap, once",
    ),
    (
        "its journal does not go back far enough",
        "flow_journal was cut: traces in memory can't be rebuilt",
        "restore flow_journal; or weir processor --accept-gap, once",
    ),
    (
        "its last commit was made by version",
        "this program counts otherwise and can't go on with the traces of the other",
        "start the other version with --drain, then this one; or weir processor --accept-gap, once",
    ),
    (
        "its last commit was made under other settings",
        "the same spans would be counted otherwise, under another --default-environment for example",
        "start with the old settings, with --drain before you change them; or weir processor --accept-gap, once",
    ),
    (
        "its state comes out differently",
        "somebody changed otlp_spans, flow_journal or flow_state, or this is a fault of Weir",
        "report it; weir processor --accept-gap, once",
    ),
    (
        "its state can't be read",
        "records of flow_state are missing, or another version wrote them",
        "restore flow_state; or weir processor --accept-gap, once",
    ),
    (
        "commits are missing",
        "somebody wrote to flow_journal, or deleted in it",
        "restore flow_journal; or delete it, then weir processor --first-boot-from latest and weir store --accept-gap, once",
    ),
    (
        "the journal record at offset",
        "somebody else wrote to flow_journal",
        "restore flow_journal; or delete it, then weir processor --first-boot-from latest and weir store --accept-gap, once",
    ),
    ("`weir topics` creates it", "the roles wait for the topic", "weir topics"),
    (
        "it must be",
        "with that setting records get lost or a shard's clock is wrong",
        "kafka-configs.sh --alter --entity-type topics --entity-name TOPIC --add-config SETTING=VALUE",
    ),
    (
        "a shard writes to the partition number it reads",
        "the topics were created with different counts, which are fixed for their lives",
        "delete the topic that differs, if it is empty, then weir topics; or begin with a new --topic-prefix",
    ),
    ("the database has migration", "a newer Weir has changed the tables", "run that newer Weir"),
    (
        "would count a repeated insert twice",
        "after a crash the store repeats inserts, and ClickHouse would not recognise them",
        "the ALTER TABLE that the sentence names",
    ),
    (
        "though its migration was applied",
        "somebody dropped a table of Weir's",
        "restore it; or give an empty database with --clickhouse-database, and weir store --accept-gap, once",
    ),
    (
        "but store_journal has no entry",
        "store_journal was made anew, got more partitions, or an old one was put back: batches would be stored again",
        "restore store_journal; or weir store --accept-gap, once: it goes on behind what ClickHouse has",
    ),
    (
        "is this another database?",
        "store_journal tells of batches that ClickHouse doesn't have",
        "the right --clickhouse or --clickhouse-database; or weir store --accept-gap, once: what is missing stays missing",
    ),
    (
        "was begun by a Weir with block format",
        "the program was changed in the middle of a batch, and this one would make other blocks of it",
        "start the version from before, stop it with SIGTERM, then start this one",
    ),
    (
        "a newer Weir has taken the lane",
        "a store of a newer version has begun to change the tables",
        "run that newer version",
    ),
    (
        "an entry of store_journal can't be read",
        "somebody else wrote to store_journal",
        "restore store_journal; or delete it, then weir topics and weir store --accept-gap, once",
    ),
    (
        "has not the partitions with which its lane began",
        "the topic got more partitions: the spans of a trace go to other shards now, and nobody stores the new ones",
        "begin with a new --topic-prefix and --clickhouse-database",
    ),
    (
        "but the log has only",
        "records were deleted before they were stored, or the topic was made anew",
        "weir store --accept-gap, once: what is missing is counted; and a longer retention.ms of the topic",
    ),
];

/// What is degraded.
pub const DEGRADED: &[Trouble] = &[
    ("no processor is in the group", "nothing is counted; spans wait in Kafka", "weir processor"),
    (
        "wait for its first commit",
        "the shard has spans, and no processor has worked on it yet",
        "weir processor",
    ),
    (
        "is drained at commit",
        "all its flows are closed and nothing is counted until a processor starts",
        "weir processor, without --drain",
    ),
    (
        "in log time",
        "its processor is down, is being rebuilt, or doesn't keep up; the answers lack what waits",
        "weir processor where none runs; its /ready says why (--ready HOST:PORT); more processors or partitions",
    ),
    (
        "a commit is missing",
        "the store takes nothing more of that shard, so that no sum is wrong",
        "find out who deleted records; then weir store --accept-gap, once",
    ),
    (
        "passes over it",
        "one record crashes the shard each time; the other shards go on",
        "weir processor --quarantine PARTITION:OFFSET, as the sentence says",
    ),
    (
        "was fenced by another process",
        "two processors had the shard; one goes on, this one tries later",
        "wait; if it stays, see whether two installations share the topics",
    ),
    ("waits for Kafka", "the shard starts when Kafka answers", "see whether Kafka runs"),
    ("has no tables yet", "no store has started here", "weir store"),
    (
        "migrations are not applied yet",
        "the store that runs is older than this program, or none runs",
        "weir store, of this version",
    ),
    (
        "no store is in the group",
        "nothing gets into ClickHouse; it waits in Kafka for as long as that keeps it",
        "weir store",
    ),
    (
        "the tables are",
        "the store or ClickHouse doesn't keep up, or a shard is stopped; history lacks what waits",
        "weir store where none runs; its /ready says why (--ready HOST:PORT)",
    ),
    (
        "are free for ClickHouse",
        "a full disk makes ClickHouse 26.7 lose writes it has taken",
        "give it room; and set keep_free_space_bytes of the disk",
    ),
    ("doesn't answer", "the roles wait for it", "start it, or give its right address"),
    (
        "can't be looked at",
        "Kafka is slow or a transaction hangs; nothing is known of the shard",
        "weir doctor, again in half a minute",
    ),
];

impl Explained {
    /// Looks the words up.
    pub fn of(finding: Finding) -> Self {
        let known = REFUSALS.iter().chain(DEGRADED).find(|(words, ..)| finding.what.contains(words));
        let (means, mend) = match (finding.level, known) {
            (Level::Ok, _) => ("", ""),
            (_, Some((_, means, mend))) => (*means, *mend),
            (_, None) => ("it doesn't do all of its work", "see its log"),
        };
        Self { finding, means, mend }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusals_are_those_of_the_documentation() {
        let page = include_str!("../../../docs/operating.md");
        let (_, table) =
            page.split_once("| the sentence says | what happened | what to do |\n|---|---|---|\n").unwrap();
        let rows = table.lines().take_while(|line| line.starts_with('|'));
        let documented: Vec<&str> = rows.map(|row| row.split('|').nth(1).unwrap().trim()).collect();
        let known: Vec<&str> = REFUSALS.iter().map(|(words, ..)| *words).collect();
        assert_eq!(documented, known);
    }

    #[test]
    fn a_trouble_is_explained_and_a_healthy_part_is_not() {
        let sick =
            Explained::of(Finding::refused("shard 1", "shard 1 can't go on: the topic was created anew."));
        assert!(sick.mend.contains("--accept-gap") && !sick.means.is_empty());
        let healthy = Explained::of(Finding::ok("shard 1", "commit 7, 1 s old, 0 records wait"));
        assert_eq!((healthy.means, healthy.mend), ("", ""));
        let unknown = Explained::of(Finding::degraded("role at x", "something new"));
        assert_eq!(unknown.mend, "see its log");
    }
}
