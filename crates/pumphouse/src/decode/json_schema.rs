//! Whether a record satisfies the JSON Schema declared for its stream. Reads the whole record, other fields than the
//! columns' as well, and keeps nothing of it. What a column holds is decided afterwards, by the column.
//!
//! What the schema sees: texts and whole numbers of up to 64 bits as they are; any other number as the double nearest
//! to it. What it could see in more than one way is refused here, wherever it stands: a key given twice, half of a
//! surrogate pair, a number past the largest double.

use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{ValidationError, Validator};
use serde_json::{Map, Number, Value};

use super::json::Reader;
use super::reject::{Code, Fault};
use crate::config;
use crate::config::settings::JsonSchema;

/// Characters of a place in the schema that a reason shows.
const PLACE_CHARS_MAX: usize = 120;

/// The schema of a stream.
pub(super) struct Schema {
    validator: Validator,
}

impl Schema {
    /// Prepares a schema; the text says why it is none.
    pub(super) fn new(schema: &JsonSchema) -> Result<Self, String> {
        config::validator(&schema.document).map(|validator| Self { validator })
    }

    /// Passes a record, which is valid UTF-8, if it satisfies the schema.
    pub(super) fn judge(&self, payload: &[u8], scratch: &mut Vec<u8>) -> Result<(), Fault> {
        let mut reader = Reader::new(payload, std::mem::take(scratch));
        let read = record(&mut reader);
        *scratch = reader.into_scratch();
        let record = read?;
        // Saying yes or no is cheaper than saying why, and nearly every record is fine.
        if self.validator.is_valid(&record) {
            return Ok(());
        }
        self.validator.validate(&record).map_err(|error| failed(&error))
    }
}

fn record(reader: &mut Reader<'_>) -> Result<Value, Fault> {
    reader.skip_space();
    if reader.peek() != b'{' {
        return Err(no_object(reader));
    }
    let value = object(reader)?;
    reader.end()?;
    Ok(value)
}

#[cold]
fn no_object(reader: &mut Reader<'_>) -> Fault {
    let fault = reader.misfit();
    match (fault.code(), reader.end()) {
        (Code::WrongType | Code::Null, Ok(())) => fault.recoded(Code::NotAnObject, "a JSON object"),
        (Code::WrongType | Code::Null, Err(more)) => more,
        _ => fault,
    }
}

fn value(reader: &mut Reader<'_>) -> Result<Value, Fault> {
    match reader.peek() {
        b'{' => object(reader),
        b'[' => array(reader),
        b'"' => Ok(Value::String(String::from_utf8_lossy(reader.text()?).into_owned())),
        b't' => reader.literal("true").map(|()| Value::Bool(true)),
        b'f' => reader.literal("false").map(|()| Value::Bool(false)),
        b'n' => reader.literal("null").map(|()| Value::Null),
        _ => number(reader),
    }
}

fn object(reader: &mut Reader<'_>) -> Result<Value, Fault> {
    let mut fields = Map::new();
    reader.enter()?;
    if reader.peek() == b'}' {
        reader.leave();
        return Ok(Value::Object(fields));
    }
    loop {
        if reader.peek() != b'"' {
            return Err(reader.unexpected("a key in quotes"));
        }
        let key = String::from_utf8_lossy(reader.text()?).into_owned();
        reader.colon()?;
        let field = value(reader).map_err(|fault| fault.within(key.as_bytes()))?;
        if fields.contains_key(&key) {
            let fault = Fault::expecting(Code::KeyTwice, "each key once", "the same key again");
            return Err(fault.within(key.as_bytes()));
        }
        fields.insert(key, field);
        if !reader.another(b'}')? {
            return Ok(Value::Object(fields));
        }
    }
}

fn array(reader: &mut Reader<'_>) -> Result<Value, Fault> {
    let mut elements = Vec::new();
    reader.enter()?;
    if reader.peek() == b']' {
        reader.leave();
        return Ok(Value::Array(elements));
    }
    loop {
        let index = elements.len();
        elements.push(value(reader).map_err(|fault| fault.inside(index))?);
        if !reader.another(b']')? {
            return Ok(Value::Array(elements));
        }
    }
}

fn number(reader: &mut Reader<'_>) -> Result<Value, Fault> {
    let number = reader.number()?;
    let text = String::from_utf8_lossy(number.text);
    let whole =
        || text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from)).ok();
    let double = || text.parse::<f64>().ok().and_then(Number::from_f64);
    let read = if number.is_whole { whole().or_else(double) } else { double() };
    read.map(Value::Number).ok_or_else(|| {
        let found = format!("a number of {} characters past it", text.len());
        Fault::expecting(Code::SchemaFailed, "a number up to the largest double", found)
    })
}

/// The fault of a record that breaks a rule: the place in it, the rule, and no contents.
#[cold]
fn failed(error: &ValidationError<'_>) -> Fault {
    let rule = error.kind().keyword();
    let place: String = error.schema_path().as_str().chars().take(PLACE_CHARS_MAX).collect();
    let expected = format!("what `{rule}` asks for at `{place}` of the schema");
    let fault = Fault::expecting(Code::SchemaFailed, expected, found(error));
    at(fault, error.instance_path())
}

fn at(fault: Fault, place: &Location) -> Fault {
    let segments: Vec<_> = place.segments().collect();
    segments.iter().rev().fold(fault, |fault, segment| match segment {
        LocationSegment::Property(name) => fault.within(name.as_bytes()),
        LocationSegment::Index(index) => fault.inside(*index),
    })
}

/// What stands there, by kind and size. A missing field is named by the schema, not by the record.
fn found(error: &ValidationError<'_>) -> String {
    match (error.kind(), error.instance().as_ref()) {
        (ValidationErrorKind::Required { property: Value::String(name) }, _) => {
            format!("no field `{}`", name.chars().take(PLACE_CHARS_MAX).collect::<String>())
        }
        (ValidationErrorKind::AdditionalProperties { unexpected }, _) => {
            format!("{} it does not name", count(unexpected.len(), "field"))
        }
        (_, Value::Null) => "null".to_owned(),
        (_, Value::Bool(_)) => "a Boolean".to_owned(),
        (_, Value::Number(_)) => "a number".to_owned(),
        (_, Value::String(text)) => format!("a string of {}", count(text.len(), "byte")),
        (_, Value::Array(elements)) => format!("an array of {}", count(elements.len(), "element")),
        (_, Value::Object(fields)) => format!("an object of {}", count(fields.len(), "field")),
    }
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
