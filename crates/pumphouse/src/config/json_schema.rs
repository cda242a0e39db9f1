//! The JSON Schema of the file, for editors, made from the declared keys. Looser than the reader where JSON
//! Schema can't follow: a variable may stand for any single value.

use serde_json::{Map, Value, json};

use super::declared::FILE;
use super::keys::{Fallback, Key, Kind};

/// The JSON Schema (draft 2020-12) of the configuration file.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = section(FILE);
    if let Value::Object(object) = &mut schema {
        object.insert("$schema".to_owned(), Value::from("https://json-schema.org/draft/2020-12/schema"));
        object.insert("title".to_owned(), Value::from("pumphouse.yaml"));
        object.insert("$defs".to_owned(), json!({ "variable": { "type": "string", "pattern": "\\$\\{" } }));
    }
    schema
}

fn section(keys: &[Key]) -> Value {
    let properties: Map<String, Value> =
        keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> =
        keys.iter().filter(|key| matches!(key.fallback, Fallback::Required)).map(|key| key.name).collect();
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if let (Value::Object(object), false) = (&mut schema, required.is_empty()) {
        object.insert("required".to_owned(), json!(required));
    }
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = kind(&key.kind);
    if let Value::Object(object) = &mut schema {
        object.insert("description".to_owned(), Value::from(key.doc));
        if let Fallback::Is(text) = key.fallback {
            object.insert("default".to_owned(), default(text, &key.kind));
        }
    }
    schema
}

fn default(text: &str, kind: &Kind) -> Value {
    match kind {
        Kind::Flag | Kind::Number(..) => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        _ => Value::from(text),
    }
}

fn kind(kind: &Kind) -> Value {
    let single = json!({ "type": ["string", "number", "boolean"] });
    match kind {
        Kind::Section(keys) => section(keys),
        Kind::SectionOrOff(keys) => json!({ "anyOf": [section(keys), { "const": false }] }),
        Kind::Named(_, keys) => named(&section(keys)),
        Kind::Columns(keys) => named(&json!({ "anyOf": [{ "type": "string" }, section(keys)] })),
        Kind::Pairs(_) => named(&single),
        Kind::Curves(_) => named(&curve()),
        Kind::Text | Kind::Secret | Kind::Address | Kind::StartFrom | Kind::ColumnType => {
            json!({ "type": "string" })
        }
        Kind::Texts | Kind::Urls => json!({
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
        }),
        Kind::Flag => or_variable(&json!({ "type": "boolean" })),
        Kind::Choice(choice) => {
            let words: Vec<&str> =
                choice.now.iter().copied().chain(choice.also.iter().map(|(short, _)| *short)).collect();
            or_variable(&json!({ "enum": words }))
        }
        Kind::Number(least, most) => {
            or_variable(&json!({ "type": "integer", "minimum": least, "maximum": most }))
        }
        Kind::NumberOrNull(least, most) => {
            or_variable(&json!({ "type": ["integer", "null"], "minimum": least, "maximum": most }))
        }
        Kind::Duration(..) => or_variable(&json!({ "type": "string", "pattern": "^[0-9_]+ *(ms|s|m|h|d)$" })),
        Kind::Size(least, most) => json!({
            "anyOf": [
                { "type": "integer", "minimum": least, "maximum": most },
                { "type": "string", "pattern": "^[0-9_]+ *([kKmMgGtT][iI]?)?[bB]?$" },
                { "$ref": "#/$defs/variable" },
            ],
        }),
        Kind::Json => json!({}),
        Kind::TextOrNull => json!({ "type": ["string", "null"] }),
        Kind::WordOr(word, keys) => {
            json!({ "anyOf": [or_variable(&json!({ "const": word })), section(keys)] })
        }
        Kind::When => json!({ "anyOf": [or_variable(&json!({ "const": "otherwise" })), when(&single)] }),
    }
}

/// Points: a value at each rate.
fn curve() -> Value {
    json!({
        "type": "object",
        "patternProperties": { "^[0-9_]+$": or_variable(&json!({ "type": "integer", "minimum": 0 })) },
        "additionalProperties": false,
        "minProperties": 1,
    })
}

/// Conditions: what is asked of each field.
fn when(single: &Value) -> Value {
    let any_of = json!({ "anyOf": [single, { "type": "array", "items": single, "minItems": 1 }] });
    let exists = or_variable(&json!({ "type": "boolean" }));
    let asked = json!({
        "type": "object",
        "properties": { "not": any_of, "exists": exists },
        "additionalProperties": false,
        "minProperties": 1,
    });
    let mut fields = named(&json!({ "anyOf": [any_of, asked] }));
    if let Value::Object(object) = &mut fields {
        object.insert("minProperties".to_owned(), Value::from(1));
    }
    fields
}

fn named(each: &Value) -> Value {
    json!({ "type": "object", "additionalProperties": each })
}

fn or_variable(schema: &Value) -> Value {
    json!({ "anyOf": [schema, { "$ref": "#/$defs/variable" }] })
}
