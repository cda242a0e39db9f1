//! Records of every shape: paths, missing and repeated keys, defaults, and payloads that are no records.

use serde_json::json;

use super::*;

fn code_of(columns: Vec<Column>, payload: &[u8]) -> String {
    let [code, ..] = decode(columns, payload).expect_err("a refused record");
    code
}

fn city() -> Column {
    from("geo.city", column("city", "String"))
}

#[test]
fn columns_find_their_values_whatever_the_order_and_the_company() {
    let columns =
        || vec![column("a", "UInt8"), city(), column("b", "String"), from("geo.at.x", column("x", "Int8"))];
    for payload in [
        r#"{"a":1,"geo":{"city":"Rome","at":{"x":-5}},"b":"z"}"#,
        r#" { "b" : "z" , "geo" : { "at" : { "y" : [ ] , "x" : -5 } , "city" : "Rome" } , "a" : 1 } "#,
        r#"{"n":null,"a":1,"deep":{"geo":{"city":1}},"geo":{"":0,"at":{"x":-5},"city":"Rome","c":{}},"b":"z","o":[{}]}"#,
        r#"{"\u0061":1,"g\u0065o":{"\u0063ity":"Rome","at":{"x":-5}},"b":"z"}"#,
    ] {
        assert_eq!(
            decode(columns(), payload.as_bytes()).expect(payload),
            ["1", "Rome", "z", "-5"],
            "{payload}"
        );
    }
}

#[test]
fn the_order_of_one_record_is_only_a_guess_for_the_next() {
    let mut batch =
        batch(vec![column("a", "UInt8"), column("bb", "UInt8"), column("a_rather_long_key_name", "UInt8")]);
    let payloads = [
        r#"{"a":0,"bb":1,"a_rather_long_key_name":2,"x":9}"#,
        r#"{"a_rather_long_key_name":2,"bb":1,"a":0}"#,
        r#"{"a_rather_long_key_xxxx":7,"x":9,"a":0,"a_rather_long_key_name":2,"b":3,"bb":1}"#,
        r#"{"a":0,"a_rather_long_key_nam":5,"a_rather_long_key_name":2,"bb":1}"#,
        r#"{"a" :0,"bb"	:1,"a_rather_long_key_name":2}"#,
    ];
    for (offset, payload) in (0..).zip(payloads.iter().chain(&payloads)) {
        assert_eq!(batch.push(&record(0, offset, payload.as_bytes())), Pushed::Row, "{payload}");
    }
    let rows = rows_of(batch.seal(TIME)).expect("rows");
    for row in 0..2 * payloads.len() {
        assert_eq!([0, 1, 2].map(|column| shown(&rows, column, row)), ["0", "1", "2"], "row {row}");
    }
}

#[test]
fn names_that_need_escapes_are_found_and_never_taken_for_json() {
    let strange = || vec![from("a\":1,\"b", column("v", "UInt8"))];
    assert_eq!(decode(strange(), br#"{"a\":1,\"b":7}"#).expect("found"), ["7"]);
    assert_eq!(code_of(strange(), br#"{"a":1,"b":7}"#), "PH-0101");
}

#[test]
fn many_unwanted_keys_are_passed_by() {
    let mut batch = batch(vec![column("a", "UInt8")]);
    for offset in 0..300 {
        let payload = format!(r#"{{"k{offset}":1,"a":3,"l{offset}":{{"a":"x"}}}}"#);
        assert_eq!(batch.push(&record(0, offset, payload.as_bytes())), Pushed::Row);
    }
}

#[test]
fn a_missing_field_is_its_default_or_null_or_refused() {
    let optional = || column("v", "Nullable(UInt8)");
    assert_eq!(decode(vec![optional()], b"{}").expect("null"), ["null"]);
    assert_eq!(decode(vec![or(json!(7), optional())], b"{}").expect("default"), ["7"]);
    assert_eq!(decode(vec![or(json!(null), optional())], b"{}").expect("default"), ["null"]);
    assert_eq!(decode(vec![or(json!("x"), column("v", "String"))], b"{}").expect("default"), ["x"]);
    assert_eq!(
        decode(vec![or(json!(["x"]), column("v", "Array(String)"))], b"{}").expect("default"),
        ["[78]"]
    );
    for column_type in ["UInt8", "String", "Array(UInt8)", "Map(String, String)", "DateTime"] {
        assert_eq!(code_of(vec![column("v", column_type)], b"{}"), "PH-0101");
    }
    let [code, name, path, reason] = decode(vec![city()], br#"{"geo":{}}"#).expect_err("missing");
    assert_eq!([code.as_str(), &name, &path], ["PH-0101", "city", "geo.city"]);
    assert_eq!(reason, "expected String (a string), found no such field");
}

#[test]
fn an_explicit_null_is_null_and_never_the_default() {
    assert_eq!(
        decode(vec![or(json!(7), column("v", "Nullable(UInt8)"))], br#"{"v":null}"#).expect("null"),
        ["null"]
    );
    assert_eq!(code_of(vec![or(json!(7), column("v", "UInt8"))], br#"{"v":null}"#), "PH-0102");
}

#[test]
fn a_path_through_null_is_missing_and_through_anything_else_refused() {
    let optional = || from("geo.city", column("city", "Nullable(String)"));
    for payload in ["{}", r#"{"geo":null}"#, r#"{"geo":{}}"#, r#"{"geo":{"city":null}}"#] {
        assert_eq!(decode(vec![optional()], payload.as_bytes()).expect(payload), ["null"], "{payload}");
    }
    assert_eq!(decode(vec![or(json!("?"), optional())], br#"{"geo":null}"#).expect("default"), ["?"]);
    assert_eq!(code_of(vec![city()], br#"{"geo":null}"#), "PH-0101");
    for payload in [r#"{"geo":1}"#, r#"{"geo":"x"}"#, r#"{"geo":[{"city":"x"}]}"#, r#"{"geo":false}"#] {
        let [code, name, path, reason] = decode(vec![optional()], payload.as_bytes()).expect_err(payload);
        assert_eq!([code.as_str(), &name, &path], ["PH-0103", "city", "geo"], "{payload}");
        assert!(reason.starts_with("expected an object, found "), "{reason}");
    }
}

#[test]
fn several_columns_may_read_one_value_or_one_inside_another() {
    let columns = || {
        vec![
            column("v", "UInt8"),
            from("v", column("w", "Float64")),
            from("geo", column("all", "Map(String, Nullable(String))")),
            city(),
            from("geo.city", column("town", "LowCardinality(String)")),
        ]
    };
    let row = decode(columns(), br#"{"geo":{"city":"Rome","zip":null},"v":7}"#).expect("a row");
    assert_eq!(row, ["7", "7.0", "{63697479: 526f6d65, 7a6970: null}", "Rome", "Rome"]);
    assert_eq!(code_of(columns(), br#"{"geo":{"city":"Rome"},"v":7.5}"#), "PH-0103");
    assert_eq!(code_of(columns(), br#"{"geo":null,"v":7}"#), "PH-0102");
    assert_eq!(code_of(columns(), br#"{"geo":{"city":"Rome"},"v":7,"v":7}"#), "PH-0109");
    assert_eq!(code_of(columns(), br#"{"geo":{"city":"Rome"},"v":7,"geo":{}}"#), "PH-0109");
}

#[test]
fn a_wanted_key_given_twice_is_refused_and_an_unwanted_one_is_not() {
    let columns = || vec![column("a", "UInt8"), city()];
    for payload in [
        r#"{"a":1,"a":1,"geo":{"city":"x"}}"#,
        r#"{"a":1,"\u0061":1,"geo":{"city":"x"}}"#,
        r#"{"a":1,"geo":{"city":"x","city":"x"}}"#,
        r#"{"a":1,"geo":{"city":"x"},"geo":{"city":"y"}}"#,
        r#"{"a":1,"geo":null,"geo":{"city":"x"}}"#,
    ] {
        assert_eq!(code_of(columns(), payload.as_bytes()), "PH-0109", "{payload}");
    }
    assert!(decode(columns(), br#"{"z":1,"z":2,"a":1,"geo":{"city":"x","z":1,"z":1}}"#).is_ok());
}

#[test]
fn payloads_that_are_no_records_are_told_apart() {
    for (payload, code) in [
        (&b""[..], "PH-0114"),
        (b" ", "PH-0100"),
        (b"\n", "PH-0100"),
        (b"{\"v\":1", "PH-0100"),
        (b"{\"v\":1}}", "PH-0100"),
        (b"{\"v\":1}{\"v\":1}", "PH-0100"),
        (b"{\"v\":1} x", "PH-0100"),
        (b"\xef\xbb\xbf{\"v\":1}", "PH-0100"),
        (b"{v:1}", "PH-0100"),
        (b"{\"v\":01}", "PH-0100"),
        (b"{\"v\":NaN}", "PH-0100"),
        (b"{\"v\":1,}", "PH-0100"),
        (b"{\"v\":1,\"x\":\"\n\"}", "PH-0100"),
        (b"{\"v\":1,\"x\":nul}", "PH-0100"),
        (b"[1,2", "PH-0100"),
        (b"[1,2] 3", "PH-0100"),
        (b"{\"v\":1,\"x\":\"\xff\"}", "PH-0108"),
        (b"{\"v\":1,\"x\":\"\xed\xa0\x80\"}", "PH-0108"),
        (b"\xff", "PH-0108"),
        (b"{\"v\":1,\"x\":\"\\ud800\"}", "PH-0112"),
        (b"{\"v\":1,\"\\udc00\":1}", "PH-0112"),
        (b"[]", "PH-0111"),
        (b"[{\"v\":1}]", "PH-0111"),
        (b" 1 ", "PH-0111"),
        (b"\"{}\"", "PH-0111"),
        (b"null", "PH-0111"),
        (b"true\n", "PH-0111"),
    ] {
        let [found, name, path, reason] = decode(vec![column("v", "UInt8")], payload).expect_err("no record");
        assert_eq!(found, code, "{}: {reason}", payload.escape_ascii());
        assert!(
            !reason.is_empty() && (code == "PH-0112" || (name.is_empty() && path.is_empty())),
            "{name} {path}"
        );
    }
}

#[test]
fn syntax_errors_say_where() {
    for (payload, reason) in [
        (r#"{"v":1"#, "expected `,` or `}`, found the end of the message after 6 bytes"),
        (r#"{"v":1]"#, "expected `,` or `}`, found `]` at byte 6"),
        (r#"{"v" 1}"#, "expected `:` after a key, found 0x31 at byte 5"),
        ("\u{feff}{}", "expected a value, found a byte order mark at byte 0"),
        ("[]", "expected a JSON object, found an array"),
    ] {
        let [.., found] = decode(vec![column("v", "UInt8")], payload.as_bytes()).expect_err(payload);
        assert_eq!(found, reason, "{payload}");
    }
}

#[test]
fn nesting_counts_from_the_record_itself() {
    let nested = |depth: usize| format!(r#"{{"v":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let wanted = || vec![or(json!(1), column("w", "UInt8"))];
    assert!(decode(wanted(), nested(127).as_bytes()).is_ok());
    assert_eq!(code_of(wanted(), nested(128).as_bytes()), "PH-0110");
    // Far too deep is no deeper: nothing here recurses by the sender's will.
    assert_eq!(code_of(wanted(), nested(100_000).as_bytes()), "PH-0110");
}
