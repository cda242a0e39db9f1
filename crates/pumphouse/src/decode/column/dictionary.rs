//! LowCardinality(String): each distinct text once, a number per row. Right for any number of distinct
//! texts, only slower and larger than a plain column where they are many.

use std::cmp::Ordering;
use std::hash::BuildHasher;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array};
use arrow_buffer::NullBuffer;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::text::Texts;
use super::{Store, retain_rows, take_values};
use crate::decode::json::Reader;
use crate::decode::reject::Fault;

/// Texts by number.
#[derive(Default)]
pub(super) struct Dictionary {
    rows: Vec<i32>,
    /// In the order first seen. A rejected record's stay: no row refers to them.
    entries: Texts,
    numbers: HashTable<i32>,
    hasher: RandomState,
}

impl Dictionary {
    fn number_of(&mut self, text: &[u8]) -> i32 {
        let Self { entries, numbers, hasher, .. } = self;
        let hash = hasher.hash_one(text);
        if let Some(number) = numbers.find(hash, |number| entries.get(index(*number)) == text) {
            return *number;
        }
        let number = i32::try_from(entries.rows()).expect("2^31 distinct texts are past every memory budget");
        entries.push(text);
        numbers.insert_unique(hash, number, |number| hasher.hash_one(entries.get(index(*number))));
        number
    }
}

impl Store for Dictionary {
    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        if reader.peek() != b'"' {
            return Err(reader.misfit());
        }
        let number = self.number_of(reader.text()?);
        self.rows.push(number);
        Ok(())
    }

    fn push_placeholder(&mut self) {
        self.rows.push(0);
    }

    fn truncate(&mut self, rows: usize) {
        self.rows.truncate(rows);
    }

    fn retain(&mut self, keep: &[bool]) {
        retain_rows(&mut self.rows, keep);
    }

    fn order(&self, left: usize, right: usize) -> Ordering {
        self.rows[left].cmp(&self.rows[right])
    }

    fn bytes(&self) -> usize {
        size_of_val(self.rows.as_slice()) + self.entries.bytes() + self.numbers.capacity() * size_of::<i32>()
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        self.numbers.clear();
        let rows = Int32Array::new(take_values(&mut self.rows).into(), nulls);
        Arc::new(DictionaryArray::<Int32Type>::new(rows, self.entries.take(None)))
    }
}

fn index(number: i32) -> usize {
    usize::try_from(number).expect("numbers count up from zero")
}
