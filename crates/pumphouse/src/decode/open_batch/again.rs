//! Takes the record of a dead letter in once more, after a fix. Decides as `push` does, for the tables and rows that
//! are asked for; does not know which rows are there already.

use super::{OpenBatch, PAYLOAD, Split};
use crate::config::settings::{Tombstones, Values};
use crate::decode::record::Record;
use crate::decode::reject::{Code, Fault, Reject};
use crate::decode::split;

/// A dead letter's record.
#[derive(Clone, Copy)]
pub struct Again<'a> {
    /// The record as it was kept; without a payload where it was a tombstone.
    pub record: Record<'a>,
    /// Its place in its message.
    pub index: u32,
    /// The only table that it is for; empty where it is for all that take it.
    pub table: &'a str,
    /// Whether it is a whole message, to be taken apart as the stream says now.
    pub is_whole: bool,
    /// Whether a table, by number, gets the row of the record at this place in the message.
    pub wants: &'a dyn Fn(usize, u32) -> bool,
}

/// What became of one row that a letter could be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The table by number; none where the record is bad for all.
    pub table: Option<usize>,
    /// The record's place in its message.
    pub index: u32,
    /// Why it can't be a row.
    pub reject: Option<Reject>,
}

impl OpenBatch {
    /// Takes a letter in: what is fit becomes rows, what is bad becomes dead letters anew. Says each in `tried`, which
    /// stays as it is for a record that stands for no row.
    pub fn push_again(&mut self, letter: &Again<'_>, tried: &mut Vec<Tried>) {
        let Some(payload) = letter.record.payload else { return self.tombstone_again(letter, tried) };
        match (letter.is_whole, self.values) {
            (false, _) | (true, Values::One) => self.one_again(letter, payload, letter.index, tried),
            (true, Values::Lines) => self.several_again((letter, payload), split::lines, tried),
            (true, Values::Array) => self.several_again((letter, payload), split::elements, tried),
        }
    }

    fn tombstone_again(&mut self, letter: &Again<'_>, tried: &mut Vec<Tried>) {
        if self.tombstones == Tombstones::DeadLetter {
            let fault = Fault::expecting(Code::Tombstone, PAYLOAD, "a tombstone, a message without a value");
            self.refuse_again((letter, &[]), (None, letter.index), fault, tried);
        }
    }

    fn several_again(
        &mut self,
        (letter, payload): (&Again<'_>, &[u8]),
        split: Split,
        tried: &mut Vec<Tried>,
    ) {
        let mut parts = std::mem::take(&mut self.parts);
        match self.take_apart((&letter.record, payload), split, &mut parts) {
            Err(fault) => self.refuse_again((letter, payload), (None, letter.index), fault, tried),
            Ok(()) => {
                for (index, part) in (0..).zip(&parts) {
                    let part = split::trimmed(&payload[part.clone()]);
                    if self.values == Values::Array || !part.is_empty() {
                        self.one_again(letter, part, index, tried);
                    }
                }
            }
        }
        self.parts = parts;
    }

    fn one_again(&mut self, letter: &Again<'_>, payload: &[u8], index: u32, tried: &mut Vec<Tried>) {
        let tables = match self.tables_for(payload) {
            Ok(tables) => tables,
            Err(fault) => return self.refuse_again((letter, payload), (None, index), fault, tried),
        };
        let place = super::Place { partition: letter.record.partition, offset: letter.record.offset, index };
        for number in 0..self.tables.len() {
            let is_taken = match letter.table {
                "" => tables & (1 << number) != 0,
                only => self.tables[number].name == only,
            };
            if !is_taken || !(letter.wants)(number, index) {
                continue;
            }
            match self.tables[number].push(payload, place, &mut self.scratch) {
                Ok(()) => tried.push(Tried { table: Some(number), index, reject: None }),
                Err(fault) if fault.code().is_of_the_payload() => {
                    return self.refuse_again((letter, payload), (None, index), fault, tried);
                }
                Err(fault) => {
                    self.refuse_again((letter, payload), (Some(number), index), fault, tried);
                }
            }
        }
    }

    fn refuse_again(
        &mut self,
        (letter, payload): (&Again<'_>, &[u8]),
        (table, index): (Option<usize>, u32),
        fault: Fault,
        tried: &mut Vec<Tried>,
    ) {
        let reject = fault.into_reject();
        if self.keeps_dead_letters {
            let name = table.map_or("", |number| self.tables[number].name.as_str());
            let record = Record { payload: Some(payload), ..letter.record };
            self.dead_letters.push(&record, index, name, reject.clone());
        }
        tried.push(Tried { table, index, reject: Some(reject) });
    }
}
