//! Decimals: from the digits as written, never by way of a float.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Decimal128Type, Decimal256Type, DecimalType};
use arrow_array::{ArrayRef, ArrowNativeTypeOp, PrimitiveArray};
use arrow_buffer::NullBuffer;

use super::Store;
use super::values::{Kind, Values};
use crate::decode::decimal::{self, Unfit};
use crate::decode::json::Reader;
use crate::decode::reject::{Code, Fault, number_found, text_found};

/// Decimals of one width.
struct Decimals<T: DecimalType> {
    precision: u8,
    scale: u8,
    scaled: Scaled<T>,
}

/// Reads a number for a precision and a scale.
type Scaled<T> = fn(&[u8], u8, i32) -> Result<<T as ArrowPrimitiveType>::Native, Unfit>;

/// The way of keeping decimals of a precision.
pub(super) fn store(precision: u8, scale: u8) -> Box<dyn Store> {
    if precision <= decimal::PRECISION_MAX_128 {
        let scaled = decimal::scaled_128;
        Box::new(Values::of(Decimals::<Decimal128Type> { precision, scale, scaled }))
    } else {
        let scaled = decimal::scaled_256;
        Box::new(Values::of(Decimals::<Decimal256Type> { precision, scale, scaled }))
    }
}

impl<T: DecimalType> Decimals<T> {
    fn value(&self, number: &[u8]) -> Result<T::Native, Fault> {
        (self.scaled)(number, self.precision, i32::from(self.scale))
            .map_err(|unfit| Fault::new(unfit.code(), number_found(number)))
    }
}

impl<T: DecimalType> Kind for Decimals<T> {
    type Native = T::Native;

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<Self::Native, Fault> {
        match reader.peek() {
            b'0'..=b'9' | b'-' => self.value(reader.number()?.text),
            b'"' => {
                let text = reader.text()?;
                if !is_number(text) {
                    return Err(Fault::new(
                        Code::WrongType,
                        format!("{} that are no number", text_found(text)),
                    ));
                }
                self.value(text)
            }
            _ => Err(reader.misfit()),
        }
    }

    fn placeholder(&self) -> Self::Native {
        T::Native::default()
    }

    fn order(left: Self::Native, right: Self::Native) -> Ordering {
        left.compare(right)
    }

    fn array(&self, values: Vec<Self::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
        let scale = i8::try_from(self.scale).expect("a scale is at most 76");
        let array = PrimitiveArray::<T>::new(values.into(), nulls);
        let array = array.with_precision_and_scale(self.precision, scale);
        Arc::new(array.expect("a declared precision and scale fit the width chosen for them"))
    }
}

/// Whether a string spells a number exactly as JSON would without the quotes.
fn is_number(text: &[u8]) -> bool {
    let mut inside = Reader::new(text, Vec::new());
    inside.number().is_ok() && inside.end_here().is_ok()
}
