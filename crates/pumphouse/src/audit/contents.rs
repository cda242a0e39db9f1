//! What single offsets have: how many rows in each table, and which dead letters. Only for ranges whose sums do not agree.

use pumphouse_clickhouse::client::QueryError;
use pumphouse_clickhouse::quote;
use pumphouse_core::audit::Letter;
use pumphouse_core::offset::{Offset, Partition, Range};
use serde::Deserialize;

use super::ground::{AuditedTable, Ground, bounded};
use crate::decode::Code;
use crate::sink::replay_tables::RESOLVED_TABLE;
use crate::sink::target::{DEAD_LETTERS_DATABASE, DEAD_LETTERS_TABLE};

/// Some offsets of a partition.
pub(super) type Piece = (Partition, Range);

/// Rows of one record in one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowsAt {
    pub(super) partition: u32,
    pub(super) offset: u64,
    pub(super) index: u32,
    /// The table, by its number in the stream.
    pub(super) table: usize,
    pub(super) count: u64,
}

/// The dead letter of one record, for one table or all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LetterAt {
    pub(super) partition: u32,
    pub(super) offset: u64,
    pub(super) index: u32,
    /// `database.table`; empty where it is bad as a whole.
    pub(super) table: String,
    pub(super) is_given_up: bool,
}

/// All that a few ranges have, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    rows: Vec<RowsAt>,
    letters: Vec<LetterAt>,
}

impl Contents {
    /// Asks every table that can tell.
    pub(super) async fn of(ground: &Ground, ranges: &[Piece]) -> Result<Self, QueryError> {
        let mut contents = Self::default();
        for (number, table) in ground.tables.iter().enumerate().filter(|(_, table)| table.mute.is_none()) {
            contents.rows.extend(rows(ground, (number, table), ranges).await?);
        }
        contents.rows.sort_unstable();
        contents.letters = letters(ground, ranges).await?;
        contents.letters.sort_unstable();
        Ok(contents)
    }

    /// The rows of an offset.
    pub(super) fn rows_at(&self, partition: Partition, offset: Offset) -> &[RowsAt] {
        let place = |rows: &RowsAt| (rows.partition, rows.offset);
        run(&self.rows, (partition.0, offset.0), place)
    }

    /// The letters of an offset.
    pub(super) fn letters_at(&self, partition: Partition, offset: Offset) -> &[LetterAt] {
        let place = |letter: &LetterAt| (letter.partition, letter.offset);
        run(&self.letters, (partition.0, offset.0), place)
    }
}

impl LetterAt {
    pub(super) fn state(&self) -> Letter {
        if self.is_given_up { Letter::GivenUp } else { Letter::Kept }
    }
}

fn run<T>(sorted: &[T], place: (u32, u64), of: impl Fn(&T) -> (u32, u64)) -> &[T] {
    let from = sorted.partition_point(|each| of(each) < place);
    let length = sorted[from..].partition_point(|each| of(each) == place);
    &sorted[from..from + length]
}

async fn rows(
    ground: &Ground,
    (number, table): (usize, &AuditedTable),
    ranges: &[Piece],
) -> Result<Vec<RowsAt>, QueryError> {
    #[derive(Deserialize)]
    struct Row {
        p: u32,
        o: u64,
        i: u32,
        n: u64,
    }
    let lineage = &table.lineage;
    // A row from before the lineage columns has zeros in them: it is not the first record's.
    let sql = format!(
        "SELECT {} AS p, {} AS o, {} AS i, count() AS n FROM {} WHERE ({}) AND {} > fromUnixTimestamp64Milli(0) \
         GROUP BY p, o, i",
        lineage.partition,
        lineage.offset,
        lineage.index,
        table.quoted,
        any_of(&lineage.partition, &lineage.offset, ranges),
        lineage.time,
    );
    let rows: Vec<Row> = bounded(ground.client.query(&sql)).rows().await?;
    let row = |Row { p, o, i, n }| RowsAt { partition: p, offset: o, index: i, table: number, count: n };
    Ok(rows.into_iter().map(row).collect())
}

async fn letters(ground: &Ground, ranges: &[Piece]) -> Result<Vec<LetterAt>, QueryError> {
    #[derive(Deserialize)]
    struct Row {
        partition: u32,
        offset: u64,
        index: u32,
        table: String,
        state: String,
    }
    let Some(source) = letters_by_name(ground, &format!("({})", any_of("partition", "offset", ranges)))
    else {
        return Ok(Vec::new());
    };
    let sql = format!(
        "SELECT partition, offset, `index`, `table`, state FROM ({source}) WHERE state IN ('kept', 'given up')"
    );
    let rows: Vec<Row> = bounded(ground.client.query(&sql)).rows().await?;
    let letter = |Row { partition, offset, index, table, state }| LetterAt {
        partition,
        offset,
        index,
        table,
        is_given_up: state == "given up",
    };
    Ok(rows.into_iter().map(letter).collect())
}

/// A query of the stream's letters, one row for each name: `kept`, `given up`, or what says nothing of the record
/// (it became a row, or was set aside by a repair). What came last counts, an outcome before a letter of its time.
pub(super) fn letters_by_name(ground: &Ground, condition: &str) -> Option<String> {
    const NAME: &str = "partition, offset, `index`, `table`";
    if !ground.kept.letters {
        return None;
    }
    let of = format!(
        "stream = {} AND topic = {} AND {condition}",
        quote::text(&ground.stream.name),
        quote::text(&ground.stream.topic)
    );
    let mut source = format!(
        "SELECT {NAME}, time AS at, 0 AS settles, if(code = {}, 'set aside', 'kept') AS said FROM {} WHERE {of}",
        quote::text(Code::Missing.as_str()),
        quote::table(DEAD_LETTERS_DATABASE, DEAD_LETTERS_TABLE),
    );
    if ground.kept.resolved {
        let outcomes = format!(
            " UNION ALL SELECT {NAME}, letter_time AS at, 1 AS settles, \
             if(how IN ('filtered', 'purged'), 'given up', 'a row') AS said FROM {} WHERE {of} AND how != 'missed'",
            quote::table(DEAD_LETTERS_DATABASE, RESOLVED_TABLE),
        );
        source.push_str(&outcomes);
    }
    Some(format!("SELECT {NAME}, argMax(said, (at, settles)) AS state FROM ({source}) GROUP BY {NAME}"))
}

/// The condition for offsets of a few ranges.
fn any_of(partition: &str, offset: &str, ranges: &[Piece]) -> String {
    let of = |(number, Range { from, to }): &Piece| {
        format!("({partition} = {number} AND {offset} >= {from} AND {offset} < {to})")
    };
    ranges.iter().map(of).collect::<Vec<_>>().join(" OR ")
}
