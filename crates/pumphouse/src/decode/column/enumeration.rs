//! `Enum8` and `Enum16`: a name to the letter becomes its number.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{ArrayRef, ArrowNativeTypeOp, PrimitiveArray};
use arrow_buffer::NullBuffer;
use hashbrown::HashMap;

use super::values::Kind;
use crate::decode::json::Reader;
use crate::decode::reject::{Code, Fault, text_found};

/// The names of one enum.
pub(super) struct Names<T: ArrowPrimitiveType> {
    numbers: HashMap<Box<[u8]>, T::Native, foldhash::fast::RandomState>,
    /// Stands under a null: the server looks at it, and a number that is no name's would be refused.
    placeholder: T::Native,
}

impl<T: ArrowPrimitiveType> Names<T> {
    /// A column of these names and numbers.
    pub(super) fn new(names: &[(String, T::Native)]) -> Self {
        Self {
            numbers: names.iter().map(|(name, number)| (name.as_bytes().into(), *number)).collect(),
            placeholder: names.first().map(|(_, number)| *number).unwrap_or_default(),
        }
    }
}

impl<T: ArrowPrimitiveType> Kind for Names<T> {
    type Native = T::Native;

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<Self::Native, Fault> {
        if reader.peek() != b'"' {
            return Err(reader.misfit());
        }
        let name = reader.text()?;
        let number = self.numbers.get(name).copied();
        number.ok_or_else(|| Fault::new(Code::NotAName, format!("{} that is none of them", text_found(name))))
    }

    fn placeholder(&self) -> Self::Native {
        self.placeholder
    }

    fn order(left: Self::Native, right: Self::Native) -> Ordering {
        left.compare(right)
    }

    fn array(&self, values: Vec<Self::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
    }
}
