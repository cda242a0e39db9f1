//! Single values: text to number, duration, size, address or time, within the limits their kind carries.
//! Pure functions; a refusal never repeats the value, since only the caller knows whether it may be shown.

use std::net::SocketAddr;
use std::time::Duration;

use super::keys::{self, Choice, Kind};
use super::settings::StartFrom;

/// What is wrong with a value: the rest of a sentence that begins with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub what: String,
    /// What to write; may be empty.
    pub suggestion: String,
}

impl Wrong {
    pub(super) fn new(what: impl Into<String>, suggestion: impl Into<String>) -> Self {
        Self { what: what.into(), suggestion: suggestion.into() }
    }
}

pub(super) fn text(text: &str, _: &Kind) -> Result<String, Wrong> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(Wrong::new("is empty", "write a value or remove the key"));
    }
    Ok(trimmed.to_owned())
}

pub(super) fn flag(text: &str, _: &Kind) -> Result<bool, Wrong> {
    match text {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        "yes" | "on" | "1" => Err(Wrong::new("is neither `true` nor `false`", "write `true`")),
        "no" | "off" | "0" => Err(Wrong::new("is neither `true` nor `false`", "write `false`")),
        _ => Err(Wrong::new("is neither `true` nor `false`", "")),
    }
}

pub(super) fn choice(text: &str, kind: &Kind) -> Result<&'static str, Wrong> {
    let Kind::Choice(choice) = kind else { unreachable!("only choices are read as choices") };
    if let Some(word) = choice.now.iter().find(|word| **word == text) {
        return Ok(word);
    }
    if let Some((_, word)) = choice.also.iter().find(|(short, _)| *short == text) {
        return Ok(word);
    }
    if choice.later.contains(&text) {
        return Err(not_available(choice));
    }
    let suggestion = keys::nearest(text, choice.now.iter().copied())
        .map_or_else(|| format!("write {}", kind.expected()), |word| format!("did you mean `{word}`?"));
    Err(Wrong::new("is not one of the words for this key", suggestion))
}

/// The refusal of a word that a later version understands.
pub(super) fn not_available(choice: &Choice) -> Wrong {
    let now = Kind::Choice(*choice).expected();
    Wrong::new("is not available in this version", format!("remove it or use {now}"))
}

pub(super) fn number(text: &str, kind: &Kind) -> Result<u64, Wrong> {
    let (Kind::Number(least, most) | Kind::NumberOrNull(least, most)) = *kind else {
        unreachable!("only numbers are read as numbers")
    };
    let number = digits(text).ok_or_else(|| Wrong::new("is not a whole number", ""))?;
    within(number, least, most, |number| number.to_string())
}

/// A whole number, with `_` between digits as in `1_000_000`.
pub(super) fn digits(text: &str) -> Option<u64> {
    let text = text.trim();
    let odd = text.is_empty() || text.starts_with('_') || text.ends_with('_') || text.contains("__");
    if odd || !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') {
        return None;
    }
    text.replace('_', "").parse().ok()
}

fn within(value: u64, least: u64, most: u64, show: impl Fn(u64) -> String) -> Result<u64, Wrong> {
    if value < least {
        Err(Wrong::new(format!("is below the least, {}", show(least)), ""))
    } else if value > most {
        Err(Wrong::new(format!("is above the most, {}", show(most)), ""))
    } else {
        Ok(value)
    }
}

/// Splits `500ms` into its number and its unit.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    Some((digits(&text[..end])?, text[end..].trim_start()))
}

const DURATIONS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

pub(super) fn duration(text: &str, kind: &Kind) -> Result<Duration, Wrong> {
    let Kind::Duration(least, most) = *kind else { unreachable!("only durations are read as durations") };
    let not_one = || Wrong::new("is not a duration", "write a whole number with `ms`, `s`, `m`, `h` or `d`");
    let (number, unit) = number_and_unit(text).ok_or_else(not_one)?;
    if unit.is_empty() {
        return Err(Wrong::new("has no unit", format!("write `{number}s` or `{number}ms`")));
    }
    let factor = DURATIONS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let milliseconds = number.checked_mul(factor.ok_or_else(not_one)?).ok_or_else(not_one)?;
    within(milliseconds, least, most, show_duration).map(Duration::from_millis)
}

/// Milliseconds in the largest unit that keeps them whole.
pub(super) fn show_duration(milliseconds: u64) -> String {
    let fits = |(_, factor): &&(&str, u64)| milliseconds >= *factor && milliseconds.is_multiple_of(*factor);
    let (unit, factor) = DURATIONS.iter().rev().find(fits).unwrap_or(&DURATIONS[0]);
    format!("{}{unit}", milliseconds / factor)
}

const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

pub(super) fn size(text: &str, kind: &Kind) -> Result<u64, Wrong> {
    let Kind::Size(least, most) = *kind else { unreachable!("only sizes are read as sizes") };
    let not_one = || Wrong::new("is not a size", "write a whole number with `MiB`, `GiB`, `MB` or `GB`");
    let (number, unit) = number_and_unit(text).ok_or_else(not_one)?;
    let factor = if unit.is_empty() {
        Some(1)
    } else {
        SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor)
    };
    let bytes = number.checked_mul(factor.ok_or_else(not_one)?).ok_or_else(not_one)?;
    within(bytes, least, most, show_size)
}

/// Bytes in the largest binary unit that keeps them whole.
pub(super) fn show_size(bytes: u64) -> String {
    let fits = |(_, factor): &&(&str, u64)| bytes >= *factor && bytes.is_multiple_of(*factor);
    let (unit, factor) = SIZES[5..].iter().rev().find(fits).unwrap_or(&SIZES[0]);
    format!("{}{unit}", bytes / factor)
}

pub(super) fn address(text: &str, _: &Kind) -> Result<SocketAddr, Wrong> {
    text.trim().parse().map_err(|_| {
        let suggestion = match text.trim().rsplit_once(':') {
            Some(("" | "*", port)) => format!("write `0.0.0.0:{port}` for all interfaces"),
            Some(("localhost", port)) => format!("write `127.0.0.1:{port}`"),
            _ => "write an IP address and a port, such as `127.0.0.1:9464`".to_owned(),
        };
        Wrong::new("is not an address to listen on", suggestion)
    })
}

pub(super) fn start_from(text: &str, kind: &Kind) -> Result<StartFrom, Wrong> {
    match text.trim() {
        "earliest" => return Ok(StartFrom::Earliest),
        "latest" => return Ok(StartFrom::Latest),
        _ => {}
    }
    let time: Option<jiff::Timestamp> = text.trim().parse().ok();
    match time.map(jiff::Timestamp::as_millisecond) {
        Some(milliseconds @ 0..) => Ok(StartFrom::Time(milliseconds)),
        Some(_) => Err(Wrong::new("is before 1970", "")),
        None => {
            let suggestion = keys::nearest(text, ["earliest", "latest"]).map_or_else(
                || format!("write {}", kind.expected()),
                |word| format!("did you mean `{word}`?"),
            );
            Err(Wrong::new("is not a place to start from", suggestion))
        }
    }
}

/// An address over HTTP without the slash at its end: `http(s)://host[:port][/prefix]`.
pub(super) fn url(text: &str) -> Result<String, Wrong> {
    let text = text.trim();
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(Wrong::new("is not an address over HTTP", "begin it with `http://` or `https://`"));
    };
    if !matches!(scheme, "http" | "https") {
        return Err(Wrong::new(
            "does not begin with `http://` or `https://`",
            "give the HTTP interface, often port 8123 or 8443",
        ));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    if rest.contains('@') {
        return Err(Wrong::new(
            "holds a user or password",
            "write them as `clickhouse.user` and `clickhouse.password`",
        ));
    }
    if rest.contains(['?', '#']) {
        return Err(Wrong::new("holds a query or a fragment", "write settings under `clickhouse.settings`"));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if port.is_some_and(|port| !matches!(port.parse::<u16>(), Ok(1..))) {
        return Err(Wrong::new("has a port that is not 1 to 65535", ""));
    }
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let odd = |c: char| c.is_whitespace() || c.is_control() || (!bracketed && matches!(c, ':' | '[' | ']'));
    if host.is_empty() || host.contains(odd) || rest.contains(char::is_whitespace) {
        return Err(Wrong::new("has no host that could be reached", "for example `http://localhost:8123`"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_with_their_units_and_limits() {
        let long = Kind::Duration(1, u64::MAX);
        for (text, milliseconds) in
            [("1s", 1000), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000), ("1 d", 86_400_000)]
        {
            assert_eq!(duration(text, &long), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in
            ["5", "5 apples", "", "s", "1.5s", "-1s", "99999999999999999999s", "18446744073709551615d"]
        {
            assert!(duration(text, &long).is_err(), "{text}");
        }
        let large = Kind::Size(1, u64::MAX);
        for (text, bytes) in
            [("256MiB", 256 << 20), ("128MB", 128_000_000), ("1GiB", 1 << 30), ("1_024", 1024), ("7b", 7)]
        {
            assert_eq!(size(text, &large), Ok(bytes), "{text}");
        }
        assert_eq!(duration("0s", &Kind::Duration(10, 100)), Err(Wrong::new("is below the least, 10ms", "")));
        assert_eq!(size("2GiB", &Kind::Size(1, 1 << 30)), Err(Wrong::new("is above the most, 1GiB", "")));
        assert!(size("1M", &large).is_err() && size("20000000000GiB", &large).is_err());
    }

    #[test]
    fn an_address_keeps_its_prefix_and_loses_its_slash() {
        for (text, meaning) in [
            ("http://localhost:8123/", "http://localhost:8123"),
            ("https://ch.example/prefix/", "https://ch.example/prefix"),
            ("http://[::1]:8123", "http://[::1]:8123"),
        ] {
            assert_eq!(url(text).as_deref(), Ok(meaning));
        }
        for text in [
            "localhost:8123",
            "tcp://h:9000",
            "http://",
            "http://:8123",
            "http://u:p@h",
            "http://h:0",
            "http://h:x",
            "http://h?database=x",
            "http://h h",
            "http://::1:8123",
            "http://h/a b",
            "http://h/x@y",
        ] {
            assert!(url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_start_is_a_word_or_a_time() {
        let kind = Kind::StartFrom;
        assert_eq!(start_from("latest", &kind), Ok(StartFrom::Latest));
        assert_eq!(start_from("2026-11-01T00:00:00Z", &kind), Ok(StartFrom::Time(1_793_491_200_000)));
        assert_eq!(
            start_from("lastest", &kind).map_err(|wrong| wrong.suggestion),
            Err("did you mean `latest`?".to_owned())
        );
        assert!(
            start_from("2026-11-01", &kind).is_err() && start_from("1969-01-01T00:00:00Z", &kind).is_err()
        );
    }
}
