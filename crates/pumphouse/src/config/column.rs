//! One column as written: its type, its path into the record, its default, its unit of time. Does not know the
//! other columns or the table.

use pumphouse_core::schema::{ColumnType, UnknownType};

use super::column_default;
use super::declared_stream::COLUMN;
use super::keys;
use super::said::{Entry, Place, Said, Scalar};
use super::scalar::Wrong;
use super::settings::{Column, EpochUnit};
use super::walk::{Section, Walk};

/// Reads `name: Type` or `name: { type: Type, … }`.
pub(super) fn read(entry: &Entry, above: &str, walk: &Walk<'_>) -> Option<Column> {
    let path = Walk::join(above, &entry.name);
    let named = tell_name(&entry.name, entry.place, &path, walk);
    let column = match &entry.node.said {
        Said::Text(text) => {
            let column_type = column_type(text, entry.node.place, &path, walk)?;
            let from = vec![entry.name.clone()];
            Some(Column { name: entry.name.clone(), column_type, from, default: None, epoch: None })
        }
        Said::Map(_) => from_map(entry, &path, walk),
        Said::Broken => None,
        Said::Nothing | Said::List(_) => {
            let what = format!("expected a type or a map, found {}", entry.node.said.noun());
            walk.mistake(entry.place, &path, what, format!("for example `{}: String`", entry.name));
            None
        }
    };
    column.filter(|_| named)
}

fn from_map(entry: &Entry, path: &str, walk: &Walk<'_>) -> Option<Column> {
    let section = Section::open(walk, path.to_owned(), entry.place, Some(&entry.node), COLUMN)?;
    let from = match section.texts("from") {
        Some(texts) => record_path(&texts, &section)?,
        None => vec![entry.name.clone()],
    };
    let epoch = section.choice("epoch").map(epoch_unit);
    let node = section.node("type")?;
    let Said::Text(text) = &node.said else {
        if !matches!(node.said, Said::Broken) {
            let what = format!("expected a ClickHouse type, found {}", node.said.noun());
            walk.mistake(
                section.place_of("type"),
                &section.key_path("type"),
                what,
                "for example `type: String`",
            );
        }
        return None;
    };
    let column_type = column_type(text, node.place, &section.key_path("type"), walk)?;
    if epoch.is_some() && !holds_time(&column_type) {
        let what = format!("`{column_type}` holds no date or time that a number could stand for");
        walk.mistake(section.place_of("epoch"), &section.key_path("epoch"), what, "remove `epoch`");
    }
    let default = match section.node("default") {
        Some(node) => Some(column_default::read(node, &column_type, epoch, &section)?),
        None => None,
    };
    Some(Column { name: entry.name.clone(), column_type, from, default, epoch })
}

fn epoch_unit(word: &str) -> EpochUnit {
    match word {
        "seconds" => EpochUnit::Seconds,
        "milliseconds" => EpochUnit::Milliseconds,
        "microseconds" => EpochUnit::Microseconds,
        _ => EpochUnit::Nanoseconds,
    }
}

/// A text is a path with dots; a list is a path with one name each.
fn record_path(texts: &[(&Scalar, Place)], section: &Section<'_>) -> Option<Vec<String>> {
    let node = section.node("from")?;
    let parts: Vec<String> = match &node.said {
        Said::List(_) => texts.iter().map(|(text, _)| text.text.clone()).collect(),
        _ => texts.iter().flat_map(|(text, _)| text.text.split('.').map(str::to_owned)).collect(),
    };
    if parts.iter().any(|part| part.trim().is_empty()) {
        let suggestion = "write the names of the fields with a dot between, such as `geo.city`";
        section.walk.mistake(
            node.place,
            &section.key_path("from"),
            "a part of the path is empty",
            suggestion,
        );
        return None;
    }
    Some(parts)
}

/// Whether the name can stand in a table without quoting.
fn tell_name(name: &str, place: Place, path: &str, walk: &Walk<'_>) -> bool {
    let fine = is_identifier(name);
    if !fine {
        let suggestion = "name it with letters, digits and `_`, and read the field by `from`";
        walk.mistake(place, path, "is not a name a column can have", suggestion);
    }
    fine
}

/// A name of letters, digits and `_` that does not begin with a digit.
pub(super) fn is_identifier(name: &str) -> bool {
    name.len() <= 120
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn column_type(text: &Scalar, place: Place, path: &str, walk: &Walk<'_>) -> Option<ColumnType> {
    let wrong = match text.text.parse::<ColumnType>() {
        Ok(column_type) => match unknown_zone(&column_type) {
            None => return Some(column_type),
            Some(_) => Wrong::new(
                "names a time zone that is not known here",
                "write an IANA name such as `'Europe/Berlin'`",
            ),
        },
        Err(UnknownType::Name(name)) => {
            Wrong::new("is not a type that pumphouse writes", suggested_type(&name))
        }
        Err(UnknownType::Arguments { name, expected }) => {
            Wrong::new(format!("is not a type: `{name}` takes {expected}"), "")
        }
        Err(UnknownType::Nesting { outer, inner }) => {
            let suggestion = match (outer, inner.as_str()) {
                ("Nullable", inner) if inner.starts_with("LowCardinality") => {
                    "write `LowCardinality(Nullable(String))`"
                }
                ("Nullable", _) => {
                    "remove `Nullable`; an absent array, map or tuple is written by a `default`"
                }
                ("LowCardinality", _) => {
                    "`LowCardinality` holds `String`, `FixedString(N)` or `UUID`, or one of them in `Nullable`"
                }
                _ => "",
            };
            Wrong::new(format!("is not a type: `{outer}` can't hold `{inner}`"), suggestion)
        }
    };
    walk.wrong_value(place, path, text, wrong);
    None
}

/// Names that other systems, or other versions, use for a type.
const OTHER_NAMES: [(&str, &str); 22] = [
    ("int", "Int32` or `Int64"),
    ("integer", "Int32` or `Int64"),
    ("bigint", "Int64"),
    ("smallint", "Int16"),
    ("long", "Int64"),
    ("float", "Float64"),
    ("double", "Float64"),
    ("real", "Float32"),
    ("number", "Float64` or `Int64"),
    ("numeric", "Decimal(38, 10)"),
    ("decimal", "Decimal(38, 10)"),
    ("text", "String"),
    ("varchar", "String"),
    ("char", "String"),
    ("str", "String"),
    ("boolean", "Bool"),
    ("timestamp", "DateTime64(3)"),
    ("timestamptz", "DateTime64(3, 'UTC')"),
    ("object", "Map(String, String)"),
    ("lowcardinality", "LowCardinality(String)"),
    ("nullable", "Nullable(String)"),
    ("array", "Array(String)"),
];

/// Types of ClickHouse that pumphouse does not write yet, with the nearest it does.
const LATER_TYPES: [(&str, &str); 3] = [("Object", "JSON"), ("Variant", "String"), ("Dynamic", "String")];

fn suggested_type(written: &str) -> String {
    let name = written.split('(').next().unwrap_or(written).trim();
    if let Some((_, near)) = LATER_TYPES.iter().find(|(later, _)| *later == name) {
        return format!("ClickHouse has it, this version of pumphouse does not write it; use `{near}`");
    }
    if written.contains('(') && ColumnType::NAMES.contains(&name) {
        return "look for a parenthesis or a quote that is missing".to_owned();
    }
    let lower = name.to_lowercase();
    if let Some((_, meant)) = OTHER_NAMES.iter().find(|(other, _)| *other == lower) {
        return format!("did you mean `{meant}`?");
    }
    match keys::nearest(name, ColumnType::NAMES) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the types are {}", ColumnType::NAMES.join(", ")),
    }
}

/// The zone in a type that this machine's time zones do not have. Without any time zones here, none is doubted.
fn unknown_zone(column_type: &ColumnType) -> Option<&str> {
    match column_type {
        ColumnType::DateTime { zone: Some(zone) } | ColumnType::DateTime64 { zone: Some(zone), .. } => {
            let zones = jiff::tz::db();
            (!zones.is_definitively_empty() && zones.get(zone).is_err()).then_some(zone)
        }
        ColumnType::LowCardinality(inner) | ColumnType::Nullable(inner) | ColumnType::Array(inner) => {
            unknown_zone(inner)
        }
        ColumnType::Map(key, value) => unknown_zone(key).or_else(|| unknown_zone(value)),
        ColumnType::Tuple(elements) => elements.iter().find_map(|(_, of)| unknown_zone(of)),
        ColumnType::Nested(elements) => elements.iter().find_map(|(_, of)| unknown_zone(of)),
        _ => None,
    }
}

/// Whether a date or time stands anywhere in the type.
fn holds_time(column_type: &ColumnType) -> bool {
    match column_type {
        ColumnType::Date
        | ColumnType::Date32
        | ColumnType::DateTime { .. }
        | ColumnType::DateTime64 { .. } => true,
        ColumnType::LowCardinality(inner) | ColumnType::Nullable(inner) | ColumnType::Array(inner) => {
            holds_time(inner)
        }
        ColumnType::Map(key, value) => holds_time(key) || holds_time(value),
        ColumnType::Tuple(elements) => elements.iter().any(|(_, of)| holds_time(of)),
        ColumnType::Nested(elements) => elements.iter().any(|(_, of)| holds_time(of)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_or_foreign_type_gets_a_suggestion() {
        for (written, suggestion) in [
            ("Uint64", "did you mean `UInt64`?"),
            ("string", "did you mean `String`?"),
            ("varchar(255)", "did you mean `String`?"),
            ("Datetime", "did you mean `DateTime`?"),
            ("timestamp", "did you mean `DateTime64(3)`?"),
            ("Array(String", "look for a parenthesis or a quote that is missing"),
            ("UIUD", "did you mean `UUID`?"),
        ] {
            let Err(UnknownType::Name(name)) = written.parse::<ColumnType>() else { panic!("{written}") };
            assert_eq!(suggested_type(&name), suggestion, "{written}");
        }
        assert!(suggested_type("Variant(String)").contains("does not write it"));
        assert!(suggested_type("Geometry").contains("the types are"));
    }

    #[test]
    fn every_later_type_is_truly_not_written_yet() {
        for (name, near) in LATER_TYPES {
            assert!(name.parse::<ColumnType>().is_err(), "{name} is written now: take it from the list");
            for near in near.split("` or `") {
                assert!(near.parse::<ColumnType>().is_ok(), "{near}");
            }
        }
        for (_, meant) in OTHER_NAMES {
            assert!(meant.split("` or `").all(|near| near.parse::<ColumnType>().is_ok()), "{meant}");
        }
    }
}
