//! The batch: all columns or none, partitions that leave, what sealing hands over and what it leaves.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::super::{ColumnFault, Counts, Headers, dead_letter_columns, table_columns};
use crate::config::settings::DeadLetters;

use super::*;

fn wide() -> Vec<Column> {
    vec![
        column("u", "UInt16"),
        column("s", "String"),
        column("l", "LowCardinality(Nullable(String))"),
        column("a", "Array(Nullable(String))"),
        column("m", "Map(LowCardinality(String), Array(Int8))"),
        column("d", "Nullable(Decimal(50, 3))"),
        column("t", "DateTime64(3)"),
        column("b", "Nullable(Bool)"),
        column("id", "Nullable(UUID)"),
        column("f", "Float32"),
    ]
}

/// A record that fits [`wide`], more or less filled.
fn good() -> impl Strategy<Value = serde_json::Value> {
    let texts = prop::collection::vec(prop::option::of("[a-c]{0,3}"), 0..4);
    let map = prop::collection::btree_map("[a-d]{1,2}", prop::collection::vec(any::<i8>(), 0..3), 0..4);
    (any::<u16>(), ".{0,12}", prop::option::of("[a-e]"), texts, map, 0..1000_i32, any::<bool>()).prop_map(
        |(u, s, l, a, m, millis, full)| {
            let mut record = json!({"u": u, "s": s, "l": l, "a": a, "m": m, "t": format!("2024-02-29T12:30:00.{millis:03}Z"), "f": 0.5});
            if full {
                record["d"] = json!(format!("{millis}.125"));
                record["b"] = json!(millis % 2 == 0);
                record["id"] = json!("61f0c404-5cb3-11e7-907b-a6006ad3dba0");
            }
            record
        },
    )
}

/// A record that does not fit: a good one with a value of another kind in one place, or cut short.
fn bad() -> impl Strategy<Value = String> {
    let wrong = [
        ("u", json!(65536)),
        ("s", json!(["x"])),
        ("l", json!(5)),
        ("a", json!(["x", null, 1])),
        ("m", json!({"a": [1], "b": [1, 128]})),
        ("d", json!("0.0001")),
        ("t", json!("2024-02-30T12:30:00Z")),
        ("b", json!(0)),
        ("id", json!("61f0c404")),
        ("f", json!(1e300)),
    ];
    (good(), prop::sample::select(wrong.to_vec()), any::<bool>(), 1..40_usize).prop_map(
        |(mut record, (name, value), cut, by)| {
            if cut {
                let text = record.to_string();
                let end = text.len() - by.min(text.len() - 1);
                let end = (0..=end).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
                return text[..end.max(1)].to_owned();
            }
            record[name] = value;
            record.to_string()
        },
    )
}

proptest! {
    #[test]
    fn a_refused_record_leaves_no_trace(records in prop::collection::vec(
        prop_oneof![good().prop_map(|record| (true, record.to_string())), bad().prop_map(|text| (false, text))], 0..30))
    {
        let (mut with, mut without) = (batch(wide()), batch(wide()));
        for (offset, (is_good, payload)) in (0..).zip(&records) {
            let record = record(0, offset, payload.as_bytes());
            prop_assert_eq!(with.push(&record), if *is_good { Pushed::Row } else { Pushed::DeadLetter }, "{}", payload);
            if *is_good {
                prop_assert_eq!(without.push(&record), Pushed::Row);
            }
        }
        let bad = records.iter().filter(|(is_good, _)| !is_good).count();
        prop_assert_eq!(with.dead_letters(), bad);
        let (with, without) = (with.seal(TIME), without.seal(TIME));
        prop_assert_eq!(with.tables, without.tables);
        prop_assert_eq!(with.dead_letters.map_or(0, |letters| letters.num_rows()), bad);
    }

    #[test]
    fn a_revoked_partition_leaves_no_trace(records in prop::collection::vec(
        (0..4_u32, prop_oneof![good().prop_map(|record| record.to_string()), bad()]), 0..30),
        revoked in prop::collection::btree_set(0..4_u32, 0..4))
    {
        let (mut with, mut without) = (batch(wide()), batch(wide()));
        let half = records.len() / 2;
        for (offset, (partition, payload)) in (0..).zip(&records[..half]) {
            with.push(&record(*partition, offset, payload.as_bytes()));
            if !revoked.contains(partition) {
                without.push(&record(*partition, offset, payload.as_bytes()));
            }
        }
        with.drop_partitions(&revoked);
        // What comes afterwards is not touched.
        for (offset, (partition, payload)) in (100..).zip(&records[half..]) {
            with.push(&record(*partition, offset, payload.as_bytes()));
            without.push(&record(*partition, offset, payload.as_bytes()));
        }
        prop_assert_eq!((with.rows(), with.dead_letters()), (without.rows(), without.dead_letters()));
        let (with, without) = (with.seal(TIME), without.seal(TIME));
        prop_assert_eq!(with.tables, without.tables);
        prop_assert_eq!(with.dead_letters, without.dead_letters);
        prop_assert_eq!(with.counts, without.counts);
    }
}

#[test]
fn sealing_hands_everything_over_and_starts_anew() {
    let mut batch = batch(vec![column("v", "LowCardinality(String)")]);
    for round in 0..3_u64 {
        assert_eq!((batch.rows(), batch.dead_letters(), batch.bytes()), (0, 0, 0));
        assert_eq!(batch.push(&record(7, round, br#"{"v":"a"}"#)), Pushed::Row);
        assert_eq!(batch.push(&record(8, round, br#"{"v":"b"}"#)), Pushed::Row);
        assert_eq!(batch.push(&record(7, round, br#"{"v":1}"#)), Pushed::DeadLetter);
        let tombstone = Record { payload: None, ..record(9, round, b"") };
        assert_eq!(batch.push(&tombstone), Pushed::Filtered);
        assert_eq!((batch.rows(), batch.dead_letters()), (2, 1));
        assert!(batch.bytes() > 0);
        let Sealed { mut tables, dead_letters, counts } = batch.seal(TIME);
        let rows = tables.remove(0).expect("rows");
        let cells = |row| [0, 1, 2, 3].map(|column| shown(&rows, column, row));
        assert_eq!(cells(0), ["a", "7", &round.to_string(), "2024-02-29T12:30:00.001"]);
        assert_eq!(cells(1), ["b", "8", &round.to_string(), "2024-02-29T12:30:00.001"]);
        assert_eq!(dead_letters.map(|letters| letters.num_rows()), Some(1));
        let expected = [
            (7, Counts { rows: 1, dead_letters: 1, filtered: 0 }),
            (8, Counts { rows: 1, ..Counts::default() }),
            (9, Counts { filtered: 1, ..Counts::default() }),
        ];
        assert_eq!(counts, BTreeMap::from(expected));
    }
    let Sealed { tables, dead_letters, counts } = batch.seal(TIME);
    assert!(tables == [None] && dead_letters.is_none() && counts.is_empty());
}

#[test]
fn columns_are_named_in_the_order_of_the_rows() {
    let declared = stream(vec![column("v", "Nullable(Int8)"), column("t", "DateTime64(3, 'Asia/Tokyo')")]);
    let mut batch = OpenBatch::new(&declared, REVISION).expect("a batch");
    batch.push(&record(0, 0, br#"{"t":"2024-01-01T00:00:00Z"}"#));
    let rows = rows_of(batch.seal(TIME)).expect("rows");
    let names = rows.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    let columns = table_columns(&declared, &declared.tables[0]);
    assert_eq!(names, columns.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    let types = columns.iter().map(|(_, column_type)| column_type.as_str()).collect::<Vec<_>>();
    assert_eq!(types, ["Nullable(Int8)", "DateTime64(3, 'Asia/Tokyo')", "UInt32", "UInt64", "DateTime64(3)"]);

    let bare = Stream { lineage: None, ..declared };
    let mut batch = OpenBatch::new(&bare, REVISION).expect("a batch");
    batch.push(&record(3, 0, br#"{"v":1,"t":"2024-01-01T00:00:00Z"}"#));
    batch.push(&record(4, 0, br#"{"v":2,"t":"2024-01-01T00:00:00Z"}"#));
    batch.drop_partitions(&BTreeSet::from([3]));
    let rows = rows_of(batch.seal(TIME)).expect("rows");
    assert_eq!((rows.num_columns(), rows.num_rows(), table_columns(&bare, &bare.tables[0]).len()), (2, 1, 2));
    assert_eq!(shown(&rows, 0, 0), "2");
}

#[test]
fn a_dead_letter_keeps_the_record_as_it_was() {
    struct Two;
    impl Headers for Two {
        fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
            visit("trace", Some(b"\xff"));
            visit("trace", None);
        }
    }
    let mut batch = batch(vec![from("a.b", column("v", "UInt8"))]);
    let record = Record {
        timestamp_ms: Some(5),
        key: Some(b"\xfe"),
        headers: &Two,
        ..record(3, 4, b"{\"a\":{\"b\":256}}")
    };
    assert_eq!(batch.push(&record), Pushed::DeadLetter);
    assert!(batch.bytes() > 15);
    let letters = batch.seal(TIME).dead_letters.expect("a letter");
    let names = letters.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    assert_eq!(names, dead_letter_columns().into_iter().map(|(name, _)| name).collect::<Vec<_>>());
    let texts = ["stream", "topic", "payload", "code", "column", "path", "reason", "revision"]
        .map(|name| text(&letters, name, 0));
    let reason = "expected UInt8 (a whole number from 0 to 255), found the number 256";
    assert_eq!(
        texts,
        ["clicks", "app.clicks", "{\"a\":{\"b\":256}}", "PH-0104", "v", "a.b", reason, REVISION]
    );
    let cells = [2, 3, 6, 7, 8, 15].map(|column| {
        let options = FormatOptions::default().with_null("null");
        ArrayFormatter::try_new(letters.column(column), &options).expect("displayable").value(0).to_string()
    });
    let headers = "[{name: 7472616365, value: ff}, {name: 7472616365, value: null}]";
    assert_eq!(cells, ["3", "4", "1970-01-01T00:00:00.005", "fe", headers, "2024-02-29T12:30:00.001"]);
}

#[test]
fn dead_letters_are_counted_where_they_are_not_kept() {
    let mut batch = OpenBatch::new(
        &Stream {
            dead_letters: DeadLetters { table: false, topic: None },
            ..stream(vec![column("v", "UInt8")])
        },
        REVISION,
    )
    .expect("a batch");
    assert_eq!(batch.push(&record(1, 0, b"{}")), Pushed::DeadLetter);
    assert_eq!(batch.dead_letters(), 1);
    let Sealed { tables, dead_letters, counts } = batch.seal(TIME);
    assert!(tables == [None] && dead_letters.is_none());
    assert_eq!(counts[&1].dead_letters, 1);
}

#[test]
fn what_can_not_be_filled_is_told_before_the_first_record() {
    let fault = |column: Column| OpenBatch::new(&stream(vec![column]), REVISION).err();
    assert_eq!(
        fault(column("v", "DateTime('Europe/Atlantis')")),
        Some(ColumnFault::Zone { column: "v".to_owned(), zone: "Europe/Atlantis".to_owned() })
    );
    assert!(matches!(fault(or(json!(256), column("v", "UInt8"))), Some(ColumnFault::Default { .. })));
    assert!(matches!(fault(or(json!(null), column("v", "UInt8"))), Some(ColumnFault::Default { .. })));
    assert!(matches!(fault(column("v", "Array(DateTime64(3, 'Nowhere'))")), Some(ColumnFault::Zone { .. })));
}

#[test]
fn a_dictionary_is_right_however_many_texts_it_holds() {
    let mut batch = batch(vec![column("v", "LowCardinality(String)")]);
    for offset in 0..200_000_u64 {
        let payload = format!(r#"{{"v":"value {}"}}"#, offset * 7919 % 150_001);
        assert_eq!(batch.push(&record(0, offset, payload.as_bytes())), Pushed::Row);
    }
    let rows = rows_of(batch.seal(TIME)).expect("rows");
    let dictionary = rows.column(0).as_any_dictionary();
    assert_eq!(dictionary.values().len(), 150_001);
    for row in [0, 1, 77_777, 150_000, 150_001, 199_999] {
        assert_eq!(shown(&rows, 0, row), format!("value {}", row * 7919 % 150_001));
    }
}

#[test]
fn the_byte_estimate_follows_what_is_held() {
    let mut batch = batch(vec![column("v", "String")]);
    let payload = format!(r#"{{"v":"{}"}}"#, "x".repeat(1000));
    for offset in 0..1000 {
        batch.push(&record(u32::from(offset % 2 == 0), offset, payload.as_bytes()));
    }
    assert!((1_000_000..1_100_000).contains(&batch.bytes()), "{}", batch.bytes());
    batch.drop_partitions(&BTreeSet::from([0]));
    assert!((500_000..550_000).contains(&batch.bytes()), "{}", batch.bytes());
}
