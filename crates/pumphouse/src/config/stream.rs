//! One stream as written: source, what a message holds, limits, lineage; and what must hold among them. Its tables
//! are read in `tables`. Does not know the other streams.

use std::num::NonZeroU64;
use std::time::Duration;

use pumphouse_core::gap::GapPolicy;

use super::column;
use super::declared_stream::STREAM;
use super::said::{Entry, Said};
use super::scalar;
use super::schema_file::{self, Files};
use super::settings::{
    BatchPolicy, DeadLetters, JsonSchema, Lineage, Numbers, Stream, Tombstones, VALVE_AGE, Values,
    ValvePolicy,
};
use super::tables::{self, Given};
use super::walk::{Section, Told, Walk};

/// What a stream takes from the rest of the file.
pub(super) struct Around<'a> {
    /// The database of tables that name none.
    pub database: String,
    /// Bytes a batch may have where `batch.bytes` is not set.
    pub batch_bytes_default: u64,
    /// Bytes a batch may have at most.
    pub batch_bytes_max: u64,
    /// Reads the files that are named.
    pub files: Files<'a>,
}

/// Reads `streams.<name>`. `None` after a mistake was told.
pub(super) fn read(entry: &Entry, around: &Around<'_>, walk: &Walk<'_>) -> Option<Stream> {
    let path = Walk::join("streams", &entry.name);
    if !is_stream_name(&entry.name) {
        let suggestion = "use lower-case letters, digits and `_`, a letter first";
        walk.mistake(entry.place, &path, "is not a name a stream can have", suggestion);
    }
    let section = Section::open(walk, path, entry.place, Some(&entry.node), STREAM)?;
    let topic = section.section("from").and_then(|from| topic(&from));
    let values = values(&section);
    let tombstones = section.choice("tombstones");
    let numbers = section.choice("numbers");
    let schema = schema(&section, around);
    let lineage = lineage(&section);
    let names = lineage.as_ref().ok().map(|lineage| lineage_names(lineage.as_ref(), values));
    let given = Given { stream: &entry.name, database: &around.database, lineage: names.as_deref() };
    let tables = tables::read(&section, given);
    let batch = section.section("batch").and_then(|batch| batch_policy(&batch, around));
    let valve = section.section("valve").and_then(|valve| valve_policy(&valve, batch.as_ref()));
    let dead_letters = section.section("dead_letters").and_then(|letters| dead_letters(&letters));
    let gaps = section.choice("gaps");
    Some(Stream {
        name: entry.name.clone(),
        topic: topic?,
        values: values?,
        tombstones: if tombstones? == "filter" { Tombstones::Filter } else { Tombstones::DeadLetter },
        numbers: if numbers? == "strict" { Numbers::Strict } else { Numbers::Coerce },
        schema: schema.ok()?,
        tables: tables?,
        batch: batch?,
        valve: valve?,
        dead_letters: dead_letters?,
        gaps: if gaps? == "report" { GapPolicy::Report } else { GapPolicy::Halt },
        lineage: lineage.ok()?,
    })
}

fn values(section: &Section<'_>) -> Option<Values> {
    section.choice("values").map(|word| match word {
        "lines" => Values::Lines,
        "array" => Values::Array,
        _ => Values::One,
    })
}

fn schema(section: &Section<'_>, around: &Around<'_>) -> Result<Option<JsonSchema>, Told> {
    if !section.is_set("schema") {
        return Ok(None);
    }
    let file = section.text("schema").ok_or(Told)?;
    match schema_file::read(&file, around.files) {
        Ok(document) => Ok(Some(JsonSchema { file, document })),
        Err(wrong) => {
            section.wrong("schema", &wrong.what, wrong.suggestion);
            Err(Told)
        }
    }
}

fn dead_letters(letters: &Section<'_>) -> Option<DeadLetters> {
    let table = letters.flag("table");
    let topic = match letters.node("topic").map(|node| &node.said) {
        None | Some(Said::Nothing) => None,
        Some(_) => Some(legal_topic(letters, "give the name of one topic, or `null` for none")?),
    };
    Some(DeadLetters { table: table?, topic })
}

fn is_stream_name(name: &str) -> bool {
    name.len() <= 80
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn topic(from: &Section<'_>) -> Option<String> {
    from.choice("format");
    legal_topic(from, "a topic has letters, digits, `.`, `_` and `-`; one stream reads one topic")
}

fn legal_topic(section: &Section<'_>, suggestion: &str) -> Option<String> {
    let topic = section.text("topic")?;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if topic.len() > 249 || matches!(topic.as_str(), "." | "..") || !topic.chars().all(legal) {
        section.wrong("topic", "is not a name a topic can have", suggestion);
        return None;
    }
    Some(topic)
}

fn lineage(section: &Section<'_>) -> Result<Option<Lineage>, Told> {
    if let Some(Said::Text(text)) = section.node("lineage").map(|node| &node.said)
        && text.text == "false"
    {
        return Ok(None);
    }
    let names = section.section("lineage").ok_or(Told)?;
    let mut seen: Vec<String> = Vec::new();
    for key in ["partition", "offset", "ingested_at", "index"] {
        let name = names.text(key).ok_or(Told)?;
        if !column::is_identifier(&name) {
            names.wrong(key, "is not a name a column can have", "use letters, digits and `_`");
        } else if seen.contains(&name) {
            names.wrong(key, "is the name of another lineage column", "give each its own name");
        }
        seen.push(name);
    }
    let [partition, offset, ingested_at, index] = seen.try_into().map_err(|_| Told)?;
    Ok(Some(Lineage { partition, offset, ingested_at, index }))
}

/// The lineage columns that the tables have, by their keys.
fn lineage_names(lineage: Option<&Lineage>, values: Option<Values>) -> Vec<(&'static str, String)> {
    let Some(Lineage { partition, offset, ingested_at, index }) = lineage else { return Vec::new() };
    let all = [("partition", partition), ("offset", offset), ("ingested_at", ingested_at), ("index", index)];
    let used = if matches!(values, Some(Values::Lines | Values::Array)) { 4 } else { 3 };
    all.into_iter().take(used).map(|(key, name)| (key, name.clone())).collect()
}

fn batch_policy(batch: &Section<'_>, around: &Around<'_>) -> Option<BatchPolicy> {
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

/// A batch that is wrong leaves the age unchecked: its mistake was told.
fn valve_policy(valve: &Section<'_>, batch: Option<&BatchPolicy>) -> Option<ValvePolicy> {
    let freshness = batch.map_or(Duration::ZERO, |batch| batch.freshness);
    let age = if valve.is_set("batch_age_max") {
        valve.duration("batch_age_max")
    } else {
        Some(VALVE_AGE.max(freshness))
    };
    if age.is_some_and(|age| age < freshness) {
        let what = "is less than `batch.freshness`, the age that batches have anyway";
        valve.wrong("batch_age_max", what, "raise it, or lower `batch.freshness`");
        return None;
    }
    let shut_at_percent = valve.number("shut_at_percent").and_then(|percent| u8::try_from(percent).ok());
    let parts_max = match valve.node("parts_max").map(|node| &node.said) {
        None | Some(Said::Nothing) => None,
        Some(_) => Some(valve.number("parts_max").and_then(NonZeroU64::new)?),
    };
    Some(ValvePolicy { batch_age_max: age?, shut_at_percent: shut_at_percent?, parts_max })
}
