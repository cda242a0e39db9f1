//! What becomes of servers' readings on the way to the lanes.

use pumphouse_clickhouse::QueryError;
use pumphouse_clickhouse::pressure::Limits;

use super::*;

fn table(name: &str, parts: u64, limits: (u64, u64, u64)) -> TableReading {
    let (delay_at, refuse_at, refuse_total_at) = limits;
    TableReading {
        database: "d".to_owned(),
        table: name.to_owned(),
        fullest: "202611".to_owned(),
        parts,
        parts_total: parts * 2,
        limits: Limits { delay_at, refuse_at, refuse_total_at },
        is_replicated: false,
    }
}

fn reading(server: &str, tables: Vec<TableReading>, (delayed, rejected): (u64, u64)) -> Reading {
    let activity = Activity { delayed, rejected, ..Activity::default() };
    Reading { server: server.to_owned(), tables, activity: Ok(activity) }
}

#[test]
fn of_replicas_the_worst_counts_table_by_table() {
    let limits = (20, 40, 1000);
    let one = reading("a", vec![table("t", 5, limits), table("u", 9, limits)], (0, 0));
    let other = reading("b", vec![table("t", 7, (0, 0, 900)), table("u", 3, limits)], (0, 0));
    let folded = folded(&[(one, 0), (other, 0)]);
    let parts: Vec<_> = folded.iter().map(|table| (table.parts, table.parts_total)).collect();
    assert_eq!(parts, [(7, 14), (9, 18)]);
    let limits = (folded[0].delay_at, folded[0].refuse_at, folded[0].refuse_total_at);
    assert_eq!(limits, (20, 40, 900), "a limit that holds on one replica holds");
}

#[test]
fn without_a_reading_nothing_is_known() {
    assert!(folded(&[]).is_empty());
    assert_eq!(fullest(Vec::new()), None);
}

#[test]
fn inserts_held_back_count_only_for_tables_that_they_can_be_for() {
    let limits = (20, 40, 1000);
    let tables = vec![table("calm", 19, limits), table("slow", 20, limits), table("full", 40, limits)];
    let folded = folded(&[(reading("a", tables, (3, 0)), 5)]);
    let counts: Vec<_> = folded.iter().map(|table| (table.delayed, table.rejected)).collect();
    assert_eq!(counts, [(0, 0), (3, 0), (3, 5)]);
}

#[test]
fn refused_inserts_are_counted_from_the_reading_before_and_anew_after_a_restart() {
    let mut before = BTreeMap::new();
    let mut since =
        |server: &str, rejected| rejected_since(&mut before, &reading(server, Vec::new(), (0, rejected)));
    assert_eq!(since("a", 100), 0, "what was before the first reading is not of now");
    assert_eq!(since("a", 107), 7);
    assert_eq!(since("b", 50), 0, "another server behind the same address");
    assert_eq!(since("a", 108), 1);
    assert_eq!(since("a", 2), 2, "it was started anew");
}

#[test]
fn what_activity_does_not_tell_is_not_taken_for_none() {
    let mut reading = reading("a", vec![table("t", 30, (20, 40, 1000))], (0, 0));
    reading.activity = Err(QueryError::Lost("away".to_owned()));
    assert_eq!(trouble(&Ok(reading.clone())), Some(Trouble::PartsAlone));
    let fullest = fullest(vec![(reading, 0)]).expect("parts are known");
    assert_eq!((fullest.merges, fullest.replica), (None, None));
}

#[test]
fn the_fullest_table_is_the_one_nearest_to_a_limit_of_its_own() {
    let tables = vec![table("many", 500, (1000, 3000, 0)), table("tight", 19, (20, 40, 0))];
    let fullest = fullest(vec![(reading("a", tables, (0, 0)), 0)]).expect("there are two");
    assert_eq!((fullest.table.table.as_str(), fullest.server.as_str()), ("tight", "a"));
}

#[test]
fn a_server_that_fails_for_one_reason_after_another_is_one_trouble() {
    let lost = Err(PressureError::Query(QueryError::Lost("time limit".to_owned())));
    let unseen = Err(PressureError::Unseen("t".to_owned()));
    assert_eq!((trouble(&lost), trouble(&unseen)), (Some(Trouble::Unknown), Some(Trouble::Unknown)));
    assert_eq!(trouble(&Ok(reading("a", Vec::new(), (0, 0)))), None);
}
