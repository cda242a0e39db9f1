//! The JSON Schema that a stream names: read, and refused where it could not judge a record. Does not know the
//! columns; `schema_fit` compares both.

use serde_json::Value;

use super::scalar::Wrong;

/// Gives the text of a file that the configuration names, or why there is none.
pub type Files<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Reads a schema.
pub(super) fn read(file: &str, files: Files<'_>) -> Result<Value, Wrong> {
    let text = files(file).map_err(|why| {
        Wrong::new(format!("can't be read: {why}"), "name a file from where the configuration is")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    serde_json::from_str(text).map_err(|error| {
        let what = format!("is not JSON, at line {} column {}", error.line(), error.column());
        Wrong::new(what, "a schema is one JSON document")
    })
}
