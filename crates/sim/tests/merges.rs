//! The valve that is shipped, in front of a simulated merge queue: bursts, stalls of merges, and many processes.

use std::time::Duration;

use pumphouse_core::moment::Time;
use pumphouse_sim::merges::limits::Limits;
use pumphouse_sim::merges::load::{Burst, Spread};
use pumphouse_sim::merges::outcome::{Outcome, Trouble};
use pumphouse_sim::merges::pool::Machine;
use pumphouse_sim::merges::run::run;
use pumphouse_sim::merges::scenario::Scenario;
use pumphouse_sim::merges::search::breaking_point;

const PROCESSES: [u32; 3] = [1, 8, 64];
/// Turns of a lane's level in 40 minutes: it rises and falls once for each disturbance, and a little more on the way.
const REVERSALS_MAX: u32 = 6;

fn forty_minutes(processes: u32) -> Scenario {
    let mut scenario = Scenario { span: Duration::from_mins(40), ..Scenario::default() };
    scenario.writers.processes = processes;
    scenario
}

fn without_valve(mut scenario: Scenario) -> Scenario {
    scenario.writers.batches.valve = None;
    scenario
}

/// What holds in every run with a valve.
fn assert_sound(outcome: &Outcome, name: &str) {
    let rows = outcome.rows;
    assert_eq!(outcome.refused.count, 0, "{name}: refused");
    assert_eq!(rows.stored, rows.landed, "{name}: what landed is in the parts");
    assert_eq!(rows.landed + rows.under_way, rows.arrived, "{name}: no row is lost");
    assert!(outcome.reversals <= REVERSALS_MAX, "{name}: {} reversals of a level", outcome.reversals);
    assert_eq!(outcome.level_at_end, 0, "{name}: wide open at the end");
    let last = outcome.samples.last().expect("there are samples");
    let seconds = rows.arrived / outcome.span.as_secs();
    assert!(last.waiting < seconds * 5, "{name}: {} rows wait at the end", last.waiting);
}

#[test]
fn a_burst_of_ten_times_for_a_minute_is_nothing_to_1_to_64_processes() {
    for processes in PROCESSES {
        let mut scenario = forty_minutes(processes);
        let burst = Burst { from: Time(600_000), lasts: Duration::from_mins(1), factor: 10.0 };
        scenario.bursts = vec![burst];
        let outcome = run(&scenario);
        assert_sound(&outcome, &format!("{processes} processes"));
        assert_eq!(outcome.trouble(), None);
    }
}

#[test]
fn merges_that_stand_still_for_ten_minutes_never_lead_to_a_refusal() {
    for processes in PROCESSES {
        let mut scenario = forty_minutes(processes);
        scenario.stall = Some((Time(300_000), Duration::from_mins(10)));
        let outcome = run(&scenario);
        assert_sound(&outcome, &format!("{processes} processes"));
        let limits = scenario.tables[0].limits;
        assert!(outcome.parts_most.0 < limits.refuse_at, "{processes}: {:?}", outcome.parts_most);
        if processes == 1 {
            assert_eq!(outcome.delayed.count, 0, "two lanes stay below even the delay");
        }
        let naive = run(&without_valve(scenario));
        assert!(
            matches!(naive.trouble(), Some(Trouble::Refused | Trouble::Delayed)),
            "{processes}: it matters"
        );
    }
}

fn nearly_full(processes: u32) -> Scenario {
    let mut scenario = forty_minutes(processes);
    scenario.machine = Machine { merge_bytes_per_second: 4e6, ..slow() };
    scenario.tables[0].limits = Limits { delay_at: 150, refuse_at: 300, ..Limits::default() };
    let burst = Burst { from: Time(600_000), lasts: Duration::from_mins(1), factor: 10.0 };
    scenario.bursts = vec![burst];
    scenario
}

#[test]
fn bursts_on_a_server_that_is_nearly_full_stay_below_the_delay() {
    for processes in [1, 8] {
        let outcome = run(&nearly_full(processes));
        assert_sound(&outcome, &format!("{processes} processes"));
        assert_eq!(outcome.delayed.count, 0, "{processes}: {:?}", outcome.parts_most);
    }
}

/// 128 lanes in front of a limit of 150 parts, at a rate that merges can just follow: a reading is as wide as the limit.
#[test]
fn far_too_many_lanes_for_a_limit_are_never_refused_and_seldom_delayed() {
    let outcome = run(&nearly_full(64));
    assert_eq!(outcome.refused.count, 0, "{:?}", outcome.parts_most);
    assert!(outcome.delayed.count * 1000 < outcome.inserts, "{:?} of {}", outcome.delayed, outcome.inserts);
    assert!(outcome.reversals <= 100, "{} in 40 minutes", outcome.reversals);
    assert_eq!(outcome.rows.landed + outcome.rows.under_way, outcome.rows.arrived);
}

/// A server whose disk takes its time for each part.
fn slow() -> Machine {
    Machine {
        merge_seconds: 0.01,
        merge_part_seconds: 0.002,
        merge_bytes_per_second: 20e6,
        ..Machine::default()
    }
}

#[test]
fn daily_partitions_over_a_year_break_a_naive_writer_and_not_the_valve() {
    let span = Duration::from_mins(4);
    let mut scenario = Scenario { rate: 2000.0, span, machine: slow(), ..Scenario::default() };
    scenario.tables[0].limits = Limits { delay_at: 40, refuse_at: 60, ..Limits::default() };
    scenario.tables[0].spread =
        Spread { partitions: 365, width: Some(Duration::from_hours(24)), drops_old: false };
    let outcome = run(&scenario);
    assert_eq!((outcome.refused.count, outcome.delayed.count), (0, 0), "{:?}", outcome.parts_most);
    assert_eq!(outcome.rows.landed + outcome.rows.under_way, outcome.rows.arrived);
    let naive = run(&without_valve(scenario));
    assert_eq!(naive.trouble(), Some(Trouble::Delayed));
}

#[test]
fn the_same_scenario_lives_the_same_run() {
    let mut scenario = forty_minutes(8);
    scenario.span = Duration::from_mins(5);
    scenario.stall = Some((Time(60_000), Duration::from_mins(2)));
    assert_eq!(run(&scenario), run(&scenario));
    let other = run(&Scenario { seed: 2, ..scenario.clone() });
    assert_ne!(other.samples, run(&scenario).samples);
}

#[test]
fn a_finer_partition_key_breaks_earlier() {
    let span = Duration::from_mins(3);
    let mut scenario = Scenario { span, machine: slow(), ..Scenario::default() };
    scenario.tables[0].limits = Limits { delay_at: 100, refuse_at: 150, ..Limits::default() };
    scenario.writers.batches.freshness = Duration::from_millis(200);
    scenario = without_valve(scenario);
    let months = breaking_point(&scenario, |_| ());
    scenario.tables[0].spread.partitions = 100;
    let days = breaking_point(&scenario, |_| ());
    assert!(months.rate > days.rate * 10.0, "{months:?} {days:?}");
    assert_eq!(days.trouble, Some(Trouble::Delayed));
}
