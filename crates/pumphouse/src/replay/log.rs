//! The log of replays in ClickHouse: reads its end, writes an entry, writes what became of letters. Each write is one
//! insert with a token and a deadline; what an answer means for the replay is decided elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{
    ArrayRef, BinaryArray, RecordBatch, TimestampMillisecondArray, UInt8Array, UInt32Array, UInt64Array,
};
use pumphouse_clickhouse::arrow_stream::{self, Compression};
use pumphouse_clickhouse::client::{Client, QueryError};
use pumphouse_clickhouse::insert::{Insert, InsertAnswer, Refusal as Refused};
use pumphouse_clickhouse::quote;
use pumphouse_core::claim::BatchId;
use pumphouse_core::moment::ServerTime;
use pumphouse_core::replay::{Answer, Entry, Log, entry_token, settled_token};
use pumphouse_core::verdict::Refusal;
use serde::Deserialize;

use super::judged::{Claimed, Held, Place};
use super::letters::{Name, long};
use crate::fault::{Code, Fault};
use crate::sink::insert::refusal_of;
use crate::sink::replay_tables::{
    REPLAYS_TABLE, RESOLVED_TABLE, replay_tables, replays_columns, resolved_columns,
};
use crate::sink::target::DEAD_LETTERS_DATABASE;
use crate::telemetry::event;

/// What became of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum How {
    /// An entry made it rows.
    Replayed,
    /// Its rows were there already.
    Found,
    /// It stands for no row now.
    Filtered,
    /// Given up by a person.
    Purged,
    /// Its entry ended without its rows: it is open again.
    Missed,
}

impl How {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::Found => "found",
            Self::Filtered => "filtered",
            Self::Purged => "purged",
            Self::Missed => "missed",
        }
    }
}

/// What became of one letter, as of its time.
pub(super) struct Outcome<'a> {
    pub(super) name: &'a Name,
    pub(super) time_ms: i64,
    pub(super) how: How,
}

/// The log of one stream.
pub(super) struct ReplayLog<'a> {
    pub(super) client: &'a Client,
    pub(super) stream: &'a str,
    pub(super) revision: &'a str,
    pub(super) insert_timeout: Duration,
}

#[derive(Deserialize)]
struct LastEntry {
    number: u64,
    id: String,
    topic: String,
    revision: String,
    claimed_at: i64,
    until: i64,
    shape: u32,
}

#[derive(Deserialize)]
struct EntryRow {
    #[serde(flatten)]
    name: Name,
    letter_time: i64,
    into_table: String,
    into_index: u32,
    is_row: u8,
}

impl ReplayLog<'_> {
    /// The end of the log; an open entry comes with its letters.
    pub(super) async fn end(&self) -> Result<(Log, Option<Held>), QueryError> {
        let (stream, replays) = (quote::text(self.stream), table(REPLAYS_TABLE));
        let sql = format!(
            "SELECT number, id, topic, revision, toUnixTimestamp64Milli(e.claimed_at) AS claimed_at, \
             toUnixTimestamp64Milli(e.until) AS until, shape FROM {replays} AS e WHERE stream = {stream} \
             ORDER BY number DESC LIMIT 1"
        );
        let last: Vec<LastEntry> = long(self.client.query(&sql).at(0)).rows().await?;
        let Some(last) = last.into_iter().next() else {
            return Ok((Log::Settled { last: 0, claimed_at: ServerTime(0) }, None));
        };
        let claimed_at = ServerTime(last.claimed_at);
        if self.is_settled(last.number, &last.id).await? {
            return Ok((Log::Settled { last: last.number, claimed_at }, None));
        }
        let id = u128::from_str_radix(&last.id, 16).map_err(|e| QueryError::Answer(e.to_string()))?;
        let entry = Entry {
            number: last.number,
            id: BatchId(id),
            claimed_at,
            until: ServerTime(last.until),
            shape: last.shape,
        };
        let letters = self.letters_of(last.number, &last.id).await?;
        let held = Held { entry: entry.clone(), topic: last.topic, revision: last.revision, letters };
        Ok((Log::Open(entry), Some(held)))
    }

    async fn is_settled(&self, number: u64, id: &str) -> Result<bool, QueryError> {
        #[derive(Deserialize)]
        struct Counted {
            outcomes: u64,
        }
        let sql = format!(
            "SELECT count() AS outcomes FROM {} WHERE stream = {} AND number = {number} AND replay = {}",
            table(RESOLVED_TABLE),
            quote::text(self.stream),
            quote::text(id),
        );
        Ok(long(self.client.query(&sql).at(0)).row::<Counted>().await?.outcomes > 0)
    }

    async fn letters_of(&self, number: u64, id: &str) -> Result<Vec<Claimed>, QueryError> {
        let sql = format!(
            "SELECT partition, offset, `index`, `table`, toUnixTimestamp64Milli(e.letter_time) AS letter_time, \
             into_table, into_index, is_row FROM {} AS e WHERE stream = {} AND number = {number} AND id = {} \
             ORDER BY partition, offset, `index`, `table`, into_table, into_index",
            table(REPLAYS_TABLE),
            quote::text(self.stream),
            quote::text(id),
        );
        let rows: Vec<EntryRow> = long(self.client.query(&sql).at(0)).rows().await?;
        let mut letters: Vec<Claimed> = Vec::new();
        for row in rows {
            let place = Place { table: row.into_table, index: row.into_index, is_row: row.is_row != 0 };
            match letters.last_mut() {
                Some(last) if last.name == row.name => last.places.push(place),
                _ => letters.push(Claimed { name: row.name, time_ms: row.letter_time, places: vec![place] }),
            }
        }
        Ok(letters)
    }

    /// Claims the entry's number for these letters; who is first stays.
    pub(super) async fn claim(
        &self,
        (entry, topic): (&Entry, &str),
        letters: &[Claimed],
        deadline: ServerTime,
    ) -> Answer {
        let rows = letters.iter().flat_map(|letter| letter.places.iter().map(move |place| (letter, place)));
        let rows: Vec<(&Claimed, &Place)> = rows.collect();
        let count = rows.len();
        let names: Vec<&Name> = rows.iter().map(|(letter, _)| &letter.name).collect();
        let mut arrays = vec![
            same_text(self.stream, count),
            same_text(topic, count),
            same_number(entry.number, count),
            same_text(&entry.id.to_string(), count),
            same_time(entry.claimed_at.0, count),
            same_time(entry.until.0, count),
            Arc::new(UInt32Array::from_value(entry.shape, count)),
            same_text(self.revision, count),
        ];
        arrays.extend(of_names(&names));
        let times = rows.iter().map(|(letter, _)| letter.time_ms);
        arrays.push(Arc::new(TimestampMillisecondArray::from_iter_values(times)));
        arrays.push(texts(rows.iter().map(|(_, place)| place.table.as_str())));
        arrays.push(Arc::new(UInt32Array::from_iter_values(rows.iter().map(|(_, place)| place.index))));
        let is_row = rows.iter().map(|(_, place)| u8::from(place.is_row));
        arrays.push(Arc::new(UInt8Array::from_iter_values(is_row)));
        let token = entry_token(self.stream, entry.number);
        self.insert((REPLAYS_TABLE, &replays_columns()), arrays, &token, deadline).await
    }

    /// Settles an entry: what became of each of its letters, in one insert.
    pub(super) async fn settle(
        &self,
        held: &Held,
        outcomes: &[Outcome<'_>],
        deadline: ServerTime,
        now: ServerTime,
    ) -> Answer {
        let token = settled_token(self.stream, held.entry.number);
        let by = (held.entry.number, held.entry.id.to_string());
        self.write_outcomes((&held.topic, outcomes, &by), &token, deadline, now).await
    }

    /// Notes what became of letters without an entry: nothing was inserted for them.
    pub(super) async fn resolve(
        &self,
        topic: &str,
        outcomes: &[Outcome<'_>],
        token: &str,
        now: ServerTime,
    ) -> Answer {
        let deadline = now.after(self.insert_timeout);
        self.write_outcomes((topic, outcomes, &(0, String::new())), token, deadline, now).await
    }

    async fn write_outcomes(
        &self,
        (topic, outcomes, by): (&str, &[Outcome<'_>], &(u64, String)),
        token: &str,
        deadline: ServerTime,
        now: ServerTime,
    ) -> Answer {
        let count = outcomes.len();
        let names: Vec<&Name> = outcomes.iter().map(|outcome| outcome.name).collect();
        let mut arrays = vec![same_text(self.stream, count), same_text(topic, count)];
        arrays.extend(of_names(&names));
        let times = outcomes.iter().map(|outcome| outcome.time_ms);
        arrays.push(Arc::new(TimestampMillisecondArray::from_iter_values(times)));
        arrays.push(texts(outcomes.iter().map(|outcome| outcome.how.as_str())));
        arrays.push(same_text(&by.1, count));
        arrays.push(same_number(by.0, count));
        arrays.push(same_text(self.revision, count));
        arrays.push(same_time(now.0, count));
        self.insert((RESOLVED_TABLE, &resolved_columns()), arrays, token, deadline).await
    }

    async fn insert(
        &self,
        (table, columns): (&str, &[(String, String)]),
        arrays: Vec<ArrayRef>,
        token: &str,
        deadline: ServerTime,
    ) -> Answer {
        let named = columns.iter().map(|(name, _)| name.as_str()).zip(arrays);
        let batch = RecordBatch::try_from_iter(named).expect("each column has a value for each row");
        let Ok(body) = arrow_stream::encode(&batch, Compression::Lz4) else {
            return Answer::Refused(Refusal::Block);
        };
        let insert = Insert {
            database: DEAD_LETTERS_DATABASE,
            table,
            columns,
            token,
            deadline_unix_seconds: deadline.0.div_euclid(1000),
            timeout: self.insert_timeout,
            body: &body,
            query_id: None,
            settings: &BTreeMap::new(),
            url_index: 0,
            has_views: false,
        };
        let answer = self.client.insert(&insert).await;
        match &answer {
            InsertAnswer::Done => Answer::Done,
            InsertAnswer::Unknown(doubt) => {
                tracing::warn!(table, error = %doubt, answer = "in doubt", "{}", event::INSERT_RETRIED);
                Answer::Unknown
            }
            InsertAnswer::Refused(refused) => {
                tracing::warn!(table, error = %refused, answer = "refused", "{}", event::INSERT_RETRIED);
                Answer::Refused(match refused {
                    Refused::NotSent(_) => Refusal::NotSent,
                    Refused::Server(error) => refusal_of(error.kind),
                })
            }
        }
    }
}

/// Whether the tables of replays are there and as they have to be.
///
/// # Errors
/// PH-0051 where they are not; PH-0010 where ClickHouse does not say.
pub async fn inspect(client: &Client) -> Result<(), Fault> {
    #[derive(Deserialize)]
    struct Live {
        engine: String,
        columns: Vec<(String, String)>,
        settings: String,
    }
    for spec in replay_tables() {
        let name = quote::table(&spec.database, &spec.name);
        let sql = format!(
            "SELECT engine, engine_full AS settings, (SELECT groupArray((name, type)) FROM system.columns WHERE database = \
             {database} AND `table` = {table}) AS columns FROM system.tables WHERE database = {database} AND name = {table}",
            database = quote::text(&spec.database),
            table = quote::text(&spec.name),
        );
        let query = client.query(&sql).at(0).setting("output_format_json_named_tuples_as_objects", "0");
        let found: Vec<Live> = query
            .rows()
            .await
            .map_err(|error| Fault::new(Code::ClickHouseUnreachable, &name, error.to_string()))?;
        let wrong = match found.first() {
            None => "is missing".to_owned(),
            Some(live) if live.engine != "MergeTree" => {
                format!("has engine {}, where only MergeTree can tell who was first", live.engine)
            }
            Some(live) if !live.settings.contains("non_replicated_deduplication_window") => {
                "remembers no tokens".to_owned()
            }
            Some(live) => match spec.columns.iter().find(|column| !live.columns.contains(column)) {
                Some((column, column_type)) => format!("has no column {column} {column_type}"),
                None => continue,
            },
        };
        return Err(Fault::new(Code::ReplayLogMissing, format!("table {name}"), wrong)
            .advise("`pumphouse apply` creates it"));
    }
    Ok(())
}

fn table(name: &str) -> String {
    quote::table(DEAD_LETTERS_DATABASE, name)
}

fn of_names(names: &[&Name]) -> [ArrayRef; 4] {
    [
        Arc::new(UInt32Array::from_iter_values(names.iter().map(|name| name.partition))),
        Arc::new(UInt64Array::from_iter_values(names.iter().map(|name| name.offset))),
        Arc::new(UInt32Array::from_iter_values(names.iter().map(|name| name.index))),
        texts(names.iter().map(|name| name.table.as_str())),
    ]
}

fn texts<'t>(texts: impl Iterator<Item = &'t str>) -> ArrayRef {
    Arc::new(BinaryArray::from_iter_values(texts))
}

fn same_text(text: &str, count: usize) -> ArrayRef {
    texts(std::iter::repeat_n(text, count))
}

fn same_number(number: u64, count: usize) -> ArrayRef {
    Arc::new(UInt64Array::from_value(number, count))
}

fn same_time(milliseconds: i64, count: usize) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from_value(milliseconds, count))
}
