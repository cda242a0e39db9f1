//! Table partitions and parts: what one insert touches, what a second makes, what retention keeps, what is there now. Pure;
//! how the load came to be known is `load`'s.

use std::time::Duration;

use pumphouse_clickhouse::key_time::{partition_span, retention};

use super::finding::{Finding, Severity};
use super::load::{Load, figure, span};
use super::table::TableFacts;
use crate::fault::Code;

/// Table partitions that one insert may touch: the limit that servers have by default, and that pumphouse lifts.
const TOUCHED_MAX: f64 = 100.0;
/// Table partitions that a table may keep: each has parts, files and a place in every query's plan.
const KEPT_MAX: f64 = 1_000.0;
/// New parts a second in one table: ten times what is planned with.
const PARTS_PER_SECOND_MAX: f64 = 20.0;
/// Inserts a second into one table that are planned with.
const CALM_INSERTS: u64 = 2;
/// Rows without a TTL are looked at after this time.
const WITHOUT_TTL: Duration = Duration::from_hours(365 * 24);
/// What a server has where a table does not say otherwise.
const DELAY_AT: u64 = 1_000;
const TOTAL_MAX: u64 = 100_000;

/// All that partition key, load and parts have against each other.
pub(super) fn judge(table: &TableFacts, load: &Load) -> Vec<Finding> {
    let touched =
        table.held.as_ref().and_then(|held| held.touched).or_else(|| load.touched(&table.partition_key));
    let found = [
        too_many_touched(table, load, touched),
        too_many_a_second(table, load, touched.unwrap_or(1.0)),
        too_many_kept(table),
        near_the_limit(table),
    ];
    found.into_iter().flatten().collect()
}

fn finding(table: &TableFacts, code: Code, (what, why, mend): (String, String, String)) -> Finding {
    let (stream, on) = (table.stream.clone(), table.name.clone());
    Finding { severity: Severity::Warning, code, stream, on, what, why, mend }
}

fn too_many_touched(table: &TableFacts, load: &Load, touched: Option<f64>) -> Option<Finding> {
    let touched = touched.filter(|touched| *touched > TOUCHED_MAX)?;
    let source = if table.held.as_ref().is_some_and(|held| held.touched.is_some()) {
        "measured"
    } else {
        "by --spread"
    };
    let what = format!(
        "one batch touches {} table partitions ({source}) under PARTITION BY {}",
        figure(touched),
        table.partition_key
    );
    let why = format!(
        "each insert writes a part into each: {} new parts a second from {} inserts",
        figure(touched * load.inserts),
        figure(load.inserts)
    );
    Some(finding(table, Code::BatchTooScattered, (what, why, coarser(table))))
}

fn too_many_a_second(table: &TableFacts, load: &Load, touched: f64) -> Option<Finding> {
    let parts = touched * load.inserts;
    // Said already, with its cause.
    if parts <= PARTS_PER_SECOND_MAX || touched > TOUCHED_MAX {
        return None;
    }
    let what = format!(
        "up to {} new parts a second: {} inserts into {} each",
        figure(parts),
        figure(load.inserts),
        count(touched, "table partition")
    );
    let why = format!(
        "merges have to keep up with all of them for as long as events flow; {CALM_INSERTS} a second are plenty for \
         rows that are to be seen after a second"
    );
    let mend = if touched > 2.0 {
        coarser(table)
    } else {
        format!(
            "streams.{}.batch.freshness: {}s, or fewer lanes",
            table.stream,
            load.lanes.div_ceil(CALM_INSERTS)
        )
    };
    Some(finding(table, Code::PartsPerSecond, (what, why, mend)))
}

fn too_many_kept(table: &TableFacts) -> Option<Finding> {
    let span_of_one = partition_span(&table.partition_key)?;
    let kept = table.ttl.as_deref().and_then(retention);
    let partitions = kept.unwrap_or(WITHOUT_TTL).as_secs_f64() / span_of_one.as_secs_f64();
    let there = table.held.as_ref().map_or(0, |held| held.partitions);
    #[expect(clippy::cast_precision_loss, reason = "figures to be read by people")]
    let partitions = partitions.max(there as f64);
    if partitions <= KEPT_MAX {
        return None;
    }
    let lived = kept.map_or("a year without a TTL".to_owned(), |kept| format!("a TTL of {}", span(kept)));
    let what = format!(
        "{} table partitions: PARTITION BY {} covers {} each, over {lived}",
        figure(partitions),
        table.partition_key,
        span(span_of_one)
    );
    let total = table.setting("max_parts_in_total").unwrap_or(TOTAL_MAX);
    let why = format!(
        "each holds parts of its own that never merge with others; inserts are refused at {total} parts in all, and \
         queries slow down long before"
    );
    Some(finding(table, Code::TooManyPartitions, (what, why, coarser(table))))
}

/// What is there now, against the limits in force.
fn near_the_limit(table: &TableFacts) -> Option<Finding> {
    let held = table.held.as_ref()?;
    let delay_at = table.setting("parts_to_delay_insert").filter(|limit| *limit > 0).unwrap_or(DELAY_AT);
    let total_max = table.setting("max_parts_in_total").filter(|limit| *limit > 0).unwrap_or(TOTAL_MAX);
    let (parts, total) = (held.parts, held.parts_total);
    if parts * 2 < delay_at && total * 2 < total_max {
        return None;
    }
    let what = format!(
        "{parts} active parts in its fullest table partition and {total} in all; inserts are slowed down at \
         {delay_at}, and refused at {total_max} in all"
    );
    let why = "merges do not keep up with the inserts as they are now".to_owned();
    let mend = format!(
        "look at what is merged: SELECT * FROM system.merges; then a longer streams.{}.batch.freshness, or a coarser \
         PARTITION BY",
        table.stream
    );
    Some(finding(table, Code::PartsNearLimit, (what, why, mend)))
}

/// The next coarser key, and how a table comes by it.
fn coarser(table: &TableFacts) -> String {
    let column = time_column(&table.partition_key);
    let days = partition_span(&table.partition_key).map_or(0, |span| span.as_secs() / 86_400);
    let key = match days {
        0..28 => format!("toYYYYMM({column})"),
        28..91 => format!("toYear({column})"),
        _ => "nothing".to_owned(),
    };
    format!(
        "streams.{}: `partition_by: {key}` for a new table; the key of one that exists can't be altered: create the \
         new one, INSERT INTO … SELECT, EXCHANGE TABLES",
        table.stream
    )
}

/// The first argument of the first call of a key: its column of time.
fn time_column(key: &str) -> &str {
    let inside = key.trim_start_matches('(').split_once('(').map_or(key, |(_, inside)| inside);
    inside.split([',', ')']).next().unwrap_or(inside).trim()
}

fn count(number: f64, noun: &str) -> String {
    let several = if number > 1.0 { "s" } else { "" };
    format!("{} {noun}{several}", figure(number))
}

#[cfg(test)]
mod tests {
    use super::super::table::Held;
    use super::*;

    fn load(inserts: f64, spread_days: u64) -> Load {
        let spread = (spread_days > 0).then(|| Duration::from_secs(spread_days * 86_400));
        let doubt = Duration::from_mins(3);
        Load { rate: None, lanes: 2, inserts, rows: None, spread, doubt }
    }

    fn table(partition_key: &str, ttl: Option<&str>) -> TableFacts {
        TableFacts {
            stream: "s".to_owned(),
            name: "d.t".to_owned(),
            partition_key: partition_key.to_owned(),
            ttl: ttl.map(str::to_owned),
            ..TableFacts::default()
        }
    }

    fn codes(table: &TableFacts, load: &Load) -> Vec<&'static str> {
        judge(table, load).iter().map(|finding| finding.code.number()).collect()
    }

    #[test]
    fn each_excess_has_its_code_and_what_is_within_bounds_has_none() {
        for (key, ttl, inserts, spread_days, expected) in [
            ("toYYYYMM(ts)", Some("ts + INTERVAL 13 MONTH"), 2.0, 0, vec![]),
            ("toYYYYMM(ts)", None, 2.0, 3, vec![]),
            ("", None, 2.0, 365, vec![]),
            ("toYYYYMMDD(ts)", Some("ts + INTERVAL 1 YEAR"), 2.0, 2, vec![]),
            // The incident of the daily partitions over a year of event times.
            ("toYYYYMMDD(ts)", Some("ts + INTERVAL 1 YEAR"), 2.0, 365, vec!["PH-0211"]),
            ("toYYYYMMDD(ts)", Some("ts + INTERVAL 1 YEAR"), 2.0, 30, vec!["PH-0213"]),
            ("toYYYYMM(ts)", None, 40.0, 0, vec!["PH-0213"]),
            ("toYYYYMMDD(ts)", Some("ts + INTERVAL 4 YEAR"), 2.0, 0, vec!["PH-0212"]),
            ("toStartOfHour(ts)", None, 2.0, 0, vec!["PH-0212"]),
            ("toStartOfHour(ts)", Some("ts + INTERVAL 7 DAY"), 2.0, 0, vec![]),
        ] {
            assert_eq!(
                codes(&table(key, ttl), &load(inserts, spread_days)),
                expected,
                "{key} {ttl:?} {spread_days}"
            );
        }
    }

    #[test]
    fn what_was_measured_wins_over_what_was_said() {
        let held = Held { touched: Some(1.5), ..Held::default() };
        let table = TableFacts { held: Some(held), ..table("toYYYYMMDD(ts)", None) };
        assert_eq!(codes(&table, &load(2.0, 365)), [""; 0]);
    }

    #[test]
    fn parts_near_a_limit_in_force_are_told() {
        for (parts, total, settings, found) in [
            (100, 1_000, [("parts_to_delay_insert", "1000")], false),
            (600, 600, [("parts_to_delay_insert", "1000")], true),
            (60, 600, [("parts_to_delay_insert", "100")], true),
            (10, 60_000, [("max_parts_in_total", "100000")], true),
            (10, 600, [("parts_to_delay_insert", "0")], false),
        ] {
            let held = Held { parts, parts_total: total, ..Held::default() };
            let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            let table = TableFacts { held: Some(held), settings, ..table("", None) };
            assert_eq!(codes(&table, &load(2.0, 0)) == ["PH-0214"], found, "{parts} of {total}");
        }
    }

    #[test]
    fn a_finding_names_its_figures_and_the_key_that_mends_it() {
        let found = judge(&table("toYYYYMMDD(ts)", None), &load(2.0, 365));
        insta::assert_snapshot!(found[0].to_string());
    }
}
