//! Integers of 8 to 64 bits. In range to the digit, or rejected; 64 bits also as a string of digits,
//! since JSON's own readers round those.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{ArrayRef, ArrowNativeTypeOp, PrimitiveArray};
use arrow_buffer::NullBuffer;

use super::{Store, retain_rows, take_values};
use crate::decode::json::Reader;
use crate::decode::reject::{Code, Fault, text_found};

/// Whether a string may stand for a number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Texts {
    Refused,
    OfDigits,
}

/// Integers of one width.
pub(super) struct Wholes<T: ArrowPrimitiveType> {
    texts: Texts,
    values: Vec<T::Native>,
}

impl<T: ArrowPrimitiveType> Wholes<T> {
    pub(super) fn new(texts: Texts) -> Self {
        Self { texts, values: Vec::new() }
    }
}

impl<T> Store for Wholes<T>
where
    T: ArrowPrimitiveType,
    T::Native: TryFrom<i128>,
{
    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        let value = match reader.peek() {
            b'0'..=b'9' | b'-' => reader.whole()?,
            b'"' if self.texts == Texts::OfDigits => whole_in(reader.text()?)?,
            _ => return Err(reader.misfit()),
        };
        let Ok(native) = T::Native::try_from(value) else {
            return Err(Fault::new(Code::OutOfRange, format!("the number {value}")));
        };
        self.values.push(native);
        Ok(())
    }

    fn push_placeholder(&mut self) {
        self.values.push(T::Native::default());
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

/// The integer that a string spells exactly as JSON would without the quotes.
fn whole_in(text: &[u8]) -> Result<i128, Fault> {
    let mut inside = Reader::new(text, Vec::new());
    match inside.whole().and_then(|value| inside.end_here().map(|()| value)) {
        Err(fault) if fault.code() != Code::OutOfRange => Err(no_digits(text)),
        read => read,
    }
}

/// The fault of a string that spells no integer.
#[cold]
pub(super) fn no_digits(text: &[u8]) -> Fault {
    Fault::new(Code::WrongType, format!("{} that are not an integer's digits", text_found(text)))
}
