//! Searches over made-up blocks: what is found is what was hidden, within a bound.

use proptest::prelude::*;

use super::*;

/// Searches a block whose rows in `bad` are refused; `names` says whether the server names the first bad row.
fn search(rows: usize, bad: &BTreeSet<usize>, refused_max: usize, names: bool) -> Search {
    let mut search = Search::new(rows, refused_max);
    while let Some(slice) = search.next_slice() {
        let first = bad.range(slice.clone()).next().copied();
        match first {
            None => search.taken(),
            Some(row) => search.refuses(names.then_some(row - slice.start)),
        }
    }
    search
}

proptest! {
    #[test]
    fn what_is_found_is_what_was_hidden(
        rows in 1_usize..3_000,
        picked in proptest::collection::vec(any::<prop::sample::Index>(), 1..40),
        names: bool,
    ) {
        let bad: BTreeSet<usize> = picked.iter().map(|index| index.index(rows)).collect();
        let found = search(rows, &bad, 64, names);
        prop_assert!(found.is_whole());
        prop_assert_eq!(found.refused(), &bad);
        prop_assert_eq!(found.judged(), rows);
    }

    #[test]
    fn with_more_than_a_claim_can_name_the_rows_before_the_end_of_the_search_are_judged(
        rows in 200_usize..3_000,
        every in 2_usize..10,
        names: bool,
    ) {
        let bad: BTreeSet<usize> = (0..rows).step_by(every).collect();
        let found = search(rows, &bad, 16, names);
        prop_assert!(!found.is_whole() && !found.only_refused());
        let judged: BTreeSet<usize> = bad.range(..found.judged()).copied().collect();
        prop_assert_eq!(found.refused(), &judged);
        prop_assert!(found.judged() < rows);
    }
}

#[test]
fn a_slice_that_must_hold_the_refused_row_is_not_tried_as_a_whole() {
    // All, 0..4, 4..6, 4, 5, 6..8: what is left of 0..8 after 0..4 is cut at once, and the row itself is tried.
    assert_eq!(search(8, &[5].into(), 64, false).trials(), 6);
    assert_eq!(search(8, &[2, 5].into(), 64, false).trials(), 10);
    assert_eq!(search(8, &[].into(), 64, false).trials(), 1);
}

#[test]
fn a_row_is_only_found_by_a_trial_of_its_own() {
    let mut search = Search::new(2, 64);
    search.refuses(None);
    assert_eq!(search.next_slice(), Some(0..1));
    search.taken();
    // It must be the other one, or what refused the two changed its mind.
    assert_eq!(search.next_slice(), Some(1..2));
    search.taken();
    assert!(search.next_slice().is_none() && search.refused().is_empty());
}

#[test]
fn as_many_rows_as_a_claim_names_are_a_whole_answer_and_one_more_is_none() {
    for names in [false, true] {
        let found = search(200, &(0..16).collect(), 16, names);
        assert!(found.is_whole() && found.refused().len() == 16);
        let more = search(200, &(0..20).collect(), 16, names);
        assert!(!more.is_whole() && more.refused().len() == 17);
    }
}

#[test]
fn one_bad_row_in_a_million_takes_a_few_trials() {
    for (row, names) in [(0, false), (999_999, false), (123_456, false), (123_456, true)] {
        let found = search(1_000_000, &[row].into(), 64, names);
        assert_eq!(found.refused(), &BTreeSet::from([row]));
        assert!(found.trials() <= if names { 4 } else { 42 }, "{} trials for row {row}", found.trials());
    }
}

#[test]
fn a_search_ends_at_its_bound_of_trials() {
    let bad: BTreeSet<usize> = (0..100_000).step_by(7).collect();
    let found = search(100_000, &bad, 100_000, false);
    assert_eq!(found.trials(), TRIALS_MAX);
    assert!(!found.is_whole() && found.judged() > 0);
}

#[test]
fn a_block_of_refused_rows_only_is_told_apart_from_one_poison_row() {
    assert!(!search(1, &[0].into(), 64, false).only_refused());
    let all: BTreeSet<usize> = (0..12).collect();
    assert!(search(12, &all, 64, true).only_refused() && search(12, &all, 64, false).only_refused());
    let many = search(1_000, &(0..1_000).collect(), 64, true);
    assert!(many.only_refused());
    assert_eq!(many.samples().len(), EVERY_ROW_MIN);
    let (samples, judged) = (many.samples(), many.judged());
    assert_eq!(samples[0], judged, "from the first row that is not judged");
    let apart = (1_000 - judged) / EVERY_ROW_MIN;
    let evenly = samples.windows(2).all(|pair| (apart..=apart + 1).contains(&(pair[1] - pair[0])));
    assert!(evenly && samples[EVERY_ROW_MIN - 1] < 1_000, "{samples:?}");
}
