//! One stream as written: source, columns, table, limits, lineage; and what must hold among them. Does not know
//! the other streams.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use super::column;
use super::declared_stream::STREAM;
use super::keys;
use super::rollup;
use super::said::{Entry, Said};
use super::scalar::{self, Wrong};
use super::settings::{
    BatchPolicy, Column, DeadLetters, Lineage, Numbers, Rollup, Stream, Table, Tombstones, Values,
};
use super::walk::{Section, Walk};

/// What a stream takes from the rest of the file.
pub(super) struct Around {
    /// The database of tables that name none.
    pub database: String,
    /// Bytes a batch may have where `batch.bytes` is not set.
    pub batch_bytes_default: u64,
    /// Bytes a batch may have at most.
    pub batch_bytes_max: u64,
}

/// Reads `streams.<name>`. `None` after a mistake was told.
pub(super) fn read(entry: &Entry, around: &Around, walk: &Walk<'_>) -> Option<Stream> {
    let path = Walk::join("streams", &entry.name);
    if !is_stream_name(&entry.name) {
        let suggestion = "use lower-case letters, digits and `_`, a letter first";
        walk.mistake(entry.place, &path, "is not a name a stream can have", suggestion);
    }
    let section = Section::open(walk, path, entry.place, Some(&entry.node), STREAM)?;
    let topic = section.section("from").and_then(|from| topic(&from));
    let columns = columns(&section);
    let lineage = lineage(&section, columns.as_deref().unwrap_or_default());
    let known = match (columns.as_deref(), &lineage) {
        (Some(columns), Ok(lineage)) => Some(Known { columns, lineage: lineage.as_ref() }),
        _ => None,
    };
    let rollups = rollup::read_all(&section, columns.as_deref());
    let table =
        section.section("table").and_then(|table| table_of(&table, &entry.name, around, known, rollups?));
    let batch = section.section("batch").and_then(|batch| batch_policy(&batch, around));
    let dead_letters = section.section("dead_letters").and_then(|letters| {
        Some(DeadLetters { table: letters.flag("table")?, topic: letters.text("topic") })
    });
    for key in ["numbers", "unknown_fields", "values"] {
        section.choice(key);
    }
    Some(Stream {
        name: entry.name.clone(),
        topic: topic?,
        values: Values::One,
        tombstones: Tombstones::Filter,
        numbers: Numbers::Strict,
        schema: None,
        tables: vec![table?],
        batch: batch?,
        dead_letters: dead_letters?,
        lineage: lineage.ok()?,
    })
}

fn is_stream_name(name: &str) -> bool {
    name.len() <= 80
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn topic(from: &Section<'_>) -> Option<String> {
    from.choice("format");
    let topic = from.text("topic")?;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if topic.len() > 249 || matches!(topic.as_str(), "." | "..") || !topic.chars().all(legal) {
        let suggestion = "a topic has letters, digits, `.`, `_` and `-`; one stream reads one topic";
        from.wrong("topic", "is not a name a topic can have", suggestion);
        return None;
    }
    Some(topic)
}

/// The columns without the ones told to be wrong; `None` if the list can't be relied on for further checks.
fn columns(section: &Section<'_>) -> Option<Vec<Column>> {
    let entries = section.entries("columns")?;
    if entries.is_empty() {
        if section.is_set("columns") {
            let (place, path) = (section.place_of("columns"), section.key_path("columns"));
            section.walk.mistake(place, &path, "no column", "add one, such as `ts: DateTime64(3)`");
        }
        return None;
    }
    let path = section.key_path("columns");
    // All are read before the first failure ends it: every mistake is told.
    let columns: Vec<_> = entries.iter().map(|entry| column::read(entry, &path, section.walk)).collect();
    columns.into_iter().collect()
}

/// A mistake was told; there is no value.
struct Told;

fn lineage(section: &Section<'_>, columns: &[Column]) -> Result<Option<Lineage>, Told> {
    if let Some(Said::Text(text)) = section.node("lineage").map(|node| &node.said)
        && text.text == "false"
    {
        return Ok(None);
    }
    let names = section.section("lineage").ok_or(Told)?;
    let mut seen: Vec<String> = Vec::new();
    for key in ["partition", "offset", "ingested_at"] {
        let name = names.text(key).ok_or(Told)?;
        if !column::is_identifier(&name) {
            names.wrong(key, "is not a name a column can have", "use letters, digits and `_`");
        } else if seen.contains(&name) {
            names.wrong(key, "is the name of another lineage column", "give each its own name");
        } else if columns.iter().any(|column| column.name == name) {
            tell_clash(section, &names, key, &name);
        }
        seen.push(name);
    }
    let [partition, offset, ingested_at] = seen.try_into().map_err(|_| Told)?;
    Ok(Some(Lineage { partition, offset, ingested_at, index: "_index".to_owned() }))
}

fn tell_clash(section: &Section<'_>, names: &Section<'_>, key: &str, name: &str) {
    let entries = section.entries("columns").unwrap_or_default();
    let place = entries.iter().find(|entry| entry.name == name).map_or(names.place, |entry| entry.place);
    let path = Walk::join(&section.key_path("columns"), name);
    let suggestion = format!("rename the column, or set `lineage.{key}` to another name");
    section.walk.mistake(place, &path, format!("is also the lineage column of the {key}"), suggestion);
}

/// The columns that expressions of the table may name.
#[derive(Clone, Copy)]
struct Known<'a> {
    columns: &'a [Column],
    lineage: Option<&'a Lineage>,
}

impl Known<'_> {
    fn names(&self) -> Vec<&str> {
        let lineage = self.lineage.map(|lineage| [&lineage.partition, &lineage.offset, &lineage.ingested_at]);
        let lineage = lineage.into_iter().flatten();
        self.columns.iter().map(|column| &column.name).chain(lineage).map(String::as_str).collect()
    }
}

fn table_of(
    table: &Section<'_>,
    stream: &str,
    around: &Around,
    known: Option<Known<'_>>,
    rollups: BTreeMap<String, Rollup>,
) -> Option<Table> {
    let columns = known?.columns.to_vec();
    let (database, name) = table_name(table, stream, around)?;
    let order_by = order_by(table, known);
    let partition_by = table.text("partition_by");
    let ttl = table.text("ttl");
    let order_by = order_by?;
    Some(Table {
        database,
        name,
        when: None,
        columns,
        unknown_fields_in: None,
        order_by,
        partition_by,
        ttl,
        rollups,
    })
}

fn table_name(table: &Section<'_>, stream: &str, around: &Around) -> Option<(String, String)> {
    if !table.is_set("name") {
        return Some((around.database.clone(), stream.to_owned()));
    }
    let text = table.text("name")?;
    let (database, name) = text.split_once('.').unwrap_or((&around.database, &text));
    if !column::is_identifier(database) || !column::is_identifier(name) {
        let suggestion = "write `name` or `database.name`, with letters, digits and `_`";
        table.wrong("name", "is not a name a table can have", suggestion);
        return None;
    }
    Some((database.to_owned(), name.to_owned()))
}

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
fn unknown_column(text: &str, known: Known<'_>) -> Option<Wrong> {
    if !column::is_identifier(text) {
        return None;
    }
    if !known.names().contains(&text) {
        let suggestion = keys::nearest(text, known.names())
            .map_or_else(|| "name one of `columns`".to_owned(), |near| format!("did you mean `{near}`?"));
        return Some(Wrong::new("is no column of this stream", suggestion));
    }
    let nullable = known.columns.iter().any(|column| column.name == text && column.column_type.is_nullable());
    nullable.then(|| {
        let suggestion = "give the column a `default` instead";
        Wrong::new("is Nullable, and a sorting key can't hold NULL", suggestion)
    })
}

fn batch_policy(batch: &Section<'_>, around: &Around) -> Option<BatchPolicy> {
    let freshness = batch.duration("freshness");
    let rows = batch.number("rows").and_then(NonZeroU64::new);
    let bytes = batch.size("bytes").and_then(|bytes| {
        if !batch.is_set("bytes") {
            return NonZeroU64::new(bytes.min(around.batch_bytes_default));
        }
        if bytes > around.batch_bytes_max {
            let most = scalar::show_size(around.batch_bytes_max);
            let what = format!("is more than a lane's share of `process.memory`, {most}");
            let suggestion = "lower it, raise `process.memory`, or lower `process.lanes`";
            batch.walk.mistake(batch.place_of("bytes"), &batch.key_path("bytes"), what, suggestion);
            return None;
        }
        NonZeroU64::new(bytes)
    });
    Some(BatchPolicy { freshness: freshness?, rows: rows?, bytes: bytes? })
}
