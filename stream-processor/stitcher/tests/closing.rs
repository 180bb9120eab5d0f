//! Log time, closing, late spans, memory (DESIGN 4.6).

mod support;
use stitcher::settings::{Limits, Waits};
use stitcher::{Commit, Settings, Shard};
use support::{edges_of, table};

const START_US: i64 = 1_700_000_000_000_000;

/// A shard fed one span a record, at seconds of log time.
struct Log {
    shard: Shard,
    offset: i64,
}

impl Log {
    fn new(settings: Settings) -> Self {
        Self { shard: Shard::new(settings), offset: 0 }
    }

    fn at(&mut self, seconds: f64, text: &'static str) -> &mut Self {
        self.shard.begin_record(self.offset, START_US + (seconds * 1e6) as i64);
        self.offset += 1;
        table(text).iter().for_each(|span| self.shard.apply(span));
        self
    }

    fn silence_until(&mut self, seconds: f64) -> Commit {
        self.shard.end_of_log(START_US + (seconds * 1e6) as i64);
        self.shard.commit()
    }
}

fn closed_after(text: &'static str) -> f64 {
    let mut log = Log::new(Settings::default());
    log.at(0.0, text);
    (1..=700)
        .find(|second| !log.silence_until(f64::from(*second)).journaled.closes.is_empty())
        .map_or(f64::INFINITY, f64::from)
}

#[test]
fn quiet_traces_close_by_what_is_missing() {
    assert_eq!(closed_after("1 - S gw 0..10\n 2 1 C gw 1..9\n 3 2 S auth 2..8"), 6.0, "nothing");
    assert_eq!(
        closed_after("1 - S gw 0..10\n 2 1 C gw 1..9 db=x\n 3 1 P gw 1..2 topic=k:o"),
        6.0,
        "databases and topics don't answer"
    );
    assert_eq!(closed_after("1 - S gw 0..10\n 2 1 C gw 1..9 host=x"), 12.0, "an answer");
    assert_eq!(closed_after("1 - S gw 0..10\n 3 7 S auth 2..8"), 30.0, "a parent");
    assert_eq!(closed_after("3 7 S auth 2..8"), 30.0, "the root");
}

#[test]
fn no_trace_stays_open_longer_than_ten_minutes() {
    let mut log = Log::new(Settings::default());
    let polls: Vec<&'static str> =
        (1..200).map(|id| &*Box::leak(format!("{id} 999 S gw 0..10").into_boxed_str())).collect();
    for (id, poll) in polls.iter().enumerate() {
        log.at(5.0 * id as f64, poll);
    }
    let commit = log.shard.commit();
    assert_eq!(commit.counters["closed_truncated"], 1);
    assert!(commit.traces[0].truncated);
    assert_eq!(commit.journaled.closes.len(), 1, "a trace closes once");
}

#[test]
fn an_edge_goes_out_at_once_when_the_operation_is_known_else_waits_for_the_name() {
    let mut named = Log::new(Settings::default());
    let commit = named.at(0.0, "2 1 C gw 0..10 operation=login\n 3 2 S auth 1..9").shard.commit();
    assert_eq!(edges_of(&commit), ["gw>auth 1"]);
    let mut unnamed = Log::new(Settings::default());
    let commit = unnamed.at(0.0, "2 1 C gw 0..10\n 3 2 S auth 1..9").shard.commit();
    assert!(commit.deltas.is_empty(), "the name may still come");
    assert!(unnamed.silence_until(5.9).deltas.is_empty());
    let waived = unnamed.silence_until(6.1);
    assert_eq!(&*waived.deltas.edges[0].0.operation, "unknown");
    let corrected = unnamed.at(8.0, "1 - S gw 0..10 operation=login").shard.commit();
    let moved: Vec<(String, i64)> =
        corrected.deltas.edges.iter().map(|(key, c)| (key.operation.to_string(), c.calls)).collect();
    assert!(moved.contains(&("unknown".into(), -1)) && moved.contains(&("login".into(), 1)), "{moved:?}");
}

#[test]
fn a_late_span_corrects_and_revises_but_makes_no_second_flow() {
    let mut log = Log::new(Settings::default());
    let first = log.at(0.0, "1 - S gw 0..10 operation=login\n 2 1 C gw 1..9 peer=auth").silence_until(20.0);
    assert_eq!(edges_of(&first), ["gw>external:auth 1 ?1", "user>gw 1"]);
    assert_eq!((first.traces.len(), first.traces[0].revision), (1, 1));
    let late = log.at(60.0, "3 2 S auth 2..8 code=500").shard.commit();
    assert_eq!(edges_of(&late), ["gw>auth 1 e1", "gw>external:auth -1 ?-1"]);
    assert_eq!((late.traces.len(), late.traces[0].revision, late.traces[0].spans), (1, 2, 3));
    assert_eq!(late.counters["late_span"], 1);
    assert!(late.journaled.closes.is_empty(), "a trace closes once");
    assert!(late.deltas.operations.is_empty(), "the flow was counted");
    let again = log.at(61.0, "3 2 S auth 2..8 code=500").shard.commit();
    assert_eq!(again.counters["duplicate_exact"], 1, "also after the close");
    assert!(again.deltas.is_empty());
}

#[test]
fn a_name_that_comes_ten_minutes_late_still_moves_every_count() {
    let mut log = Log::new(Settings::default());
    let first = log.at(0.0, "2 1 S gw 0..10\n 3 2 S auth 1..9").silence_until(40.0);
    assert!(first.deltas.edges.iter().all(|(key, _)| &*key.operation == "unknown"));
    let late = log.at(610.0, "1 - C web 0..20 operation=login").shard.commit();
    assert_eq!(edges_of(&late), ["unknown>gw -1 ?-1", "web>gw 1"], "gw>auth moves: −1 and +1");
    let login: i64 =
        late.deltas.edges.iter().filter(|(key, _)| &*key.operation == "login").map(|(_, c)| c.calls).sum();
    assert_eq!(login, 2);
    assert_eq!(&*late.traces[0].operation, "login");
}

#[test]
fn forgotten_traces_still_know_their_spans_and_their_name() {
    let limits = Limits { remembered_spans: 2, ..Limits::default() };
    let mut log = Log::new(Settings { limits, ..Settings::default() });
    log.at(0.0, "1 - S gw 0..10 operation=login\n 2 1 S auth 1..9\n 3 2 S user 2..8");
    log.silence_until(10.0);
    assert_eq!(log.shard.remembered_spans(), 0, "three spans are more than two");
    let again = log.at(11.0, "2 1 S auth 1..9").shard.commit();
    assert_eq!(again.counters["duplicate_exact"], 1);
    let late = log.at(12.0, "4 1 C gw 3..4 db=x").shard.commit();
    assert_eq!(late.counters["late_after_forgetting"], 1);
    assert_eq!(edges_of(&late), ["gw>database:x 1"]);
    assert_eq!(&*late.deltas.edges[0].0.operation, "login");
    assert!(late.deltas.operations.is_empty() && late.traces.is_empty(), "no second flow");
}

#[test]
fn the_reach_of_duplicate_detection_shrinks_when_fingerprints_must_go() {
    let limits = Limits { remembered_spans: 0, fingerprints: 1, ..Limits::default() };
    let mut log = Log::new(Settings { limits, ..Settings::default() });
    assert_eq!(log.shard.duplicate_reach_us(), 900_000_000);
    log.at(0.0, "1 - S gw 0..10 trace=1").at(10.0, "1 - S gw 0..10 trace=2").silence_until(20.0);
    assert_eq!(log.shard.duplicate_reach_us(), 14_000_000, "the first trace, closed at 6 s, had to go");
    let again = log.at(21.0, "1 - S gw 0..10 trace=2").shard.commit();
    assert_eq!(again.counters["duplicate_exact"], 1, "the second is still known");
}

#[test]
fn everything_is_forgotten_in_the_end() {
    let waits = Waits { remember_us: 60_000_000, ..Waits::default() };
    let mut log = Log::new(Settings { waits, ..Settings::default() });
    log.at(0.0, "1 - S gw 0..10").silence_until(50.0);
    assert_eq!(log.shard.remembered_spans(), 1);
    log.silence_until(67.0);
    assert_eq!((log.shard.remembered_spans(), log.shard.open_spans()), (0, 0));
}

#[test]
fn the_oldest_traces_make_room() {
    let limits = Limits { open_spans: 2, ..Limits::default() };
    let mut log = Log::new(Settings { limits, ..Settings::default() });
    log.at(0.0, "1 - S a 0..1 trace=1").at(0.1, "1 - S b 0..1 trace=2").at(0.2, "1 - S c 0..1 trace=3");
    let commit = log.shard.commit();
    assert_eq!(commit.counters["settled_early"], 1);
    assert_eq!(commit.journaled.closes[0].trace_id.0, 1);
    assert_eq!(log.shard.open_spans(), 2);
}

#[test]
fn a_clock_that_jumps_back_can_not_freeze_the_shard() {
    let mut log = Log::new(Settings::default());
    log.at(100.0, "1 - S a 0..1 trace=1").at(50.0, "1 - S b 0..1 trace=2").at(107.0, "1 - S c 0..1 trace=3");
    assert_eq!(log.shard.clock_us(), START_US + 107_000_000);
    assert_eq!(log.shard.commit().journaled.closes.len(), 2);
}

#[test]
fn the_low_watermark_is_the_oldest_trace_in_memory() {
    let limits = Limits { remembered_spans: 1, ..Limits::default() };
    let mut log = Log::new(Settings { limits, ..Settings::default() });
    log.at(0.0, "1 - S a 0..1 trace=1").at(5.0, "1 - S b 0..1 trace=2");
    assert_eq!((log.shard.commit().journaled.low_watermark, log.offset), (0, 2));
    assert_eq!(log.silence_until(7.0).journaled.low_watermark, 0, "closed traces are remembered");
    let forgotten = log.silence_until(12.0).journaled;
    assert_eq!((forgotten.low_watermark, forgotten.entombed.len()), (1, 1), "the memory has room for one");
    assert_eq!(log.silence_until(1_000.0).journaled.low_watermark, 2, "nothing is left: the next offset");
}

/// An operation that polls for ten minutes.
#[test]
fn a_trace_that_is_needed_for_long_is_saved_and_holds_nothing_back() {
    let limits = Limits { replayed_spans: 0, ..Limits::default() };
    let mut log = Log::new(Settings { limits, ..Settings::default() });
    let polls: Vec<&'static str> =
        (2..120).map(|id| &*Box::leak(format!("{id} 1 C web 0..10 host=x").into_boxed_str())).collect();
    let (mut most_behind, mut saves) = (0, 0);
    for (id, poll) in polls.iter().enumerate() {
        let commit = log.at(5.0 * id as f64, poll).shard.commit();
        most_behind = most_behind.max(commit.journaled.next_offset - commit.journaled.low_watermark);
        saves += commit.state.iter().filter(|change| change.key.starts_with("trace/")).count();
    }
    assert!(most_behind <= 7, "half a minute of polls, not {most_behind}");
    assert!((16..=40).contains(&saves), "new spans twice a minute, and each span once: {saves}");
    let closed = log.silence_until(640.0);
    assert_eq!(closed.journaled.closes.len(), 1);
    let gone = log.silence_until(2_000.0);
    assert_eq!(gone.journaled.low_watermark, gone.journaled.next_offset);
    assert!(gone.state.iter().filter(|change| change.key.starts_with("trace/")).all(|c| c.value.is_none()));
}

#[test]
fn output_is_measured_while_it_grows() {
    let mut log = Log::new(Settings::default());
    assert_eq!(
        log.at(0.0, "1 - S gw 0..10 operation=login").shard.output_bytes(),
        0,
        "nothing is resolved yet"
    );
    log.shard.end_of_log(START_US + 7_000_000);
    let closed = log.shard.output_bytes();
    assert!((500..5_000).contains(&closed), "{closed}");
    log.shard.commit();
    assert_eq!(log.shard.output_bytes(), 0);
}

#[test]
fn events_tell_a_flow_s_life() {
    use stitcher::flow::FlowEventKind::{Complete, Start, Update};
    let mut log = Log::new(Settings::default());
    log.at(0.0, "1 - S gw 0..10 operation=login");
    let mut kinds: Vec<_> = log.shard.commit().events.iter().map(|event| event.kind).collect();
    log.at(1.0, "2 1 S auth 1..9");
    kinds.extend(log.shard.commit().events.iter().map(|event| event.kind));
    let last = log.silence_until(20.0);
    kinds.extend(last.events.iter().map(|event| event.kind));
    assert_eq!(kinds, [Start, Update, Complete]);
    assert_eq!(last.events[0].progress, 100);
    assert_eq!(last.events[0].summary.as_ref().map(|summary| summary.spans), Some(2));
}
