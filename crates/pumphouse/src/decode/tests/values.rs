//! Each type at its edges: the last values it takes and the first it does not.

use super::*;

pub(super) fn takes(column_type: &str, values: &[(&str, &str)]) {
    for (json, expected) in values {
        assert_eq!(decode_value(column_type, json).as_deref(), Ok(*expected), "{column_type} from {json}");
    }
}

pub(super) fn refuses(column_type: &str, code: &str, values: &[&str]) {
    for json in values {
        let refused = decode_value(column_type, json).expect_err(json);
        assert_eq!(refused[..3], [code, "v", "v"], "{column_type} from {json}: {}", refused[3]);
    }
}

#[test]
fn whole_numbers_end_where_their_width_ends() {
    for (column_type, first, below, last, above) in [
        ("Int8", "-128", "-129", "127", "128"),
        ("Int16", "-32768", "-32769", "32767", "32768"),
        ("Int32", "-2147483648", "-2147483649", "2147483647", "2147483648"),
        (
            "Int64",
            "-9223372036854775808",
            "-9223372036854775809",
            "9223372036854775807",
            "9223372036854775808",
        ),
        ("UInt8", "0", "-1", "255", "256"),
        ("UInt16", "0", "-1", "65535", "65536"),
        ("UInt32", "0", "-1", "4294967295", "4294967296"),
        ("UInt64", "0", "-1", "18446744073709551615", "18446744073709551616"),
    ] {
        takes(column_type, &[(first, first), (last, last), ("0", "0"), ("-0", "0")]);
        refuses(
            column_type,
            "PH-0104",
            &[below, above, "123456789012345678901234567890123456789012345678901234567890"],
        );
        refuses(column_type, "PH-0103", &["1.0", "1e2", "-0.0", "true", "[1]", "{}", "\"\"", "\"one\""]);
        refuses(column_type, "PH-0102", &["null"]);
    }
}

#[test]
fn only_64_bits_are_also_read_from_strings_of_digits() {
    takes("Int64", &[("\"-9223372036854775808\"", "-9223372036854775808"), (r#""\u0031\u0032""#, "12")]);
    takes("UInt64", &[("\"18446744073709551615\"", "18446744073709551615")]);
    refuses("Int64", "PH-0104", &["\"9223372036854775808\""]);
    refuses("UInt64", "PH-0104", &["\"-1\"", "\"18446744073709551616\""]);
    refuses(
        "Int64",
        "PH-0103",
        &["\"1.0\"", "\"1e2\"", "\" 1\"", "\"1 \"", "\"+1\"", "\"01\"", "\"0x1\"", "\"1\\u0000\""],
    );
    refuses("Int32", "PH-0103", &["\"1\""]);
    refuses("UInt32", "PH-0103", &["\"1\""]);
}

#[test]
fn floats_take_the_nearest_value_but_keep_whole_numbers_exactly() {
    takes(
        "Float64",
        &[
            ("0.1", "0.1"),
            ("1.7976931348623157e308", "1.7976931348623157e308"),
            ("5e-324", "5e-324"),
            ("-0.0", "-0.0"),
            ("-0", "-0.0"),
            ("9007199254740992", "9007199254740992.0"),
            ("9007199254740994", "9007199254740994.0"),
            ("123456789.125", "123456789.125"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("18446744073709551616", "1.8446744073709552e19"),
            ("9007199254740993.0", "9007199254740992.0"),
        ],
    );
    takes(
        "Float32",
        &[
            ("0.1", "0.1"),
            ("16777216", "16777216.0"),
            ("16777218", "16777218.0"),
            ("3.4028235e38", "3.4028235e38"),
        ],
    );
    refuses(
        "Float64",
        "PH-0105",
        &["9007199254740993", "-9007199254740993", "18446744073709551615", "1e-400", "-0.1e-999"],
    );
    refuses("Float32", "PH-0105", &["16777217", "2147483647", "1e-60"]);
    refuses("Float64", "PH-0104", &["1e309", "-1e309", "1e99999999999"]);
    refuses("Float32", "PH-0104", &["3.5e38", "340282366920938463463374607431768211456"]);
    refuses("Float64", "PH-0103", &["\"1.5\"", "true", "[]", "{}"]);
    refuses("Float64", "PH-0102", &["null"]);
}

#[test]
fn decimals_are_exact_or_refused() {
    takes(
        "Decimal(9, 2)",
        &[
            ("9999999.99", "9999999.99"),
            ("-1.5", "-1.50"),
            ("1e3", "1000.00"),
            ("\"0.10\"", "0.10"),
            ("1.230000", "1.23"),
        ],
    );
    takes(
        "Decimal(38, 38)",
        &[("0.99999999999999999999999999999999999999", "0.99999999999999999999999999999999999999")],
    );
    takes(
        "Decimal(40, 0)",
        &[("1234567890123456789012345678901234567890", "1234567890123456789012345678901234567890")],
    );
    refuses("Decimal(9, 2)", "PH-0104", &["10000000", "-10000000.00", "1e30", "\"10000000\""]);
    refuses("Decimal(9, 2)", "PH-0105", &["0.001", "9999999.999", "1e-9", "\"0.001\""]);
    refuses(
        "Decimal(9, 2)",
        "PH-0103",
        &["\"\"", "\"one\"", "\"+1\"", "\".5\"", "\"1,5\"", "\" 1\"", "true", "[]"],
    );
    refuses("Decimal(40, 0)", "PH-0104", &["12345678901234567890123456789012345678901"]);
}

#[test]
fn strings_uuids_and_booleans_take_their_own_kind_only() {
    takes("String", &[("\"\"", ""), (r#""a\n\u00e9""#, "a\né"), ("\"日本\"", "日本"), (r#""\u0000""#, "\0")]);
    refuses("String", "PH-0103", &["1", "true", "[]", "{}"]);
    takes("LowCardinality(String)", &[("\"a\"", "a")]);
    refuses("LowCardinality(String)", "PH-0103", &["1"]);
    takes("Bool", &[("true", "true"), ("false", "false")]);
    refuses("Bool", "PH-0103", &["0", "1", "\"true\"", "[]"]);
    takes("UUID", &[("\"61f0c404-5cb3-11e7-907b-a6006ad3dba0\"", "61f0c4045cb311e7907ba6006ad3dba0")]);
    takes("UUID", &[(r#""61f0c404\u002d5cb3-11e7-907b-a6006ad3dba0""#, "61f0c4045cb311e7907ba6006ad3dba0")]);
    refuses(
        "UUID",
        "PH-0107",
        &["\"\"", "\"61f0c404-5cb3-11e7-907b-a6006ad3dba\"", "\"61f0c404-5cb3-11e7-907b-a6006ad3dbag\""],
    );
    refuses("UUID", "PH-0103", &["1", "[]"]);
    refuses("UUID", "PH-0102", &["null"]);
}

#[test]
fn dates_end_in_2149_and_are_never_1970_by_accident() {
    takes("Date", &[("\"1970-01-01\"", "0"), ("\"2149-06-06\"", "65535"), ("\"2024-02-29\"", "19782")]);
    refuses("Date", "PH-0104", &["\"1969-12-31\"", "\"2149-06-07\"", "\"0000-01-01\"", "\"9999-12-31\""]);
    refuses(
        "Date",
        "PH-0106",
        &[
            "\"\"",
            "\"2023-02-29\"",
            "\"0000-00-00\"",
            "\"2024-01-01T00:00:00Z\"",
            "\"24-01-01\"",
            "\"today\"",
        ],
    );
    refuses("Date", "PH-0113", &["0", "19782"]);
    refuses("Date", "PH-0103", &["true", "[]"]);
}

#[test]
fn times_end_where_their_columns_end() {
    takes("DateTime", &[("\"1970-01-01T00:00:00Z\"", "0"), ("\"2106-02-07 06:28:15.000\"", "4294967295")]);
    takes("DateTime", &[("\"1970-01-01T01:00:00+01:00\"", "0"), ("\"1969-12-31T23:00:00-01:00\"", "0")]);
    refuses(
        "DateTime",
        "PH-0104",
        &["\"1969-12-31T23:59:59Z\"", "\"2106-02-07 06:28:16\"", "\"1970-01-01T00:59:59+01:00\""],
    );
    refuses("DateTime", "PH-0105", &["\"2024-01-01T00:00:00.5Z\"", "\"2024-01-01T00:00:00.0001Z\""]);
    refuses(
        "DateTime",
        "PH-0106",
        &["\"2024-01-01\"", "\"\"", "\"1704067200\"", "\"2016-12-31T23:59:60Z\"", "\"2024-01-01T24:00:00Z\""],
    );
    refuses("DateTime", "PH-0113", &["1704067200"]);
    takes(
        "DateTime64(3)",
        &[
            ("\"1900-01-01T00:00:00Z\"", "1900-01-01T00:00:00"),
            ("\"2299-12-31T23:59:59.999Z\"", "2299-12-31T23:59:59.999"),
        ],
    );
    refuses("DateTime64(3)", "PH-0104", &["\"1899-12-31T23:59:59.999Z\"", "\"2300-01-01T00:00:00Z\""]);
    refuses("DateTime64(3)", "PH-0105", &["\"2024-01-01T00:00:00.1234Z\""]);
    takes("DateTime64(3)", &[("\"2024-01-01T00:00:00.1230000000000Z\"", "2024-01-01T00:00:00.123")]);
    takes("DateTime64(9)", &[("\"2262-04-11T23:47:16.854775807Z\"", "2262-04-11T23:47:16.854775807")]);
    refuses("DateTime64(9)", "PH-0104", &["\"2262-04-11T23:47:16.854775808Z\"", "\"2299-01-01T00:00:00Z\""]);
    takes("DateTime64(8)", &[("\"2299-12-31T23:59:59.99999999Z\"", "10413791999.99999999")]);
}

#[test]
fn local_times_are_read_in_the_columns_zone_unless_there_is_none_or_two() {
    let berlin = "DateTime('Europe/Berlin')";
    takes(berlin, &[("\"2024-07-01 12:00:00\"", "1719828000"), ("\"2024-07-01T12:00:00Z\"", "1719835200")]);
    refuses(berlin, "PH-0106", &["\"2024-03-31 02:30:00\"", "\"2024-10-27 02:30:00\""]);
    takes(
        berlin,
        &[("\"2024-10-27T02:30:00+01:00\"", "1729992600"), ("\"2024-10-27T02:30:00+02:00\"", "1729989000")],
    );
    let [.., reason] = decode_value(berlin, "\"2024-03-31 02:30:00\"").expect_err("skipped");
    assert!(reason.ends_with("zone skips; an offset in the text would say which instant it is"), "{reason}");
}

#[test]
fn numbers_are_times_only_in_a_declared_unit() {
    use EpochUnit::{Microseconds, Milliseconds, Nanoseconds, Seconds};
    for (column_type, unit, json, expected) in [
        ("DateTime", Seconds, "4294967295", Ok("4294967295")),
        ("DateTime", Seconds, "1704067200.0", Ok("1704067200")),
        ("DateTime", Seconds, "-1", Err("PH-0104")),
        ("DateTime", Seconds, "4294967296", Err("PH-0104")),
        ("DateTime", Seconds, "1704067200.5", Err("PH-0105")),
        ("DateTime", Milliseconds, "1704067200000", Ok("1704067200")),
        ("DateTime", Milliseconds, "1704067200001", Err("PH-0105")),
        ("DateTime", Seconds, "\"1704067200\"", Err("PH-0106")),
        ("DateTime64(3)", Seconds, "1704067200.123", Ok("2024-01-01T00:00:00.123")),
        ("DateTime64(3)", Seconds, "1.704067200123e9", Ok("2024-01-01T00:00:00.123")),
        ("DateTime64(3)", Seconds, "-0.001", Ok("1969-12-31T23:59:59.999")),
        ("DateTime64(3)", Seconds, "-2208988800.001", Err("PH-0104")),
        ("DateTime64(3)", Seconds, "10413792000", Err("PH-0104")),
        ("DateTime64(3)", Microseconds, "1704067200123000", Ok("2024-01-01T00:00:00.123")),
        ("DateTime64(3)", Microseconds, "1704067200123400", Err("PH-0105")),
        ("DateTime64(9)", Nanoseconds, "9223372036854775807", Ok("2262-04-11T23:47:16.854775807")),
        ("DateTime64(9)", Nanoseconds, "9223372036854775808", Err("PH-0104")),
        ("Date", Seconds, "86400", Ok("1")),
        ("Date", Seconds, "86401", Err("PH-0105")),
        ("Date", Milliseconds, "5662310400000", Err("PH-0104")),
        ("Date", Seconds, "-86400", Err("PH-0104")),
    ] {
        let declared = in_unit(unit, column("v", column_type));
        let read = decode(vec![declared], format!(r#"{{"v":{json}}}"#).as_bytes());
        let read = read.map(|row| row.concat()).map_err(|[code, ..]| code);
        assert_eq!(read.as_deref().map_err(String::as_str), expected, "{column_type} from {json}");
    }
}

#[test]
fn nullable_columns_take_null_and_nothing_else_more() {
    for column_type in [
        "Nullable(Int32)",
        "Nullable(String)",
        "Nullable(UUID)",
        "LowCardinality(Nullable(String))",
        "Nullable(Decimal(5, 1))",
    ] {
        takes(column_type, &[("null", "null")]);
        refuses(column_type, "PH-0103", &["[]", "true"]);
    }
    takes("Nullable(Int32)", &[("7", "7")]);
    refuses("Nullable(Int8)", "PH-0104", &["128"]);
    refuses("Nullable(DateTime)", "PH-0106", &["\"\""]);
}

#[test]
fn arrays_and_maps_name_the_element_at_fault() {
    takes("Array(Nullable(UInt8))", &[("[]", "[]"), ("[1, null ,3]", "[1, null, 3]")]);
    takes("Array(Array(UInt8))", &[("[[],[1]]", "[[], [1]]")]);
    takes("Map(String, UInt8)", &[("{}", "{}")]);
    takes("Map(UInt16, Array(Bool))", &[(r#"{"404":[true]}"#, "{404: [true]}")]);
    for (column_type, json, code, path) in [
        ("Array(UInt8)", "[1,2,256]", "PH-0104", "v[2]"),
        ("Array(UInt8)", "[1,null]", "PH-0102", "v[1]"),
        ("Array(Array(UInt8))", "[[1],[2,-3]]", "PH-0104", "v[1][1]"),
        ("Array(UInt8)", "{}", "PH-0103", "v"),
        ("Array(UInt8)", "null", "PH-0102", "v"),
        ("Map(String, Array(UInt8))", r#"{"a":[1],"b":[2,"c"]}"#, "PH-0103", "v[1][1]"),
        ("Map(String, UInt8)", r#"{"a":1,"b":null}"#, "PH-0102", "v[1]"),
        ("Map(UInt8, UInt8)", r#"{"1":1,"256":2}"#, "PH-0104", "v[1]"),
        ("Map(UInt8, UInt8)", r#"{"x":1}"#, "PH-0103", "v[0]"),
        ("Map(UInt8, UInt8)", r#"{"null":1}"#, "PH-0103", "v[0]"),
        ("Map(UInt64, UInt8)", r#"{"\"1\"":1}"#, "PH-0103", "v[0]"),
        ("Map(UInt8, UInt8)", &format!("{{\"{}\":1}}", "[".repeat(200)), "PH-0103", "v[0]"),
        ("Map(UInt8, UInt8)", r#"{"[\"\\ud800\"]":1}"#, "PH-0103", "v[0]"),
        ("Map(Bool, UInt8)", r#"{"true":1,"false ":1}"#, "PH-0103", "v[1]"),
        ("Map(String, UInt8)", r#"{"a":1,"b":2,"\u0061":3}"#, "PH-0109", "v[2]"),
        (
            "Map(UUID, UInt8)",
            r#"{"61f0c404-5cb3-11e7-907b-a6006ad3dba0":1,"61F0C4045CB311E7907BA6006AD3DBA0":2}"#,
            "PH-0109",
            "v[1]",
        ),
        ("Map(LowCardinality(String), UInt8)", r#"{"a":1,"a":2}"#, "PH-0109", "v[1]"),
        ("Map(String, UInt8)", "[]", "PH-0103", "v"),
    ] {
        let [found, _, at, reason] = decode_value(column_type, json).expect_err(json);
        assert_eq!((found.as_str(), at.as_str()), (code, path), "{column_type} from {json}: {reason}");
    }
}

#[test]
fn a_key_given_twice_is_found_in_large_maps_too() {
    let keys = |last: &str| (0..100).fold(String::new(), |keys, key| keys + &format!("\"k{key}\":1,")) + last;
    assert!(decode_value("Map(String, UInt8)", &format!("{{{}}}", keys("\"k\":1"))).is_ok());
    let [code, _, path, _] =
        decode_value("Map(String, UInt8)", &format!("{{{}}}", keys("\"k77\":1"))).expect_err("twice");
    assert_eq!((code.as_str(), path.as_str()), ("PH-0109", "v[100]"));
}

#[test]
fn reasons_say_what_was_expected_and_found_but_never_a_texts_content() {
    for (column_type, json, reason) in [
        ("UInt8", "300", "expected UInt8 (a whole number from 0 to 255), found the number 300"),
        ("UInt8", "\"secret\"", "expected UInt8 (a whole number from 0 to 255), found a string of 6 bytes"),
        ("Nullable(Bool)", "[1]", "expected Bool (true or false) or null, found an array"),
        (
            "UUID",
            "\"secret\"",
            "expected UUID (32 hexadecimal digits, with the four hyphens or with none), found a string of 6 bytes that is not one",
        ),
        ("String", "null", "expected String (a string), found null"),
    ] {
        let [.., found] = decode_value(column_type, json).expect_err(json);
        assert_eq!(found, reason);
    }
    for column_type in [
        "Int64",
        "Decimal(5, 1)",
        "Date",
        "DateTime64(3)",
        "Map(UInt8, UInt8)",
        "Array(UInt8)",
        "Float64",
        "Bool",
    ] {
        for json in ["\"secret\"", "{\"secret\":1}", "[\"secret\"]"] {
            if let Err([.., path, reason]) = decode_value(column_type, json) {
                assert!(!reason.contains("secret") && !path.contains("secret"), "{reason}");
            }
        }
    }
}
