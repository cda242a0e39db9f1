//! The decoder as a whole, by what goes in and what comes out. What only one file decides is tested there.

mod again;
mod batch;
mod coerce;
mod composites;
mod differential;
mod routing;
mod scalars;
mod schema;
mod shape;
mod values;

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};

use super::{NoHeaders, OpenBatch, Pushed, Record, Sealed};
use crate::config::settings::{Column, EpochUnit, Stream, Table};

const REVISION: &str = "0123456789ab";
const TIME: i64 = 1_709_209_800_001;

fn column(name: &str, column_type: &str) -> Column {
    Column {
        name: name.to_owned(),
        column_type: column_type.parse().expect(column_type),
        from: vec![name.to_owned()],
        default: None,
        epoch: None,
    }
}

fn from(path: &str, column: Column) -> Column {
    Column { from: path.split('.').map(str::to_owned).collect(), ..column }
}

fn or(default: serde_json::Value, column: Column) -> Column {
    Column { default: Some(default), ..column }
}

fn in_unit(unit: EpochUnit, column: Column) -> Column {
    Column { epoch: Some(unit), ..column }
}

fn stream(columns: Vec<Column>) -> Stream {
    let table = Table::of_columns("default", "clicks", columns);
    Stream { name: "clicks".to_owned(), ..Stream::into_tables("app.clicks", vec![table]) }
}

fn batch(columns: Vec<Column>) -> OpenBatch {
    OpenBatch::new(&stream(columns), REVISION).expect("columns that can be filled")
}

fn record(partition: u32, offset: u64, payload: &[u8]) -> Record<'_> {
    Record { partition, offset, timestamp_ms: None, key: None, payload: Some(payload), headers: &NoHeaders }
}

/// What a verdict says: code, column, path and reason.
type Refused = [String; 4];

/// What one payload becomes: the declared columns as text, or the verdict.
fn decode(columns: Vec<Column>, payload: &[u8]) -> Result<Vec<String>, Refused> {
    let declared = columns.len();
    let mut batch = batch(columns);
    let pushed = batch.push(&record(0, 0, payload));
    let sealed = batch.seal(TIME);
    let dead_letters = sealed.dead_letters.clone();
    match (pushed, rows_of(sealed), dead_letters) {
        (Pushed::Row, Some(rows), None) => Ok((0..declared).map(|column| shown(&rows, column, 0)).collect()),
        (Pushed::DeadLetter, None, Some(letters)) => {
            Err(["code", "column", "path", "reason"].map(|name| text(&letters, name, 0)))
        }
        (pushed, rows, letters) => panic!("{pushed:?} left rows {rows:?} and letters {letters:?}"),
    }
}

/// What one value becomes in a column of this type.
fn decode_value(column_type: &str, json: &str) -> Result<String, Refused> {
    decode(vec![column("v", column_type)], format!(r#"{{"v":{json}}}"#).as_bytes()).map(|row| row.concat())
}

/// The rows of the only table.
fn rows_of(sealed: Sealed) -> Option<RecordBatch> {
    sealed.tables.into_iter().next().flatten()
}

/// A cell as Arrow displays it; bytes as text, null as such.
fn shown(rows: &RecordBatch, column: usize, row: usize) -> String {
    let array = rows.column(column);
    let (texts, at) = match array.as_any_dictionary_opt() {
        Some(dictionary) if array.is_valid(row) => (dictionary.values(), dictionary.normalized_keys()[row]),
        _ => (array, row),
    };
    if let Some(bytes) = texts.as_binary_opt::<i32>().filter(|bytes| bytes.is_valid(at)) {
        return String::from_utf8(bytes.value(at).to_vec()).expect("valid text");
    }
    let options = FormatOptions::default().with_null("null");
    ArrayFormatter::try_new(array, &options).expect("a type that Arrow displays").value(row).to_string()
}

fn text(rows: &RecordBatch, column: &str, row: usize) -> String {
    let array = rows.column_by_name(column).expect(column).as_binary::<i32>();
    String::from_utf8(array.value(row).to_vec()).expect("valid text")
}
