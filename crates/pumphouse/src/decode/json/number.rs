//! Numbers: their grammar, and whole ones as integers. Floats and decimals take the text from here.

use super::scan::Reader;
use crate::decode::reject::{Code, Fault, number_found};

/// Digits that fit a `u64` whatever they are.
const DIGITS_SURE: usize = 19;

/// A number as it was written.
pub(in crate::decode) struct Number<'a> {
    /// The characters.
    pub(in crate::decode) text: &'a [u8],
    /// Whether it has neither a fraction nor an exponent.
    pub(in crate::decode) is_whole: bool,
}

/// A number of few digits and without an exponent: `mantissa` × 10^-`places`.
pub(in crate::decode) struct Short {
    pub(in crate::decode) negative: bool,
    pub(in crate::decode) mantissa: u64,
    pub(in crate::decode) places: usize,
}

impl<'a> Reader<'a> {
    /// Passes the number that starts here.
    pub(in crate::decode) fn number(&mut self) -> Result<Number<'a>, Fault> {
        let from = self.at;
        self.eat(b'-');
        if self.eat(b'0') {
            if self.peek().is_ascii_digit() {
                return Err(self.unexpected("no digit after a leading zero"));
            }
        } else {
            self.digits()?;
        }
        let mut is_whole = true;
        if self.eat(b'.') {
            is_whole = false;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            is_whole = false;
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Number { text: &self.bytes[from..self.at], is_whole })
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let (_, end) = self.accumulate(0, self.at);
        if end == self.at {
            return Err(self.unexpected("a digit"));
        }
        self.at = end;
        Ok(())
    }

    /// Adds the digits from `at` on to `value`, wrapping past 19 of them; returns where they end.
    #[inline]
    fn accumulate(&self, mut value: u64, from: usize) -> (u64, usize) {
        let mut at = from;
        for byte in self.bytes.get(from..).unwrap_or_default() {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            at += 1;
        }
        (value, at)
    }

    /// Passes the number that starts here if it is a short one; stays where it is if not.
    #[inline]
    pub(in crate::decode) fn short_number(&mut self) -> Option<Short> {
        let negative = self.peek() == b'-';
        let first = self.at + usize::from(negative);
        let (mut mantissa, mut end) = self.accumulate(0, first);
        let mut digits = end - first;
        if digits == 0 || (digits > 1 && self.bytes[first] == b'0') {
            return None;
        }
        let mut places = 0;
        if self.bytes.get(end) == Some(&b'.') {
            let fraction = end + 1;
            (mantissa, end) = self.accumulate(mantissa, fraction);
            places = end - fraction;
            digits += places;
            if places == 0 {
                return None;
            }
        }
        if digits > DIGITS_SURE || matches!(self.bytes.get(end), Some(b'e' | b'E')) {
            return None;
        }
        self.at = end;
        Some(Short { negative, mantissa, places })
    }

    /// The whole number that starts here. One with a fraction or an exponent is of the wrong type, even
    /// where it is equal to a whole one.
    #[inline]
    pub(in crate::decode) fn whole(&mut self) -> Result<i128, Fault> {
        let from = self.at;
        if let Some(Short { negative, mantissa, places: 0 }) = self.short_number() {
            let magnitude = i128::from(mantissa);
            return Ok(if negative { -magnitude } else { magnitude });
        }
        self.at = from;
        self.unusual_whole()
    }

    #[cold]
    fn unusual_whole(&mut self) -> Result<i128, Fault> {
        let Number { text, is_whole } = self.number()?;
        if !is_whole {
            return Err(Fault::new(Code::WrongType, number_found(text)));
        }
        let value = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        value.ok_or_else(|| Fault::new(Code::OutOfRange, number_found(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Result<i128, Code> {
        let mut reader = Reader::new(text.as_bytes(), Vec::new());
        let value = reader.whole().map_err(|fault| fault.code())?;
        reader.end().map_err(|fault| fault.code())?;
        Ok(value)
    }

    #[test]
    fn whole_numbers_are_read_to_the_digit() {
        assert_eq!(whole("0"), Ok(0));
        assert_eq!(whole("-0"), Ok(0));
        assert_eq!(whole("-17 "), Ok(-17));
        assert_eq!(whole("9999999999999999999"), Ok(9_999_999_999_999_999_999));
        assert_eq!(whole("18446744073709551616"), Ok(i128::from(u64::MAX) + 1));
        assert_eq!(whole(&"9".repeat(50)), Err(Code::OutOfRange));
    }

    #[test]
    fn a_fraction_or_an_exponent_is_another_type_even_if_it_is_whole() {
        for text in ["1.0", "1e2", "-0.0", "1E0", "12345678901234567890.5"] {
            assert_eq!(whole(text), Err(Code::WrongType), "{text}");
        }
    }

    #[test]
    fn what_json_does_not_call_a_number_is_not_json() {
        for text in
            ["01", "-", "+1", ".5", "1.", "1e", "1e+", "-01", "00", "NaN", "0x1", "1_000", "--1", "", "1 2"]
        {
            assert_eq!(whole(text), Err(Code::NotJson), "{text}");
        }
    }
}
