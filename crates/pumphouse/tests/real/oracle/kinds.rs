//! What a type is, and what a spelling looks like, for telling the differences apart. Works on texts and on the
//! calendar of another library, never on the decoder.

use jiff::civil;
use jiff::tz::AmbiguousOffset;
use pumphouse::config::settings::EpochUnit;
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

/// What a float of the type makes of a number, by the standard library; as text without exponent.
fn as_float(of: &ColumnType, number: &str) -> String {
    match of {
        ColumnType::Float32 => {
            number.parse::<f32>().map_or_else(|_| String::new(), |float| float.to_string())
        }
        _ => number.parse::<f64>().map_or_else(|_| String::new(), |float| float.to_string()),
    }
}

/// Whether a number is past what a float of the type can hold.
pub(super) fn is_infinite(of: &ColumnType, number: &str) -> bool {
    is_float(of) && as_float(of, number).ends_with("inf")
}

/// Whether a whole number is another one as a float of the type.
pub(super) fn is_rounded(of: &ColumnType, number: &str) -> bool {
    if !is_float(of) || !is_spelled_whole(number) {
        return false;
    }
    let exact = match of {
        ColumnType::Float32 => number.parse::<f32>().map(|float| format!("{float:.0}")),
        _ => number.parse::<f64>().map(|float| format!("{float:.0}")),
    };
    exact.is_ok_and(|exact| exact != number)
}

/// Whether a number other than zero is zero as a float of the type.
pub(super) fn is_flushed(of: &ColumnType, number: &str) -> bool {
    is_float(of) && !is_zero(number) && matches!(as_float(of, number).as_str(), "0" | "-0")
}

/// Whether a number has digits other than zero behind `scale` places.
pub(super) fn has_more_places(number: &str, scale: u8) -> bool {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let kept = digits.trim_end_matches('0');
    let zeros = i64::try_from(digits.len() - kept.len()).expect("few digits");
    let places = i64::try_from(fraction.len()).expect("few digits") - zeros;
    let exponent: i64 = exponent.trim_start_matches('+').parse().unwrap_or(0);
    !is_zero(number) && places - exponent > i64::from(scale)
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

/// Whether an object lacks an element that takes null.
pub(super) fn lacks_nullable(place: &Place<'_>) -> bool {
    let lacks = |json: &Json, name: Option<&str>, of: &ColumnType| {
        let Json::Object(entries) = json else { return false };
        of.is_nullable() && !entries.iter().any(|(key, _)| key.said().as_deref() == name)
    };
    match (place.of, place.json) {
        (ColumnType::Tuple(elements), json) => {
            elements.iter().any(|(name, of)| lacks(json, name.as_deref(), of))
        }
        (ColumnType::Nested(elements), Json::Array(objects)) => {
            objects.iter().any(|object| elements.iter().any(|(name, of)| lacks(object, Some(name), of)))
        }
        _ => false,
    }
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

/// Whether a text begins with a day that no calendar has.
pub(super) fn is_impossible_day(text: &str) -> bool {
    let Some(text) = text.get(..10).filter(|day| has_form_of_day(day)) else { return false };
    let part = |range: std::ops::Range<usize>| text[range].parse::<i16>().unwrap_or(-1);
    let small = |range| i8::try_from(part(range)).unwrap_or(-1);
    civil::Date::new(part(0..4), small(5..7), small(8..10)).is_err()
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

/// Whether a text's day is outside the type's range.
pub(super) fn is_day_outside(of: &ColumnType, text: &str) -> bool {
    let days = match of {
        ColumnType::Date => civil::date(1970, 1, 1)..=civil::date(2149, 6, 6),
        ColumnType::Date32 => civil::date(1900, 1, 1)..=civil::date(2299, 12, 31),
        _ => return false,
    };
    text.parse::<civil::Date>().is_ok_and(|day| !days.contains(&day))
}

/// Nanoseconds of a second.
const SECOND: i128 = 1_000_000_000;

/// Whether the instant of a text, or of a number of a unit, is outside the type's range.
pub(super) fn is_instant_outside(place: &Place<'_>, epoch: Option<EpochUnit>) -> bool {
    let nanoseconds = match (place.number(), place.said(), epoch) {
        (Some(number), _, Some(unit)) => of_number(&number, nanoseconds_of(unit)),
        (_, Some(text), _) if is_time(place.of) => instant(place.of, &text),
        _ => None,
    };
    let (first, end) = match place.of {
        ColumnType::Date => (0, 5_662_310_400 * SECOND),
        ColumnType::DateTime { .. } => (0, 4_294_967_296 * SECOND),
        ColumnType::DateTime64 { precision: 9, .. } => (-2_208_988_800 * SECOND, i128::from(i64::MAX) + 1),
        ColumnType::Date32 | ColumnType::DateTime64 { .. } => {
            (-2_208_988_800 * SECOND, 10_413_792_000 * SECOND)
        }
        _ => return false,
    };
    nanoseconds.is_some_and(|nanoseconds| !(first..end).contains(&nanoseconds))
}

/// A number of units as nanoseconds, held at the ends of the range of whole ones.
#[expect(clippy::cast_possible_truncation, reason = "it is held at the ends")]
fn of_number(number: &str, unit: i128) -> Option<i128> {
    let whole = if is_spelled_whole(number) { number.parse::<i128>().ok() } else { None };
    whole
        .or_else(|| number.parse::<f64>().ok().map(|number| number as i128))
        .map(|number| number.saturating_mul(unit))
}

fn nanoseconds_of(unit: EpochUnit) -> i128 {
    match unit {
        EpochUnit::Seconds => SECOND,
        EpochUnit::Milliseconds => 1_000_000,
        EpochUnit::Microseconds => 1_000,
        EpochUnit::Nanoseconds => 1,
    }
}

/// Nanoseconds since 1970 that a text says; in the type's zone or UTC where it has no offset.
fn instant(of: &ColumnType, text: &str) -> Option<i128> {
    let text = text.replace(' ', "T");
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(instant.as_nanosecond());
    }
    let local: civil::DateTime = text.trim_end_matches('Z').parse().ok()?;
    if let Some(instant) = zone_of(of).and_then(|zone| zone.to_timestamp(local).ok()) {
        return Some(instant.as_nanosecond());
    }
    Some(local.duration_since(civil::date(1970, 1, 1).at(0, 0, 0, 0)).as_nanos())
}

/// Whether a text's fraction, or a number's, has digits that the type's precision cuts off.
pub(super) fn has_finer_fraction(place: &Place<'_>, epoch: Option<EpochUnit>) -> bool {
    let precision = match place.of {
        ColumnType::DateTime { .. } => 0,
        ColumnType::DateTime64 { precision, .. } => *precision,
        _ => return false,
    };
    if let (Some(number), Some(unit)) = (place.number(), epoch) {
        let digits = match unit {
            EpochUnit::Seconds => 0,
            EpochUnit::Milliseconds => 3,
            EpochUnit::Microseconds => 6,
            EpochUnit::Nanoseconds => 9,
        };
        return precision.checked_sub(digits).is_none_or(|places| has_more_places(&number, places));
    }
    let text = place.said().unwrap_or_default();
    let fraction =
        text.split_once('.').map_or("", |(_, rest)| rest.split(['Z', '+', '-']).next().unwrap_or(rest));
    fraction.trim_end_matches('0').len() > usize::from(precision)
}

/// Whether a text has the form of a time, with an hour, minute, second or offset past its end.
pub(super) fn is_impossible_clock(text: &str) -> bool {
    if !has_form_of_time(text) {
        return false;
    }
    let two =
        |from: usize| text.get(from..from + 2).and_then(|digits| digits.parse::<u8>().ok()).unwrap_or(0);
    let offset: String = text[16..].split(['Z', '+', '-']).nth(1).unwrap_or_default().replace(':', "");
    let part =
        |from: usize| offset.get(from..from + 2).and_then(|digits| digits.parse::<u8>().ok()).unwrap_or(0);
    two(11) > 23 || two(14) > 59 || two(17) > 59 || part(0) > 23 || part(2) > 59
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
