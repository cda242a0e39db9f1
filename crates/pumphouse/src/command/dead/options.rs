//! What all parts of `dead` have in common: the filters, the times they are written in, the way to ClickHouse.

use std::future::Future;
use std::ops::Range;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp};
use pumphouse_clickhouse::client::Client;

use crate::command::configuration::{ConfigurationFile, read_or_say};
use crate::config::Settings;
use crate::drive::ready;
use crate::fault::{Code, Exit};
use crate::replay::filter::{Fate, Filter};
use crate::telemetry;

/// Which letters are meant
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Filters {
    /// Only of this stream
    #[arg(long, value_name = "STREAM")]
    pub(super) stream: Option<String>,
    /// Only with this code: PH-0104 or 104
    #[arg(long, value_name = "CODE", value_parser = code)]
    code: Option<Code>,
    /// Only kept since then: 2026-11-21T10:00:00Z, 2026-11-21, or 2h for two hours ago
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Only kept before then
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// Only of this partition
    #[arg(long, value_name = "P")]
    partition: Option<u32>,
    /// Only of this offset
    #[arg(long, value_name = "N", conflicts_with = "offsets")]
    offset: Option<u64>,
    /// Only of these offsets, the second one not included: 1200..1800
    #[arg(long, value_name = "A..B", value_parser = offsets)]
    offsets: Option<Range<u64>>,
    /// Only bad for this table: database.table
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,
}

impl Filters {
    /// The filter, for letters of this fate.
    pub(super) fn filter(&self, fate: Fate) -> Filter {
        let one = self.offset.map(|offset| offset..offset.saturating_add(1));
        Filter {
            stream: self.stream.clone(),
            topic: None,
            code: self.code.map(|code| code.number().to_owned()),
            since: self.since.map(Timestamp::as_millisecond),
            until: self.until.map(Timestamp::as_millisecond),
            partition: self.partition,
            offsets: one.or_else(|| self.offsets.clone()),
            table: self.table.clone(),
            index: None,
            fate,
        }
    }
}

/// Does `work` with the configuration and a connection; gives the exit code where there is no configuration.
pub(super) fn connected<F: Future<Output = anyhow::Result<Exit>>>(
    file: &ConfigurationFile,
    work: impl FnOnce(Settings, Client) -> F,
) -> anyhow::Result<Exit> {
    let settings = match read_or_say(&file.config) {
        Ok(settings) => settings,
        Err(exit) => return Ok(exit),
    };
    telemetry::init(settings.process.log)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = ready::reach_now(&settings.clickhouse).await?;
        work(settings, client).await
    })
}

fn code(text: &str) -> Result<Code, String> {
    text.parse().map_err(|_| {
        "no such code; `pumphouse dead list --all --summary` has those of the letters".to_owned()
    })
}

fn offsets(text: &str) -> Result<Range<u64>, String> {
    let ends = text.split_once("..").map(|(from, to)| (from.trim().parse(), to.trim().parse()));
    match ends {
        Some((Ok(from), Ok(to))) if from < to => Ok(from..to),
        _ => Err("two offsets, the smaller one first: 1200..1800".to_owned()),
    }
}

/// A time as people write it.
pub(in crate::command) fn time(text: &str) -> Result<Timestamp, String> {
    time_at(text, Timestamp::now())
}

/// A time, a day's beginning in UTC, or a span before now.
fn time_at(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(day) = text.parse::<Date>() {
        return day.to_zoned(TimeZone::UTC).map(|day| day.timestamp()).map_err(|error| error.to_string());
    }
    let ago = |span: Span| {
        let span = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
        now.checked_sub(span.abs()).ok()
    };
    text.parse::<Span>()
        .ok()
        .and_then(ago)
        .ok_or_else(|| "a time: 2026-11-21T10:00:00Z, 2026-11-21, or 2h for two hours ago".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_moment_a_day_or_a_span_ago() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().expect("a time");
        for (text, told) in [
            ("2026-11-20T23:00:00+01:00", "2026-11-20T22:00:00Z"),
            ("2026-11-20", "2026-11-20T00:00:00Z"),
            ("2h", "2026-11-21T08:00:00Z"),
            ("7d", "2026-11-14T10:00:00Z"),
            ("1h30m", "2026-11-21T08:30:00Z"),
        ] {
            assert_eq!(time_at(text, now).map(|time| time.to_string()), Ok(told.to_owned()), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "12"] {
            assert!(time_at(text, now).is_err(), "{text}");
        }
    }

    #[test]
    fn offsets_are_a_half_open_range() {
        assert_eq!(offsets("1200..1800"), Ok(1200..1800));
        for text in ["1200", "..", "5..5", "9..3", "a..b", "-1..4"] {
            assert!(offsets(text).is_err(), "{text}");
        }
    }
}
