//! Numbers as digits: a JSON number times a power of ten, as an integer, exactly or not at all. Knows
//! nothing of columns; times from numbers with a unit are read here too.

use arrow_buffer::i256;

use super::reject::Code;

/// Decimal digits that always fit an `i128`.
pub(super) const PRECISION_MAX_128: u8 = 38;

/// Digits of the largest integer of any column, 2^256 - 1.
const WHOLE_DIGITS_MAX: u8 = 78;

/// Why a number has no exact place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// More digits before the point than there is room for.
    OutOfRange,
    /// Digits other than zero behind the last place.
    PrecisionLost,
}

impl Unfit {
    pub(super) fn code(self) -> Code {
        match self {
            Self::OutOfRange => Code::OutOfRange,
            Self::PrecisionLost => Code::PrecisionLost,
        }
    }
}

/// `number` × 10^`scale`, if that is a whole number of at most `precision` digits (38 at most).
/// `number` is written as JSON writes it.
pub(super) fn scaled_128(number: &[u8], precision: u8, scale: i32) -> Result<i128, Unfit> {
    debug_assert!(precision <= PRECISION_MAX_128);
    let digits = Digits::of(number);
    let count = digits.count_scaled(precision, scale)?;
    let magnitude = digits.value(0, count);
    Ok(if digits.negative { -magnitude } else { magnitude })
}

/// As [`scaled_128`], for a precision of at most 76.
pub(super) fn scaled_256(number: &[u8], precision: u8, scale: i32) -> Result<i256, Unfit> {
    let digits = Digits::of(number);
    let count = digits.count_scaled(precision, scale)?;
    let split = count.saturating_sub(usize::from(PRECISION_MAX_128));
    let shift = i256::from_i128(10_i128.pow(u32::from(PRECISION_MAX_128)));
    let high = i256::from_i128(digits.value(0, split));
    let low = i256::from_i128(digits.value(split, count));
    // Cannot wrap: both halves have at most 38 digits, and 10^76 is below 2^255.
    let magnitude = high.wrapping_mul(shift).wrapping_add(low);
    Ok(if digits.negative { magnitude.wrapping_neg() } else { magnitude })
}

/// The digits of a number that is whole, however it is written: `1e3` and `1000.0` as `1000`.
pub(super) fn whole_digits(number: &[u8]) -> Result<Vec<u8>, Unfit> {
    let digits = Digits::of(number);
    let count = digits.count_scaled(WHOLE_DIGITS_MAX, 0)?;
    if count == 0 {
        return Ok(b"0".to_vec());
    }
    let sign = digits.negative.then_some(b'-');
    Ok(sign.into_iter().chain(digits.padded().take(count)).collect())
}

/// A number as significant digits and the power of ten of the last one.
struct Digits<'a> {
    negative: bool,
    /// From the first digit that is not zero to the last one; empty for zero. May hold the point.
    significant: &'a [u8],
    count: usize,
    power: i64,
}

impl<'a> Digits<'a> {
    fn of(number: &'a [u8]) -> Self {
        let (negative, rest) = match number.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, number),
        };
        let mantissa_len = rest.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(rest.len());
        let (mantissa, exponent) = rest.split_at(mantissa_len);
        let is_nonzero_digit = |byte: &u8| matches!(byte, b'1'..=b'9');
        let Some(first) = mantissa.iter().position(is_nonzero_digit) else {
            return Self { negative, significant: &[], count: 0, power: 0 };
        };
        let last = mantissa.iter().rposition(is_nonzero_digit).unwrap_or(first);
        let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
        let significant = &mantissa[first..=last];
        let holds_point = first < point && point < last;
        let places =
            if last < point { places_between(last + 1, point) } else { -places_between(point, last) };
        Self {
            negative,
            significant,
            count: significant.len() - usize::from(holds_point),
            power: exponent_of(exponent).saturating_add(places),
        }
    }

    /// How many digits the number has after its point moved right by `scale`, zeros at the end included.
    fn count_scaled(&self, precision: u8, scale: i32) -> Result<usize, Unfit> {
        if self.count == 0 {
            return Ok(0);
        }
        let shift = self.power.saturating_add(i64::from(scale));
        let count = i64::try_from(self.count).unwrap_or(i64::MAX).saturating_add(shift);
        if count > i64::from(precision) {
            return Err(Unfit::OutOfRange);
        }
        if shift < 0 {
            return Err(Unfit::PrecisionLost);
        }
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// The digits from `from` up to `to` as an integer: 38 at most, zeros behind the significant ones.
    fn value(&self, from: usize, to: usize) -> i128 {
        let digits = self.padded().skip(from).take(to - from);
        digits.fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'))
    }

    /// The significant digits, and zeros without end behind them.
    fn padded(&self) -> impl Iterator<Item = u8> {
        let digits = self.significant.iter().copied().filter(|byte| *byte != b'.');
        digits.chain(std::iter::repeat(b'0'))
    }
}

fn places_between(from: usize, to: usize) -> i64 {
    i64::try_from(to - from).unwrap_or(i64::MAX)
}

/// The value of `e+12`, or 0 for nothing; held at the ends of its range, which no scale reaches.
fn exponent_of(text: &[u8]) -> i64 {
    let Some((_, text)) = text.split_first() else { return 0 };
    let (negative, digits) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        Some((b'+', digits)) => (false, digits),
        _ => (false, text),
    };
    let far = i64::MAX / 4;
    let magnitude =
        digits.iter().fold(0_i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(far / 16));
    if negative { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scaled(number: &str, precision: u8, scale: i32) -> Result<i128, Unfit> {
        scaled_128(number.as_bytes(), precision, scale)
    }

    #[test]
    fn a_number_is_moved_by_its_scale_exactly() {
        for (number, precision, scale, value) in [
            ("0", 9, 2, 0),
            ("-0.00", 9, 2, 0),
            ("0e999999999999999999999", 9, 2, 0),
            ("1", 9, 2, 100),
            ("-12.3", 9, 2, -1230),
            ("12.30000", 9, 2, 1230),
            ("0.01", 9, 2, 1),
            ("100", 3, 0, 100),
            ("1e2", 3, 0, 100),
            ("12e-1", 9, 1, 12),
            ("1.5E+3", 9, 0, 1500),
            ("120", 9, -1, 12),
            ("10.0e-1", 9, 0, 1),
            ("9999999.99", 9, 2, 999_999_999),
        ] {
            assert_eq!(scaled(number, precision, scale), Ok(value), "{number}");
        }
    }

    #[test]
    fn what_does_not_fit_says_which_way() {
        for (number, precision, scale, unfit) in [
            ("10000000", 9, 2, Unfit::OutOfRange),
            ("9999999.999", 9, 2, Unfit::PrecisionLost),
            ("10000000.001", 9, 2, Unfit::OutOfRange),
            ("0.001", 9, 2, Unfit::PrecisionLost),
            ("1e-999999999999999999999", 9, 2, Unfit::PrecisionLost),
            ("1e999999999999999999999", 38, 2, Unfit::OutOfRange),
            ("121", 9, -1, Unfit::PrecisionLost),
        ] {
            assert_eq!(scaled(number, precision, scale), Err(unfit), "{number}");
        }
    }

    #[test]
    fn the_widest_decimals_keep_every_digit() {
        let digits = "1234567890123456789012345678901234567890123456789012345678901234567890123456";
        let value = scaled_256(format!("-{digits}").as_bytes(), 76, 0).expect("76 digits fit");
        assert_eq!(value.to_string(), format!("-{digits}"));
        let (whole, fraction) = digits.split_at(70);
        let value = scaled_256(format!("{whole}.{fraction}").as_bytes(), 76, 6).expect("76 digits fit");
        assert_eq!(value.to_string(), digits);
        assert_eq!(scaled_256(format!("{digits}0").as_bytes(), 76, 0), Err(Unfit::OutOfRange));
        assert_eq!(scaled_256(b"1.25", 76, 3), Ok(i256::from_i128(1250)));
    }

    #[test]
    fn a_whole_number_has_its_digits_however_it_is_written() {
        for (number, digits) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("0e5", "0"),
            ("1.0", "1"),
            ("-1e3", "-1000"),
            ("12.50e1", "125"),
            ("100e-2", "1"),
            ("1e77", &format!("1{}", "0".repeat(77))),
        ] {
            assert_eq!(whole_digits(number.as_bytes()), Ok(digits.as_bytes().to_vec()), "{number}");
        }
        assert_eq!(whole_digits(b"1e78"), Err(Unfit::OutOfRange));
        assert_eq!(whole_digits(b"1.5"), Err(Unfit::PrecisionLost));
        assert_eq!(whole_digits(b"1e-400"), Err(Unfit::PrecisionLost));
    }

    proptest! {
        #[test]
        fn both_widths_agree_with_plain_arithmetic(
            value in -1_000_000_000_000_i128..1_000_000_000_000, zeros in 0..5_usize, scale in 0..12_i32)
        {
            // value × 10^-6, written with a point and needless zeros.
            let sign = if value < 0 { "-" } else { "" };
            let magnitude = value.unsigned_abs();
            let text = format!("{sign}{}.{:06}{}", magnitude / 1_000_000, magnitude % 1_000_000, "0".repeat(zeros));
            let (shifted, rest) = if scale >= 6 {
                (value * 10_i128.pow(u32::try_from(scale - 6).expect("positive")), 0)
            } else {
                let unit = 10_i128.pow(u32::try_from(6 - scale).expect("positive"));
                (value / unit, value % unit)
            };
            let expected = if rest == 0 { Ok(shifted) } else { Err(Unfit::PrecisionLost) };
            prop_assert_eq!(scaled(&text, 38, scale), expected);
            prop_assert_eq!(scaled_256(text.as_bytes(), 76, scale), expected.map(i256::from_i128));
        }
    }
}
