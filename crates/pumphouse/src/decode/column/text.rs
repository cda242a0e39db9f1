//! String: the bytes of the text, escapes spelled out, end to end.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, LargeBinaryArray, OffsetSizeTrait};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer};

use super::fixed::Append;
use super::{Store, take_values};
use crate::decode::json::Reader;
use crate::decode::reject::Fault;

/// Byte strings, one behind the other.
#[derive(Default)]
pub(super) struct Texts {
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

impl Texts {
    /// Strings held.
    pub(super) fn rows(&self) -> usize {
        self.ends.len()
    }

    /// The string at `row`.
    #[inline]
    pub(super) fn get(&self, row: usize) -> &[u8] {
        &self.bytes[start_of(&self.ends, row)..self.ends[row]]
    }

    /// Appends a string.
    pub(super) fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
    }
}

impl Append for Texts {
    fn append(&mut self, text: &[u8]) {
        self.push(text);
    }
}

impl Store for Texts {
    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        if reader.peek() != b'"' {
            return Err(reader.misfit());
        }
        reader.text_into(&mut self.bytes)?;
        self.ends.push(self.bytes.len());
        Ok(())
    }

    fn push_placeholder(&mut self) {
        self.ends.push(self.bytes.len());
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.bytes.truncate(start_of(&self.ends, rows));
    }

    fn retain(&mut self, keep: &[bool]) {
        let mut kept = Self::default();
        for row in (0..self.ends.len()).filter(|row| keep[*row]) {
            kept.push(self.get(row));
        }
        *self = kept;
    }

    fn order(&self, left: usize, right: usize) -> Ordering {
        let (left, right) = (self.get(left), self.get(right));
        left.len().cmp(&right.len()).then_with(|| left.cmp(right))
    }

    fn bytes(&self) -> usize {
        self.bytes.len() + size_of_val(self.ends.as_slice())
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        let bytes = Buffer::from(take_values(&mut self.bytes));
        // Binary, not Utf8: a String of ClickHouse holds any bytes, and neither side need look at them.
        let array: ArrayRef = match arrow_offsets(&self.ends) {
            Some(offsets) => Arc::new(BinaryArray::new(offsets, bytes, nulls)),
            None => Arc::new(LargeBinaryArray::new(large_arrow_offsets(&self.ends), bytes, nulls)),
        };
        self.ends.clear();
        array
    }
}

/// Where row `row` begins, given where each row ends; for the row after the last one, where it would.
#[inline]
pub(super) fn start_of(ends: &[usize], row: usize) -> usize {
    row.checked_sub(1).map_or(0, |before| ends[before])
}

/// Arrow's 32-bit offsets for rows that end at `ends`; `None` past 2 GiB.
pub(super) fn arrow_offsets(ends: &[usize]) -> Option<OffsetBuffer<i32>> {
    i32::try_from(ends.last().copied().unwrap_or(0)).ok()?;
    Some(offsets(ends))
}

/// Arrow's 64-bit offsets for rows that end at `ends`.
pub(super) fn large_arrow_offsets(ends: &[usize]) -> OffsetBuffer<i64> {
    offsets(ends)
}

fn offsets<O: OffsetSizeTrait>(ends: &[usize]) -> OffsetBuffer<O> {
    let all = std::iter::once(0).chain(ends.iter().copied());
    OffsetBuffer::new(all.map(|end| O::from_usize(end).expect("the last end fits, so all do")).collect())
}
