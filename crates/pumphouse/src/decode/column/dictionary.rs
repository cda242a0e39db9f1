//! `LowCardinality`: each distinct text once, a number per row. Right for any number of distinct
//! texts, only slower and larger than a plain column where they are many.

use std::cmp::Ordering;
use std::hash::BuildHasher;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array};
use arrow_buffer::NullBuffer;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::fixed::Append;
use super::text::Texts;
use super::{Store, retain_rows, take_values};
use crate::decode::json::{BLOCK, Reader};
use crate::decode::reject::Fault;

/// Texts by number.
pub(super) struct Dictionary {
    rows: Vec<i32>,
    /// In the order first seen. A rejected record's stay: no row refers to them.
    texts: Texts,
    numbers: HashTable<i32>,
    hasher: RandomState,
    /// Short texts that came last, each in the place its bytes choose: most rows end here.
    recent: Box<[Recent; RECENT]>,
}

/// A short text and its number.
#[derive(Clone, Copy)]
struct Recent {
    /// The text, zeros behind its end.
    block: u128,
    /// Its length; [`BLOCK`] while there is none.
    len: usize,
    number: i32,
}

/// Places for recent texts.
const RECENT: usize = 1 << (64 - RECENT_SHIFT);
const RECENT_SHIFT: u32 = 58;

const NOTHING: Recent = Recent { block: 0, len: BLOCK, number: 0 };

impl Default for Dictionary {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            texts: Texts::default(),
            numbers: HashTable::new(),
            hasher: RandomState::default(),
            recent: Box::new([NOTHING; RECENT]),
        }
    }
}

impl Dictionary {
    /// The number of a text of `len` bytes at the start of a block.
    #[inline]
    fn number_of_short(&mut self, bytes: &[u8; BLOCK], len: usize) -> i32 {
        let block = u128::from_le_bytes(*bytes) & WITHIN[len];
        let place = place_of(block);
        let recent = &self.recent[place];
        if recent.block == block && recent.len == len {
            return recent.number;
        }
        let number = self.number_of(&bytes[..len]);
        self.recent[place] = Recent { block, len, number };
        number
    }

    #[inline(never)]
    fn number_of(&mut self, text: &[u8]) -> i32 {
        let Self { texts, numbers, hasher, .. } = self;
        let hash = hasher.hash_one(text);
        if let Some(number) = numbers.find(hash, |number| texts.get(index(*number)) == text) {
            return *number;
        }
        let number = i32::try_from(texts.rows()).expect("2^31 distinct texts are past every memory budget");
        texts.push(text);
        numbers.insert_unique(hash, number, |number| hasher.hash_one(texts.get(index(*number))));
        number
    }
}

/// For each length, the bytes of a block that a text of it fills.
const WITHIN: [u128; BLOCK] = {
    let mut masks = [0; BLOCK];
    let mut len = 1;
    while len < BLOCK {
        masks[len] = masks[len - 1] << 8 | 0xFF;
        len += 1;
    }
    masks
};

/// The place of a text among the recent ones: any would do, so long as like texts spread.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the halves are wanted")]
fn place_of(block: u128) -> usize {
    let (low, high) = (block as u64, (block >> 64) as u64);
    ((low ^ high.rotate_left(29)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> RECENT_SHIFT) as usize
}

impl Append for Dictionary {
    fn append(&mut self, text: &[u8]) {
        let number = self.number_of(text);
        self.rows.push(number);
    }
}

impl Store for Dictionary {
    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        if reader.peek() != b'"' {
            return Err(reader.misfit());
        }
        let number = match reader.short_text() {
            Some((block, len)) => self.number_of_short(block, len),
            None => self.number_of(reader.text()?),
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
        size_of_val(self.rows.as_slice()) + self.texts.bytes() + self.numbers.capacity() * size_of::<i32>()
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        self.numbers.clear();
        self.recent.fill(NOTHING);
        let rows = Int32Array::new(take_values(&mut self.rows).into(), nulls);
        Arc::new(DictionaryArray::<Int32Type>::new(rows, self.texts.take(None)))
    }
}

fn index(number: i32) -> usize {
    usize::try_from(number).expect("numbers count up from zero")
}
