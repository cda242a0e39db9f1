//! Array: the elements of all rows in one column, and where each row ends in it.

use std::sync::Arc;

use arrow_array::{ArrayRef, LargeListArray, ListArray};
use arrow_buffer::NullBuffer;
use arrow_schema::Field;

use super::text::{arrow_offsets, large_arrow_offsets, start_of};
use super::{Column, Store};
use crate::decode::json::Reader;
use crate::decode::reject::Fault;

/// Arrays of one element type.
pub(super) struct Lists {
    ends: Vec<usize>,
    elements: Column,
}

impl Lists {
    pub(super) fn new(elements: Column) -> Self {
        Self { ends: Vec::new(), elements }
    }
}

impl Store for Lists {
    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        if reader.peek() != b'[' {
            return Err(reader.misfit());
        }
        reader.enter()?;
        if reader.peek() == b']' {
            reader.leave();
        } else {
            let mut index = 0;
            loop {
                self.elements.decode(reader).map_err(|fault| fault.inside(index))?;
                index += 1;
                if !reader.another(b']')? {
                    break;
                }
            }
        }
        self.ends.push(self.elements.rows());
        Ok(())
    }

    fn push_placeholder(&mut self) {
        self.ends.push(self.elements.rows());
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.elements.truncate(start_of(&self.ends, rows));
    }

    fn retain(&mut self, keep: &[bool]) {
        self.elements.retain(&spread(&self.ends, keep));
        self.ends = kept_ends(&self.ends, keep);
    }

    fn bytes(&self) -> usize {
        size_of_val(self.ends.as_slice()) + self.elements.bytes()
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        let elements = self.elements.take();
        let field = Field::new("item", elements.data_type().clone(), self.elements.is_nullable());
        let array: ArrayRef = match arrow_offsets(&self.ends) {
            Some(offsets) => Arc::new(ListArray::new(Arc::new(field), offsets, elements, nulls)),
            None => Arc::new(LargeListArray::new(
                Arc::new(field),
                large_arrow_offsets(&self.ends),
                elements,
                nulls,
            )),
        };
        self.ends.clear();
        array
    }
}

/// The flag of each row, once for each of its elements.
pub(super) fn spread(ends: &[usize], keep: &[bool]) -> Vec<bool> {
    let mut flags = Vec::with_capacity(ends.last().copied().unwrap_or(0));
    for (end, keep) in ends.iter().zip(keep) {
        flags.resize(*end, *keep);
    }
    flags
}

/// Where the kept rows end once the others' elements are gone.
pub(super) fn kept_ends(ends: &[usize], keep: &[bool]) -> Vec<usize> {
    let mut total = 0;
    let lengths = (0..ends.len()).map(|row| ends[row] - start_of(ends, row));
    let kept = lengths.zip(keep).filter(|(_, keep)| **keep);
    kept.map(|(length, _)| {
        total += length;
        total
    })
    .collect()
}
