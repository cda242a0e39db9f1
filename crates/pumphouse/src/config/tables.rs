//! The tables of a stream as written: one in the short form, several by name in the long one; and what must hold
//! among them. Does not know the tables of other streams.

use std::collections::{BTreeMap, BTreeSet};

use pumphouse_core::schema::ColumnType;

use super::column;
use super::condition;
use super::declared_stream::{KEEP_IN, TABLES};
use super::keys;
use super::rate_settings;
use super::rollup;
use super::said::{Entry, Place, Said};
use super::scalar::Wrong;
use super::settings::{Column, Condition, Matches, Table, When};
use super::walk::{Section, Told, Walk};

/// Tables that a stream may have: as many as a set of them has bits.
const TABLES_MAX: usize = 64;
/// Conditions on one field, for the same reason.
const CONDITIONS_MAX: usize = 64;

/// What a stream's tables take from around them.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    /// The stream's name.
    pub stream: &'a str,
    /// The database of tables that name none.
    pub database: &'a str,
    /// The lineage columns by their keys; `None` where they are wrong themselves.
    pub lineage: Option<&'a [(&'static str, String)]>,
}

/// Reads `table` or `tables` of a stream. `None` after a mistake was told.
pub(super) fn read(stream: &Section<'_>, given: Given<'_>) -> Option<Vec<Table>> {
    let columns = columns(stream, given);
    let unknown = unknown_fields(stream);
    if !stream.is_set("tables") {
        return short_form(stream, given, columns, &unknown).map(|table| vec![table]);
    }
    for key in ["table", "rollups"].into_iter().filter(|key| stream.is_set(key)) {
        let (place, path) = (stream.place_of(key), stream.key_path(key));
        stream.walk.mistake(
            place,
            &path,
            "stands beside `tables`",
            "move it into one of `tables`, or remove it",
        );
    }
    let entries = stream.entries("tables")?;
    let (place, path) = (stream.place_of("tables"), stream.key_path("tables"));
    if entries.is_empty() || entries.len() > TABLES_MAX {
        let (what, suggestion) = if entries.is_empty() {
            ("no table".to_owned(), "add one: a name with `order_by` and `columns`")
        } else {
            (
                format!("{} tables; a stream feeds at most {TABLES_MAX}", entries.len()),
                "make two streams of it",
            )
        };
        stream.walk.mistake(place, &path, what, suggestion);
        return None;
    }
    let shared = Shared { given, columns: columns.as_deref(), unknown: &unknown };
    let each = |entry| one_of_several(entry, &path, stream.walk, &shared);
    let tables: Vec<Option<Table>> = entries.iter().map(each).collect();
    tell_among_tables(&tables, entries, &path, stream.walk);
    tables.into_iter().collect()
}

/// `columns`, `table` and `rollups` of the stream itself.
fn short_form(
    stream: &Section<'_>,
    given: Given<'_>,
    columns: Option<Vec<Column>>,
    unknown: &Unknown,
) -> Option<Table> {
    stream.require("columns");
    let columns = columns.filter(|columns| !columns.is_empty());
    let rollups = rollup::read_all(stream, columns.as_deref());
    let unknown_fields_in = kept_in(unknown, columns.as_deref(), stream.walk);
    if !stream.is_set("table") {
        if !stream.is_mistyped("tables") {
            stream.require("table");
        }
        return None;
    }
    let section = stream.section("table")?;
    let mut table = keys_of(&section, given.stream, given, columns.as_deref())?;
    table.rollups = rollups?;
    table.unknown_fields_in = unknown_fields_in.ok()?;
    Some(table)
}

/// What the stream says for all of its tables.
struct Shared<'a> {
    given: Given<'a>,
    /// `None` where they are wrong.
    columns: Option<&'a [Column]>,
    unknown: &'a Unknown,
}

fn one_of_several(entry: &Entry, above: &str, walk: &Walk<'_>, shared: &Shared<'_>) -> Option<Table> {
    let path = Walk::join(above, &entry.name);
    let section = Section::open(walk, path, entry.place, Some(&entry.node), TABLES)?;
    let when = condition::read(&section);
    let columns = joined(shared.columns, &section, shared.given);
    let own = unknown_fields(&section);
    let unknown = if matches!(own, Unknown::NotSaid) { shared.unknown } else { &own };
    let unknown_fields_in = kept_in(unknown, columns.as_deref(), walk);
    let rollups = rollup::read_all(&section, columns.as_deref());
    let mut table = keys_of(&section, &entry.name, shared.given, columns.as_deref())?;
    table.when = when.ok()?;
    table.rollups = rollups?;
    table.unknown_fields_in = unknown_fields_in.ok()?;
    Some(table)
}

/// The columns declared in a section without the ones told to be wrong; `None` if the list can't be relied on for
/// further checks.
fn columns(section: &Section<'_>, given: Given<'_>) -> Option<Vec<Column>> {
    let entries = section.entries("columns")?;
    let path = section.key_path("columns");
    if entries.is_empty() && section.is_set("columns") {
        section.walk.mistake(
            section.place_of("columns"),
            &path,
            "no column",
            "add one, such as `ts: DateTime64(3)`",
        );
        return None;
    }
    for entry in entries {
        if let Some((key, _)) = given.lineage.into_iter().flatten().find(|(_, name)| *name == entry.name) {
            let suggestion = format!("rename the column, or set `lineage.{key}` to another name");
            let what = format!("is also the lineage column of the {key}");
            section.walk.mistake(entry.place, &Walk::join(&path, &entry.name), what, suggestion);
        }
    }
    // All are read before the first failure ends it: every mistake is told.
    let columns: Vec<_> = entries.iter().map(|entry| column::read(entry, &path, section.walk)).collect();
    columns.into_iter().collect()
}

/// The stream's columns and then the table's own.
fn joined(shared: Option<&[Column]>, section: &Section<'_>, given: Given<'_>) -> Option<Vec<Column>> {
    let own = columns(section, given);
    let shared = shared?;
    for entry in section.entries("columns").unwrap_or_default() {
        if shared.iter().any(|column| column.name == entry.name) {
            let path = Walk::join(&section.key_path("columns"), &entry.name);
            let suggestion = "rename it, or declare it in the tables alone";
            section.walk.mistake(entry.place, &path, "is also a column of the stream", suggestion);
        }
    }
    let columns = [shared, &own?].concat();
    if columns.is_empty() {
        section.walk.mistake(
            section.place,
            &section.key_path("columns"),
            "no column",
            "add one, here or to the stream's `columns`, such as `ts: DateTime64(3)`",
        );
        return None;
    }
    Some(columns)
}

/// What was said of unknown fields.
enum Unknown {
    NotSaid,
    Ignore,
    /// A mistake was told.
    Told,
    KeepIn {
        column: String,
        place: Place,
        path: String,
    },
}

fn unknown_fields(section: &Section<'_>) -> Unknown {
    let path = section.key_path("unknown_fields");
    let Some(node) = section.node("unknown_fields") else { return Unknown::NotSaid };
    match &node.said {
        Said::Text(text) if text.text.trim() == "ignore" => Unknown::Ignore,
        Said::Text(text) => {
            let suggestion = "write `ignore`, or `{ keep_in: <a column of type JSON> }`";
            section.walk.wrong_value(
                node.place,
                &path,
                text,
                Wrong::new("is no way to treat them", suggestion),
            );
            Unknown::Told
        }
        Said::Broken => Unknown::Told,
        _ => keep_in(section, &path).unwrap_or(Unknown::Told),
    }
}

fn keep_in(section: &Section<'_>, path: &str) -> Option<Unknown> {
    let (walk, place) = (section.walk, section.place_of("unknown_fields"));
    let map = Section::open(walk, path.to_owned(), place, section.node("unknown_fields"), KEEP_IN)?;
    let column = map.text("keep_in")?;
    let place = map.node("keep_in").map_or(place, |node| node.place);
    Some(Unknown::KeepIn { column, place, path: map.key_path("keep_in") })
}

/// The column that keeps unknown fields, if there is one.
fn kept_in(unknown: &Unknown, columns: Option<&[Column]>, walk: &Walk<'_>) -> Result<Option<String>, Told> {
    let Unknown::KeepIn { column: name, place, path } = unknown else {
        return if matches!(unknown, Unknown::Told) { Err(Told) } else { Ok(None) };
    };
    let columns = columns.ok_or(Told)?;
    let names = columns.iter().filter(|column| matches!(column.column_type, ColumnType::Json(_)));
    let (what, suggestion) = match columns.iter().find(|column| column.name == *name) {
        None => {
            let suggestion = keys::nearest(name, names.map(|column| column.name.as_str())).map_or_else(
                || format!("add `{name}: JSON` to `columns`"),
                |near| format!("did you mean `{near}`?"),
            );
            ("names no column of the table", suggestion)
        }
        Some(column) if !matches!(column.column_type, ColumnType::Json(_)) => {
            ("names a column that is not of type `JSON`", "declare it as `JSON`".to_owned())
        }
        Some(column) if column.from != [name.as_str()] || column.default.is_some() => {
            let suggestion = format!("declare it as `{name}: JSON`, without `from` and `default`");
            ("names a column that is read from the record", suggestion)
        }
        Some(_) => return Ok(Some(name.clone())),
    };
    walk.mistake(*place, path, format!("`{name}` {what}"), suggestion);
    Err(Told)
}

/// What both forms of a table hold.
fn keys_of(
    table: &Section<'_>,
    default: &str,
    given: Given<'_>,
    columns: Option<&[Column]>,
) -> Option<Table> {
    let name = table_name(table, default, given.database);
    let order_by = order_by(table, columns.zip(given.lineage));
    let partition_by = table.text("partition_by");
    let ttl = table.text("ttl");
    let settings_by_rate = rate_settings::read(table);
    let (database, name) = name?;
    Some(Table {
        database,
        name,
        when: None,
        columns: columns?.to_vec(),
        unknown_fields_in: None,
        order_by: order_by?,
        partition_by,
        ttl,
        settings_by_rate: settings_by_rate?,
        rollups: BTreeMap::new(),
    })
}

fn table_name(table: &Section<'_>, default: &str, database: &str) -> Option<(String, String)> {
    let said = if table.is_set("name") { Some(table.text("name")?) } else { None };
    let text = said.as_deref().unwrap_or(default);
    let (database, name) = text.split_once('.').unwrap_or((database, text));
    if column::is_identifier(database) && column::is_identifier(name) {
        return Some((database.to_owned(), name.to_owned()));
    }
    let (what, suggestion) =
        ("is not a name a table can have", "write `name` or `database.name`, with letters, digits and `_`");
    if said.is_some() {
        table.wrong("name", what, suggestion);
    } else {
        table.walk.mistake(table.place, &table.path, what, suggestion);
    }
    None
}

/// The columns and the lineage columns that expressions of the table may name.
type Known<'a> = (&'a [Column], &'a [(&'static str, String)]);

fn order_by(table: &Section<'_>, known: Option<Known<'_>>) -> Option<Vec<String>> {
    let texts = table.texts("order_by")?;
    let path = table.key_path("order_by");
    for (text, place) in &texts {
        if let Some(wrong) = known.and_then(|known| unknown_column(text.text.trim(), known)) {
            table.walk.wrong_value(*place, &path, text, wrong);
        }
    }
    Some(texts.into_iter().map(|(text, _)| text.text.trim().to_owned()).collect())
}

/// A bare name has to be a column; what an expression means is for the server to say.
fn unknown_column(text: &str, (columns, lineage): Known<'_>) -> Option<Wrong> {
    if !column::is_identifier(text) {
        return None;
    }
    let declared = columns.iter().map(|column| column.name.as_str());
    let names = || declared.clone().chain(lineage.iter().map(|(_, name)| name.as_str()));
    if !names().any(|name| name == text) {
        let suggestion = keys::nearest(text, names())
            .map_or_else(|| "name one of `columns`".to_owned(), |near| format!("did you mean `{near}`?"));
        return Some(Wrong::new("is no column of this table", suggestion));
    }
    let nullable = columns.iter().any(|column| column.name == text && column.column_type.is_nullable());
    nullable.then(|| {
        let suggestion = "give the column a `default` instead";
        Wrong::new("is Nullable, and a sorting key can't hold NULL", suggestion)
    })
}

/// What must hold among the tables of one stream.
fn tell_among_tables(tables: &[Option<Table>], entries: &[Entry], above: &str, walk: &Walk<'_>) {
    let is_otherwise = |entry: &Entry| match entry.node.find(&["when"]).map(|node| &node.said) {
        Some(Said::Text(text)) => text.text.trim() == condition::OTHERWISE,
        _ => false,
    };
    let otherwise: Vec<usize> = (0..entries.len()).filter(|number| is_otherwise(&entries[*number])).collect();
    let tell = |table: usize, what: &str, suggestion: &str| {
        let path = Walk::join(&Walk::join(above, &entries[table].name), "when");
        walk.mistake(entries[table].place, &path, what, suggestion);
    };
    if let [_, second, ..] = otherwise.as_slice() {
        tell(
            *second,
            "a second `otherwise`",
            "one table takes the rest; give this one conditions of its own",
        );
    }
    let all_are_read = tables.iter().all(Option::is_some);
    let has_conditions = tables.iter().flatten().any(|table| matches!(table.when, Some(When::All(_))));
    if let ([only], true, false) = (otherwise.as_slice(), all_are_read, has_conditions) {
        let suggestion = "remove `when` to take every record, or give another table conditions";
        tell(*only, "`otherwise` beside no table with conditions", suggestion);
    }
    tell_many_conditions(tables, entries, above, walk);
}

/// Each different condition on a field is a bit of one word.
fn tell_many_conditions(tables: &[Option<Table>], entries: &[Entry], above: &str, walk: &Walk<'_>) {
    let mut asked: BTreeMap<&[String], Vec<&Matches>> = BTreeMap::new();
    let mut told = BTreeSet::new();
    for (table, entry) in tables.iter().zip(entries) {
        let Some(Some(When::All(conditions))) = table.as_ref().map(|table| &table.when) else { continue };
        for Condition { field, is } in conditions {
            let of_field = asked.entry(field).or_default();
            if !of_field.contains(&is) {
                of_field.push(is);
            }
            if of_field.len() > CONDITIONS_MAX && told.insert(field) {
                let path = Walk::join(&Walk::join(above, &entry.name), "when");
                let what =
                    format!("more than {CONDITIONS_MAX} different conditions on `{}`", field.join("."));
                walk.mistake(
                    entry.place,
                    &path,
                    what,
                    "make two streams of it, or let tables share conditions",
                );
            }
        }
    }
}
