//! Values of one size, end to end: what every way of keeping them has in common. What a value is, and how it reads, is
//! its kind's business.

use std::cmp::Ordering;

use arrow_array::ArrayRef;
use arrow_buffer::NullBuffer;

use super::{Store, retain_rows, take_values};
use crate::decode::json::Reader;
use crate::decode::reject::Fault;

/// A kind of values of one size.
pub(super) trait Kind: Send {
    /// What is kept of each.
    type Native: Copy + Send;
    /// Reads the value that starts at the reader.
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<Self::Native, Fault>;
    /// What stands under a null.
    fn placeholder(&self) -> Self::Native;
    /// The order of two values, for finding a map's key given twice.
    fn order(left: Self::Native, right: Self::Native) -> Ordering;
    /// The Arrow form.
    fn array(&self, values: Vec<Self::Native>, nulls: Option<NullBuffer>) -> ArrayRef;
}

/// The values of one kind.
pub(super) struct Values<K: Kind> {
    kind: K,
    values: Vec<K::Native>,
}

impl<K: Kind> Values<K> {
    /// No values of a kind.
    pub(super) fn of(kind: K) -> Self {
        Self { kind, values: Vec::new() }
    }
}

impl<K: Kind> Store for Values<K> {
    #[inline]
    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        let value = self.kind.read(reader)?;
        self.values.push(value);
        Ok(())
    }

    fn push_placeholder(&mut self) {
        self.values.push(self.kind.placeholder());
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
    }

    fn retain(&mut self, keep: &[bool]) {
        retain_rows(&mut self.values, keep);
    }

    fn order(&self, left: usize, right: usize) -> Ordering {
        K::order(self.values[left], self.values[right])
    }

    fn bytes(&self) -> usize {
        size_of_val(self.values.as_slice())
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        self.kind.array(take_values(&mut self.values), nulls)
    }
}
