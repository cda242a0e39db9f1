//! After the cure: the columns get defaults for what one of the four messages lacks, and `pumphouse dead replay` makes a
//! row of that one. Twice, since a second time must change nothing.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::Failure;
use super::cure::yaml;
use super::feed::{TEST_MESSAGES, TestMessage};
use super::stage::{DATABASE, STREAM, Stage};

/// The one that becomes a row: it lacks fields, and its time is one.
pub const REPLAYED: &TestMessage = &TEST_MESSAGES[2];

/// The declared columns, with defaults for what that one lacks. The types are as they were: no table is altered.
const MENDED: [(&str, &str); 6] = [
    ("event_id", r#"{ type: UUID, default: "00000000-0000-0000-0000-000000000000" }"#),
    ("occurred_at", "DateTime64(3)"),
    ("user_id", "{ type: UInt64, default: 0 }"),
    ("kind", "{ type: LowCardinality(String), default: test }"),
    ("subject_type", "{ type: LowCardinality(String), default: none }"),
    ("properties", r#"{ type: "Map(String, String)", default: {} }"#),
];

/// What became of the dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// Which one was to be replayed.
    pub of: TestMessage,
    /// Rows at its place afterwards.
    pub rows: u64,
    /// That row, as one line.
    pub row: String,
    /// Rows in the whole table.
    pub rows_in_all: u64,
    /// Where the letters lie that are still listed.
    pub open: Vec<(u64, u64)>,
    /// Where those lie that are marked resolved.
    pub resolved: Vec<(u64, u64)>,
}

/// Corrects the configuration and replays the one letter.
///
/// # Errors
/// When a command fails.
pub fn replay(stage: &Stage, say: &mut dyn FnMut(&str)) -> Result<Replay, Failure> {
    let config = stage.write("mended.yaml", &yaml(stage.url(), stage.brokers(), &MENDED))?;
    say("the columns get defaults; `pumphouse dead replay` of one of the four, twice");
    let (partition, offset) = (REPLAYED.partition.to_string(), REPLAYED.offset.to_string());
    for _ in 0..2 {
        let words = ["dead", "replay", "--stream", STREAM, "--partition", &partition, "--offset", &offset];
        stage.pumphouse(&words, &config)?;
    }
    let at = format!("_partition = {partition} AND _offset = {offset}");
    let table = format!("{DATABASE}.{STREAM}");
    let row = format!("SELECT * EXCEPT _ingested_at FROM {table} WHERE {at} FORMAT TSVRaw");
    let replay = Replay {
        of: *REPLAYED,
        rows: stage.number(&format!("SELECT count() FROM {table} WHERE {at}"))?,
        row: stage.query(&row)?.trim_end().replace('\t', "  "),
        rows_in_all: stage.number(&format!("SELECT count() FROM {table}"))?,
        open: listed(stage, &config, &["dead", "list", "--json"])?,
        resolved: listed(stage, &config, &["dead", "list", "--resolved", "--json"])?,
    };
    say(&format!("{} row at its place, {} dead letters open", replay.rows, replay.open.len()));
    Ok(replay)
}

/// Where the letters lie that a listing shows, in Kafka's order.
fn listed(stage: &Stage, config: &Path, words: &[&str]) -> Result<Vec<(u64, u64)>, Failure> {
    let said = stage.pumphouse(words, config)?;
    let unread = || Failure::Answer(said.clone());
    let listed: Value = serde_json::from_str(&said).map_err(|_| unread())?;
    let letters = listed["letters"].as_array().ok_or_else(unread)?;
    let place = |letter: &Value| Some((letter["partition"].as_u64()?, letter["offset"].as_u64()?));
    let mut places = letters.iter().map(place).collect::<Option<Vec<_>>>().ok_or_else(unread)?;
    places.sort_unstable();
    Ok(places)
}
