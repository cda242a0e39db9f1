//! Letters that are fit for every column and that a table would refuse all the same: they stay, or they would be refused
//! within an entry of the log and end the replay. Tries them where nothing is stored; inserts none.

use std::collections::BTreeMap;

use pumphouse_core::replay::Judgement;

use super::judged::Place;
use super::letters::Letter;
use super::session::Ground;
use super::trial::{Candidate, Trial, judgement, places};
use crate::decode::{Code, RowPlace};
use crate::drive::ready;
use crate::sink::isolate::{self, Block, Where};

/// Marks what tables would refuse. Returns how many letters are judged, from the first one: all of them, unless very many
/// are refused. Where nothing can be tried, none is marked: the insert will tell.
pub(super) async fn mark_refused(
    ground: &Ground,
    trial: &Trial<'_>,
    letters: &[Letter],
    judged: &mut [Vec<Candidate>],
) -> usize {
    let fit = |candidates: &Vec<Candidate>| judgement(candidates) == Judgement::Claim;
    let claimed: Vec<(usize, Vec<Place>)> =
        judged.iter().enumerate().filter(|(_, c)| fit(c)).map(|(at, c)| (at, places(c))).collect();
    let entries: Vec<(Letter, &[Place])> =
        claimed.iter().map(|(at, places)| (letters[*at].clone(), places.as_slice())).collect();
    let Some(mut batch) = trial.build(&entries) else { return judged.len() };
    let numbers = 0..ground.stream.tables.len();
    let places: Vec<Vec<RowPlace>> = numbers.map(|number| batch.places(number)).collect();
    let tables = batch.seal(0).tables;
    let mut known = judged.len();
    for (number, (rows, places)) in tables.iter().zip(&places).enumerate() {
        let Some(rows) = rows else { continue };
        let compression = ready::compression(ground.settings.clickhouse.compression);
        let block = Block { rows, places, compression };
        let (target, clickhouse) = (&ground.targets[number], &ground.settings.clickhouse);
        let (settings, timeout) = (&clickhouse.settings, clickhouse.insert_timeout);
        let at = Where { client: &ground.client, server: 0, target, settings, timeout };
        match isolate::search(at, &block, usize::MAX - 1).await {
            Ok(None) => {}
            Ok(Some(searched)) => {
                let refused = searched.said(&block, target);
                let name = ground.stream.tables[number].full_name();
                mark(letters, judged, &name, &refused);
                if let Some(next) = places.get(searched.judged()) {
                    known = known.min(first_of(letters, *next));
                }
            }
            Err(reason) => {
                tracing::warn!(table = target.name(), reason, "rows can't be tried before they are claimed");
            }
        }
    }
    known
}

/// The letter that the row is made of; at least one letter is judged.
fn first_of(letters: &[Letter], row: RowPlace) -> usize {
    let is_its = |letter: &Letter| (letter.name.partition, letter.name.offset) == (row.partition, row.offset);
    letters.iter().position(is_its).unwrap_or(letters.len()).max(1)
}

/// A letter of which a row is refused stays whole.
fn mark(
    letters: &[Letter],
    judged: &mut [Vec<Candidate>],
    table: &str,
    refused: &BTreeMap<RowPlace, String>,
) {
    let said: BTreeMap<(u32, u64, u32), &String> =
        refused.iter().map(|(row, said)| ((row.partition, row.offset, row.index), said)).collect();
    for (letter, candidates) in letters.iter().zip(judged) {
        let of = |candidate: &Candidate| {
            let place = &candidate.place;
            let row = (letter.name.partition, letter.name.offset, place.index);
            if place.table == table && place.is_row { said.get(&row).copied() } else { None }
        };
        let Some(reason) = candidates.iter().find_map(of).cloned() else { continue };
        for candidate in candidates {
            candidate.reject.get_or_insert((Code::RowRefused.as_str().to_owned(), reason.clone()));
        }
    }
}
