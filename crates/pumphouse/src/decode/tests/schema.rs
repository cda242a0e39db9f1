//! Records judged by a JSON Schema before they are decoded.

use serde_json::{Value, json};

use super::{OpenBatch, Pushed, REVISION, TIME, column, record, stream, text};
use crate::config::settings::{JsonSchema, Stream, Values};

fn batch(document: Value) -> OpenBatch {
    let columns = vec![column("a", "Int64"), column("b", "Nullable(String)")];
    let schema = Some(JsonSchema { file: "s.json".to_owned(), document });
    let stream = Stream { schema, ..stream(columns) };
    OpenBatch::new(&stream, REVISION).unwrap_or_else(|error| panic!("{error}"))
}

/// What became of a payload: nothing, or code, path and reason of its dead letter.
fn judged(document: &Value, payload: &str) -> Option<(String, String, String)> {
    let mut batch = batch(document.clone());
    if batch.push(&record(0, 0, payload.as_bytes())) == Pushed::Row {
        return None;
    }
    let letters = batch.seal(TIME).dead_letters.unwrap_or_else(|| panic!("no dead letter for {payload}"));
    assert_eq!(text(&letters, "table", 0), "", "the record as a whole is bad");
    assert_eq!(text(&letters, "payload", 0), payload);
    Some((text(&letters, "code", 0), text(&letters, "path", 0), text(&letters, "reason", 0)))
}

fn of_events() -> Value {
    json!({
        "type": "object",
        "required": ["a"],
        "properties": {
            "a": { "type": "integer", "minimum": 10, "maximum": 20 },
            "b": { "type": "string", "maxLength": 3 },
            "list": { "items": { "properties": { "n": { "enum": ["secret"] } } } },
        },
        "additionalProperties": { "type": "boolean" },
    })
}

#[test]
fn a_record_that_satisfies_its_schema_is_a_row() {
    for payload in
        [r#"{"a":10}"#, r#" {"b":"\u00e9ab","a":20,"x":true} "#, r#"{"a":12,"list":[{"n":"secret"},{}]}"#]
    {
        assert_eq!(judged(&of_events(), payload), None, "{payload}");
    }
}

#[test]
fn a_record_that_fails_its_schema_is_a_dead_letter_with_place_and_rule() {
    for (payload, path, reason) in [
        (
            r#"{"a":9}"#,
            "a",
            "expected what `minimum` asks for at `/properties/a/minimum` of the schema, found a number",
        ),
        (
            r#"{"b":"x"}"#,
            "",
            "expected what `required` asks for at `/required` of the schema, found no field `a`",
        ),
        (
            r#"{"a":12,"b":"hunter2"}"#,
            "b",
            "expected what `maxLength` asks for at `/properties/b/maxLength` of the schema, found a string of 7 bytes",
        ),
        (
            r#"{"a":12,"list":[{},{"n":"hunter2"}]}"#,
            "list[1].n",
            "expected what `enum` asks for at `/properties/list/items/properties/n/enum` of the schema, found a string \
             of 7 bytes",
        ),
        (
            r#"{"a":12,"x":null}"#,
            "x",
            "expected what `type` asks for at `/additionalProperties/type` of the schema, found null",
        ),
    ] {
        let expected = ("PH-0120".to_owned(), path.to_owned(), reason.to_owned());
        assert_eq!(judged(&of_events(), payload), Some(expected), "{payload}");
    }
}

#[test]
fn what_is_no_json_keeps_its_own_code_whatever_the_schema_says() {
    for (payload, code) in [
        ("", "PH-0114"),
        ("{", "PH-0100"),
        ("{\"a\":12}}", "PH-0100"),
        ("{\"a\":01}", "PH-0100"),
        ("[12]", "PH-0111"),
        ("12", "PH-0111"),
        ("12 13", "PH-0100"),
        ("null", "PH-0111"),
        (r#"{"a":12,"x":{"k":1,"k":1}}"#, "PH-0109"),
        (r#"{"a":12,"a":12}"#, "PH-0109"),
        (r#"{"a":12,"x":"\ud800"}"#, "PH-0112"),
    ] {
        for document in [json!(true), of_events()] {
            assert_eq!(judged(&document, payload).map(|(code, ..)| code).as_deref(), Some(code), "{payload}");
        }
    }
    let deep = format!("{{\"a\":12,\"x\":{}{}}}", "[".repeat(200), "]".repeat(200));
    assert_eq!(judged(&json!(true), &deep).map(|(code, ..)| code).as_deref(), Some("PH-0110"));
}

#[test]
fn whole_numbers_of_64_bits_reach_the_schema_to_the_digit() {
    let exactly = |value: u64| json!({ "properties": { "n": { "const": value } } });
    for (value, payload, fits) in [
        (u64::MAX, r#"{"a":1,"n":18446744073709551615}"#, true),
        (u64::MAX, r#"{"a":1,"n":18446744073709551614}"#, false),
        (9_007_199_254_740_993, r#"{"a":1,"n":9007199254740993}"#, true),
        (9_007_199_254_740_993, r#"{"a":1,"n":9007199254740992}"#, false),
    ] {
        assert_eq!(judged(&exactly(value), payload).is_none(), fits, "{payload}");
    }
    let whole = json!({ "properties": { "n": { "type": "integer" } } });
    assert_eq!(
        judged(&whole, r#"{"a":1,"n":1.0}"#),
        None,
        "a number without a fraction is an integer to a schema"
    );
    assert_eq!(judged(&whole, r#"{"a":1,"n":36893488147419103232}"#), None);
    assert!(judged(&whole, r#"{"a":1,"n":1e400}"#).is_some_and(|(code, ..)| code == "PH-0120"));
}

#[test]
fn the_columns_judge_what_the_schema_passed() {
    let mut batch = batch(json!(true));
    batch.push(&record(0, 0, br#"{"a":"x"}"#));
    let letters = batch.seal(TIME).dead_letters.unwrap_or_else(|| panic!("a text is no number"));
    assert_eq!(
        (text(&letters, "code", 0), text(&letters, "table", 0)),
        ("PH-0103".into(), "default.clicks".into())
    );
}

/// A stack that overflows would end the process.
#[test]
fn a_schema_that_refers_to_itself_ends() {
    let tree = json!({ "properties": { "x": { "$ref": "#" } }, "type": "object" });
    let deep = format!("{{\"a\":1,\"x\":{}{}}}", "{\"x\":".repeat(100) + "{}", "}".repeat(100));
    assert_eq!(judged(&tree, &deep), None);
    let circle = json!({ "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } }, "$ref": "#/$defs/a" });
    for document in [json!({ "$ref": "#" }), circle] {
        let _ = judged(&document, r#"{"a":1}"#);
    }
}

/// Each element is judged alone.
#[test]
fn one_bad_element_of_a_message_is_one_dead_letter() {
    let columns = vec![column("a", "Int64")];
    let schema = Some(JsonSchema { file: "s.json".to_owned(), document: of_events() });
    let stream = Stream { schema, values: Values::Array, ..stream(columns) };
    let mut batch = OpenBatch::new(&stream, REVISION).unwrap_or_else(|error| panic!("{error}"));
    batch.push(&record(0, 0, br#"[{"a":11},{"a":1},{"a":12}]"#));
    assert_eq!((batch.rows(), batch.dead_letters()), (2, 1));
}
