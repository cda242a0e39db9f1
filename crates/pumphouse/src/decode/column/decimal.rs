//! Decimals: from the digits as written, never by way of a float.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Decimal128Type, Decimal256Type, DecimalType};
use arrow_array::{ArrayRef, ArrowNativeTypeOp, PrimitiveArray};
use arrow_buffer::NullBuffer;

use super::{Store, retain_rows, take_values};
use crate::decode::decimal::{self, Unfit};
use crate::decode::json::Reader;
use crate::decode::reject::{Code, Fault, number_found, text_found};

/// Decimals of one width.
struct Decimals<T: DecimalType> {
    precision: u8,
    scale: u8,
    scaled: Scaled<T>,
    values: Vec<T::Native>,
}

/// Reads a number for a precision and a scale.
type Scaled<T> = fn(&[u8], u8, i32) -> Result<<T as ArrowPrimitiveType>::Native, Unfit>;

/// The way of keeping decimals of a precision.
pub(super) fn store(precision: u8, scale: u8) -> Box<dyn Store> {
    if precision <= decimal::PRECISION_MAX_128 {
        Box::new(Decimals::<Decimal128Type> {
            precision,
            scale,
            scaled: decimal::scaled_128,
            values: Vec::new(),
        })
    } else {
        Box::new(Decimals::<Decimal256Type> {
            precision,
            scale,
            scaled: decimal::scaled_256,
            values: Vec::new(),
        })
    }
}

impl<T: DecimalType> Decimals<T> {
    fn value(&self, number: &[u8]) -> Result<T::Native, Fault> {
        (self.scaled)(number, self.precision, i32::from(self.scale))
            .map_err(|unfit| Fault::new(unfit.code(), number_found(number)))
    }
}

impl<T: DecimalType> Store for Decimals<T> {
    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        let value = match reader.peek() {
            b'0'..=b'9' | b'-' => self.value(reader.number()?.text)?,
            b'"' => {
                let text = reader.text()?;
                if !is_number(text) {
                    return Err(Fault::new(
                        Code::WrongType,
                        format!("{} that are no number", text_found(text)),
                    ));
                }
                self.value(text)?
            }
            _ => return Err(reader.misfit()),
        };
        self.values.push(value);
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
        let array = PrimitiveArray::<T>::new(take_values(&mut self.values).into(), nulls);
        let scale = i8::try_from(self.scale).expect("a scale is at most 76");
        let array = array.with_precision_and_scale(self.precision, scale);
        Arc::new(array.expect("a declared precision and scale fit the width chosen for them"))
    }
}

/// Whether a string spells a number exactly as JSON would without the quotes.
fn is_number(text: &[u8]) -> bool {
    let mut inside = Reader::new(text, Vec::new());
    inside.number().is_ok() && inside.end_here().is_ok()
}
