//! Some seeds are right, run the same way twice, and every planted mistake is noticed.

use simulator::{Planted, run};

#[test]
fn crashes_change_nothing_and_a_seed_is_a_bug_report() {
    let mut takeovers = 0;
    for seed in 1..=8 {
        let report = run(seed, None);
        takeovers += report.takeovers;
        assert_eq!(report.wrong, None, "seed {seed}");
        assert_eq!(run(seed, None), report, "seed {seed} runs the same way twice");
        assert!(report.crashes > 0, "seed {seed} was a calm one");
    }
    assert!(takeovers > 0, "no copy took over");
}

/// How many seeds it takes at most until a mistake is noticed.
const SEEDS: u64 = 20;

/// `first` is where a mistake that only few runs can show is shown.
fn is_noticed(planted: Planted, first: u64) {
    let wrong = (first..first + SEEDS).find_map(|seed| Some((seed, run(seed, Some(planted)).wrong?)));
    let (seed, why) = wrong.unwrap_or_else(|| panic!("{planted:?} goes unnoticed"));
    println!("{planted:?} is noticed by seed {seed}: {why}");
}

#[test]
fn closes_that_are_decided_anew_are_noticed() {
    is_noticed(Planted::ClosesRecomputed, 1);
}

#[test]
fn late_spans_that_are_not_journaled_are_noticed() {
    is_noticed(Planted::LateNotJournaled, 15);
}

#[test]
fn a_journal_read_to_the_last_stable_offset_is_noticed() {
    is_noticed(Planted::ReadToLastStableOffset, 1);
}

#[test]
fn a_predecessor_that_is_not_fenced_is_noticed() {
    is_noticed(Planted::NoFencing, 1);
}

#[test]
fn a_wall_clock_in_place_of_log_time_is_noticed() {
    is_noticed(Planted::WallClock, 1);
}

#[test]
fn a_wrong_low_watermark_is_noticed() {
    is_noticed(Planted::WrongLowWatermark, 1);
}

#[test]
fn a_skip_that_is_not_journaled_is_noticed() {
    is_noticed(Planted::SkipNotJournaled, 1);
}

#[test]
fn state_that_is_not_deleted_is_noticed() {
    is_noticed(Planted::StateNotDeleted, 1);
}

#[test]
fn a_view_target_without_the_token_is_noticed() {
    is_noticed(Planted::TokenMissingOnView, 1);
}

#[test]
fn a_batch_rebuilt_from_other_ranges_is_noticed() {
    is_noticed(Planted::OtherRanges, 1);
}

#[test]
fn a_store_that_does_not_fence_is_noticed() {
    is_noticed(Planted::StoreNotFencing, 1);
}

#[test]
fn stores_that_fence_each_other_are_noticed() {
    is_noticed(Planted::StoresFenceEachOther, 1);
}

#[test]
fn progress_told_before_its_rows_is_noticed() {
    is_noticed(Planted::ProgressFirst, 1);
}

#[test]
fn a_batch_journaled_as_done_too_early_is_noticed() {
    is_noticed(Planted::DoneFirst, 1);
}
