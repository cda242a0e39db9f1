//! How many entries of its table's window an insert takes at most: one for each table partition that its rows may fall
//! into. Reads the table's partition key and the rows; what it does not understand counts as a partition for each row.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Date32Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt16Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};

/// Clocks on earth are at most so many hours away from UTC.
const ZONE_HOURS_MAX: i64 = 14;

/// What a partition key makes of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Period {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

/// The most table partitions that the rows of `batch` can touch under this key, as ClickHouse prints it.
#[must_use]
pub fn at_most(key: &str, batch: &RecordBatch) -> u64 {
    let rows = batch.num_rows() as u64;
    if key.is_empty() || key == "tuple()" {
        return rows.min(1);
    }
    let of_time = period_of(key).and_then(|(period, column)| {
        let hours = hours_of(batch.column_by_name(column)?.as_ref())?;
        Some(count(period, &hours))
    });
    of_time.map_or(rows, |periods| periods.min(rows))
}

/// The period and the column of a key such as `toYYYYMM(ts)`.
fn period_of(key: &str) -> Option<(Period, &str)> {
    let (function, column) = key.strip_suffix(')')?.split_once('(')?;
    let period = match function {
        "toStartOfHour" => Period::Hour,
        "toDate" | "toYYYYMMDD" | "toStartOfDay" => Period::Day,
        "toMonday" | "toStartOfWeek" => Period::Week,
        "toYYYYMM" | "toStartOfMonth" => Period::Month,
        "toYear" | "toStartOfYear" => Period::Year,
        _ => return None,
    };
    Some((period, column.trim_matches('`')))
}

/// The hours since 1970, in UTC, that the column's values lie in, each once; and the beginning of time for those that
/// are not there. Neighbours mostly share one.
fn hours_of(column: &dyn Array) -> Option<Vec<i64>> {
    let day = |day: i64| day * 24;
    let seconds = |second: i64| second.div_euclid(3_600);
    let mut hours = match column.data_type() {
        DataType::UInt16 => {
            distinct(column.as_primitive::<UInt16Type>().values().iter().map(|d| day((*d).into())))
        }
        DataType::Date32 => {
            distinct(column.as_primitive::<Date32Type>().values().iter().map(|d| day((*d).into())))
        }
        DataType::Int32 => {
            distinct(column.as_primitive::<Int32Type>().values().iter().map(|d| day((*d).into())))
        }
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => {
                distinct(column.as_primitive::<TimestampSecondType>().values().iter().map(|t| seconds(*t)))
            }
            TimeUnit::Millisecond => distinct(
                column
                    .as_primitive::<TimestampMillisecondType>()
                    .values()
                    .iter()
                    .map(|t| t.div_euclid(3_600_000)),
            ),
            TimeUnit::Microsecond => distinct(
                column
                    .as_primitive::<TimestampMicrosecondType>()
                    .values()
                    .iter()
                    .map(|t| t.div_euclid(3_600_000_000)),
            ),
            TimeUnit::Nanosecond => distinct(
                column
                    .as_primitive::<TimestampNanosecondType>()
                    .values()
                    .iter()
                    .map(|t| t.div_euclid(3_600_000_000_000)),
            ),
        },
        DataType::Int64 => distinct(column.as_primitive::<Int64Type>().values().iter().map(|t| seconds(*t))),
        _ => return None,
    };
    if column.null_count() > 0 {
        hours.push(0);
    }
    Some(hours)
}

fn distinct(hours: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut all: Vec<i64> = Vec::new();
    for hour in hours {
        if all.last() != Some(&hour) {
            all.push(hour);
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// How many periods these hours can fall into, in whatever zone the server counts.
fn count(period: Period, hours: &[i64]) -> u64 {
    let reach = if period == Period::Hour { 1 } else { ZONE_HOURS_MAX };
    let near = hours.iter().flat_map(|hour| [hour - reach, *hour, hour + reach]);
    let mut periods: Vec<i64> = near.map(|hour| number(period, hour)).collect();
    periods.sort_unstable();
    periods.dedup();
    periods.len() as u64
}

/// The number of the period that an hour lies in.
fn number(period: Period, hour: i64) -> i64 {
    let day = hour.div_euclid(24);
    match period {
        Period::Hour => hour,
        Period::Day => day,
        // 1970 began on a Thursday. Weeks may begin on Sunday as well, which is no more of them.
        Period::Week => (day + 3).div_euclid(7),
        Period::Month => month(day),
        Period::Year => month(day).div_euclid(12),
    }
}

/// Months since the year 0 of the proleptic Gregorian calendar; March begins the year in between, so that a leap day
/// comes last.
fn month(day: i64) -> i64 {
    let days = day + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    (era * 400 + year) * 12 + (5 * of_year + 2) / 153 + 2
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, TimestampMillisecondArray, UInt64Array};
    use arrow_schema::{Field, Schema};

    use super::*;

    const DAY: i64 = 86_400_000;
    /// 2026-06-15, noon.
    const NOON: i64 = 1_781_524_800_000;

    fn batch(times: Vec<i64>) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(0..times.len() as u64));
        let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(times));
        let fields = [("ts", &times), ("n", &numbers)]
            .map(|(name, column)| Field::new(name, column.data_type().clone(), false));
        RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), vec![times, numbers])
            .expect("of one length")
    }

    #[test]
    fn rows_of_a_table_without_a_key_take_one_entry() {
        assert_eq!(at_most("", &batch(vec![NOON; 50])), 1);
        assert_eq!(at_most("tuple()", &batch(vec![NOON, NOON + 400 * DAY])), 1);
    }

    #[test]
    fn times_are_counted_by_the_period_they_can_fall_into() {
        let week: Vec<i64> = (0..7 * 24).map(|hour| NOON + hour * DAY / 24).collect();
        for (key, least, most) in [
            ("toYYYYMM(ts)", 1, 1),
            ("toStartOfMonth(`ts`)", 1, 1),
            ("toYear(ts)", 1, 1),
            ("toMonday(ts)", 2, 3),
            ("toYYYYMMDD(ts)", 7, 10),
            ("toDate(ts)", 7, 10),
            ("toStartOfHour(ts)", 168, 170),
        ] {
            let found = at_most(key, &batch(week.clone()));
            assert!((least..=most).contains(&found), "{key}: {found}");
        }
    }

    #[test]
    fn every_month_of_a_hundred_counts() {
        let months: Vec<i64> = (0..100).map(|month| NOON + month * 31 * DAY).collect();
        let found = at_most("toYYYYMM(ts)", &batch(months));
        assert_eq!(found, 100);
    }

    #[test]
    fn the_last_hours_of_a_month_may_be_the_next_one_elsewhere() {
        // 2026-06-30 23:00 UTC.
        assert_eq!(at_most("toYYYYMM(ts)", &batch(vec![1_782_860_400_000; 9])), 2);
    }

    #[test]
    fn what_is_not_understood_counts_every_row() {
        for key in ["n % 100", "cityHash64(n)", "(toYYYYMM(ts), n)", "toYYYYMM(missing)", "toYYYYMM(n)"] {
            assert_eq!(at_most(key, &batch(vec![NOON; 9])), 9, "{key}");
        }
    }
}
