//! Several tables, several records in a message: who takes what, and that neighbours arrive.

use serde_json::{Value, json};

use super::*;
use crate::config::settings::{Condition, Matches, Tombstones, Values, When};

fn table(name: &str, when: Option<When>, columns: Vec<Column>) -> Table {
    Table { when, ..Table::of_columns("default", name, columns) }
}

fn all(conditions: &[(&str, Matches)]) -> When {
    let condition = |(field, is): &(&str, Matches)| Condition {
        field: field.split('.').map(str::to_owned).collect(),
        is: is.clone(),
    };
    When::All(conditions.iter().map(condition).collect())
}

fn any_of(values: &[Value]) -> Matches {
    Matches::AnyOf(values.to_vec())
}

fn stream_of(tables: Vec<Table>) -> Stream {
    Stream { name: "clicks".to_owned(), ..Stream::into_tables("app.clicks", tables) }
}

/// Which of the tables a record becomes a row of, given their conditions.
fn taken(conditions: &[Option<When>], record_json: &str) -> Vec<usize> {
    let tables = conditions.iter().enumerate();
    let tables = tables.map(|(at, when)| table(&format!("t{at}"), when.clone(), vec![column("id", "UInt8")]));
    let mut batch = OpenBatch::new(&stream_of(tables.collect()), REVISION).expect("a batch");
    batch.push(&record(0, 0, record_json.as_bytes()));
    let sealed = batch.seal(TIME);
    assert!(sealed.dead_letters.is_none(), "{record_json}");
    sealed.tables.iter().enumerate().filter(|(_, rows)| rows.is_some()).map(|(at, _)| at).collect()
}

#[test]
fn a_condition_compares_scalars_by_value() {
    let kinds = [
        (
            any_of(&[json!("click")]),
            vec![r#""click""#, r#""cl\u0069ck""#],
            vec![r#""clicks""#, "1", "null", "[]"],
        ),
        (
            any_of(&[json!(1), json!("x")]),
            vec!["1", "1.0", "10e-1", r#""x""#],
            vec!["2", r#""1""#, "true", "1.5"],
        ),
        (any_of(&[json!(0.5)]), vec!["0.5", "5e-1", "0.50"], vec!["0.51", "5"]),
        (any_of(&[json!(true)]), vec!["true"], vec!["false", "1", r#""true""#]),
        (
            any_of(&[json!(18_446_744_073_709_551_615_u64)]),
            vec!["18446744073709551615"],
            vec!["18446744073709551614"],
        ),
        (Matches::NoneOf(vec![json!("a")]), vec![r#""b""#, "1", "{}", "null"], vec![r#""a""#]),
        (Matches::Present, vec!["1", r#""""#, "{}", "false"], vec!["null"]),
        (Matches::Absent, vec!["null"], vec!["1", "[]", r#""""#]),
    ];
    for (is, held, failed) in kinds {
        let conditions = [Some(all(&[("kind", is.clone())]))];
        for value in held {
            assert_eq!(taken(&conditions, &format!(r#"{{"kind":{value},"id":1}}"#)), [0], "{is:?} {value}");
        }
        for value in failed {
            assert_eq!(
                taken(&conditions, &format!(r#"{{"kind":{value},"id":1}}"#)),
                [0_usize; 0],
                "{is:?} {value}"
            );
        }
    }
}

#[test]
fn a_field_that_is_missing_on_any_level_is_absent() {
    let conditions = [
        Some(all(&[("geo.city", Matches::Absent)])),
        Some(all(&[("geo.city", Matches::Present)])),
        Some(all(&[("geo.city", Matches::NoneOf(vec![json!("Bonn")]))])),
    ];
    for record in [r#"{"id":1}"#, r#"{"id":1,"geo":null}"#, r#"{"geo":{},"id":1}"#, r#"{"geo":7,"id":1}"#] {
        assert_eq!(taken(&conditions, record), [0, 2], "{record}");
    }
    assert_eq!(taken(&conditions, r#"{"geo":{"city":"Bonn"},"id":1}"#), [1]);
    assert_eq!(taken(&conditions, r#"{"geo":{"city":"Ulm"},"id":1}"#), [1, 2]);
}

#[test]
fn all_conditions_have_to_hold_and_otherwise_takes_what_is_left() {
    let conditions = [
        Some(all(&[("kind", any_of(&[json!("click")])), ("eu", any_of(&[json!(true)]))])),
        Some(all(&[("kind", any_of(&[json!("click"), json!("tap")]))])),
        Some(When::Otherwise),
        None,
    ];
    assert_eq!(taken(&conditions, r#"{"kind":"click","eu":true,"id":1}"#), [0, 1, 3]);
    assert_eq!(taken(&conditions, r#"{"eu":true,"kind":"tap","id":1}"#), [1, 3]);
    assert_eq!(taken(&conditions, r#"{"kind":"view","id":1}"#), [2, 3]);
    assert_eq!(taken(&conditions, r#"{"id":1}"#), [2, 3]);
}

#[test]
fn a_record_that_no_table_takes_is_filtered() {
    let tables =
        vec![table("clicks", Some(all(&[("kind", any_of(&[json!("click")]))])), vec![column("id", "UInt8")])];
    let mut batch = OpenBatch::new(&stream_of(tables), REVISION).expect("a batch");
    assert_eq!(batch.push(&record(0, 0, br#"{"kind":"view"}"#)), Pushed::Filtered);
    assert_eq!(batch.filtered(), 1);
    let sealed = batch.seal(TIME);
    assert_eq!((sealed.counts[&0].filtered, sealed.tables), (1, vec![None]));
}

#[test]
fn a_record_that_is_bad_for_one_table_is_a_row_of_the_other() {
    let tables = vec![
        table("narrow", None, vec![column("id", "UInt8")]),
        table("wide", None, vec![column("id", "UInt64")]),
    ];
    let mut batch = OpenBatch::new(&stream_of(tables), REVISION).expect("a batch");
    assert_eq!(batch.push(&record(0, 0, br#"{"id":300}"#)), Pushed::DeadLetter);
    assert_eq!(batch.push(&record(0, 1, br#"{"id":3}"#)), Pushed::Row);
    assert_eq!(batch.push(&record(0, 2, br#"{"id":3"#)), Pushed::DeadLetter);
    let sealed = batch.seal(TIME);
    let rows = sealed.tables.iter().map(|rows| rows.as_ref().map_or(0, RecordBatch::num_rows));
    assert_eq!(rows.collect::<Vec<_>>(), [1, 2]);
    let letters = sealed.dead_letters.expect("two letters");
    let told = |row| ["code", "table"].map(|name| text(&letters, name, row));
    // What is no JSON is so for every table, and is said once.
    assert_eq!(letters.num_rows(), 2);
    assert_eq!(told(0), ["PH-0104", "default.narrow"]);
    assert_eq!(told(1), ["PH-0100", ""]);
}

/// Rows (index and value) and letters (index, code and payload) of one message.
fn split(values: Values, payload: &str) -> (Vec<[String; 2]>, Vec<[String; 3]>) {
    let declared = Stream { values, ..stream(vec![column("v", "UInt8")]) };
    let mut batch = OpenBatch::new(&declared, REVISION).expect("a batch");
    batch.push(&record(4, 9, payload.as_bytes()));
    let sealed = batch.seal(TIME);
    let letters = sealed.dead_letters.clone().map_or(vec![], |letters| {
        let index = |row| shown(&letters, 4, row);
        let letter = |row| [index(row), text(&letters, "code", row), text(&letters, "payload", row)];
        (0..letters.num_rows()).map(letter).collect()
    });
    let rows = rows_of(sealed).map_or(vec![], |rows| {
        (0..rows.num_rows()).map(|row| [shown(&rows, 3, row), shown(&rows, 0, row)]).collect()
    });
    (rows, letters)
}

fn owned<const N: usize>(all: &[[&str; N]]) -> Vec<[String; N]> {
    all.iter().map(|one| one.map(str::to_owned)).collect()
}

#[test]
fn a_bad_line_leaves_its_neighbours_alone() {
    let (rows, letters) = split(Values::Lines, "{\"v\":1}\n\n{\"v\":256}\r\n{\"v\"\n {\"v\":4}");
    assert_eq!(rows, owned(&[["0", "1"], ["4", "4"]]));
    assert_eq!(letters, owned(&[["2", "PH-0104", "{\"v\":256}"], ["3", "PH-0100", "{\"v\""]]));
    assert_eq!(split(Values::Lines, " \n\n"), (vec![], vec![]));
}

#[test]
fn a_bad_element_leaves_its_neighbours_alone() {
    let (rows, letters) = split(Values::Array, r#" [{"v":1}, {"v":"\ud800"}, {"v":tru}, 7, {"v":5},]"#);
    assert_eq!(rows, owned(&[["0", "1"], ["4", "5"]]));
    let expected = [
        ["1", "PH-0112", r#"{"v":"\ud800"}"#],
        ["2", "PH-0100", r#"{"v":tru}"#],
        ["3", "PH-0111", "7"],
        ["5", "PH-0114", ""],
    ];
    assert_eq!(letters, owned(&expected));
    assert_eq!(split(Values::Array, "[]"), (vec![], vec![]));
}

#[test]
fn an_array_that_can_not_be_taken_apart_is_one_letter() {
    for payload in [r#"{"v":1}"#, r#"[{"v":1}"#, "7", r#"[{"v":1}] [] "#] {
        assert_eq!(split(Values::Array, payload), (vec![], owned(&[["0", "PH-0119", payload]])));
    }
}

#[test]
fn a_message_whose_letters_would_repeat_a_large_key_too_often_is_one_letter() {
    let declared = Stream { values: Values::Array, ..stream(vec![column("v", "UInt8")]) };
    let mut batch = OpenBatch::new(&declared, REVISION).expect("a batch");
    let key = vec![b'k'; 1 << 20];
    let mut push = |records: usize, offset| {
        let payload = format!("[{}{{\"v\":1}}]", "7,".repeat(records - 1));
        let (partition, timestamp_ms, payload) = (0, None, Some(payload.as_bytes()));
        batch.push(&Record { partition, offset, timestamp_ms, key: Some(&key), payload, headers: &NoHeaders })
    };
    assert_eq!((push(3, 0), push(1_000, 1)), (Pushed::DeadLetter, Pushed::DeadLetter));
    assert!(batch.bytes() < 4 << 20, "{} bytes", batch.bytes());
    let sealed = batch.seal(TIME);
    assert_eq!(sealed.dead_letters.map(|letters| letters.num_rows()), Some(2 + 1));
    assert_eq!(sealed.tables[0].as_ref().map(RecordBatch::num_rows), Some(1));
}

#[test]
fn tombstones_are_letters_where_it_is_declared() {
    let declared = Stream { tombstones: Tombstones::DeadLetter, ..stream(vec![column("v", "UInt8")]) };
    let mut batch = OpenBatch::new(&declared, REVISION).expect("a batch");
    let tombstone = Record { payload: None, ..record(0, 7, b"") };
    assert_eq!(batch.push(&tombstone), Pushed::DeadLetter);
    let letters = batch.seal(TIME).dead_letters.expect("a letter");
    assert_eq!(
        [text(&letters, "code", 0), text(&letters, "payload", 0)],
        ["PH-0115".to_owned(), String::new()]
    );
}

#[test]
fn revoked_partitions_leave_every_table() {
    let tables = vec![
        table("a", Some(all(&[("v", Matches::Present)])), vec![column("v", "UInt8")]),
        table("b", None, vec![column("v", "Nullable(UInt8)")]),
    ];
    let declared = Stream { values: Values::Lines, ..stream_of(tables) };
    let mut batch = OpenBatch::new(&declared, REVISION).expect("a batch");
    for partition in 0..3 {
        batch.push(&record(partition, 0, b"{\"v\":1}\n{}\n{\"v\":300}"));
    }
    batch.drop_partitions(&[0, 2].into());
    assert_eq!((batch.rows(), batch.dead_letters()), (3, 2));
    let sealed = batch.seal(TIME);
    let b = sealed.tables[1].as_ref().expect("rows");
    assert_eq!([shown(b, 1, 0), shown(b, 3, 0), shown(b, 3, 1)], ["1", "0", "1"].map(str::to_owned));
    assert_eq!(sealed.counts.keys().collect::<Vec<_>>(), [&1]);
}
