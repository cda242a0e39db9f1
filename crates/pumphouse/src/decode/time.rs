//! Dates and times as texts: the ISO 8601 forms that programs write, and the same with a space. Decides
//! what a text says, to the second and with the fraction's digits as written; ranges and precision are
//! the columns'.

use super::decimal::Unfit;
use super::zone::{NoInstant, Zone};

const DAY_SECONDS: i64 = 86_400;

/// What a text says: a second, counted from 1970-01-01 UTC, and the digits after its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instant<'t> {
    pub(super) seconds: i64,
    pub(super) fraction: &'t [u8],
}

/// Why a text is no date or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotATime {
    /// Not one of the forms.
    Form,
    /// A day that no calendar has.
    NoSuchDay,
    /// An hour, minute, second or offset that no clock shows.
    NoSuchTime,
    /// A leap second, which has no number of its own.
    LeapSecond,
    /// No instant, or two of them, have this local time.
    Local(NoInstant),
}

/// Days from 1970-01-01 to the date a text says, as `YYYY-MM-DD`.
pub(super) fn days_in(text: &[u8]) -> Result<i64, NotATime> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else { return Err(NotATime::Form) };
    days([*y1, *y2, *y3, *y4], [*m1, *m2], [*d1, *d2])
}

/// Reads times. Remembers the last minute, since most times are in the same one as the time before.
pub(super) struct Clock {
    zone: Zone,
    minute: [u8; 16],
    /// The minute's first second as local time.
    local: i64,
}

impl Clock {
    /// A clock for texts that are local time in `zone` where they have no offset.
    pub(super) fn new(zone: Zone) -> Self {
        Self { zone, minute: *b"1970-01-01T00:00", local: 0 }
    }

    /// The instant a text says, as `YYYY-MM-DDThh:mm[:ss[.fff…]][Z|±hh[[:]mm]]`, a space in place of the
    /// `T` allowed.
    pub(super) fn instant_in<'t>(&mut self, text: &'t [u8]) -> Result<Instant<'t>, NotATime> {
        let (minute, rest) = text.split_first_chunk().ok_or(NotATime::Form)?;
        if *minute != self.minute {
            self.local = local_minute(minute)?;
            self.minute = *minute;
        }
        let (second, fraction, rest) = second_in(rest)?;
        let local = self.local + second;
        let seconds = match offset_in(rest)? {
            Some(offset) => local - offset,
            None => self.zone.instant_of(local).map_err(NotATime::Local)?,
        };
        Ok(Instant { seconds, fraction })
    }
}

/// The first second of `YYYY-MM-DDThh:mm`, as if it were UTC.
fn local_minute(text: &[u8; 16]) -> Result<i64, NotATime> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b' ', h1, h2, b':', i1, i2] = *text else {
        return Err(NotATime::Form);
    };
    let days = days([y1, y2, y3, y4], [m1, m2], [d1, d2])?;
    let (hour, minute) = (two_digits([h1, h2])?, two_digits([i1, i2])?);
    if hour > 23 || minute > 59 {
        return Err(NotATime::NoSuchTime);
    }
    Ok(days * DAY_SECONDS + hour * 3600 + minute * 60)
}

/// The first `precision` digits of a fraction as a number; those behind must be zeros.
pub(super) fn scaled_fraction(fraction: &[u8], precision: u8) -> Result<i64, Unfit> {
    let mut scaled = 0;
    for place in 0..usize::from(precision) {
        scaled = scaled * 10 + fraction.get(place).map_or(0, |digit| i64::from(digit - b'0'));
    }
    let behind = fraction.get(usize::from(precision)..).unwrap_or_default();
    if behind.iter().any(|digit| *digit != b'0') {
        return Err(Unfit::PrecisionLost);
    }
    Ok(scaled)
}

/// Splits `:ss.fff` from what follows; a time without seconds is at the minute.
fn second_in(rest: &[u8]) -> Result<(i64, &[u8], &[u8]), NotATime> {
    let [b':', s1, s2, rest @ ..] = rest else { return Ok((0, &[], rest)) };
    let second = two_digits([*s1, *s2])?;
    match second {
        ..=59 => {}
        60 => return Err(NotATime::LeapSecond),
        _ => return Err(NotATime::NoSuchTime),
    }
    let Some(rest) = rest.strip_prefix(b".") else { return Ok((second, &[], rest)) };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return Err(NotATime::Form);
    }
    let (fraction, rest) = rest.split_at(digits);
    Ok((second, fraction, rest))
}

/// The seconds east of UTC that end a text, or `None` at its end.
fn offset_in(rest: &[u8]) -> Result<Option<i64>, NotATime> {
    let (sign, hours, minutes) = match rest {
        [] => return Ok(None),
        [b'Z'] => return Ok(Some(0)),
        [sign, h1, h2] => (sign, two_digits([*h1, *h2])?, 0),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => {
            (sign, two_digits([*h1, *h2])?, two_digits([*m1, *m2])?)
        }
        _ => return Err(NotATime::Form),
    };
    if hours > 23 || minutes > 59 {
        return Err(NotATime::NoSuchTime);
    }
    let seconds = hours * 3600 + minutes * 60;
    match sign {
        b'+' => Ok(Some(seconds)),
        b'-' => Ok(Some(-seconds)),
        _ => Err(NotATime::Form),
    }
}

fn two_digits([high, low]: [u8; 2]) -> Result<i64, NotATime> {
    if high.is_ascii_digit() && low.is_ascii_digit() {
        return Ok(i64::from(high - b'0') * 10 + i64::from(low - b'0'));
    }
    Err(NotATime::Form)
}

/// Days from 1970-01-01 to a day of the Gregorian calendar, extended to all four-digit years.
fn days(year: [u8; 4], month: [u8; 2], day: [u8; 2]) -> Result<i64, NotATime> {
    let [y1, y2, y3, y4] = year;
    let year = two_digits([y1, y2])? * 100 + two_digits([y3, y4])?;
    let (month, day) = (two_digits(month)?, two_digits(day)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return Err(NotATime::NoSuchDay),
    };
    if day == 0 || day > days_in_month {
        return Err(NotATime::NoSuchDay);
    }
    // Years that begin in March put the leap day last: then the days before a month follow one line.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before_year = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let before_month = (month * 153 + 2) / 5;
    let days_to_1970 = 719_468;
    Ok(before_year + before_month + day - 1 - days_to_1970)
}

#[cfg(test)]
mod tests {
    use jiff::civil;
    use jiff::tz::Offset;
    use proptest::prelude::*;

    use super::*;

    fn instant(text: &str) -> Result<(i64, &[u8]), NotATime> {
        let mut clock = Clock::new(Zone::Utc);
        let instant = clock.instant_in(text.as_bytes())?;
        // Once more, from the minute it remembers.
        assert_eq!(clock.instant_in(text.as_bytes()), Ok(instant));
        Ok((instant.seconds, instant.fraction))
    }

    #[test]
    fn the_forms_that_programs_write_say_the_same() {
        for text in [
            "2024-02-29T12:30:00Z",
            "2024-02-29 12:30:00",
            "2024-02-29T12:30",
            "2024-02-29T12:30Z",
            "2024-02-29T14:30:00+02:00",
            "2024-02-29T14:30:00+0200",
            "2024-02-29 14:30:00+02",
            "2024-02-28T21:30:00-15:00",
            "2024-02-29T12:30:00-00:00",
        ] {
            assert_eq!(instant(text), Ok((1_709_209_800, &[][..])), "{text}");
        }
        assert_eq!(instant("2024-02-29T12:30:00.1200Z"), Ok((1_709_209_800, &b"1200"[..])));
    }

    #[test]
    fn other_texts_are_no_time() {
        for (text, reason) in [
            ("", NotATime::Form),
            ("2024-02-29", NotATime::Form),
            ("2024-02-29T12", NotATime::Form),
            ("2024-2-29T12:30:00Z", NotATime::Form),
            ("2024-02-29t12:30:00Z", NotATime::Form),
            ("2024-02-29T12:30:00z", NotATime::Form),
            ("2024-02-29T12:30:00.Z", NotATime::Form),
            ("2024-02-29T12:30.5Z", NotATime::Form),
            ("2024-02-29T12:30:00,5Z", NotATime::Form),
            ("2024-02-29T12:30:00 Z", NotATime::Form),
            ("2024-02-29T12:30:00 UTC", NotATime::Form),
            ("2024-02-29T12:30:00*02:00", NotATime::Form),
            ("2024-02-29T12:30:00Zx", NotATime::Form),
            ("20240229T123000Z", NotATime::Form),
            ("+2024-02-29T12:30:00Z", NotATime::Form),
            ("2024-02-2xT12:30:00Z", NotATime::Form),
            ("1709209800", NotATime::Form),
            ("2023-02-29T12:30:00Z", NotATime::NoSuchDay),
            ("1900-02-29T12:30:00Z", NotATime::NoSuchDay),
            ("2024-13-01T12:30:00Z", NotATime::NoSuchDay),
            ("2024-00-01T12:30:00Z", NotATime::NoSuchDay),
            ("2024-04-31T12:30:00Z", NotATime::NoSuchDay),
            ("2024-04-00T12:30:00Z", NotATime::NoSuchDay),
            ("2024-02-29T24:00:00Z", NotATime::NoSuchTime),
            ("2024-02-29T12:60:00Z", NotATime::NoSuchTime),
            ("2024-02-29T12:30:61Z", NotATime::NoSuchTime),
            ("2024-02-29T12:30:00+24:00", NotATime::NoSuchTime),
            ("2016-12-31T23:59:60Z", NotATime::LeapSecond),
        ] {
            assert_eq!(instant(text), Err(reason), "{text}");
        }
    }

    #[test]
    fn digits_behind_the_precision_must_be_zeros() {
        assert_eq!(scaled_fraction(b"12", 3), Ok(120));
        assert_eq!(scaled_fraction(b"123000", 3), Ok(123));
        assert_eq!(scaled_fraction(b"1230001", 3), Err(Unfit::PrecisionLost));
        assert_eq!(scaled_fraction(b"", 0), Ok(0));
        assert_eq!(scaled_fraction(b"5", 0), Err(Unfit::PrecisionLost));
        assert_eq!(scaled_fraction(b"999999999", 9), Ok(999_999_999));
    }

    proptest! {
        #[test]
        fn dates_are_counted_as_jiff_counts_them(year in 0..=9999_i16, month in 1..=12_i8, day in 1..=31_i8) {
            let text = format!("{year:04}-{month:02}-{day:02}");
            let counted = civil::Date::new(year, month, day).ok().map(|date| {
                let epoch = civil::date(1970, 1, 1);
                i64::from(date.since(epoch).expect("a span of days").get_days())
            });
            prop_assert_eq!(days_in(text.as_bytes()).ok(), counted);
        }

        #[test]
        fn times_are_read_as_jiff_reads_them(seconds in -62_000_000_000_i64..250_000_000_000, offset in -1000..1000_i32) {
            let truth = jiff::Timestamp::from_second(seconds).expect("in range");
            let local = Offset::from_seconds(offset * 60).expect("in range").to_datetime(truth);
            let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs());
            let text = format!("{local}{sign}{:02}:{:02}", minutes / 60, minutes % 60);
            let read = instant(&text).map(|(seconds, _)| seconds);
            prop_assert_eq!(read, Ok(seconds), "{}", text);
        }
    }
}
