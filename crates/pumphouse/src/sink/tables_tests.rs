//! What the smallest useful file declares.

use super::*;
use crate::config;

fn settings(text: &str) -> Settings {
    config::parse("pumphouse.yaml", text, &|_| None).expect("a configuration")
}

fn columns_of(_: &Stream, table: &Table) -> Columns {
    table.columns.iter().map(|column| (column.name.clone(), column.column_type.to_string())).collect()
}

#[test]
fn a_file_declares_its_tables_its_rollups_and_the_dead_letters() {
    let settings = settings(include_str!("../config/smallest.yaml"));
    let letters = [("time".to_owned(), "DateTime64(3)".to_owned())];
    let declared = declared(&settings, columns_of, &letters);
    assert_eq!(declared.databases, BTreeSet::from(["metrics".to_owned(), "pumphouse".to_owned()]));
    let names: Vec<_> =
        declared.tables.iter().map(|table| format!("{}.{}", table.database, table.name)).collect();
    let of_letters =
        ["pumphouse.dead_letters", "pumphouse.replays", "pumphouse.dead_letters_resolved", "pumphouse.gaps"];
    assert_eq!(names[0], "metrics.requests");
    assert_eq!(names[1..], of_letters);
    assert_eq!(declared.tables[0].order_by, ["service", "endpoint", "ts"]);
    assert_eq!(declared.tables[0].ttl.as_deref(), Some("ts + INTERVAL 13 MONTH"));
    let [rollup] = &declared.rollups[..] else { panic!("one rollup: {:?}", declared.rollups) };
    assert_eq!(
        (rollup.source.as_str(), rollup.target.as_str(), rollup.view.as_str()),
        ("requests", "requests_per_minute", "requests_per_minute_mv")
    );
    assert!(declared.tables.iter().all(|table| table.window == WINDOW));
}

#[test]
fn without_dead_letters_and_gaps_their_tables_are_not_declared() {
    let text = include_str!("../config/smallest.yaml")
        .replace("    table: {", "    dead_letters: { table: false }\n    gaps: halt\n    table: {");
    let declared = declared(&settings(&text), columns_of, &[]);
    assert_eq!(declared.databases, BTreeSet::from(["metrics".to_owned()]));
    assert_eq!(declared.tables.len(), 1);
}

#[test]
fn a_column_in_a_key_is_quoted_only_where_it_needs_it() {
    let columns = [("order".to_owned(), "String".to_owned()), ("ts".to_owned(), "DateTime".to_owned())];
    assert_eq!(as_expression("order", &columns), "`order`");
    assert_eq!(as_expression("ts", &columns), "ts");
    assert_eq!(as_expression("toDate(ts)", &columns), "toDate(ts)");
}
