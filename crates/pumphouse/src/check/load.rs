//! How often a stream inserts, and into how many table partitions at once: from its settings, and from what is said or
//! measured of its events. Pure arithmetic; judges nothing.

use std::time::Duration;

use pumphouse_clickhouse::key_time::partition_span;

use crate::config::settings::{Settings, Stream};

/// What the operator says of the load.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Events per second of each stream; measured, or unknown, where it is not said.
    pub rate: Option<u64>,
    /// How far apart the event times of one batch lie.
    pub spread: Option<Duration>,
    /// Processes that run at once.
    pub processes: u16,
    /// The longest time that nothing takes events.
    pub outage: Duration,
}

/// The load of one stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    /// Events per second; `None` where nobody knows.
    pub(super) rate: Option<f64>,
    /// Lanes of all processes that have something to do.
    pub(super) lanes: u64,
    /// Inserts into each table per second, at most.
    pub(super) inserts: f64,
    /// Rows of one insert; `None` where nobody knows.
    pub(super) rows: Option<f64>,
    /// How far apart the event times of one batch lie, where that is said.
    pub(super) spread: Option<Duration>,
    /// How long an insert may be in doubt before it is decided.
    pub(super) doubt: Duration,
}

/// After a process died, its partitions have a new owner within this time.
const TAKE_OVER: Duration = Duration::from_mins(1);

impl Load {
    /// Of a stream whose topic has so many partitions, where that is known.
    #[expect(clippy::cast_precision_loss, reason = "figures to be read by people")]
    pub(super) fn of(
        settings: &Settings,
        stream: &Stream,
        (asked, rate): (&Asked, Option<f64>),
        partitions: Option<usize>,
    ) -> Self {
        let lanes = u64::from(settings.process.lanes.get()) * u64::from(asked.processes);
        let lanes = lanes.min(partitions.map_or(u64::MAX, |partitions| partitions as u64)).max(1);
        // A batch closes by age, or by rows where these come first.
        let by_age = lanes as f64 / stream.batch.freshness.as_secs_f64();
        let inserts = rate.map_or(by_age, |rate| by_age.max(rate / stream.batch.rows.get() as f64).min(rate));
        let rows = rate.filter(|rate| *rate > 0.0).map(|rate| rate / inserts);
        let doubt = settings.clickhouse.insert_timeout * 2 + TAKE_OVER;
        Self { rate, lanes, inserts, rows, spread: asked.spread, doubt }
    }

    /// Table partitions that one insert touches, where that is said and not measured.
    pub(super) fn touched(&self, partition_key: &str) -> Option<f64> {
        let span = partition_span(partition_key)?;
        #[expect(clippy::cast_precision_loss, reason = "figures to be read by people")]
        let touched = most_touched(self.spread?, span) as f64;
        Some(self.rows.map_or(touched, |rows| touched.min(rows.max(1.0))))
    }
}

/// Most table partitions of this width that event times so far apart touch: they seldom begin where one does.
pub(crate) fn most_touched(spread: Duration, width: Duration) -> u64 {
    let whole = spread.as_millis().div_ceil(width.as_millis().max(1));
    u64::try_from(whole).unwrap_or(u64::MAX).saturating_add(1)
}

/// A number as people write it: `12`, `0.4`, `1,234`.
pub(super) fn figure(number: f64) -> String {
    if number < 10.0 && number.fract() > 0.05 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A span as people say it: `36 h`, `30 days`.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    for (unit, length) in [("years", 31_536_000), ("days", 86_400), ("h", 3_600), ("min", 60)] {
        if seconds >= 2 * length {
            #[expect(clippy::cast_precision_loss, reason = "figures to be read by people")]
            return format!("{} {unit}", figure((seconds as f64 / length as f64 * 10.0).round() / 10.0));
        }
    }
    format!("{seconds} s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn load(process: &str, batch: &str, rate: Option<f64>, spread_days: u64) -> Load {
        let text = format!(
            "clickhouse: {{ url: \"http://h\" }}\nkafka: {{ brokers: h }}\nprocess: {process}\nstreams:\n  s:\n    \
             from: {{ topic: t }}\n    batch: {batch}\n    columns: {{ a: UInt8 }}\n    table: {{ order_by: a }}\n"
        );
        let settings = config::parse("f", &text, &|_| None).unwrap_or_else(|error| panic!("{error}"));
        let asked = Asked {
            rate: None,
            spread: (spread_days > 0).then(|| Duration::from_secs(spread_days * 86_400)),
            processes: 2,
            outage: Duration::ZERO,
        };
        Load::of(&settings, &settings.streams["s"], (&asked, rate), Some(6))
    }

    #[test]
    fn a_lane_inserts_once_per_freshness_or_when_its_rows_are_full() {
        let inserts = |process, batch, rate| figure(load(process, batch, rate, 0).inserts);
        assert_eq!(inserts("{ lanes: 2 }", "{ freshness: 1s }", None), "4");
        assert_eq!(inserts("{ lanes: 2 }", "{ freshness: 100ms }", None), "40");
        // No more lanes than partitions.
        assert_eq!(inserts("{ lanes: 8 }", "{ freshness: 1s }", None), "6");
        // No more inserts than events.
        assert_eq!(inserts("{ lanes: 2 }", "{ freshness: 100ms }", Some(3.0)), "3");
        assert_eq!(inserts("{ lanes: 2 }", "{ freshness: 1s, rows: 1000 }", Some(50_000.0)), "50");
    }

    #[test]
    fn a_batch_touches_as_many_table_partitions_as_its_times_spread_over_and_never_more_than_it_has_rows() {
        let touched =
            |rate, key| load("{ lanes: 2 }", "{ freshness: 1s }", rate, 365).touched(key).map(figure);
        assert_eq!(touched(Some(40_000.0), "toYYYYMMDD(ts)"), Some("366".to_owned()));
        assert_eq!(touched(Some(40_000.0), "toYYYYMM(ts)"), Some("14".to_owned()));
        assert_eq!(touched(Some(40.0), "toYYYYMMDD(ts)"), Some("10".to_owned()));
        assert_eq!(touched(Some(40_000.0), "service"), None);
        assert_eq!(load("{}", "{}", None, 0).touched("toYYYYMM(ts)"), None);
    }

    #[test]
    fn figures_read_as_people_write_them() {
        for (number, written) in
            [(0.4, "0.4"), (2.0, "2"), (12.3, "12"), (1_234.0, "1,234"), (1e6, "1,000,000")]
        {
            assert_eq!(figure(number), written);
        }
        for (seconds, said) in [(30, "30 s"), (5_400, "90 min"), (86_400, "24 h"), (33_696_000, "390 days")] {
            assert_eq!(span(Duration::from_secs(seconds)), said);
        }
    }
}
