//! The report in words, for people. Decides what is worth a line.

use std::fmt::Write as _;
use std::time::Duration;

use pumphouse_core::moment::Time;
use pumphouse_sim::merges::outcome::{Outcome, Times, Trouble};
use pumphouse_sim::merges::scenario::Scenario;
use pumphouse_sim::merges::search::BreakingPoint;

use super::chart::chart;
use super::{Findings, MEASURED_UP_TO};
use crate::command::counted::counted;

/// The whole report.
pub(super) fn report(findings: &Findings) -> String {
    let (scenario, outcome) = (&findings.design.scenario, &findings.outcome);
    let mut text = format!("{}\n", verdict(findings));
    text += &beyond(findings).unwrap_or_default();
    text += "\n";
    let parts: Vec<u64> = outcome.samples.iter().map(|sample| sample.parts).collect();
    let delay_at = scenario.tables[0].limits.delay_at;
    text += "active parts of the fullest table partition\n";
    text += &chart(&parts, Some((delay_at, "delayed from")), ("0", &spoken(scenario.span)));
    text += "\n";
    let mut row = |name: &str, value: String| {
        // Writing into a String can't fail.
        let _ = writeln!(text, "{name:<27}{value}");
    };
    for (name, value) in figures(scenario, outcome) {
        row(name, value);
    }
    row("breaks at", broken(&findings.with_valve));
    row("without the valve at", broken(&findings.without_valve));
    for assumed in &findings.design.assumed {
        row("assumed", assumed.clone());
    }
    let machine = scenario.machine;
    row(
        "the server",
        format!(
            "{} merges at once of {:.0} MB/s each; measured on another machine unless you gave them",
            machine.merges_at_once,
            machine.merge_bytes_per_second / 1e6
        ),
    );
    text
}

/// What it comes to, in a sentence.
fn verdict(findings: &Findings) -> String {
    let Findings { design, outcome, .. } = findings;
    let who = format!("stream {} at {} rows/s", design.stream, grouped(design.scenario.rate));
    match outcome.trouble() {
        None => format!("{who}: holds"),
        Some(trouble) => format!("{who}: breaks: {}", told(trouble)),
    }
}

/// What is to be said where the figures rest on no measurement.
fn beyond(findings: &Findings) -> Option<String> {
    findings.is_beyond_measured().then(|| {
        format!(
            "beyond what was measured: {} new parts a second; up to about {MEASURED_UP_TO} were compared with a real server. \
             A server may break far earlier than this says\n",
            grouped(findings.parts_per_second())
        )
    })
}

fn told(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Refused => "ClickHouse refuses inserts for too many parts",
        Trouble::Delayed => "ClickHouse delays inserts for too many parts",
        Trouble::FallsBehind => "rows come faster than they go in",
    }
}

fn figures(scenario: &Scenario, outcome: &Outcome) -> Vec<(&'static str, String)> {
    let tables = scenario.tables.iter().filter(|table| !table.is_view).count().max(1) as u64;
    let inserts = per_second(outcome.inserts / tables, outcome.span);
    let (partition, table) = outcome.parts_most;
    let (half, most) = (outcome.freshness.percentile(50), outcome.freshness.percentile(99));
    let last = outcome.samples.last().copied().unwrap_or_default();
    let lanes = u64::from(scenario.lanes());
    vec![
        ("written by", format!("{} of {}", counted(lanes, "lane"), processes(scenario))),
        ("table partitions", touched(scenario)),
        ("inserts", format!("{inserts:.1} a second into each table, {} in all", outcome.inserts)),
        (
            "parts",
            format!(
                "at most {partition} in a table partition, {table} in a table; {:.0} on average in all",
                outcome.parts_mean
            ),
        ),
        (
            "merges",
            format!(
                "{}, writing {:.1} bytes for each byte inserted",
                outcome.merges,
                outcome.written_again()
            ),
        ),
        ("freshness", format!("p50 {}, p99 {}", spoken(half), spoken(most))),
        ("delayed", times(outcome.delayed, "insert")),
        ("refused", times(outcome.refused, "insert")),
        (
            "the valve",
            format!(
                "batches up to {} old, {} of its level; shut {}",
                spoken(outcome.age_most),
                counted(u64::from(outcome.reversals), "reversal"),
                times(outcome.shut, "time")
            ),
        ),
        ("rows that wait at the end", last.waiting.to_string()),
    ]
}

fn processes(scenario: &Scenario) -> String {
    let count = u64::from(scenario.writers.processes.max(1));
    if count == 1 { "1 process".to_owned() } else { format!("{count} processes") }
}

fn touched(scenario: &Scenario) -> String {
    let each = scenario.tables.iter().map(|table| {
        let count = table.spread.partitions;
        format!("{} takes rows in {count}", table.name)
    });
    each.collect::<Vec<_>>().join(", ")
}

fn times(times: Times, noun: &str) -> String {
    match times.first {
        None => "never".to_owned(),
        Some(first) => {
            format!("{}, first after {}", counted(times.count, noun), spoken(first.since(Time(0))))
        }
    }
}

/// Where it breaks, in words.
fn broken(point: &BreakingPoint) -> String {
    match point.trouble {
        None => format!("more than {} rows/s", grouped(point.rate)),
        Some(trouble) if point.rate > 0.0 => {
            format!("about {} rows/s: {}", grouped(point.rate), told(trouble))
        }
        Some(trouble) => format!("any rate: {}", told(trouble)),
    }
}

fn per_second(count: u64, span: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let count = count as f64;
    count / span.as_secs_f64().max(0.001)
}

/// `40,000`.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `850 ms`, `1.2 s`, `10 min`, `1.5 h`.
pub(super) fn spoken(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    let short = |number: f64, unit: &str| {
        let text = format!("{number:.1}");
        format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
    };
    match seconds {
        seconds if seconds < 1.0 => format!("{} ms", span.as_millis()),
        seconds if seconds < 120.0 => short(seconds, "s"),
        seconds if seconds < 7200.0 => short(seconds / 60.0, "min"),
        seconds => short(seconds / 3600.0, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!([1.0, 999.0, 40_000.0, 1_234_567.0].map(grouped), ["1", "999", "40,000", "1,234,567"]);
        let spans = [850, 1000, 1250, 90_000, 600_000, 9_000_000];
        let told = spans.map(|milliseconds| spoken(Duration::from_millis(milliseconds)));
        assert_eq!(told, ["850 ms", "1 s", "1.2 s", "90 s", "10 min", "2.5 h"]);
    }
}
