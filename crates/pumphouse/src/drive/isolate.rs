//! Carries out the order to find refused rows: reads the batch again, has its rows tried, says what was found.

use std::collections::BTreeMap;
use std::sync::Arc;

use pumphouse_core::claim::{BatchId, Claim};
use pumphouse_core::isolation::Isolation;
use pumphouse_core::pump::{Input, TableId};

use super::lane::{Answer, Lane, Mailbox, Shared};
use super::orders::{leave_out, read_again};
use super::ready;
use crate::decode::{Code as RejectCode, LeftOut, OpenBatch, RowPlace};
use crate::sink::isolate::{self, Block, Found};
use crate::sink::target::Target;
use crate::source::kafka::reader::ReadError;
use crate::telemetry::event;

/// What ClickHouse said of the rows that it refuses, of the batch at hand.
#[derive(Clone, Default)]
pub(super) struct Refused {
    /// Of each row.
    pub(super) rows: LeftOut,
    /// Of the block.
    pub(super) block: Option<String>,
}

/// What a letter says of a row that an earlier owner has found.
const FOUND_BEFORE: &str =
    "ClickHouse refuses the row; which rule it breaks stands in the log of the process that found it";

impl Lane {
    pub(super) fn isolate(&self, claim: Claim, table: TableId) {
        let (shared, refused) = (Arc::clone(&self.shared), Arc::clone(&self.refused));
        self.ask(move |mailbox| {
            let found = search(&shared, &claim, table, &refused, mailbox);
            mailbox.send(Answer::Isolated(claim.id, table, Box::new(found)));
        });
    }

    /// What was found goes to the pump; what the server said stays here until the letters are written.
    pub(super) fn isolated(&mut self, batch: BatchId, table: TableId, found: Found) {
        let stream = &self.shared.stream.name;
        let name = self.shared.sink.targets.get(usize::from(table.0)).map(Target::name);
        let (table_name, code) = (name.unwrap_or_default(), RejectCode::RowRefused.as_str());
        let (rows, trials) = (found.said.len(), found.trials);
        let (error, what) = (found.of_the_block.as_deref().unwrap_or_default(), outcome(&found.isolation));
        tracing::warn!(stream, %batch, table = table_name, code, rows, what, trials, error, "{}", event::ROWS_REFUSED);
        let refused = Arc::make_mut(&mut self.refused);
        refused.rows.extend(found.said);
        refused.block = found.of_the_block;
        self.step(Input::Isolated(batch, table, found.isolation));
    }
}

fn outcome(isolation: &Isolation) -> &'static str {
    match isolation {
        Isolation::Rows { .. } => "rows found",
        Isolation::TooMany { .. } => "more rows than one batch may leave out",
        Isolation::EveryRow => "every row",
        Isolation::NoRow => "no row by itself",
        Isolation::NoRowLeft => "no row by itself of what Kafka still holds",
        Isolation::Unknown => "could not be found out",
    }
}

fn search(shared: &Shared, claim: &Claim, table: TableId, refused: &Refused, mailbox: &Mailbox) -> Found {
    let nothing = |reason: String| Found {
        isolation: Isolation::Unknown,
        said: LeftOut::new(),
        of_the_block: Some(reason),
        trials: 0,
    };
    let (mut open, is_cut) = match read_what_is_left(shared, claim, refused, mailbox) {
        Ok(read) => read,
        Err(ReadError::Kafka(error)) => return nothing(error.to_string()),
        Err(_) => return nothing("the batch can't be read again from Kafka for now".to_owned()),
    };
    let of_what_is_left = |found: Found| match found.isolation {
        Isolation::NoRow if is_cut => Found { isolation: Isolation::NoRowLeft, ..found },
        _ => found,
    };
    let number = usize::from(table.0);
    let places: Vec<RowPlace> = open.places(number);
    let sealed = open.seal(claim.claimed_at.0);
    let Some(Some(rows)) = sealed.tables.get(number) else {
        let none = nothing("the batch holds no row for this table".to_owned());
        return of_what_is_left(Found { isolation: Isolation::NoRow, ..none });
    };
    let compression = ready::compression(shared.settings.clickhouse.compression);
    let block = Block { rows, places: &places, compression };
    of_what_is_left(shared.runtime.block_on(isolate::isolate(
        &shared.sink,
        &block,
        (table, claim.claimed_at),
    )))
}

/// Reads and decodes what Kafka still holds of a claim; says whether that is less than all of it.
fn read_what_is_left(
    shared: &Shared,
    claim: &Claim,
    refused: &Refused,
    mailbox: &Mailbox,
) -> Result<(OpenBatch, bool), ReadError> {
    let (mut ranges, mut deleted) = (claim.ranges.clone(), BTreeMap::new());
    loop {
        match read_again(shared, (claim, &ranges), refused, mailbox) {
            Err(ReadError::Deleted(partition, to)) => leave_out(partition, to, &mut ranges, &mut deleted),
            Err(error) => return Err(error),
            Ok((open, _)) => return Ok((open, !deleted.is_empty())),
        }
    }
}

/// The rows that a claim excludes, each with what is known of its refusal.
pub(super) fn left_out(claim: &Claim, refused: &Refused) -> LeftOut {
    let rows = claim.excluded.iter().map(|row| RowPlace {
        table: usize::from(row.table.0),
        partition: row.partition.0,
        offset: row.offset.0,
        index: row.index,
    });
    let said = |place: &RowPlace| refused.rows.get(place).cloned().unwrap_or_else(|| FOUND_BEFORE.to_owned());
    rows.map(|place| (place, said(&place))).collect()
}
