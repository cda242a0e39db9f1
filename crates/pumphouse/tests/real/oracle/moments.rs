//! Dates and times as texts: every form that somebody writes, the edges of each range, days that no calendar has,
//! and local times around the hours that a zone skips or shows twice.

use fastrand::Rng;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, civil};
use pumphouse_core::schema::ColumnType;

use super::value::quoted;

/// The seconds of 1900-01-01 and of 2299-12-31, and the last ones of `Date` and `DateTime`.
const FIRST: i64 = -2_208_988_800;
const LAST: i64 = 10_413_791_999;
const LAST_32: i64 = 4_294_967_295;
const DAY: i64 = 86_400;

const DATES: [&str; 26] = [
    "1970-01-01",
    "1969-12-31",
    "2149-06-06",
    "2149-06-07",
    "1900-01-01",
    "1899-12-31",
    "2299-12-31",
    "2300-01-01",
    "2023-02-29",
    "2024-02-29",
    "1900-02-29",
    "2000-02-29",
    "2024-02-30",
    "2024-04-31",
    "2024-00-10",
    "2024-13-01",
    "2024-01-00",
    "2024-01-32",
    "0000-00-00",
    "9999-12-31",
    "2024-1-5",
    "24-01-05",
    "20240105",
    "2024/01/05",
    "2024-01-05 ",
    "2024.01.05",
];

const TIMES: [&str; 50] = [
    "1970-01-01 00:00:00",
    "1969-12-31 23:59:59",
    "2106-02-07 06:28:15Z",
    "2106-02-07 06:28:16Z",
    "1900-01-01T00:00:00Z",
    "1899-12-31T23:59:59Z",
    "1899-12-31T23:59:59.999999999Z",
    "2299-12-31T23:59:59Z",
    "2299-12-31T23:59:59.999999999Z",
    "2300-01-01T00:00:00Z",
    "2262-04-11T23:47:16.854775807Z",
    "2262-04-11T23:47:16.854775808Z",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "2023-02-29T00:00:00Z",
    "2024-02-30 00:00:00",
    "2024-04-31T10:00:00Z",
    "2024-13-01T00:00:00Z",
    "2024-01-01T24:00:00Z",
    "2024-01-01T25:00:00Z",
    "2024-01-01T12:60:00Z",
    "2024-01-01T12:00:61Z",
    "2016-12-31T23:59:60Z",
    "2024-01-01T12:00Z",
    "2024-01-01T12:00",
    "2024-01-01T12Z",
    "2024-01-01 12:00:00 UTC",
    "2024-01-01T12:00:00z",
    "2024-01-01t12:00:00Z",
    "2024-01-01T12:00:00+00:00",
    "2024-01-01T12:00:00-00:00",
    "2024-01-01T12:00:00+14:00",
    "2024-01-01T12:00:00-12:00",
    "2024-01-01T12:00:00+0530",
    "2024-01-01T12:00:00+05",
    "2024-01-01T12:00:00+24:00",
    "2024-01-01T12:00:00+05:60",
    "2024-01-01 12:00:00.5",
    "2024-01-01T12:00:00.123456789Z",
    "2024-01-01T12:00:00.1234567891Z",
    "2024-01-01T12:00:00.0000000000Z",
    "2024-01-01T12:00:00.Z",
    "2024-01-01T12:00:00,5Z",
    "2024-01-01",
    "20240101120000",
    "20240101T120000Z",
    "Jan 1 2024 12:00",
    "1 Jan 2024 12:00:00",
    "01/02/2024 12:00:00",
    "12:00:00",
];

const NUMBERS: [&str; 22] = [
    "0",
    "-1",
    "1",
    "86400",
    "65535",
    "65536",
    "5662310399",
    "5662310400",
    "4294967295",
    "4294967296",
    "1709209800",
    "1709209800.5",
    "1709209800000",
    "1709209800123",
    "1709209800123456",
    "1709209800123456789",
    "-2208988800",
    "-2208988801",
    "10413791999",
    "10413792000",
    "1.7092098e9",
    "9223372036854775808",
];

/// The moments that are never left to chance; nothing for other types.
pub(super) fn special(of: &ColumnType) -> Vec<String> {
    let texts: Vec<String> = match of {
        ColumnType::Date | ColumnType::Date32 => {
            [&DATES[..], &TIMES[..4]].concat().iter().map(|text| quoted(text)).collect()
        }
        ColumnType::DateTime { .. } | ColumnType::DateTime64 { .. } => {
            let around = zone_of(of).map(|zone| around_transitions(&zone)).unwrap_or_default();
            TIMES.iter().map(|text| quoted(text)).chain(around.iter().map(|text| quoted(text))).collect()
        }
        _ => return Vec::new(),
    };
    let numbers = NUMBERS.iter().flat_map(|number| [(*number).to_owned(), quoted(number)]);
    texts.into_iter().chain(numbers).collect()
}

/// A text of the type, in one of the forms that both sides read.
pub(super) fn text(rng: &mut Rng, of: &ColumnType) -> String {
    match of {
        ColumnType::Date => date(rng.i64(0..=65_535) * DAY),
        ColumnType::Date32 => date(rng.i64(FIRST..=LAST)),
        ColumnType::DateTime { .. } => time(rng, 0, LAST_32, 0, of),
        ColumnType::DateTime64 { precision, .. } => {
            let last = if *precision == 9 { 9_223_372_035 } else { LAST };
            time(rng, FIRST, last, *precision, of)
        }
        _ => String::new(),
    }
}

fn date(seconds: i64) -> String {
    shown(Timestamp::from_second(seconds).expect("in range"), Offset::UTC).date().to_string()
}

fn time(rng: &mut Rng, first: i64, last: i64, precision: u8, of: &ColumnType) -> String {
    let local_of = |second| match zone_of(of) {
        Some(zone) => zone.to_datetime(second),
        None => shown(second, Offset::UTC),
    };
    // Half of them in these years, which is what streams carry.
    let seconds = if rng.bool() { rng.i64(1_500_000_000..1_900_000_000) } else { rng.i64(first..=last) };
    let instant = Timestamp::from_second(seconds).expect("in range");
    let fraction: String = match rng.u8(..3) {
        0 => String::new(),
        _ => (0..rng.u8(..=precision)).map(|_| char::from(b'0' + rng.u8(..10))).collect(),
    };
    let point = if fraction.is_empty() { "" } else { "." };
    let between = if rng.bool() { 'T' } else { ' ' };
    let (local, offset) = match rng.u8(..3) {
        0 => (local_of(instant), String::new()),
        1 => (shown(instant, Offset::UTC), "Z".to_owned()),
        _ => {
            let minutes = rng.i32(-14 * 60..=14 * 60);
            let offset = Offset::from_seconds(minutes * 60).expect("in range");
            let sign = if minutes < 0 { '-' } else { '+' };
            let colon = if rng.bool() { ":" } else { "" };
            (
                shown(instant, offset),
                format!("{sign}{:02}{colon}{:02}", minutes.abs() / 60, minutes.abs() % 60),
            )
        }
    };
    format!("{}{between}{}{point}{fraction}{offset}", local.date(), local.time().strftime("%H:%M:%S"))
}

fn shown(instant: Timestamp, offset: Offset) -> civil::DateTime {
    offset.to_datetime(instant)
}

/// The zone of a type, if it names one.
pub(super) fn zone_of(of: &ColumnType) -> Option<TimeZone> {
    let (ColumnType::DateTime { zone } | ColumnType::DateTime64 { zone, .. }) = of else { return None };
    zone.as_deref().map(|name| TimeZoneDatabase::bundled().get(name).expect("a zone"))
}

/// Local times a second and some minutes before and after each transition of a few years, by the clocks of either side.
fn around_transitions(zone: &TimeZone) -> Vec<String> {
    let from = |text: &str| text.parse::<Timestamp>().expect("a time");
    let spans = [
        "1945-01-01T00:00:00Z",
        "1981-01-01T00:00:00Z",
        "2011-06-01T00:00:00Z",
        "2024-01-01T00:00:00Z",
        "2090-01-01T00:00:00Z",
    ];
    let mut texts = Vec::new();
    for transition in spans.iter().flat_map(|start| zone.following(from(start)).take(2)) {
        let second = transition.timestamp().as_second();
        for offset in
            [second - 1, second].map(|side| zone.to_offset(Timestamp::from_second(side).expect("in range")))
        {
            for away in [-5400, -3600, -1800, -1, 0, 1, 900, 1799, 1800, 3599, 3600] {
                let instant = Timestamp::from_second(second + away).expect("in range");
                let local = shown(instant, offset);
                texts.push(format!("{} {}", local.date(), local.time()));
            }
        }
    }
    texts
}
