//! The JSON Schema that a stream names: read, and refused where it could not judge a record. Does not know the
//! columns; `schema_fit` compares both.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

use super::scalar::Wrong;

/// Gives the text of a file that the configuration names, or why there is none.
pub type Files<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Steps that a pattern may take on one text before the record fails it: patterns that look around or back can take
/// ages over a text made for it.
const PATTERN_STEPS_MAX: usize = 100_000;
/// Characters of what is wrong with a schema that are shown.
const WHAT_CHARS_MAX: usize = 200;

/// Reads a schema.
pub(super) fn read(file: &str, files: Files<'_>) -> Result<Value, Wrong> {
    let text = files(file).map_err(|why| {
        Wrong::new(format!("can't be read: {why}"), "name a file from where the configuration is")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let document: Value = serde_json::from_str(text).map_err(|error| {
        let what = format!("is not JSON: line {}, column {}", error.line(), error.column());
        Wrong::new(what, "a schema is one JSON document")
    })?;
    validator(&document).map_err(|what| {
        Wrong::new(
            format!("is not a schema: {what}"),
            "correct it, or remove `schema` to judge by the columns alone",
        )
    })?;
    Ok(document)
}

/// What judges records by a schema. Fetches nothing: a schema has to say all it means in one document.
///
/// # Errors
/// What is wrong with the schema, and where in it.
pub(crate) fn validator(document: &Value) -> Result<Validator, String> {
    let patterns = PatternOptions::fancy_regex().backtrack_limit(PATTERN_STEPS_MAX);
    let options = jsonschema::options().offline().with_pattern_options(patterns);
    options.build(document).map_err(|error| what_is_wrong(&error))
}

fn what_is_wrong(error: &ValidationError<'_>) -> String {
    let what = match error.kind() {
        ValidationErrorKind::Referencing(error) => {
            format!("a `$ref` leads nowhere in this file, and others are not fetched: {error}")
        }
        _ => format!("at `{}`: {error}", error.instance_path()),
    };
    what.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WHAT_CHARS_MAX).collect()
}
