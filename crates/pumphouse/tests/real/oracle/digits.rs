//! Whole numbers of any width as digits: the edges of each type, one and two past them, and numbers between.
//! Counts with texts, so that it shares nothing with what it tests.

use fastrand::Rng;
use pumphouse_core::schema::ColumnType;

/// The least and the largest number of a whole type.
pub(super) fn range(of: &ColumnType) -> Option<(String, String)> {
    let (signed, bits) = match of {
        ColumnType::Int8 => (true, 8),
        ColumnType::Int16 => (true, 16),
        ColumnType::Int32 => (true, 32),
        ColumnType::Int64 => (true, 64),
        ColumnType::Int128 => (true, 128),
        ColumnType::Int256 => (true, 256),
        ColumnType::UInt8 => (false, 8),
        ColumnType::UInt16 => (false, 16),
        ColumnType::UInt32 => (false, 32),
        ColumnType::UInt64 => (false, 64),
        ColumnType::UInt128 => (false, 128),
        ColumnType::UInt256 => (false, 256),
        _ => return None,
    };
    let power = power_of_two(if signed { bits - 1 } else { bits });
    let least = if signed { format!("-{power}") } else { "0".to_owned() };
    Some((least, before(&power)))
}

/// Whether a whole number, written without point or exponent, is outside the type's range.
pub(super) fn is_outside(of: &ColumnType, number: &str) -> bool {
    let Some((least, largest)) = range(of) else { return false };
    let (negative, digits) = parts(number);
    let limit = if negative { least.trim_start_matches('-') } else { &largest };
    digits.len() > limit.len() || digits.len() == limit.len() && digits > limit
}

/// Whether a number is zero with a minus before it.
pub(super) fn is_minus_zero(number: &str) -> bool {
    parts(number) == (true, "0")
}

fn parts(number: &str) -> (bool, &str) {
    let (negative, digits) = number.strip_prefix('-').map_or((false, number), |digits| (true, digits));
    let digits = digits.trim_start_matches('0');
    (negative, if digits.is_empty() { "0" } else { digits })
}

/// The edges of a whole type and what is around them, bare and in quotes.
pub(super) fn edges(of: &ColumnType) -> Vec<String> {
    let Some((least, largest)) = range(of) else { return Vec::new() };
    let mut all =
        vec![least.clone(), largest.clone(), after(&largest), after(&after(&largest)), before(&largest)];
    all.push(format!("{largest}0"));
    all.push(format!("{largest}.0"));
    match least.strip_prefix('-') {
        Some(magnitude) => all.extend([format!("-{}", after(magnitude)), format!("-{}", before(magnitude))]),
        None => all.extend(["-1".to_owned(), format!("-{largest}")]),
    }
    let in_quotes: Vec<String> = all.iter().map(|number| format!("\"{number}\"")).collect();
    all.into_iter().chain(in_quotes).collect()
}

/// A whole number of few or many digits: more often than not one of the type.
pub(super) fn some_digits(rng: &mut Rng, of: &ColumnType) -> String {
    let (least, largest) = range(of).unwrap_or_else(|| ("-9".to_owned(), "9".to_owned()));
    let count = rng.usize(1..=largest.len());
    let mut digits = String::from(char::from(b'1' + rng.u8(..9)));
    digits.extend((1..count).map(|_| char::from(b'0' + rng.u8(..10))));
    let sign = if least.starts_with('-') && rng.bool() { "-" } else { "" };
    format!("{sign}{digits}")
}

fn power_of_two(exponent: u32) -> String {
    (0..exponent).fold("1".to_owned(), |power, _| doubled(&power))
}

fn doubled(number: &str) -> String {
    let mut carry = 0;
    let mut digits: Vec<u8> = Vec::new();
    for digit in number.bytes().rev() {
        let double = (digit - b'0') * 2 + carry;
        digits.push(b'0' + double % 10);
        carry = double / 10;
    }
    if carry > 0 {
        digits.push(b'0' + carry);
    }
    digits.into_iter().rev().map(char::from).collect()
}

/// The number one larger.
fn after(number: &str) -> String {
    let kept = number.trim_end_matches('9');
    let nines = number.len() - kept.len();
    let mut digits: Vec<u8> = if kept.is_empty() { vec![b'1'] } else { kept.into() };
    if let (Some(last), false) = (digits.last_mut(), kept.is_empty()) {
        *last += 1;
    }
    digits.extend(std::iter::repeat_n(b'0', nines));
    digits.into_iter().map(char::from).collect()
}

/// The number one smaller; of a number above zero that does not begin with `10…0`.
fn before(number: &str) -> String {
    let kept = number.trim_end_matches('0');
    let mut digits: Vec<u8> = kept.into();
    if let Some(last) = digits.last_mut() {
        *last -= 1;
    }
    digits.extend(std::iter::repeat_n(b'9', number.len() - kept.len()));
    digits.into_iter().map(char::from).collect()
}
