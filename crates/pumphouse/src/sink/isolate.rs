//! Finds the rows of a block that a table refuses: tries slices of it where nothing is stored, and asks whether the
//! refusal is one that holds at any time. Which slice comes next, the core's search decides; what follows, the pump.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use pumphouse_clickhouse::arrow_stream::{self, Compression};
use pumphouse_clickhouse::client::{Client, QueryError};
use pumphouse_clickhouse::exception::ServerError;
use pumphouse_clickhouse::insert::{Doubt, InsertAnswer, Refusal};
use pumphouse_clickhouse::preflight::{Refusing, is_steady};
use pumphouse_clickhouse::scratch::{Likeness, Original, Scratch};
use pumphouse_core::claim::{EXCLUDED_MAX, Excluded};
use pumphouse_core::isolation::{Isolation, Proof, Search};
use pumphouse_core::moment::ServerTime;
use pumphouse_core::offset::{Offset, Partition};
use pumphouse_core::pump::TableId;

use super::insert::Sink;
use super::target::Target;
use crate::decode::RowPlace;

/// Longest search for the rows of one block; what is judged by then counts.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(20);
/// ClickHouse's code for a violated constraint.
const VIOLATED_CONSTRAINT: i32 = 469;

/// What a search found, for the pump and for people.
pub struct Found {
    /// For the pump.
    pub isolation: Isolation,
    /// What the server says of each refused row, without its contents.
    pub said: BTreeMap<RowPlace, String>,
    /// What it says of the block, or why nothing could be found out.
    pub of_the_block: Option<String>,
    /// Slices tried.
    pub trials: u32,
}

/// Where rows are tried: a table, on a server.
#[derive(Clone, Copy)]
pub struct Where<'a> {
    /// The connection.
    pub client: &'a Client,
    /// The server.
    pub server: usize,
    /// The table.
    pub target: &'a Target,
    /// The settings that go with each insert.
    pub settings: &'a BTreeMap<String, String>,
    /// Limit for one trial.
    pub timeout: Duration,
}

/// A block of rows on their way to a table.
pub struct Block<'a> {
    /// Its rows.
    pub rows: &'a RecordBatch,
    /// Where each row comes from.
    pub places: &'a [RowPlace],
    /// How the slices are compressed.
    pub compression: Compression,
}

/// A block that a table refuses as a whole, searched.
pub struct Searched {
    search: Search,
    errors: BTreeMap<usize, ServerError>,
    of_the_block: ServerError,
    before_writing: bool,
    every_row: bool,
}

impl Searched {
    /// The refused rows, each with what the server says of it.
    #[must_use]
    pub fn said(&self, block: &Block<'_>, target: &Target) -> BTreeMap<RowPlace, String> {
        let said = |row: &usize| told(self.errors.get(row).unwrap_or(&self.of_the_block), target);
        self.search.refused().iter().map(|row| (block.places[*row], said(row))).collect()
    }

    /// Rows from the beginning of the block that are judged.
    #[must_use]
    pub fn judged(&self) -> usize {
        self.search.judged()
    }
}

enum Trial {
    Taken,
    Refused(Box<ServerError>),
    Unknown(String),
}

/// Finds the rows of `block` that a table of the stream refuses, each by itself.
pub async fn isolate(sink: &Sink, block: &Block<'_>, (table, claimed_at): (TableId, ServerTime)) -> Found {
    let mut found =
        Found { isolation: Isolation::NoRow, said: BTreeMap::new(), of_the_block: None, trials: 0 };
    let Some(target) = sink.targets.get(usize::from(table.0)) else { return found };
    let server = sink.server.load(Ordering::Relaxed);
    let at = Where { client: &sink.client, server, target, settings: &sink.settings, timeout: sink.timeout };
    match search(at, block, EXCLUDED_MAX).await {
        Ok(None) => {}
        Ok(Some(searched)) => {
            found.said = searched.said(block, target);
            found.of_the_block = Some(told(&searched.of_the_block, target));
            found.trials = searched.search.trials();
            found.isolation = judge(at, block, &searched, claimed_at).await.unwrap_or(Isolation::Unknown);
        }
        Err(reason) => (found.isolation, found.of_the_block) = (Isolation::Unknown, Some(reason)),
    }
    found
}

/// What the search means for the batch.
async fn judge(
    at: Where<'_>,
    block: &Block<'_>,
    searched: &Searched,
    claimed_at: ServerTime,
) -> Result<Isolation, QueryError> {
    let Searched { search, errors, before_writing, .. } = searched;
    let of_constraints = errors.values().all(|error| error.code == VIOLATED_CONSTRAINT);
    let is_constraints = *before_writing && of_constraints && !errors.is_empty();
    let refusing = if is_constraints { Refusing::Constraints } else { Refusing::Anything };
    let Target { database, table, columns, .. } = at.target;
    let sent: BTreeSet<String> = columns.iter().map(|(name, _)| name.clone()).collect();
    let asked = is_steady(at.client, at.server, (database, table), &sent, (refusing, claimed_at.0));
    let proof = Proof { is_steady: asked.await?, before_writing: *before_writing };
    Ok(if searched.every_row {
        Isolation::EveryRow
    } else if search.is_whole() {
        let rows = search.refused().iter().map(|row| excluded(block.places[*row])).collect();
        Isolation::Rows { rows, of: block.rows.num_rows() as u64, proof }
    } else {
        Isolation::TooMany { rows: search.judged() as u64, proof }
    })
}

/// Searches a block for at most so many refused rows; none where a table takes it as it is.
///
/// # Errors
/// Says why nothing could be found out: no right to create a temporary table, no answer, a server that is busy.
pub async fn search(
    at: Where<'_>,
    block: &Block<'_>,
    refused_max: usize,
) -> Result<Option<Searched>, String> {
    let original = Original {
        database: &at.target.database,
        table: &at.target.table,
        columns: &at.target.columns,
        settings: at.settings,
        timeout: at.timeout,
    };
    for likeness in [Likeness::Conditions, Likeness::Keys] {
        let created = Scratch::create(at.client, at.server, &original, likeness).await;
        let scratch = created.map_err(|error| no_scratch(&error))?;
        match trial(&scratch, block, 0..block.rows.num_rows()).await? {
            Trial::Taken => {}
            Trial::Unknown(reason) => return Err(reason),
            Trial::Refused(error) => {
                let (search, errors) = search_in(&scratch, block, &error, refused_max).await?;
                let every_row = is_every_row(&scratch, block, &search).await?;
                let before_writing = likeness == Likeness::Conditions;
                return Ok(Some(Searched {
                    search,
                    errors,
                    of_the_block: *error,
                    before_writing,
                    every_row,
                }));
            }
        }
    }
    Ok(None)
}

fn no_scratch(error: &QueryError) -> String {
    format!("a temporary table to try rows in can't be created: {error}")
}

async fn search_in(
    scratch: &Scratch<'_>,
    block: &Block<'_>,
    of_the_block: &ServerError,
    refused_max: usize,
) -> Result<(Search, BTreeMap<usize, ServerError>), String> {
    let (began, mut errors) = (Instant::now(), BTreeMap::new());
    let mut search = Search::new(block.rows.num_rows(), refused_max);
    search.refuses(of_the_block.row);
    while let Some(slice) = search.next_slice().filter(|_| began.elapsed() < SEARCH_TIME_MAX) {
        match trial(scratch, block, slice.clone()).await? {
            Trial::Taken => search.taken(),
            Trial::Unknown(reason) => return Err(reason),
            Trial::Refused(error) => {
                search.refuses(error.row);
                if slice.len() == 1 {
                    errors.insert(slice.start, *error);
                }
            }
        }
    }
    // A block of one row is refused by itself.
    if let (1, Some(row)) = (block.rows.num_rows(), search.refused().first()) {
        errors.insert(*row, of_the_block.clone());
    }
    Ok((search, errors))
}

/// Whether all rows are refused; of a large block, some are tried that the search did not come to.
async fn is_every_row(scratch: &Scratch<'_>, block: &Block<'_>, search: &Search) -> Result<bool, String> {
    if !search.only_refused() {
        return Ok(false);
    }
    for row in search.samples() {
        match trial(scratch, block, row..row + 1).await? {
            Trial::Taken => return Ok(false),
            Trial::Unknown(reason) => return Err(reason),
            Trial::Refused(_) => {}
        }
    }
    Ok(true)
}

/// What the server says, of the table itself and not of the temporary one.
fn told(error: &ServerError, target: &Target) -> String {
    let text = error.to_string();
    let Some((before, rest)) = text.split_once(" for table _temporary_and_external_tables") else {
        return text;
    };
    let after = rest.split_once(") ").map_or("", |(_, after)| after);
    format!("{before} of table {} {after}", target.name())
}

async fn trial(
    scratch: &Scratch<'_>,
    block: &Block<'_>,
    rows: std::ops::Range<usize>,
) -> Result<Trial, String> {
    let slice = block.rows.slice(rows.start, rows.len());
    let body = arrow_stream::encode(&slice, block.compression).map_err(|error| error.to_string())?;
    Ok(match scratch.try_rows(&body).await {
        InsertAnswer::Done => Trial::Taken,
        InsertAnswer::Refused(Refusal::Server(error)) | InsertAnswer::Unknown(Doubt::Server(error))
            if error.may_be_a_rows() =>
        {
            Trial::Refused(Box::new(error))
        }
        InsertAnswer::Refused(refused) => Trial::Unknown(refused.to_string()),
        InsertAnswer::Unknown(doubt) => Trial::Unknown(doubt.to_string()),
    })
}

/// The row as a claim names it.
fn excluded(place: RowPlace) -> Excluded {
    Excluded {
        partition: Partition(place.partition),
        offset: Offset(place.offset),
        index: place.index,
        table: TableId(u8::try_from(place.table).unwrap_or(u8::MAX)),
    }
}
