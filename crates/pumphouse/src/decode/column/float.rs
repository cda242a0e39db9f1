//! Floats: a number with a point or an exponent becomes the nearest float, as everywhere; a whole number
//! is kept exactly or rejected, since whole numbers are counted on.

use std::cmp::Ordering;
use std::marker::PhantomData;
use std::ops::Neg;
use std::sync::Arc;

use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{ArrayRef, ArrowNativeTypeOp, PrimitiveArray};
use arrow_buffer::NullBuffer;
use fast_float2::FastFloat;

use super::values::Kind;
use crate::decode::json::{Number, Reader};
use crate::decode::reject::{Code, Fault, number_found};

/// Floats of one width.
pub(super) struct Float<T>(PhantomData<T>);

impl<T> Default for Float<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// What the two widths differ in.
pub(super) trait Width: FastFloat + PartialEq + Default + Copy + Neg<Output = Self> {
    /// Whole numbers of so many digits are held exactly, whatever the digits.
    const DIGITS_SURE: usize;
    /// Whether the literal was too large.
    fn is_infinite(self) -> bool;
    /// The quotient of a whole number and a power of ten, if this width holds both exactly: then one
    /// division rounds once, as it should.
    fn quotient(mantissa: u64, places: usize) -> Option<Self>;
    /// The digits of a whole number's magnitude, all of them.
    fn digits(self) -> String;
}

impl Width for f32 {
    const DIGITS_SURE: usize = 7;
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "up to 2^24 nothing is lost")]
    fn quotient(mantissa: u64, places: usize) -> Option<Self> {
        let power = POWERS_F32.get(places)?;
        (mantissa <= 1 << 24).then(|| mantissa as Self / power)
    }
    fn is_infinite(self) -> bool {
        self.is_infinite()
    }
    fn digits(self) -> String {
        format!("{:.0}", self.abs())
    }
}

impl Width for f64 {
    const DIGITS_SURE: usize = 15;
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "up to 2^53 nothing is lost")]
    fn quotient(mantissa: u64, places: usize) -> Option<Self> {
        let power = POWERS_F64.get(places)?;
        (mantissa <= 1 << 53).then(|| mantissa as Self / power)
    }
    fn is_infinite(self) -> bool {
        self.is_infinite()
    }
    fn digits(self) -> String {
        format!("{:.0}", self.abs())
    }
}

/// The powers of ten that the width holds exactly.
const POWERS_F32: [f32; 11] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];
/// The powers of ten that the width holds exactly.
const POWERS_F64: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

impl<T> Kind for Float<T>
where
    T: ArrowPrimitiveType + Send,
    T::Native: Width,
{
    type Native = T::Native;

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<Self::Native, Fault> {
        if !matches!(reader.peek(), b'0'..=b'9' | b'-') {
            return Err(reader.misfit());
        }
        let from = reader.position();
        if let Some(short) = reader.short_number() {
            if let Some(magnitude) = T::Native::quotient(short.mantissa, short.places) {
                return Ok(if short.negative { -magnitude } else { magnitude });
            }
            reader.rewind(from);
        }
        nearest(&reader.number()?)
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

/// The float for a number; a fault where a whole one is not held exactly, or a number becomes infinite
/// or nothing at all.
fn nearest<F: Width>(number: &Number<'_>) -> Result<F, Fault> {
    let text = number.text;
    let value: F = fast_float2::parse(text).expect("a JSON number is a float's text");
    if value.is_infinite() {
        return Err(Fault::new(Code::OutOfRange, number_found(text)));
    }
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_changed = if number.is_whole {
        digits.len() > F::DIGITS_SURE && value.digits().as_bytes() != digits
    } else {
        value == F::default() && !is_zero(digits)
    };
    if is_changed {
        return Err(Fault::new(Code::PrecisionLost, number_found(text)));
    }
    Ok(value)
}

/// Whether the digits before an exponent are all zero.
fn is_zero(text: &[u8]) -> bool {
    text.iter().take_while(|byte| !matches!(byte, b'e' | b'E')).all(|byte| matches!(byte, b'0' | b'.'))
}
