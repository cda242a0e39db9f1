//! The rollups of a table as written. Checks names and the time bucket against the columns; what an aggregate
//! expression means is for the server to say.

use std::collections::BTreeMap;

use pumphouse_clickhouse::ddl::ROLLUP_ROWS;
use pumphouse_core::schema::ColumnType;

use super::column::is_identifier;
use super::keys;
use super::said::{Entry, Said};
use super::scalar::Wrong;
use super::settings::{Column, Rollup};
use super::walk::{Section, Walk};

/// Reads `rollups` of a stream or of one of its tables; the columns are `None` where they are wrong themselves.
pub(super) fn read_all(stream: &Section<'_>, columns: Option<&[Column]>) -> Option<BTreeMap<String, Rollup>> {
    let entries = stream.entries("rollups")?;
    let path = stream.key_path("rollups");
    let rollups: Vec<_> = entries.iter().map(|entry| read(entry, &path, stream, columns)).collect();
    rollups.into_iter().map(|rollup| rollup.map(|rollup| (rollup.name.clone(), rollup))).collect()
}

fn read(entry: &Entry, above: &str, stream: &Section<'_>, columns: Option<&[Column]>) -> Option<Rollup> {
    let path = Walk::join(above, &entry.name);
    if !is_identifier(&entry.name) {
        stream.walk.mistake(
            entry.place,
            &path,
            "is not a name a view can have",
            "use letters, digits and `_`",
        );
    }
    let rollup =
        Section::open(stream.walk, path, entry.place, Some(&entry.node), super::declared_stream::ROLLUP)?;
    let every = every(&rollup, columns);
    let dimensions = dimensions(&rollup, columns);
    let metrics = metrics(&rollup);
    let (every, time) = every?;
    let (dimensions, metrics) = (dimensions?, metrics?);
    let taken = |name: &str| name == time || dimensions.iter().any(|dimension| dimension == name);
    if let Some((name, _)) = metrics.iter().find(|(name, _)| taken(name)) {
        let (place, path) = (rollup.place_of("metrics"), Walk::join(&rollup.key_path("metrics"), name));
        rollup.walk.mistake(place, &path, "is also the time or a dimension", "give the metric another name");
        return None;
    }
    if taken(ROLLUP_ROWS) || metrics.iter().any(|(name, _)| name == ROLLUP_ROWS) {
        let what = format!("`{ROLLUP_ROWS}` is where a rollup counts its own rows");
        rollup.walk.mistake(entry.place, &rollup.key_path("metrics"), what, "use another name");
        return None;
    }
    Some(Rollup { name: entry.name.clone(), every, time, dimensions, metrics })
}

const UNITS: [&str; 8] = ["second", "minute", "hour", "day", "week", "month", "quarter", "year"];

/// `1 minute of ts` to (`1 minute`, `ts`).
fn every(rollup: &Section<'_>, columns: Option<&[Column]>) -> Option<(String, String)> {
    let text = rollup.text("every")?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let parsed = match words.as_slice() {
        [number, unit, "of", column] => number
            .parse::<u32>()
            .ok()
            .filter(|number| *number > 0)
            .zip(UNITS.into_iter().find(|name| unit.strip_suffix('s').unwrap_or(unit) == *name))
            .map(|(number, unit)| (number, unit, *column)),
        _ => None,
    };
    let Some((number, unit, column)) = parsed else {
        let suggestion = "write `1 minute of ts`: a number, second to year, and a column";
        rollup.wrong("every", "is not a width of time and a column", suggestion);
        return None;
    };
    if let Some(columns) = columns {
        let found = columns.iter().find(|candidate| candidate.name == column);
        let wrong = match found.map(|column| &column.column_type) {
            None => Some(("names no column of this table", suggested(column, columns))),
            Some(ColumnType::DateTime { .. } | ColumnType::DateTime64 { .. }) => None,
            Some(ColumnType::Date | ColumnType::Date32) if !matches!(unit, "second" | "minute" | "hour") => {
                None
            }
            Some(ColumnType::Date | ColumnType::Date32) => {
                Some(("divides a date, which has no time of day", "use a day or more".to_owned()))
            }
            Some(_) => Some((
                "names a column that is no date or time",
                "name a `DateTime` or `DateTime64`".to_owned(),
            )),
        };
        if let Some((what, suggestion)) = wrong {
            rollup.wrong("every", what, suggestion);
            return None;
        }
    }
    Some((format!("{number} {unit}"), column.to_owned()))
}

fn suggested(name: &str, columns: &[Column]) -> String {
    keys::nearest(name, columns.iter().map(|column| column.name.as_str()))
        .map_or_else(|| "name one of `columns`".to_owned(), |near| format!("did you mean `{near}`?"))
}

fn dimensions(rollup: &Section<'_>, columns: Option<&[Column]>) -> Option<Vec<String>> {
    if !rollup.is_set("dimensions")
        || matches!(rollup.node("dimensions").map(|node| &node.said), Some(Said::List(list)) if list.is_empty())
    {
        return Some(Vec::new());
    }
    let texts = rollup.texts("dimensions")?;
    let path = rollup.key_path("dimensions");
    let mut names: Vec<String> = Vec::new();
    for (text, place) in texts {
        let name = text.text.trim();
        let twice = names.iter().any(|other| other == name);
        let wrong = if twice {
            Some(Wrong::new("is named twice", "name each dimension once"))
        } else {
            columns.and_then(|columns| no_dimension(name, columns))
        };
        if let Some(wrong) = wrong {
            rollup.walk.wrong_value(place, &path, text, wrong);
        }
        names.push(name.to_owned());
    }
    Some(names)
}

/// Dimensions are the sorting key of the rollup's table.
fn no_dimension(name: &str, columns: &[Column]) -> Option<Wrong> {
    let Some(column) = columns.iter().find(|column| column.name == name) else {
        return Some(Wrong::new("is no column of this table", suggested(name, columns)));
    };
    if column.column_type.is_nullable() {
        let suggestion = "give the column a `default` instead of a Nullable type";
        return Some(Wrong::new("is Nullable, and a sorting key can't hold NULL", suggestion));
    }
    let is_composite = matches!(
        column.column_type,
        ColumnType::Array(_)
            | ColumnType::Map(..)
            | ColumnType::Tuple(_)
            | ColumnType::Nested(_)
            | ColumnType::Json(_)
    );
    let what = format!("is of type `{}`, which rows can't be grouped by", column.column_type);
    is_composite.then(|| Wrong::new(what, "name another column"))
}

fn metrics(rollup: &Section<'_>) -> Option<Vec<(String, String)>> {
    let entries = rollup.entries("metrics")?;
    let path = rollup.key_path("metrics");
    if entries.is_empty() && rollup.is_set("metrics") {
        let place = rollup.place_of("metrics");
        rollup.walk.mistake(place, &path, "no metric", "add one, such as `requests: count()`");
        return None;
    }
    let mut metrics = Vec::new();
    for entry in entries {
        let path = Walk::join(&path, &entry.name);
        if !is_identifier(&entry.name) {
            rollup.walk.mistake(
                entry.place,
                &path,
                "is not a name a column can have",
                "use letters, digits and `_`",
            );
        }
        match &entry.node.said {
            Said::Text(text) if !text.text.trim().is_empty() => {
                metrics.push((entry.name.clone(), text.text.trim().to_owned()));
            }
            Said::Broken => return None,
            other => {
                let what = format!("expected an aggregate expression, found {}", other.noun());
                rollup.walk.mistake(
                    entry.place,
                    &path,
                    what,
                    format!("for example `{}: count()`", entry.name),
                );
            }
        }
    }
    Some(metrics)
}
