//! What letters would be now, and the very same rows again for an entry. Decodes; asks no server.

use std::collections::BTreeSet;

use pumphouse_core::replay::{Judgement, Row, judge};

use super::judged::{Claimed, Place};
use super::letters::Letter;
use super::parts::Message;
use crate::config::settings::{Stream, Table, Values};
use crate::decode::{Again, Code, OpenBatch, Record, Reject, Tried};

/// Letters with what they would be.
pub(super) struct Trial<'a> {
    pub(super) stream: &'a Stream,
    pub(super) revision: &'a str,
}

/// A row that a letter could be.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) place: Place,
    /// Why it can't be a row: the code, and what was expected and found.
    pub(super) reject: Option<(String, String)>,
    /// Whether it is in the table already.
    pub(super) found: bool,
}

impl Candidate {
    fn row(&self) -> Row {
        match (&self.reject, self.found) {
            (Some(_), _) => Row::Bad,
            (None, true) => Row::Found,
            (None, false) => Row::Fit,
        }
    }
}

/// What a letter is, by its candidates.
pub(super) fn judgement(candidates: &[Candidate]) -> Judgement {
    judge(candidates.iter().map(Candidate::row))
}

/// The rows that an entry has of a letter: what is fit, and what is bad of it, in order.
pub(super) fn places(candidates: &[Candidate]) -> Vec<Place> {
    let claimed = candidates.iter().filter(|candidate| candidate.row() != Row::Found);
    let mut places: Vec<Place> = claimed.map(|candidate| candidate.place.clone()).collect();
    places.sort_unstable();
    places
}

impl Trial<'_> {
    /// What the letters would be now; stops early, after at least one, at `rows_max` candidates.
    /// Messages that are `apart` were taken apart when they came, so that no letter of theirs is one.
    pub(super) fn judge(
        &self,
        letters: &[Letter],
        apart: &BTreeSet<Message>,
        rows_max: usize,
    ) -> Vec<Vec<Candidate>> {
        let mut batch = self.batch();
        let (mut judged, mut rows) = (Vec::new(), 0);
        for letter in letters {
            if rows >= rows_max {
                break;
            }
            let candidates = if let Some(candidate) = self.excluded(letter) {
                vec![candidate]
            } else {
                let is_part =
                    self.may_be_part(letter) && apart.contains(&(letter.name.partition, letter.name.offset));
                self.tried(&mut batch, (letter, self.is_whole(letter) && !is_part), &|_, _| true)
            };
            rows += candidates.len();
            judged.push(candidates);
        }
        judged
    }

    /// The rows of an entry, as they were claimed; none where these letters no longer make them.
    pub(super) fn build(&self, claimed: &[(Letter, &[Place])]) -> Option<OpenBatch> {
        let mut batch = self.batch();
        let names: Vec<String> = self.stream.tables.iter().map(Table::full_name).collect();
        for (letter, places) in claimed {
            let wanted: BTreeSet<(&str, u32)> =
                places.iter().map(|place| (place.table.as_str(), place.index)).collect();
            // What is bad as a whole is found out by the first table that tries it.
            let wants = |number: usize, index: u32| {
                wanted.contains(&(names[number].as_str(), index)) || wanted.contains(&("", index))
            };
            if self.excluded(letter).is_some() {
                return None;
            }
            // A letter that is no whole message in spite of this is bad, and never claimed.
            let made = self.tried(&mut batch, (letter, self.is_whole(letter)), &wants);
            let mut made: Vec<Place> = made.into_iter().map(|candidate| candidate.place).collect();
            made.sort_unstable();
            if made != *places {
                return None;
            }
        }
        Some(batch)
    }

    fn batch(&self) -> OpenBatch {
        OpenBatch::new(self.stream, self.revision).expect("the columns were tried before the replay began")
    }

    /// A letter that this configuration has no place for.
    fn excluded(&self, letter: &Letter) -> Option<Candidate> {
        let name = &letter.name;
        let known = self.stream.tables.iter().any(|table| table.full_name() == name.table);
        let reason = if !name.table.is_empty() && !known {
            format!("the stream has no table `{}` any more", name.table)
        } else if name.index > 0 && self.stream.values == Values::One {
            "its message held several records, and the stream now says `values: one`".to_owned()
        } else {
            return None;
        };
        let place = Place { table: name.table.clone(), index: name.index, is_row: false };
        Some(Candidate { place, reject: Some((letter.code.clone(), reason)), found: false })
    }

    fn tried(
        &self,
        batch: &mut OpenBatch,
        (letter, is_whole): (&Letter, bool),
        wants: &dyn Fn(usize, u32) -> bool,
    ) -> Vec<Candidate> {
        let mut tried = Vec::new();
        let is_tombstone = letter.code == Code::Tombstone.as_str();
        let again = Again {
            record: Record {
                partition: letter.name.partition,
                offset: letter.name.offset,
                timestamp_ms: letter.kafka_time_ms,
                key: letter.key.as_deref(),
                payload: (!is_tombstone).then_some(letter.payload.as_slice()),
                headers: &letter.headers,
            },
            index: letter.name.index,
            table: &letter.name.table,
            is_whole,
            wants,
        };
        batch.push_again(&again, &mut tried);
        tried.into_iter().map(|tried| self.candidate(tried)).collect()
    }

    fn candidate(&self, tried: Tried) -> Candidate {
        let table = tried.table.map_or_else(String::new, |number| self.stream.tables[number].full_name());
        let place = Place { table, index: tried.index, is_row: tried.reject.is_none() };
        let reject =
            tried.reject.map(|reject| (reject.code.as_str().to_owned(), placed(&place.table, &reject)));
        Candidate { place, reject, found: false }
    }

    /// Whether the letter may hold a whole message, to be taken apart.
    ///
    /// | values | it holds a whole message |
    /// |---|---|
    /// | lines | when it was bad as a whole and is the first record: a single line comes out as itself |
    /// | array | when it could not be taken apart; or it may have been judged as one record |
    fn is_whole(&self, letter: &Letter) -> bool {
        if letter.name.index > 0 || !letter.name.table.is_empty() {
            return false;
        }
        match self.stream.values {
            Values::One => false,
            Values::Lines => true,
            Values::Array => letter.code == Code::NotAnArray.as_str() || self.may_be_part(letter),
        }
    }

    /// Whether the letter is an array that was judged as one record: a whole message, under a revision that took none
    /// apart; or an element of one, under any.
    pub(super) fn may_be_part(&self, letter: &Letter) -> bool {
        self.stream.values == Values::Array
            && (letter.name.index, letter.name.table.as_str()) == (0, "")
            && letter.code == Code::NotAnObject.as_str()
            && letter.revision != self.revision
            && letter.payload.trim_ascii_start().first() == Some(&b'[')
    }
}

/// Why a record is bad, and where in it.
fn placed(table: &str, Reject { column, path, reason, .. }: &Reject) -> String {
    match (column.as_str(), path.as_str()) {
        ("", "") => reason.clone(),
        ("", path) => format!("at `{path}`: {reason}"),
        (column, _) => format!("column {column} of {table}: {reason}"),
    }
}

/// All letters of an entry beside their rows, where none is missing.
pub(super) fn beside(letters: Vec<Letter>, claimed: &[Claimed]) -> Option<Vec<(Letter, &[Place])>> {
    let same = |(letter, claimed): &(Letter, &Claimed)| {
        letter.name == claimed.name && letter.time_ms == claimed.time_ms
    };
    let pairs: Vec<_> = letters.into_iter().zip(claimed).collect();
    let whole = pairs.len() == claimed.len() && pairs.iter().all(same);
    whole.then(|| pairs.into_iter().map(|(letter, claimed)| (letter, claimed.places.as_slice())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_names_its_column_or_its_path() {
        let reject = |column: &str, path: &str| Reject {
            code: Code::FieldMissing,
            column: column.to_owned(),
            path: path.to_owned(),
            reason: "found no such field".to_owned(),
        };
        assert_eq!(placed("", &reject("", "")), "found no such field");
        assert_eq!(placed("", &reject("", "geo.x")), "at `geo.x`: found no such field");
        assert_eq!(
            placed("metrics.clicks", &reject("y", "point.y")),
            "column y of metrics.clicks: found no such field"
        );
    }
}
