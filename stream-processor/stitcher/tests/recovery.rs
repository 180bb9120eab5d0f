//! A shard that is rebuilt from `flow_state`, the journal and the log is the one that was lost: the same digest, and
//! the same sums at the end (DESIGN 5.2).

mod support;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use stitcher::settings::{Limits, Waits};
use stitcher::span::{SpanId, TraceId};
use stitcher::{Commit, Journaled, Replay, Settings, Shard, Span};
use support::table;

const START_US: i64 = 1_700_000_000_000_000;
const SECOND_US: i64 = 1_000_000;

/// What has outlived the shard: the journal, the compacted state, and what everybody else was told.
#[derive(Default)]
struct Kept {
    journal: Vec<Journaled>,
    state: BTreeMap<String, Vec<u8>>,
    told: Told,
}

impl Kept {
    fn commit(&mut self, shard: &mut Shard) {
        let Commit { journaled, state, deltas, traces, .. } = shard.commit();
        assert_eq!(shard.mistake(), None);
        for change in state {
            match change.value {
                Some(value) => drop(self.state.insert(change.key, value)),
                None => drop(self.state.remove(&change.key)),
            }
        }
        self.journal.push(journaled);
        self.told.add(&deltas, traces);
    }

    fn recover(&self, settings: Settings, log: &Log) -> Shard {
        let mut copy = self.copy(settings, self.journal.len());
        copy.read(log);
        copy.replay.finish().expect("the same shard")
    }

    /// A copy as of one of the last commits. What is in `flow_state` may be newer.
    fn copy(&self, settings: Settings, commits: usize) -> Copy {
        let journal = &self.journal[..commits];
        let last = journal.last().expect("a commit");
        let before = journal.iter().rposition(|commit| commit.next_offset <= last.low_watermark);
        let back = commits - 1 - last.commits_back as usize;
        let needed = before.unwrap_or(0).min(back);
        let replay = Replay::new(settings, journal[needed..].to_vec()).expect("a commit");
        let mut copy = Copy { next_offset: replay.reads_from(), replay, commits };
        self.load(&mut copy.replay);
        copy
    }

    fn load(&self, replay: &mut Replay) {
        for (key, value) in &self.state {
            replay.load(key, value).expect("written by this version");
        }
        replay.loaded().expect("nothing is missing");
    }

    /// A copy that has followed every commit, perhaps not in time, goes on as the shard.
    fn take_over(&self, mut copy: Copy, log: &Log) -> Shard {
        copy.follow(&self.journal, log);
        copy.replay.load_again();
        self.load(&mut copy.replay);
        copy.replay.finish().expect("the same shard")
    }
}

/// A shard in another process that follows the commits.
struct Copy {
    replay: Replay,
    next_offset: i64,
    commits: usize,
}

impl Copy {
    fn follow(&mut self, journal: &[Journaled], log: &Log) {
        self.read(log);
        for commit in &journal[self.commits..] {
            self.replay.follow(commit.clone());
            self.read(log);
        }
        self.commits = journal.len();
    }

    fn read(&mut self, log: &Log) {
        for offset in self.next_offset..self.replay.reads_until() {
            let record = &log.records[offset as usize];
            if self.replay.begin_record(offset, record.timestamp_us) {
                record.spans.iter().for_each(|span| self.replay.apply(span));
            }
        }
        self.next_offset = self.replay.reads_until().max(self.next_offset);
    }
}

/// Sums by key, everything that adds up to nothing left out, and the last summaries.
#[derive(Default, Debug, PartialEq, Clone)]
struct Told {
    counts: BTreeMap<String, Vec<i64>>,
    flows: BTreeMap<TraceId, String>,
    revisions: BTreeMap<TraceId, u32>,
    begun_twice: bool,
}

impl Told {
    fn add(&mut self, deltas: &stitcher::Deltas, traces: Vec<stitcher::FlowTrace>) {
        for (key, c) in &deltas.edges {
            let counts = [c.calls, c.errors, c.client_errors, c.retries, c.timeouts, c.rejected, c.messages];
            let rest = [c.paired, c.callee_latency.sum_us, c.caller_latency.sum_us, c.wait.sum_us];
            self.count(format!("{key:?}"), &[&counts[..], &rest].concat());
        }
        for (key, c) in &deltas.services {
            let times = [c.latency.sum_us, c.self_time.sum_us, c.critical_path.sum_us];
            self.count(format!("{key:?}"), &[&[c.requests, c.errors, c.client_errors], &times[..]].concat());
        }
        for (key, c) in &deltas.operations {
            self.count(format!("{key:?}"), &[c.flows, c.errors, c.timeouts, c.duration.sum_us]);
        }
        for (key, c) in &deltas.endpoints {
            self.count(format!("{key:?}"), &[c.requests, c.errors, c.latency.sum_us]);
        }
        for mut flow in traces {
            let before = self.revisions.insert(flow.trace_id, flow.revision);
            self.begun_twice |= before.is_some_and(|before| before >= flow.revision);
            // How often it was revised, and whether it was whole at its close, is a matter of when it closed.
            (flow.revision, flow.complete) = (0, false);
            self.flows.insert(flow.trace_id, format!("{flow:?}"));
        }
    }

    fn count(&mut self, key: String, values: &[i64]) {
        let sum = self.counts.entry(key).or_insert_with(|| vec![0; values.len()]);
        sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }

    fn settled(mut self) -> Self {
        self.counts.retain(|_, values| values.iter().any(|value| *value != 0));
        self.revisions.clear();
        self
    }
}

struct Record {
    timestamp_us: i64,
    spans: Vec<Span<'static>>,
    /// The end of the log was seen so long after it.
    silence_us: i64,
    then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    GoOn,
    Commit,
    CommitAndCrash,
    /// What was not committed is lost and done again.
    Crash,
}

struct Log {
    records: Vec<Record>,
}

/// Whether crashes happen, and who goes on then.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Crashes {
    No,
    /// A shard that is rebuilt.
    Rebuilt,
    /// A copy that begins with a journal so many commits old, and follows only every so many records.
    Copied(usize, usize),
}

/// Runs the log with or without its crashes. After a crash the records since the last commit are applied again.
fn run(settings: &Settings, log: &Log, crashes: Crashes) -> Told {
    let told = run_to_the_end(settings, log, crashes).settled();
    assert!(!told.begun_twice, "revisions ascend");
    told
}

fn run_to_the_end(settings: &Settings, log: &Log, crashes: Crashes) -> Told {
    let mut kept = Kept::default();
    let mut copy: Option<Copy> = None;
    let mut shard = Shard::new(settings.clone());
    let (mut offset, mut crashed) = (0, BTreeSet::new());
    while let Some(record) = log.records.get(offset) {
        shard.begin_record(offset as i64, record.timestamp_us);
        record.spans.iter().for_each(|span| shard.apply(span));
        if record.silence_us > 0 {
            shard.end_of_log(record.timestamp_us + record.silence_us);
        }
        if record.silence_us > SECOND_US {
            // An idle shard commits too.
            kept.commit(&mut shard);
        }
        if record.silence_us > 0 || matches!(record.then, Then::Commit | Then::CommitAndCrash) {
            kept.commit(&mut shard);
        }
        offset += 1;
        if let Crashes::Copied(behind, every) = crashes
            && offset % every == 0
            && kept.journal.len() > behind
        {
            let commits = kept.journal.len() - behind;
            copy.get_or_insert_with(|| kept.copy(settings.clone(), commits)).follow(&kept.journal, log);
        }
        let dies = matches!(record.then, Then::Crash | Then::CommitAndCrash);
        if crashes != Crashes::No && dies && crashed.insert(offset) && !kept.journal.is_empty() {
            shard = match copy.take() {
                Some(copy) => kept.take_over(copy, log),
                None => kept.recover(settings.clone(), log),
            };
            assert_eq!(shard.mistake(), None, "as it was rebuilt");
            offset = kept.journal.last().expect("a commit").next_offset as usize;
        }
    }
    shard.settle_all();
    kept.commit(&mut shard);
    kept.told
}

/// The flow of the arrival test, seven times over, so that traces come, go and come again.
const FLOW: &str = "
    1 - C console 0..200 browser operation=create_vm env=production
    2 1 S gw 5..190 method=POST route=/vms version=2
    3 2 C gw 10..180
    4 3 C gw.mesh 11..179 proxy=gw
    5 4 S vm.mesh 12..178 proxy=vm
    6 5 S vm 15..170 version=7
    7 6 I vm 16..60
    8 7 C vm 17..30 code=503 key=1
    9 8 S scheduler 18..29 code=503
    10 7 C vm 31..50 code=200 key=1
    11 10 S scheduler 32..49 code=200
    12 6 C vm 61..80 db=postgresql:vms
    13 6 I vm 81..90 breaker=billing
    15 6 I vm 91..92 breaker=billing fail=rejection err
    16 6 C vm 93..120 host=S3
    18 6 P vm 121..125 topic=kafka:vm-events
    19 18 K mail 300..350 topic=kafka:vm-events user=ann session=s1
    20 77 S stray 20..30
    21 20 C stray 21..29 weight=4000
    22 21 S auth 22..28
";
const TRACES: usize = 7;

fn spans() -> Vec<Span<'static>> {
    let one = table(FLOW);
    let many = one.len();
    let all = (0..TRACES).flat_map(|trace| {
        let with_id =
            one.iter().map(move |span| Span { trace_id: TraceId(trace as u128 + 1), ..span.clone() });
        with_id.collect::<Vec<_>>()
    });
    let all: Vec<Span<'static>> = all.collect();
    assert_eq!(all.len(), TRACES * many);
    all
}

/// A log that lasts at most so long. What comes later than 15 minutes after a close is a trace of its own.
fn log(most_s: i64) -> impl Strategy<Value = Log> {
    let many = spans().len();
    let order = Just((0..many).collect::<Vec<_>>()).prop_shuffle();
    let again = prop::collection::vec(0..many, 0..60);
    (order, again).prop_flat_map(move |(order, again)| {
        let arrivals: Vec<usize> = order.into_iter().chain(again).collect();
        let wait = prop_oneof![6 => Just(0_i64), 3 => 1..4_i64, 1 => 5..40_i64, 1 => 100..700_i64];
        let silence = prop_oneof![8 => Just(0_i64), 1 => 1..40_i64];
        let then = prop_oneof![
            6 => Just(Then::GoOn), 3 => Just(Then::Commit), 1 => Just(Then::CommitAndCrash), 1 => Just(Then::Crash)
        ];
        let records = arrivals.len().div_ceil(3);
        let timing = prop::collection::vec((wait, silence, then), records);
        (Just(arrivals), timing).prop_map(move |(arrivals, timing)| {
            let all = spans();
            let mut now_us = START_US;
            let records = arrivals.chunks(3).zip(timing).map(|(chunk, (wait_s, silence_s, then))| {
                let is_over = now_us + (wait_s + silence_s) * SECOND_US > START_US + most_s * SECOND_US;
                let (wait_s, silence_s) = if is_over { (0, 0) } else { (wait_s, silence_s) };
                now_us += wait_s * SECOND_US;
                let spans = chunk.iter().map(|i| all[*i].clone()).collect();
                let record = Record { timestamp_us: now_us, spans, silence_us: silence_s * SECOND_US, then };
                now_us += silence_s * SECOND_US;
                record
            });
            Log { records: records.collect() }
        })
    })
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for record in &self.records {
            let spans = record.spans.iter().map(|span| (span.trace_id.0, span.span_id.0));
            let seconds = (record.timestamp_us - START_US) / SECOND_US;
            let (silence, then) = (record.silence_us / SECOND_US, record.then);
            writeln!(f, "{seconds} s +{silence} {then:?} {:?}", spans.collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

fn settings(replayed_spans: u64, save_s: i64) -> Settings {
    let limits = Limits { replayed_spans, ..Limits::default() };
    let waits = Waits { save_us: save_s * SECOND_US, ..Waits::default() };
    Settings { limits, waits, graph_sample_milli: 1_000, ..Settings::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn crashes_change_no_sum(log in log(880), replayed in prop_oneof![Just(0), 1..100_u64], save_s in 0..90_i64) {
        let settings = settings(replayed, save_s);
        prop_assert_eq!(run(&settings, &log, Crashes::Rebuilt), run(&settings, &log, Crashes::No));
    }

    #[test]
    fn a_copy_takes_over_as_the_shard_was(
        log in log(880),
        replayed in prop_oneof![Just(0), 1..100_u64],
        save_s in 0..90_i64,
        (behind, every) in (0..6_usize, 1..8_usize),
    ) {
        let settings = settings(replayed, save_s);
        let copied = run(&settings, &log, Crashes::Copied(behind, every));
        prop_assert_eq!(copied, run(&settings, &log, Crashes::No));
    }

    /// Where bounds are reached, when a trace closes decides what is forgotten, so only the digest can be compared:
    /// every recovery checks it.
    #[test]
    fn a_shard_at_its_bounds_is_rebuilt_as_it_was(
        log in log(10_000),
        replayed in prop_oneof![Just(0), 1..100_u64],
        (remembered, open, per_trace) in (0..60_usize, 5..60_usize, 5..25_usize),
        (fingerprints, names) in (prop_oneof![Just(16_000_000), 0..60_usize], 1..6_usize),
        (behind, every) in (0..6_usize, 1..8_usize),
    ) {
        let mut settings = settings(replayed, 20);
        settings.limits = Limits {
            remembered_spans: remembered,
            open_spans: open,
            spans_per_trace: per_trace,
            fingerprints,
            services: names,
            virtual_nodes: names,
            operations: names,
            edges: names * 2,
            versions_per_service: 1,
            entries_per_service: 1,
            environments: names,
            ..settings.limits
        };
        run_to_the_end(&settings, &log, Crashes::Rebuilt);
        run_to_the_end(&settings, &log, Crashes::Copied(behind, every));
    }
}

/// Large traces are not resolved at every commit: what of them has been counted is journaled.
#[test]
fn a_large_trace_of_which_a_part_is_counted_is_rebuilt() {
    let with = |ids: std::ops::Range<u64>, then| {
        let two = table("1 - S gw 0..10 operation=login\n 2 1 S auth 1..9");
        let span = |id| if id == 1 { two[0].clone() } else { Span { span_id: SpanId(id), ..two[1].clone() } };
        Record { timestamp_us: START_US, spans: ids.map(span).collect(), silence_us: 0, then }
    };
    let log = Log {
        records: vec![
            with(1..2_101, Then::Commit),
            with(2_101..2_111, Then::CommitAndCrash),
            with(2_111..2_121, Then::Commit),
        ],
    };
    let settings = settings(0, 0);
    assert_eq!(run(&settings, &log, Crashes::Rebuilt), run(&settings, &log, Crashes::No));

    let mut kept = Kept::default();
    let mut shard = Shard::new(settings.clone());
    for (offset, record) in log.records.iter().enumerate().take(2) {
        shard.begin_record(offset as i64, record.timestamp_us);
        record.spans.iter().for_each(|span| shard.apply(span));
        kept.commit(&mut shard);
    }
    assert_eq!(kept.journal[1].postponed, [(TraceId(support::TRACE), 2_100)]);
}

/// A log that was changed, or other settings, are noticed.
#[test]
fn another_shard_is_not_taken_for_the_same() {
    let record =
        |line| Record { timestamp_us: START_US, spans: table(line), silence_us: 0, then: Then::Commit };
    let log = Log { records: vec![record("1 - S gw 0..10 operation=login"), record("2 1 S auth 1..9")] };
    let mut kept = Kept::default();
    let mut shard = Shard::new(settings(0, 90));
    for (offset, record) in log.records.iter().enumerate() {
        shard.begin_record(offset as i64, record.timestamp_us);
        record.spans.iter().for_each(|span| shard.apply(span));
        kept.commit(&mut shard);
    }
    let rebuilt = |lines: [&'static str; 2]| {
        let mut replay = Replay::new(settings(0, 90), kept.journal.clone()).expect("a commit");
        kept.state.iter().for_each(|(key, value)| replay.load(key, value).expect("admitted names"));
        for (offset, line) in lines.iter().enumerate() {
            assert!(replay.begin_record(offset as i64, START_US), "nothing is saved yet: all spans matter");
            table(line).iter().for_each(|span| replay.apply(span));
        }
        replay.finish().map(|shard| shard.open_spans())
    };
    assert_eq!(rebuilt(["1 - S gw 0..10 operation=login", "2 1 S auth 1..9"]), Ok(2));
    assert!(rebuilt(["1 - S gw 0..10 operation=login", "2 1 S user 1..9"]).is_err(), "another span");
    assert!(rebuilt(["1 - S gw 0..10 operation=logout", "2 1 S auth 1..9"]).is_err(), "another name");
}

#[test]
fn what_another_version_wrote_is_refused() {
    let commit = Journaled::default();
    let mut replay = Replay::new(Settings::default(), vec![commit]).expect("a commit");
    let id = "0123456789abcdef0123456789abcdef";
    for (key, value) in [
        ("trace", &[][..]),
        ("trace/xyz", &[]),
        ("names/1", &[]),
        ("names/x/1", &[]),
        (&format!("trace/{id}"), &[1, 2, 3]),
        (&format!("trace/{id}/00000000"), &[0xff; 40]),
        ("names/0/00000000", &[9, 9]),
    ] {
        assert!(replay.load(key, value).is_err(), "{key}");
    }
    assert!(Replay::new(Settings::default(), Vec::new()).is_none(), "there is nothing to go on from");
}

/// It is put off at commits, being large; but its successor takes it for told once it waits for a name no longer.
#[test]
fn a_large_trace_without_a_name_is_rebuilt_at_every_moment() {
    let settings = settings(1_500_000, 30);
    let inner = table("1 9999 I worker 0..10").remove(0);
    let rest = (2..2_100).map(|i| Span { span_id: SpanId(i), ..inner.clone() }).collect();
    let other = |number: u128| vec![Span { trace_id: TraceId(number), ..inner.clone() }];
    let spans: [(i64, Vec<Span<'static>>); 4] =
        [(0, vec![inner.clone()]), (4_000, rest), (6_200, other(1)), (6_400, other(2))];
    let record = |(after_ms, spans): (i64, Vec<Span<'static>>)| Record {
        timestamp_us: START_US + after_ms * 1_000,
        spans,
        silence_us: 0,
        then: Then::GoOn,
    };
    let log = Log { records: spans.into_iter().map(record).collect() };
    let (mut kept, mut shard) = (Kept::default(), Shard::new(settings.clone()));
    for (offset, record) in (0..).zip(&log.records) {
        shard.begin_record(offset, record.timestamp_us);
        record.spans.iter().for_each(|span| shard.apply(span));
        kept.commit(&mut shard);
        kept.recover(settings.clone(), &log);
    }
}
