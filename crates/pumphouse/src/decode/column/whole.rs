//! Integers of 8 to 64 bits. In range to the digit, or rejected; 64 bits also as a string of digits,
//! since JSON's own readers round those.

use std::cmp::Ordering;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{ArrayRef, ArrowNativeTypeOp, PrimitiveArray};
use arrow_buffer::NullBuffer;

use super::values::Kind;
use crate::decode::json::Reader;
use crate::decode::reject::{Code, Fault, text_found};

/// Whether a string may stand for a number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Texts {
    Refused,
    OfDigits,
}

/// Integers of one width.
pub(super) struct Whole<T> {
    texts: Texts,
    width: PhantomData<T>,
}

impl<T> Whole<T> {
    pub(super) fn new(texts: Texts) -> Self {
        Self { texts, width: PhantomData }
    }
}

impl<T> Kind for Whole<T>
where
    T: ArrowPrimitiveType + Send,
    T::Native: TryFrom<i128>,
{
    type Native = T::Native;

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<Self::Native, Fault> {
        let value = match reader.peek() {
            b'0'..=b'9' | b'-' => reader.whole()?,
            b'"' if self.texts == Texts::OfDigits => whole_in(reader.text()?)?,
            _ => return Err(reader.misfit()),
        };
        T::Native::try_from(value).map_err(|_| Fault::new(Code::OutOfRange, format!("the number {value}")))
    }

    fn placeholder(&self) -> Self::Native {
        T::Native::default()
    }

    fn order(left: Self::Native, right: Self::Native) -> Ordering {
        left.compare(right)
    }

    fn array(&self, values: Vec<Self::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
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
