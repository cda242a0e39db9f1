//! Bool: `true` and `false`, nothing that only resembles them.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray};
use arrow_buffer::{BooleanBuffer, NullBuffer};

use super::{Store, retain_rows};
use crate::decode::json::Reader;
use crate::decode::reject::Fault;

/// Booleans, a byte each until they become bits.
#[derive(Default)]
pub(super) struct Booleans {
    values: Vec<bool>,
}

impl Store for Booleans {
    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        let value = match reader.peek() {
            b't' => reader.literal("true").map(|()| true),
            b'f' => reader.literal("false").map(|()| false),
            _ => Err(reader.misfit()),
        };
        self.values.push(value?);
        Ok(())
    }

    fn push_placeholder(&mut self) {
        self.values.push(false);
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
    }

    fn retain(&mut self, keep: &[bool]) {
        retain_rows(&mut self.values, keep);
    }

    fn order(&self, left: usize, right: usize) -> Ordering {
        self.values[left].cmp(&self.values[right])
    }

    fn bytes(&self) -> usize {
        self.values.len()
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        let bits = BooleanBuffer::from(self.values.as_slice());
        self.values.clear();
        Arc::new(BooleanArray::new(bits, nulls))
    }
}
