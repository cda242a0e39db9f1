//! Incident 002: nine times as many events within seconds, and merges that stand still when there are most. The writer that
//! gives up loses events; pumphouse makes fewer and older batches, and settings of the table follow the rate along a curve.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::incident::Failure;
use super::super::incident::stage::{DATABASE, Stage};
use super::feed::{Leg, Schedule};
use super::naive::{Habit, Tally};
use super::session::{self, Length, Plot, Stall};
use super::toggles::{PARTITIONS, Toggles};
use super::told::{Outcome, Phases, table, verdict};
use super::watch::Look;
use crate::embedded::clickhouse::Merges;

/// What the feed is decided by.
const SEED: u64 = 2;
/// Events per second before and after, and at most.
const CALM: u64 = 1_000;
const PEAK: u64 = 9_000;
/// Limits of the table, lowered so that it breaks soon.
const DELAY_AT: u64 = 20;
const REFUSE_AT: u64 = 80;
/// Parts from which on inserts are delayed when the rate is at its highest, as the curve says.
const DELAY_AT_PEAK: u64 = 50;
/// The leg with the highest rate, and the one after it.
const PEAK_LEG: usize = 3;
const CALM_LEG: usize = 4;
/// Merges stand still from so long after the highest rate was reached, for so long.
const STALL_AFTER: u64 = 6;
const STALL_LASTS: u64 = 20;

/// A change of a setting, as the table of changes has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// When, by ClickHouse's clock.
    pub time: String,
    /// The setting.
    pub setting: String,
    /// What was done.
    pub what: String,
    /// Before.
    pub old_value: String,
    /// After.
    pub new_value: String,
    /// Events per second.
    pub rate: u64,
}

/// The whole incident.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The seed of the feed.
    pub seed: u64,
    /// The writer that gives up.
    pub naive: Outcome,
    /// What it did, in its own words.
    pub naive_tally: Tally,
    /// pumphouse.
    pub pumphouse: Outcome,
    /// Different events among its rows.
    pub different: u64,
    /// pumphouse's freshness.
    pub freshness: Phases,
    /// What its valve did.
    pub valve: Vec<String>,
    /// What the curve changed, and what was taken back at the end.
    pub changes: Vec<Followed>,
    /// Where inserts were delayed from after everything was taken back.
    pub delay_at_after: u64,
    /// Parts each second, under pumphouse.
    pub looks: Vec<Look>,
    /// What does not hold; empty where all does.
    pub mistakes: Vec<String>,
    /// Whether all holds.
    pub holds: bool,
}

/// Shows it; `say` gets a line for each step.
///
/// # Errors
/// When something fails that makes a report impossible.
pub fn run(exe: &Path, length: Length, say: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
    say("starting a Kafka and a ClickHouse");
    let plot = plot(length);
    let topics = [plot.naive_topic(), plot.topic()];
    let topics: Vec<(&str, u32)> = topics.iter().map(|topic| (topic.as_str(), PARTITIONS)).collect();
    let stage = Stage::open(exe, Merges { threads: 2, each: 2 }, &topics)?;

    say("a writer of small batches that gives up what is refused a few times");
    create(&stage, "naive_toggles")?;
    let full_name = format!("{DATABASE}.naive_toggles");
    let (mut feed, mut still) = (Toggles::new(SEED), stall(&plot, length, &full_name));
    let (tallies, watched) = session::naive((&stage, &plot), &mut feed, "naive_toggles", &mut still, say)?;
    let naive_tally = tallies.into_iter().fold(Tally::default(), Tally::and);
    let naive = session::outcome(&stage, "naive_toggles", naive_tally.read, &watched)?;
    stage.query(&format!("DROP TABLE {full_name} SYNC"))?;

    say("pumphouse on the same feed");
    create(&stage, plot.name)?;
    let config = configuration(&stage, &plot)?;
    stage.pumphouse(&["apply"], &config)?;
    let (mut feed, mut still) =
        (Toggles::new(SEED), stall(&plot, length, &format!("{DATABASE}.{}", plot.name)));
    let ran = session::pumphouse((&stage, &plot), &mut feed, &config, &mut still, say)?;
    say("the settings are set back to what stood before: pumphouse settings revert");
    stage.pumphouse(&["settings", "revert"], &config)?;
    let mut report = Report {
        seed: SEED,
        naive,
        naive_tally,
        pumphouse: session::outcome(&stage, plot.name, ran.tape.messages(), &ran.watched)?,
        different: stage.number(&format!("SELECT uniqExact(number) FROM {DATABASE}.{}", plot.name))?,
        freshness: session::phases(&plot.schedule, CALM_LEG, &ran.watched.ages(&ran.tape)),
        valve: ran.valve,
        changes: changes(&stage)?,
        delay_at_after: delay_at(&stage, plot.name)?,
        looks: ran.watched.looks,
        mistakes: Vec::new(),
        holds: false,
    };
    report.mistakes = mistakes(&report);
    report.holds = report.mistakes.is_empty();
    Ok(report)
}

fn plot(length: Length) -> Plot {
    let leg = |seconds, rate| Leg { lasts: length.of(seconds), rate };
    Plot {
        name: "toggles",
        partitions: PARTITIONS,
        schedule: Schedule(vec![leg(10, CALM), leg(5, 3_000), leg(5, 6_000), leg(28, PEAK), leg(45, CALM)]),
        habit: Habit {
            rows: 100,
            collects: Duration::from_millis(100),
            tries: 3,
            pause: Duration::from_millis(250),
        },
        naive_within: length.of(48),
        run_with: &["--settings-every", "4"],
    }
}

fn stall(plot: &Plot, length: Length, table: &str) -> Stall {
    let from = plot.schedule.begins(PEAK_LEG) + length.of(STALL_AFTER);
    Stall { table: table.to_owned(), within: from..from + length.of(STALL_LASTS), is_on: false }
}

fn create(stage: &Stage, name: &str) -> Result<(), Failure> {
    let sql = format!(
        "CREATE TABLE {DATABASE}.{name} (ts DateTime('UTC'), flag LowCardinality(String), user UInt64, `on` UInt8, \
         number UInt64, _partition UInt32, _offset UInt64, _ingested_at DateTime64(3)) \
         ENGINE = MergeTree PARTITION BY toYYYYMM(ts) ORDER BY (flag, ts) \
         SETTINGS non_replicated_deduplication_window = 10000, old_parts_lifetime = 10, \
         parts_to_delay_insert = {DELAY_AT}, parts_to_throw_insert = {REFUSE_AT}"
    );
    stage.query(&sql).map(drop)
}

fn configuration(stage: &Stage, plot: &Plot) -> Result<PathBuf, Failure> {
    let (url, brokers, topic, name) = (stage.url(), stage.brokers(), plot.topic(), plot.name);
    let text = format!(
        r#"clickhouse: {{ url: "{url}", database: {DATABASE} }}
kafka: {{ brokers: "{brokers}", properties: {{ session.timeout.ms: "6000" }} }}
streams:
  {name}:
    from: {{ topic: {topic}, format: json }}
    columns:
      ts: {{ type: "DateTime('UTC')", epoch: seconds }}
      flag: LowCardinality(String)
      user: UInt64
      on: UInt8
      number: UInt64
    table:
      order_by: [flag, ts]
      partition_by: toYYYYMM(ts)
      settings_by_rate:
        parts_to_delay_insert: {{ {CALM}: {DELAY_AT}, {PEAK}: {DELAY_AT_PEAK} }}
        max_delay_to_insert: {{ {CALM}: 1, {PEAK}: 3 }}
    batch: {{ freshness: 500ms }}
    valve: {{ batch_age_max: 8s }}
"#
    );
    stage.write("toggles.yaml", &text)
}

fn changes(stage: &Stage) -> Result<Vec<Followed>, Failure> {
    let sql = "SELECT toString(time) AS time, setting, what, old_value, new_value, rate FROM pumphouse.setting_changes \
               ORDER BY time, setting FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers = 0";
    let line = |line: &str| serde_json::from_str(line).map_err(|_| Failure::Answer(line.to_owned()));
    stage.query(sql)?.lines().map(line).collect()
}

/// What the table itself says.
fn delay_at(stage: &Stage, name: &str) -> Result<u64, Failure> {
    stage.number(&format!(
        "SELECT toUInt64(extract(engine_full, 'parts_to_delay_insert = (\\\\d+)')) FROM system.tables \
         WHERE database = '{DATABASE}' AND name = '{name}'"
    ))
}

fn mistakes(report: &Report) -> Vec<String> {
    let Report { naive, pumphouse, freshness, changes, .. } = report;
    let p99 = |of: Option<super::watch::Freshness>| of.map(|freshness| freshness.p99);
    let set = |what: &str, to: &str| {
        let is = |change: &&Followed| change.setting == "parts_to_delay_insert" && change.what == what;
        changes.iter().filter(is).any(|change| change.new_value == to)
    };
    let claims = [
        (
            naive.refused > 0 && naive.lost > 0,
            "the naive writer lost nothing, so it shows nothing".to_owned(),
        ),
        (
            [pumphouse.written, report.different] == [pumphouse.read; 2],
            format!(
                "{} messages, {} rows, {} different",
                pumphouse.read, pumphouse.written, report.different
            ),
        ),
        (pumphouse.refused == 0, format!("pumphouse was refused {} times", pumphouse.refused)),
        (
            pumphouse.fullest < REFUSE_AT,
            format!("pumphouse came to {} parts of {REFUSE_AT}", pumphouse.fullest),
        ),
        (!report.valve.is_empty(), "the valve did not turn".to_owned()),
        (
            set("change", &DELAY_AT_PEAK.to_string()),
            format!("the curve did not reach {DELAY_AT_PEAK} at the highest rate"),
        ),
        (set("change", &DELAY_AT.to_string()), format!("the curve did not come back to {DELAY_AT} after it")),
        (
            set("revert", &DELAY_AT.to_string()) && report.delay_at_after == DELAY_AT,
            format!("after the revert inserts are delayed from {} parts on", report.delay_at_after),
        ),
        (p99(freshness.during) > p99(freshness.before), "freshness did not give way".to_owned()),
        (freshness.recovered_after.is_some(), "freshness did not recover".to_owned()),
    ];
    claims.into_iter().filter(|(holds, _)| !holds).map(|(_, claim)| claim).collect()
}

impl Report {
    /// The page.
    #[must_use]
    pub fn page(&self) -> String {
        let words: String = self.naive_tally.words.chars().take(240).collect();
        let mut page = format!(
            "From {CALM} to {PEAK} events/s in steps, and merges that stand still for {} s at the top (seed {})\n\n{}\n{}",
            STALL_LASTS,
            self.seed,
            table(&self.naive, &self.pumphouse),
            self.freshness.page(),
        );
        let _ = writeln!(page, "\n   the server to the naive writer: {words}\n\n   the valve:");
        for line in &self.valve {
            let _ = writeln!(page, "   {line}");
        }
        page.push_str("\n   settings that followed the rate:\n");
        for Followed { time, setting, what, old_value, new_value, rate } in &self.changes {
            let _ = writeln!(
                page,
                "   {time}  {what:7} {setting:22} {old_value:>3} to {new_value:>3}  at {rate} events/s"
            );
        }
        page + "\n" + &verdict(&self.mistakes)
    }
}
