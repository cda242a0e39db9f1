//! Which rows of a block the server refuses, found by trying slices of it where nothing is stored; and what follows.
//!
//! Does not know how a slice is tried. A slice that is taken clears its rows; one that is refused is cut at the row
//! that the server names, or in two, until it is a single row.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::claim::Excluded;

/// Slices that are tried for one block: at a few milliseconds each, some seconds.
pub const TRIALS_MAX: u32 = 1_024;
/// Rows from which on a block of refused rows only is a matter of the table, and not of rows.
pub const EVERY_ROW_MIN: usize = 10;
/// Searches in a row that found no refused row, before the lane stops for a person.
pub const FRUITLESS_MAX: u32 = 3;

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// These rows are refused, each by itself; the server takes all others.
    Rows {
        /// Which ones.
        rows: BTreeSet<Excluded>,
        /// How many rows the block has.
        of: u64,
        /// What the refusals prove.
        proof: Proof,
    },
    /// More rows are refused than one claim can name: as many as it can among the first `rows` of the block.
    TooMany {
        /// Rows of the block that were looked at.
        rows: u64,
        /// What the refusals prove.
        proof: Proof,
    },
    /// Every row is refused: the table is at fault, or what is sent to it as a whole.
    EveryRow,
    /// No row is refused by itself.
    NoRow,
    /// No row of what Kafka still holds of the batch is refused by itself; the rest was deleted, and can't be tried.
    NoRowLeft,
    /// It could not be found out for now.
    Unknown,
}

/// What the refusals of single rows prove about inserts that were sent before, by anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Proof {
    /// What refuses the rows depends on nothing but them, and is older than the claim: no insert can have brought
    /// one of them into the table, and none will.
    pub is_steady: bool,
    /// The block as a whole is refused before the first row is written.
    pub before_writing: bool,
}

/// A search for the refused rows of one block.
#[derive(Clone, Debug)]
pub struct Search {
    rows: usize,
    /// Slices still to be judged, the first one last; with each whether it is known to hold a refused row.
    open: Vec<(Range<usize>, bool)>,
    refused: BTreeSet<usize>,
    trials: u32,
    refused_max: usize,
}

impl Search {
    /// A block of `rows` that the server refuses. The search ends where it would find more than `refused_max`.
    #[must_use]
    pub fn new(rows: usize, refused_max: usize) -> Self {
        let open = if rows == 0 { Vec::new() } else { vec![(0..rows, false)] };
        Self { rows, open, refused: BTreeSet::new(), trials: 0, refused_max }
    }

    /// The slice to try next; none at the end.
    #[must_use]
    pub fn next_slice(&self) -> Option<Range<usize>> {
        let is_at_its_bound = self.trials >= TRIALS_MAX || self.refused.len() > self.refused_max;
        self.open.last().filter(|_| !is_at_its_bound).map(|(slice, _)| slice.clone())
    }

    /// The server takes the slice.
    pub fn taken(&mut self) {
        self.trials += 1;
        self.open.pop();
        // What is left of a refused slice must hold the refused row; a single one is tried all the same.
        match self.open.last_mut() {
            Some((slice, holds_refused)) if *holds_refused && slice.len() == 1 => *holds_refused = false,
            Some((_, true)) => self.split_last(None),
            _ => {}
        }
    }

    /// The server refuses the slice, and perhaps names the first row of it that breaks a rule.
    ///
    /// # Panics
    /// When nothing was to be tried.
    pub fn refuses(&mut self, named: Option<usize>) {
        self.trials += 1;
        // Its own refused row says nothing of the other half.
        if let Some((_, holds_refused)) = self.open.iter_mut().rev().nth(1) {
            *holds_refused = false;
        }
        self.split_last(named);
    }

    /// Cuts the slice that is known to hold a refused row, or notes the row.
    fn split_last(&mut self, named: Option<usize>) {
        let (slice, _) = self.open.pop().expect("only what is open is judged");
        if slice.len() == 1 {
            self.refused.insert(slice.start);
            return;
        }
        let named = named.map(|row| slice.start + row).filter(|row| slice.contains(row));
        if let Some(row) = named {
            let parts = [(row + 1..slice.end, false), (row..row + 1, false), (slice.start..row, false)];
            self.open.extend(parts.into_iter().filter(|(part, _)| !part.is_empty()));
        } else {
            let middle = slice.start + slice.len() / 2;
            self.open.push((middle..slice.end, true));
            self.open.push((slice.start..middle, false));
        }
    }

    /// The rows found so far.
    #[must_use]
    pub fn refused(&self) -> &BTreeSet<usize> {
        &self.refused
    }

    /// Rows from the beginning of the block that are judged, each of them.
    #[must_use]
    pub fn judged(&self) -> usize {
        self.open.last().map_or(self.rows, |(slice, _)| slice.start)
    }

    /// Whether all rows are judged.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.open.is_empty() && self.refused.len() <= self.refused_max
    }

    /// Slices tried so far.
    #[must_use]
    pub fn trials(&self) -> u32 {
        self.trials
    }

    /// Rows beyond those judged whose refusal would show that every row is: spread over the rest of the block.
    #[must_use]
    pub fn samples(&self) -> Vec<usize> {
        let (from, rest) = (self.judged(), self.rows - self.judged());
        let count = rest.min(EVERY_ROW_MIN);
        (0..count).map(|number| from + number * rest / count).collect()
    }

    /// Whether every row judged so far is refused, and enough of them to speak of all.
    #[must_use]
    pub fn only_refused(&self) -> bool {
        self.judged() >= EVERY_ROW_MIN && self.refused.len() >= self.judged()
    }
}

#[cfg(test)]
#[path = "isolation_tests.rs"]
mod tests;
