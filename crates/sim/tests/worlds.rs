//! The small worlds of the model, to the last state: what holds holds, and what is broken on purpose is found out.

use pumphouse_sim::model::report::{self, Report};
use pumphouse_sim::model::world::{BROKEN_WORLDS, WORLDS, World};

fn explored(worlds: &[World]) -> Vec<Report> {
    worlds
        .iter()
        .filter(|world| !world.large)
        .map(|world| report::explore(*world, report::threads()))
        .collect()
}

fn print(reports: &[Report]) -> String {
    let text: String = reports.iter().map(ToString::to_string).collect();
    println!("{text}");
    text
}

#[test]
fn every_promise_holds_in_every_small_world() {
    let reports = explored(WORLDS);
    let text = print(&reports);
    assert!(reports.iter().all(Report::is_right), "{text}");
}

#[test]
fn every_world_that_is_broken_on_purpose_is_found_out() {
    let reports = explored(BROKEN_WORLDS);
    let text = print(&reports);
    assert!(reports.iter().all(Report::is_right), "{text}");
}

#[test]
fn a_world_has_one_name() {
    let mut names: Vec<&str> = WORLDS.iter().chain(BROKEN_WORLDS).map(|world| world.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}
