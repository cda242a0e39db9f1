//! `numbers: coerce`: what may stand for what, and that nothing is lost by it.

use super::*;
use crate::config::settings::Numbers;

/// What one value becomes in a column of this type, and in arrays and maps of it; the code where it is refused.
fn coerced(column: Column, json: &str) -> Result<String, String> {
    let declared = Stream { numbers: Numbers::Coerce, ..stream(vec![column]) };
    let mut batch = OpenBatch::new(&declared, REVISION).expect("a batch");
    let pushed = batch.push(&record(0, 0, format!(r#"{{"v":{json}}}"#).as_bytes()));
    let sealed = batch.seal(TIME);
    let letters = sealed.dead_letters.clone();
    match (pushed, rows_of(sealed), letters) {
        (Pushed::Row, Some(rows), None) => Ok(shown(&rows, 0, 0)),
        (_, _, Some(letters)) => Err(text(&letters, "code", 0)),
        (pushed, ..) => panic!("{pushed:?} left nothing"),
    }
}

fn stands_for(column_type: &str, values: &[(&str, &str)]) {
    for (json, expected) in values {
        assert!(decode_value(column_type, json).is_err(), "{column_type} takes {json} anyway");
        for of in [column_type.to_owned(), nullable(column_type)] {
            assert_eq!(coerced(column("v", &of), json).as_deref(), Ok(*expected), "{of} from {json}");
        }
        let list = coerced(column("v", &format!("Array({column_type})")), &format!("[{json},{json}]"));
        assert!(list.is_ok(), "Array({column_type}) from {json}: {list:?}");
        let map = coerced(column("v", &format!("Map(String, {column_type})")), &format!(r#"{{"k":{json}}}"#));
        assert!(map.is_ok(), "Map(String, {column_type}) from {json}: {map:?}");
    }
}

fn nullable(column_type: &str) -> String {
    match column_type.strip_prefix("LowCardinality(") {
        Some(inner) => format!("LowCardinality(Nullable({inner})"),
        None => format!("Nullable({column_type})"),
    }
}

fn still_refused(column_type: &str, code: &str, values: &[&str]) {
    for json in values {
        let refused = coerced(column("v", column_type), json);
        assert_eq!(refused, Err(code.to_owned()), "{column_type} from {json}");
    }
}

#[test]
fn whole_numbers_are_taken_in_any_spelling_that_is_whole() {
    stands_for(
        "Int16",
        &[
            ("\"12\"", "12"),
            ("\"-0\"", "0"),
            ("1.0", "1"),
            ("-1.50e1", "-15"),
            ("1e3", "1000"),
            ("\"3.2767E4\"", "32767"),
            (r#""\u0031""#, "1"),
            ("0e-9999999999999999999", "0"),
            ("true", "1"),
            ("false", "0"),
        ],
    );
    stands_for("UInt64", &[("18446744073709551615.000", "18446744073709551615"), ("true", "1")]);
    stands_for("Int128", &[("1e0", "01000000000000000000000000000000")]);
    stands_for("UInt256", &[("\"1.0\"", &format!("01{}", "0".repeat(62)))]);
    still_refused(
        "Int8",
        "PH-0104",
        &["1e3", "\"128\"", "128.0", "1e400", "\"-129\"", "1e99999999999999999999"],
    );
    still_refused("UInt8", "PH-0104", &["-1.0", "\"-1\"", "256"]);
    still_refused("UInt256", "PH-0104", &["1e78", "2e77"]);
    still_refused("Int32", "PH-0105", &["1.5", "\"1.5\"", "1e-1", "1e-400", "0.99999999999999999999999999"]);
    still_refused(
        "Int32",
        "PH-0103",
        &[
            "\"\"", "\" 1\"", "\"1 \"", "\"+1\"", "\"01\"", "\"0x1\"", "\"one\"", "\"true\"", "\"1,0\"",
            "[]", "{}",
        ],
    );
    still_refused("Int32", "PH-0102", &["null"]);
    still_refused("Int32", "PH-0100", &["tru", "1.", "\"1", "+1"]);
}

#[test]
fn floats_take_numbers_in_texts_as_exactly_as_numbers() {
    stands_for("Float64", &[("\"1.5\"", "1.5"), ("\"1e3\"", "1000.0"), ("\"-0\"", "-0.0")]);
    stands_for("Float32", &[("\"16777216\"", "16777216.0")]);
    still_refused("Float64", "PH-0105", &["\"9007199254740993\"", "9007199254740993", "\"1e-400\""]);
    still_refused("Float64", "PH-0104", &["\"1e309\""]);
    still_refused("Float64", "PH-0103", &["\"\"", "\"NaN\"", "\"inf\"", "\"1.\"", "\".5\"", "true", "[]"]);
}

#[test]
fn booleans_take_one_and_nought_and_their_names() {
    stands_for("Bool", &[("1", "true"), ("0", "false"), ("\"true\"", "true"), ("\"false\"", "false")]);
    still_refused(
        "Bool",
        "PH-0103",
        &["2", "-1", "-0", "1.0", "\"1\"", "\"0\"", "\"TRUE\"", "\"yes\"", "\"\"", "[]"],
    );
}

#[test]
fn texts_take_numbers_and_booleans_as_they_are_written() {
    let long = "9".repeat(100);
    for column_type in ["String", "LowCardinality(String)"] {
        stands_for(
            column_type,
            &[
                ("1.50", "1.50"),
                ("-0", "-0"),
                ("1E+2", "1E+2"),
                (&long, &long),
                ("true", "true"),
                ("false", "false"),
            ],
        );
        still_refused(column_type, "PH-0103", &["[]", "{}"]);
        still_refused(column_type, "PH-0102", &["null"]);
        still_refused(column_type, "PH-0100", &["01", "truth", "-"]);
    }
    stands_for("FixedString(4)", &[("1234", "1234"), ("true", "true")]);
    stands_for("LowCardinality(FixedString(4))", &[("12", "12")]);
    still_refused("FixedString(4)", "PH-0118", &["12345", "false"]);
}

#[test]
fn enums_take_the_numbers_of_their_names() {
    let names = "Enum8('a' = -1, '\"\\\\' = 2)";
    stands_for(names, &[("-1", "-1"), ("2", "2")]);
    still_refused(names, "PH-0116", &["0", "-0", "3", "1000", "\"2\"", "\"b\""]);
    still_refused(names, "PH-0103", &["2.0", "true"]);
    stands_for("Enum16('x' = 300)", &[("300", "300")]);
}

#[test]
fn times_take_numbers_in_texts_where_they_take_numbers() {
    for (column_type, json, expected) in [
        ("DateTime", "\"1704067200\"", Ok("1704067200")),
        ("DateTime64(3)", "\"1704067200.123\"", Ok("2024-01-01T00:00:00.123")),
        ("Date", "\"86400\"", Ok("1")),
        ("Date32", "\"-86400\"", Ok("1969-12-31")),
        ("DateTime", "\"2024-01-01T00:00:00Z\"", Ok("1704067200")),
        ("DateTime", "\"1704067200.5\"", Err("PH-0105")),
        ("DateTime", "\"-1\"", Err("PH-0104")),
        ("DateTime", "\" 1\"", Err("PH-0106")),
        ("DateTime", "true", Err("PH-0103")),
    ] {
        let read = coerced(in_unit(EpochUnit::Seconds, column("v", column_type)), json);
        assert_eq!(read.as_deref().map_err(String::as_str), expected, "{column_type} from {json}");
    }
    still_refused("DateTime", "PH-0106", &["\"1704067200\""]);
    still_refused("DateTime", "PH-0113", &["1704067200"]);
}

#[test]
fn other_types_and_the_keys_of_maps_take_what_they_always_take() {
    still_refused("UUID", "PH-0103", &["1"]);
    still_refused("IPv4", "PH-0103", &["16909060"]);
    still_refused("Decimal(9, 2)", "PH-0103", &["true", "\"one\""]);
    still_refused("Map(UInt8, UInt8)", "PH-0103", &[r#"{"1.0":1}"#, r#"{"true":1}"#]);
    assert_eq!(coerced(column("v", "Decimal(9, 2)"), "\"1.5\"").as_deref(), Ok("1.50"));
    assert_eq!(coerced(column("v", "Nullable(Int8)"), "null").as_deref(), Ok("null"));
}
