//! Finds the rows of a block that a table refuses: tries slices of it where nothing is stored, and asks whether the
//! refusal is one that holds at any time. Which slice comes next, the core's search decides; what follows, the pump.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use pumphouse_clickhouse::arrow_stream::{self, Compression};
use pumphouse_clickhouse::client::QueryError;
use pumphouse_clickhouse::exception::{ServerError, Stage};
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
    /// What it says of the block.
    pub of_the_block: Option<String>,
    /// Slices tried.
    pub trials: u32,
}

/// A block of rows on their way to a table.
pub struct Block<'a> {
    /// The table.
    pub table: TableId,
    /// Its rows.
    pub rows: &'a RecordBatch,
    /// Where each row comes from.
    pub places: &'a [RowPlace],
    /// When the batch was claimed.
    pub claimed_at: ServerTime,
    /// How the slices are compressed.
    pub compression: Compression,
}

enum Trial {
    Taken,
    Refused(Box<ServerError>),
    Unknown(String),
}

/// Finds the rows of `block` that its table refuses, each by itself.
pub async fn isolate(sink: &Sink, block: &Block<'_>) -> Found {
    let mut found =
        Found { isolation: Isolation::Unknown, said: BTreeMap::new(), of_the_block: None, trials: 0 };
    let searched = search_with(sink, block, &mut found).await;
    if let Err(reason) = searched {
        found.of_the_block = Some(reason);
    }
    found
}

async fn search_with(sink: &Sink, block: &Block<'_>, found: &mut Found) -> Result<(), String> {
    let Some(target) = sink.targets.get(usize::from(block.table.0)) else { return Ok(()) };
    let original = Original {
        database: &target.database,
        table: &target.table,
        columns: &target.columns,
        settings: &sink.settings,
        timeout: sink.timeout,
    };
    let server = sink.server.load(std::sync::atomic::Ordering::Relaxed);
    for likeness in [Likeness::Conditions, Likeness::Keys] {
        let created = Scratch::create(&sink.client, server, &original, likeness).await;
        let scratch = created.map_err(|error| no_scratch(&error))?;
        match trial(&scratch, block, 0..block.rows.num_rows()).await? {
            Trial::Taken => found.trials += 1,
            Trial::Unknown(reason) => return Err(reason),
            Trial::Refused(error) => {
                let search = Searching { scratch: &scratch, block, target, error: *error };
                let before_writing = likeness == Likeness::Conditions;
                return search.run(sink, (server, before_writing), found).await;
            }
        }
    }
    found.isolation = Isolation::NoRow;
    Ok(())
}

fn no_scratch(error: &QueryError) -> String {
    format!("a temporary table to try rows in can't be created: {error}")
}

/// A search of a block that is refused as a whole.
struct Searching<'a> {
    scratch: &'a Scratch<'a>,
    block: &'a Block<'a>,
    target: &'a Target,
    error: ServerError,
}

impl Searching<'_> {
    async fn run(
        &self,
        sink: &Sink,
        (server, before_writing): (usize, bool),
        found: &mut Found,
    ) -> Result<(), String> {
        found.of_the_block = Some(self.told(&self.error));
        let (search, errors) = self.search().await?;
        found.trials += search.trials();
        let of_constraints = errors.values().all(|error| error.code == VIOLATED_CONSTRAINT);
        let refusing = if before_writing && of_constraints && !errors.is_empty() {
            Refusing::Constraints
        } else {
            Refusing::Anything
        };
        let sent: BTreeSet<String> = self.target.columns.iter().map(|(name, _)| name.clone()).collect();
        let (table, since) =
            ((self.target.database.as_str(), self.target.table.as_str()), self.block.claimed_at.0);
        let steady = is_steady(&sink.client, server, table, &sent, (refusing, since)).await;
        let is_steady = steady.map_err(|error| error.to_string())?;
        let proof = Proof { is_steady, before_writing };
        let places = self.block.places;
        found.said = errors.iter().map(|(row, error)| (places[*row], self.told(error))).collect();
        let of = self.block.rows.num_rows() as u64;
        found.isolation = match () {
            () if self.is_every_row(&search).await? => Isolation::EveryRow,
            () if !search.is_whole() => Isolation::TooMany { rows: search.judged() as u64, proof },
            () => {
                let rows = search.refused().iter().map(|row| excluded(places[*row])).collect();
                Isolation::Rows { rows, of, proof }
            }
        };
        Ok(())
    }

    async fn search(&self) -> Result<(Search, BTreeMap<usize, ServerError>), String> {
        let (began, mut errors) = (Instant::now(), BTreeMap::new());
        let mut search = Search::new(self.block.rows.num_rows(), EXCLUDED_MAX);
        search.refuses(self.error.row);
        if let Some(only) = search.refused().first() {
            errors.insert(*only, self.error.clone());
        }
        while let Some(slice) = search.next_slice().filter(|_| began.elapsed() < SEARCH_TIME_MAX) {
            match trial(self.scratch, self.block, slice.clone()).await? {
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
        Ok((search, errors))
    }

    /// Whether all rows are refused; of a large block, some are tried that the search did not come to.
    async fn is_every_row(&self, search: &Search) -> Result<bool, String> {
        if !search.only_refused() {
            return Ok(false);
        }
        for row in search.samples() {
            match trial(self.scratch, self.block, row..row + 1).await? {
                Trial::Taken => return Ok(false),
                Trial::Unknown(reason) => return Err(reason),
                Trial::Refused(_) => {}
            }
        }
        Ok(true)
    }

    /// What the server says, of the table itself and not of the temporary one.
    fn told(&self, error: &ServerError) -> String {
        let text = error.to_string();
        let Some((before, rest)) = text.split_once(" for table _temporary_and_external_tables") else {
            return text;
        };
        let after = rest.split_once(") ").map_or("", |(_, after)| after);
        format!("{before} of table {} {after}", self.target.name())
    }
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
            if error.kind.may_be_a_rows() && error.stage != Stage::Beyond && error.code != 0 =>
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
