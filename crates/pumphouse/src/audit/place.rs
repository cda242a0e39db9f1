//! Where one record went: its rows, its dead letters, a gap, or why there is nothing. Asks; judges by the same rules as
//! an audit.

use pumphouse_clickhouse::client::QueryError;
use pumphouse_clickhouse::quote;
use pumphouse_core::audit::{Counts, Fate};
use pumphouse_core::claim::BatchId;
use pumphouse_core::moment::ServerTime;
use pumphouse_core::offset::{Offset, Partition, Range};
use serde::Deserialize;

use super::contents::Piece;
use super::gaps::Gaps;
use super::ground::{AuditedTable, Ground, bounded};
use super::positions::{Position, positions};
use super::survey::{Aside, Survey};
use super::tallies::Spans;
use super::topic;
use super::trouble::{unanswered, unreadable};
use crate::decode::{Record, Tried};
use crate::fault::Fault;
use crate::replay::filter::{Fate as LetterFate, Filter};
use crate::replay::letters::{self, Listed};
use crate::source::kafka::reader::ReadError;

/// Rows and letters that are shown of one record.
const SHOWN_MAX: u64 = 1_000;

/// All that is known of one offset.
#[derive(Clone, Debug)]
pub struct Place {
    /// Whether the group is done with it.
    pub standing: Standing,
    /// What became of it, as far as tables tell; of several, what matters most.
    pub fate: Option<Fate>,
    /// Where the group stands.
    pub committed: Option<Offset>,
    /// What Kafka has.
    pub log: Range,
    /// The batch that settled it, as far as the history in Kafka reaches back.
    pub settled_by: Option<BatchId>,
    /// The batch that claims it and is not settled, and when it was claimed.
    pub claimed_by: Option<(BatchId, ServerTime)>,
    /// Its rows.
    pub rows: Vec<RowAt>,
    /// Its dead letters.
    pub letters: Vec<Listed>,
    /// The reported gap that it lies in, with the reason.
    pub gap: Option<(Range, String)>,
    /// What the record would be now, by table and place in the message; none where Kafka does not have it.
    pub judged: Option<Judged>,
    /// Tables that can't tell, with why.
    pub mute: Vec<(String, String)>,
}

/// Whether the group is done with an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was written there yet.
    NotWritten,
    /// It waits, is read, or is claimed.
    NotSettled,
    /// It is settled.
    Settled,
}

/// A row of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowAt {
    /// `database.table`.
    pub table: String,
    /// The part that holds it.
    pub part: String,
    /// When its batch was claimed, in milliseconds since 1970-01-01 UTC.
    pub ingested_at_ms: i64,
    /// The record's place in its message.
    pub index: u32,
    /// The batch that inserted it, where ClickHouse's log of parts still knows.
    pub batch: Option<String>,
}

/// What the record is by this configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// The log holds no record at this offset.
    NoRecord,
    /// A message without a value.
    Tombstone,
    /// Records, each as table, place in the message, and code and reason where it is bad.
    Records(Vec<JudgedRecord>),
    /// A message that holds no record, or one that no table takes.
    Nothing,
}

/// One record of a message, for one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedRecord {
    /// `database.table`; empty where it is bad for all.
    pub table: String,
    /// Its place in the message.
    pub index: u32,
    /// Why it is bad: the code, and what was expected and found.
    pub reject: Option<(String, String)>,
}

/// Finds out all about one offset; none where the topic has no such partition.
///
/// # Errors
/// When a server does not answer.
pub async fn place(ground: &Ground, partition: Partition, offset: Offset) -> Result<Option<Place>, Fault> {
    let positions = positions(ground, (None, None)).await?;
    let Some(position) = positions.partitions.get(&partition).cloned() else { return Ok(None) };
    let range = Range::new(offset, Offset(offset.0.saturating_add(1)));
    let claim = positions.claims().find(|claim| {
        claim.ranges.get(&partition).is_some_and(|claimed| claimed.from <= offset && offset < claimed.to)
    });
    let claimed_by = claim.map(|claim| (claim.id, claim.claimed_at));
    let gaps = Gaps::of(ground).await.map_err(|error| unanswered("the reported gaps", &error))?;
    let gap = gaps.at(partition, offset).map(|gap| (gap.range, gap.reason.clone()));
    let rows = rows(ground, (partition, range)).await.map_err(|error| unanswered("the rows", &error))?;
    let letters = letters_of(ground, (partition, range)).await;
    let letters = letters.map_err(|error| unanswered("the dead letters", &error))?;
    let judged = judged(ground, &position, (partition, range)).await?;
    let (committed, log, settled_by) = (position.committed, position.log, position.settled_by(offset));
    let mut survey = Survey::of(ground, positions).await?;
    let (outcome, _) = survey.judge(&[(partition, range)], Aside::Nothing).await?;
    let standing = match committed {
        Some(committed) if offset < committed => Standing::Settled,
        _ if offset >= log.to => Standing::NotWritten,
        _ => Standing::NotSettled,
    };
    let mut counts = Counts::default();
    outcome.counts.values().for_each(|of| counts.add(of));
    let fate = counts.foremost().filter(|_| ground.can_tell());
    let mute = survey.report.mute;
    let place =
        Place { standing, fate, committed, log, settled_by, claimed_by, rows, letters, gap, judged, mute };
    Ok(Some(place))
}

async fn rows(ground: &Ground, piece: Piece) -> Result<Vec<RowAt>, QueryError> {
    let mut rows = Vec::new();
    for table in ground.tables.iter().filter(|table| !table.lineage.offset.is_empty()) {
        rows.extend(rows_in(ground, table, piece).await?);
    }
    Ok(rows)
}

async fn rows_in(
    ground: &Ground,
    table: &AuditedTable,
    (partition, range): Piece,
) -> Result<Vec<RowAt>, QueryError> {
    #[derive(Deserialize)]
    struct Row {
        part: String,
        time: i64,
        i: u32,
    }
    let lineage = &table.lineage;
    let sql = format!(
        "SELECT _part AS part, toUnixTimestamp64Milli({}) AS time, {} AS i FROM {} WHERE {} = {partition} AND {} = {} \
         ORDER BY part, time, i LIMIT {SHOWN_MAX}",
        lineage.time, lineage.index, table.quoted, lineage.partition, lineage.offset, range.from,
    );
    let mut rows = Vec::new();
    for Row { part, time, i } in bounded(ground.client.query(&sql)).rows().await? {
        // Without the log of parts, or without the right to read it, the batch is not known.
        let batch = inserted_by(ground, table, &part).await.ok().flatten();
        rows.push(RowAt { table: table.name.clone(), part, ingested_at_ms: time, index: i, batch });
    }
    Ok(rows)
}

/// The batch whose insert made a part; none where merges made it.
async fn inserted_by(
    ground: &Ground,
    table: &AuditedTable,
    part: &str,
) -> Result<Option<String>, QueryError> {
    #[derive(Deserialize)]
    struct Inserted {
        query_id: String,
    }
    let ((database, name), part) = (&table.texts, before_mutations(part));
    let sql = format!(
        "SELECT query_id FROM system.part_log WHERE event_type = 'NewPart' AND database = {database} \
         AND `table` = {name} AND part_name = {} ORDER BY event_time DESC LIMIT 1",
        quote::text(&part)
    );
    let found: Vec<Inserted> = ground.client.rows(&sql).await?;
    Ok(found.first().and_then(|found| batch_of(&found.query_id)).map(str::to_owned))
}

/// The name that a part had before mutations changed it: `202611_6_6_0_9` was `202611_6_6_0`.
fn before_mutations(part: &str) -> String {
    match part.split('_').collect::<Vec<_>>().as_slice() {
        [partition, first, last, level, _] => [*partition, *first, *last, *level].join("_"),
        _ => part.to_owned(),
    }
}

/// The batch in the id of an insert's query: `ph-<batch>-<table>-<attempt>-…`.
fn batch_of(query_id: &str) -> Option<&str> {
    let batch = query_id.strip_prefix("ph-")?.split('-').next()?;
    (batch.len() == 32 && batch.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(batch)
}

async fn letters_of(ground: &Ground, (partition, range): Piece) -> Result<Vec<Listed>, QueryError> {
    if !ground.kept.letters || !ground.kept.resolved {
        return Ok(Vec::new());
    }
    let filter = Filter {
        stream: Some(ground.stream.name.clone()),
        topic: Some(ground.stream.topic.clone()),
        partition: Some(partition.0),
        offsets: Some(range.from.0..range.to.0),
        fate: LetterFate::All,
        ..Filter::default()
    };
    letters::newest(&ground.client, &filter, SHOWN_MAX).await
}

/// What the record is by this configuration; none where Kafka does not have it.
async fn judged(
    ground: &Ground,
    position: &Position,
    (partition, range): Piece,
) -> Result<Option<Judged>, Fault> {
    if range.from < position.log.from || range.to > position.log.to {
        return Ok(None);
    }
    let mut decoder = topic::Decoder::new(&ground.stream, &ground.settings.revision);
    let names: Vec<String> = ground.tables.iter().map(|table| table.name.clone()).collect();
    let work = move |read: topic::Reader| {
        let mut judged = Judged::NoRecord;
        read(&mut |record| {
            if record.offset == range.from.0 {
                judged = judge(record, decoder.judge(record), &names);
            }
        })?;
        Ok(judged)
    };
    let spans = Spans::from([(partition, range)]);
    match topic::reading(ground, &spans, &mut |_| {}, work).await {
        Ok(judged) => Ok(Some(judged)),
        Err(ReadError::Deleted(..) | ReadError::Cut(..)) => Ok(None),
        Err(error) => Err(unreadable(&ground.stream.topic, &error)),
    }
}

fn judge(record: &Record<'_>, tried: &[Tried], names: &[String]) -> Judged {
    if tried.is_empty() {
        return if record.payload.is_none() { Judged::Tombstone } else { Judged::Nothing };
    }
    let one = |tried: &Tried| {
        let table = tried.table.map_or_else(String::new, |table| names[table].clone());
        let reject =
            tried.reject.as_ref().map(|reject| (reject.code.as_str().to_owned(), reject.reason.clone()));
        JudgedRecord { table, index: tried.index, reject }
    };
    Judged::Records(tried.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutated_part_is_known_by_its_old_name() {
        assert_eq!(before_mutations("202611_6_6_0_9"), "202611_6_6_0");
        assert_eq!(before_mutations("202611_6_6_0"), "202611_6_6_0");
        assert_eq!(before_mutations("odd"), "odd");
    }

    #[test]
    fn the_id_of_an_insert_names_its_batch() {
        let id = "ph-0123456789abcdef0123456789abcdef-0-1-9c8b7a6f";
        assert_eq!(batch_of(id), Some("0123456789abcdef0123456789abcdef"));
        for other in ["", "ph-", "pumphouse-1", "ph-01-0-1-2", "ph-0123456789abcdef0123456789abcdeg-0-1-2"] {
            assert_eq!(batch_of(other), None, "{other}");
        }
    }
}
