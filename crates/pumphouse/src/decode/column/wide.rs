//! Integers of 128 and 256 bits: every digit kept or the value rejected, as numbers of any length or as
//! strings of digits. Held as the server wants them, the lowest byte first.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::{ArrayRef, FixedSizeBinaryArray};
use arrow_buffer::{Buffer, NullBuffer};

use super::values::Kind;
use super::whole::no_digits;
use crate::decode::json::{Number, Reader};
use crate::decode::reject::{Code, Fault, number_found};

/// Digits of 2^256 - 1, the largest of all.
const DIGITS_MAX: usize = 78;
/// Bytes of the widest integers.
const BYTES_MAX: usize = 32;

/// Whether there are negative ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Signed,
    Unsigned,
}

/// Integers of `BYTES` bytes.
pub(super) struct Wide<const BYTES: usize>(pub(super) Sign);

impl<const BYTES: usize> Wide<BYTES> {
    /// The integer that `text`, a JSON number, says.
    fn value(&self, text: &[u8]) -> Option<[u8; BYTES]> {
        let (is_negative, digits) = match text.strip_prefix(b"-") {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let magnitude = magnitude_of(digits)?;
        let (low, high) = magnitude.split_first_chunk::<BYTES>()?;
        if high.iter().any(|byte| *byte != 0) {
            return None;
        }
        let mut value = *low;
        let is_zero = value.iter().all(|byte| *byte == 0);
        if is_negative {
            negate(&mut value);
        }
        // In two's complement the highest bit is the sign, zero having none.
        let has_sign_bit = value[BYTES - 1] >= 0x80;
        let fits = match self.0 {
            Sign::Unsigned => !is_negative || is_zero,
            Sign::Signed => is_zero || has_sign_bit == is_negative,
        };
        fits.then_some(value)
    }
}

impl<const BYTES: usize> Kind for Wide<BYTES> {
    type Native = [u8; BYTES];

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<Self::Native, Fault> {
        match reader.peek() {
            b'0'..=b'9' | b'-' => {
                let Number { text, is_whole } = reader.number()?;
                if !is_whole {
                    return Err(Fault::new(Code::WrongType, number_found(text)));
                }
                self.value(text).ok_or_else(|| Fault::new(Code::OutOfRange, number_found(text)))
            }
            b'"' => {
                let text = reader.text()?;
                let mut inside = Reader::new(text, Vec::new());
                let number = inside.number().and_then(|number| inside.end_here().map(|()| number));
                if !number.is_ok_and(|number| number.is_whole) {
                    return Err(no_digits(text));
                }
                self.value(text).ok_or_else(|| Fault::new(Code::OutOfRange, number_found(text)))
            }
            _ => Err(reader.misfit()),
        }
    }

    fn placeholder(&self) -> Self::Native {
        [0; BYTES]
    }

    fn order(left: Self::Native, right: Self::Native) -> Ordering {
        left.cmp(&right)
    }

    fn array(&self, values: Vec<Self::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
        let width = i32::try_from(BYTES).expect("16 or 32");
        Arc::new(FixedSizeBinaryArray::new(width, Buffer::from(values.into_flattened()), nulls))
    }
}

/// The number that digits spell, without a leading zero; `None` past 256 bits.
fn magnitude_of(digits: &[u8]) -> Option<[u8; BYTES_MAX]> {
    if digits.len() > DIGITS_MAX {
        return None;
    }
    let mut limbs = [0_u64; BYTES_MAX / 8];
    for digit in digits {
        let mut carry = u64::from(digit - b'0');
        for limb in &mut limbs {
            let product = u128::from(*limb) * 10 + u128::from(carry);
            (*limb, carry) = halves(product);
        }
        if carry != 0 {
            return None;
        }
    }
    let mut bytes = [0; BYTES_MAX];
    for (eight, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(limbs) {
        *eight = limb.to_le_bytes();
    }
    Some(bytes)
}

#[expect(clippy::cast_possible_truncation, reason = "the halves are wanted")]
fn halves(product: u128) -> (u64, u64) {
    (product as u64, (product >> 64) as u64)
}

/// Two's complement.
fn negate(value: &mut [u8]) {
    let mut carry = true;
    for byte in value {
        (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
    }
}

#[cfg(test)]
mod tests {
    use arrow_buffer::i256;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn widths_end_where_two_to_the_power_says() {
        for (sign, last, next) in [
            (Sign::Unsigned, u128::MAX.to_string(), "340282366920938463463374607431768211456"),
            (Sign::Signed, i128::MAX.to_string(), "170141183460469231731687303715884105728"),
            (Sign::Signed, i128::MIN.to_string(), "-170141183460469231731687303715884105729"),
        ] {
            let column = Wide::<16>(sign);
            assert!(column.value(last.as_bytes()).is_some(), "{last}");
            assert_eq!(column.value(next.as_bytes()), None, "{next}");
        }
        let most = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
        let past = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
        let unsigned = Wide::<32>(Sign::Unsigned);
        assert_eq!(unsigned.value(most.as_bytes()), Some([0xFF; 32]));
        assert_eq!(unsigned.value(past.as_bytes()), None);
        assert_eq!(unsigned.value("9".repeat(100_000).as_bytes()), None);
        assert_eq!((unsigned.value(b"-1"), unsigned.value(b"-0")), (None, Some([0; 32])));
    }

    proptest! {
        #[test]
        fn values_are_those_of_arrow(low in any::<u128>(), high in any::<i128>(), shift in 0..255_u8) {
            let value = i256::from_parts(low, high) >> shift;
            let read = Wide::<32>(Sign::Signed).value(value.to_string().as_bytes());
            prop_assert_eq!(read, Some(value.to_le_bytes()));
            let read = Wide::<16>(Sign::Unsigned).value(low.to_string().as_bytes());
            prop_assert_eq!(read, Some(low.to_le_bytes()));
            let read = Wide::<16>(Sign::Signed).value(high.to_string().as_bytes());
            prop_assert_eq!(read, Some(high.to_le_bytes()));
        }
    }
}
