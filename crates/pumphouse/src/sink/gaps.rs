//! The table of gaps: offsets that Kafka deleted before they became rows. What of a claim is missing, lineage tells; each
//! gap is one insert with a token of its own. Does not decide when a gap is reported, nor what follows.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow_array::{ArrayRef, BinaryArray, RecordBatch, TimestampMillisecondArray, UInt32Array, UInt64Array};
use pumphouse_clickhouse::arrow_stream::{self, Compression};
use pumphouse_clickhouse::client::{Query, QueryError};
use pumphouse_clickhouse::ddl::TableSpec;
use pumphouse_clickhouse::insert::{Insert, InsertAnswer, Refusal as Refused};
use pumphouse_clickhouse::preflight::WINDOW;
use pumphouse_clickhouse::quote;
use pumphouse_core::claim::Claim;
use pumphouse_core::gap::{GapOf, Gaps, GapsAnswer};
use pumphouse_core::moment::ServerTime;
use pumphouse_core::offset::{Offset, Partition, Range};
use pumphouse_core::verdict::Refusal;
use serde::Deserialize;

use super::insert::{Sink, refusal_of};
use super::probe::where_claimed;
use super::target::{DEAD_LETTERS_DATABASE, LineageKey, Target};
use crate::config::settings::Stream;
use crate::telemetry::event;

/// The table of the gaps.
pub const GAPS_TABLE: &str = "gaps";
/// Kafka deleted the records before they were read.
pub const RETENTION: &str = "retention";
/// Kafka deleted the records after they were claimed, and the tables can't tell, or not yet, whether they landed.
pub const RETENTION_POSSIBLY_LANDED: &str = "retention, possibly landed";

/// Pieces of one deleted range that are told apart; in more, all of it is one gap that possibly landed.
const PIECES_MAX: usize = 1_000;
/// Longest time that a question about rows may take.
const QUESTION_TIME_MAX: Duration = Duration::from_mins(5);

/// One gap as it stands in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The partition.
    pub partition: Partition,
    /// The offsets.
    pub missing: Range,
    /// Why they are missing.
    pub reason: &'static str,
}

/// Name and type of each column.
#[must_use]
pub fn gaps_columns() -> Vec<(String, String)> {
    [
        ("stream", "LowCardinality(String)"),
        ("topic", "String"),
        ("partition", "UInt32"),
        ("from_offset", "UInt64"),
        ("to_offset", "UInt64"),
        ("reason", "LowCardinality(String)"),
        ("found_at", "DateTime64(3)"),
    ]
    .map(|(name, column_type)| (name.to_owned(), column_type.to_owned()))
    .to_vec()
}

/// The table, which all streams share. It has no partition key: a token has to be one for the whole table.
#[must_use]
pub fn gaps_table() -> TableSpec {
    TableSpec {
        database: DEAD_LETTERS_DATABASE.to_owned(),
        name: GAPS_TABLE.to_owned(),
        order_by: ["stream", "topic", "partition", "from_offset"].map(quote::name).to_vec(),
        partition_by: None,
        ttl: None,
        window: WINDOW,
        columns: gaps_columns(),
    }
}

/// The table as preflight and inserts know it.
#[must_use]
pub fn gaps_target() -> Target {
    Target {
        database: DEAD_LETTERS_DATABASE.to_owned(),
        table: GAPS_TABLE.to_owned(),
        columns: gaps_columns(),
        has_views: false,
        window: 0,
        partition_key: String::new(),
        rollups: Vec::new(),
        lineage: None,
    }
}

/// Writes gaps down; once all stand there, what they are.
///
/// # Errors
/// What is known otherwise: some may stand there, or the last one asked for does not.
pub async fn report(
    sink: &Sink,
    stream: &Stream,
    gaps: &Gaps,
    now: ServerTime,
) -> Result<Vec<Reported>, GapsAnswer> {
    if let GapOf::Claim(claim) = &gaps.of {
        nobody_inserts(sink, claim).await?;
    }
    let mut reported = Vec::new();
    for (partition, missing) in &gaps.missing {
        let found = match &gaps.of {
            GapOf::Unread(_) => vec![(*missing, RETENTION)],
            GapOf::Claim(claim) => {
                let landed = landed(sink, stream.tables.len(), claim, (*partition, *missing)).await;
                let missing = missing_of(*missing, &landed.map_err(|error| unanswered(&error))?);
                as_of(now, claim.sent_until, missing)
            }
        };
        let rows: Vec<Reported> = found
            .into_iter()
            .map(|(missing, reason)| Reported { partition: *partition, missing, reason })
            .collect();
        let token = gaps.token(&stream.name, &stream.topic, *partition);
        let token = token.expect("each partition of a report has its gap");
        if !rows.is_empty() {
            write(sink, stream, &rows, &token, now).await?;
        }
        reported.extend(rows);
    }
    Ok(reported)
}

/// What the tables hold of a deleted part of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Landed {
    /// Exactly these offsets.
    Pieces(Vec<Range>),
    /// They can't tell.
    Untold,
}

/// The offsets of `missing` that did not land, with the reason.
fn missing_of(missing: Range, landed: &Landed) -> Vec<(Range, &'static str)> {
    let Landed::Pieces(pieces) = landed else { return vec![(missing, RETENTION_POSSIBLY_LANDED)] };
    let mut pieces = pieces.clone();
    pieces.sort_unstable_by_key(|piece| piece.from);
    let mut gaps = Vec::new();
    let mut from = missing.from;
    for piece in pieces {
        if piece.from > from {
            gaps.push((Range::new(from, piece.from), RETENTION));
        }
        from = from.max(piece.to);
    }
    if from < missing.to {
        gaps.push((Range::new(from, missing.to), RETENTION));
    }
    gaps
}

/// Until the last deadline of its claim has passed, an insert that is still on its way may land what is missing now.
fn as_of(
    now: ServerTime,
    sent_until: ServerTime,
    mut missing: Vec<(Range, &'static str)>,
) -> Vec<(Range, &'static str)> {
    if now <= sent_until {
        for (_, reason) in &mut missing {
            *reason = RETENTION_POSSIBLY_LANDED;
        }
    }
    missing
}

/// An insert of the claim that is still running may yet land what is about to be called missing.
async fn nobody_inserts(sink: &Sink, claim: &Claim) -> Result<(), GapsAnswer> {
    #[derive(Deserialize)]
    struct Running {
        running: u64,
    }
    let ids = std::iter::once(claim.id).chain(claim.supersedes.iter().map(|superseded| superseded.id));
    let named: Vec<String> = ids.map(|id| format!("startsWith(query_id, 'ph-{id}-')")).collect();
    let sql = format!("SELECT count() AS running FROM system.processes WHERE {}", named.join(" OR "));
    match sink.client.query(&sql).row::<Running>().await {
        Ok(Running { running: 0 }) => Ok(()),
        Ok(_) => {
            tracing::info!(batch = %claim.id, "an earlier insert of the batch still runs; its gap is judged after it");
            Err(GapsAnswer::Unknown)
        }
        Err(error) => Err(unanswered(&error)),
    }
}

/// Which offsets of a deleted part of `claim` have rows or dead letters.
async fn landed(
    sink: &Sink,
    tables: usize,
    claim: &Claim,
    part: (Partition, Range),
) -> Result<Landed, QueryError> {
    let mut all = Vec::new();
    for target in &sink.targets {
        let Some(lineage) = &target.lineage else { return Ok(Landed::Untold) };
        let found: Vec<Piece> =
            long(sink.client.query(&pieces_question(target, lineage, claim, part))).rows().await?;
        // A record may go to some of several tables: a row in one says nothing of the others. Nor does it of a view's
        // target: an insert that was cut off after the table leaves that without the rows, and what can't be built
        // again can't reach it any more.
        let tells_of_itself_only = tables > 1 || target.has_views;
        if found.len() > PIECES_MAX || (tells_of_itself_only && !found.is_empty()) {
            return Ok(Landed::Untold);
        }
        all.extend(found.into_iter().map(|piece| Range::new(Offset(piece.begins), Offset(piece.ends))));
    }
    Ok(Landed::Pieces(all))
}

#[derive(Deserialize)]
struct Piece {
    begins: u64,
    ends: u64,
}

/// Offsets that follow each other are one piece.
fn pieces_question(
    target: &Target,
    lineage: &LineageKey,
    claim: &Claim,
    (partition, range): (Partition, Range),
) -> String {
    let shared = lineage.condition.as_ref().map(|condition| format!(" AND {condition}")).unwrap_or_default();
    let before = claim.supersedes.iter().map(|superseded| superseded.claimed_at);
    let times: Vec<String> = std::iter::once(claim.claimed_at)
        .chain(before)
        .map(|time| format!("fromUnixTimestamp64Milli({})", time.0))
        .collect();
    format!(
        "SELECT min(place) AS begins, max(place) + 1 AS ends FROM \
         (SELECT place, place - row_number() OVER (ORDER BY place) AS piece FROM \
         (SELECT DISTINCT {offset} AS place FROM {table} WHERE {of} = {partition} AND {offset} >= {from} \
         AND {offset} < {to} AND {time} IN ({times}){shared})) \
         GROUP BY piece ORDER BY begins LIMIT {limit}",
        offset = quote::name(&lineage.offset),
        table = quote::table(&target.database, &target.table),
        of = quote::name(&lineage.partition),
        from = range.from,
        to = range.to,
        time = quote::name(&lineage.claimed_at),
        times = times.join(", "),
        limit = PIECES_MAX + 1,
    )
}

async fn write(
    sink: &Sink,
    stream: &Stream,
    rows: &[Reported],
    token: &str,
    now: ServerTime,
) -> Result<(), GapsAnswer> {
    let texts = |text: fn(&Reported) -> &'static str| -> ArrayRef {
        Arc::new(BinaryArray::from_iter_values(rows.iter().map(text)))
    };
    let same = |text: &str| -> ArrayRef {
        Arc::new(BinaryArray::from_iter_values(std::iter::repeat_n(text, rows.len())))
    };
    let offsets = |offset: fn(&Range) -> Offset| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| offset(&row.missing).0)))
    };
    let arrays: [ArrayRef; 7] = [
        same(&stream.name),
        same(&stream.topic),
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.partition.0))),
        offsets(|range| range.from),
        offsets(|range| range.to),
        texts(|row| row.reason),
        Arc::new(TimestampMillisecondArray::from_value(now.0, rows.len())),
    ];
    let columns = gaps_columns();
    let batch = RecordBatch::try_from_iter(columns.iter().map(|(name, _)| name.as_str()).zip(arrays))
        .expect("each column has a value for each gap");
    let body =
        arrow_stream::encode(&batch, Compression::None).map_err(|_| GapsAnswer::Refused(Refusal::Block))?;
    let insert = Insert {
        database: DEAD_LETTERS_DATABASE,
        table: GAPS_TABLE,
        columns: &columns,
        token,
        deadline_unix_seconds: now.after(sink.timeout).0.div_euclid(1000),
        timeout: sink.timeout,
        body: &body,
        query_id: None,
        settings: &BTreeMap::new(),
        url_index: sink.server.load(Ordering::Relaxed),
        has_views: false,
    };
    let answer = sink.client.insert(&insert).await;
    let (told, error) = match answer {
        InsertAnswer::Done => return Ok(()),
        InsertAnswer::Unknown(doubt) => (GapsAnswer::Unknown, doubt.to_string()),
        InsertAnswer::Refused(refused) => {
            let refusal = match &refused {
                Refused::NotSent(_) => Refusal::NotSent,
                Refused::Server(error) => refusal_of(error.kind),
            };
            (GapsAnswer::Refused(refusal), refused.to_string())
        }
    };
    tracing::warn!(table = GAPS_TABLE, answer = ?told, error, "{}", event::INSERT_RETRIED);
    Err(told)
}

/// The highest offset that the stream's tables hold of each partition; tables that can't tell, and those of other streams
/// as well, are left out. Dead letters count where there are rows: alone they may be of a table that was emptied.
///
/// # Errors
/// When a table can't be asked now.
pub async fn highest(
    sink: &Sink,
    stream: &Stream,
    shared: &BTreeSet<String>,
    partitions: &BTreeSet<Partition>,
) -> Result<BTreeMap<Partition, Offset>, QueryError> {
    #[derive(Deserialize)]
    struct Highest {
        place: u32,
        highest: u64,
    }
    let mut all: BTreeMap<Partition, Offset> = BTreeMap::new();
    let asked: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    let own = sink.targets.iter().enumerate().filter(|(_, target)| !shared.contains(&target.name()));
    for (number, target) in own {
        let is_of_rows = number < stream.tables.len();
        let Some(lineage) = &target.lineage else { continue };
        let condition = lineage.condition.as_ref().map(|said| format!(" AND {said}")).unwrap_or_default();
        let sql = format!(
            "SELECT {of} AS place, max({offset}) AS highest FROM {table} WHERE {of} IN ({asked}){condition} \
             GROUP BY place",
            of = quote::name(&lineage.partition),
            offset = quote::name(&lineage.offset),
            table = quote::table(&target.database, &target.table),
            asked = asked.join(", "),
        );
        for Highest { place, highest } in long(sink.client.query(&sql)).rows().await? {
            match all.entry(Partition(place)) {
                Entry::Occupied(mut known) => *known.get_mut() = Offset(highest).max(*known.get()),
                Entry::Vacant(unknown) if is_of_rows => drop(unknown.insert(Offset(highest))),
                Entry::Vacant(_) => {}
            }
        }
    }
    Ok(all)
}

fn long(query: Query<'_>) -> Query<'_> {
    let seconds = QUESTION_TIME_MAX.as_secs().to_string();
    query.timeout(QUESTION_TIME_MAX).setting("max_execution_time", &seconds)
}

/// A question changes nothing, so an error is always a refusal.
fn unanswered(error: &QueryError) -> GapsAnswer {
    tracing::warn!(%error, "the tables can't be asked for a gap yet");
    GapsAnswer::Refused(match error {
        QueryError::NotSent(_) | QueryError::Lost(_) | QueryError::Answer(_) => Refusal::NotSent,
        QueryError::Server(error) => refusal_of(error.kind),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: u64, to: u64) -> Range {
        Range::new(Offset(from), Offset(to))
    }

    #[test]
    fn what_is_missing_is_what_lies_between_what_landed() {
        let missing = |pieces: &[(u64, u64)]| {
            let pieces = pieces.iter().map(|(from, to)| range(*from, *to)).collect();
            let found = missing_of(range(10, 20), &Landed::Pieces(pieces));
            assert!(found.iter().all(|(_, reason)| *reason == RETENTION));
            found.into_iter().map(|(gap, _)| (gap.from.0, gap.to.0)).collect::<Vec<_>>()
        };
        assert_eq!(missing(&[]), [(10, 20)]);
        assert_eq!(missing(&[(10, 20)]), []);
        assert_eq!(missing(&[(14, 15), (10, 12), (11, 13)]), [(13, 14), (15, 20)]);
        assert_eq!(missing(&[(12, 20)]), [(10, 12)]);
    }

    #[test]
    fn before_the_last_deadline_of_a_claim_nothing_is_missing_for_sure() {
        let reason = |now| as_of(ServerTime(now), ServerTime(5), vec![(range(1, 2), RETENTION)])[0].1;
        assert_eq!((reason(5), reason(6)), (RETENTION_POSSIBLY_LANDED, RETENTION));
    }

    #[test]
    fn where_the_tables_cannot_tell_all_of_it_may_have_landed() {
        let found = missing_of(range(10, 20), &Landed::Untold);
        assert_eq!(found, [(range(10, 20), RETENTION_POSSIBLY_LANDED)]);
    }
}
