//! Partition keys and TTLs as spans of time: how much time one table partition covers, how long rows are kept. Reads the
//! text of expressions, as a person writes them and as the server prints them; where it can't follow, it says nothing.

use std::time::Duration;

const SECOND: u64 = 1;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const MONTH: u64 = 30 * DAY;
const YEAR: u64 = 365 * DAY;

/// Functions of a time, in lower case, and the seconds for which their result stays the same.
const FUNCTIONS: [(&str, u64); 29] = [
    ("todate", DAY),
    ("todate32", DAY),
    ("toyyyymmdd", DAY),
    ("tostartofday", DAY),
    ("todayofyear", DAY),
    ("todayofmonth", DAY),
    ("torelativedaynum", DAY),
    ("toyyyymmddhhmmss", SECOND),
    ("tostartofsecond", SECOND),
    ("tounixtimestamp", SECOND),
    ("tostartofminute", MINUTE),
    ("tostartoffiveminutes", 5 * MINUTE),
    ("tostartoftenminutes", 10 * MINUTE),
    ("tostartoffifteenminutes", 15 * MINUTE),
    ("torelativeminutenum", MINUTE),
    ("tostartofhour", HOUR),
    ("tohour", HOUR),
    ("torelativehournum", HOUR),
    ("tomonday", 7 * DAY),
    ("tostartofweek", 7 * DAY),
    ("toyearweek", 7 * DAY),
    ("toisoweek", 7 * DAY),
    ("toyyyymm", MONTH),
    ("tostartofmonth", MONTH),
    ("torelativemonthnum", MONTH),
    ("tostartofquarter", 91 * DAY),
    ("toyear", YEAR),
    ("tostartofyear", YEAR),
    ("toisoyear", YEAR),
];

/// Units of an interval, in lower case.
const UNITS: [(&str, u64); 8] = [
    ("second", SECOND),
    ("minute", MINUTE),
    ("hour", HOUR),
    ("day", DAY),
    ("week", 7 * DAY),
    ("month", MONTH),
    ("quarter", 91 * DAY),
    ("year", YEAR),
];

/// How much time one table partition covers: the shortest span that the key names. `None` where it names none.
///
/// ```
/// use pumphouse_clickhouse::key_time::partition_span;
///
/// let day = std::time::Duration::from_secs(86_400);
/// assert_eq!(partition_span("(service, toYYYYMMDD(ts))"), Some(day));
/// assert_eq!(partition_span("service"), None);
/// ```
#[must_use]
pub fn partition_span(key: &str) -> Option<Duration> {
    let words = words(key);
    let named = words.iter().filter(|word| word.is_call).filter_map(|word| {
        let name = word.text.to_ascii_lowercase();
        FUNCTIONS.iter().find(|(function, _)| *function == name).map(|(_, seconds)| *seconds)
    });
    named.chain(intervals(&words)).min().map(Duration::from_secs)
}

/// How long rows are kept by a TTL that deletes them; `None` where it names no interval or does something else.
#[must_use]
pub fn retention(ttl: &str) -> Option<Duration> {
    let deleting = elements(ttl).into_iter().filter(|element| {
        let words = words(element);
        let does = |name: &str| words.iter().any(|word| word.text.eq_ignore_ascii_case(name));
        !["RECOMPRESS", "DISK", "VOLUME", "GROUP", "WHERE"].into_iter().any(does)
    });
    let spans = deleting.map(|element| intervals(&words(element)).into_iter().sum::<u64>());
    spans.filter(|seconds| *seconds > 0).min().map(Duration::from_secs)
}

/// How many table partitions a row's life spans at least, for it to be worth to let whole parts expire.
const PARTITIONS_IN_A_LIFE: u32 = 4;

/// Whether rows of one table partition expire at about the same time, so that whole parts can be dropped then.
#[must_use]
pub fn expires_by_part(key: &str, ttl: &str) -> bool {
    match (partition_span(key), retention(ttl)) {
        (Some(span), Some(kept)) => span * PARTITIONS_IN_A_LIFE <= kept,
        _ => false,
    }
}

/// The expressions of a list, at the commas that stand in no parentheses.
#[must_use]
pub fn elements(list: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut parts, mut quoted) = (0_i32, 0, Vec::new(), false);
    for (at, letter) in list.char_indices() {
        match letter {
            '\'' => quoted = !quoted,
            '(' | '[' if !quoted => depth += 1,
            ')' | ']' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(list[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(list[begin..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

/// A word or a number, and whether a parenthesis follows.
struct Word<'a> {
    text: &'a str,
    is_call: bool,
}

/// `INTERVAL 13 MONTH`, `INTERVAL '13' MONTH` and `toIntervalMonth(13)`, in seconds.
fn intervals(words: &[Word<'_>]) -> Vec<u64> {
    let unit = |name: &str| {
        let name = name.to_ascii_lowercase();
        UNITS
            .iter()
            .find(|(unit, _)| name == *unit || name == format!("{unit}s"))
            .map(|(_, seconds)| *seconds)
    };
    let at = |number: usize| words.get(number).map_or("", |word| word.text);
    let spans = words.iter().enumerate().filter_map(|(number, word)| {
        let lower = word.text.to_ascii_lowercase();
        if let Some(name) = lower.strip_prefix("tointerval").filter(|_| word.is_call) {
            return at(number + 1).parse::<u64>().ok()?.checked_mul(unit(name)?);
        }
        (lower == "interval").then_some(())?;
        at(number + 1).parse::<u64>().ok()?.checked_mul(unit(at(number + 2))?)
    });
    spans.collect()
}

fn words(expression: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(|letter: char| letter.is_alphanumeric() || letter == '_') {
        let from = &rest[start..];
        let end = from.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(from.len());
        let (text, after) = from.split_at(end);
        words.push(Word { text, is_call: after.trim_start().starts_with('(') });
        rest = after;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(days: u64) -> Duration {
        Duration::from_secs(days * DAY)
    }

    #[test]
    fn a_key_covers_the_shortest_time_that_it_names() {
        for (key, span) in [
            ("toYYYYMM(ts)", Some(days(30))),
            ("toYYYYMMDD(ts)", Some(days(1))),
            ("toDate(ts)", Some(days(1))),
            ("toMonday(ts)", Some(days(7))),
            ("toStartOfMonth(ts)", Some(days(30))),
            ("(toDate(ts), toHour(ts))", Some(Duration::from_secs(HOUR))),
            ("(service, toYYYYMM(ts))", Some(days(30))),
            ("toStartOfInterval(ts, toIntervalHour(6))", Some(Duration::from_secs(6 * HOUR))),
            ("toStartOfInterval(ts, INTERVAL 15 minute)", Some(Duration::from_secs(15 * MINUTE))),
            ("service", None),
            ("tuple()", None),
            ("", None),
            ("cityHash64(id) % 16", None),
        ] {
            assert_eq!(partition_span(key), span, "{key}");
        }
    }

    #[test]
    fn rows_are_kept_for_the_shortest_interval_that_deletes() {
        for (ttl, kept) in [
            ("ts + INTERVAL 13 MONTH", Some(days(390))),
            ("ts + toIntervalMonth(13)", Some(days(390))),
            ("toDateTime(ts) + toIntervalDay(3)", Some(days(3))),
            ("ts + INTERVAL '2' WEEKS", Some(days(14))),
            ("ts + INTERVAL 1 DAY + INTERVAL 1 DAY", Some(days(2))),
            ("ts + INTERVAL 7 DAY TO VOLUME 'cold', ts + INTERVAL 90 DAY DELETE", Some(days(90))),
            ("ts + INTERVAL 7 DAY RECOMPRESS CODEC(ZSTD(9))", None),
            ("ts + INTERVAL 7 DAY DELETE WHERE level = 'debug'", None),
            ("expires_at", None),
        ] {
            assert_eq!(retention(ttl), kept, "{ttl}");
        }
    }

    #[test]
    fn parts_expire_whole_where_a_life_spans_several() {
        assert!(expires_by_part("toYYYYMM(ts)", "ts + INTERVAL 13 MONTH"));
        assert!(!expires_by_part("toYYYYMM(ts)", "ts + INTERVAL 3 MONTH"));
        assert!(!expires_by_part("service", "ts + INTERVAL 13 MONTH"));
        assert!(!expires_by_part("toYYYYMM(ts)", "expires_at"));
    }

    #[test]
    fn a_list_is_cut_at_its_own_commas() {
        assert_eq!(elements("service, f(a, b), 'x, y'"), ["service", "f(a, b)", "'x, y'"]);
        assert_eq!(elements(" "), [""; 0]);
    }
}
