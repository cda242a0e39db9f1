//! `Enum8` and `Enum16`: a name to the letter becomes its number.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{ArrayRef, ArrowNativeTypeOp, PrimitiveArray};
use arrow_buffer::NullBuffer;
use hashbrown::HashMap;

use super::{Store, retain_rows, take_values};
use crate::decode::json::Reader;
use crate::decode::reject::{Code, Fault, text_found};

/// The names of one enum, and its values.
pub(super) struct Names<T: ArrowPrimitiveType> {
    numbers: HashMap<Box<[u8]>, T::Native, foldhash::fast::RandomState>,
    /// Stands under a null: the server looks at it, and a number that is no name's would be refused.
    placeholder: T::Native,
    values: Vec<T::Native>,
}

impl<T: ArrowPrimitiveType> Names<T> {
    /// A column of these names and numbers.
    pub(super) fn new(names: &[(String, T::Native)]) -> Self {
        Self {
            numbers: names.iter().map(|(name, number)| (name.as_bytes().into(), *number)).collect(),
            placeholder: names.first().map(|(_, number)| *number).unwrap_or_default(),
            values: Vec::new(),
        }
    }
}

impl<T: ArrowPrimitiveType> Store for Names<T> {
    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        if reader.peek() != b'"' {
            return Err(reader.misfit());
        }
        let name = reader.text()?;
        let Some(number) = self.numbers.get(name) else {
            return Err(Fault::new(Code::NotAName, format!("{} that is none of them", text_found(name))));
        };
        self.values.push(*number);
        Ok(())
    }

    fn push_placeholder(&mut self) {
        self.values.push(self.placeholder);
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
    }

    fn retain(&mut self, keep: &[bool]) {
        retain_rows(&mut self.values, keep);
    }

    fn order(&self, left: usize, right: usize) -> Ordering {
        self.values[left].compare(self.values[right])
    }

    fn bytes(&self) -> usize {
        size_of_val(self.values.as_slice())
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::new(take_values(&mut self.values).into(), nulls))
    }
}
