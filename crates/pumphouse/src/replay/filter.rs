//! Which dead letters are meant, as conditions on the table. Asks no server.

use std::ops::Range;

use pumphouse_clickhouse::quote;

use crate::sink::replay_tables::RESOLVED_TABLE;
use crate::sink::target::{DEAD_LETTERS_DATABASE, DEAD_LETTERS_TABLE};

/// The columns that name a letter, quoted.
pub(super) const NAME: &str = "stream, topic, partition, offset, `index`, `table`";

/// Which letters by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// Neither a row by now nor given up.
    #[default]
    Open,
    /// Replayed, found, filtered or purged.
    Resolved,
    /// Both.
    All,
}

/// Which letters are meant. What is not set leaves all in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this stream.
    pub stream: Option<String>,
    /// Of this topic.
    pub topic: Option<String>,
    /// With this code.
    pub code: Option<String>,
    /// Kept at or after this time, in milliseconds since 1970-01-01 UTC.
    pub since: Option<i64>,
    /// Kept before this time.
    pub until: Option<i64>,
    /// Of this partition.
    pub partition: Option<u32>,
    /// Of these offsets.
    pub offsets: Option<Range<u64>>,
    /// Bad for this table, `database.table`.
    pub table: Option<String>,
    /// At this place in its message.
    pub index: Option<u32>,
    /// By what became of them.
    pub fate: Fate,
}

/// The place behind which a page begins: partition, offset, index, table.
pub type Cursor = (u32, u64, u32, String);

impl Filter {
    /// Conditions on the columns that name a letter; the same for letters and for what became of them.
    fn on_names(&self) -> Vec<String> {
        let mut conditions = Vec::new();
        for (column, value) in [("stream", &self.stream), ("topic", &self.topic), ("`table`", &self.table)] {
            conditions.extend(value.as_ref().map(|value| format!("{column} = {}", quote::text(value))));
        }
        conditions.extend(self.partition.map(|partition| format!("partition = {partition}")));
        conditions.extend(self.index.map(|index| format!("`index` = {index}")));
        if let Some(Range { start, end }) = &self.offsets {
            conditions.push(format!("offset >= {start} AND offset < {end}"));
        }
        conditions
    }

    /// Conditions on what the last judgement of a letter says, and on its fate.
    fn on_letters(&self) -> Vec<String> {
        let mut conditions = Vec::new();
        conditions.extend(self.code.as_ref().map(|code| format!("code = {}", quote::text(code))));
        conditions.extend(self.since.map(|since| format!("time >= fromUnixTimestamp64Milli({since})")));
        conditions.extend(self.until.map(|until| format!("time < fromUnixTimestamp64Milli({until})")));
        match self.fate {
            Fate::Open => conditions.push("how = ''".to_owned()),
            Fate::Resolved => conditions.push("how != ''".to_owned()),
            Fate::All => {}
        }
        conditions
    }

    /// A query of the letters meant, one row for each name: the last judgement, and what became of it.
    ///
    /// A letter may be there several times, when its record was read again; the last judgement counts. It is
    /// resolved where an outcome is as late as that.
    pub(super) fn source(&self, behind: Option<&Cursor>) -> String {
        let mut names = self.on_names();
        names.extend(behind.map(|(partition, offset, index, table)| {
            let table = quote::text(table);
            format!("(partition, offset, `index`, `table`) > ({partition}, {offset}, {index}, {table})")
        }));
        let (names, letters) = (all(&names), all(&self.on_letters()));
        let columns = ["code", "column", "path", "reason", "revision"];
        let last = columns.map(|name| {
            let quoted = quote::name(name);
            format!("argMax(l.{quoted}, l.time) AS {quoted}")
        });
        let outcome = ["how", "replay", "number", "resolved_revision", "resolved_at"];
        let outcome = outcome
            .map(|name| format!("if(is_resolved, r.{name}, defaultValueOfArgumentType(r.{name})) AS {name}"));
        format!(
            "SELECT * FROM (\
             SELECT f.*, r.letter_time >= f.time AS is_resolved, {outcome} FROM (\
             SELECT {NAME}, {last}, argMax(length(l.payload), l.time) AS payload_bytes, max(l.time) AS time \
             FROM {letters_table} AS l WHERE {names} GROUP BY {NAME}) AS f \
             LEFT JOIN (SELECT {NAME}, max(o.letter_time) AS letter_time, argMax(o.how, o.letter_time) AS how, \
             argMax(o.replay, o.letter_time) AS replay, argMax(o.number, o.letter_time) AS number, \
             argMax(o.revision, o.letter_time) AS resolved_revision, argMax(o.time, o.letter_time) AS resolved_at \
             FROM {resolved_table} AS o WHERE o.how != 'missed' AND {names} GROUP BY {NAME}) AS r \
             USING ({NAME})) WHERE {letters}",
            outcome = outcome.join(", "),
            last = last.join(", "),
            letters_table = quote::table(DEAD_LETTERS_DATABASE, DEAD_LETTERS_TABLE),
            resolved_table = quote::table(DEAD_LETTERS_DATABASE, RESOLVED_TABLE),
        )
    }
}

fn all(conditions: &[String]) -> String {
    if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") }
}
