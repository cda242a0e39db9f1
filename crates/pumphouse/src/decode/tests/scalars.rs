//! The types that JSON has no kind of its own for: wide integers, names, addresses, texts of limited size.

use super::values::{refuses, takes};
use super::*;

#[test]
fn wide_integers_are_read_to_the_last_digit() {
    for (column_type, values) in [
        ("Int128", [("1", "01000000000000000000000000000000"), ("-1", "ffffffffffffffffffffffffffffffff")]),
        (
            "UInt128",
            [("256", "00010000000000000000000000000000"), ("-0", "00000000000000000000000000000000")],
        ),
    ] {
        takes(column_type, &values);
        takes(
            column_type,
            &values.map(|(json, bytes)| (format!("\"{json}\""), bytes)).each_ref().map(str_pair),
        );
    }
    for (column_type, below, above) in [
        ("Int128", "-170141183460469231731687303715884105729", "170141183460469231731687303715884105728"),
        ("UInt128", "-1", "340282366920938463463374607431768211456"),
        (
            "Int256",
            "-57896044618658097711785492504343953926634992332820282019728792003956564819969",
            "57896044618658097711785492504343953926634992332820282019728792003956564819968",
        ),
        ("UInt256", "-1", "115792089237316195423570985008687907853269984665640564039457584007913129639936"),
    ] {
        let quoted = format!("\"{above}\"");
        refuses(column_type, "PH-0104", &[below, above, &quoted, &"9".repeat(1000)]);
        refuses(
            column_type,
            "PH-0103",
            &["1.0", "1e2", "true", "[]", "\"\"", "\"1.0\"", "\" 1\"", "\"01\"", "\"1\\u0000\"", "\"one\""],
        );
        refuses(column_type, "PH-0102", &["null"]);
        refuses(column_type, "PH-0103", &["{}"]);
    }
}

fn str_pair<'a>((json, bytes): &'a (String, &'a str)) -> (&'a str, &'a str) {
    (json, bytes)
}

#[test]
fn texts_of_limited_size_are_counted_in_bytes() {
    takes("FixedString(3)", &[("\"\"", ""), ("\"abc\"", "abc"), ("\"é1\"", "é1"), ("\"a\\u0000\"", "a")]);
    refuses("FixedString(3)", "PH-0118", &["\"abcd\"", "\"éé\"", "\"abc\\u0000\"", "\"\\u0061bcd\""]);
    refuses("FixedString(3)", "PH-0103", &["1", "true", "[]", "{}"]);
    refuses("FixedString(3)", "PH-0102", &["null"]);
    takes("LowCardinality(FixedString(3))", &[("\"ab\"", "ab"), ("\"ab\\u0000\"", "ab")]);
    refuses("LowCardinality(FixedString(3))", "PH-0118", &["\"abcd\""]);
    takes("LowCardinality(Nullable(FixedString(3)))", &[("null", "null"), ("\"ab\"", "ab")]);
    for keys in ["FixedString(2)", "LowCardinality(FixedString(2))"] {
        let [code, _, path, _] =
            decode_value(&format!("Map({keys}, UInt8)"), r#"{"a":1,"a\u0000":2}"#).expect_err("the same key");
        assert_eq!((code.as_str(), path.as_str()), ("PH-0109", "v[1]"), "{keys}");
    }
}

#[test]
fn enums_take_their_names_to_the_letter() {
    let small = "Enum8('a' = -128, 'A' = 0, 'it\\'s' = 127)";
    takes(small, &[("\"a\"", "-128"), ("\"A\"", "0"), ("\"it's\"", "127"), (r#""\u0061""#, "-128")]);
    takes("Enum16('x' = 300, '' = -300)", &[("\"x\"", "300"), ("\"\"", "-300")]);
    refuses(small, "PH-0116", &["\"b\"", "\"\"", "\" a\"", "\"a\\u0000\"", "\"-128\"", "\"'a'\""]);
    refuses(small, "PH-0103", &["0", "-128", "true", "[]"]);
    refuses(small, "PH-0102", &["null"]);
    takes("Map(Enum8('a' = 1), UInt8)", &[(r#"{"a":1}"#, "{1: 1}")]);
}

#[test]
fn what_stands_under_a_null_is_a_number_of_the_enum() {
    let mut batch = batch(vec![column("v", "Nullable(Enum8('a' = 5, 'b' = 7))")]);
    assert_eq!(batch.push(&record(0, 0, br#"{"v":null}"#)), Pushed::Row);
    let rows = rows_of(batch.seal(TIME)).expect("a row");
    let numbers = rows.column(0).as_primitive::<arrow_array::types::Int8Type>();
    assert_eq!(numbers.values().as_ref(), [5]);
}

#[test]
fn addresses_are_read_one_way_only() {
    takes(
        "IPv4",
        &[("\"0.0.0.0\"", "0"), ("\"192.0.2.1\"", "3221225985"), (r#""1.2.3\u002e4""#, "16909060")],
    );
    refuses(
        "IPv4",
        "PH-0117",
        &[
            "\"\"",
            "\"192.168.010.001\"",
            "\"256.0.0.1\"",
            "\"1.2.3\"",
            "\"1.2.3.4.5\"",
            "\"1.2.3.4 \"",
            "\"1.2.3.4/8\"",
            "\"1.2.3.4:80\"",
            "\"0x1.2.3.4\"",
            "\"::ffff:1.2.3.4\"",
            "\"localhost\"",
            "\"16909060\"",
        ],
    );
    takes(
        "IPv6",
        &[
            ("\"::\"", "00000000000000000000000000000000"),
            ("\"2001:DB8::1\"", "20010db8000000000000000000000001"),
            ("\"2001:db8:0:0:0:0:0:1\"", "20010db8000000000000000000000001"),
            ("\"192.0.2.1\"", "00000000000000000000ffffc0000201"),
            ("\"::ffff:192.0.2.1\"", "00000000000000000000ffffc0000201"),
        ],
    );
    refuses(
        "IPv6",
        "PH-0117",
        &[
            "\"\"",
            "\":::\"",
            "\"1::2::3\"",
            "\"fe80::1%eth0\"",
            "\"[::1]\"",
            "\"::1/64\"",
            "\"12345::\"",
            "\"1.2.3.04\"",
        ],
    );
    for column_type in ["IPv4", "IPv6"] {
        refuses(column_type, "PH-0103", &["1", "true", "[]", "{}"]);
        refuses(column_type, "PH-0102", &["null"]);
    }
}

#[test]
fn wide_dates_reach_from_1900_to_2299() {
    takes(
        "Date32",
        &[
            ("\"1900-01-01\"", "1900-01-01"),
            ("\"2299-12-31\"", "2299-12-31"),
            ("\"1969-12-31\"", "1969-12-31"),
        ],
    );
    refuses("Date32", "PH-0104", &["\"1899-12-31\"", "\"2300-01-01\"", "\"0000-01-01\"", "\"9999-12-31\""]);
    refuses("Date32", "PH-0106", &["\"\"", "\"2023-02-29\"", "\"2024-01-01T00:00:00Z\"", "\"19782\""]);
    refuses("Date32", "PH-0113", &["0", "-1"]);
    for (json, expected) in [
        ("-2208988800", Ok("1900-01-01")),
        ("10413705600", Ok("2299-12-31")),
        ("10413792000", Err("PH-0104")),
        ("-2209075200", Err("PH-0104")),
        ("86401", Err("PH-0105")),
    ] {
        let declared = in_unit(EpochUnit::Seconds, column("v", "Date32"));
        let read = decode(vec![declared], format!(r#"{{"v":{json}}}"#).as_bytes());
        let read = read.map(|row| row.concat()).map_err(|[code, ..]| code);
        assert_eq!(read.as_deref().map_err(String::as_str), expected, "{json}");
    }
}

#[test]
fn a_reason_has_room_for_what_was_found_beside_many_names() {
    let names: Vec<String> =
        (0..500).map(|number| format!("'a name of the many {number}' = {number}")).collect();
    let [_, _, _, reason] =
        decode_value(&format!("Enum16({})", names.join(", ")), "\"secret\"").expect_err("no name");
    assert!(reason.ends_with("found a string of 6 bytes that is none of them"), "{reason}");
}
