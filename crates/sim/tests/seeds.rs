//! Histories by seed: those that once broke a rule, and a first few thousand.
//!
//! A seed means what it meant only as long as the dice fall the same way; a new kind of fault makes another history of each.
//! What the core learnt from them is held by tests of its own.

use pumphouse_sim::world::history;

#[track_caller]
fn holds(seed: u64) {
    let history = history(seed, false);
    assert_eq!(history.failure, None, "cargo xtask sim --seed {seed}");
}

#[test]
fn the_same_seed_twice_gives_the_same_bytes() {
    for seed in 0..40 {
        let (once, again) = (history(seed, true), history(seed, true));
        assert!(once.trace.lines().count() > 10, "something happens in seed {seed}");
        assert_eq!(once.trace, again.trace, "seed {seed}");
    }
}

#[test]
fn a_trace_changes_nothing_of_what_happens() {
    for seed in 0..40 {
        let (silent, traced) = (history(seed, false), history(seed, true));
        assert_eq!((silent.events, silent.rows, silent.time), (traced.events, traced.rows, traced.time));
        assert_eq!(silent.trace, "");
    }
}

#[test]
fn two_thousand_histories_hold() {
    for seed in 0..2_000 {
        holds(seed);
    }
}

/// Metadata wiped on one partition of a claim: the mark written in its place was taken as proof that the batch was never
/// whole, and its neighbour's rows were inserted again.
#[test]
fn a_wiped_neighbour_does_not_prove_that_a_batch_was_never_whole() {
    for seed in [890, 1829, 2872, 4139, 4536, 4942, 5293, 6204, 7883] {
        holds(seed);
    }
}

/// The same with an offset set by hand: one row of a half landed batch was taken for all of it.
#[test]
fn a_neighbour_reset_by_hand_does_not_prove_that_a_batch_landed_whole() {
    for seed in [713, 6651, 8324, 8729, 8840] {
        holds(seed);
    }
}

/// At the end of a history's first part the next event went behind its equals: a claim's rows came back before the word
/// that retention had deleted them, and were passed unreported.
#[test]
fn what_happens_at_one_moment_keeps_its_order() {
    for seed in [20_038_992, 20_137_468] {
        holds(seed);
    }
}

/// Retention deleted a part of a batch while its refused rows were looked for and excluded: the lane halted, or tried the
/// batch for hours, because nothing could be found out of a batch that is not whole.
#[test]
fn a_batch_with_refused_rows_that_is_partly_gone_is_reported_and_goes_on() {
    for seed in [
        20_002_781, 20_167_637, 20_332_323, 20_355_478, 20_376_288, 20_446_006, 20_471_779, 20_548_036,
        20_554_010, 20_591_697, 20_596_156, 20_613_127, 20_645_316, 20_730_153, 20_778_558, 20_828_163,
        20_908_233,
    ] {
        holds(seed);
    }
}

/// A partition that had moved past a claim came to a lane that was still reporting a gap of it, and was read on.
#[test]
fn a_partition_past_the_claim_at_hand_is_read_on() {
    holds(20_854_517);
}

/// Two owners of a claim's first partition, one after the other, each searched its refused rows: one excluded them, the
/// other took the claim back.
#[test]
fn a_search_that_outlives_its_ownership_leads_to_nothing() {
    holds(60_001_963);
}

/// A batch whose answer was lost went again after some seconds without a question, while another process had made the
/// table forget its token.
#[test]
fn a_batch_in_doubt_goes_again_only_while_its_token_is_remembered() {
    holds(94_604);
}
