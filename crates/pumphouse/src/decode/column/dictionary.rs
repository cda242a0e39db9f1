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
use crate::decode::json::{BLOCK, Reader};
use crate::decode::reject::Fault;

/// Texts by number.
#[derive(Default)]
pub(super) struct Dictionary {
    rows: Vec<i32>,
    /// In the order first seen. A rejected record's stay: no row refers to them.
    texts: Texts,
    entries: HashTable<Entry>,
    hasher: RandomState,
}

/// What the table knows of a text, enough to tell short ones apart without looking at them.
struct Entry {
    head: u128,
    len: usize,
    number: i32,
}

impl Dictionary {
    /// The number of a text whose first bytes are `head`, zeros behind its end.
    #[inline]
    fn number_of(&mut self, head: u128, text: &[u8]) -> i32 {
        let len = text.len();
        let hash = hash_of(&self.hasher, head, text);
        let known = self.entries.find(hash, |entry| {
            entry.head == head
                && entry.len == len
                && (len <= BLOCK || self.texts.get(index(entry.number)) == text)
        });
        match known {
            Some(entry) => entry.number,
            None => self.add(hash, head, text),
        }
    }

    #[inline(never)]
    fn add(&mut self, hash: u64, head: u128, text: &[u8]) -> i32 {
        let Self { texts, entries, hasher, .. } = self;
        let number = i32::try_from(texts.rows()).expect("2^31 distinct texts are past every memory budget");
        texts.push(text);
        let hash_again = |entry: &Entry| hash_of(hasher, entry.head, texts.get(index(entry.number)));
        entries.insert_unique(hash, Entry { head, len: text.len(), number }, hash_again);
        number
    }

    #[inline(never)]
    fn number_of_long(&mut self, text: &[u8]) -> i32 {
        let mut head = [0; BLOCK];
        for (byte, of_text) in head.iter_mut().zip(text) {
            *byte = *of_text;
        }
        self.number_of(u128::from_le_bytes(head), text)
    }
}

#[inline]
fn hash_of(hasher: &RandomState, head: u128, text: &[u8]) -> u64 {
    // A short text leaves the last byte of its head free; zeros at its end must not go unseen.
    let len = u128::from(text.len() as u64);
    if text.len() <= BLOCK { hasher.hash_one(head ^ len << 120) } else { hasher.hash_one(text) }
}

impl Store for Dictionary {
    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        if reader.peek() != b'"' {
            return Err(reader.misfit());
        }
        let number = match reader.short_text() {
            Some((block, len)) => {
                let behind = u128::MAX << (8 * len);
                self.number_of(u128::from_le_bytes(*block) & !behind, &block[..len])
            }
            None => self.number_of_long(reader.text()?),
        };
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
        size_of_val(self.rows.as_slice()) + self.texts.bytes() + self.entries.capacity() * size_of::<Entry>()
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        self.entries.clear();
        let rows = Int32Array::new(take_values(&mut self.rows).into(), nulls);
        Arc::new(DictionaryArray::<Int32Type>::new(rows, self.texts.take(None)))
    }
}

fn index(number: i32) -> usize {
    usize::try_from(number).expect("numbers count up from zero")
}
