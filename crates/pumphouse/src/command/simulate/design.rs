//! From a configuration to a scenario: tables, table partitions that a batch touches, batches, lanes. Says what it had
//! to assume. Does not know what comes of it.

use std::time::Duration;

use pumphouse_sim::merges::lane::Batches;
use pumphouse_sim::merges::limits::Limits;
use pumphouse_sim::merges::load::Spread;
use pumphouse_sim::merges::scenario::{Scenario, Target, Writers};

use super::DesignOptions;
use crate::check::most_touched;
use crate::config::Settings;
use crate::config::settings::{Stream, Table};
use crate::drive::process;

/// Bytes on disk of a row, as measured on the generated events (decision 0022).
pub(super) const ROW_BYTES: f64 = 60.0;
/// Bytes that a row takes in memory for each byte on disk, as measured on the same events.
const DECODED: f64 = 3.2;
/// Rows of a rollup that a row of its table becomes, as measured there: what is summed up in one batch.
const ROLLUP_ROWS: f64 = 0.05;
/// The settings of a table that are taken from the command line, or from the settings of inserts.
pub(super) const SETTINGS: [&str; 4] =
    ["parts_to_delay_insert", "parts_to_throw_insert", "max_parts_in_total", "max_delay_to_insert"];

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// What is tried, and what had to be assumed.
#[derive(Clone, Debug)]
pub(super) struct Design {
    /// What is tried.
    pub(super) scenario: Scenario,
    /// The stream's name.
    pub(super) stream: String,
    /// In words.
    pub(super) assumed: Vec<String>,
}

/// What the stream comes to.
pub(super) fn read(
    settings: &Settings,
    stream: &Stream,
    options: &DesignOptions,
    rate: f64,
) -> Result<Design, String> {
    let mut assumed = Vec::new();
    let of_view = limits(settings, &[], &options.table_settings);
    let mut tables = Vec::new();
    for table in &stream.tables {
        let spread = spread(table, options, &mut assumed)?;
        let limits = limits(settings, &by_rate(table, rate), &options.table_settings);
        let name = table.full_name();
        let own =
            Target { name, limits, spread, row_bytes: options.row_bytes, rows_of_one: 1.0, is_view: false };
        tables.push(own);
        tables.extend(table.rollups.values().map(|rollup| Target {
            name: format!("{}.{}", table.database, rollup.name),
            limits: of_view,
            spread: Spread::ONE,
            row_bytes: options.row_bytes,
            rows_of_one: ROLLUP_ROWS,
            is_view: true,
        }));
    }
    if stream.tables.iter().any(|table| table.when.is_some()) {
        assumed.push("every table takes every row: how many meet a condition is not known".to_owned());
    }
    if stream.tables.iter().any(|table| !table.rollups.is_empty()) {
        assumed.push("a rollup has one row for twenty of its table".to_owned());
    }
    let policy = process::batch_policy(settings, stream);
    let rows = policy.rows.min(rows_of(policy.bytes, options.row_bytes));
    let valve = Some(process::valve_policy(stream));
    let batches = Batches { freshness: policy.freshness, rows, valve, ..Scenario::default().writers.batches };
    let lanes = u32::from(settings.process.lanes.get());
    let writers = Writers { processes: options.processes, lanes, batches, ..Scenario::default().writers };
    let scenario = Scenario { tables, writers, ..Scenario::default() };
    Ok(Design { scenario, stream: stream.name.clone(), assumed })
}

/// Rows of a batch of so many bytes in memory.
fn rows_of(bytes: u64, row_bytes: f64) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let rows = bytes as f64 / (row_bytes * DECODED);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and finite")]
    let rows = rows as u64;
    rows.max(1)
}

/// What the table's settings are at this rate, where they follow it.
fn by_rate(table: &Table, rate: f64) -> Vec<(String, u64)> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and finite")]
    let rate = rate as u64;
    table.settings_by_rate.iter().map(|(name, curve)| (name.clone(), curve.value_at(rate))).collect()
}

/// The settings of inserts go before those of a table, and what is asked for here before both.
fn limits(settings: &Settings, of_table: &[(String, u64)], asked: &[(String, u64)]) -> Limits {
    let of_inserts = settings.clickhouse.settings.iter();
    let of_inserts = of_inserts.filter_map(|(name, value)| Some((name.as_str(), value.parse().ok()?)));
    let of_table = of_table.iter().map(|(name, value)| (name.as_str(), *value));
    let asked = asked.iter().map(|(name, value)| (name.as_str(), *value));
    let mut limits = Limits::default();
    for (name, value) in of_table.chain(of_inserts).chain(asked) {
        match name {
            "parts_to_delay_insert" => limits.delay_at = value,
            "parts_to_throw_insert" => limits.refuse_at = value,
            "max_parts_in_total" => limits.refuse_total_at = value,
            "max_delay_to_insert" => limits.delay_max = Duration::from_secs(value),
            _ => {}
        }
    }
    limits
}

fn spread(table: &Table, options: &DesignOptions, assumed: &mut Vec<String>) -> Result<Spread, String> {
    let key = table.partition_by.as_deref().filter(|key| !matches!(key.trim(), "tuple()" | "()"));
    let kept = table.ttl.as_deref().and_then(ttl);
    match (key, options.partitions_per_batch, key.and_then(width)) {
        (None, ..) => Ok(Spread::ONE),
        (Some(_), Some(partitions), width) => Ok(Spread { partitions, width, drops_old: false }),
        (Some(_), None, Some(width)) => {
            let whole = options.spread.unwrap_or(Duration::ZERO);
            let seen = kept.map_or(whole, |kept| whole.min(kept));
            if seen < whole {
                assumed.push(format!("rows of {} past its TTL make no parts", table.full_name()));
            }
            let partitions = most_touched(seen, width);
            let partitions = u32::try_from(partitions.min(100_000)).unwrap_or(u32::MAX);
            Ok(Spread { partitions, width: Some(width), drops_old: kept.is_some_and(|kept| kept <= seen) })
        }
        (Some(key), None, None) => Err(format!(
            "`{key}` of {} is no function of time that is known here; say with --partitions-per-batch how many table \
             partitions a batch touches",
            table.full_name()
        )),
    }
}

/// The time that one table partition holds, of the usual partition keys.
fn width(key: &str) -> Option<Duration> {
    let (function, argument) = key.trim().split_once('(')?;
    let width = match function.trim() {
        "toYear" | "toStartOfYear" => DAY * 365,
        "toStartOfQuarter" => DAY * 91,
        "toYYYYMM" | "toStartOfMonth" => DAY * 30,
        "toMonday" | "toStartOfWeek" | "toYearWeek" => DAY * 7,
        "toDate" | "toDate32" | "toYYYYMMDD" | "toStartOfDay" => DAY,
        "toStartOfHour" => HOUR,
        "toStartOfInterval" => interval(argument)?,
        _ => return None,
    };
    Some(width)
}

/// How long rows are kept, of `ts + INTERVAL 13 MONTH` and its like.
fn ttl(expression: &str) -> Option<Duration> {
    interval(expression)
}

/// The span of `… INTERVAL 2 HOUR`, or of `… toIntervalHour(2)`.
fn interval(text: &str) -> Option<Duration> {
    let text = text.to_ascii_lowercase();
    let (number, unit) = match (text.split_once("interval "), text.split_once("tointerval")) {
        (Some((_, rest)), _) => {
            let mut words = rest.split_whitespace();
            (words.next()?.to_owned(), words.next()?.to_owned())
        }
        (None, Some((_, rest))) => {
            let (unit, number) = rest.split_once('(')?;
            (number.to_owned(), unit.to_owned())
        }
        (None, None) => return None,
    };
    let number: String = number.chars().filter(char::is_ascii_digit).collect();
    let letters: String = unit.chars().take_while(char::is_ascii_alphabetic).collect();
    let one = match letters.trim_end_matches('s') {
        "second" => Duration::from_secs(1),
        "minute" => Duration::from_mins(1),
        "hour" => HOUR,
        "day" => DAY,
        "week" => DAY * 7,
        "month" => DAY * 30,
        "quarter" => DAY * 91,
        "year" => DAY * 365,
        _ => return None,
    };
    one.checked_mul(number.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_partition_keys_hold_a_known_time() {
        for (key, width_said) in [
            ("toYYYYMM(ts)", DAY * 30),
            ("toDate(ts)", DAY),
            (" toStartOfHour(ts) ", HOUR),
            ("toStartOfInterval(ts, INTERVAL 6 HOUR)", HOUR * 6),
            ("toStartOfInterval(ts, toIntervalMinute(15))", Duration::from_mins(15)),
        ] {
            assert_eq!(width(key), Some(width_said), "{key}");
        }
        for key in ["cityHash64(id) % 16", "service", "toStartOfInterval(ts, x)"] {
            assert_eq!(width(key), None, "{key}");
        }
    }

    #[test]
    fn a_ttl_is_a_span() {
        assert_eq!(ttl("ts + INTERVAL 13 MONTH"), Some(DAY * 390));
        assert_eq!(ttl("toDateTime(ts) + toIntervalDay(3)"), Some(DAY * 3));
        assert_eq!(ttl("expires_at"), None);
    }

    fn design(partition_by: &str, options: &DesignOptions) -> Result<Design, String> {
        let text = format!(
            "clickhouse: {{ url: \"http://h\", settings: {{ parts_to_delay_insert: 300 }} }}\nkafka: {{ brokers: h }}\n\
             process: {{ lanes: 3 }}\nstreams:\n  events:\n    from: {{ topic: t }}\n    columns: {{ ts: DateTime }}\n    \
             table: {{ order_by: ts, partition_by: \"{partition_by}\", ttl: ts + INTERVAL 10 DAY }}\n    rollups:\n      \
             hourly: {{ every: 1 hour of ts, dimensions: [], metrics: {{ n: count() }} }}\n"
        );
        let settings = crate::config::parse_with_files("f", &text, &|_| None, &|_| Ok(String::new()))
            .unwrap_or_else(|error| panic!("{error}"));
        read(&settings, &settings.streams["events"], options, 1000.0)
    }

    fn options() -> DesignOptions {
        let table_settings = vec![("parts_to_throw_insert".to_owned(), 600)];
        DesignOptions {
            spread: None,
            partitions_per_batch: None,
            processes: 2,
            row_bytes: 60.0,
            table_settings,
        }
    }

    #[test]
    fn a_configuration_becomes_tables_lanes_and_limits() {
        let year = DesignOptions { spread: Some(DAY * 365), ..options() };
        let design = design("toDate(ts)", &year).unwrap_or_else(|mistake| panic!("{mistake}"));
        let scenario = &design.scenario;
        assert_eq!(scenario.lanes(), 6);
        let partitions: Vec<u32> = scenario.tables.iter().map(|table| table.spread.partitions).collect();
        assert_eq!(
            partitions,
            [11, 1],
            "what the TTL drops at once makes no parts; the rollup has one partition"
        );
        assert!(scenario.tables[1].is_view && !scenario.tables[0].is_view);
        assert_eq!((scenario.tables[0].limits.delay_at, scenario.tables[0].limits.refuse_at), (300, 600));
        assert_eq!(design.assumed.len(), 2, "{:?}", design.assumed);
        let months = |spread| most_touched(spread, width("toYYYYMM(ts)").expect("it is known"));
        assert_eq!([Duration::ZERO, DAY, DAY * 365].map(months), [1, 2, 14], "as `check` says");
    }

    #[test]
    fn a_key_that_is_no_time_has_to_be_told() {
        let told = design("cityHash64(ts) % 16", &options()).expect_err("nobody can know");
        assert!(told.contains("--partitions-per-batch"), "{told}");
        let sixteen = DesignOptions { partitions_per_batch: Some(16), ..options() };
        let design = design("cityHash64(ts) % 16", &sixteen).unwrap_or_else(|mistake| panic!("{mistake}"));
        assert_eq!(design.scenario.tables[0].spread.partitions, 16);
    }
}
