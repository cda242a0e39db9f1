//! What a type is, and what a spelling looks like, for telling the differences apart. Works on texts and on the
//! calendar of another library, never on the decoder.

use jiff::civil;
use jiff::tz::AmbiguousOffset;
use pumphouse_core::schema::ColumnType;

use super::moments::zone_of;
use super::value::{Json, Place};

/// Whether the type holds whole numbers.
pub(super) fn is_whole(of: &ColumnType) -> bool {
    super::digits::range(of).is_some()
}

/// Whether it holds no numbers below zero.
pub(super) fn is_unsigned(of: &ColumnType) -> bool {
    super::digits::range(of).is_some_and(|(least, _)| least == "0")
}

/// Whether it holds floats.
pub(super) fn is_float(of: &ColumnType) -> bool {
    matches!(of, ColumnType::Float32 | ColumnType::Float64)
}

/// Whether it holds numbers of any kind.
pub(super) fn is_number(of: &ColumnType) -> bool {
    is_whole(of) || is_float(of) || matches!(of, ColumnType::Decimal { .. })
}

/// Whether it holds days.
pub(super) fn is_day(of: &ColumnType) -> bool {
    matches!(of, ColumnType::Date | ColumnType::Date32)
}

/// Whether it holds times.
pub(super) fn is_time(of: &ColumnType) -> bool {
    matches!(of, ColumnType::DateTime { .. } | ColumnType::DateTime64 { .. })
}

/// Whether it holds days or times.
pub(super) fn is_moment(of: &ColumnType) -> bool {
    is_day(of) || is_time(of)
}

/// Whether a number has neither point nor exponent.
pub(super) fn is_spelled_whole(number: &str) -> bool {
    number.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a number has a negative exponent of two digits or more.
pub(super) fn is_tiny(number: &str) -> bool {
    let exponent = number.split_once(['e', 'E']).map_or("", |(_, exponent)| exponent);
    exponent.starts_with('-') && exponent.len() > 2
}

/// Whether a number is zero however it is spelled.
pub(super) fn is_zero(number: &str) -> bool {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    mantissa.bytes().all(|byte| matches!(byte, b'-' | b'0' | b'.'))
}

/// Whether an address has a part such as `01`.
pub(super) fn has_leading_zeros(text: &str) -> bool {
    text.split('.').any(|part| part.len() > 1 && part.starts_with('0'))
}

/// Whether a leaf is digits, perhaps in quotes, perhaps with a sign.
pub(super) fn resembles_whole(place: &Place<'_>) -> bool {
    let text = place.said().unwrap_or_else(|| place.raw().to_owned());
    let digits = text.trim_start_matches(['+', '-']);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether an object has two keys that say the same; where they stand for numbers, of the same value.
pub(super) fn has_key_twice(place: &Place<'_>) -> bool {
    let Json::Object(entries) = place.json else { return false };
    let keys: Vec<Option<String>> = entries.iter().map(|(key, _)| key.said()).collect();
    let meaning = |key: &Option<String>| key.as_deref().map(|text| meaning_of(place.of, text));
    (0..keys.len()).any(|at| keys[..at].iter().any(|before| meaning(before) == meaning(&keys[at])))
}

/// A key's text such that equal keys have the same one.
fn meaning_of(of: &ColumnType, text: &str) -> String {
    match of {
        ColumnType::Map(key, _) if is_number(key) => text.trim_start_matches("-0").to_owned(),
        ColumnType::Map(key, _) if **key == ColumnType::Uuid => text.replace('-', "").to_lowercase(),
        _ => text.to_owned(),
    }
}

/// Whether a text is `YYYY-MM-DD` in digits.
pub(super) fn has_form_of_day(text: &str) -> bool {
    has_shape(text, "0000-00-00")
}

/// Whether a text has the form of a day that no calendar has.
pub(super) fn is_impossible_day(text: &str) -> bool {
    let part = |range: std::ops::Range<usize>| text[range].parse::<i16>().unwrap_or(-1);
    let small = |range| i8::try_from(part(range)).unwrap_or(-1);
    has_form_of_day(text) && civil::Date::new(part(0..4), small(5..7), small(8..10)).is_err()
}

/// Whether a text has one of the forms of ISO 8601 that name a day and a minute.
pub(super) fn has_form_of_time(text: &str) -> bool {
    let Some((minute, rest)) = text.split_at_checked(16) else { return false };
    if !has_shape(&minute.replace('T', " "), "0000-00-00 00:00") {
        return false;
    }
    let clock = rest.split(['Z', '+', '-']).next().unwrap_or_default();
    let offset = &rest[clock.len()..];
    let (second, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let has_offset = ["", "Z", "+00", "-00", "+0000", "-0000", "+00:00", "-00:00"];
    let is_second = has_shape(second, ":00") || clock.is_empty();
    is_fraction && is_second && has_offset.iter().any(|shape| has_shape(offset, shape))
}

fn has_shape(text: &str, shape: &str) -> bool {
    let fits = |(byte, wanted): (u8, u8)| if wanted == b'0' { byte.is_ascii_digit() } else { byte == wanted };
    text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(fits)
}

/// Why a local time is not one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Local {
    /// The clocks skip it.
    Skipped,
    /// The clocks show it twice.
    Twice,
}

/// What is wrong with a text as local time of the place's zone.
pub(super) fn local(place: &Place<'_>) -> Option<Local> {
    let (zone, text) = (zone_of(place.of)?, place.said()?);
    let shown: civil::DateTime = text.parse().ok()?;
    match zone.to_ambiguous_timestamp(shown).offset() {
        AmbiguousOffset::Unambiguous { .. } => None,
        AmbiguousOffset::Gap { .. } => Some(Local::Skipped),
        AmbiguousOffset::Fold { .. } => Some(Local::Twice),
    }
}
