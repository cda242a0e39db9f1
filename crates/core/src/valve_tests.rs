//! The valve, reading by reading.

use super::*;
use crate::moment::ServerTime;

fn law() -> Law {
    Law { freshness: Duration::from_secs(1), policy: ValvePolicy::default() }
}

fn at(seconds: u64) -> Moment {
    Moment { now: Time(seconds * 1_000), server: ServerTime(0), entropy: 12_345 }
}

fn table(parts: u64) -> Pressure {
    Pressure {
        parts,
        parts_total: parts,
        delay_at: 1_000,
        refuse_at: 3_000,
        refuse_total_at: 100_000,
        ..Pressure::default()
    }
}

/// A valve that has been told so many parts for a while.
fn told(parts: u64) -> Valve {
    let mut valve = Valve::default();
    (0..12).for_each(|reading| valve.read(&law(), &at(reading * 3), &[table(parts)]));
    valve
}

#[test]
fn the_age_of_a_batch_grows_with_the_parts_up_to_its_limit() {
    let ages =
        [0, 249, 360, 470, 580, 690, 800, 2_000].map(|parts| told(parts).opening(&law()).age.as_secs());
    assert_eq!(ages, [1, 1, 2, 4, 8, 16, 30, 30]);
    assert!(!told(2_399).is_shut());
    assert!(told(2_400).is_shut());
}

#[test]
fn parts_that_grow_twice_count_as_if_they_had_grown_once_more() {
    let level = |readings: [u64; 3]| {
        let mut valve = told(0);
        (12..)
            .zip(readings)
            .for_each(|(reading, parts)| valve.read(&law(), &at(reading * 3), &[table(parts)]));
        (valve.opening(&law()).level, valve.is_shut())
    };
    assert_eq!(level([0, 455, 455]), (1, false), "grown once, and not again");
    assert_eq!(level([0, 300, 600]), (5, false), "by the next reading there may be 900");
    assert_eq!(level([0, 900, 1_700]), (5, true), "by the next reading there may be 2,500");
    assert_eq!(level([900, 0, 1_700]), (5, false), "grown once");
}

#[test]
fn the_level_rises_by_one_a_reading_until_it_is_urgent() {
    let mut valve = Valve::default();
    let mut seconds = 0;
    let mut levels = |parts: u64| {
        seconds += 3;
        valve.read(&law(), &at(seconds), &[table(parts)]);
        valve.opening(&law()).level
    };
    assert_eq!([590, 590, 590, 590].map(&mut levels), [1, 2, 3, 3]);
    let mut valve = Valve::default();
    valve.read(&law(), &at(0), &[table(800)]);
    assert_eq!(valve.opening(&law()).level, 5);
}

#[test]
fn the_lower_of_two_limits_counts_and_one_that_is_not_there_does_not() {
    let level = |table: Pressure| {
        let mut valve = Valve::default();
        (0..6).for_each(|_| valve.read(&law(), &at(0), &[table]));
        (valve.opening(&law()).level, valve.is_shut())
    };
    assert_eq!(
        level(Pressure { delay_at: 0, ..table(600) }),
        (0, false),
        "250 of 1,000 by the one that refuses"
    );
    assert_eq!(
        level(Pressure { delay_at: 0, refuse_at: 0, refuse_total_at: 0, ..table(u64::MAX) }),
        (0, false)
    );
    assert_eq!(level(Pressure { parts_total: 50_000, ..table(1) }).0, 3, "625 of 1,000 by all parts");
    assert_eq!(level(Pressure { parts_total: 80_000, ..table(1) }), (5, true));
    assert_eq!(level(Pressure { refuse_at: 500, ..table(400) }), (5, true), "refusing before delaying");
}

#[test]
fn an_absolute_number_of_parts_shuts_it() {
    let policy = ValvePolicy { parts_max: 200, ..ValvePolicy::default() };
    let law = Law { policy, ..law() };
    let mut valve = Valve::default();
    valve.read(&law, &at(0), &[Pressure { parts_total: 199, ..table(1) }]);
    assert!(!valve.is_shut());
    valve.read(&law, &at(3), &[Pressure { parts_total: 200, ..table(1) }]);
    assert!(valve.is_shut());
}

#[test]
fn the_fullest_of_several_tables_counts() {
    let mut valve = Valve::default();
    valve.read(&law(), &at(0), &[table(1), table(690), table(3)]);
    assert_eq!(valve.opening(&law()).level, 4);
}

#[test]
fn inserts_that_are_held_back_count_whatever_the_parts_are() {
    for table in [Pressure { delayed: 1, ..table(0) }, Pressure { rejected: 1, ..table(0) }] {
        let mut valve = Valve::default();
        valve.read(&law(), &at(0), &[table]);
        assert_eq!(valve.opening(&law()).level, 3);
    }
}

#[test]
fn it_steps_back_one_level_in_ten_seconds_and_not_at_the_edge() {
    let mut valve = told(800);
    assert_eq!(valve.opening(&law()).level, 5);
    let mut levels = vec![5];
    for seconds in (36..120).step_by(3) {
        valve.read(&law(), &at(seconds), &[table(10)]);
        levels.push(valve.opening(&law()).level);
    }
    levels.dedup();
    assert_eq!(levels, [5, 4, 3, 2, 1, 0]);

    let after = |parts: u64| {
        let mut valve = told(800);
        (36..46).for_each(|seconds| valve.read(&law(), &at(seconds), &[table(parts)]));
        valve.opening(&law()).level
    };
    assert_eq!([after(750), after(749)], [5, 4], "five in a hundred below where the level begins");
}

#[test]
fn a_step_back_keeps_batches_apart_until_it_is_wide_open() {
    let mut valve = told(580);
    valve.closed(&law(), Time(50_000), CloseReason::Age);
    valve.read(&law(), &at(51), &[table(10)]);
    assert_eq!(valve.opening(&law()).level, 2);
    assert!(!valve.lets_through(Time(52_000)));
    let mut valve = told(360);
    valve.closed(&law(), Time(50_000), CloseReason::Age);
    assert!(!valve.lets_through(Time(51_000)));
    valve.read(&law(), &at(51), &[table(10)]);
    assert!(valve.lets_through(Time(51_000)));
}

#[test]
fn parts_of_a_whole_table_that_grow_twice_shut_it_before_they_are_there() {
    let mut valve = told(0);
    let mut is_shut = |seconds: u64, parts_total: u64| {
        valve.read(&law(), &at(seconds), &[Pressure { parts_total, ..table(0) }]);
        valve.is_shut()
    };
    assert_eq!([is_shut(36, 20_000), is_shut(39, 45_000), is_shut(42, 65_000)], [false, false, true]);
}

#[test]
fn shut_it_opens_at_three_quarters_of_what_shut_it_and_at_the_oldest_age() {
    let mut valve = told(2_400);
    let mut seconds = 36;
    let mut read = |valve: &mut Valve, parts: u64| {
        seconds += 3;
        valve.read(&law(), &at(seconds), &[table(parts)]);
    };
    (0..100).for_each(|_| read(&mut valve, 1_900));
    assert!(valve.is_shut(), "1,800 are needed");
    read(&mut valve, 1_799);
    let Opening { is_shut, age, level, .. } = valve.opening(&law());
    assert_eq!((is_shut, age, level), (false, Duration::from_secs(30), 5));
}

#[test]
fn parts_that_stay_between_opening_and_shutting_keep_it_shut_for_a_minute() {
    let mut valve = told(2_400);
    for seconds in (36..93).step_by(3) {
        valve.read(&law(), &at(seconds), &[table(1_900)]);
        valve.tick(&law(), &at(seconds));
        assert!(valve.is_shut(), "{seconds} s");
    }
    valve.tick(&law(), &at(93));
    assert!(!valve.is_shut(), "the last reading that shut it came at 33 s");
    assert_eq!(valve.opening(&law()).age, Duration::from_secs(30));
    valve.read(&law(), &at(96), &[table(1_900)]);
    assert!(!valve.is_shut());
}

#[test]
fn lanes_that_open_at_one_moment_begin_at_different_ones() {
    let begins = |entropy: u128| {
        let mut valve = told(2_400);
        valve.read(&law(), &Moment { entropy, ..at(40) }, &[table(1)]);
        valve.holds_until(Time(0))
    };
    let all: std::collections::BTreeSet<Time> = (0..64).map(|lane| begins(lane * 7_919)).collect();
    assert_eq!(all.len(), 64);
    assert!(all.iter().all(|at| (40_000..70_000).contains(&at.0)), "within the age");
}

#[test]
fn between_two_batches_lies_their_age_once_the_valve_is_narrow() {
    let mut valve = told(100);
    valve.closed(&law(), Time(50_000), CloseReason::Age);
    assert!(valve.lets_through(Time(50_000)), "wide open");
    let mut valve = told(580);
    valve.closed(&law(), Time(50_000), CloseReason::Age);
    assert!(!valve.lets_through(Time(57_999)) && valve.lets_through(Time(58_000)));
    assert_eq!(valve.holds_until(Time(51_000)), Time(58_000));
    assert_eq!(valve.holds_until(Time(59_000)), Time(59_000));
}

#[test]
fn full_batches_are_kept_apart_only_at_the_top_level() {
    for reason in [CloseReason::Rows, CloseReason::Bytes] {
        let mut valve = told(799);
        valve.closed(&law(), Time(50_000), reason);
        assert!(valve.lets_through(Time(50_000)), "no fewer parts by that");
        let mut valve = told(800);
        valve.closed(&law(), Time(50_000), reason);
        assert!(!valve.lets_through(Time(79_999)) && valve.lets_through(Time(80_000)));
    }
}

#[test]
fn a_reading_that_fails_changes_nothing() {
    for parts in [0, 580, 2_400] {
        let mut valve = told(parts);
        let before = valve.opening(&law());
        (36..60).for_each(|seconds| valve.read(&law(), &at(seconds), &[]));
        assert_eq!(valve.opening(&law()), before);
    }
}

#[test]
fn refused_for_too_many_parts_it_shuts_longer_each_time_and_opens_for_a_try_when_nobody_tells_anything() {
    let mut valve = Valve::default();
    valve.refused(&law(), &at(0), Refusal::TooManyParts);
    assert_eq!(valve.tries_at(), Some(Time(60_000)));
    valve.tick(&law(), &at(59));
    assert!(valve.is_shut());
    valve.tick(&law(), &at(60));
    assert!(!valve.is_shut());

    let mut valve = Valve::default();
    (0..4).for_each(|_| valve.refused(&law(), &at(0), Refusal::TooManyParts));
    valve.read(&law(), &at(39), &[table(1)]);
    assert!(valve.is_shut(), "5 s, 10 s, 20 s, 40 s");
    valve.read(&law(), &at(40), &[table(1)]);
    assert!(!valve.is_shut());
}

#[test]
fn a_batch_that_lands_opens_it_where_no_reading_says_more() {
    let mut valve = Valve::default();
    valve.refused(&law(), &at(0), Refusal::TooManyParts);
    valve.landed(&law(), &at(1));
    assert!(!valve.is_shut());
    for (seconds, level) in [(10, 5), (11, 4), (12, 4), (21, 3), (31, 2), (41, 1), (51, 0)] {
        valve.landed(&law(), &at(seconds));
        assert_eq!(valve.opening(&law()).level, level, "after {seconds} s");
    }
    let mut valve = told(2_400);
    valve.landed(&law(), &at(37));
    assert!(valve.is_shut(), "what was under way says nothing of what comes");
}

#[test]
fn short_of_memory_the_batches_get_smaller_and_grow_again_after_sixteen() {
    let mut valve = Valve::default();
    (0..6).for_each(|_| valve.refused(&law(), &at(0), Refusal::Overloaded));
    assert_eq!(valve.opening(&law()).share, 4);
    (0..16).for_each(|_| valve.landed(&law(), &at(1)));
    assert_eq!(valve.opening(&law()).share, 3);
    (0..15).for_each(|_| valve.landed(&law(), &at(1)));
    assert_eq!(valve.opening(&law()).share, 3);
    assert_eq!(valve.opening(&law()).level, 0, "smaller, not rarer");
    (0..16 * 5).for_each(|_| valve.landed(&law(), &at(1)));
    assert_eq!(valve.opening(&law()).share, 0, "whole again, and not beyond");
}
