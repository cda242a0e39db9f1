//! A table of schemas and columns, and what is said of them.

use serde_json::{Value, json};

use super::*;
use crate::config::parse_with_files;

/// The findings of a stream with these keys: `severity table column path: what`.
fn found(keys: &str, schema: &Value) -> Vec<String> {
    let keys = keys.lines().fold(String::new(), |text, line| format!("{text}    {line}\n"));
    let text = format!(
        "clickhouse: {{ url: \"http://h\" }}\nkafka: {{ brokers: h }}\nstreams:\n  s:\n    from: {{ topic: t }}\n    \
         schema: s.json\n{keys}"
    );
    let settings = parse_with_files("f", &text, &|_| None, &|_| Ok(schema.to_string()));
    let settings = settings.unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"));
    let findings = schema_findings(&settings.streams["s"]);
    let shown = |finding: &Finding| {
        let severity = if finding.severity == Severity::Disagree { "disagree" } else { "note" };
        assert!(!finding.suggestion.is_empty(), "{finding:?}");
        format!("{severity} {}: {}", finding.path, finding.what)
    };
    findings.iter().map(shown).collect()
}

/// The findings of one column `v` and what a schema says of the field, which it requires.
fn of_value(column: &str, schema: &Value) -> Vec<String> {
    let record = json!({ "type": "object", "required": ["v"], "properties": { "v": schema } });
    found(&format!("columns: {{ v: {column} }}\ntable: {{ order_by: tuple() }}"), &record)
}

#[test]
fn what_fits_is_not_spoken_of() {
    for (column, schema) in [
        ("UInt16", json!({ "type": "integer", "minimum": 0, "maximum": 65535 })),
        ("UInt16", json!({ "type": "integer", "minimum": 0, "exclusiveMaximum": 65536 })),
        ("Int64", json!({ "type": "integer" })),
        ("UInt64", json!({ "type": "integer", "minimum": 0 })),
        ("UInt8", json!({ "enum": [1, 2, 255] })),
        ("UInt8", json!({ "type": "number", "multipleOf": 1, "minimum": 1, "maximum": 9 })),
        ("Float64", json!({ "type": "number" })),
        ("Bool", json!({ "const": true })),
        ("\"Nullable(String)\"", json!({ "type": ["string", "null"] })),
        ("\"Nullable(String)\"", json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] })),
        ("\"LowCardinality(Nullable(String))\"", json!({ "type": ["string", "null"] })),
        ("\"Enum8('a', 'b')\"", json!({ "enum": ["a", "b"] })),
        ("UUID", json!({ "type": "string", "format": "uuid" })),
        ("IPv4", json!({ "type": "string", "format": "ipv4" })),
        ("IPv6", json!({ "type": "string", "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }] })),
        ("DateTime64(3)", json!({ "type": "string", "format": "date-time" })),
        ("Date", json!({ "type": "string", "format": "date" })),
        ("{ type: DateTime, epoch: seconds }", json!({ "type": "integer" })),
        ("FixedString(16)", json!({ "type": "string", "maxLength": 4 })),
        (
            "\"Array(UInt8)\"",
            json!({ "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": 9 } }),
        ),
        (
            "\"Map(String, String)\"",
            json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        ),
        ("JSON", json!({ "type": "object" })),
        (
            "\"Tuple(a String, b Nullable(String))\"",
            json!({ "type": "object", "required": ["a"], "properties": { "a": { "type": "string" }, "b": { "type": "string" } } }),
        ),
    ] {
        assert_eq!(of_value(column, &schema), Vec::<String>::new(), "{column} {schema}");
    }
}

#[test]
fn what_never_fits_or_not_always_disagrees() {
    for (column, schema, expected) in [
        ("UInt16", json!({ "type": "string" }), "v: the schema says a text, which is never a `UInt16`"),
        (
            "UInt16",
            json!({ "type": "number", "minimum": 0, "maximum": 9 }),
            "v: the schema allows a number with a fraction as well, which a `UInt16` does not take",
        ),
        (
            "UInt16",
            json!({ "type": "integer", "minimum": 0, "maximum": 65536 }),
            "v: the schema allows 0 to 65536, and a `UInt16` 0 to 65535",
        ),
        ("UInt8", json!({ "enum": [1, 256] }), "v: the schema allows 256, and a `UInt8` ends at 0 and 255"),
        (
            "String",
            json!({ "type": ["string", "null"] }),
            "v: the schema allows null, and the column is `String`",
        ),
        (
            "{ type: String, default: x }",
            json!({ "type": ["string", "null"] }),
            "v: the schema allows null, and the column is `String`",
        ),
        (
            "\"Enum8('a', 'b')\"",
            json!({ "enum": ["a", "c"] }),
            "v: the schema allows `c`, no name of the column's enum",
        ),
        (
            "UUID",
            json!({ "type": "string", "format": "email" }),
            "v: the schema says `format: email`, and the column takes a UUID",
        ),
        (
            "Date",
            json!({ "type": "string", "format": "date-time" }),
            "v: the schema says `format: date-time`, and the column takes a date",
        ),
        (
            "DateTime",
            json!({ "type": "string", "format": "date" }),
            "v: the schema says `format: date`, and the column takes a date with a time",
        ),
        (
            "DateTime",
            json!({ "type": "integer" }),
            "v: the schema says a whole number, which is never a `DateTime`",
        ),
        (
            "FixedString(4)",
            json!({ "type": "string", "maxLength": 5 }),
            "v: the schema allows 5 characters, and the column holds 4 bytes",
        ),
        ("FixedString(4)", json!({ "enum": ["äöü"] }), "v: the schema allows texts of more than 4 bytes"),
        (
            "\"Array(String)\"",
            json!({ "type": "array", "items": { "type": "integer" } }),
            "v[]: the schema says a whole number, which is never a `String`",
        ),
        (
            "\"Map(String, UInt8)\"",
            json!({ "type": "object", "additionalProperties": { "type": "string" } }),
            "v{}: the schema says a text, which is never a `UInt8`",
        ),
        (
            "\"Tuple(a String)\"",
            json!({ "type": "object", "properties": { "a": { "type": "string" } } }),
            "v.a: the schema does not require it, and the element takes no NULL",
        ),
        (
            "\"Nested(a String)\"",
            json!({ "type": "array", "items": { "type": "object", "required": ["a"], "properties": { "a": { "type": "boolean" } } } }),
            "v[].a: the schema says a boolean, which is never a `String`",
        ),
    ] {
        assert_eq!(of_value(column, &schema), [format!("disagree {expected}")], "{column} {schema}");
    }
}

#[test]
fn what_is_left_open_is_a_note() {
    for (column, schema, expected) in [
        (
            "UInt16",
            json!({ "type": "integer" }),
            "v: the schema does not bound it, and a `UInt16` holds 0 to 65535",
        ),
        (
            "UInt64",
            json!({ "type": "integer" }),
            "v: the schema does not bound it, and a `UInt64` holds 0 to 18446744073709551615",
        ),
        ("UUID", json!({ "type": "string" }), "v: the schema allows any text, and the column takes a UUID"),
        (
            "Int64",
            json!({ "type": "string" }),
            "v: the schema allows any text, and the column takes the digits of a whole number",
        ),
        (
            "\"Enum8('a')\"",
            json!({ "type": "string" }),
            "v: the schema allows any text, and the column takes the names of its enum",
        ),
        (
            "FixedString(4)",
            json!({ "type": "string" }),
            "v: the schema allows texts of any length, and the column holds 4 bytes",
        ),
        (
            "FixedString(4)",
            json!({ "type": "string", "maxLength": 2 }),
            "v: the schema counts 2 characters, and the column 4 bytes",
        ),
        ("UInt16", json!({}), "v: the schema does not say its type, and a `UInt16` takes a whole number"),
        (
            "UInt16",
            json!({ "not": { "type": "string" }, "type": ["integer", "string"], "minimum": 0, "maximum": 9 }),
            "v: the schema allows a text as well, which a `UInt16` does not take",
        ),
    ] {
        assert_eq!(of_value(column, &schema), [format!("note {expected}")], "{column} {schema}");
    }
}

#[test]
fn coercion_takes_more() {
    let coerced = |column: &str, schema: Value| {
        let record = json!({ "required": ["v"], "properties": { "v": schema } });
        found(
            &format!("numbers: coerce\ncolumns: {{ v: {column} }}\ntable: {{ order_by: tuple() }}"),
            &record,
        )
    };
    assert_eq!(coerced("String", json!({ "type": ["string", "number", "boolean"] })), Vec::<String>::new());
    assert_eq!(coerced("Float64", json!({ "type": ["string", "number"] })), Vec::<String>::new());
    assert_eq!(
        coerced("UInt16", json!({ "type": "string" })),
        ["note v: the schema allows any text, and the column takes the digits of a whole number"]
    );
}

#[test]
fn a_path_is_followed_through_references_and_what_may_be_missing() {
    let schema = json!({
        "$ref": "#/$defs/event",
        "$defs": {
            "event": {
                "allOf": [{ "required": ["id", "geo", "kind"] }],
                "properties": {
                    "id": { "$ref": "#/$defs/id" },
                    "geo": { "type": ["object", "null"], "required": ["city"], "properties": { "city": { "type": "string" } }, "additionalProperties": false },
                    "kind": { "type": "string" },
                    "self": { "$ref": "#/$defs/event" },
                },
                "additionalProperties": false,
                "type": "object",
            },
            "id": { "type": "integer" },
        },
    });
    let keys = "columns:\n  id: String\n  city: { type: String, from: geo.city }\n  town: { type: String, from: geo.town }\n  \
                gone: { type: Nullable(String), from: gone }\n  deep: { type: String, from: self.self.id, default: none }\n\
                table: { order_by: id }";
    assert_eq!(
        found(keys, &schema),
        [
            "disagree geo.city: the schema does not require it, and the column has neither a default nor NULL",
            "disagree self.self.id: the schema says a whole number, which is never a `String`",
            "disagree id: the schema says a whole number, which is never a `String`",
            "disagree geo.town: the schema lets no record have it, and the column has neither a default nor NULL",
            "note kind: the schema requires it, and no column reads it",
            "note gone: the schema lets no record have it, so the column never holds a value of one",
        ]
    );
}

#[test]
fn a_table_is_compared_with_the_records_that_it_takes() {
    let schema = json!({
        "type": "object",
        "required": ["kind"],
        "oneOf": [
            { "properties": { "kind": { "const": "click" }, "x": { "type": "integer", "minimum": 0, "maximum": 9 } }, "required": ["x"] },
            { "properties": { "kind": { "const": "view" }, "x": { "type": "string" } } },
        ],
    });
    let keys = "columns: { kind: String }\ntables:\n  clicks: { when: { kind: click }, columns: { x: UInt8 }, order_by: kind }\n  \
                views: { when: { kind: { not: click }, x: { exists: true } }, columns: { x: String }, order_by: kind }\n  \
                none: { when: { kind: other }, order_by: kind }\n  rest: { when: otherwise, columns: { x: UInt8 }, order_by: kind }";
    assert_eq!(
        found(keys, &schema),
        [
            "note : no record that satisfies the schema meets its `when`",
            "note x: the schema does not require it, and the column has neither a default nor NULL",
            "note x: the schema says a text, which is never a `UInt8`",
        ]
    );
}

#[test]
fn schemas_that_go_in_circles_or_wide_end() {
    let circle = json!({ "$ref": "#", "anyOf": [{ "$ref": "#" }, { "$ref": "#" }] });
    let _ = found("columns: { v: UInt8 }\ntable: { order_by: v }", &circle);
    let branch = json!({ "anyOf": [{ "minimum": 0 }, { "maximum": 1 }] });
    let wide =
        json!({ "required": ["v"], "properties": { "v": { "type": "string", "allOf": vec![branch; 40] } } });
    assert_eq!(
        found("columns: { v: UInt8 }\ntable: { order_by: v }", &wide),
        ["note v: the schema says a text, which is never a `UInt8`"]
    );
}

#[test]
fn a_stream_that_keeps_unknown_fields_reads_them_all() {
    let schema =
        json!({ "required": ["a", "b"], "properties": { "a": { "type": "string" } }, "type": "object" });
    assert_eq!(
        found(
            "columns: { a: String, rest: JSON }\nunknown_fields: { keep_in: rest }\ntable: { order_by: a }",
            &schema
        ),
        Vec::<String>::new()
    );
    assert_eq!(
        found("columns: { a: String }\ntable: { order_by: a }", &schema),
        ["note b: the schema requires it, and no column reads it"]
    );
}
